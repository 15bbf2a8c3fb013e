//! What a forwarded packet costs, beside the least that it could, and how much later it is.
//!
//! `cargo run --release -p icey-engine --example relay -- [viewers] [seconds] [burst|paced|delay]`
//!
//! A source sends H.264 of about 2 Mb/s at 30 frames a second and Opus, over loopback, to the
//! engine, which forwards it to viewers; these are str0m instances in this process. `burst` sends a
//! picture's packets at once, `paced` spreads them evenly, which gives the engine no two packets at
//! once: the dearest case; `delay` is `burst` without the floor, and with a line of JSON at the end.
//! The floor encrypts as many payloads by AES-256-GCM and gives as many
//! datagrams to sendmmsg, for as many sockets, which are read as the viewers' are.
//!
//! The delay is from the source's send to the kernel's timestamp on the viewer's datagram; of a
//! packet that was lost and resent, on the resend's.

mod floor;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use icey_engine::{
    Delivery, Engine, EngineConfig, Estimation, Event, MediaKind, Peer, PeerOptions,
    ReceiverOptions, Track,
};
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind as RtcKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{RtpWrite, Ssrc};
use str0m::{Candidate, Event as RtcEvent, Input, Output, Rtc};

use floor::{Result, engine_cpu};

const PICTURES: u64 = 30;
const PACKETS: u64 = 7;
const PAYLOAD: usize = 1150;

/// The time of sending stands behind these bytes of a picture's packet.
const HEAD: usize = 4;

/// Delays of what was sent earlier are not counted, in ns since the epoch: the start of so many
/// viewers at once is another thing.
static COUNTED_FROM: AtomicU64 = AtomicU64::new(u64::MAX);

struct Client {
    rtc: Rtc,
    socket: UdpSocket,
    address: SocketAddr,
    connected: bool,
    /// How often each delay was seen, in steps of 10 µs.
    delays: BTreeMap<u64, u64>,
    packets: u64,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let count: usize = arguments.next().map_or(Ok(50), |text| text.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(10), |text| text.parse())?;
    let manner = arguments.next();
    let is_paced = manner.as_deref() == Some("paced");
    let engine = Engine::new(&EngineConfig {
        host: "127.0.0.1".into(),
        port: 0,
        additional_hosts: Vec::new(),
    })?;
    let tracks = [
        engine.create_track(MediaKind::Video)?,
        engine.create_track(MediaKind::Audio)?,
    ];
    let (viewers, peers) = connect_viewers(&engine, &tracks, count)?;
    let (stop, connected) = (Arc::new(AtomicBool::new(false)), count);
    let stopped = stop.clone();
    let receiving = std::thread::spawn(move || watch(viewers, &stopped));
    let deadline = Instant::now() + Duration::from_secs(30);
    wait_for(&engine, connected, deadline)?;

    let delivery = Delivery::Packets { simulcast: false };
    let source = engine.create_receiver_with(ReceiverOptions {
        delivery,
        max_bitrate: 0,
    })?;
    let mut publisher = Publisher::connect(&source)?;
    for track in &tracks {
        engine.route(&source, track, "")?;
    }
    publisher.publish(&engine, Duration::from_secs(2), is_paced)?;
    COUNTED_FROM.store(clock(), Ordering::Relaxed);
    let (before, cpu_before, start) = (engine.stats(), engine_cpu()?, Instant::now());
    publisher.publish(&engine, Duration::from_secs(seconds), is_paced)?;
    let (after, cpu) = (engine.stats(), engine_cpu()? - cpu_before);
    let took = start.elapsed();
    std::thread::sleep(Duration::from_millis(200));
    stop.store(true, Ordering::Relaxed);
    let viewers = receiving
        .join()
        .map_err(|_| "the viewers' thread panicked")??;

    let packets = after.packets_sent - before.packets_sent;
    let mean = (after.bytes_sent - before.bytes_sent) / packets;
    let each = |time: Duration| time.as_secs_f64() * 1e6 / packets as f64;
    println!("{count} viewers, {packets} packets of {mean} bytes in the mean sent");
    println!(
        "engine thread: {:.2} µs a packet, {:.1} % of a core; {} dropped",
        each(cpu),
        cpu.as_secs_f64() / took.as_secs_f64() * 100.0,
        after.packets_dropped
    );
    let received: u64 = viewers.iter().map(|viewer| viewer.packets).sum();
    let expected = publisher.sent * count as u64;
    let (mut resent, mut skipped) = (0, 0);
    for peer in &peers {
        let stats = peer.stats()?;
        resent += stats.packets_resent;
        skipped += stats.frames_dropped;
    }
    let source = source.stats()?;
    println!(
        "viewers have {received} of {expected} packets of media; {resent} resent, {skipped} pictures \
         skipped for viewers that do not keep up; {} packets of the source's missing",
        source.packets_lost
    );
    let (median, p99) = print_delays(&viewers);
    engine.close();
    if manner.as_deref() == Some("delay") {
        println!("{{\"median_ms\": {median}, \"p99_ms\": {p99}}}");
        return Ok(());
    }

    let at_once = if is_paced { 1 } else { PACKETS as usize };
    let encrypting = floor::encrypt(packets, mean as usize)?;
    let sending = floor::send(packets, mean as usize, count, 1)?;
    println!(
        "floor, AES-256-GCM {:.2} µs and sendmmsg {:.2} µs: {:.2} times that",
        each(encrypting),
        each(sending),
        cpu.as_secs_f64() / (encrypting + sending).as_secs_f64()
    );
    if at_once > 1 {
        let segmented = floor::send(packets, mean as usize, count, at_once)?;
        println!(
            "with segmentation {:.2} µs: {:.2} times that",
            each(segmented),
            cpu.as_secs_f64() / (encrypting + segmented).as_secs_f64()
        );
    }
    Ok(())
}

fn connect_viewers(
    engine: &Engine,
    tracks: &[Track],
    count: usize,
) -> Result<(Vec<Client>, Vec<Peer>)> {
    let (mut clients, mut peers) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let peer = engine.create_peer(PeerOptions {
            estimation: Estimation::Remb,
            max_bitrate: 0,
            start_bitrate: 0,
        })?;
        for track in tracks {
            engine.attach(&peer, track)?;
        }
        let (mut client, offer, pending) = client(Direction::RecvOnly)?;
        let answer = SdpAnswer::from_sdp_string(&peer.accept_offer(&offer)?)?;
        client.rtc.sdp_api().accept_answer(pending, answer)?;
        clients.push(client);
        peers.push(peer);
    }
    Ok((clients, peers))
}

fn wait_for(engine: &Engine, count: usize, deadline: Instant) -> Result<()> {
    let mut connected = 0;
    while connected < count {
        let events = engine.poll_events();
        let is_connected = |event: &&Event| matches!(event, Event::PeerConnected { .. });
        connected += events.iter().filter(is_connected).count();
        if Instant::now() > deadline {
            return Err(format!("only {connected} of {count} connected").into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Prints delays, and tells the median and the 99th percentile, in ms.
fn print_delays(viewers: &[Client]) -> (f64, f64) {
    let mut all: BTreeMap<u64, u64> = BTreeMap::new();
    for (delay, n) in viewers.iter().flat_map(|viewer| &viewer.delays) {
        *all.entry(*delay).or_default() += n;
    }
    let total: u64 = all.values().sum();
    let percentile = |part: f64| {
        let mut seen = 0;
        let at = all.iter().find(|(_, n)| {
            seen += **n;
            seen as f64 >= total as f64 * part
        });
        at.map_or(0.0, |(delay, _)| *delay as f64 / 100.0)
    };
    println!(
        "delay of {total} packets: median {:.2} ms, p99 {:.2} ms, most {:.2} ms",
        percentile(0.5),
        percentile(0.99),
        percentile(1.0)
    );
    (percentile(0.5), percentile(0.99))
}

fn client(direction: Direction) -> Result<(Client, String, SdpPendingOffer)> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_nonblocking(true)?;
    floor::stamp(&socket)?;
    floor::widen(&socket)?;
    let address = socket.local_addr()?;
    let mut rtc = Rtc::builder()
        .clear_codecs()
        .enable_h264(true)
        .enable_opus(true, false)
        .set_rtp_mode(true)
        .build(Instant::now());
    rtc.add_local_candidate(Candidate::host(address, "udp")?);
    let mut api = rtc.sdp_api();
    api.add_media(RtcKind::Video, direction, None, None, None);
    api.add_media(RtcKind::Audio, direction, None, None, None);
    let (offer, pending) = api.apply().ok_or("nothing to offer")?;
    let client = Client {
        rtc,
        socket,
        address,
        connected: false,
        delays: BTreeMap::new(),
        packets: 0,
    };
    Ok((client, offer.to_sdp_string(), pending))
}

impl Client {
    /// Reads what has come, and lets time pass.
    fn advance(&mut self) -> Result<()> {
        while let Some((data, source, at)) = floor::receive(self.socket.as_raw_fd())? {
            let receive = Receive::new(Protocol::Udp, source, self.address, &data)?;
            self.rtc
                .handle_input(Input::Receive(Instant::now(), receive))?;
            self.drain(at)?;
        }
        self.rtc.handle_input(Input::Timeout(Instant::now()))?;
        self.drain(0)
    }

    /// `at` is when the datagram came, in ns of the real-time clock.
    fn drain(&mut self, at: u64) -> Result<()> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(_) => return Ok(()),
                // A full socket loses it, which resends make good.
                Output::Transmit(t) => drop(self.socket.send_to(&t.contents, t.destination)),
                Output::Event(RtcEvent::Connected) => self.connected = true,
                Output::Event(RtcEvent::RtpPacket(packet)) => {
                    self.packets += 1;
                    if let Some(stamp) = packet.payload.get(HEAD..HEAD + 8)
                        && packet.payload.len() == PAYLOAD
                    {
                        let sent = u64::from_be_bytes(stamp.try_into()?);
                        if sent >= COUNTED_FROM.load(Ordering::Relaxed) {
                            let delay = at.saturating_sub(sent) / 10_000;
                            *self.delays.entry(delay).or_default() += 1;
                        }
                    }
                }
                Output::Event(_) => {}
            }
        }
    }
}

/// Plays all viewers until it is told to stop.
fn watch(mut viewers: Vec<Client>, stop: &AtomicBool) -> Result<Vec<Client>> {
    while !stop.load(Ordering::Relaxed) {
        for viewer in &mut viewers {
            viewer.advance()?;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(viewers)
}

struct Stream {
    ssrc: Ssrc,
    pt: Pt,
    sequence: u64,
    timestamp: u32,
}

struct Publisher {
    client: Client,
    video: Stream,
    audio: Stream,
    sent: u64,
    pictures: u64,
}

impl Publisher {
    fn connect(source: &Peer) -> Result<Self> {
        let (mut client, offer, pending) = client(Direction::SendOnly)?;
        let answer = SdpAnswer::from_sdp_string(&source.accept_offer(&offer)?)?;
        client.rtc.sdp_api().accept_answer(pending, answer)?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while !client.connected {
            client.advance()?;
            if Instant::now() > deadline {
                return Err("the source did not connect".into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let mids: Vec<Mid> = answer_mids(&offer);
        let video = stream(&mut client.rtc, mids[0])?;
        let audio = stream(&mut client.rtc, mids[1])?;
        Ok(Self {
            client,
            video,
            audio,
            sent: 0,
            pictures: 0,
        })
    }

    /// Sends pictures, each with a packet of sound.
    fn publish(&mut self, engine: &Engine, duration: Duration, is_paced: bool) -> Result<()> {
        let start = Instant::now();
        let steps = duration.as_secs() * PICTURES * (PACKETS + 1);
        for n in 0..steps {
            let (picture, part) = (n / (PACKETS + 1), n % (PACKETS + 1));
            let slot = if is_paced { n } else { picture * (PACKETS + 1) };
            let due = start + duration.mul_f64(slot as f64 / steps as f64);
            while Instant::now() < due {
                self.client.advance()?;
                let rest = due.saturating_duration_since(Instant::now());
                std::thread::sleep(rest.min(Duration::from_millis(2)));
            }
            let (stream, payload) = if part == PACKETS {
                (&mut self.audio, vec![7; 160])
            } else {
                (&mut self.video, picture_part(self.pictures, part))
            };
            let rtc = &mut self.client.rtc;
            let mut api = rtc.direct_api();
            let sending = api.stream_tx(&stream.ssrc).ok_or("no stream")?;
            let write = RtpWrite::new(
                stream.pt,
                stream.sequence.into(),
                stream.timestamp,
                Instant::now(),
                payload,
            );
            sending.write_rtp(write.marker(part + 1 == PACKETS).nackable(part != PACKETS));
            stream.sequence += 1;
            rtc.handle_input(Input::Timeout(Instant::now()))?;
            self.client.drain(0)?;
            self.sent += 1;
            if part == PACKETS {
                self.pictures += 1;
                self.video.timestamp = self.video.timestamp.wrapping_add(3000);
                self.audio.timestamp = self.audio.timestamp.wrapping_add(1600);
                engine.poll_events();
            }
        }
        Ok(())
    }
}

/// A packet that looks like one of H.264, a keyframe each second, with the time of sending.
fn picture_part(picture: u64, part: u64) -> Vec<u8> {
    let mut payload = vec![part as u8; PAYLOAD];
    let is_keyframe = picture.is_multiple_of(PICTURES);
    payload[0] = if is_keyframe && part == 0 { 0x67 } else { 0x41 };
    payload[HEAD..HEAD + 8].copy_from_slice(&clock().to_be_bytes());
    payload
}

/// The real-time clock, which the kernel's timestamps are of, in ns.
fn clock() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |time| time.as_nanos() as u64)
}

fn answer_mids(offer: &str) -> Vec<Mid> {
    let lines = offer.lines();
    lines
        .filter_map(|line| line.strip_prefix("a=mid:"))
        .map(Mid::from)
        .collect()
}

fn stream(rtc: &mut Rtc, mid: Mid) -> Result<Stream> {
    let media = rtc.media(mid).ok_or("no media")?;
    let taken = media.remote_pts().to_vec();
    let params = rtc.codec_config().params().iter();
    let pt = params
        .map(|params| params.pt())
        .find(|pt| taken.contains(pt));
    let mut api = rtc.direct_api();
    let stream = api.stream_tx_by_mid(mid, None).ok_or("no stream")?;
    Ok(Stream {
        ssrc: stream.ssrc(),
        pt: pt.ok_or("no codec in common")?,
        sequence: 1000,
        timestamp: 0,
    })
}

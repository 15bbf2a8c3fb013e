//! What a received packet costs: CPU time of the engine's thread.
//!
//! `cargo run --release -p icey-engine --example receive -- [senders] [seconds]`
//!
//! Senders are str0m instances on loopback, in this process. Each sends H.264 of 2 Mb/s at 30
//! pictures a second, in bursts of six packets at most each 5 ms, much as a browser paces them,
//! and Opus at 50 packets a second. Frames are pulled every 200 ms, as a recorder does. Most of
//! the cost is waking up, so one sender alone costs more than one of many.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use icey_engine::core::h264::{MAX_PAYLOAD, packetize};
use icey_engine::{Engine, EngineConfig, PeerStats};
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{RtpWrite, Ssrc};
use str0m::{Candidate, Event, Input, Output, Rtc};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

struct Sender {
    rtc: Rtc,
    socket: UdpSocket,
    address: SocketAddr,
    sections: [Mid; 2],
    streams: Option<[Stream; 2]>,
    /// Payloads of the picture that is being sent.
    rest: Vec<Arc<[u8]>>,
    is_connected: bool,
}

#[derive(Clone, Copy)]
struct Stream {
    ssrc: Ssrc,
    pt: Pt,
    sequence: u64,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let count: usize = arguments.next().map_or(Ok(4), |text| text.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(10), |text| text.parse())?;
    let config = EngineConfig {
        host: "127.0.0.1".into(),
        port: 0,
        additional_hosts: Vec::new(),
    };
    let engine = Engine::new(&config)?;
    let (mut peers, mut senders) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let peer = engine.create_receiver()?;
        let (mut sender, offer, pending) = sender()?;
        let answer = SdpAnswer::from_sdp_string(&peer.accept_offer(&offer)?)?;
        sender.rtc.sdp_api().accept_answer(pending, answer)?;
        senders.push(sender);
        peers.push(peer);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, (tell, connected)) = (stop.clone(), mpsc::channel());
    let sending = std::thread::spawn(move || run(senders, &stopped, &tell));
    connected.recv_timeout(Duration::from_secs(20))?;
    std::thread::sleep(Duration::from_secs(1));

    let total = |f: fn(&PeerStats) -> u64| -> Result<u64> {
        peers
            .iter()
            .map(|peer| Ok(f(&peer.stats()?)))
            .sum::<Result<u64>>()
    };
    let counts = [
        |stats: &PeerStats| stats.packets_received,
        |stats: &PeerStats| stats.bytes_received,
        |stats: &PeerStats| stats.frames_received,
        |stats: &PeerStats| stats.frames_lost,
    ];
    let mut before = Vec::new();
    for count in counts {
        before.push(total(count)?);
    }
    let (cpu_before, start) = (engine_cpu()?, Instant::now());
    while start.elapsed() < Duration::from_secs(seconds) {
        std::thread::sleep(Duration::from_millis(200));
        for peer in &peers {
            drop(peer.pull(512));
        }
        engine.poll_events();
    }
    let (cpu, elapsed) = (engine_cpu()? - cpu_before, start.elapsed().as_secs_f64());
    let mut now = Vec::new();
    for (count, before) in counts.into_iter().zip(before) {
        now.push(total(count)? - before);
    }
    let [packets, bytes, frames, lost] = now[..] else {
        return Err("four counts".into());
    };
    println!(
        "{count} senders: {packets} packets, {:.2} Mb/s each, {frames} frames, {lost} lost",
        bytes as f64 * 8e-6 / elapsed / count as f64
    );
    println!(
        "engine thread: {:.2} µs a packet, {:.2} % of a core a sender",
        cpu.as_secs_f64() * 1e6 / packets as f64,
        cpu.as_secs_f64() / elapsed * 100.0 / count as f64
    );
    stop.store(true, Ordering::Relaxed);
    sending
        .join()
        .map_err(|_| "the sending thread panicked")??;
    engine.close();
    Ok(())
}

fn sender() -> Result<(Sender, String, SdpPendingOffer)> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    let mut rtc = Rtc::builder().set_rtp_mode(true).build(Instant::now());
    rtc.add_local_candidate(Candidate::host(address, "udp")?);
    let mut api = rtc.sdp_api();
    let kinds = [MediaKind::Video, MediaKind::Audio];
    let sections = kinds.map(|kind| api.add_media(kind, Direction::SendOnly, None, None, None));
    let (offer, pending) = api.apply().ok_or("nothing to offer")?;
    let sender = Sender {
        rtc,
        socket,
        address,
        sections,
        streams: None,
        rest: Vec::new(),
        is_connected: false,
    };
    Ok((sender, offer.to_sdp_string(), pending))
}

/// Plays all senders until it is told to stop.
fn run(mut senders: Vec<Sender>, stop: &AtomicBool, tell: &mpsc::Sender<()>) -> Result<()> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut unit = |size: usize, head: &[u8]| {
        let body = (0..size).map(|_| random.u8(1..));
        let data: Vec<u8> = head.iter().copied().chain(body).collect();
        packetize(&data, MAX_PAYLOAD)
    };
    let keyframe = unit(
        30_000,
        b"\0\0\0\x01\x67\x42\xc0\x1f\xda\0\0\0\x01\x68\xce\x3c\x80\0\0\0\x01\x65",
    );
    let picture = unit(8_200, b"\0\0\0\x01\x41");
    let (start, mut has_told) = (Instant::now(), false);
    for ms in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        let due = start + Duration::from_millis(ms);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        for (i, sender) in senders.iter_mut().enumerate() {
            sender.poll()?;
            let at = ms + 7 * i as u64; // senders are not in step
            if !sender.is_connected {
                continue;
            }
            if at.is_multiple_of(33) {
                let has_begun = sender.streams.is_some_and(|[video, _]| video.sequence > 1);
                let is_key = !has_begun || at.is_multiple_of(3300);
                sender.rest = if is_key { &keyframe } else { &picture }.clone();
                sender.rest.reverse();
            }
            sender.send(at)?;
        }
        if !has_told && senders.iter().all(|sender| sender.is_connected) {
            has_told = true;
            tell.send(())?;
        }
    }
    Ok(())
}

impl Sender {
    fn send(&mut self, ms: u64) -> Result<()> {
        let streams = match &mut self.streams {
            Some(streams) => streams,
            None => {
                let rtc = &mut self.rtc;
                let mut streams = Vec::new();
                for mid in self.sections {
                    let pts = rtc.media(mid).ok_or("no section")?.remote_pts().to_vec();
                    let mut api = rtc.direct_api();
                    let ssrc = api.stream_tx_by_mid(mid, None).ok_or("no stream")?.ssrc();
                    streams.push(Stream {
                        ssrc,
                        pt: *pts.first().ok_or("no codec")?,
                        sequence: 1,
                    });
                }
                self.streams.insert([streams[0], streams[1]])
            }
        };
        let now = Instant::now();
        let mut api = self.rtc.direct_api();
        let burst = if ms.is_multiple_of(5) { 6 } else { 0 };
        for _ in 0..burst {
            let Some(payload) = self.rest.pop() else {
                break;
            };
            let stream = &mut streams[0];
            let time = (ms / 33 * 33 * 90) as u32;
            let packet = RtpWrite::new(stream.pt, stream.sequence.into(), time, now, payload);
            let packet = packet.marker(self.rest.is_empty()).nackable(true);
            api.stream_tx(&stream.ssrc)
                .ok_or("no stream")?
                .write_rtp(packet);
            stream.sequence += 1;
        }
        if ms.is_multiple_of(20) {
            let stream = &mut streams[1];
            let (sequence, time) = (stream.sequence.into(), (ms * 48) as u32);
            let packet = RtpWrite::new(stream.pt, sequence, time, now, vec![7; 160]);
            api.stream_tx(&stream.ssrc)
                .ok_or("no stream")?
                .write_rtp(packet);
            stream.sequence += 1;
        }
        self.rtc.handle_input(Input::Timeout(now))?;
        self.drain()
    }

    fn poll(&mut self) -> Result<()> {
        let mut buffer = [0; 2048];
        let now = Instant::now();
        while let Ok((length, source)) = self.socket.recv_from(&mut buffer) {
            let receive = Receive::new(Protocol::Udp, source, self.address, &buffer[..length])?;
            self.rtc.handle_input(Input::Receive(now, receive))?;
            self.drain()?;
        }
        self.rtc.handle_input(Input::Timeout(now))?;
        self.drain()
    }

    fn drain(&mut self) -> Result<()> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(_) => return Ok(()),
                Output::Transmit(t) => drop(self.socket.send_to(&t.contents, t.destination)),
                Output::Event(Event::Connected) => self.is_connected = true,
                Output::Event(_) => {}
            }
        }
    }
}

/// CPU time of the engine's thread so far (proc(5), schedstat).
fn engine_cpu() -> Result<Duration> {
    for task in std::fs::read_dir("/proc/self/task")? {
        let path = task?.path();
        if std::fs::read_to_string(path.join("comm"))?.trim() == "icey-engine" {
            let stat = std::fs::read_to_string(path.join("schedstat"))?;
            let ns = stat
                .split(' ')
                .next()
                .ok_or("no time in schedstat")?
                .parse()?;
            return Ok(Duration::from_nanos(ns));
        }
    }
    Err("no engine thread".into())
}

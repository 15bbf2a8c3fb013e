//! What a sent packet costs: CPU time of the engine's thread, beside the least that it could be.
//!
//! `cargo run --release -p icey-engine --example fanout -- [viewers] [seconds] [remb|twcc]`
//!
//! Viewers are str0m instances on loopback, in this process. One H.264 track of about 2 Mb/s at
//! 30 frames a second and one Opus track go to all of them. The floor is AES-256-GCM of as many
//! payloads, and sendmmsg of as many datagrams, with and without segmentation.

mod floor;

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use icey_engine::{Engine, EngineConfig, Estimation, Event, MediaKind, PeerOptions};
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind as RtcKind};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Input, Output, Rtc};

use floor::{Result, engine_cpu};

struct Client {
    rtc: Rtc,
    socket: UdpSocket,
    address: SocketAddr,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let viewers: usize = arguments.next().map_or(Ok(50), |text| text.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(10), |text| text.parse())?;
    let estimation = match arguments.next().as_deref() {
        Some("twcc") => Estimation::Twcc,
        _ => Estimation::Remb,
    };
    let config = EngineConfig {
        host: "127.0.0.1".into(),
        port: 0,
        additional_hosts: Vec::new(),
    };
    let engine = Engine::new(&config)?;
    let (video, audio) = (
        engine.create_track(MediaKind::Video)?,
        engine.create_track(MediaKind::Audio)?,
    );
    let mut peers = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..viewers {
        let peer = engine.create_peer(PeerOptions {
            estimation,
            max_bitrate: 5_000_000,
            start_bitrate: 5_000_000,
        })?;
        engine.attach(&peer, &video)?;
        engine.attach(&peer, &audio)?;
        let (mut client, offer, pending) = client()?;
        let answer = SdpAnswer::from_sdp_string(&peer.accept_offer(&offer)?)?;
        client.rtc.sdp_api().accept_answer(pending, answer)?;
        clients.push(client);
        peers.push(peer);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let receiving = std::thread::spawn(move || run(clients, &stopped));
    let mut connected = 0;
    let deadline = Instant::now() + Duration::from_secs(20);
    while connected < viewers && Instant::now() < deadline {
        let events = engine.poll_events();
        connected += events
            .iter()
            .filter(|e| matches!(e, Event::PeerConnected { .. }))
            .count();
        std::thread::sleep(Duration::from_millis(5));
    }
    println!("{connected} of {viewers} viewers connected");

    let mut random = fastrand::Rng::with_seed(1);
    let mut unit = |size: usize, keyframe: bool| {
        let mut data = Vec::new();
        if keyframe {
            data.extend_from_slice(b"\0\0\0\x01\x67\x42\xc0\x1f\xda\0\0\0\x01\x68\xce\x3c\x80");
        }
        data.extend_from_slice(if keyframe {
            b"\0\0\0\x01\x65"
        } else {
            b"\0\0\0\x01\x41"
        });
        data.extend((0..size).map(|_| random.u8(1..)));
        data
    };
    let frames: Vec<Vec<u8>> = (0..30)
        .map(|n| unit(if n == 0 { 24_000 } else { 8_000 }, n == 0))
        .collect();
    let opus = [7_u8; 160];
    let (before, cpu_before, start) = (engine.stats(), engine_cpu()?, Instant::now());
    for n in 0..seconds * 30 {
        let due = start + Duration::from_nanos(n * 33_333_333);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let i = (n % 30) as usize;
        video.push(&frames[i], n as i64 * 3000, u64::MAX, i == 0)?;
        audio.push(&opus, n as i64 * 1600, u64::MAX, true)?;
        engine.poll_events();
    }
    std::thread::sleep(Duration::from_millis(200));
    let (after, cpu) = (engine.stats(), engine_cpu()? - cpu_before);
    let packets = after.packets_sent - before.packets_sent;
    let bytes = after.bytes_sent - before.bytes_sent;
    let mean = (bytes / packets) as usize;
    let each = |time: Duration, n: u64| time.as_secs_f64() * 1e6 / n as f64;
    println!(
        "{packets} packets of {mean} bytes in the mean, {} dropped",
        after.packets_dropped
    );
    println!(
        "engine thread: {:.2} µs a packet, {:.1} % of a core",
        each(cpu, packets),
        cpu.as_secs_f64() / start.elapsed().as_secs_f64() * 100.0
    );
    stop.store(true, Ordering::Relaxed);
    receiving
        .join()
        .map_err(|_| "the receiving thread panicked")??;
    engine.close();
    let count = 200_000;
    println!(
        "floor, AES-256-GCM: {:.2} µs",
        each(floor::encrypt(count, mean)?, count)
    );
    println!(
        "floor, sendmmsg: {:.2} µs, with segmentation {:.2} µs",
        each(floor::send(count, mean, viewers, 1)?, count),
        each(floor::send(count, mean, viewers, 8)?, count)
    );
    Ok(())
}

fn client() -> Result<(Client, String, SdpPendingOffer)> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_nonblocking(true)?;
    let address = socket.local_addr()?;
    let mut rtc = Rtc::builder().set_rtp_mode(true).build(Instant::now());
    rtc.add_local_candidate(Candidate::host(address, "udp")?);
    let mut api = rtc.sdp_api();
    api.add_media(RtcKind::Video, Direction::RecvOnly, None, None, None);
    api.add_media(RtcKind::Audio, Direction::RecvOnly, None, None, None);
    let (offer, pending) = api.apply().ok_or("nothing to offer")?;
    Ok((
        Client {
            rtc,
            socket,
            address,
        },
        offer.to_sdp_string(),
        pending,
    ))
}

/// Plays all clients until it is told to stop.
fn run(mut clients: Vec<Client>, stop: &AtomicBool) -> Result<()> {
    let mut buffer = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        for client in &mut clients {
            let now = Instant::now();
            while let Ok((length, source)) = client.socket.recv_from(&mut buffer) {
                let receive =
                    Receive::new(Protocol::Udp, source, client.address, &buffer[..length])?;
                client.rtc.handle_input(Input::Receive(now, receive))?;
                drain(client)?;
            }
            client.rtc.handle_input(Input::Timeout(now))?;
            drain(client)?;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn drain(client: &mut Client) -> Result<()> {
    loop {
        match client.rtc.poll_output()? {
            Output::Timeout(_) => return Ok(()),
            Output::Transmit(t) => drop(client.socket.send_to(&t.contents, t.destination)),
            Output::Event(_) => {}
        }
    }
}

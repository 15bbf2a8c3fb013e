//! The least that relaying a clip could cost: encrypt and send, and nothing else.
//!
//! The clip is played on its clock. What belongs to one moment is sent when it is due, as a relay
//! would get it: for each viewer its packets are encrypted with the viewer's own key (AES-256-GCM),
//! behind a header as long as the engine's, and given to sendmmsg(2), 64 in a call. `segmented`
//! hands over what goes to one viewer as one message, where the sizes allow it (UDP_SEGMENT). A
//! thread reads the sockets. It prints one line of JSON: how many packets, and the CPU seconds
//! of the sending thread.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde_json::json;
use socket2::SockRef;
use str0m::media::MediaKind;

use crate::client::BUFFER;
use crate::clip::Clip;
use crate::line::{Result, print_line};
use crate::socket;

/// An RTP header with the time of sending.
const HEADER: usize = 20;

/// The most bytes of a payload: what the light publishers send.
const PAYLOAD: usize = 1150;

/// Bytes that AES-GCM adds.
const TAG: usize = 16;

/// Datagrams of one call.
const BATCH: usize = 64;

struct Viewer {
    key: LessSafeKey,
    address: SocketAddrV4,
}

/// Plays the clip to so many viewers for a while.
pub fn run(clip: &Clip, viewers: usize, seconds: u64, is_segmented: bool) -> Result<()> {
    let payloads: Vec<(Duration, Vec<Vec<u8>>)> = clip
        .units
        .iter()
        .map(|unit| match unit.kind {
            MediaKind::Video => (unit.at, packetize(&unit.data)),
            MediaKind::Audio => (unit.at, vec![unit.data.to_vec()]),
        })
        .collect();
    let mut readers = Vec::new();
    let mut receivers = Vec::new();
    for index in 0..viewers {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        SockRef::from(&socket).set_recv_buffer_size(BUFFER)?;
        let SocketAddr::V4(address) = socket.local_addr()? else {
            return Err("an IPv4 address was asked for".into());
        };
        receivers.push(Viewer {
            key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[index as u8; 32])?),
            address,
        });
        readers.push(socket);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let reading = thread::spawn(move || {
        let mut buffer = [0; 2048];
        while !stopped.load(Ordering::Relaxed) {
            for socket in &readers {
                while socket.recv_from(&mut buffer).is_ok() {}
            }
            thread::sleep(Duration::from_millis(5));
        }
    });
    let mut sender = Sender::new(is_segmented)?;
    let (start, before) = (Instant::now(), thread_cpu()?);
    'playing: for round in 0.. {
        for (at, payloads) in &payloads {
            let due = clip.length * round + *at;
            if due >= Duration::from_secs(seconds) {
                break 'playing;
            }
            thread::sleep((start + due).saturating_duration_since(Instant::now()));
            for viewer in &receivers {
                sender.play(viewer, payloads)?;
            }
            sender.flush()?;
        }
    }
    let cpu = thread_cpu()? - before;
    stop.store(true, Ordering::Relaxed);
    reading.join().map_err(|_| "the reader panicked")?;
    print_line(&json!({ "packets": sender.packets, "cpu_s": cpu.as_secs_f64() }))
}

/// Cuts an Annex B access unit as a publisher does: a NAL unit that is too large as FU-A (RFC 6184 §5.8).
fn packetize(unit: &[u8]) -> Vec<Vec<u8>> {
    let mut starts: Vec<usize> = unit
        .windows(3)
        .enumerate()
        .filter(|(_, window)| *window == [0, 0, 1])
        .map(|(at, _)| at + 3)
        .collect();
    starts.push(unit.len() + 3);
    let nals = starts
        .windows(2)
        .map(|pair| &unit[pair[0]..pair[1] - 3])
        .map(|nal| nal.strip_suffix(&[0]).unwrap_or(nal)); // the first byte of a long start code
    nals.filter(|nal| !nal.is_empty())
        .flat_map(|nal| {
            if nal.len() <= PAYLOAD {
                return vec![nal.to_vec()];
            }
            let fragments = nal[1..].chunks(PAYLOAD - 2);
            fragments
                .map(|part| [&[nal[0] & 0x60 | 28, nal[0] & 0x1f], part].concat())
                .collect()
        })
        .collect()
}

/// CPU time of this thread so far (proc(5), schedstat).
fn thread_cpu() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let ns = stat.split(' ').next().ok_or("no time in schedstat")?;
    Ok(Duration::from_nanos(ns.parse()?))
}

/// Datagrams on their way to the kernel.
struct Sender {
    socket: UdpSocket,
    segment: Option<usize>,
    waiting: Vec<(SocketAddrV4, Vec<u8>)>,
    spare: Vec<Vec<u8>>,
    sequence: u64,
    packets: u64,
}

impl Sender {
    fn new(is_segmented: bool) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        SockRef::from(&socket).set_send_buffer_size(BUFFER)?;
        let segment = is_segmented.then_some(HEADER + PAYLOAD + TAG);
        if let Some(size) = segment {
            socket::enable_segmentation(&socket, size)?;
        }
        Ok(Self {
            socket,
            segment,
            waiting: Vec::new(),
            spare: Vec::new(),
            sequence: 0,
            packets: 0,
        })
    }

    fn play(&mut self, viewer: &Viewer, payloads: &[Vec<u8>]) -> Result<()> {
        for payload in payloads {
            let mut data = self.spare.pop().unwrap_or_default();
            data.clear();
            data.extend_from_slice(&[0x90; HEADER]);
            data.extend_from_slice(payload);
            self.sequence += 1;
            let mut nonce = [0; 12];
            nonce[..8].copy_from_slice(&self.sequence.to_ne_bytes());
            let (header, body) = data.split_at_mut(HEADER);
            let tag = viewer.key.seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(header),
                body,
            )?;
            data.extend_from_slice(tag.as_ref());
            self.packets += 1;
            self.waiting.push((viewer.address, data));
            if self.waiting.len() == BATCH {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        socket::send_batch(&self.socket, &self.waiting, self.segment)?;
        let done = self.waiting.drain(..);
        self.spare.extend(done.map(|(_, data)| data));
        Ok(())
    }
}

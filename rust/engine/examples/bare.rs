//! The least that relaying a clip could cost: encrypt and send, and nothing else.
//!
//! `cargo run --release -p icey-engine --example bare -- CLIP VIEWERS SECONDS [segmented]`
//!
//! Plays the clip (the format of `rust/clients`) on its clock. What belongs to one moment is sent
//! when it is due, as a relay would get it: for each viewer its packets are encrypted with the
//! viewer's own key (AES-256-GCM), behind a header as long as the engine's, and given to sendmmsg(2),
//! 64 in a call. `segmented` hands over what goes to one viewer as one message, where the sizes
//! allow it (UDP_SEGMENT). The sockets are read by another thread. Prints one line of JSON: how many
//! packets and bytes, and the CPU seconds of the sending thread.

mod floor;

use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use icey_engine::core::h264;

use floor::{Readers, Result, thread_cpu};

/// An RTP header with the time of sending.
const HEADER: usize = 20;

/// Datagrams of one call.
const BATCH: usize = 64;

/// What is sent at one moment.
struct Moment {
    at: Duration,
    payloads: Vec<Vec<u8>>,
}

struct Viewer {
    key: LessSafeKey,
    name: libc::sockaddr_in,
}

fn main() -> Result<()> {
    const USAGE: &str = "usage: bare CLIP VIEWERS SECONDS [segmented]";
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (clip, count, seconds, is_segmented) = match words[..] {
        [clip, count, seconds] => (clip, count, seconds, false),
        [clip, count, seconds, "segmented"] => (clip, count, seconds, true),
        _ => return Err(USAGE.into()),
    };
    let (moments, length) = read_clip(&std::fs::read(clip)?)?;
    let readers = Readers::start(count.parse()?)?;
    let mut viewers = Vec::new();
    for (i, name) in readers.names().iter().enumerate() {
        let key = UnboundKey::new(&AES_256_GCM, &[i as u8; 32])?;
        viewers.push(Viewer {
            key: LessSafeKey::new(key),
            name: *name,
        });
    }
    let duration = Duration::from_secs(seconds.parse()?);
    let mut sender = Sender::new(is_segmented)?;
    let (start, before) = (Instant::now(), thread_cpu());
    'playing: for round in 0.. {
        for moment in &moments {
            let due = length * round + moment.at;
            if due >= duration {
                break 'playing;
            }
            std::thread::sleep((start + due).saturating_duration_since(Instant::now()));
            for viewer in &mut viewers {
                sender.play(viewer, &moment.payloads)?;
            }
            sender.flush()?;
        }
    }
    let cpu = thread_cpu() - before;
    println!(
        "{{\"packets\": {}, \"bytes\": {}, \"cpu_s\": {}}}",
        sender.packets,
        sender.bytes,
        cpu.as_secs_f64()
    );
    readers.stop()
}

/// The clip's moments, and how long it is: see `rust/clients/src/clip.rs`.
fn read_clip(bytes: &[u8]) -> Result<(Vec<Moment>, Duration)> {
    let (mut rest, mut moments) = (bytes, Vec::<Moment>::new());
    loop {
        let (head, body) = rest.split_at_checked(9).ok_or("the clip has no end")?;
        let at = Duration::from_micros(u32::from_be_bytes(head[1..5].try_into()?).into());
        let length = u32::from_be_bytes(head[5..9].try_into()?) as usize;
        let (data, after) = body.split_at_checked(length).ok_or("the clip is cut off")?;
        rest = after;
        let payloads = match head[0] {
            0 => {
                let payloads = h264::packetize(data, h264::MAX_PAYLOAD);
                payloads.iter().map(|payload| payload.to_vec()).collect()
            }
            1 => vec![data.to_vec()],
            _ => return Ok((moments, at)),
        };
        moments.push(Moment { at, payloads });
    }
}

/// Datagrams on their way to the kernel.
struct Sender {
    socket: std::net::UdpSocket,
    is_segmented: bool,
    waiting: Vec<(libc::sockaddr_in, Vec<u8>)>,
    spare: Vec<Vec<u8>>,
    sequence: u64,
    packets: u64,
    bytes: u64,
}

impl Sender {
    fn new(is_segmented: bool) -> Result<Self> {
        let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
        floor::widen_sending(&socket)?;
        Ok(Self {
            socket,
            is_segmented,
            waiting: Vec::new(),
            spare: Vec::new(),
            sequence: 0,
            packets: 0,
            bytes: 0,
        })
    }

    fn play(&mut self, viewer: &mut Viewer, payloads: &[Vec<u8>]) -> Result<()> {
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
            self.bytes += payload.len() as u64;
            self.waiting.push((viewer.name, data));
            if self.waiting.len() == BATCH {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        floor::send_batch(&self.socket, &mut self.waiting, self.is_segmented)?;
        self.spare
            .extend(self.waiting.drain(..).map(|entry| entry.1));
        Ok(())
    }
}

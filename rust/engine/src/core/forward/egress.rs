//! The way of packets to a viewer that its browser estimates the path of (REMB): header, SRTP, socket.
//!
//! ```text
//! RtpRewriter ─▶ Egress::packet: header, SRTP ─▶ Link::send
//!                     │ kept                         ▲
//!                     ▼                              │ resends (RTX), probes, reports, goodbye
//!                  RtxCache ◀── NACK ── Egress::read ◀── SRTCP of the viewer
//! ```
//!
//! str0m does ICE, DTLS and SDP of a viewer, as of every peer. Its way for a packet has a queue, a
//! pacer, timers and a poll of everything, which costs several times what encrypting and sending
//! costs; here are only these two. In return all that belongs to sending is here: the keys (`keys`),
//! SRTP (`srtp`), reports and feedback (`rtcp`), resends (`rtx_cache`), and `probe`. All streams of a
//! viewer go this way or all go through str0m: a number must not be used twice with one key.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::keys::KeySlot;
use super::rtcp::{self, Feedback, ReferenceTime, SenderInfo};
use super::rtx_cache::{RtxCache, SentPacket};
use super::srtp::Srtp;
use crate::core::send::parameters::StreamParameters;
use crate::core::send::rewriter::RtpPosition;
use crate::core::wallclock::Wallclock;

/// How often a viewer is told how media time and wallclock belong together.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// From the first packet of a stream to a report: those of sound and picture mostly follow each other
/// at once, and are reported on together.
const FIRST_REPORT: Duration = Duration::from_millis(5);

/// After so long the 24 bits of a time of sending begin anew, in ns.
const SEND_TIME_WRAP: u128 = 64_000_000_000;

/// The largest number of an extension in a one-byte header (RFC 8285 §4.2).
const MAX_EXTENSION: u8 = 14;

/// One stream.
#[derive(Debug)]
struct Stream {
    parameters: StreamParameters,
    /// What may be resent; nothing of a stream without RTX.
    cache: Option<RtxCache>,
    /// The next number of a resend, past 16 bits.
    rtx_sequence: u64,
    packets: u32,
    bytes: u32,
    /// The viewer has reported on it, so it knows what section it belongs to.
    is_known: bool,
}

/// All streams to one viewer.
#[derive(Debug)]
pub struct Egress {
    keys: KeySlot,
    /// Once the keys are known, and if they are of a known kind.
    srtp: Option<Srtp>,
    wallclock: Wallclock,
    start: Instant,
    /// The CNAME that ties the streams together.
    name: String,
    streams: Vec<Stream>,
    /// The viewer's clock as it was told last: SSRC, time, and when that was.
    reference_time: Option<(u32, u32, Instant)>,
    /// When the next sender report is due; `None` before anything is sent.
    report_at: Option<Instant>,
}

impl Egress {
    /// `keys` is where the keys are found once the viewer is connected.
    pub fn new(keys: KeySlot, wallclock: Wallclock, now: Instant) -> Self {
        Self {
            keys,
            srtp: None,
            wallclock,
            start: now,
            name: String::new(),
            streams: Vec::new(),
            reference_time: None,
            report_at: None,
        }
    }

    /// Begins anew, with keys that will be found elsewhere.
    pub fn reset(&mut self, keys: KeySlot, now: Instant) {
        *self = Self::new(keys, self.wallclock, now);
    }

    /// Takes the keys, which DTLS has agreed on just now.
    pub fn handle_connected(&mut self) {
        let keys = self.keys.take();
        self.srtp = keys.and_then(|keys| Srtp::new(&keys));
    }

    /// Whether packets can go out.
    pub fn is_open(&self) -> bool {
        self.srtp.is_some()
    }

    /// Takes the streams that are negotiated now: those that it has go on.
    pub fn set_streams(&mut self, name: &str, negotiated: &[StreamParameters]) {
        name.clone_into(&mut self.name);
        let is_same = |a: &StreamParameters, b: &StreamParameters| a.ssrc == b.ssrc;
        self.streams.retain(|stream| {
            let mut all = negotiated.iter();
            all.any(|parameters| is_same(parameters, &stream.parameters))
        });
        for parameters in negotiated {
            let mut known = self.streams.iter();
            if known.any(|stream| is_same(&stream.parameters, parameters)) {
                continue;
            }
            self.streams.push(Stream {
                parameters: *parameters,
                cache: parameters.rtx().map(|_| RtxCache::default()),
                // In the lower half, as for the first packets of a stream.
                rtx_sequence: u64::from(fastrand::u16(..0x8000)),
                packets: 0,
                bytes: 0,
                is_known: false,
            });
        }
    }

    /// The datagram of a packet.
    pub fn packet(
        &mut self,
        now: Instant,
        ssrc: u32,
        position: RtpPosition,
        marker: bool,
        payload: &Arc<[u8]>,
    ) -> Option<Vec<u8>> {
        let srtp = self.srtp.as_mut()?;
        let stream = find(&mut self.streams, ssrc)?;
        let header = Header {
            payload_type: *stream.parameters.payload_type,
            marker,
            number: position.sequence as u16,
            timestamp: position.timestamp,
            ssrc,
        };
        let time = send_time(now.saturating_duration_since(self.start));
        let mut packet = header.write(stream, time, payload.len());
        if !srtp.protect(&mut packet, ssrc, position.sequence, payload) {
            return None;
        }
        if stream.packets == 0 {
            // A browser is told soon how the times of its streams belong together.
            let soon = now + FIRST_REPORT;
            self.report_at = Some(self.report_at.map_or(soon, |at| at.min(soon)));
        }
        stream.packets = stream.packets.wrapping_add(1);
        stream.bytes = stream.bytes.wrapping_add(payload.len() as u32);
        if let Some(cache) = &mut stream.cache {
            cache.add(SentPacket {
                sequence: position.sequence as u32,
                timestamp: position.timestamp,
                marker,
                payload: payload.clone(),
            });
        }
        Some(packet)
    }

    /// The datagram with a packet that is missing (RFC 4588 §4), if it is there and may be resent.
    pub fn resend(&mut self, now: Instant, ssrc: u32, number: u16) -> Option<Vec<u8>> {
        let stream = find(&mut self.streams, ssrc)?;
        let sent = stream.cache.as_mut()?.resend(number)?;
        self.rtx_packet(now, ssrc, &sent)
    }

    /// A datagram to probe with: the largest of the last packets once more.
    pub fn probe(&mut self, now: Instant) -> Option<Vec<u8>> {
        let mut streams = self.streams.iter();
        let (ssrc, sent) = streams.find_map(|stream| {
            let largest = stream.cache.as_ref()?.largest()?;
            Some((*stream.parameters.ssrc, largest))
        })?;
        self.rtx_packet(now, ssrc, &sent)
    }

    fn rtx_packet(&mut self, now: Instant, ssrc: u32, sent: &SentPacket) -> Option<Vec<u8>> {
        let time = send_time(now.saturating_duration_since(self.start));
        let srtp = self.srtp.as_mut()?;
        let stream = find(&mut self.streams, ssrc)?;
        let (rtx_ssrc, payload_type) = stream.parameters.rtx()?;
        let sequence = stream.rtx_sequence;
        stream.rtx_sequence += 1;
        let header = Header {
            payload_type: *payload_type,
            marker: sent.marker,
            number: sequence as u16,
            timestamp: sent.timestamp,
            ssrc: *rtx_ssrc,
        };
        let number = (sent.sequence as u16).to_be_bytes();
        let body = [&number[..], &sent.payload].concat();
        let mut packet = header.write(stream, time, body.len());
        let is_done = srtp.protect(&mut packet, *rtx_ssrc, sequence, &body);
        is_done.then_some(packet)
    }

    /// The viewer's RTCP; `None` if it is not its own.
    pub fn read(&mut self, now: Instant, datagram: &[u8]) -> Option<Vec<Feedback>> {
        let plain = self.srtp.as_mut()?.unprotect_rtcp(datagram)?;
        let found = rtcp::read(&plain);
        for feedback in &found {
            match feedback {
                Feedback::Received { ssrc, .. } => {
                    if let Some(stream) = find(&mut self.streams, *ssrc) {
                        stream.is_known = true;
                    }
                }
                Feedback::ReferenceTime { ssrc, ntp } => {
                    self.reference_time = Some((*ssrc, *ntp, now));
                }
                _ => {}
            }
        }
        Some(found)
    }

    /// The datagram with the sender reports of all streams, if they are due. `time_of` tells the
    /// RTP timestamp of now, of a stream that has sent.
    pub fn poll_report(
        &mut self,
        now: Instant,
        time_of: impl Fn(u32) -> Option<u32>,
    ) -> Option<Vec<u8>> {
        if self.report_at.is_none_or(|at| now < at) {
            return None;
        }
        self.report_at = Some(now + REPORT_INTERVAL);
        let reports = self.sender_infos(now, time_of);
        let first = reports.first()?;
        let mut packet = rtcp::write_reports(&reports, &self.name);
        if let Some((ssrc, ntp, told)) = self.reference_time.take() {
            let age = now.saturating_duration_since(told);
            let time = ReferenceTime { ssrc, ntp, age };
            rtcp::write_reference_time(&mut packet, first.ssrc, time);
        }
        self.srtp.as_mut()?.protect_rtcp(&packet)
    }

    /// The datagram that ends all streams (BYE).
    pub fn goodbye(
        &mut self,
        now: Instant,
        time_of: impl Fn(u32) -> Option<u32>,
    ) -> Option<Vec<u8>> {
        let reports = self.sender_infos(now, time_of);
        if reports.is_empty() {
            return None;
        }
        let srtp = self.srtp.as_mut()?;
        srtp.protect_rtcp(&rtcp::write_goodbye(&reports, &self.name))
    }

    fn sender_infos(&self, now: Instant, time_of: impl Fn(u32) -> Option<u32>) -> Vec<SenderInfo> {
        let wallclock = self.wallclock.ntp(now);
        let sending = self.streams.iter().filter(|stream| stream.packets > 0);
        sending
            .filter_map(|stream| {
                let ssrc = *stream.parameters.ssrc;
                Some(SenderInfo {
                    ssrc,
                    wallclock,
                    timestamp: time_of(ssrc)?,
                    packets: stream.packets,
                    bytes: stream.bytes,
                })
            })
            .collect()
    }

    /// When [`Egress::poll_report`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.report_at
    }
}

fn find(streams: &mut [Stream], ssrc: u32) -> Option<&mut Stream> {
    streams
        .iter_mut()
        .find(|stream| *stream.parameters.ssrc == ssrc)
}

/// 6 bits of seconds and 18 of their fraction (abs-send-time).
fn send_time(since: Duration) -> [u8; 3] {
    let ns = (since.as_nanos() % SEND_TIME_WRAP) as u64;
    let value = (ns << 18) / 1_000_000_000;
    [(value >> 16) as u8, (value >> 8) as u8, value as u8]
}

/// An RTP header (RFC 3550 §5.1).
struct Header {
    payload_type: u8,
    marker: bool,
    number: u16,
    timestamp: u32,
    ssrc: u32,
}

impl Header {
    /// The header with its extensions (RFC 8285), in a buffer that has room for so much of a body.
    fn write(&self, stream: &Stream, time: [u8; 3], body: usize) -> Vec<u8> {
        let parameters = &stream.parameters;
        let mid = &*parameters.mid;
        let mut packet = Vec::with_capacity(48 + mid.len() + body + 16);
        let kind = self.payload_type | u8::from(self.marker) << 7;
        packet.extend_from_slice(&[0x80, kind]);
        packet.extend_from_slice(&self.number.to_be_bytes());
        packet.extend_from_slice(&self.timestamp.to_be_bytes());
        packet.extend_from_slice(&self.ssrc.to_be_bytes());
        let fits = |id: &u8| (1..=MAX_EXTENSION).contains(id);
        let time_extension = parameters.time_extension.filter(fits);
        // The section is told until the viewer knows it (RFC 9143 §14).
        let is_told = !stream.is_known && (1..=16).contains(&mid.len());
        let mid_extension = parameters.mid_extension.filter(|id| is_told && fits(id));
        if time_extension.is_none() && mid_extension.is_none() {
            return packet;
        }
        packet[0] |= 0x10;
        packet.extend_from_slice(&[0xbe, 0xde, 0, 0]);
        let start = packet.len();
        if let Some(id) = time_extension {
            packet.push(id << 4 | 2);
            packet.extend_from_slice(&time);
        }
        if let Some(id) = mid_extension {
            packet.push(id << 4 | (mid.len() - 1) as u8);
            packet.extend_from_slice(mid.as_bytes());
        }
        packet.resize(packet.len().next_multiple_of(4), 0);
        let words = (packet.len() - start) / 4;
        packet[start - 1] = words as u8;
        packet
    }
}

#[cfg(test)]
mod tests {
    use str0m::media::Mid;

    use super::*;
    use crate::core::media::MediaKind;

    #[test]
    fn a_header_carries_the_time_and_the_section_until_that_is_known() {
        let parameters = StreamParameters {
            kind: MediaKind::Audio,
            mid: Mid::from("ab"),
            ssrc: 1.into(),
            payload_type: 96.into(),
            rtx_ssrc: None,
            rtx_payload_type: None,
            mid_extension: Some(4),
            time_extension: Some(2),
        };
        let mut stream = Stream {
            parameters,
            cache: None,
            rtx_sequence: 0,
            packets: 0,
            bytes: 0,
            is_known: false,
        };
        let header = Header {
            payload_type: 96,
            marker: true,
            number: 258,
            timestamp: 3,
            ssrc: 1,
        };
        let fixed = [96 | 0x80, 1, 2, 0, 0, 0, 3, 0, 0, 0, 1];
        let time = [7, 8, 9];
        let told = [0xbe, 0xde, 0, 2, 0x22, 7, 8, 9, 0x41, b'a', b'b', 0];
        let written = header.write(&stream, time, 10);
        assert_eq!(written, [&[0x90][..], &fixed, &told].concat());
        stream.is_known = true;
        let written = header.write(&stream, time, 10);
        let short = [0xbe, 0xde, 0, 1, 0x22, 7, 8, 9];
        assert_eq!(written, [&[0x90][..], &fixed, &short].concat());
        stream.parameters.time_extension = Some(15);
        let written = header.write(&stream, time, 10);
        assert_eq!(written, [&[0x80][..], &fixed].concat());
    }

    #[test]
    fn the_time_of_sending_wraps_after_64_s() {
        assert_eq!(send_time(Duration::from_millis(500)), [2, 0, 0]);
        assert_eq!(send_time(Duration::from_secs(63)), [0xfc, 0, 0]);
        assert_eq!(send_time(Duration::from_millis(64_500)), [2, 0, 0]);
        assert_eq!(send_time(Duration::from_secs(64 << 40)), [0, 0, 0]);
    }
}

//! The way of forwarded packets to a viewer, past str0m.
//!
//! ```text
//! Sender::place ─▶ Egress::packet: header, SRTP ─▶ Outbound
//!                      │ remembered                    ▲
//!                      ▼                               │ resends (RTX), probes, sender reports
//!                  History ◀── NACK ── Egress::read ◀── SRTCP of the viewer
//! ```
//!
//! str0m does ICE, DTLS and SDP of a viewer, as of every peer. Its way for a packet has a queue, a
//! pacer, timers and a poll of everything, which costs several times what encrypting and sending
//! costs; here are only these two. In return all that belongs to sending is here: the keys (`keys`),
//! SRTP (`srtp`), reports and feedback (`rtcp`), resends (`history`), and `probe`. A stream is in
//! str0m or here, never in both: a number must not be used twice with one key.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::core::forward::keys::Agreed;
use crate::core::forward::rtcp::{self, Feedback, Report};
use crate::core::forward::rtx_cache::{History, Sent};
use crate::core::forward::srtp::Srtp;
use crate::core::send::stream::Place;

/// How often a viewer is told how media time and wallclock belong together.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Where our wallclock begins. Only that a viewer's streams share it matters (RFC 3550 §4).
const ORIGIN: Duration = Duration::from_secs(3_900_000_000);

/// After so long the 24 bits of a time of sending begin anew, in ns.
const SEND_TIME_WRAP: u128 = 64_000_000_000;

/// The largest number of an extension in a one-byte header (RFC 8285 §4.2).
const MAX_EXTENSION: u8 = 14;

/// What was negotiated for a stream.
#[derive(Debug, Clone)]
pub struct Terms {
    pub ssrc: u32,
    pub payload_type: u8,
    /// SSRC and payload type of resends.
    pub resend: Option<(u32, u8)>,
    pub mid: String,
    /// The numbers of the extensions for the section's name, and for the time of sending.
    pub mid_extension: Option<u8>,
    pub time_extension: Option<u8>,
}

/// One stream.
#[derive(Debug)]
struct Stream {
    terms: Terms,
    /// The next number of a resend, past 16 bits.
    resend_sequence: u64,
    packets: u32,
    bytes: u32,
    /// The viewer has reported on it, so it knows what section it belongs to.
    is_known: bool,
}

/// All streams to one viewer.
#[derive(Debug)]
pub struct Egress {
    srtp: Srtp,
    start: Instant,
    name: String,
    streams: Vec<Stream>,
    history: History,
    report_at: Instant,
}

impl Egress {
    /// `name` is the CNAME of the streams. `None` if the keys are of an unknown kind.
    pub fn new(agreed: &Agreed, name: &str, now: Instant) -> Option<Self> {
        Some(Self {
            srtp: Srtp::new(agreed)?,
            start: now,
            name: name.to_owned(),
            streams: Vec::new(),
            history: History::default(),
            report_at: now,
        })
    }

    pub fn has(&self, ssrc: u32) -> bool {
        self.streams.iter().any(|s| s.terms.ssrc == ssrc)
    }

    /// Takes a stream; it is reported on as soon as it has sent.
    pub fn add(&mut self, terms: Terms, now: Instant) {
        self.streams.push(Stream {
            terms,
            // In the lower half, as for the first packets of a stream.
            resend_sequence: u64::from(fastrand::u16(..0x8000)),
            packets: 0,
            bytes: 0,
            is_known: false,
        });
        self.report_at = self.report_at.min(now);
    }

    /// Keeps those streams that are still wanted.
    pub fn retain(&mut self, is_wanted: impl Fn(u32) -> bool) {
        self.streams.retain(|stream| is_wanted(stream.terms.ssrc));
    }

    /// The datagram of a packet.
    pub fn packet(
        &mut self,
        now: Instant,
        ssrc: u32,
        place: Place,
        marker: bool,
        payload: &Arc<[u8]>,
    ) -> Option<Vec<u8>> {
        let time = send_time(now.saturating_duration_since(self.start));
        let stream = find(&mut self.streams, ssrc)?;
        let terms = &stream.terms;
        let header = Header {
            payload_type: terms.payload_type,
            marker,
            number: place.sequence as u16,
            timestamp: place.timestamp,
            ssrc,
        };
        let mut packet = header.write(stream, time, payload.len());
        if !self
            .srtp
            .protect(&mut packet, ssrc, place.sequence, payload)
        {
            return None;
        }
        stream.packets = stream.packets.wrapping_add(1);
        stream.bytes = stream.bytes.wrapping_add(payload.len() as u32);
        if stream.terms.resend.is_some() {
            self.history.add(Sent {
                sequence: place.sequence as u32,
                timestamp: place.timestamp,
                marker,
                payload: payload.clone(),
            });
        }
        Some(packet)
    }

    /// The datagram with a packet that is missing (RFC 4588 §4), if it is there and may be resent.
    pub fn again(&mut self, now: Instant, ssrc: u32, number: u16) -> Option<Vec<u8>> {
        find(&mut self.streams, ssrc)?.terms.resend?;
        let sent = self.history.again(number)?;
        self.resend(now, ssrc, &sent)
    }

    /// A datagram to probe with: the largest of the last packets once more.
    pub fn probe(&mut self, now: Instant) -> Option<Vec<u8>> {
        let mut streams = self.streams.iter();
        let stream = streams.find(|stream| stream.terms.resend.is_some())?;
        let ssrc = stream.terms.ssrc;
        let sent = self.history.largest()?;
        self.resend(now, ssrc, &sent)
    }

    fn resend(&mut self, now: Instant, ssrc: u32, sent: &Sent) -> Option<Vec<u8>> {
        let time = send_time(now.saturating_duration_since(self.start));
        let stream = find(&mut self.streams, ssrc)?;
        let (resend_ssrc, payload_type) = stream.terms.resend?;
        let sequence = stream.resend_sequence;
        stream.resend_sequence += 1;
        let header = Header {
            payload_type,
            marker: sent.marker,
            number: sequence as u16,
            timestamp: sent.timestamp,
            ssrc: resend_ssrc,
        };
        let number = (sent.sequence as u16).to_be_bytes();
        let body = [&number[..], &sent.payload].concat();
        let mut packet = header.write(stream, time, body.len());
        let is_done = self.srtp.protect(&mut packet, resend_ssrc, sequence, &body);
        is_done.then_some(packet)
    }

    /// The viewer's RTCP; `None` if it is not its own.
    pub fn read(&mut self, datagram: &[u8]) -> Option<Vec<Feedback>> {
        let plain = self.srtp.unprotect_rtcp(datagram)?;
        let found = rtcp::read(&plain);
        for feedback in &found {
            if let Feedback::Received { ssrc, .. } = feedback
                && let Some(stream) = find(&mut self.streams, *ssrc)
            {
                stream.is_known = true;
            }
        }
        Some(found)
    }

    /// The datagram with the reports of all streams, if they are due. `time_of` tells the RTP
    /// timestamp of now, of a stream that has sent.
    pub fn report(
        &mut self,
        now: Instant,
        time_of: impl Fn(u32) -> Option<u32>,
    ) -> Option<Vec<u8>> {
        if now < self.report_at {
            return None;
        }
        self.report_at = now + REPORT_INTERVAL;
        let wallclock = ORIGIN + now.saturating_duration_since(self.start);
        let sending = self.streams.iter().filter(|stream| stream.packets > 0);
        let reports: Vec<Report> = sending
            .filter_map(|stream| {
                Some(Report {
                    ssrc: stream.terms.ssrc,
                    wallclock,
                    timestamp: time_of(stream.terms.ssrc)?,
                    packets: stream.packets,
                    bytes: stream.bytes,
                })
            })
            .collect();
        if reports.is_empty() {
            return None;
        }
        self.srtp.protect_rtcp(&rtcp::write(&reports, &self.name))
    }

    /// When [`Egress::report`] is due.
    pub fn deadline(&self) -> Instant {
        self.report_at
    }
}

fn find(streams: &mut [Stream], ssrc: u32) -> Option<&mut Stream> {
    streams.iter_mut().find(|stream| stream.terms.ssrc == ssrc)
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
        let terms = &stream.terms;
        let mut packet = Vec::with_capacity(48 + terms.mid.len() + body + 16);
        let kind = self.payload_type | u8::from(self.marker) << 7;
        packet.extend_from_slice(&[0x80, kind]);
        packet.extend_from_slice(&self.number.to_be_bytes());
        packet.extend_from_slice(&self.timestamp.to_be_bytes());
        packet.extend_from_slice(&self.ssrc.to_be_bytes());
        let fits = |id: &u8| (1..=MAX_EXTENSION).contains(id);
        let time_extension = terms.time_extension.filter(fits);
        // The section is told until the viewer knows it (RFC 9143 §14).
        let is_told = !stream.is_known && (1..=16).contains(&terms.mid.len());
        let mid_extension = terms.mid_extension.filter(|id| is_told && fits(id));
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
            packet.push(id << 4 | (terms.mid.len() - 1) as u8);
            packet.extend_from_slice(terms.mid.as_bytes());
        }
        packet.resize(packet.len().next_multiple_of(4), 0);
        let words = (packet.len() - start) / 4;
        packet[start - 1] = words as u8;
        packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_carries_the_time_and_the_section_until_that_is_known() {
        let terms = Terms {
            ssrc: 1,
            payload_type: 96,
            resend: None,
            mid: "ab".into(),
            mid_extension: Some(4),
            time_extension: Some(2),
        };
        let mut stream = Stream {
            terms,
            resend_sequence: 0,
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
        stream.terms.time_extension = Some(15);
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

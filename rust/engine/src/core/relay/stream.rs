//! One stream of a source: numbers, times, and the keyframes it is asked for.

use std::time::{Duration, Instant, SystemTime};

use str0m::rtp::{RtpPacket, Ssrc};

use super::clock::CaptureClock;
use super::{Arrived, Epoch, Origin, Start};
use crate::core::receive::axis::Axis;
use crate::core::receive::frame::{Codec, Report};
use crate::core::receive::keyframes::Keyframes;
use crate::core::track::MediaKind;

/// The least time between two requests for a keyframe, of one layer or another. Each costs all
/// viewers quality.
pub const KEYFRAME_SPACING: Duration = Duration::from_millis(500);

/// A stream that begins again after so long is told anew.
const SILENCE: Duration = Duration::from_secs(2);

/// How long packets of an SSRC that was given up may still come.
const STRAY: Duration = Duration::from_secs(2);

/// Numbers that a sender may skip. More is a stream that begins anew: viewers must not follow, for
/// theirs would roll over unseen (RFC 3711 §3.3.1).
const MAX_JUMP: u64 = 2000;

/// How old a packet may be that is resent: what viewers' browsers wait for at the most.
const MAX_LATE: u64 = 1000;

/// The largest payload that fits a datagram with the viewer's own header, its extensions, the
/// number in front of a resend and the SRTP tag. Browsers stay below 1200.
const MAX_PAYLOAD: usize = 1400;

/// One stream that comes in.
#[derive(Debug)]
pub struct Incoming {
    pub origin: Origin,
    pub keyframes: Keyframes,
    ssrc: Option<Ssrc>,
    retired: Option<Ssrc>,
    heard: Option<Instant>,
    epoch: Epoch,
    first: u64,
    highest: u64,
    received: u64,
    /// Missing in earlier epochs.
    lost: u64,
    axis: Axis,
    report: Option<(SystemTime, Report)>,
}

impl Incoming {
    pub fn new(origin: Origin) -> Self {
        Self {
            origin,
            keyframes: Keyframes::spaced(KEYFRAME_SPACING),
            ssrc: None,
            retired: None,
            heard: None,
            epoch: Epoch {
                source: origin.source,
                number: 0,
            },
            first: 0,
            highest: 0,
            received: 0,
            lost: 0,
            axis: Axis::new(origin.kind.clock_rate()),
            report: None,
        }
    }

    pub fn ssrc(&self) -> Option<Ssrc> {
        self.ssrc
    }

    /// Whether a packet of this SSRC is a stray one, sent before the sender changed it.
    pub fn is_stray(&self, now: Instant, ssrc: Ssrc) -> bool {
        let is_alive = |heard| now.saturating_duration_since(heard) < STRAY;
        self.retired == Some(ssrc) && self.heard.is_some_and(is_alive)
    }

    /// Whether the stream begins, or begins again, with what comes now.
    pub fn begins(&self, now: Instant) -> bool {
        self.heard
            .is_none_or(|heard| now.saturating_duration_since(heard) > SILENCE)
    }

    /// Packets that are missing so far.
    pub fn lost(&self) -> u64 {
        self.lost + self.missing()
    }

    fn missing(&self) -> u64 {
        if self.received == 0 {
            return 0;
        }
        (self.highest - self.first + 1).saturating_sub(self.received)
    }

    /// Takes a packet; what is to be forwarded of it. `numbers` counts the epochs of the source.
    pub fn admit(
        &mut self,
        codec: Codec,
        packet: &RtpPacket,
        clock: &mut CaptureClock,
        numbers: &mut u64,
    ) -> Option<Arrived> {
        let (ssrc, arrived) = (packet.header.ssrc, packet.timestamp);
        let sequence = *packet.seq_no;
        let is_other = self.ssrc.is_some_and(|current| current != ssrc);
        self.heard = Some(arrived);
        if self.ssrc.is_none() || is_other || sequence > self.highest + MAX_JUMP {
            if is_other {
                self.retired = self.ssrc;
                self.report = None;
            }
            self.ssrc = Some(ssrc);
            self.begin(sequence, numbers);
            if self.origin.kind == MediaKind::Video {
                self.keyframes.miss(arrived);
            }
        } else if sequence + MAX_LATE < self.highest || sequence < self.first {
            return None;
        }
        self.received += 1;
        self.highest = self.highest.max(sequence);
        let extended = self.axis.extend(packet.header.timestamp, arrived, is_other);
        if extended.is_joined {
            self.report = None;
        }
        self.note_report(packet);
        if packet.payload.len() > MAX_PAYLOAD {
            return None;
        }
        let start = match codec {
            Codec::H264 => Start::of_h264(&packet.payload),
            Codec::Vp8 | Codec::Opus => Start::None,
        };
        if start == Start::ParameterSets {
            self.keyframes.found();
        }
        let wallclock = self.wallclock(extended.value);
        Some(Arrived {
            origin: self.origin,
            epoch: self.epoch,
            sequence,
            timestamp: i64::try_from(extended.value).unwrap_or(i64::MAX),
            captured: clock.captured(arrived, wallclock),
            marker: packet.header.marker,
            start,
            payload: packet.payload.clone(),
        })
    }

    fn begin(&mut self, sequence: u64, numbers: &mut u64) {
        self.lost += self.missing();
        *numbers += 1;
        self.epoch.number = *numbers;
        self.first = sequence;
        self.highest = sequence;
        self.received = 0;
    }

    /// The browser's wallclock at a moment of the stream, by its newest report.
    fn wallclock(&self, timestamp: u64) -> Option<i128> {
        let (_, report) = self.report?;
        let since = i128::from(timestamp) - i128::from(report.timestamp);
        let rate = i128::from(self.origin.kind.clock_rate());
        Some(i128::from(report.ntp_ns) + since * 1_000_000_000 / rate)
    }

    fn note_report(&mut self, packet: &RtpPacket) {
        let Some(info) = &packet.last_sender_info else {
            return;
        };
        if self.report.is_some_and(|(taken, _)| taken == info.ntp_time) {
            return;
        }
        let since_epoch = info.ntp_time.duration_since(SystemTime::UNIX_EPOCH).ok();
        let ntp_ns = since_epoch.and_then(|time| u64::try_from(time.as_nanos()).ok());
        let timestamp = self.axis.place(info.rtp_time.numer() as u32);
        if let (Some(ntp_ns), Some(timestamp)) = (ntp_ns, timestamp) {
            self.report = Some((info.ntp_time, Report { ntp_ns, timestamp }));
        }
    }
}

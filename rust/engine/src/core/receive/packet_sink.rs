//! The packets of one stream go to viewers, without a look at the pictures.

use std::time::{Duration, Instant};

use super::frame::{Codec, ReceivedPacket};
use super::keyframe_requester::KeyframeRequester;
use super::output::Output;
use super::sender_report::SenderReport;
use crate::core::forward::packet::{Epoch, KeyframeStart, Origin, RtpPacket};
use crate::core::media::MediaKind;

/// The least time between two requests for a keyframe, of one layer or another. Each costs all
/// viewers quality.
pub const KEYFRAME_SPACING: Duration = Duration::from_millis(500);

/// Numbers that a sender may skip. More is a stream that begins anew: viewers must not follow, for
/// theirs would roll over unseen (RFC 3711 §3.3.1).
const MAX_JUMP: u64 = 2000;

/// How old a packet may be that is resent: what viewers' browsers wait for at the most.
const MAX_LATE: u64 = 1000;

/// The largest payload that fits a datagram with the viewer's own header, its extensions, the
/// number in front of a resend and the SRTP tag. Browsers stay below 1200.
const MAX_PAYLOAD: usize = 1400;

/// Numbers the epochs of one stream, counts what is missing of it, and makes its packets ready for
/// viewers.
#[derive(Debug)]
pub struct PacketSink {
    origin: Origin,
    epoch: Epoch,
    first: u64,
    highest: u64,
    received: u64,
}

impl PacketSink {
    pub fn new(origin: Origin) -> Self {
        Self {
            origin,
            epoch: Epoch {
                source: origin.source,
                number: 0,
            },
            first: 0,
            highest: 0,
            received: 0,
        }
    }

    /// Counts a packet; `false` if it is too late for viewers. `is_new` says that its SSRC is
    /// another one than before, or the first.
    pub fn admit(
        &mut self,
        arrived: Instant,
        sequence: u64,
        is_new: bool,
        keyframes: &mut KeyframeRequester,
        output: &mut Output<'_>,
    ) -> bool {
        if is_new || sequence > self.highest + MAX_JUMP {
            *output.epochs += 1;
            self.epoch.number = *output.epochs;
            (self.first, self.highest, self.received) = (sequence, sequence, 1);
            if self.origin.kind == MediaKind::Video {
                keyframes.require(arrived);
            }
            return true;
        }
        if sequence + MAX_LATE < self.highest || sequence < self.first {
            return false;
        }
        let before = self.missing();
        self.received += 1;
        self.highest = self.highest.max(sequence);
        let lost = &mut output.stats.packets_lost;
        *lost = (*lost + self.missing()).saturating_sub(before);
        true
    }

    /// Packets of this epoch that are missing so far.
    fn missing(&self) -> u64 {
        (self.highest - self.first + 1).saturating_sub(self.received)
    }

    /// Makes a packet that was admitted ready for viewers; `None` if it is too large for them.
    pub fn forward(
        &self,
        codec: Codec,
        packet: ReceivedPacket,
        report: Option<SenderReport>,
        keyframes: &mut KeyframeRequester,
        output: &mut Output<'_>,
    ) -> Option<RtpPacket> {
        if packet.payload.len() > MAX_PAYLOAD {
            return None;
        }
        let start = match codec {
            Codec::H264 => KeyframeStart::of_h264(&packet.payload),
            Codec::Vp8 | Codec::Opus => KeyframeStart::None,
        };
        if start == KeyframeStart::ParameterSets {
            keyframes.received();
        }
        let kind = self.origin.kind;
        let wallclock =
            report.map(|report| report.wallclock_ns(packet.timestamp, kind.clock_rate()));
        output.stats.frames_received += u64::from(packet.marker && kind == MediaKind::Video);
        Some(RtpPacket {
            origin: self.origin,
            epoch: self.epoch,
            sequence: packet.sequence,
            timestamp: i64::try_from(packet.timestamp).unwrap_or(i64::MAX),
            captured: output.clock.captured(packet.arrived, wallclock),
            marker: packet.marker,
            start,
            payload: packet.payload,
        })
    }
}

//! One stream that comes in: its SSRC, its timestamps and the keyframes it is asked for.

use std::time::{Duration, Instant};

use str0m::rtp::{RtpPacket as Decrypted, Ssrc};

use super::frame::{Codec, ReceivedPacket};
use super::frame_sink::{self, FrameSink};
use super::keyframe_requester::KeyframeRequester;
use super::output::Output;
use super::packet_sink::{self, PacketSink};
use super::sender_report::NewestReport;
use super::timestamp::TimestampUnwrapper;
use crate::core::forward::packet::{Origin, RtpPacket};
use crate::core::media::MediaKind;

/// A stream that was silent for so long begins again with its next packet.
const SILENCE: Duration = Duration::from_secs(2);

/// How long packets of an SSRC that was given up may still come, resent ones too.
const STRAY: Duration = Duration::from_secs(2);

/// One stream: audio, video, or a simulcast layer of it. Its sender may change SSRC, codec and
/// section; its timestamps go on.
#[derive(Debug)]
pub struct Ingress {
    pub origin: Origin,
    pub keyframes: KeyframeRequester,
    ssrc: Option<Ssrc>,
    /// The SSRC before, of which stray packets may still come.
    retired: Option<Ssrc>,
    last_arrival: Option<Instant>,
    timestamps: TimestampUnwrapper,
    report: NewestReport,
    sink: Sink,
}

/// What becomes of the packets.
#[derive(Debug)]
enum Sink {
    Frames(FrameSink),
    Packets(PacketSink),
}

impl Ingress {
    /// A stream whose packets become frames.
    pub fn frames(origin: Origin, codec: Codec) -> Self {
        Self::new(
            origin,
            frame_sink::KEYFRAME_SPACING,
            Sink::Frames(FrameSink::new(codec)),
        )
    }

    /// A stream whose packets are forwarded.
    pub fn packets(origin: Origin) -> Self {
        Self::new(
            origin,
            packet_sink::KEYFRAME_SPACING,
            Sink::Packets(PacketSink::new(origin)),
        )
    }

    fn new(origin: Origin, keyframe_spacing: Duration, sink: Sink) -> Self {
        Self {
            origin,
            keyframes: KeyframeRequester::new(keyframe_spacing),
            ssrc: None,
            retired: None,
            last_arrival: None,
            timestamps: TimestampUnwrapper::new(origin.kind.clock_rate()),
            report: NewestReport::default(),
            sink,
        }
    }

    pub fn ssrc(&self) -> Option<Ssrc> {
        self.ssrc
    }

    /// Whether a packet of this SSRC is a stray one, sent before the sender changed it. Once the
    /// SSRC in use is silent, the sender has gone back to the other.
    pub fn is_stray(&self, now: Instant, ssrc: Ssrc) -> bool {
        let is_alive = |at| now.saturating_duration_since(at) < STRAY;
        self.retired == Some(ssrc) && self.last_arrival.is_some_and(is_alive)
    }

    /// Whether the stream begins, or begins again, with what comes now.
    pub fn begins(&self, now: Instant) -> bool {
        self.last_arrival
            .is_none_or(|at| now.saturating_duration_since(at) > SILENCE)
    }

    /// Takes a packet from str0m. Frames go into the inbox, a packet for viewers is returned. A
    /// packet of another SSRC ends what waits of the one before.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        codec: Codec,
        packet: &Decrypted,
        output: &mut Output<'_>,
    ) -> Option<RtpPacket> {
        let (ssrc, arrived) = (packet.header.ssrc, packet.timestamp);
        let sequence = *packet.seq_no;
        let is_other = self.ssrc.is_some_and(|current| current != ssrc);
        let keyframes = &mut self.keyframes;
        self.last_arrival = Some(arrived);
        match &mut self.sink {
            Sink::Frames(frames) => {
                if is_other || codec != frames.codec() {
                    frames.restart(arrived, codec, keyframes, output);
                }
            }
            Sink::Packets(packets) => {
                let is_new = is_other || self.ssrc.is_none();
                if !packets.admit(arrived, sequence, is_new, keyframes, output) {
                    return None;
                }
            }
        }
        if is_other {
            self.retired = self.ssrc;
        }
        self.ssrc = Some(ssrc);
        let timestamp = self
            .timestamps
            .extend(packet.header.timestamp, arrived, is_other);
        if timestamp.is_joined {
            self.report.discard();
        }
        if let Some(info) = &packet.last_sender_info {
            self.report.read(info, &self.timestamps);
        }
        let packet = ReceivedPacket {
            sequence,
            timestamp: timestamp.value,
            marker: packet.header.marker,
            payload: packet.payload.clone(),
            arrived,
        };
        let report = self.report.get();
        match &mut self.sink {
            Sink::Frames(frames) => {
                if timestamp.is_joined {
                    frames.note_loss();
                }
                frames.push(now, packet, report, keyframes, output);
                None
            }
            Sink::Packets(packets) => packets.forward(codec, packet, report, keyframes, output),
        }
    }

    /// Delivers the frames that need no packet any more.
    pub fn expire(&mut self, now: Instant, output: &mut Output<'_>) {
        if let Sink::Frames(frames) = &mut self.sink {
            frames.expire(now, &mut self.keyframes, output);
        }
    }

    /// When [`Ingress::expire`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.sink {
            Sink::Frames(frames) => frames.deadline(),
            Sink::Packets(_) => None,
        }
    }

    /// Whether to request a keyframe now.
    pub fn poll_keyframe(&mut self, now: Instant) -> bool {
        let is_under_way = match &self.sink {
            Sink::Frames(frames) => frames.is_keyframe_under_way(),
            Sink::Packets(_) => false,
        };
        self.keyframes.poll(now, is_under_way)
    }

    /// Requests the keyframe that frames begin with.
    pub fn require_first_keyframe(&mut self, now: Instant) {
        if let Sink::Frames(frames) = &self.sink
            && frames.is_waiting()
        {
            self.keyframes.require(now);
        }
    }

    /// Delivers what is complete: no packet follows.
    pub fn flush(&mut self, now: Instant, output: &mut Output<'_>) {
        if let Sink::Frames(frames) = &mut self.sink {
            frames.flush(now, &mut self.keyframes, output);
        }
    }

    /// Nothing follows for now: the browser mutes.
    pub fn pause(&mut self, now: Instant, output: &mut Output<'_>) {
        if let Sink::Frames(frames) = &mut self.sink {
            frames.restart(now, frames.codec(), &mut self.keyframes, output);
            self.keyframes.received();
        }
    }

    /// Something follows again, perhaps with another SSRC.
    pub fn resume(&mut self, now: Instant) {
        if let Sink::Frames(frames) = &mut self.sink {
            frames.lose(now, &mut self.keyframes);
        }
    }

    /// Whether this is video, which keyframes and limits are for.
    pub fn is_video(&self) -> bool {
        self.origin.kind == MediaKind::Video
    }
}

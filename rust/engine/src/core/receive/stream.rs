//! One received stream: packets in any order become frames in order.

use std::time::{Duration, Instant, SystemTime};

use str0m::media::Mid;
use str0m::rtp::{RtpPacket, Ssrc};

use super::axis::Axis;
use super::frame::{Codec, Packet, ReceivedFrame, Report};
use super::h264::H264;
use super::inbox::Writer;
use super::keyframes::Keyframes;
use super::reorder::{Reorder, Step};
use super::units::{Outcome, Unit, Units};
use super::vp8::Vp8;
use crate::core::track::MediaKind;
use crate::stats::PeerStats;

/// How long a missing packet is waited for. Audio is not resent, only reordered.
fn hole_limit(kind: MediaKind) -> Duration {
    match kind {
        MediaKind::Video => Duration::from_millis(1000),
        MediaKind::Audio => Duration::from_millis(400),
    }
}

/// A hole this old may stay. A keyframe asked for now is there when the hole is given up, and
/// less is lost; a resend mostly comes within a third of it.
const DOUBT: Duration = Duration::from_millis(500);

/// How long packets of an SSRC that was given up may still come, resent ones too.
const STRAY: Duration = Duration::from_secs(2);

/// One stream of a kind. Its sender may change SSRC, codec and section; the axis of its
/// timestamps stays.
#[derive(Debug)]
pub struct Stream {
    pub mid: Mid,
    pub keyframes: Keyframes,
    kind: MediaKind,
    ssrc: Option<Ssrc>,
    /// The SSRC before, of which stray packets may still come.
    retired: Option<Ssrc>,
    heard: Option<Instant>,
    axis: Axis,
    report: Option<(SystemTime, Report)>,
    buffer: Reorder,
    /// The hole for which a keyframe was asked, by its time.
    doubted: Option<Instant>,
    assembler: Assembler,
    outcomes: Vec<Outcome>,
    /// Video: nothing is delivered before the next keyframe.
    is_waiting: bool,
    /// Something was lost since the last frame that was delivered.
    has_lost: bool,
    has_delivered: bool,
}

#[derive(Debug)]
enum Assembler {
    H264(Units<H264>),
    Vp8(Units<Vp8>),
    Opus,
}

impl Assembler {
    fn new(codec: Codec) -> Self {
        match codec {
            Codec::H264 => Self::H264(Units::new(H264::default())),
            Codec::Vp8 => Self::Vp8(Units::new(Vp8)),
            Codec::Opus => Self::Opus,
        }
    }

    fn codec(&self) -> Codec {
        match self {
            Self::H264(_) => Codec::H264,
            Self::Vp8(_) => Codec::Vp8,
            Self::Opus => Codec::Opus,
        }
    }

    fn push(&mut self, packet: &Packet, outcomes: &mut Vec<Outcome>) {
        match self {
            Self::H264(units) => units.push(packet, outcomes),
            Self::Vp8(units) => units.push(packet, outcomes),
            // A packet is a frame (RFC 7587 §4.2).
            Self::Opus if packet.payload.is_empty() => {}
            Self::Opus => outcomes.push(Outcome::Frame(Unit {
                data: packet.payload.to_vec(),
                timestamp: packet.timestamp,
                arrived: packet.arrived,
                keyframe: true,
            })),
        }
    }

    fn hole(&mut self) {
        match self {
            Self::H264(units) => units.hole(),
            Self::Vp8(units) => units.hole(),
            Self::Opus => {}
        }
    }

    fn finish(&mut self, outcomes: &mut Vec<Outcome>) {
        match self {
            Self::H264(units) => units.finish(outcomes),
            Self::Vp8(units) => units.finish(outcomes),
            Self::Opus => {}
        }
    }

    fn is_keyframe_under_way(&self) -> bool {
        match self {
            Self::H264(units) => units.is_keyframe_under_way(),
            Self::Vp8(units) => units.is_keyframe_under_way(),
            Self::Opus => false,
        }
    }
}

/// Where frames and counts go.
pub struct Sink<'a> {
    pub inbox: &'a Writer,
    pub stats: &'a mut PeerStats,
}

impl Stream {
    pub fn new(kind: MediaKind, mid: Mid, codec: Codec) -> Self {
        Self {
            mid,
            keyframes: Keyframes::default(),
            kind,
            ssrc: None,
            retired: None,
            heard: None,
            axis: Axis::new(kind.clock_rate()),
            report: None,
            buffer: Reorder::new(hole_limit(kind)),
            doubted: None,
            assembler: Assembler::new(codec),
            outcomes: Vec::new(),
            is_waiting: kind == MediaKind::Video,
            has_lost: false,
            has_delivered: false,
        }
    }

    pub fn ssrc(&self) -> Option<Ssrc> {
        self.ssrc
    }

    /// Whether a packet of this SSRC is a stray one, sent before the sender changed it. Once the
    /// SSRC in use is silent, the sender has gone back to the other.
    pub fn is_stray(&self, now: Instant, ssrc: Ssrc) -> bool {
        let is_alive = |heard| now.saturating_duration_since(heard) < STRAY;
        self.retired == Some(ssrc) && self.heard.is_some_and(is_alive)
    }

    /// Extends a packet's numbers. A packet of another SSRC ends what waits of the one before.
    pub fn admit(&mut self, codec: Codec, packet: &RtpPacket, sink: &mut Sink<'_>) -> Packet {
        let (ssrc, arrived) = (packet.header.ssrc, packet.timestamp);
        let is_other = self.ssrc.is_some_and(|current| current != ssrc);
        if is_other || codec != self.assembler.codec() {
            self.restart(arrived, codec, sink);
        }
        if is_other {
            self.retired = self.ssrc;
        }
        self.ssrc = Some(ssrc);
        self.heard = Some(arrived);
        let timestamp = self.axis.extend(packet.header.timestamp, arrived, is_other);
        if timestamp.is_joined {
            self.has_lost = self.has_delivered;
            self.report = None;
        }
        self.note_report(packet);
        Packet {
            codec,
            sequence: *packet.seq_no,
            timestamp: timestamp.value,
            marker: packet.header.marker,
            payload: packet.payload.clone(),
            arrived,
        }
    }

    /// Takes a packet that was admitted, and delivers what it completes.
    pub fn push(&mut self, now: Instant, packet: Packet, sink: &mut Sink<'_>) {
        self.buffer.insert(packet);
        self.release(now, sink);
    }

    /// Delivers what needs no packet any more.
    pub fn expire(&mut self, now: Instant, sink: &mut Sink<'_>) {
        if self.buffer.deadline().is_some_and(|at| at <= now) {
            self.release(now, sink);
        }
        if let Some(hole) = self.doubtful_hole()
            && hole + DOUBT <= now
        {
            self.doubted = Some(hole);
            self.keyframes.ask(now);
        }
    }

    /// A hole for which no keyframe was asked yet, by its time.
    fn doubtful_hole(&self) -> Option<Instant> {
        let is_of_use = self.kind == MediaKind::Video && !self.is_waiting;
        let hole = self.buffer.hole_since().filter(|_| is_of_use)?;
        (self.doubted != Some(hole)).then_some(hole)
    }

    /// Whether a keyframe is to be asked for now.
    pub fn wants_keyframe(&mut self, now: Instant) -> bool {
        self.keyframes
            .take(now, self.assembler.is_keyframe_under_way())
    }

    /// When [`Stream::expire`] or [`Stream::wants_keyframe`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let deadlines = [
            self.buffer.deadline(),
            self.keyframes.deadline(),
            self.doubtful_hole().map(|hole| hole + DOUBT),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Delivers what is complete: no packet follows.
    pub fn flush(&mut self, now: Instant, sink: &mut Sink<'_>) {
        self.buffer.drain();
        self.release(now, sink);
        let mut outcomes = std::mem::take(&mut self.outcomes);
        self.assembler.finish(&mut outcomes);
        self.deliver(now, &mut outcomes, sink);
        self.outcomes = outcomes;
    }

    /// Nothing follows for now: the browser mutes.
    pub fn pause(&mut self, now: Instant, sink: &mut Sink<'_>) {
        self.restart(now, self.assembler.codec(), sink);
        self.keyframes.found();
    }

    /// Something follows again, perhaps with another SSRC.
    pub fn resume(&mut self, now: Instant) {
        self.lose(now);
    }

    /// Asks for the keyframe to begin with.
    pub fn miss_first_keyframe(&mut self, now: Instant) {
        if self.is_waiting {
            self.keyframes.miss(now);
        }
    }

    /// Ends what waits and begins with other numbers.
    fn restart(&mut self, now: Instant, codec: Codec, sink: &mut Sink<'_>) {
        self.flush(now, sink);
        self.buffer = Reorder::new(hole_limit(self.kind));
        self.assembler = Assembler::new(codec);
        self.lose(now);
    }

    fn lose(&mut self, now: Instant) {
        self.has_lost = self.has_delivered;
        if self.kind == MediaKind::Video {
            self.is_waiting = true;
            self.keyframes.miss(now);
        }
    }

    fn release(&mut self, now: Instant, sink: &mut Sink<'_>) {
        let mut outcomes = std::mem::take(&mut self.outcomes);
        while let Some(step) = self.buffer.pop(now) {
            match step {
                Step::Packet(packet) => self.assembler.push(&packet, &mut outcomes),
                Step::Hole(count) => {
                    sink.stats.packets_lost += count;
                    if self.kind == MediaKind::Audio {
                        sink.stats.frames_lost += count;
                    }
                    self.assembler.hole();
                    self.lose(now);
                }
            }
            self.deliver(now, &mut outcomes, sink);
        }
        self.outcomes = outcomes;
    }

    fn deliver(&mut self, now: Instant, outcomes: &mut Vec<Outcome>, sink: &mut Sink<'_>) {
        for outcome in outcomes.drain(..) {
            let delivered = match outcome {
                Outcome::Incomplete => false,
                Outcome::Frame(unit) if self.is_waiting && !unit.keyframe => false,
                Outcome::Frame(unit) => sink.inbox.push(self.frame(unit)),
            };
            if delivered {
                sink.stats.frames_received += 1;
                self.keyframes.found();
                self.is_waiting = false;
                self.has_lost = false;
                self.has_delivered = true;
            } else {
                sink.stats.frames_lost += 1;
                self.lose(now);
            }
        }
    }

    fn frame(&self, unit: Unit) -> ReceivedFrame {
        ReceivedFrame {
            codec: self.assembler.codec(),
            data: unit.data,
            timestamp: unit.timestamp,
            arrived: unit.arrived,
            report: self.report.map(|(_, report)| report),
            keyframe: unit.keyframe,
            after_loss: self.has_lost,
        }
    }

    /// str0m extends a report's timestamp on an axis of its own; only its lower half is used.
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

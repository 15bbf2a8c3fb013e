//! The packets of one stream become frames in an inbox.

use std::time::{Duration, Instant};

use super::depacketize::depacketizer;
use super::depacketize::frame_assembler::{AssembledFrame, Assembly, Depacketizer};
use super::frame::{Codec, ReceivedFrame, ReceivedPacket};
use super::keyframe_requester::KeyframeRequester;
use super::output::Output;
use super::reorder::{ReorderBuffer, Step};
use super::sender_report::SenderReport;
use crate::core::media::MediaKind;

/// The least time between two requests for a keyframe.
pub const KEYFRAME_SPACING: Duration = Duration::from_millis(300);

/// How long a missing packet is waited for. Audio is not resent, only reordered.
fn gap_limit(kind: MediaKind) -> Duration {
    match kind {
        MediaKind::Video => Duration::from_millis(1000),
        MediaKind::Audio => Duration::from_millis(400),
    }
}

/// A gap this old may stay. A keyframe requested now is there when the gap is given up, and
/// less is lost; a resend mostly comes within a third of it.
const DOUBT: Duration = Duration::from_millis(500);

/// Orders and depacketizes the packets of one stream, and delivers its frames in order.
#[derive(Debug)]
pub struct FrameSink {
    codec: Codec,
    buffer: ReorderBuffer,
    /// The gap for which a keyframe was requested, by its time.
    doubted: Option<Instant>,
    depacketizer: Box<dyn Depacketizer>,
    assembled: Vec<Assembly>,
    /// The newest sender report, which frames are delivered with.
    report: Option<SenderReport>,
    /// Video: nothing is delivered before the next keyframe.
    is_waiting: bool,
    /// Something was lost since the last frame that was delivered.
    has_lost: bool,
    has_delivered: bool,
}

impl FrameSink {
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            buffer: ReorderBuffer::new(gap_limit(codec.kind())),
            doubted: None,
            depacketizer: depacketizer(codec),
            assembled: Vec::new(),
            report: None,
            is_waiting: codec.kind() == MediaKind::Video,
            has_lost: false,
            has_delivered: false,
        }
    }

    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Whether nothing is delivered before the next keyframe.
    pub fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    pub fn is_keyframe_under_way(&self) -> bool {
        self.depacketizer.is_keyframe_under_way()
    }

    /// Takes a packet, and delivers what it completes. `report` is the newest sender report.
    pub fn push(
        &mut self,
        now: Instant,
        packet: ReceivedPacket,
        report: Option<SenderReport>,
        keyframes: &mut KeyframeRequester,
        output: &mut Output<'_>,
    ) {
        self.report = report;
        self.buffer.insert(packet);
        self.release(now, keyframes, output);
    }

    /// The sender's clock started anew: frames may be missing.
    pub fn note_loss(&mut self) {
        self.has_lost = self.has_delivered;
    }

    /// Delivers what needs no packet any more.
    pub fn expire(
        &mut self,
        now: Instant,
        keyframes: &mut KeyframeRequester,
        output: &mut Output<'_>,
    ) {
        if self.buffer.deadline().is_some_and(|at| at <= now) {
            self.release(now, keyframes, output);
        }
        if let Some(gap) = self.doubtful_gap()
            && gap + DOUBT <= now
        {
            self.doubted = Some(gap);
            keyframes.request(now);
        }
    }

    /// A gap for which no keyframe was requested yet, by its time.
    fn doubtful_gap(&self) -> Option<Instant> {
        let is_of_use = self.codec.kind() == MediaKind::Video && !self.is_waiting;
        let gap = self.buffer.gap_since().filter(|_| is_of_use)?;
        (self.doubted != Some(gap)).then_some(gap)
    }

    /// When [`FrameSink::expire`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let doubt = self.doubtful_gap().map(|gap| gap + DOUBT);
        self.buffer.deadline().into_iter().chain(doubt).min()
    }

    /// Delivers what is complete: no packet follows.
    pub fn flush(
        &mut self,
        now: Instant,
        keyframes: &mut KeyframeRequester,
        output: &mut Output<'_>,
    ) {
        self.buffer.drain();
        self.release(now, keyframes, output);
        self.depacketizer.finish(&mut self.assembled);
        self.deliver(now, keyframes, output);
    }

    /// Ends what waits and begins with other numbers.
    pub fn restart(
        &mut self,
        now: Instant,
        codec: Codec,
        keyframes: &mut KeyframeRequester,
        output: &mut Output<'_>,
    ) {
        self.flush(now, keyframes, output);
        self.codec = codec;
        self.buffer = ReorderBuffer::new(gap_limit(codec.kind()));
        self.depacketizer = depacketizer(codec);
        self.lose(now, keyframes);
    }

    /// Frames are missing: video goes on at the next keyframe, which is requested.
    pub fn lose(&mut self, now: Instant, keyframes: &mut KeyframeRequester) {
        self.note_loss();
        if self.codec.kind() == MediaKind::Video {
            self.is_waiting = true;
            keyframes.require(now);
        }
    }

    fn release(
        &mut self,
        now: Instant,
        keyframes: &mut KeyframeRequester,
        output: &mut Output<'_>,
    ) {
        while let Some(step) = self.buffer.pop(now) {
            match step {
                Step::Packet(packet) => self.depacketizer.push(&packet, &mut self.assembled),
                Step::Gap(count) => {
                    output.stats.packets_lost += count;
                    if self.codec.kind() == MediaKind::Audio {
                        output.stats.frames_lost += count;
                    }
                    self.depacketizer.gap();
                    self.lose(now, keyframes);
                }
            }
            self.deliver(now, keyframes, output);
        }
    }

    fn deliver(
        &mut self,
        now: Instant,
        keyframes: &mut KeyframeRequester,
        output: &mut Output<'_>,
    ) {
        let mut assembled = std::mem::take(&mut self.assembled);
        for assembly in assembled.drain(..) {
            let is_delivered = match assembly {
                Assembly::Incomplete => false,
                Assembly::Frame(frame) if self.is_waiting && !frame.keyframe => false,
                Assembly::Frame(frame) => output.inbox.push(self.received(frame)),
            };
            if is_delivered {
                output.stats.frames_received += 1;
                keyframes.received();
                self.is_waiting = false;
                self.has_lost = false;
                self.has_delivered = true;
            } else {
                output.stats.frames_lost += 1;
                self.lose(now, keyframes);
            }
        }
        self.assembled = assembled;
    }

    fn received(&self, frame: AssembledFrame) -> ReceivedFrame {
        ReceivedFrame {
            codec: self.codec,
            data: frame.data,
            timestamp: frame.timestamp,
            arrived: frame.arrived,
            report: self.report,
            keyframe: frame.keyframe,
            after_loss: self.has_lost,
        }
    }
}

//! Which track an outgoing stream carries, and the numbers that its packets get on the wire.
//!
//! A track's payloads are the same for all; sequence numbers and timestamps belong to the
//! viewer. They go on without a jump when the track changes, so that the browser's jitter buffer
//! and its RTP-to-wallclock line (RFC 3550 §6.4.1) never notice.

use std::time::Instant;

use crate::core::forward::packet::{Epoch, KeyframeStart, RtpPacket};
use crate::core::media::MediaKind;
use crate::core::track::Frame;
use crate::id::TrackId;

/// The numbers of a packet on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpPosition {
    /// Past 16 bits.
    pub sequence: u64,
    pub timestamp: u32,
}

/// The run of packets that a stream follows, number by number.
#[derive(Debug, Clone, Copy)]
struct Followed {
    epoch: Epoch,
    /// Its first packet that was sent.
    first: u64,
    /// From its numbers to ours.
    offset: u64,
}

/// The line between a track's media time and this stream's RTP time.
#[derive(Debug, Clone, Copy)]
struct Timeline {
    media: i64,
    rtp: u32,
    captured: Instant,
}

/// The rewriter of one outgoing stream.
#[derive(Debug)]
pub struct RtpRewriter {
    kind: MediaKind,
    current: Option<TrackId>,
    next: Option<TrackId>,
    waiting: bool,
    sequence: u64,
    timeline: Option<Timeline>,
    followed: Option<Followed>,
    /// Packets of publishers that were rewritten.
    rewritten: u64,
}

impl RtpRewriter {
    pub fn new(kind: MediaKind) -> Self {
        Self {
            kind,
            current: None,
            next: None,
            waiting: true,
            // Random (RFC 3550 §5.1), in the lower half so that the first packets, some of them
            // lost, cannot be taken for ones after a rollover (RFC 3711 §3.3.1).
            sequence: u64::from(fastrand::u16(..0x8000)),
            timeline: None,
            followed: None,
            rewritten: 0,
        }
    }

    /// Carries `track` from now on, or from its next keyframe if another one plays.
    /// `true` if a keyframe of it is needed.
    pub fn attach(&mut self, track: TrackId) -> bool {
        if self.current == Some(track) {
            self.next = None;
            return self.waiting && self.kind == MediaKind::Video;
        }
        if self.current.is_none() || self.waiting {
            self.current = Some(track);
            self.next = None;
            self.waiting = true;
        } else {
            self.next = Some(track);
        }
        self.kind == MediaKind::Video
    }

    /// Carries nothing any more.
    pub fn detach(&mut self) {
        self.current = None;
        self.next = None;
        self.waiting = true;
    }

    /// Lets go of one track that has ended.
    pub fn track_closed(&mut self, track: TrackId) {
        if self.next == Some(track) {
            self.next = None;
        }
        if self.current == Some(track) {
            self.current = self.next.take();
            self.waiting = true;
        }
    }

    /// The tracks that this stream needs frames of.
    pub fn tracks(&self) -> impl Iterator<Item = TrackId> {
        self.current.into_iter().chain(self.next)
    }

    /// The track whose keyframe this stream needs, or would need after a loss.
    pub fn wanted(&self) -> Option<TrackId> {
        self.next.or(self.current)
    }

    /// The track being sent, whose decoder a PLI speaks of.
    pub fn current(&self) -> Option<TrackId> {
        self.current
    }

    /// Whether nothing is sent until a keyframe comes.
    pub fn is_waiting(&self) -> bool {
        self.waiting && self.kind == MediaKind::Video
    }

    /// Whether nothing has been sent yet, and this track would be the first.
    pub fn is_new(&self, track: TrackId) -> bool {
        self.is_waiting() && self.timeline.is_none() && self.current == Some(track)
    }

    /// Sends nothing until the next keyframe.
    pub fn wait_for_keyframe(&mut self) {
        self.waiting = true;
    }

    /// The RTP timestamp of a frame that is to be sent. `None` where it is not: the viewer waits for
    /// a keyframe, or this is not its track.
    pub fn rewrite_frame(&mut self, frame: &Frame) -> Option<u32> {
        let starts = frame.keyframe || self.kind == MediaKind::Audio;
        self.go_over(frame.track, starts);
        if self.current != Some(frame.track) || (self.waiting && !starts) {
            return None;
        }
        let timestamp = match self.timeline {
            Some(line) if !self.waiting => {
                line.rtp.wrapping_add((frame.timestamp - line.media) as u32)
            }
            _ => self.first_timestamp(frame.captured),
        };
        self.waiting = false;
        self.timeline = Some(Timeline {
            media: frame.timestamp,
            rtp: timestamp,
            captured: frame.captured,
        });
        Some(timestamp)
    }

    /// Carries the next track from its start on.
    fn go_over(&mut self, track: TrackId, starts: bool) {
        if self.next == Some(track) && starts {
            self.current = self.next.take();
            self.waiting = true; // takes the path of a start
        }
    }

    /// The numbers of a publisher's packet, if it is to be sent.
    pub fn rewrite(&mut self, track: TrackId, packet: &RtpPacket) -> Option<RtpPosition> {
        let known = self.followed.filter(|run| run.epoch == packet.epoch);
        let starts = self.kind == MediaKind::Audio
            || packet.start == KeyframeStart::ParameterSets
            || (packet.start == KeyframeStart::Picture && known.is_some());
        self.go_over(track, starts);
        if self.current != Some(track) {
            return None;
        }
        let (run, timestamp, is_start) = match (known, self.timeline) {
            (Some(run), Some(line)) if !self.waiting => {
                if packet.sequence < run.first {
                    return None; // a late one, from before the start
                }
                let since = (packet.timestamp - line.media) as u32;
                (run, line.rtp.wrapping_add(since), false)
            }
            _ if starts => {
                let run = Followed {
                    epoch: packet.epoch,
                    first: packet.sequence,
                    offset: self.sequence.wrapping_sub(packet.sequence),
                };
                (run, self.first_timestamp(packet.captured), true)
            }
            _ => {
                // The source began anew, and has been asked for a keyframe.
                self.waiting = true;
                return None;
            }
        };
        let is_newest = |line: Timeline| packet.timestamp > line.media;
        if is_start || self.timeline.is_none_or(is_newest) {
            self.timeline = Some(Timeline {
                media: packet.timestamp,
                rtp: timestamp,
                captured: packet.captured,
            });
        }
        self.waiting = false;
        self.followed = Some(run);
        let sequence = packet.sequence.wrapping_add(run.offset);
        self.sequence = self.sequence.max(sequence + 1);
        self.rewritten += 1;
        Some(RtpPosition {
            sequence,
            timestamp,
        })
    }

    /// The timestamp of a start, on a timeline that may have begun with another track: as far on as
    /// the capture clock went on, and one unit at least.
    fn first_timestamp(&self, captured: Instant) -> u32 {
        let Some(line) = self.timeline else {
            return fastrand::u32(..);
        };
        line.rtp
            .wrapping_add(self.units(line.captured, captured).max(1))
    }

    /// The RTP timestamp of a moment after the newest that was sent.
    pub fn timestamp_at(&self, now: Instant) -> Option<u32> {
        let line = self.timeline?;
        Some(line.rtp.wrapping_add(self.units(line.captured, now)))
    }

    /// The RTP time between two moments.
    fn units(&self, from: Instant, to: Instant) -> u32 {
        let elapsed = to.saturating_duration_since(from).as_nanos();
        (elapsed * u128::from(self.kind.clock_rate()) / 1_000_000_000) as u32
    }

    /// How far the numbers of forwarded packets have come, and how many packets that were. What is
    /// missing was missing at the source.
    pub fn progress(&self) -> (u64, u64) {
        (self.sequence, self.rewritten)
    }

    /// The next extended sequence number.
    pub fn next_sequence(&mut self) -> u64 {
        let sequence = self.sequence;
        self.sequence += 1;
        sequence
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rewriter(kind: MediaKind) -> RtpRewriter {
        RtpRewriter::new(kind)
    }

    fn frame(track: TrackId, timestamp: i64, captured: Instant, keyframe: bool) -> Frame {
        Frame {
            track,
            payloads: vec![],
            timestamp,
            captured,
            keyframe,
        }
    }

    fn sent(timestamp: Option<u32>) -> u32 {
        timestamp.expect("it is to be sent")
    }

    #[test]
    fn video_starts_at_a_keyframe_and_follows_the_media_time() {
        let (start, mut rewriter) = (Instant::now(), rewriter(MediaKind::Video));
        assert!(rewriter.attach(7));
        assert_eq!(rewriter.rewrite_frame(&frame(7, 0, start, false)), None);
        let first = sent(rewriter.rewrite_frame(&frame(7, 3000, start, true)));
        let second = sent(rewriter.rewrite_frame(&frame(7, 6000, start, false)));
        assert_eq!(second.wrapping_sub(first), 3000);
        assert_eq!(rewriter.rewrite_frame(&frame(8, 9000, start, true)), None);
    }

    #[test]
    fn audio_starts_at_any_packet() {
        let mut rewriter = rewriter(MediaKind::Audio);
        assert!(!rewriter.attach(7));
        sent(rewriter.rewrite_frame(&frame(7, 0, Instant::now(), true)));
    }

    #[test]
    fn a_change_of_track_waits_for_a_keyframe_and_time_goes_on_by_the_capture_clock() {
        let (start, mut rewriter) = (Instant::now(), rewriter(MediaKind::Video));
        rewriter.attach(1);
        let first = sent(rewriter.rewrite_frame(&frame(1, 900_000, start, true)));
        assert!(rewriter.attach(2));
        let after = start + Duration::from_millis(100);
        assert_eq!(rewriter.rewrite_frame(&frame(2, 5, after, false)), None);
        let still_old = sent(rewriter.rewrite_frame(&frame(
            1,
            903_000,
            start + Duration::from_millis(33),
            false,
        )));
        assert_eq!(still_old.wrapping_sub(first), 3000);
        let new = sent(rewriter.rewrite_frame(&frame(2, 5, after, true)));
        assert_eq!(new.wrapping_sub(still_old), 6030, "67 ms on at 90 kHz");
        assert_eq!(
            rewriter.rewrite_frame(&frame(1, 906_000, after, true)),
            None
        );
        let following = sent(rewriter.rewrite_frame(&frame(2, 3005, after, false)));
        assert_eq!(following.wrapping_sub(new), 3000);
    }

    #[test]
    fn timestamps_grow_even_if_the_capture_clock_went_back() {
        let (start, mut rewriter) = (Instant::now(), rewriter(MediaKind::Video));
        rewriter.attach(1);
        let first =
            sent(rewriter.rewrite_frame(&frame(1, 0, start + Duration::from_secs(1), true)));
        rewriter.attach(2);
        let second = sent(rewriter.rewrite_frame(&frame(2, 0, start, true)));
        assert_eq!(second.wrapping_sub(first), 1);
    }

    #[test]
    fn a_closed_track_makes_room_for_the_one_that_waits() {
        let (start, mut rewriter) = (Instant::now(), rewriter(MediaKind::Video));
        rewriter.attach(1);
        sent(rewriter.rewrite_frame(&frame(1, 0, start, true)));
        rewriter.attach(2);
        rewriter.track_closed(1);
        assert_eq!(rewriter.tracks().collect::<Vec<_>>(), vec![2]);
        assert!(rewriter.is_waiting());
        rewriter.track_closed(2);
        assert_eq!(rewriter.wanted(), None);
    }

    #[test]
    fn sequence_numbers_begin_low_enough_for_a_safe_rollover() {
        for _ in 0..1000 {
            assert!(rewriter(MediaKind::Video).next_sequence() < 0x8000);
        }
    }

    fn packet(
        epoch: u64,
        sequence: u64,
        timestamp: i64,
        at: Instant,
        start: KeyframeStart,
    ) -> RtpPacket {
        use crate::core::forward::packet::Origin;
        RtpPacket {
            origin: Origin {
                source: 1,
                kind: MediaKind::Video,
                layer: None,
                is_default: true,
            },
            epoch: Epoch {
                source: 1,
                number: epoch,
            },
            sequence,
            timestamp,
            captured: at,
            marker: true,
            start,
            payload: [0].into(),
        }
    }

    #[test]
    fn forwarded_numbers_keep_their_distances_and_late_ones_their_place() {
        let (start, mut rewriter) = (Instant::now(), rewriter(MediaKind::Video));
        rewriter.attach(7);
        let mut place = |epoch, sequence, timestamp, what| {
            rewriter.rewrite(7, &packet(epoch, sequence, timestamp, start, what))
        };
        assert_eq!(place(1, 500, 0, KeyframeStart::None), None);
        assert_eq!(
            place(1, 501, 0, KeyframeStart::Picture),
            None,
            "without parameter sets"
        );
        let first = place(1, 510, 3000, KeyframeStart::ParameterSets).expect("a start");
        assert_eq!(
            place(1, 509, 0, KeyframeStart::None),
            None,
            "from before the start"
        );
        let next = place(1, 513, 9000, KeyframeStart::None).expect("follows");
        assert_eq!(next.sequence - first.sequence, 3, "a gap stays one");
        let late = place(1, 512, 6000, KeyframeStart::None).expect("late");
        assert_eq!(late.sequence - first.sequence, 2);
        assert_eq!(next.timestamp.wrapping_sub(late.timestamp), 3000);
        assert_eq!(
            place(2, 9, 9500, KeyframeStart::None),
            None,
            "another run needs a start"
        );
        let other = place(2, 20, 9600, KeyframeStart::ParameterSets).expect("a start");
        assert_eq!(other.sequence - next.sequence, 1, "no gap between the two");
        assert_eq!(other.timestamp.wrapping_sub(next.timestamp), 1);
        assert_eq!(
            place(1, 514, 12_000, KeyframeStart::None),
            None,
            "the run before is over"
        );
    }
}

//! The first pictures of a viewer who comes between two keyframes.
//!
//! He is sent the group of pictures that is kept of the track, at [`SPEED`] times its own pace, while
//! what comes meanwhile queues up behind it. Each picture is stamped with the moment that it is sent, so
//! that the browser shows it then: with the old times it would stay that far behind for good.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::core::frame::Frame;
use crate::core::media::MediaKind;
use crate::id::TrackId;

/// How much faster than in real time. A group of 2 s takes half a second, its bitrate five-fold.
const SPEED: u32 = 5;

/// Time between two pictures at the least, in units of the RTP clock: 1 ms.
const STEP: i64 = 90;

/// Pictures on their way to one viewer.
#[derive(Debug)]
pub struct CatchUp {
    track: TrackId,
    queue: VecDeque<Arc<Frame>>,
    begun: Instant,
    /// When the first picture was taken.
    origin: Instant,
    /// The timestamp of the last picture that was sent.
    sent: Option<i64>,
    /// The newest picture that was sent is the newest there is, at its own time.
    is_done: bool,
}

impl CatchUp {
    /// Begins with a group of pictures; `None` without any.
    pub fn new(group: &[Arc<Frame>], now: Instant) -> Option<Self> {
        let first = group.first()?;
        Some(Self {
            track: first.track,
            queue: group.iter().cloned().collect(),
            begun: now,
            origin: first.captured,
            sent: None,
            is_done: false,
        })
    }

    /// The track that the pictures are of.
    pub fn track(&self) -> TrackId {
        self.track
    }

    /// Whether what comes now can be sent as it comes.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Takes a picture that has come meanwhile. A keyframe makes the ones before it useless.
    pub fn add(&mut self, frame: &Frame) {
        if frame.keyframe {
            self.queue.clear();
            (self.begun, self.origin) = (frame.captured, frame.captured); // it is due at once
        }
        self.queue.push_back(Arc::new(frame.clone()));
    }

    /// The next picture, if it is due, with the time that it is to be shown at.
    pub fn next(&mut self, now: Instant) -> Option<Frame> {
        if self.deadline()? > now {
            return None;
        }
        let newest = self.queue.back()?.clone();
        let frame = self.queue.pop_front()?;
        let mut frame = Frame::clone(&frame);
        let is_ahead = |timestamp: i64| self.sent.is_none_or(|sent| timestamp > sent);
        if self.queue.is_empty() && self.sent.is_some() && is_ahead(frame.timestamp) {
            self.is_done = true;
        } else {
            let age = now.saturating_duration_since(newest.captured).as_nanos();
            let clock = u128::from(MediaKind::Video.clock_rate());
            let at = newest.timestamp + (age * clock / 1_000_000_000) as i64;
            frame.timestamp = self.sent.map_or(at, |sent| at.max(sent + STEP));
            frame.captured = now;
        }
        self.sent = Some(frame.timestamp);
        Some(frame)
    }

    /// When [`CatchUp::next`] gives a picture; `None` until one comes.
    pub fn deadline(&self) -> Option<Instant> {
        let frame = self.queue.front()?;
        let media: Duration = frame.captured.saturating_duration_since(self.origin);
        Some(self.begun + media / SPEED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_millis(40);

    /// Pictures that a group has: 2 s.
    const GROUP: u32 = 50;

    fn picture(start: Instant, number: u32, keyframe: bool) -> Frame {
        Frame {
            track: 1,
            payloads: vec![Arc::from([0x41, 1].as_slice())],
            timestamp: i64::from(number) * 3600,
            captured: start + PERIOD * number,
            keyframe,
        }
    }

    /// What a viewer is sent of a group and of what comes after it, by when after he came.
    fn run(keyframe_at: u32) -> (Vec<(Duration, Frame)>, CatchUp, Instant) {
        let start = Instant::now();
        let group = (0..GROUP).map(|n| Arc::new(picture(start, n, n == 0)));
        let begun = start + PERIOD * (GROUP - 1);
        let mut catch_up = CatchUp::new(&group.collect::<Vec<_>>(), begun).expect("a group");
        let mut sent = Vec::new();
        let mut coming = GROUP;
        for ms in 0..2000 {
            let now = begun + Duration::from_millis(ms);
            if start + PERIOD * coming <= now && !catch_up.is_done() {
                catch_up.add(&picture(start, coming, coming == keyframe_at));
                coming += 1;
            }
            while let Some(frame) = catch_up.next(now) {
                sent.push((now - begun, frame));
            }
        }
        (sent, catch_up, begun)
    }

    #[test]
    fn all_go_faster_than_they_came_until_the_newest_one_goes_at_its_own_time() {
        let (sent, catch_up, begun) = run(u32::MAX);
        assert!(sent[0].0.is_zero() && sent[0].1.keyframe && catch_up.is_done());
        let (at, last) = sent.last().expect("pictures");
        // The group's 2 s shrink by four fifths, and so does what comes in that time.
        assert!(*at < Duration::from_millis(550), "{at:?}");
        assert_eq!(sent.len() as i64 - 1, last.timestamp / 3600);
        for (at, frame) in &sent[..sent.len() - 1] {
            let live = i64::from(GROUP - 1) * 3600 + at.as_millis() as i64 * 90;
            assert!((live..=live + 2 * STEP).contains(&frame.timestamp));
            assert_eq!(frame.captured, begun + *at);
        }
        assert!(
            sent.windows(2)
                .all(|two| two[0].1.timestamp < two[1].1.timestamp)
        );
    }

    #[test]
    fn a_keyframe_makes_the_rest_of_the_group_useless() {
        let (sent, catch_up, _) = run(GROUP + 2);
        let (at, last) = sent.last().expect("pictures");
        assert!(last.keyframe && catch_up.is_done());
        assert_eq!(
            (*at, last.timestamp),
            (PERIOD * 3, i64::from(GROUP + 2) * 3600)
        );
        assert!(sent.len() < 30);
    }

    #[test]
    fn without_a_group_there_is_nothing_to_catch_up_with() {
        assert!(CatchUp::new(&[], Instant::now()).is_none());
    }
}

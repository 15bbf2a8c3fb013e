//! Where frames go: to sinks at once, and into a queue for whoever pulls.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::frame::{Frame, Kind};

/// Access units that may wait to be pulled: 4 s at 30 fps.
const MAX_PICTURES: usize = 120;

/// Frames of sound that may wait to be pulled: 5 s of 20 ms.
const MAX_SOUND: usize = 250;

/// Bytes of a group of pictures that is kept; 8 MiB are 16 s at 4 Mb/s.
const MAX_GROUP: usize = 8 << 20;

/// Takes frames on the thread that receives them, so it must not block.
pub trait Sink: Send {
    /// Takes the group of pictures that came before the sink did, maybe an empty one; `false` if it is
    /// not to get any more.
    fn begin(&mut self, group: &[Frame]) -> bool;

    /// Takes a frame; `false` if it is not to get any more.
    fn push(&mut self, frame: &Frame) -> bool;
}

/// What is put into the queue.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Wanted {
    pub video: bool,
    pub audio: bool,
}

/// What was received, and what became of it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    pub frames: u64,
    /// Frames that found no room in the queue.
    pub dropped: u64,
    /// Frames that lean on something that is missing, and were not forwarded.
    pub incomplete: u64,
}

/// Why and how a stream ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ended {
    /// `None` where it was closed from this side.
    pub reason: Option<String>,
    /// Whether what came made no sense, so that another client may fare better.
    pub is_unsupported: bool,
}

/// What the receiving thread and the handles share.
#[derive(Default)]
pub struct Outlet {
    state: Mutex<State>,
    /// Something was put into the queue, or it ended.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    wanted: Wanted,
    queue: VecDeque<Frame>,
    /// Pictures were dropped from the queue; it goes on at a keyframe.
    has_gap: bool,
    /// The newest group of pictures, from its keyframe on; empty where it is too large.
    group: Vec<Frame>,
    group_bytes: usize,
    /// No picture is missing since a keyframe.
    is_whole: bool,
    sinks: Vec<Box<dyn Sink>>,
    counters: Counters,
    ended: Option<Ended>,
}

impl Outlet {
    /// Hands on a frame.
    pub fn offer(&self, frame: Frame) {
        let mut state = self.lock();
        state.counters.frames += 1;
        if state.forwards(&frame) {
            state.sinks.retain_mut(|sink| sink.push(&frame));
        } else {
            state.counters.incomplete += 1;
        }
        if state.enqueue(frame) {
            self.changed.notify_all();
        }
    }

    /// Adds a sink, which gets the group of pictures that is kept at once.
    pub fn forward(&self, mut sink: Box<dyn Sink>) {
        let mut state = self.lock();
        if sink.begin(&state.group) {
            state.sinks.push(sink);
        }
    }

    /// Says what is put into the queue from now on. Pictures begin with those of the group that is
    /// kept.
    pub fn want(&self, wanted: Wanted) {
        let mut state = self.lock();
        let before = std::mem::replace(&mut state.wanted, wanted);
        state.queue.retain(|frame| match frame.kind {
            Kind::Video => wanted.video,
            Kind::Audio => wanted.audio,
        });
        if wanted.video && !before.video {
            state.has_gap = false;
            let group = state.group.clone();
            for frame in group {
                state.enqueue(frame);
            }
            self.changed.notify_all();
        }
    }

    /// Takes what waits, at most `max` frames; waits for something up to `patience`.
    pub fn pull(&self, max: usize, patience: Duration) -> Vec<Frame> {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        while state.queue.is_empty() && state.ended.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let count = max.min(state.queue.len());
        state.queue.drain(..count).collect()
    }

    /// The newest group of pictures, from its keyframe on.
    pub fn group(&self) -> Vec<Frame> {
        self.lock().group.clone()
    }

    /// Says that nothing more comes; the first reason counts.
    pub fn end(&self, ended: Ended) {
        let mut state = self.lock();
        state.ended.get_or_insert(ended);
        state.sinks.clear();
        self.changed.notify_all();
    }

    /// How it ended, if it did.
    pub fn ended(&self) -> Option<Ended> {
        self.lock().ended.clone()
    }

    pub fn counters(&self) -> Counters {
        self.lock().counters
    }

    /// A poisoned lock is taken all the same: a sink that panicked ends its stream, nothing else.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Keeps a frame in its group. Whether it can be shown: nothing that it leans on is missing.
    fn forwards(&mut self, frame: &Frame) -> bool {
        if frame.kind == Kind::Audio {
            return true;
        }
        self.is_whole = frame.keyframe || (self.is_whole && !frame.after_loss);
        if !self.is_whole {
            return false;
        }
        if frame.keyframe {
            self.group.clear();
            self.group_bytes = 0;
        }
        if frame.keyframe || !self.group.is_empty() {
            self.group_bytes += frame.data.len();
            if self.group_bytes > MAX_GROUP {
                self.group.clear();
            } else {
                self.group.push(frame.clone());
            }
        }
        true
    }

    /// Puts a frame into the queue, if it is wanted; whether it did.
    fn enqueue(&mut self, frame: Frame) -> bool {
        let (is_wanted, limit) = match frame.kind {
            Kind::Video => (self.wanted.video, MAX_PICTURES),
            Kind::Audio => (self.wanted.audio, MAX_SOUND),
        };
        if !is_wanted {
            return false;
        }
        let is_same = |queued: &Frame| queued.kind == frame.kind;
        if self.queue.iter().filter(|queued| is_same(queued)).count() >= limit {
            match frame.kind {
                // What follows a picture needs it, so only a keyframe helps.
                Kind::Video => {
                    let before = self.queue.len();
                    self.queue.retain(|queued| queued.kind != Kind::Video);
                    self.counters.dropped += (before - self.queue.len()) as u64;
                    self.has_gap = true;
                }
                Kind::Audio => {
                    if let Some(oldest) = self.queue.iter().position(is_same) {
                        self.queue.remove(oldest);
                        self.counters.dropped += 1;
                    }
                }
            }
        }
        let mut frame = frame;
        if self.has_gap && frame.kind == Kind::Video {
            if !frame.keyframe {
                self.counters.dropped += 1;
                return false;
            }
            self.has_gap = false;
            frame.after_loss = true;
        }
        self.queue.push_back(frame);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;

    fn frame(kind: Kind, number: i64, keyframe: bool) -> Frame {
        let now = Instant::now();
        Frame {
            kind,
            data: Bytes::from_static(b"data"),
            timestamp: number,
            clock_rate: 90_000,
            arrived: now,
            placed: now,
            report: None,
            keyframe,
            after_loss: false,
        }
    }

    fn picture(number: i64, keyframe: bool) -> Frame {
        frame(Kind::Video, number, keyframe)
    }

    fn numbers(frames: &[Frame]) -> Vec<i64> {
        frames.iter().map(|frame| frame.timestamp).collect()
    }

    const ALL: Wanted = Wanted {
        video: true,
        audio: true,
    };

    /// Notes what it gets, and goes after so many.
    struct Notes(Arc<Mutex<Vec<(i64, bool)>>>, usize);

    impl Sink for Notes {
        fn begin(&mut self, group: &[Frame]) -> bool {
            let mut notes = self.0.lock().expect("not poisoned");
            notes.extend(group.iter().map(|frame| (frame.timestamp, true)));
            true
        }

        fn push(&mut self, frame: &Frame) -> bool {
            let mut notes = self.0.lock().expect("not poisoned");
            notes.push((frame.timestamp, false));
            notes.len() < self.1
        }
    }

    #[test]
    fn a_sink_gets_the_group_and_then_what_comes() {
        let (outlet, notes) = (Outlet::default(), Arc::default());
        for number in 0..5 {
            outlet.offer(picture(number, number % 3 == 0));
        }
        outlet.forward(Box::new(Notes(Arc::clone(&notes), 4)));
        for number in 5..9 {
            outlet.offer(picture(number, false));
        }
        let notes = notes.lock().expect("not poisoned").clone();
        assert_eq!(notes, [(3, true), (4, true), (5, false), (6, false)]);
    }

    #[test]
    fn what_leans_on_a_lost_picture_is_not_forwarded() {
        let (outlet, notes) = (Outlet::default(), Arc::default());
        outlet.forward(Box::new(Notes(Arc::clone(&notes), 100)));
        outlet.offer(picture(0, false));
        outlet.offer(picture(1, true));
        let mut lost = picture(2, false);
        lost.after_loss = true;
        outlet.offer(lost);
        outlet.offer(picture(3, false));
        outlet.offer(frame(Kind::Audio, 4, true));
        outlet.offer(picture(5, true));
        let seen: Vec<i64> = notes
            .lock()
            .expect("not poisoned")
            .iter()
            .map(|n| n.0)
            .collect();
        assert_eq!(seen, [1, 4, 5]);
        assert_eq!(outlet.counters().incomplete, 3);
    }

    #[test]
    fn only_what_is_wanted_waits_and_pictures_begin_with_their_group() {
        let outlet = Outlet::default();
        outlet.offer(picture(0, true));
        outlet.offer(picture(1, false));
        outlet.offer(frame(Kind::Audio, 2, true));
        assert!(outlet.pull(9, Duration::ZERO).is_empty());
        outlet.want(ALL);
        outlet.offer(frame(Kind::Audio, 3, true));
        assert_eq!(numbers(&outlet.pull(2, Duration::ZERO)), [0, 1]);
        assert_eq!(numbers(&outlet.pull(2, Duration::ZERO)), [3]);
        outlet.want(Wanted::default());
        outlet.offer(picture(4, true));
        assert!(outlet.pull(9, Duration::ZERO).is_empty());
    }

    #[test]
    fn a_full_queue_drops_all_pictures_up_to_a_keyframe_and_the_oldest_sound() {
        let outlet = Outlet::default();
        outlet.want(ALL);
        for number in 0..MAX_PICTURES as i64 + 2 {
            outlet.offer(picture(number, number == 0));
        }
        for number in 0..MAX_SOUND as i64 + 3 {
            outlet.offer(frame(Kind::Audio, 1000 + number, true));
        }
        outlet.offer(picture(500, true));
        let frames = outlet.pull(9999, Duration::ZERO);
        assert_eq!(frames.len(), MAX_SOUND + 1);
        assert_eq!(frames[0].timestamp, 1003);
        assert!(frames[MAX_SOUND].after_loss);
        assert_eq!(outlet.counters().dropped, MAX_PICTURES as u64 + 2 + 3);
    }

    #[test]
    fn whoever_waits_is_woken_by_the_end() {
        let outlet = Arc::new(Outlet::default());
        let theirs = Arc::clone(&outlet);
        let waiting = std::thread::spawn(move || theirs.pull(1, Duration::from_secs(60)).len());
        outlet.end(Ended {
            reason: Some("gone".into()),
            is_unsupported: false,
        });
        assert_eq!(waiting.join().expect("it ends"), 0);
        assert_eq!(
            outlet.ended().and_then(|ended| ended.reason),
            Some("gone".into())
        );
    }
}

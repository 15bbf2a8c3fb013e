//! Frames that wait for the owner of a receiving peer.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::frame::{Codec, ReceivedFrame};

/// Frames that may wait: ten seconds of 60 pictures and 100 packets of sound.
pub const MAX_FRAMES: usize = 1600;

/// Their bytes: ten seconds of 1080p at a rate that no browser reaches by itself.
pub const MAX_BYTES: usize = 16 << 20;

/// What a peer and its owner share. Filled by one [`Writer`], and there until both are gone.
#[derive(Debug, Default)]
pub struct Inbox {
    state: Mutex<Contents>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Contents {
    frames: VecDeque<ReceivedFrame>,
    bytes: usize,
    codecs: Vec<Codec>,
    layers: Vec<String>,
    has_ended: bool,
}

impl Inbox {
    /// Takes the oldest frames, at most so many.
    pub fn pull(&self, max: usize) -> Vec<ReceivedFrame> {
        let mut state = self.lock();
        let count = max.min(state.frames.len());
        let frames: Vec<ReceivedFrame> = state.frames.drain(..count).collect();
        state.bytes -= frames.iter().map(|frame| frame.data.len()).sum::<usize>();
        frames
    }

    /// What the newest answer accepted.
    pub fn codecs(&self) -> Vec<Codec> {
        self.lock().codecs.clone()
    }

    /// The simulcast layers that the newest answer accepted.
    pub fn layers(&self) -> Vec<String> {
        self.lock().layers.clone()
    }

    /// Waits until no frame follows, or so long at most.
    pub fn wait_for_end(&self, limit: Duration) {
        let state = self.lock();
        // Either way there is nothing more to do than to go on.
        let _ = self
            .ended
            .wait_timeout_while(state, limit, |state| !state.has_ended);
    }

    /// A poisoned lock is taken all the same: see `push`, the only change in more than one step.
    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end that frames are put in at. No frame follows once it is dropped.
#[derive(Debug)]
pub struct Writer(Arc<Inbox>);

impl Writer {
    pub fn new(inbox: Arc<Inbox>) -> Self {
        Self(inbox)
    }

    /// Adds a frame; `false` if there is no room, and it is dropped.
    pub fn push(&self, frame: ReceivedFrame) -> bool {
        let mut state = self.0.lock();
        let bytes = state.bytes + frame.data.len();
        if state.frames.len() >= MAX_FRAMES || bytes > MAX_BYTES {
            return false;
        }
        state.frames.push_back(frame);
        state.bytes = bytes;
        true
    }

    pub fn set_codecs(&self, codecs: Vec<Codec>) {
        self.0.lock().codecs = codecs;
    }

    pub fn set_layers(&self, layers: Vec<String>) {
        self.0.lock().layers = layers;
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.lock().has_ended = true;
        self.0.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn frame(size: usize, timestamp: u64) -> ReceivedFrame {
        ReceivedFrame {
            codec: Codec::Opus,
            data: vec![0; size],
            timestamp,
            arrived: Instant::now(),
            report: None,
            keyframe: true,
            after_loss: false,
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_and_room_comes_back() {
        let inbox = Arc::<Inbox>::default();
        let writer = Writer::new(inbox.clone());
        let mut accepted = 0;
        while writer.push(frame(1 << 20, accepted)) {
            accepted += 1;
        }
        assert_eq!(accepted, 16);
        assert_eq!(inbox.pull(3).len(), 3);
        assert!(writer.push(frame(3 << 20, 16)));
        assert!(!writer.push(frame(1, 17)));
        let rest: Vec<u64> = inbox.pull(99).iter().map(|frame| frame.timestamp).collect();
        assert_eq!(rest, (3..=16).collect::<Vec<u64>>());
        let small = (0..).take_while(|n| writer.push(frame(1, *n))).count();
        assert_eq!(small, MAX_FRAMES);
    }

    #[test]
    fn frames_outlive_the_writer_and_waiting_ends_with_it() {
        let inbox = Arc::<Inbox>::default();
        let writer = Writer::new(inbox.clone());
        assert!(writer.push(frame(10, 0)));
        let waiting = inbox.clone();
        let thread = std::thread::spawn(move || {
            waiting.wait_for_end(Duration::from_secs(60));
            waiting.pull(10).len()
        });
        drop(writer);
        assert_eq!(thread.join().expect("no panic"), 1);
    }
}

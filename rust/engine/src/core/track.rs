//! A stream of encoded access units that any number of peers receive.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::forward::packet::RtpPacket;
pub use super::frame::Frame;
use super::group::Group;
use super::media::MediaKind;
use super::meter::Meter;
use crate::id::{PeerId, TrackId};

/// What a track's owner and the engine share.
#[derive(Debug)]
pub struct TrackState {
    pub id: TrackId,
    pub kind: MediaKind,
    /// Frames that wait in the engine's queue.
    pub queued: AtomicUsize,
    /// A frame was thrown away before the engine saw it: what follows needs a keyframe.
    pub gap: AtomicBool,
    pub closed: AtomicBool,
    pub viewers: AtomicUsize,
    /// How long the oldest packet to the only viewer waits for its turn, in ms.
    pub backlog_ms: AtomicU32,
    meter: Mutex<Meter>,
}

impl TrackState {
    pub fn new(id: TrackId, kind: MediaKind) -> Arc<Self> {
        Arc::new(Self {
            id,
            kind,
            queued: AtomicUsize::new(0),
            gap: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            viewers: AtomicUsize::new(0),
            backlog_ms: AtomicU32::new(0),
            meter: Mutex::default(),
        })
    }

    /// What came in of it over the last second, in bit/s.
    pub fn bitrate(&self, now: Instant) -> u64 {
        self.meter().bitrate(now)
    }

    /// Pictures or audio packets that came in since the start.
    pub fn frames(&self) -> u64 {
        self.meter().frames()
    }

    /// A poisoned lock is taken all the same: a count may be wrong by one, nothing else.
    fn meter(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The engine's side of a track: who receives it.
#[derive(Debug)]
pub struct Track {
    pub state: Arc<TrackState>,
    viewers: BTreeSet<PeerId>,
    /// Kept where nobody can ask for a keyframe.
    group: Option<Group>,
}

impl Track {
    pub fn new(state: Arc<TrackState>) -> Self {
        Self {
            state,
            viewers: BTreeSet::new(),
            group: None,
        }
    }

    /// Keeps the newest group of pictures from now on, beginning with this one.
    pub fn prime(&mut self, frames: Vec<Frame>) {
        let mut group = Group::default();
        for frame in frames {
            group.add(frame);
        }
        self.group = Some(group);
    }

    /// Keeps a frame with its group, where groups are kept. `is_gap`: one before it is missing.
    pub fn keep(&mut self, frame: &Frame, is_gap: bool) {
        if let Some(group) = &mut self.group {
            if is_gap {
                group.clear();
            }
            group.add(frame.clone());
        }
    }

    /// The newest group of pictures; empty where none is kept.
    pub fn group(&self) -> &[Arc<Frame>] {
        self.group.as_ref().map_or(&[], Group::frames)
    }

    pub fn add(&mut self, peer: PeerId) {
        self.viewers.insert(peer);
        self.publish();
    }

    pub fn remove(&mut self, peer: PeerId) {
        self.viewers.remove(&peer);
        self.publish();
    }

    pub fn viewers(&self) -> Vec<PeerId> {
        self.viewers.iter().copied().collect()
    }

    /// Counts what has come from a source.
    pub fn measure(&self, now: Instant, packets: &[&RtpPacket]) {
        let bytes = packets.iter().map(|packet| packet.payload.len()).sum();
        let ends = packets.iter().filter(|packet| packet.marker).count();
        let frames = match self.state.kind {
            MediaKind::Video => ends,
            MediaKind::Audio => packets.len(),
        };
        self.state.meter().add(now, bytes, frames as u64);
    }

    /// Counts what was pushed.
    pub fn measure_frame(&self, now: Instant, frame: &Frame) {
        let bytes = frame.payloads.iter().map(|payload| payload.len()).sum();
        self.state.meter().add(now, bytes, 1);
    }

    fn publish(&self) {
        self.state
            .viewers
            .store(self.viewers.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_viewers_is_visible_outside() {
        let state = TrackState::new(1, MediaKind::Video);
        let mut track = Track::new(state.clone());
        track.add(4);
        track.add(4);
        track.add(5);
        assert_eq!(state.viewers.load(Ordering::Relaxed), 2);
        track.remove(4);
        assert_eq!(track.viewers(), vec![5]);
        assert_eq!(state.viewers.load(Ordering::Relaxed), 1);
    }
}

//! A stream of encoded access units that any number of peers receive.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::forward::packet::RtpPacket;
use super::media::MediaKind;
use super::meter::Meter;
use super::nal;
use super::send::packetize;
use crate::error::EngineError;
use crate::id::{PeerId, TrackId};

/// The largest Opus packet taken: 120 ms at 510 kb/s is 7.6 KiB in theory, what fits one datagram
/// in practice. libopus at 20 ms stays below 1276 bytes.
const MAX_OPUS: usize = 1400;

/// One access unit, cut into RTP payloads once for all its viewers.
#[derive(Debug)]
pub struct Frame {
    pub track: TrackId,
    pub payloads: Vec<Arc<[u8]>>,
    /// Media time in units of the RTP clock.
    pub timestamp: i64,
    /// When that moment of media was taken.
    pub captured: Instant,
    pub keyframe: bool,
}

impl Frame {
    /// Packetises an access unit.
    pub fn new(
        track: TrackId,
        kind: MediaKind,
        data: &[u8],
        timestamp: i64,
        captured: Instant,
        keyframe: bool,
    ) -> Result<Self, EngineError> {
        let payloads = match kind {
            MediaKind::Video if data.len() > nal::MAX_ACCESS_UNIT => {
                return Err(EngineError::Frame(format!(
                    "access unit of {} bytes; at most {} are taken",
                    data.len(),
                    nal::MAX_ACCESS_UNIT
                )));
            }
            MediaKind::Video => packetize::packetize(data, packetize::MAX_PAYLOAD),
            MediaKind::Audio if data.is_empty() || data.len() > MAX_OPUS => {
                return Err(EngineError::Frame(format!(
                    "Opus packet of {} bytes; 1 to {MAX_OPUS} are taken",
                    data.len()
                )));
            }
            MediaKind::Audio => vec![Arc::from(data)],
        };
        if payloads.is_empty() {
            return Err(EngineError::Frame(
                "no NAL unit in the access unit; H.264 is taken as Annex B".into(),
            ));
        }
        Ok(Self {
            track,
            payloads,
            timestamp,
            captured,
            keyframe,
        })
    }
}

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
}

impl Track {
    pub fn new(state: Arc<TrackState>) -> Self {
        Self {
            state,
            viewers: BTreeSet::new(),
        }
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

    fn frame(kind: MediaKind, data: &[u8]) -> Result<Frame, EngineError> {
        Frame::new(1, kind, data, 0, Instant::now(), true)
    }

    #[test]
    fn what_cannot_be_sent_is_refused_with_a_reason() {
        for (kind, data) in [
            (MediaKind::Video, vec![]),
            (MediaKind::Video, vec![7; 100]),
            (MediaKind::Video, vec![0; nal::MAX_ACCESS_UNIT + 1]),
            (MediaKind::Audio, vec![]),
            (MediaKind::Audio, vec![1; MAX_OPUS + 1]),
        ] {
            assert!(matches!(frame(kind, &data), Err(EngineError::Frame(_))));
        }
        assert_eq!(
            frame(MediaKind::Audio, &[1; MAX_OPUS]).map(|f| f.payloads.len()),
            Ok(1)
        );
    }

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

//! What the engine tells its owner, and the queue in which that waits.

use std::collections::VecDeque;

use crate::core::media::MediaKind;
use crate::id::{PeerId, TrackId};

/// Something that happened to a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The first connectivity check with this call's credentials came and was answered: whoever
    /// offered is there, on UDP. Once for a peer, before `PeerConnected`.
    PeerReached { peer: PeerId },
    /// ICE and DTLS are up. Once for a peer.
    PeerConnected { peer: PeerId },
    /// The peer is gone; the last event that names it.
    ///
    /// Where it never came up, `pairs` has what was tried, a line each, for people.
    PeerDisconnected {
        peer: PeerId,
        reason: String,
        pairs: Vec<String>,
    },
    /// A viewer needs a keyframe of this track.
    KeyframeRequested { peer: PeerId, track: TrackId },
    /// What the path to this peer carries, in bit/s.
    BitrateEstimated { peer: PeerId, bitrate: u64 },
    /// The first packet of a stream of a peer whose packets are forwarded, or the first after a
    /// silence of two seconds. `layer` is the simulcast layer, empty without simulcast.
    MediaStarted {
        peer: PeerId,
        kind: MediaKind,
        layer: String,
    },
    /// A viewer's video is dropped to a later keyframe, or goes on.
    PeerCongested { peer: PeerId, congested: bool },
}

/// Waiting events, oldest first.
///
/// Bounded by construction, without dropping a state event: a peer has at most one
/// `PeerReached`, one `PeerConnected` and one `PeerDisconnected`, one waiting keyframe request per track, one waiting
/// `MediaStarted` per stream, and the newest estimate and word of congestion. Estimates that are
/// folded into a waiting one are counted.
#[derive(Debug, Default)]
pub struct EventQueue {
    events: VecDeque<Event>,
    merged: u64,
}

impl EventQueue {
    /// Adds an event, or folds it into one that waits.
    pub fn push(&mut self, event: Event) {
        match &event {
            Event::BitrateEstimated { peer, bitrate } => {
                for waiting in &mut self.events {
                    if let Event::BitrateEstimated {
                        peer: p,
                        bitrate: b,
                    } = waiting
                        && p == peer
                    {
                        *b = *bitrate;
                        self.merged += 1;
                        return;
                    }
                }
            }
            Event::PeerCongested { peer, congested } => {
                for waiting in &mut self.events {
                    if let Event::PeerCongested {
                        peer: p,
                        congested: c,
                    } = waiting
                        && p == peer
                    {
                        *c = *congested;
                        return;
                    }
                }
            }
            Event::KeyframeRequested { .. } | Event::MediaStarted { .. }
                if self.events.contains(&event) =>
            {
                return;
            }
            _ => {}
        }
        self.events.push_back(event);
    }

    /// Takes all that wait.
    pub fn take(&mut self) -> Vec<Event> {
        self.events.drain(..).collect()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Estimates folded into a newer one since the start.
    pub fn merged(&self) -> u64 {
        self.merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_estimate_of_a_peer_replaces_the_waiting_one() {
        let mut queue = EventQueue::default();
        queue.push(Event::BitrateEstimated {
            peer: 1,
            bitrate: 10,
        });
        queue.push(Event::BitrateEstimated {
            peer: 2,
            bitrate: 20,
        });
        queue.push(Event::BitrateEstimated {
            peer: 1,
            bitrate: 30,
        });
        assert_eq!(
            queue.take(),
            vec![
                Event::BitrateEstimated {
                    peer: 1,
                    bitrate: 30
                },
                Event::BitrateEstimated {
                    peer: 2,
                    bitrate: 20
                },
            ]
        );
        assert_eq!(queue.merged(), 1);
    }

    #[test]
    fn a_flood_of_keyframe_requests_waits_as_one_and_state_events_keep_their_order() {
        let mut queue = EventQueue::default();
        queue.push(Event::PeerConnected { peer: 1 });
        for _ in 0..1000 {
            queue.push(Event::KeyframeRequested { peer: 1, track: 7 });
        }
        queue.push(Event::PeerDisconnected {
            peer: 1,
            reason: "closed by peer".into(),
            pairs: vec![],
        });
        assert_eq!(
            queue.take(),
            vec![
                Event::PeerConnected { peer: 1 },
                Event::KeyframeRequested { peer: 1, track: 7 },
                Event::PeerDisconnected {
                    peer: 1,
                    reason: "closed by peer".into(),
                    pairs: vec![],
                },
            ]
        );
        assert!(queue.is_empty());
    }
}

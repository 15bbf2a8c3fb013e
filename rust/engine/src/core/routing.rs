//! Routes: what the core does with packets that are to be forwarded.

use std::time::Instant;

use str0m::media::Rid;

use super::Core;
use super::context::Outbound;
use super::forward::packet::RtpPacket;
use super::forward::router::TrackRoute;
use crate::event::Event;
use crate::id::{PeerId, TrackId};

impl Core {
    /// Feeds a track with what a source sends of its kind, in place of what fed it before. The
    /// viewers go on without a jump, video at the next keyframe. `layer` is a simulcast layer,
    /// `None` the only or the default one.
    pub fn route(&mut self, source: PeerId, track: TrackId, layer: Option<Rid>) {
        let Some(kind) = self.tracks.get(&track).map(|track| track.state.kind) else {
            return;
        };
        let source = self.peers.contains_key(&source).then_some((source, layer));
        self.routing.set(TrackRoute {
            track,
            kind,
            source,
        });
        self.wishes.insert(track);
    }

    /// Feeds a track with nothing any more.
    pub fn unroute(&mut self, track: TrackId) {
        self.routing.remove(track);
    }

    /// Whether a track is fed by a route.
    pub fn is_routed(&self, track: TrackId) -> bool {
        self.routing.of(track).is_some()
    }

    /// Forwards what has arrived since the last call, and passes on who needs a keyframe. To be
    /// called after everything that moves the core: what has come at once goes out at once, and
    /// costs less than one by one.
    pub fn forward(&mut self, now: Instant, out: &mut dyn Outbound) {
        if self.routing.is_empty() {
            self.arrivals.clear();
            return;
        }
        let arrivals = std::mem::take(&mut self.arrivals);
        if !arrivals.is_empty() {
            for i in 0..self.routing.all().len() {
                let route = self.routing.all()[i];
                let taken = arrivals.iter().filter(|packet| route.takes(packet));
                let packets: Vec<&RtpPacket> = taken.collect();
                if !packets.is_empty() {
                    self.forward_to(route.track, &packets, now, out);
                }
            }
            self.arrivals = arrivals;
            self.arrivals.clear();
        }
        self.grant_wishes(now, out);
    }

    fn forward_to(
        &mut self,
        track: TrackId,
        packets: &[&RtpPacket],
        now: Instant,
        out: &mut dyn Outbound,
    ) {
        let Some(target) = self.tracks.get(&track) else {
            return;
        };
        target.measure(now, packets);
        for viewer in target.viewers() {
            let switched = self.with_viewer(viewer, now, out, |peer, context| {
                peer.forward(now, track, packets, context)
            });
            if switched == Some(true) {
                self.update_viewer(viewer);
            }
        }
    }

    /// Asks the sources for the keyframes that their viewers need; their owner is not told.
    fn grant_wishes(&mut self, now: Instant, out: &mut dyn Outbound) {
        let (routing, wishes) = (&self.routing, &mut self.wishes);
        self.events.retain(|event| match event {
            Event::KeyframeRequested { track, .. } if routing.of(*track).is_some() => {
                wishes.insert(*track);
                false
            }
            _ => true,
        });
        while let Some(track) = self.wishes.pop_first() {
            let source = self.routing.of(track).and_then(|route| route.source);
            if let Some((source, layer)) = source {
                self.with_peer(source, now, out, |peer, _| peer.need_keyframe(now, layer));
            }
        }
    }
}

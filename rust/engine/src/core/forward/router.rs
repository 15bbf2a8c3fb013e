//! Which stream of which publisher each track carries.

use str0m::media::Rid;

use super::packet::RtpPacket;
use crate::core::media::MediaKind;
use crate::id::{PeerId, TrackId};

/// A track and what feeds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackRoute {
    pub track: TrackId,
    pub kind: MediaKind,
    /// The publisher and its simulcast layer, `None` the default one. A track whose publisher has
    /// gone waits for the next.
    pub source: Option<(PeerId, Option<Rid>)>,
}

impl TrackRoute {
    /// Whether the track carries this packet.
    pub fn takes(&self, packet: &RtpPacket) -> bool {
        let origin = &packet.origin;
        self.source.is_some_and(|(peer, layer)| {
            (origin.source, origin.kind) == (peer, self.kind) && origin.is_layer(layer)
        })
    }
}

/// Every route: a few for each publisher.
#[derive(Debug, Default)]
pub struct Router {
    routes: Vec<TrackRoute>,
}

impl Router {
    /// Feeds a track from another publisher.
    pub fn set(&mut self, route: TrackRoute) {
        self.remove(route.track);
        self.routes.push(route);
    }

    /// Feeds a track from no publisher any more.
    pub fn remove(&mut self, track: TrackId) {
        self.routes.retain(|route| route.track != track);
    }

    /// Forgets a publisher; its tracks wait for another.
    pub fn forget(&mut self, peer: PeerId) {
        for route in &mut self.routes {
            if route.source.is_some_and(|(source, _)| source == peer) {
                route.source = None;
            }
        }
    }

    pub fn of(&self, track: TrackId) -> Option<&TrackRoute> {
        self.routes.iter().find(|route| route.track == track)
    }

    pub fn all(&self) -> &[TrackRoute] {
        &self.routes
    }

    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }
}

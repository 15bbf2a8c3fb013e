//! Which stream of which source each track carries.

use str0m::media::Rid;

use super::Arrived;
use crate::core::track::MediaKind;
use crate::core::{PeerId, TrackId};

/// A track and what feeds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub track: TrackId,
    pub kind: MediaKind,
    /// Where it comes from now: peer and simulcast layer, `None` the default one. A track whose
    /// source has gone waits for the next.
    pub source: Option<(PeerId, Option<Rid>)>,
}

impl Route {
    pub fn takes(&self, packet: &Arrived) -> bool {
        self.source
            .is_some_and(|(peer, layer)| packet.is_of(peer, self.kind, layer))
    }
}

/// Every route: a few for each source.
#[derive(Debug, Default)]
pub struct Routing {
    routes: Vec<Route>,
}

impl Routing {
    /// Feeds a track from another source.
    pub fn set(&mut self, route: Route) {
        self.remove(route.track);
        self.routes.push(route);
    }

    /// Feeds a track from no source any more.
    pub fn remove(&mut self, track: TrackId) {
        self.routes.retain(|route| route.track != track);
    }

    /// Forgets a source; its tracks wait for another.
    pub fn forget(&mut self, peer: PeerId) {
        for route in &mut self.routes {
            if route.source.is_some_and(|(source, _)| source == peer) {
                route.source = None;
            }
        }
    }

    pub fn of(&self, track: TrackId) -> Option<&Route> {
        self.routes.iter().find(|route| route.track == track)
    }

    pub fn all(&self) -> &[Route] {
        &self.routes
    }

    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }
}

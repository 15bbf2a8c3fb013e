//! The protocol side of the engine, without a socket and without a clock.
//!
//! [`Core`] is driven from outside: every method that moves it takes `now`, and hands datagrams
//! to an [`Outbound`]. After any call, [`Core::next_deadline`] says when to call
//! [`Core::expire`] at the latest, and [`Core::take_events`] what has happened.

mod answering;
pub mod context;
mod drive;
mod forward;
mod forwarding;
pub mod ice;
pub mod media;
mod meter;
pub mod nal;
pub mod options;
pub mod peer;
mod publisher;
pub mod receive;
mod routing;
pub mod sdp;
pub mod send;
pub mod timers;
pub mod track;
mod viewing;

use std::any::Any;
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use str0m::Candidate;
use str0m::ice::StunMessage;

use self::context::{Context, Outbound};
use self::drive::Driven;
use self::forward::packet::RtpPacket;
use self::forward::router::Router;
use self::ice::demux::{Class, Routes, classify};
use self::media::MediaKind;
use self::options::{Local, PeerOptions};
use self::peer::Peer;
use self::receive::inbox::Writer;
use self::receive::options::ReceiverOptions;
use self::timers::Timers;
use self::track::{Frame, Track, TrackState};
use crate::error::EngineError;
use crate::event::Event;
use crate::id::{PeerId, TrackId};
use crate::stats::{Counters, PeerStats};

/// Every peer and track.
pub struct Core {
    local: Local,
    peers: HashMap<PeerId, Peer>,
    tracks: HashMap<TrackId, Track>,
    routes: Routes,
    timers: Timers,
    events: Vec<Event>,
    routing: Router,
    arrivals: Vec<RtpPacket>,
    /// Routed tracks of which a keyframe is needed.
    wishes: BTreeSet<TrackId>,
    counters: Arc<Counters>,
}

impl Core {
    pub fn new(local: Local, counters: Arc<Counters>) -> Self {
        Self {
            local,
            peers: HashMap::new(),
            tracks: HashMap::new(),
            routes: Routes::default(),
            timers: Timers::default(),
            events: Vec::new(),
            routing: Router::default(),
            arrivals: Vec::new(),
            wishes: BTreeSet::new(),
            counters,
        }
    }

    pub fn peers(&self) -> usize {
        self.peers.len()
    }

    pub fn tracks(&self) -> usize {
        self.tracks.len()
    }

    /// Makes a peer that waits for its offer.
    pub fn create_peer(&mut self, id: PeerId, options: PeerOptions, now: Instant) {
        self.peers.insert(id, Peer::new(id, options, now));
    }

    /// Makes a peer that waits for its offer and receives into an inbox.
    pub fn create_receiver(&mut self, id: PeerId, inbox: Writer, now: Instant) {
        self.create_receiver_with(id, inbox, ReceiverOptions::default(), now);
    }

    /// The same, with a say in what becomes of what it sends.
    pub fn create_receiver_with(
        &mut self,
        id: PeerId,
        inbox: Writer,
        options: ReceiverOptions,
        now: Instant,
    ) {
        let peer = Peer::receiving(id, inbox, options, now);
        self.peers.insert(id, peer);
    }

    /// Answers an offer.
    pub fn accept_offer(
        &mut self,
        id: PeerId,
        sdp: &str,
        now: Instant,
        out: &mut dyn Outbound,
    ) -> Result<String, EngineError> {
        let local = self.local.clone();
        self.with_peer(id, now, out, |peer, context| {
            peer.accept_offer(now, sdp, &local, context)
        })
        .unwrap_or(Err(EngineError::Closed("peer")))
    }

    /// Takes a remote candidate.
    pub fn add_candidate(
        &mut self,
        id: PeerId,
        candidate: Candidate,
        now: Instant,
        out: &mut dyn Outbound,
    ) {
        self.with_peer(id, now, out, |peer, _| peer.add_candidate(now, candidate));
    }

    /// The remote side has a candidate whose address it does not tell.
    pub fn add_hidden_candidate(&mut self, id: PeerId) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.attempts.add_hidden();
        }
    }

    /// Asks a sender for a keyframe.
    pub fn request_keyframe(&mut self, id: PeerId, now: Instant, out: &mut dyn Outbound) {
        self.with_peer(id, now, out, |peer, _| peer.request_keyframe(now));
    }

    /// Limits what a sender may send, in bit/s; 0 lifts the limit.
    pub fn limit_bitrate(
        &mut self,
        id: PeerId,
        bitrate: u64,
        now: Instant,
        out: &mut dyn Outbound,
    ) {
        self.with_peer(id, now, out, |peer, _| peer.limit_bitrate(bitrate, now));
    }

    /// Lets the estimate of a viewer of routed tracks show whether its path carries so much, in
    /// bit/s.
    pub fn probe(&mut self, id: PeerId, bitrate: u64, now: Instant, out: &mut dyn Outbound) {
        self.with_peer(id, now, out, |peer, _| peer.probe(bitrate));
    }

    /// Says goodbye to a peer and forgets it. No event follows.
    pub fn close_peer(&mut self, id: PeerId, now: Instant, out: &mut dyn Outbound) {
        self.with_peer(id, now, out, |peer, _| peer.close());
        self.forget(id, now);
        // The goodbye may have been answered by an event about what the owner wanted anyway.
        self.events
            .retain(|event| !matches!(event, Event::PeerDisconnected { peer, .. } if *peer == id));
    }

    /// Says goodbye to all.
    pub fn close(&mut self, now: Instant, out: &mut dyn Outbound) {
        let all: Vec<PeerId> = self.peers.keys().copied().collect();
        for id in all {
            self.close_peer(id, now, out);
        }
    }

    /// Adds a track without viewers.
    pub fn create_track(&mut self, state: Arc<TrackState>) {
        self.tracks.insert(state.id, Track::new(state));
    }

    /// Ends a track; its viewers stay, without it.
    pub fn close_track(&mut self, id: TrackId) {
        let Some(track) = self.tracks.remove(&id) else {
            return;
        };
        self.routing.remove(id);
        for viewer in track.viewers() {
            if let Some(peer) = self.peers.get_mut(&viewer) {
                peer.track_closed(id);
            }
        }
    }

    /// Sends a track to a peer, in place of its earlier one of that kind.
    pub fn attach(&mut self, id: PeerId, track: TrackId, now: Instant, out: &mut dyn Outbound) {
        let Some(kind) = self.tracks.get(&track).map(|track| track.state.kind) else {
            return;
        };
        self.with_peer(id, now, out, |peer, context| {
            peer.attach(kind, track, context)
        });
        self.update_viewer(id);
    }

    /// Sends nothing of a kind to a peer any more.
    pub fn detach(&mut self, id: PeerId, kind: MediaKind) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.detach(kind);
        }
        self.update_viewer(id);
    }

    /// Sends a frame to every viewer of its track.
    pub fn push(&mut self, frame: &Frame, now: Instant, out: &mut dyn Outbound) {
        let Some(track) = self.tracks.get(&frame.track) else {
            return;
        };
        if self.is_routed(frame.track) {
            Counters::add(&self.counters.frames_dropped, 1);
            return;
        }
        track.measure_frame(now, frame);
        let lost = track.state.gap.swap(false, Ordering::Relaxed);
        let viewers = track.viewers();
        if lost && track.state.kind == MediaKind::Video {
            for viewer in &viewers {
                if let Some(peer) = self.peers.get_mut(viewer) {
                    peer.frame_lost(frame.track);
                }
            }
            // One request will do: the keyframe is for all of them.
            if let Some(peer) = viewers.first().copied() {
                self.events.push(Event::KeyframeRequested {
                    peer,
                    track: frame.track,
                });
            }
        }
        for viewer in viewers {
            let switched = self.with_peer(viewer, now, out, |peer, context| {
                peer.send(now, frame, context)
            });
            if switched == Some(true) {
                self.update_viewer(viewer);
            }
        }
    }

    /// Packets of this peer were thrown away: it gets no video until the next keyframe.
    pub fn fell_behind(&mut self, id: PeerId, now: Instant, out: &mut dyn Outbound) {
        self.with_peer(id, now, out, |peer, context| peer.fell_behind(context));
    }

    /// Takes a datagram from the network.
    pub fn receive(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &[u8],
        out: &mut dyn Outbound,
    ) {
        let path = (local, remote);
        let class = classify(datagram);
        let id = match class {
            Class::Stun => StunMessage::parse(datagram)
                .ok()
                .and_then(|message| self.routes.peer_of_stun(&message, path)),
            Class::Dtls | Class::Media => self.routes.peer_on(path, now),
            Class::Other => None,
        };
        match id {
            Some(id) => {
                self.with_peer(id, now, out, |peer, context| {
                    peer.receive(now, path, class, datagram, context);
                });
            }
            None => Counters::add(&self.counters.packets_unknown, 1),
        }
    }

    /// When [`Core::expire`] is due.
    pub fn next_deadline(&mut self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    /// Does what is due.
    pub fn expire(&mut self, now: Instant, out: &mut dyn Outbound) {
        while let Some(id) = self.timers.pop_due(now) {
            if let Some(Err(reason)) = self.with_peer(id, now, out, |peer, _| peer.expire(now)) {
                self.disconnect(id, reason.to_owned(), now);
            }
        }
    }

    /// What has happened since the last call, oldest first.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// A peer's counters; `None` once it is gone.
    pub fn peer_stats(&self, id: PeerId) -> Option<PeerStats> {
        self.peers.get(&id).map(Peer::stats)
    }

    /// Whether a peer is still there.
    pub fn has_peer(&self, id: PeerId) -> bool {
        self.peers.contains_key(&id)
    }

    /// Does something with a peer, then drives it. A panic closes this peer and no other.
    fn with_peer<R>(
        &mut self,
        id: PeerId,
        now: Instant,
        out: &mut dyn Outbound,
        f: impl FnOnce(&mut Peer, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let done = self.guarded(id, now, out, |peer, context| {
            let result = f(peer, context);
            let driven = peer.drive(now, context);
            peer.alarm = None;
            (result, driven, peer.backlog(now))
        });
        let (result, driven, backlog) = done?;
        match driven {
            Driven::Until(deadline) => {
                if let Some((track, age)) = backlog {
                    self.publish_backlog(track, age);
                }
                self.timers.arm(id, deadline);
            }
            Driven::Gone(reason) => self.disconnect(id, reason.to_owned(), now),
        }
        Some(result)
    }

    /// Does something with a peer that moves nothing of str0m, so it need not be driven.
    fn with_viewer<R>(
        &mut self,
        id: PeerId,
        now: Instant,
        out: &mut dyn Outbound,
        f: impl FnOnce(&mut Peer, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let done = self.guarded(id, now, out, |peer, context| {
            (f(peer, context), peer.alarm.take())
        });
        let (result, alarm) = done?;
        if let Some(deadline) = alarm {
            self.timers.arm(id, deadline);
        }
        Some(result)
    }

    /// Does something with a peer. A panic closes this peer and no other.
    fn guarded<R>(
        &mut self,
        id: PeerId,
        now: Instant,
        out: &mut dyn Outbound,
        f: impl FnOnce(&mut Peer, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let peer = self.peers.get_mut(&id)?;
        let mut context = Context {
            out,
            events: &mut self.events,
            routes: &mut self.routes,
            arrivals: &mut self.arrivals,
            counters: &self.counters,
        };
        // Unwind safe: after a panic the peer is dropped, whatever state it is in, and what the
        // context leads to is changed by single calls that do not panic half-way.
        match catch_unwind(AssertUnwindSafe(|| f(peer, &mut context))) {
            Ok(result) => Some(result),
            Err(panic) => {
                Counters::add(&self.counters.panics, 1);
                let reason = format!("internal error: {}", text_of(&*panic));
                self.disconnect(id, reason, now);
                None
            }
        }
    }

    /// Lets the track's owner see that its only viewer cannot keep up. One viewer of several must
    /// not slow the others down, so nothing is shown of him.
    fn publish_backlog(&self, track: TrackId, age: Duration) {
        if let Some(track) = self.tracks.get(&track) {
            let alone = track.state.viewers.load(Ordering::Relaxed) == 1;
            let shown = if alone { age.as_millis() as u32 } else { 0 };
            track.state.backlog_ms.store(shown, Ordering::Relaxed);
        }
    }

    fn disconnect(&mut self, id: PeerId, reason: String, now: Instant) {
        let pairs = match self.peers.get(&id) {
            Some(peer) if reason == peer::FAILED => peer.attempts.lines(),
            _ => Vec::new(),
        };
        if self.forget(id, now) {
            self.events.push(Event::PeerDisconnected {
                peer: id,
                reason,
                pairs,
            });
        }
    }

    fn forget(&mut self, id: PeerId, now: Instant) -> bool {
        self.timers.forget(id);
        self.routes.forget(id);
        self.routing.forget(id);
        let Some(mut peer) = self.peers.remove(&id) else {
            return false;
        };
        // Unwind safe: it is dropped either way, which ends its inbox.
        if catch_unwind(AssertUnwindSafe(|| peer.flush(now))).is_err() {
            Counters::add(&self.counters.panics, 1);
        }
        for track in peer.tracks() {
            if let Some(track) = self.tracks.get_mut(&track) {
                track.remove(id);
            }
        }
        true
    }

    /// Makes the tracks' lists of viewers agree with what a peer carries now.
    fn update_viewer(&mut self, id: PeerId) {
        let carried = self.peers.get(&id).map(Peer::tracks).unwrap_or_default();
        for (track_id, track) in &mut self.tracks {
            if carried.contains(track_id) {
                track.add(id);
            } else {
                track.remove(id);
            }
        }
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("panic")
}

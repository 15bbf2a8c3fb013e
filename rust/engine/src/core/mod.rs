//! The protocol side of the engine, without a socket and without a clock.
//!
//! [`Core`] is driven from outside: every method that moves it takes `now`, and hands datagrams
//! to an [`Outbound`]. After any call, [`Core::next_deadline`] says when to call
//! [`Core::expire`] at the latest, and [`Core::take_events`] what has happened.

pub mod connection;
pub mod context;
pub mod forward;
mod frame;
mod group;
pub mod ice;
mod liveness;
pub mod media;
mod meter;
pub mod nal;
pub mod options;
pub mod publisher;
pub mod receive;
pub mod sdp;
pub mod send;
pub mod timers;
pub mod track;
pub mod viewer;
pub mod wallclock;

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use str0m::Candidate;
use str0m::ice::StunMessage;
use str0m::media::Rid;

use self::connection::{Connection, Progress};
use self::context::{Context, Outbound};
use self::forward::packet::RtpPacket;
use self::forward::router::{Router, TrackRoute};
use self::ice::checks::CheckPacer;
use self::ice::demux::{Class, Demux, classify};
use self::liveness::FAILED;
use self::media::MediaKind;
use self::options::{Local, PeerOptions};
use self::receive::inbox::Writer;
use self::receive::options::ReceiverOptions;
use self::sdp::answer::Answer;
use self::sdp::negotiation::Instance;
use self::sdp::offer::{Prepared, Wanted};
use self::timers::Timers;
use self::track::{Frame, Track, TrackState};
use crate::error::EngineError;
use crate::event::Event;
use crate::id::{PeerId, TrackId};
use crate::stats::{Counters, PeerStats};

/// Why a peer is gone that a bug has hit.
pub const PANICKED: &str = "internal error";

/// Every peer and track.
pub struct Core {
    local: Arc<Local>,
    connections: HashMap<PeerId, Connection>,
    tracks: HashMap<TrackId, Track>,
    demux: Demux,
    checks: CheckPacer,
    timers: Timers,
    events: Vec<Event>,
    router: Router,
    arrivals: Vec<RtpPacket>,
    /// Routed tracks of which a keyframe is requested.
    keyframe_requests: BTreeSet<TrackId>,
    counters: Arc<Counters>,
}

impl Core {
    pub fn new(local: impl Into<Arc<Local>>, counters: Arc<Counters>) -> Self {
        Self {
            local: local.into(),
            connections: HashMap::new(),
            tracks: HashMap::new(),
            demux: Demux::default(),
            checks: CheckPacer::default(),
            timers: Timers::default(),
            events: Vec::new(),
            router: Router::default(),
            arrivals: Vec::new(),
            keyframe_requests: BTreeSet::new(),
            counters,
        }
    }

    pub fn peers(&self) -> usize {
        self.connections.len()
    }

    pub fn tracks(&self) -> usize {
        self.tracks.len()
    }

    /// Makes a peer that waits for its offer: it is sent tracks, or it sends, or both.
    pub fn create_peer(
        &mut self,
        id: PeerId,
        sends: Option<PeerOptions>,
        receives: Option<(Writer, ReceiverOptions)>,
        now: Instant,
    ) {
        let connection = Connection::new(id, sends, receives, self.local.wallclock, now);
        self.connections.insert(id, connection);
    }

    /// What the offers of a peer are prepared for (`sdp::offer::prepare`).
    pub fn wanted(&self, id: PeerId) -> Option<Wanted> {
        self.connections.get(&id).map(Connection::wanted)
    }

    /// Takes what a peer's first offer is answered by; it is made here where none was given.
    pub fn set_instance(&mut self, id: PeerId, instance: Instance) {
        if let Some(peer) = self.connections.get_mut(&id) {
            peer.set_instance(instance);
        }
    }

    /// Answers a prepared offer.
    pub fn accept_offer(
        &mut self,
        id: PeerId,
        offer: Prepared,
        now: Instant,
        out: &mut dyn Outbound,
    ) -> Result<Answer, EngineError> {
        let local = self.local.clone();
        self.with_peer(id, now, out, |peer, context| {
            peer.accept_offer(now, offer, &local, context)
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
        if let Some(peer) = self.connections.get_mut(&id) {
            peer.add_hidden_candidate();
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
        self.with_peer(id, now, out, |peer, context| peer.close(now, context));
        self.forget(id, now);
        // The goodbye may have been answered by an event about what the owner wanted anyway.
        self.events
            .retain(|event| !matches!(event, Event::PeerDisconnected { peer, .. } if *peer == id));
    }

    /// Says goodbye to all.
    pub fn close(&mut self, now: Instant, out: &mut dyn Outbound) {
        let all: Vec<PeerId> = self.connections.keys().copied().collect();
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
        self.router.remove(id);
        for viewer in track.viewers() {
            if let Some(peer) = self.connections.get_mut(&viewer) {
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
        if let Some(peer) = self.connections.get_mut(&id) {
            peer.detach(kind);
        }
        self.update_viewer(id);
    }

    /// Keeps the newest group of pictures of a track from now on, beginning with this one. A viewer
    /// who comes between two keyframes is sent it.
    pub fn prime(
        &mut self,
        track: TrackId,
        frames: Vec<Frame>,
        now: Instant,
        out: &mut dyn Outbound,
    ) {
        let Some(primed) = self.tracks.get_mut(&track) else {
            return;
        };
        primed.prime(frames);
        for viewer in primed.viewers() {
            self.catch_up(viewer, track, now, out);
        }
    }

    /// Sends a viewer the group of pictures that is kept of a track, if he has had nothing of it.
    fn catch_up(&mut self, id: PeerId, track: TrackId, now: Instant, out: &mut dyn Outbound) {
        let group = self
            .tracks
            .get(&track)
            .map_or(&[][..], Track::group)
            .to_vec();
        if !group.is_empty() {
            self.with_peer(id, now, out, |peer, context| {
                peer.catch_up(now, track, &group, context);
            });
        }
    }

    /// Sends a frame to every viewer of its track.
    pub fn push(&mut self, frame: &Frame, now: Instant, out: &mut dyn Outbound) {
        if self.is_routed(frame.track) {
            Counters::add(&self.counters.frames_dropped, 1);
            return;
        }
        let Some(track) = self.tracks.get_mut(&frame.track) else {
            return;
        };
        track.measure_frame(now, frame);
        let lost = track.state.gap.swap(false, Ordering::Relaxed);
        track.keep(frame, lost);
        let viewers = track.viewers();
        if lost && track.state.kind == MediaKind::Video {
            for viewer in &viewers {
                if let Some(peer) = self.connections.get_mut(viewer) {
                    peer.handle_frame_lost(frame.track);
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
                peer.push(now, frame, context)
            });
            if switched == Some(true) {
                self.update_viewer(viewer);
            }
        }
    }

    /// Feeds a track with what a publisher sends of its kind, in place of what fed it before. The
    /// viewers go on without a jump, video at the next keyframe. `layer` is a simulcast layer,
    /// `None` the only or the default one.
    pub fn route(&mut self, source: PeerId, track: TrackId, layer: Option<Rid>) {
        let Some(kind) = self.tracks.get(&track).map(|track| track.state.kind) else {
            return;
        };
        let source = self.has_peer(source).then_some((source, layer));
        self.router.set(TrackRoute {
            track,
            kind,
            source,
        });
        self.keyframe_requests.insert(track);
    }

    /// Feeds a track with nothing any more.
    pub fn unroute(&mut self, track: TrackId) {
        self.router.remove(track);
    }

    /// Whether a track is fed by a route.
    pub fn is_routed(&self, track: TrackId) -> bool {
        self.router.of(track).is_some()
    }

    /// Forwards what has arrived since the last call, and passes on who needs a keyframe. To be
    /// called after everything that moves the core: what has come at once goes out at once, and
    /// costs less than one by one.
    pub fn forward(&mut self, now: Instant, out: &mut dyn Outbound) {
        self.serve_newcomers(now, out);
        if self.router.is_empty() {
            self.arrivals.clear();
            return;
        }
        let arrivals = std::mem::take(&mut self.arrivals);
        if !arrivals.is_empty() {
            for i in 0..self.router.all().len() {
                let route = self.router.all()[i];
                let taken = arrivals.iter().filter(|packet| route.takes(packet));
                let packets: Vec<&RtpPacket> = taken.collect();
                if !packets.is_empty() {
                    self.forward_to(route.track, &packets, now, out);
                }
            }
            if self.arrivals.is_empty() {
                self.arrivals = arrivals; // its memory, for what comes next
                self.arrivals.clear();
            }
        }
        self.pass_keyframe_requests(now, out);
    }

    /// Serves those who need a keyframe for a start out of the group that is kept; their owner is
    /// told all the same, as he is of those who lost something.
    fn serve_newcomers(&mut self, now: Instant, out: &mut dyn Outbound) {
        let mut at = 0;
        while let Some(event) = self.events.get(at) {
            at += 1;
            if let Event::KeyframeRequested { peer, track } = *event {
                self.catch_up(peer, track, now, out);
            }
        }
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
            let switched = self.with_peer(viewer, now, out, |peer, context| {
                peer.forward(now, track, packets, context)
            });
            if switched == Some(true) {
                self.update_viewer(viewer);
            }
        }
    }

    /// Requests the keyframes that viewers need of their publishers; their owner is not told.
    fn pass_keyframe_requests(&mut self, now: Instant, out: &mut dyn Outbound) {
        let (router, requests) = (&self.router, &mut self.keyframe_requests);
        self.events.retain(|event| match event {
            Event::KeyframeRequested { track, .. } if router.of(*track).is_some() => {
                requests.insert(*track);
                false
            }
            _ => true,
        });
        while let Some(track) = self.keyframe_requests.pop_first() {
            let source = self.router.of(track).and_then(|route| route.source);
            if let Some((source, layer)) = source {
                self.with_peer(source, now, out, |peer, _| {
                    peer.require_keyframe(now, layer);
                });
            }
        }
    }

    /// Packets of this peer were thrown away: it gets no video until the next keyframe.
    pub fn handle_dropped(&mut self, id: PeerId, now: Instant, out: &mut dyn Outbound) {
        self.with_peer(id, now, out, |peer, context| peer.handle_dropped(context));
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
        let pair = (local, remote);
        let class = classify(datagram);
        let id = match class {
            Class::Stun => StunMessage::parse(datagram)
                .ok()
                .and_then(|message| self.demux.peer_of_stun(&message, pair)),
            Class::Dtls | Class::Media => self.demux.peer_on(pair, now),
            Class::Other => None,
        };
        match id {
            Some(id) => {
                self.with_peer(id, now, out, |peer, context| {
                    peer.handle_datagram(now, pair, class, datagram, context);
                });
            }
            None => Counters::add(&self.counters.packets_unknown, 1),
        }
    }

    /// When [`Core::expire`] is due.
    pub fn next_deadline(&mut self) -> Option<Instant> {
        let deadlines = [self.timers.next_deadline(), self.checks.next_deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn expire(&mut self, now: Instant, out: &mut dyn Outbound) {
        while let Some(id) = self.timers.pop_due(now) {
            let end = self.with_peer(id, now, out, |peer, _| peer.handle_timeout(now));
            if let Some(Some(reason)) = end {
                self.disconnect(id, reason.to_owned(), now);
            }
        }
        while let Some((id, check, is_admitted)) = self.checks.pop_due(now) {
            if is_admitted {
                self.guarded(id, now, out, |peer, context| {
                    peer.send_check(check, context);
                });
            } else {
                Counters::add(&self.counters.checks_refused, 1);
            }
        }
    }

    /// What has happened since the last call, oldest first.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// A peer's counters; `None` once it is gone.
    pub fn peer_stats(&self, id: PeerId) -> Option<PeerStats> {
        self.connections.get(&id).map(Connection::stats)
    }

    /// Whether a peer is still there.
    pub fn has_peer(&self, id: PeerId) -> bool {
        self.connections.contains_key(&id)
    }

    /// Does something with a peer, then polls it. A panic closes this peer and no other.
    fn with_peer<R>(
        &mut self,
        id: PeerId,
        now: Instant,
        out: &mut dyn Outbound,
        f: impl FnOnce(&mut Connection, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let done = self.guarded(id, now, out, |peer, context| {
            let result = f(peer, context);
            (result, peer.poll(now, context), peer.backlog(now))
        });
        let (result, progress, backlog) = done?;
        if let Some((track, age)) = backlog {
            self.publish_backlog(track, age);
        }
        match progress {
            Progress::Armed => {}
            Progress::Until(deadline) => self.timers.arm(id, deadline),
            Progress::Gone(reason) => self.disconnect(id, reason.to_owned(), now),
        }
        Some(result)
    }

    /// Does something with a peer. A panic closes this peer and no other.
    fn guarded<R>(
        &mut self,
        id: PeerId,
        now: Instant,
        out: &mut dyn Outbound,
        f: impl FnOnce(&mut Connection, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let peer = self.connections.get_mut(&id)?;
        let mut context = Context {
            out,
            events: &mut self.events,
            demux: &mut self.demux,
            checks: &mut self.checks,
            arrivals: &mut self.arrivals,
            counters: &self.counters,
        };
        // Unwind safe: after a panic the peer is dropped, whatever state it is in, and what the
        // context leads to is changed by single calls that do not panic half-way.
        match catch_unwind(AssertUnwindSafe(|| f(peer, &mut context))) {
            Ok(result) => Some(result),
            Err(_) => {
                // What the panic says is for the log (the process's panic hook): it may hold what
                // the peer sent, and the reason goes to the peer.
                Counters::add(&self.counters.panics, 1);
                self.disconnect(id, PANICKED.to_owned(), now);
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
        let pairs = match self.connections.get(&id) {
            Some(peer) if reason == FAILED => peer.attempts(),
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
        self.demux.forget(id);
        self.checks.forget(id);
        self.router.forget(id);
        let Some(mut peer) = self.connections.remove(&id) else {
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
        let carried = self
            .connections
            .get(&id)
            .map(Connection::tracks)
            .unwrap_or_default();
        for (track_id, track) in &mut self.tracks {
            if carried.contains(track_id) {
                track.add(id);
            } else {
                track.remove(id);
            }
        }
    }
}

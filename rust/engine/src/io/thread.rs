//! The engine's thread: waits for the socket, the handles and the clock, and moves the core.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use icey_udp::{ReceiveBuffers, RelayedBatch, Socket, wait};

use super::mailbox::{Command, PeerState, Shared};
use super::send::DatagramSender;
use crate::core::Core;
use crate::event::Event;
use crate::id::PeerId;
use crate::stats::Counters;

/// Batches read in a row, before timers and frames get their turn.
const MAX_READS: usize = 8;

/// The longest wait; only a bound, since everything that happens wakes the thread.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The thread's state.
pub struct Worker {
    pub core: Core,
    pub socket: Arc<Socket>,
    pub shared: Arc<Shared>,
    pub sender: DatagramSender,
    pub buffers: ReceiveBuffers,
    pub states: HashMap<PeerId, Arc<PeerState>>,
    /// What came from allocations of the TURN server of this process.
    pub relayed: RelayedBatch,
}

impl Worker {
    /// Runs until the engine is closed, then says goodbye to every peer.
    pub fn run(mut self) {
        while !self.shared.is_closed() {
            let timeout = self.core.next_deadline().map_or(MAX_WAIT, |deadline| {
                deadline
                    .saturating_duration_since(Instant::now())
                    .min(MAX_WAIT)
            });
            let want_write = self.sender.is_blocked();
            let ready = wait(&self.socket, want_write, &self.shared.wake, timeout);
            if ready.writable {
                self.sender.flush();
            }
            if ready.woken {
                self.shared.wake.lower();
                self.execute_commands();
                self.read_relayed();
            }
            if ready.readable {
                self.read();
            }
            self.core.expire(Instant::now(), &mut self.sender);
            self.finish_round();
        }
        self.core.close(Instant::now(), &mut self.sender);
        self.finish_round();
    }

    fn execute_commands(&mut self) {
        for command in self.shared.take_commands() {
            self.execute(command);
            // After each one: whoever gets a reply sees what the commands before it have done.
            self.publish_sizes();
        }
        while let Some(frame) = self.shared.take_frame() {
            self.core.push(&frame, Instant::now(), &mut self.sender);
            self.finish_round();
        }
    }

    fn execute(&mut self, command: Command) {
        let (now, out) = (Instant::now(), &mut self.sender);
        match command {
            Command::CreatePeer {
                id,
                sends,
                receives,
                state,
            } => {
                self.states.insert(id, state);
                self.core.create_peer(id, sends, receives, now);
            }
            Command::LimitBitrate { id, bitrate } => self.core.limit_bitrate(id, bitrate, now, out),
            Command::Probe { id, bitrate } => self.core.probe(id, bitrate, now, out),
            Command::RequestKeyframe { id } => self.core.request_keyframe(id, now, out),
            Command::AcceptOffer {
                id,
                offer,
                instance,
                reply,
            } => {
                if let Some(instance) = instance {
                    self.core.set_instance(id, *instance);
                }
                // Whoever waited for a reply may have given up; then it is of no use to anybody.
                let _ = reply.send(self.core.accept_offer(id, *offer, now, out));
            }
            Command::AddCandidate { id, candidate } => {
                self.core.add_candidate(id, candidate, now, out)
            }
            Command::AddHiddenCandidate { id } => self.core.add_hidden_candidate(id),
            Command::ClosePeer { id } => {
                self.core.close_peer(id, now, out);
                self.states.remove(&id);
            }
            Command::PeerStats { id, reply } => {
                let _ = reply.send(self.core.peer_stats(id));
            }
            Command::CreateTrack { state } => self.core.create_track(state),
            Command::PrimeTrack { id, frames } => self.core.prime(id, frames, now, out),
            Command::CloseTrack { id } => self.core.close_track(id),
            Command::Attach { peer, track } => self.core.attach(peer, track, now, out),
            Command::Detach { peer, kind } => self.core.detach(peer, kind),
            Command::Route {
                source,
                track,
                layer,
            } => self.core.route(source, track, layer),
            Command::Unroute { track } => self.core.unroute(track),
        }
    }

    fn read(&mut self) {
        let (core, sender, counters) = (&mut self.core, &mut self.sender, &self.shared.counters);
        // What is left then is told again.
        let _ = self
            .buffers
            .drain(&self.socket, MAX_READS, |now, datagram| {
                Counters::add(&counters.packets_received, 1);
                Counters::add(&counters.bytes_received, datagram.data.len() as u64);
                core.receive(now, datagram.local, datagram.remote, datagram.data, sender);
            });
    }

    /// Takes what TURN clients sent to the engine's own addresses.
    fn read_relayed(&mut self) {
        self.shared.short_cut.take_for_engine(&mut self.relayed);
        let counters = &self.shared.counters;
        let now = Instant::now();
        for (local, remote, data) in self.relayed.iter() {
            Counters::add(&counters.packets_received, 1);
            Counters::add(&counters.bytes_received, data.len() as u64);
            self.core
                .receive(now, local, remote, data, &mut self.sender);
        }
    }

    /// Sends what waits and tells what happened.
    fn finish_round(&mut self) {
        self.core.forward(Instant::now(), &mut self.sender);
        self.sender.flush();
        for peer in self.sender.take_dropped() {
            self.core
                .handle_dropped(peer, Instant::now(), &mut self.sender);
        }
        let events = self.core.take_events();
        for event in &events {
            if let Event::PeerDisconnected { peer, .. } = event
                && let Some(state) = self.states.remove(peer)
            {
                state.gone.store(true, Ordering::Relaxed);
            }
        }
        self.publish_sizes();
        self.shared.publish(events);
    }
}

impl Worker {
    fn publish_sizes(&self) {
        let (peers, tracks) = (self.core.peers() as u64, self.core.tracks() as u64);
        self.shared.peers.store(peers, Ordering::Relaxed);
        self.shared.tracks.store(tracks, Ordering::Relaxed);
    }
}

impl Drop for Worker {
    /// Also after a panic outside a peer: nobody may wait for a reply that never comes.
    fn drop(&mut self) {
        self.shared.close();
    }
}

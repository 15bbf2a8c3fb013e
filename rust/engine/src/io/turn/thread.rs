//! The thread `icey-turn`: waits for all sockets and the clock. It has nothing to do with the
//! engine's, so that nobody delays media by what he sends here.

use std::io::ErrorKind;
use std::mem;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use icey_turn::framing::Framer;
use icey_turn::{FiveTuple, Transport};
use rustls::ServerConfig;

use super::epoll::{Epoll, Ready};
use super::exchange::{Exchange, Now};
use super::listener::Listener;
use super::short_cut::Batch;
use super::stats::{Counters, TurnStats};
use super::{CONNECTION, KINDS, RELAY, TCP, TLS, UDP, WAKE};
use crate::io::interfaces;
use crate::io::mailbox::Shared;
use crate::io::receive::{BATCH, Receiver};
use crate::io::socket::Socket;

/// Batches read from one socket, and reads of one connection, before others get their turn.
const MAX_BATCHES: usize = 4;
const MAX_READS: usize = 4;

/// How often connections are checked for their deadlines.
const SWEEP: Duration = Duration::from_secs(1);

/// How often the addresses of this machine are read anew.
const LOOK_AROUND: Duration = Duration::from_secs(10);

/// The thread and its owner.
#[derive(Debug, Default)]
pub struct Control {
    pub closed: AtomicBool,
    stats: Mutex<(icey_turn::Stats, Counters)>,
}

impl Control {
    pub fn stats(&self) -> TurnStats {
        let (server, counters) = &*self.stats.lock().unwrap_or_else(PoisonError::into_inner);
        TurnStats::new(server, counters)
    }
}

/// The thread's state.
pub struct Worker {
    pub control: Arc<Control>,
    pub engine: Arc<Shared>,
    pub epoll: Arc<Epoll>,
    pub udp: Arc<Socket>,
    pub tcp: Listener,
    pub tls: Option<(Listener, Arc<ServerConfig>)>,
    pub receiver: Receiver,
    pub exchange: Exchange,
    pub relayed: Batch,
    /// Addresses that are ours although no interface has them.
    pub external: Vec<IpAddr>,
    pub sweep: Instant,
    pub look: Instant,
}

impl Worker {
    /// Runs until the owner closes it.
    pub fn run(mut self) {
        let mut ready = Vec::new();
        while !self.control.closed.load(Ordering::Acquire) {
            self.epoll.wait(self.wait(), &mut ready);
            // Unwind safe: after a panic everything that it may have left half-way is thrown away.
            let round = catch_unwind(AssertUnwindSafe(|| self.round(&ready)));
            if round.is_err() {
                self.exchange.counters.panics += 1;
                self.exchange.start_over();
            }
            self.publish();
        }
    }

    /// How long nothing is due.
    fn wait(&self) -> Duration {
        let now = Instant::now();
        let sweep = self.exchange.has_connections().then_some(self.sweep);
        let pauses = self.tls.iter().map(|(listener, _)| listener);
        let pauses = pauses
            .chain([&self.tcp])
            .filter_map(|listener| listener.paused_until());
        [self.exchange.next_timeout(), sweep]
            .into_iter()
            .flatten()
            .chain(pauses)
            .fold(self.look, Instant::min)
            .saturating_duration_since(now)
    }

    fn round(&mut self, ready: &[Ready]) {
        for event in ready {
            self.serve(*event);
        }
        let now = Now::read();
        self.exchange.expire(now);
        if now.instant >= self.sweep {
            self.sweep = now.instant + SWEEP;
            self.exchange.sweep(now.instant);
        }
        if now.instant >= self.look {
            self.look = now.instant + LOOK_AROUND;
            self.look_around();
        }
        self.resume(now.instant);
        self.exchange.flush(now.instant);
    }

    fn serve(&mut self, event: Ready) {
        let id = event.token & !KINDS;
        match event.token & KINDS {
            WAKE => self.read_engine(),
            UDP => self.read_clients(),
            TCP | TLS => self.accept(event.token),
            RELAY => self.read_relay(id, event),
            CONNECTION => self.read_connection(id, event),
            _ => {}
        }
    }

    fn read_engine(&mut self) {
        let short_cut = &self.engine.short_cut;
        short_cut.wake.lower();
        short_cut.take_for_turn(&mut self.relayed);
        self.exchange.engine_sent(Instant::now(), &self.relayed);
    }

    fn read_clients(&mut self) {
        let Self {
            udp,
            receiver,
            exchange,
            ..
        } = self;
        for _ in 0..MAX_BATCHES {
            let now = Now::read();
            let received = receiver.receive(udp, |datagram| {
                let from = FiveTuple {
                    transport: Transport::Udp,
                    local: datagram.local,
                    remote: datagram.remote,
                };
                exchange.client_sent(now, from, datagram.data);
            });
            // As in the engine: an error is EAGAIN, or about a datagram sent before. After a batch
            // that was not full there is nothing left, or the epoll tells.
            if !matches!(received, Ok(BATCH)) {
                return;
            }
        }
    }

    fn read_relay(&mut self, number: u64, event: Ready) {
        let Self {
            receiver, exchange, ..
        } = self;
        for _ in 0..MAX_BATCHES {
            let Some((relay, socket)) = exchange.relay(number) else {
                return;
            };
            if event.writable {
                exchange.touch_relay(relay);
            }
            let now = Instant::now();
            let received = receiver.receive(&socket, |datagram| {
                if datagram.is_cut {
                    exchange.counters.packets_dropped += 1;
                } else {
                    exchange.peer_sent(now, relay, datagram.remote, datagram.data);
                }
            });
            if !matches!(received, Ok(BATCH)) {
                return;
            }
        }
    }

    fn accept(&mut self, token: u64) {
        let now = Instant::now();
        let (listener, config) = match (token, &mut self.tls) {
            (TLS, Some((listener, config))) => (listener, Some(&*config)),
            _ => (&mut self.tcp, None),
        };
        let exchange = &mut self.exchange;
        let goes_on = listener.accept(now, |stream, remote| {
            exchange.connect(stream, remote, config, now);
        });
        if !goes_on {
            // It was added to the set, so this can be changed.
            let _ = self.epoll.modify(listener.fd(), token, false, false);
        }
    }

    fn resume(&mut self, now: Instant) {
        let tls = self.tls.as_mut().map(|(listener, _)| (listener, TLS));
        for (listener, token) in tls.into_iter().chain([(&mut self.tcp, TCP)]) {
            if listener.resume(now) {
                let _ = self.epoll.modify(listener.fd(), token, true, false);
            }
        }
    }

    fn read_connection(&mut self, id: u64, event: Ready) {
        self.exchange.touch(id);
        if !event.readable {
            return;
        }
        let now = Now::read();
        // Taken out while it is read, as what comes out of it may write to the connection.
        let Some(connection) = self.exchange.connection(id) else {
            return;
        };
        let mut framer = mem::take(&mut connection.framer);
        match self.read_frames(id, &mut framer, now) {
            Ok(()) => {
                if let Some(connection) = self.exchange.connection(id) {
                    connection.framer = framer;
                }
            }
            Err(dropped) => self.exchange.disconnect(id, dropped, now.instant),
        }
    }

    /// Reads what a connection has, some at a time. An error says that it is over, and whether it
    /// is us who end it.
    fn read_frames(&mut self, id: u64, framer: &mut Framer, now: Now) -> Result<(), bool> {
        let mut budget = MAX_READS;
        loop {
            let connection = self.exchange.connection(id).ok_or(false)?;
            let tuple = connection.tuple;
            match connection.read(framer.space(), &mut budget) {
                Ok(0) => return Err(false),
                Ok(count) => framer.filled(count),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return Ok(()),
                    ErrorKind::Interrupted => continue,
                    ErrorKind::InvalidData => return Err(true),
                    _ => return Err(false),
                },
            }
            while let Some(frame) = framer.next_frame().map_err(|_| true)? {
                self.exchange.connection(id).ok_or(false)?.message_read();
                self.exchange.client_sent(now, tuple, frame);
            }
            if self
                .exchange
                .connection(id)
                .ok_or(false)?
                .is_over(now.instant)
            {
                return Err(true);
            }
        }
    }

    fn look_around(&mut self) {
        // Without a list the old one stays.
        if let Ok(mut addresses) = interfaces::all_addresses() {
            addresses.extend(&self.external);
            self.exchange.set_addresses(addresses);
        }
    }

    fn publish(&self) {
        let stats = (self.exchange.server_stats().clone(), self.exchange.counters);
        *self
            .control
            .stats
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = stats;
    }
}

impl Drop for Worker {
    /// Also after a panic: the engine must not wait for somebody who is gone.
    fn drop(&mut self) {
        self.engine.short_cut.release();
    }
}

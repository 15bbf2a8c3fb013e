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
use icey_udp::{ReceiveBuffers, Socket, all_addresses};
use mio::{Events, Poll};
use rustls::ServerConfig;

use crate::exchange::{Exchange, Now};
use crate::listener::Listener;
use crate::stats::TurnStats;
use crate::watch::{Ready, SocketId};

/// Changes told of in one call.
const MAX_EVENTS: usize = 128;

/// The longest wait; only a bound, since everything that happens ends it.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Batches read from one socket, and reads of one connection, before others get their turn.
const MAX_BATCHES: usize = 4;
const MAX_READS: usize = 4;

/// How often connections are checked for their deadlines.
const SWEEP: Duration = Duration::from_secs(1);

/// How often the addresses of this machine are read anew.
const LOOK_AROUND: Duration = Duration::from_secs(10);

/// What the thread and its owner share.
#[derive(Debug, Default)]
pub struct TurnControl {
    pub closed: AtomicBool,
    stats: Mutex<TurnStats>,
}

impl TurnControl {
    pub fn stats(&self) -> TurnStats {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, stats: TurnStats) {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }
}

/// The thread's state.
pub struct TurnWorker {
    pub control: Arc<TurnControl>,
    /// Has the sockets.
    pub poll: Poll,
    /// Sockets that were left for others, though there may be more to read.
    pub unfinished: Vec<Ready>,
    pub udp: Arc<Socket>,
    pub tcp: Listener,
    pub tls: Option<(Listener, Arc<ServerConfig>)>,
    pub buffers: ReceiveBuffers,
    pub exchange: Exchange,
    /// An address that is ours although no interface has it.
    pub external: Option<IpAddr>,
    pub sweep: Instant,
    pub look: Instant,
}

impl TurnWorker {
    /// Runs until the owner closes it.
    pub fn run(mut self) {
        let mut events = Events::with_capacity(MAX_EVENTS);
        while !self.control.closed.load(Ordering::Acquire) {
            // A signal ends the wait with nothing.
            let _ = self.poll.poll(&mut events, Some(self.wait()));
            let mut ready = mem::take(&mut self.unfinished);
            ready.extend(events.iter().map(Ready::from));
            // Unwind safe: after a panic everything that it may have left half-way is thrown away.
            let round = catch_unwind(AssertUnwindSafe(|| self.round(&ready)));
            if round.is_err() {
                self.exchange.counters.panics += 1;
                self.exchange.start_over();
                // What was told and not done is not told again.
                self.unfinished = ready;
            }
            self.control.publish(self.exchange.stats());
        }
    }

    /// How long nothing is due.
    fn wait(&self) -> Duration {
        if !self.unfinished.is_empty() {
            return Duration::ZERO;
        }
        let sweep = self.exchange.has_connections().then_some(self.sweep);
        let listeners = self.tls.iter().map(|(listener, _)| listener);
        let pauses = listeners.chain([&self.tcp]);
        [self.exchange.next_timeout(), sweep]
            .into_iter()
            .flatten()
            .chain(pauses.filter_map(Listener::paused_until))
            .fold(self.look, Instant::min)
            .saturating_duration_since(Instant::now())
            .min(MAX_WAIT)
    }

    fn round(&mut self, ready: &[Ready]) {
        for ready in ready {
            if !self.serve(*ready) {
                self.unfinished.push(Ready::to_read(ready.id));
            }
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
        // Who gets an answer may ask for the counters at once.
        self.control.publish(self.exchange.stats());
        self.exchange.flush(now.instant);
    }

    /// Reads what a socket has, some at a time; `true` once there is nothing left.
    fn serve(&mut self, ready: Ready) -> bool {
        match ready.id {
            SocketId::Wake => {
                self.exchange.read_engine(Instant::now());
                true
            }
            SocketId::Udp => self.read_clients(),
            SocketId::Tcp | SocketId::Tls => self.accept(ready.id),
            SocketId::Relay(number) => self.read_relay(number, ready),
            SocketId::Connection(number) => self.read_connection(number, ready),
        }
    }

    fn read_clients(&mut self) -> bool {
        let (exchange, unix_seconds) = (&mut self.exchange, Now::read().unix_seconds);
        self.buffers
            .drain(&self.udp, MAX_BATCHES, |instant, datagram| {
                let from = FiveTuple {
                    transport: Transport::Udp,
                    local: datagram.local,
                    remote: datagram.remote,
                };
                let now = Now {
                    instant,
                    unix_seconds,
                };
                exchange.client_sent(now, from, datagram.data);
            })
    }

    fn read_relay(&mut self, number: usize, ready: Ready) -> bool {
        let exchange = &mut self.exchange;
        let Some((relay, socket)) = exchange.relay(number) else {
            return true;
        };
        if ready.writable {
            exchange.touch_relay(relay);
        }
        self.buffers.drain(&socket, MAX_BATCHES, |now, datagram| {
            if datagram.is_cut {
                exchange.counters.packets_dropped += 1;
            } else {
                exchange.peer_sent(now, relay, datagram.remote, datagram.data);
            }
        })
    }

    fn accept(&mut self, id: SocketId) -> bool {
        let now = Instant::now();
        let (listener, config) = match (id, &mut self.tls) {
            (SocketId::Tls, Some((listener, config))) => (listener, Some(&*config)),
            _ => (&mut self.tcp, None),
        };
        let exchange = &mut self.exchange;
        listener.accept(now, |stream, remote| {
            exchange.connect(stream, remote, config, now);
        })
    }

    /// Takes connections again after a pause.
    fn resume(&mut self, now: Instant) {
        let tls = self.tls.as_mut();
        let tls = tls.map(|(listener, _)| (listener, SocketId::Tls));
        for (listener, id) in tls.into_iter().chain([(&mut self.tcp, SocketId::Tcp)]) {
            if listener.resume(now) {
                self.unfinished.push(Ready::to_read(id));
            }
        }
    }

    fn read_connection(&mut self, number: usize, ready: Ready) -> bool {
        self.exchange.touch(number);
        if !ready.readable {
            return true;
        }
        let now = Now::read();
        // Taken out while it is read, as what comes out of it may write to the connection.
        let Some(connection) = self.exchange.connection(number) else {
            return true;
        };
        let mut framer = mem::take(&mut connection.framer);
        match self.read_frames(number, &mut framer, now) {
            Ok(is_drained) => {
                if let Some(connection) = self.exchange.connection(number) {
                    connection.framer = framer;
                }
                is_drained
            }
            Err(dropped) => {
                self.exchange.disconnect(number, dropped, now.instant);
                true
            }
        }
    }

    /// Reads what a connection has, some at a time; `true` once there is nothing left. An error says
    /// that it is over, and whether it is us who end it.
    fn read_frames(&mut self, number: usize, framer: &mut Framer, now: Now) -> Result<bool, bool> {
        let mut budget = MAX_READS;
        loop {
            let connection = self.exchange.connection(number).ok_or(false)?;
            let tuple = connection.tuple;
            match connection.read(framer.space(), &mut budget) {
                Ok(0) => return Err(false),
                Ok(count) => framer.filled(count),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return Ok(budget > 0),
                    ErrorKind::Interrupted => continue,
                    ErrorKind::InvalidData => return Err(true),
                    _ => return Err(false),
                },
            }
            while let Some(frame) = framer.next_frame().map_err(|_| true)? {
                let connection = self.exchange.connection(number).ok_or(false)?;
                connection.message_read();
                self.exchange.client_sent(now, tuple, frame);
            }
            let connection = self.exchange.connection(number).ok_or(false)?;
            if connection.is_over(now.instant) {
                return Err(true);
            }
        }
    }

    fn look_around(&mut self) {
        // Without a list the old one stays.
        if let Ok(mut addresses) = all_addresses() {
            addresses.extend(self.external);
            self.exchange.set_addresses(addresses);
        }
    }
}

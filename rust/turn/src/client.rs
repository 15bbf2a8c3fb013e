//! A small TURN client without sockets, for self-tests and tests.
//!
//! One request at a time: ask for something, send what [`Client::poll_transmit`] gives, hand what comes back to
//! [`Client::receive`], and look at [`Client::poll_event`] until it says how it went.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::{Family, Transport};

/// What a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Binding,
    Allocate,
    CreatePermission,
    ChannelBind,
    Refresh,
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The server refused it.
    Refused { code: u16, reason: String },
    /// No answer came (RFC 8489 §6.2.1: seven requests over 39.5 s on UDP, 39.5 s on TCP).
    Timeout,
    /// The answer cannot be read, or its integrity does not hold.
    BadAnswer,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The server sees this client at `mapped` (answer to Binding).
    Bound {
        mapped: SocketAddr,
    },
    Allocated {
        relayed: SocketAddr,
        mapped: SocketAddr,
        lifetime: Duration,
        /// For a second allocation on the next port, where it was asked for.
        reservation: Option<[u8; 8]>,
    },
    PermissionCreated {
        peer: SocketAddr,
    },
    ChannelBound {
        channel: u16,
        peer: SocketAddr,
    },
    /// `lifetime` 0: the allocation is freed.
    Refreshed {
        lifetime: Duration,
    },
    Received {
        peer: SocketAddr,
        payload: Vec<u8>,
    },
    Failed {
        step: Step,
        failure: Failure,
    },
}

/// What an allocation is to be like; the default is an ordinary one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AllocateOptions {
    pub family: Option<Family>,
    pub lifetime: Option<Duration>,
    /// EVEN-PORT, and with `Some(true)` the next port kept.
    pub even_port: Option<bool>,
    pub reservation: Option<[u8; 8]>,
}

/// One client on one 5-tuple.
#[derive(Debug)]
pub struct Client {
    transport: Transport,
    username: String,
    password: String,
    transmits: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
}

impl Client {
    pub fn new(transport: Transport, username: &str, password: &str) -> Self {
        Self {
            transport,
            username: username.to_owned(),
            password: password.to_owned(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Uses SHA-256 for key and integrity where the server offers it; else, and before, it is MD5 and SHA-1.
    pub fn set_prefer_sha256(&mut self, prefer: bool) {
        let _ = (prefer, self.transport, &self.username, &self.password);
    }

    /// Asks for its own address.
    pub fn binding(&mut self, now: Instant) {
        let _ = now;
    }

    pub fn allocate(&mut self, now: Instant, options: AllocateOptions) {
        let _ = (now, options);
    }

    pub fn create_permission(&mut self, now: Instant, peer: SocketAddr) {
        let _ = (now, peer);
    }

    /// Binds the next free channel; then [`send`](Self::send) to this peer uses ChannelData.
    pub fn bind_channel(&mut self, now: Instant, peer: SocketAddr) {
        let _ = (now, peer);
    }

    /// Keeps the allocation for another while, or frees it with a `lifetime` of 0.
    pub fn refresh(&mut self, now: Instant, lifetime: Duration) {
        let _ = (now, lifetime);
    }

    /// Sends a payload: ChannelData where a channel is bound, else a Send indication.
    pub fn send(&mut self, peer: SocketAddr, payload: &[u8]) {
        let _ = (peer, payload);
    }

    /// Takes one datagram, or one frame of a stream.
    pub fn receive(&mut self, now: Instant, data: &[u8]) {
        let _ = (now, data);
    }

    /// The next message for the server, whole.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        None
    }

    /// Sends a request again, or gives it up.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }
}

//! The server.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::output::{Output, RelayError, RelayId, ToClient, ToPeer};
use crate::{Config, FiveTuple, Stats};

/// All allocations of a server.
#[derive(Debug)]
pub struct Server {
    config: Config,
    outputs: VecDeque<Output>,
    stats: Stats,
}

impl Server {
    pub fn new(config: Config) -> Self {
        Self {
            config,
            outputs: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    /// Takes what a client sent: one UDP datagram, or one frame cut from a stream by [`framing`](crate::framing).
    ///
    /// `unix_seconds` is the wall clock, which credentials end by. Gives the payload that is to be passed on, if
    /// there is one; then [`poll`](Self::poll).
    pub fn receive(
        &mut self,
        now: Instant,
        unix_seconds: u64,
        from: FiveTuple,
        data: &[u8],
    ) -> Option<ToPeer> {
        let _ = (now, unix_seconds, from, data);
        None
    }

    /// A TCP or TLS connection is gone, and its allocation with it (RFC 8656 §7).
    pub fn connection_closed(&mut self, now: Instant, from: FiveTuple) {
        let _ = (now, from);
    }

    /// Answers [`Output::OpenRelay`] with the address the socket is bound to.
    ///
    /// It may be a wildcard: then the address of [`Config`] or the one the client reached stands in.
    pub fn relay_opened(
        &mut self,
        now: Instant,
        relay: RelayId,
        bound: Result<SocketAddr, RelayError>,
    ) {
        let _ = (now, relay, bound);
    }

    /// Takes a datagram that came to a relayed address.
    ///
    /// `peer` is the sender, not an IPv4-mapped address of it.
    pub fn receive_from_peer(
        &mut self,
        now: Instant,
        relay: RelayId,
        peer: SocketAddr,
        data: &[u8],
    ) -> Option<ToClient> {
        let _ = (now, relay, peer, data);
        None
    }

    /// The next thing to do, in order.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called at the latest.
    pub fn next_timeout(&self) -> Option<Instant> {
        None
    }

    /// Ends what has not been refreshed. Calling it too often does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// The machine's addresses have changed: see [`Config::own_addresses`] and [`Config::own_media`].
    pub fn set_own_addresses(&mut self, addresses: Vec<IpAddr>, media: Vec<SocketAddr>) {
        self.config.own_addresses = addresses;
        self.config.own_media = media;
    }

    /// Whose relayed address this is.
    pub fn relay_at(&self, relayed: SocketAddr) -> Option<RelayId> {
        let _ = relayed;
        None
    }

    /// The relayed address as clients and peers know it.
    pub fn relayed_address(&self, relay: RelayId) -> Option<SocketAddr> {
        let _ = relay;
        None
    }

    pub fn stats(&self) -> &Stats {
        &self.stats
    }
}

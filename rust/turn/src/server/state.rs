//! What a server knows, and what every part of it needs.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::hmac;

use super::rejection::Rejection;
use super::request::Request;
use crate::allocation::Allocation;
use crate::config::Config;
use crate::five_tuple::FiveTuple;
use crate::integrity::{Integrity, Key};
use crate::message::{Builder, TransactionId, attribute};
use crate::nonce::Nonces;
use crate::output::{Output, PeerRoute, RelayId};
use crate::policy::Policy;
use crate::stats::{ProtocolStats, Refusal};
use crate::table::Table;

/// Freed allocations that are remembered, so that the last request of a client is answered alike when it comes again.
pub(super) const FREED: usize = 64;

/// All allocations of a server. See the crate's documentation for how it is driven.
#[derive(Debug)]
pub struct Server {
    pub(super) config: Config,
    pub(super) policy: Policy,
    pub(super) nonces: Nonces,
    /// Signs reservation tokens.
    pub(super) token_key: hmac::Key,
    pub(super) table: Table,
    pub(super) freed: VecDeque<(FiveTuple, TransactionId)>,
    /// Numbers the Data indications, which need no secret transaction (RFC 8656 §11.4).
    pub(super) indications: u64,
    pub(super) outputs: VecDeque<Output>,
    pub(super) stats: ProtocolStats,
}

impl Server {
    pub fn new(config: Config) -> Self {
        Self {
            policy: Policy::new(&config),
            nonces: Nonces::new(&config.nonce_key),
            token_key: hmac::Key::new(hmac::HMAC_SHA256, &config.nonce_key),
            table: Table::default(),
            freed: VecDeque::with_capacity(FREED),
            indications: 0,
            outputs: VecDeque::new(),
            stats: ProtocolStats::default(),
            config,
        }
    }

    /// The next thing to do, in order.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The machine's addresses have changed: see [`Config::own_addresses`] and [`Config::own_media`].
    pub fn set_own_addresses(&mut self, addresses: Vec<IpAddr>, media: Vec<SocketAddr>) {
        self.config.own_addresses = addresses;
        self.config.own_media = media;
        self.policy = Policy::new(&self.config);
    }

    /// Whose relayed address this is.
    pub fn relay_at(&self, relayed: SocketAddr) -> Option<RelayId> {
        self.table.at(relayed)
    }

    /// The relayed address as clients and peers know it.
    pub fn relayed_address(&self, relay: RelayId) -> Option<SocketAddr> {
        self.table.get(relay)?.relayed_address()
    }

    pub fn stats(&self) -> &ProtocolStats {
        &self.stats
    }

    pub(super) fn with_software(&self, answer: Builder) -> Builder {
        if self.config.software.is_empty() {
            return answer;
        }
        answer.attribute(attribute::SOFTWARE, self.config.software.as_bytes())
    }

    /// Sends an answer that only who knows the sender's key can have made.
    pub(super) fn send_signed(
        &mut self,
        to: FiveTuple,
        answer: Builder,
        integrity: Integrity,
        key: &Key,
    ) {
        let answer = self.with_software(answer).integrity(integrity, key);
        self.send(to, answer.finish_with_fingerprint());
    }

    pub(super) fn send(&mut self, to: FiveTuple, data: Vec<u8>) {
        self.outputs.push_back(Output::Send { to, data });
    }

    /// Counts what was refused.
    pub(super) fn counted<T>(&mut self, done: Result<T, Refusal>) -> Option<T> {
        done.map_err(|refusal| self.stats.refuse(refusal)).ok()
    }

    /// The open allocation of a client, if it is the sender's (RFC 8656 §5).
    pub(super) fn owned(
        &mut self,
        request: &Request<'_>,
    ) -> Result<(RelayId, &mut Allocation), Rejection> {
        let relay = self.table.of_client(request.from);
        let relay = relay.ok_or(Rejection::MISMATCH)?;
        let allocation = self.table.get_mut(relay).ok_or(Rejection::MISMATCH)?;
        if allocation.relayed_address().is_none() {
            return Err(Rejection::MISMATCH);
        }
        if &*allocation.username != request.username {
            return Err(Rejection::WRONG_CREDENTIALS);
        }
        Ok((relay, allocation))
    }

    /// How a peer is reached, if it may be.
    pub(super) fn route(&self, peer: SocketAddr, from: FiveTuple) -> Option<PeerRoute> {
        let relay_at = |address| self.table.at(address);
        self.policy.route(peer, from.remote.ip(), relay_at)
    }
}

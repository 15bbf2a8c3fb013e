//! What the server knows, what comes in, and what goes out.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use aws_lc_rs::hmac;

use crate::config::Config;
use crate::five_tuple::FiveTuple;
use crate::message::{Builder, Class, Message, ParseError, TransactionId, attribute, method};
use crate::nonce::Nonces;
use crate::output::{Output, RelayId, ToPeer};
use crate::policy::Policy;
use crate::stats::{Refusal, Stats};
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
    pub(super) stats: Stats,
}

/// Why a request was not done: what is counted, and what the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rejection {
    pub(super) refusal: Refusal,
    pub(super) code: u16,
    pub(super) reason: &'static str,
}

impl Rejection {
    pub(super) const BAD_REQUEST: Self = Self::new(Refusal::BadRequest, 400, "Bad Request");
    pub(super) const FORBIDDEN: Self = Self::new(Refusal::PeerForbidden, 403, "Forbidden");
    pub(super) const MISMATCH: Self =
        Self::new(Refusal::AllocationMismatch, 437, "Allocation Mismatch");
    pub(super) const NO_FAMILY: Self = Self::new(
        Refusal::FamilyNotSupported,
        440,
        "Address Family not Supported",
    );
    pub(super) const WRONG_CREDENTIALS: Self =
        Self::new(Refusal::WrongCredentials, 441, "Wrong Credentials");
    pub(super) const NO_TRANSPORT: Self = Self::new(
        Refusal::TransportNotSupported,
        442,
        "Unsupported Transport Protocol",
    );
    pub(super) const PEER_FAMILY: Self =
        Self::new(Refusal::FamilyMismatch, 443, "Peer Address Family Mismatch");
    pub(super) const QUOTA: Self = Self::new(Refusal::UserQuota, 486, "Allocation Quota Reached");
    pub(super) const CAPACITY: Self = Self::new(Refusal::Capacity, 508, "Insufficient Capacity");

    pub(super) const fn new(refusal: Refusal, code: u16, reason: &'static str) -> Self {
        Self {
            refusal,
            code,
            reason,
        }
    }
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
            stats: Stats::default(),
            config,
        }
    }

    /// Takes what a client sent: one UDP datagram, or one frame cut from a stream by [`framing`](crate::framing).
    ///
    /// `unix_seconds` is the wall clock, which credentials end by. Gives the payload that is to be passed on, if there
    /// is one; then [`poll`](Self::poll).
    pub fn receive(
        &mut self,
        now: Instant,
        unix_seconds: u64,
        from: FiveTuple,
        data: &[u8],
    ) -> Option<ToPeer> {
        // RFC 7983 §7, RFC 8656 §12.5: the first byte tells ChannelData and STUN apart.
        match data.first() {
            Some(0x40..=0x4F) => self.channel_data(now, from, data),
            Some(0..=3) => self.stun(now, unix_seconds, from, data),
            _ => {
                self.stats.refuse(Refusal::Malformed);
                None
            }
        }
    }

    pub(super) fn stun(
        &mut self,
        now: Instant,
        unix_seconds: u64,
        from: FiveTuple,
        data: &[u8],
    ) -> Option<ToPeer> {
        let message = match Message::parse(data) {
            Ok(message) => message,
            Err(ParseError::Malformed) => {
                self.stats.refuse(Refusal::Malformed);
                return None;
            }
            Err(ParseError::Fingerprint) => {
                self.stats.refuse(Refusal::Fingerprint);
                return None;
            }
        };
        match (message.class(), message.method()) {
            (Class::Indication, method::SEND) => {
                return self.send_indication(now, from, data, &message);
            }
            // Keeps a NAT open, and asks for nothing (RFC 8489 §2).
            (Class::Indication, method::BINDING) => {}
            (Class::Request, method::BINDING) => self.binding(from, &message),
            (
                Class::Request,
                method::ALLOCATE
                | method::REFRESH
                | method::CREATE_PERMISSION
                | method::CHANNEL_BIND,
            ) => self.request(now, unix_seconds, from, &message),
            // Answers to what was never asked, and methods that are not there: silence (RFC 8489 §6.3).
            _ => self.stats.refuse(Refusal::Malformed),
        }
        None
    }

    pub(super) fn binding(&mut self, from: FiveTuple, message: &Message<'_>) {
        let unknown: Vec<u16> = message.not_understood().collect();
        if !unknown.is_empty() {
            self.stats.refuse(Refusal::UnknownAttribute);
            let answer = unknown_attributes(message, &unknown);
            self.send(from, answer.finish_with_fingerprint());
            return;
        }
        let answer = Builder::new(Class::Success, method::BINDING, message.transaction())
            .address(attribute::XOR_MAPPED_ADDRESS, canonical(from.remote));
        let answer = self.with_software(answer).finish_with_fingerprint();
        self.send(from, answer);
    }

    /// A request that needs a credential.
    pub(super) fn request(
        &mut self,
        now: Instant,
        unix_seconds: u64,
        from: FiveTuple,
        message: &Message<'_>,
    ) {
        let Some(sender) = self.authenticate(now, unix_seconds, from, message) else {
            return;
        };
        let unknown: Vec<u16> = message.not_understood().collect();
        if !unknown.is_empty() {
            self.stats.refuse(Refusal::UnknownAttribute);
            let answer = self.with_software(unknown_attributes(message, &unknown));
            let answer = answer.integrity(sender.integrity, &sender.key);
            self.send(from, answer.finish_with_fingerprint());
            return;
        }
        let done = match message.method() {
            method::ALLOCATE => self.allocate(now, from, message, &sender),
            method::REFRESH => self.refresh(now, from, message, &sender),
            method::CREATE_PERMISSION => self.create_permission(now, from, message, &sender),
            _ => self.channel_bind(now, from, message, &sender),
        };
        let answer = match done {
            Ok(answer) => answer,
            Err(rejection) => {
                self.stats.refuse(rejection.refusal);
                Some(Builder::error(
                    message.method(),
                    message.transaction(),
                    rejection.code,
                    rejection.reason,
                ))
            }
        };
        if let Some(answer) = answer {
            let answer = self
                .with_software(answer)
                .integrity(sender.integrity, &sender.key);
            self.send(from, answer.finish_with_fingerprint());
        }
    }

    pub(super) fn with_software(&self, answer: Builder) -> Builder {
        if self.config.software.is_empty() {
            return answer;
        }
        answer.attribute(attribute::SOFTWARE, self.config.software.as_bytes())
    }

    pub(super) fn send(&mut self, to: FiveTuple, data: Vec<u8>) {
        self.outputs.push_back(Output::Send { to, data });
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

    pub fn stats(&self) -> &Stats {
        &self.stats
    }
}

pub(super) fn unknown_attributes(message: &Message<'_>, unknown: &[u16]) -> Builder {
    // As many as an answer of a reasonable size can name.
    let named: Vec<u8> = unknown
        .iter()
        .take(16)
        .flat_map(|kind| kind.to_be_bytes())
        .collect();
    Builder::error(
        message.method(),
        message.transaction(),
        420,
        "Unknown Attribute",
    )
    .attribute(attribute::UNKNOWN_ATTRIBUTES, &named)
}

/// An IPv4 client of a socket for both families, as it knows itself.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

//! Which peer an incoming datagram is for: by first byte, by address, by STUN username.
//!
//! Nothing here scans over peers. An address is learned for a peer only from a STUN message that
//! the peer's credentials verified, because nothing else that arrives before DTLS is up proves
//! anything.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::ice::{StunMessage, TransId};

use crate::id::PeerId;

/// How many STUN requests of one peer may wait for an answer from a yet unknown address.
const MAX_TRANSACTIONS: usize = 128;

/// How many addresses one peer may be known by: a few interfaces, a few NAT bindings.
const MAX_ADDRESSES: usize = 16;

/// A peer that has been silent for so long loses an address to another that proves it has it.
const TAKEOVER_AFTER: Duration = Duration::from_secs(2);

/// What a datagram is, by its first byte (RFC 7983 §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Stun,
    Dtls,
    /// RTP and RTCP, told apart later (RFC 5761).
    Media,
    /// ZRTP, TURN channels, and whatever else: not ours.
    Other,
}

/// The class of a datagram.
pub fn classify(datagram: &[u8]) -> Class {
    match datagram.first() {
        Some(0..=3) => Class::Stun,
        Some(20..=63) => Class::Dtls,
        Some(128..=191) => Class::Media,
        _ => Class::Other,
    }
}

/// Our address and theirs.
pub type AddressPair = (SocketAddr, SocketAddr);

#[derive(Debug)]
struct KnownPair {
    peer: PeerId,
    heard: Instant,
}

#[derive(Debug, Default)]
struct Entry {
    ufrag: Option<String>,
    paths: Vec<AddressPair>,
    transactions: HashSet<TransId>,
}

/// From a datagram to its peer.
#[derive(Debug, Default)]
pub struct Demux {
    by_path: HashMap<AddressPair, KnownPair>,
    by_ufrag: HashMap<String, PeerId>,
    by_transaction: HashMap<TransId, PeerId>,
    peers: HashMap<PeerId, Entry>,
}

impl Demux {
    /// Gives a peer its local ICE username fragment, in place of its earlier one. After an ICE
    /// restart the paths learned before prove nothing any more, and are forgotten. `true` if it is
    /// another one.
    pub fn set_ufrag(&mut self, peer: PeerId, ufrag: &str) -> bool {
        let entry = self.peers.entry(peer).or_default();
        if entry.ufrag.as_deref() == Some(ufrag) {
            return false;
        }
        if let Some(old) = entry.ufrag.replace(ufrag.to_owned()) {
            self.by_ufrag.remove(&old);
        }
        for path in std::mem::take(&mut entry.paths) {
            self.by_path.remove(&path);
        }
        for transaction in entry.transactions.drain() {
            self.by_transaction.remove(&transaction);
        }
        self.by_ufrag.insert(ufrag.to_owned(), peer);
        true
    }

    /// Forgets all about a peer.
    pub fn forget(&mut self, peer: PeerId) {
        let Some(entry) = self.peers.remove(&peer) else {
            return;
        };
        if let Some(ufrag) = entry.ufrag {
            self.by_ufrag.remove(&ufrag);
        }
        for path in entry.paths {
            self.by_path.remove(&path);
        }
        for transaction in entry.transactions {
            self.by_transaction.remove(&transaction);
        }
    }

    /// The peer that a DTLS or media datagram on this path is for.
    pub fn peer_on(&mut self, path: AddressPair, now: Instant) -> Option<PeerId> {
        let route = self.by_path.get_mut(&path)?;
        route.heard = now;
        Some(route.peer)
    }

    /// The peer that a STUN message is for: a request names it, a response answers it.
    pub fn peer_of_stun(&self, message: &StunMessage<'_>, path: AddressPair) -> Option<PeerId> {
        if message.is_binding_request() {
            let (ours, _) = message.split_username()?;
            return self.by_ufrag.get(ours).copied();
        }
        let known = self.by_path.get(&path).map(|route| route.peer);
        self.by_transaction
            .get(&message.trans_id())
            .copied()
            .or(known)
    }

    /// Whether this path is known to be this peer's.
    pub fn knows(&self, peer: PeerId, path: AddressPair) -> bool {
        self.by_path
            .get(&path)
            .is_some_and(|route| route.peer == peer)
    }

    /// Learns that a path is this peer's, after a STUN message proved it.
    ///
    /// A path that another peer was heard on just now stays that peer's: otherwise a peer could
    /// cut off another by sending its own valid STUN from a forged address.
    pub fn learn(&mut self, peer: PeerId, path: AddressPair, now: Instant) {
        if let Some(route) = self.by_path.get_mut(&path) {
            if route.peer == peer {
                route.heard = now;
                return;
            }
            if now.saturating_duration_since(route.heard) < TAKEOVER_AFTER {
                return;
            }
            let previous = route.peer;
            if let Some(entry) = self.peers.get_mut(&previous) {
                entry.paths.retain(|known| *known != path);
            }
        }
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        if entry.paths.len() >= MAX_ADDRESSES {
            let oldest = entry.paths.remove(0);
            self.by_path.remove(&oldest);
        }
        entry.paths.push(path);
        self.by_path.insert(path, KnownPair { peer, heard: now });
    }

    /// Remembers a STUN request that this peer sent on a path not known yet, so that the answer
    /// finds it.
    pub fn expect_response(&mut self, peer: PeerId, datagram: &[u8]) {
        let Ok(message) = StunMessage::parse(datagram) else {
            return;
        };
        if !message.is_binding_request() {
            return;
        }
        let Some(entry) = self.peers.get_mut(&peer) else {
            return;
        };
        if entry.transactions.len() >= MAX_TRANSACTIONS {
            for transaction in entry.transactions.drain() {
                self.by_transaction.remove(&transaction);
            }
        }
        entry.transactions.insert(message.trans_id());
        self.by_transaction.insert(message.trans_id(), peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(port: u16) -> AddressPair {
        (([127, 0, 0, 1], 4501).into(), ([192, 0, 2, 1], port).into())
    }

    #[test]
    fn the_first_byte_decides_the_class() {
        let classes = [
            (0, Class::Stun),
            (3, Class::Stun),
            (4, Class::Other),
            (19, Class::Other),
            (20, Class::Dtls),
            (63, Class::Dtls),
            (64, Class::Other),
            (127, Class::Other),
            (128, Class::Media),
            (191, Class::Media),
            (192, Class::Other),
            (255, Class::Other),
        ];
        for (byte, class) in classes {
            assert_eq!(classify(&[byte]), class, "first byte {byte}");
        }
        assert_eq!(classify(&[]), Class::Other);
    }

    #[test]
    fn an_ice_restart_forgets_what_was_learned_before() {
        let (now, mut demux) = (Instant::now(), Demux::default());
        demux.set_ufrag(1, "old");
        demux.learn(1, path(1), now);
        assert_eq!(demux.peer_on(path(1), now), Some(1));
        demux.set_ufrag(1, "new");
        assert_eq!(demux.peer_on(path(1), now), None);
        assert!(!demux.by_ufrag.contains_key("old"));
    }

    #[test]
    fn a_path_in_use_cannot_be_taken_and_a_silent_one_can() {
        let (now, mut demux) = (Instant::now(), Demux::default());
        demux.set_ufrag(1, "one");
        demux.set_ufrag(2, "two");
        demux.learn(1, path(1), now);
        demux.learn(2, path(1), now + Duration::from_secs(1));
        assert_eq!(
            demux.peer_on(path(1), now + Duration::from_secs(1)),
            Some(1)
        );
        demux.learn(2, path(1), now + Duration::from_secs(4));
        assert_eq!(
            demux.peer_on(path(1), now + Duration::from_secs(4)),
            Some(2)
        );
        demux.forget(1);
        assert_eq!(
            demux.peer_on(path(1), now + Duration::from_secs(5)),
            Some(2)
        );
    }

    #[test]
    fn a_peer_cannot_fill_the_table() {
        let (now, mut demux) = (Instant::now(), Demux::default());
        demux.set_ufrag(1, "one");
        for port in 0..1000 {
            demux.learn(1, path(port), now);
        }
        assert_eq!(demux.by_path.len(), MAX_ADDRESSES);
        demux.forget(1);
        assert!(
            demux.by_path.is_empty()
                && demux.by_ufrag.is_empty()
                && demux.by_transaction.is_empty()
        );
    }

    #[test]
    fn a_peer_that_is_gone_learns_nothing() {
        let (now, mut demux) = (Instant::now(), Demux::default());
        demux.learn(9, path(1), now);
        assert_eq!(demux.peer_on(path(1), now), None);
    }
}

//! One allocation: who may send to it, and what its channels are (RFC 8656 §2.3, §2.5).

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::bucket::Bucket;
use crate::five_tuple::FiveTuple;
use crate::integrity::{Integrity, Key};
use crate::message::TransactionId;
use crate::output::{Family, PortRequest};

/// How long a permission lasts (§9).
pub const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);
/// How long a channel lasts (§12).
pub const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);
/// Permissions, and channels, that one allocation can have. A browser needs one for each address of its peer.
pub const MAX_PEERS: usize = 128;

/// The relayed address of an allocation, on its way or there.
#[derive(Debug)]
pub(crate) enum Relayed {
    /// The socket has been asked for; what the answer will need.
    Opening {
        key: Key,
        integrity: Integrity,
    },
    Open(SocketAddr),
}

/// There is no room for another permission or channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// Why a channel cannot be bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChannelError {
    /// The number or the peer is bound otherwise (§12.1): 400.
    Taken,
    Full,
}

#[derive(Debug)]
pub(crate) struct Allocation {
    pub client: FiveTuple,
    pub username: Box<str>,
    pub family: Family,
    pub port: PortRequest,
    pub relayed: Relayed,
    /// The request that made it: the same one again is answered alike (§7.2).
    pub transaction: TransactionId,
    /// Whether the client asked for two families, and is to be told that it has one.
    pub second_family_refused: bool,
    /// As it was granted to that request, in seconds.
    pub lifetime: u32,
    pub reservation: Option<[u8; 8]>,
    /// Until when the client was granted it; it ends sooner while nobody may use it.
    pub granted: Instant,
    unused_lifetime: Duration,
    pub expires: Instant,
    pub to_peers: Bucket,
    pub to_client: Bucket,
    permissions: HashMap<IpAddr, Instant>,
    /// By number, in order.
    channels: Vec<Channel>,
    channel_of: HashMap<SocketAddr, u16>,
}

#[derive(Debug)]
struct Channel {
    number: u16,
    peer: SocketAddr,
    expires: Instant,
}

/// What an allocation begins as.
#[derive(Debug)]
pub(crate) struct NewAllocation {
    pub client: FiveTuple,
    pub username: Box<str>,
    pub family: Family,
    pub port: PortRequest,
    pub key: Key,
    pub integrity: Integrity,
    pub transaction: TransactionId,
    pub second_family_refused: bool,
    pub lifetime: u32,
    pub unused_lifetime: Duration,
    pub max_bitrate: u64,
}

impl Allocation {
    pub fn new(new: NewAllocation, now: Instant) -> Self {
        Self {
            client: new.client,
            username: new.username,
            family: new.family,
            port: new.port,
            relayed: Relayed::Opening {
                key: new.key,
                integrity: new.integrity,
            },
            transaction: new.transaction,
            second_family_refused: new.second_family_refused,
            lifetime: new.lifetime,
            reservation: None,
            unused_lifetime: new.unused_lifetime,
            granted: now + Duration::from_secs(new.lifetime.into()),
            expires: now + Duration::from_secs(new.lifetime.into()).min(new.unused_lifetime),
            to_peers: Bucket::new(new.max_bitrate, now),
            to_client: Bucket::new(new.max_bitrate, now),
            permissions: HashMap::new(),
            channels: Vec::new(),
            channel_of: HashMap::new(),
        }
    }

    pub fn relayed_address(&self) -> Option<SocketAddr> {
        match self.relayed {
            Relayed::Open(address) => Some(address),
            Relayed::Opening { .. } => None,
        }
    }

    /// When it ends: as it was granted, but soon after nobody may use it any more.
    pub fn end(&self, now: Instant) -> Instant {
        let last = self.permissions.values().max().copied();
        let last = last.map_or(now, |permission| permission.max(now));
        self.granted.min(last + self.unused_lifetime)
    }

    pub fn permits(&self, now: Instant, peer: IpAddr) -> bool {
        self.permissions
            .get(&peer)
            .is_some_and(|expires| *expires > now)
    }

    /// Makes or renews permissions for all of `peers`, or for none.
    pub fn permit(&mut self, now: Instant, peers: &HashSet<IpAddr>) -> Result<(), Full> {
        if self.permissions.len() + peers.len() > MAX_PEERS {
            self.permissions.retain(|_, expires| *expires > now);
        }
        let known = |peer: &&IpAddr| self.permissions.contains_key(*peer);
        let added = peers.len() - peers.iter().filter(known).count();
        if self.permissions.len() + added > MAX_PEERS {
            return Err(Full);
        }
        let expires = now + PERMISSION_LIFETIME;
        self.permissions
            .extend(peers.iter().map(|peer| (*peer, expires)));
        Ok(())
    }

    /// The peer of a channel.
    pub fn peer_of(&self, now: Instant, number: u16) -> Option<SocketAddr> {
        let place = self.find(number).ok()?;
        let channel = &self.channels[place];
        (channel.expires > now).then_some(channel.peer)
    }

    /// The channel of a peer.
    pub fn channel_of(&self, now: Instant, peer: SocketAddr) -> Option<u16> {
        let number = *self.channel_of.get(&peer)?;
        let channel = &self.channels[self.find(number).ok()?];
        (channel.expires > now).then_some(number)
    }

    /// Binds a channel or renews it, and the permission with it (§12.2).
    pub fn bind(
        &mut self,
        now: Instant,
        number: u16,
        peer: SocketAddr,
    ) -> Result<(), ChannelError> {
        if self.channels.len() >= MAX_PEERS
            || self.find(number).is_ok()
            || self.channel_of.contains_key(&peer)
        {
            self.forget_channels(now);
        }
        let found = self.find(number);
        let bound_otherwise = match found {
            Ok(place) => self.channels[place].peer != peer,
            Err(_) => self.channel_of.contains_key(&peer),
        };
        if bound_otherwise {
            return Err(ChannelError::Taken);
        }
        if found.is_err() && self.channels.len() >= MAX_PEERS {
            return Err(ChannelError::Full);
        }
        self.permit(now, &HashSet::from([peer.ip()]))
            .map_err(|Full| ChannelError::Full)?;
        let expires = now + CHANNEL_LIFETIME;
        match found {
            Ok(place) => self.channels[place].expires = expires,
            Err(place) => {
                let channel = Channel {
                    number,
                    peer,
                    expires,
                };
                self.channels.insert(place, channel);
                self.channel_of.insert(peer, number);
            }
        }
        Ok(())
    }

    fn find(&self, number: u16) -> Result<usize, usize> {
        self.channels
            .binary_search_by_key(&number, |channel| channel.number)
    }

    fn forget_channels(&mut self, now: Instant) {
        self.channels.retain(|channel| {
            let keep = channel.expires > now;
            if !keep {
                self.channel_of.remove(&channel.peer);
            }
            keep
        });
    }
}

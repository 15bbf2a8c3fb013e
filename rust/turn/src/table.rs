//! All allocations, found by client, by relayed address, by user and by time.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::allocation::{Allocation, Relayed};
use crate::five_tuple::FiveTuple;
use crate::output::{Family, RelayId};

/// How long a port is kept for RESERVATION-TOKEN (RFC 8656 §7.2: at least 30 s).
pub const RESERVATION_LIFETIME: Duration = Duration::from_secs(30);

/// A port next to a relay's, kept for whoever made that relay.
#[derive(Debug)]
pub(crate) struct Reservation {
    pub token: [u8; 8],
    pub relay: RelayId,
    pub family: Family,
    pub username: Box<str>,
    pub expires: Instant,
}

/// A place for an allocation; `generation` tells its successive tenants apart.
#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    allocation: Option<Box<Allocation>>,
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_client: HashMap<FiveTuple, RelayId>,
    by_relayed: HashMap<SocketAddr, RelayId>,
    relayed_on: HashMap<IpAddr, usize>,
    by_expiry: BTreeSet<(Instant, RelayId)>,
    users: HashMap<Box<str>, usize>,
    /// By address of the client, a /64 of IPv6 as one.
    networks: HashMap<IpAddr, usize>,
    /// In the order of their ends.
    reservations: Vec<Reservation>,
}

impl Table {
    pub fn len(&self) -> usize {
        self.by_client.len()
    }

    pub fn reservations(&self) -> usize {
        self.reservations.len()
    }

    /// Allocations of a user, reserved ports included.
    pub fn of_user(&self, username: &str) -> usize {
        let reserved = self
            .reservations
            .iter()
            .filter(|reservation| &*reservation.username == username);
        self.users.get(username).copied().unwrap_or(0) + reserved.count()
    }

    /// Allocations of a client's address, those of its /64 with IPv6. Reserved ports count by their
    /// user alone.
    pub fn of_address(&self, client: IpAddr) -> usize {
        self.networks.get(&network(client)).copied().unwrap_or(0)
    }

    pub fn of_client(&self, client: FiveTuple) -> Option<RelayId> {
        self.by_client.get(&client).copied()
    }

    /// The allocation of a client.
    pub fn allocation_of(&self, client: FiveTuple) -> Option<(RelayId, &Allocation)> {
        let relay = self.of_client(client)?;
        Some((relay, self.get(relay)?))
    }

    pub fn at(&self, relayed: SocketAddr) -> Option<RelayId> {
        self.by_relayed.get(&relayed).copied()
    }

    /// Whether a relayed address is on this one.
    pub fn has_relays_on(&self, ip: IpAddr) -> bool {
        self.relayed_on.contains_key(&ip)
    }

    pub fn get(&self, relay: RelayId) -> Option<&Allocation> {
        let slot = self.slots.get(relay.slot())?;
        let allocation = slot.allocation.as_deref()?;
        (slot.generation == relay.generation()).then_some(allocation)
    }

    pub fn get_mut(&mut self, relay: RelayId) -> Option<&mut Allocation> {
        let slot = self.slots.get_mut(relay.slot())?;
        let allocation = slot.allocation.as_deref_mut()?;
        (slot.generation == relay.generation()).then_some(allocation)
    }

    /// Takes a new allocation; its client must have none.
    pub fn insert(&mut self, allocation: Allocation) -> RelayId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        let place = &mut self.slots[slot as usize];
        let relay = RelayId::new(slot, place.generation);
        self.by_client.insert(allocation.client, relay);
        self.by_expiry.insert((allocation.expires, relay));
        *self.users.entry(allocation.username.clone()).or_default() += 1;
        let network = network(allocation.client.remote.ip());
        *self.networks.entry(network).or_default() += 1;
        place.allocation = Some(Box::new(allocation));
        relay
    }

    /// Makes the relayed address known. Gives `false`, and does nothing, where another allocation has it.
    pub fn open(&mut self, relay: RelayId, address: SocketAddr) -> bool {
        if self.by_relayed.contains_key(&address) {
            return false;
        }
        let Some(allocation) = self.get_mut(relay) else {
            return false;
        };
        allocation.relayed = Relayed::Open(address);
        self.by_relayed.insert(address, relay);
        *self.relayed_on.entry(address.ip()).or_default() += 1;
        true
    }

    /// Grants a client its allocation for so many seconds more.
    pub fn grant(&mut self, relay: RelayId, now: Instant, lifetime: u32) {
        if let Some(allocation) = self.get_mut(relay) {
            allocation.granted = now + Duration::from_secs(lifetime.into());
        }
        self.handle_used(relay, now);
    }

    /// An allocation was granted, or has a new permission: by both goes when it ends.
    pub fn handle_used(&mut self, relay: RelayId, now: Instant) {
        if let Some(allocation) = self.get(relay) {
            let end = allocation.end(now);
            self.extend(relay, end);
        }
    }

    /// Moves the end of an allocation.
    fn extend(&mut self, relay: RelayId, expires: Instant) {
        let Some(allocation) = self.get_mut(relay) else {
            return;
        };
        let before = std::mem::replace(&mut allocation.expires, expires);
        self.by_expiry.remove(&(before, relay));
        self.by_expiry.insert((expires, relay));
    }

    pub fn remove(&mut self, relay: RelayId) -> Option<Box<Allocation>> {
        self.get(relay)?;
        let slot = &mut self.slots[relay.slot()];
        let allocation = slot.allocation.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(relay.slot() as u32);
        self.by_client.remove(&allocation.client);
        self.by_expiry.remove(&(allocation.expires, relay));
        if let Some(address) = allocation.relayed_address() {
            self.by_relayed.remove(&address);
            decrement(&mut self.relayed_on, &address.ip());
        }
        decrement(&mut self.users, &allocation.username);
        let network = network(allocation.client.remote.ip());
        decrement(&mut self.networks, &network);
        Some(allocation)
    }

    /// The first end of an allocation or a reservation.
    pub fn next_end(&self) -> Option<Instant> {
        let allocation = self.by_expiry.first().map(|(expires, _)| *expires);
        let reservation = self.reservations.first().map(|first| first.expires);
        allocation.into_iter().chain(reservation).min()
    }

    /// An allocation whose time is over.
    pub fn ended(&self, now: Instant) -> Option<RelayId> {
        let (expires, relay) = *self.by_expiry.first()?;
        (expires <= now).then_some(relay)
    }

    pub fn reserve(&mut self, reservation: Reservation) {
        let place = self
            .reservations
            .partition_point(|other| other.expires <= reservation.expires);
        self.reservations.insert(place, reservation);
    }

    /// The port that was kept under a token for this user, which is then no longer kept.
    pub fn claim(&mut self, token: [u8; 8], username: &str, now: Instant) -> Option<Reservation> {
        let place = self.reservations.iter().position(|reservation| {
            reservation.token == token
                && &*reservation.username == username
                && reservation.expires > now
        })?;
        Some(self.reservations.remove(place))
    }

    /// A reservation whose time is over.
    pub fn lapsed(&mut self, now: Instant) -> Option<Reservation> {
        let first = self.reservations.first()?;
        (first.expires <= now).then(|| self.reservations.remove(0))
    }
}

/// Whom a quota by address counts as one: an address of IPv4, a /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

fn decrement<K: std::hash::Hash + Eq + ?Sized, O: std::borrow::Borrow<K> + std::hash::Hash + Eq>(
    counts: &mut HashMap<O, usize>,
    key: &K,
) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

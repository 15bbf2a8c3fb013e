//! Which peers may be reached.
//!
//! A relay stands inside: it reaches what its clients cannot, and what it sends to others comes from here. What viewers
//! need is this server's media and its relayed addresses. So without a setting nothing else is a peer: not the internet
//! (`allow_internet_relay`), not private networks (`allow_local_relay`).
//!
//! | peer | default | `allow_local_relay` |
//! |---|---|---|
//! | this server's media, relayed addresses of this server | yes | yes |
//! | other ports of this machine's addresses | no | yes, but for `refused_ports` |
//! | private (10/8, 172.16/12, 192.168/16, 100.64/10, fc00::/7), benchmarks (198.18/15), documentation | no | yes |
//! | loopback | no | only to a client that is on the loopback itself: it is there anyway |
//! | link-local (with the clouds' 169.254.169.254), multicast, broadcast, unspecified, reserved | no | no |
//! | IPv4 in IPv6: mapped, compatible, 6to4, Teredo, NAT64 | no | no |
//! | everything else | only with `allow_internet_relay` | only with `allow_internet_relay` |
//!
//! It is asked when a permission or a channel is made, so that a client learns of it, and again for each payload.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::Config;
use crate::output::{PeerRoute, RelayId};
use crate::stats::Refusal;

/// What kind of address it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Public,
    /// Reached from inside only; `allow_local_relay` opens it.
    Local,
    Loopback,
    /// Never a peer.
    Closed,
}

/// The peers that a configuration allows.
#[derive(Debug)]
pub(crate) struct Policy {
    allow_internet: bool,
    allow_local: bool,
    own: HashSet<IpAddr>,
    media: HashSet<SocketAddr>,
    refused_ports: HashSet<u16>,
}

impl Policy {
    pub fn new(config: &Config) -> Self {
        let mut own: HashSet<IpAddr> = config.own_addresses.iter().copied().collect();
        own.extend(config.external_v4.map(IpAddr::V4));
        own.extend(config.external_v6.map(IpAddr::V6));
        let media: HashSet<SocketAddr> = config.own_media.iter().copied().collect();
        own.extend(media.iter().map(SocketAddr::ip));
        Self {
            allow_internet: config.allow_internet_relay,
            allow_local: config.allow_local_relay,
            own,
            media,
            refused_ports: config.refused_ports.iter().copied().collect(),
        }
    }

    /// How a peer is reached; `None` where it may not be. `relay_at` knows the relayed addresses.
    pub fn route(
        &self,
        peer: SocketAddr,
        client: IpAddr,
        relay_at: impl FnOnce(SocketAddr) -> Option<RelayId>,
    ) -> Option<PeerRoute> {
        if peer.port() == 0 {
            return None;
        }
        let scope = scope(peer.ip());
        let own = self.own.contains(&peer.ip()) || scope == Scope::Loopback;
        // The common case, a stranger on the internet, costs no more look-ups.
        if !own && scope == Scope::Public {
            return self.allow_internet.then_some(PeerRoute::Network);
        }
        if self.media.contains(&peer) {
            return Some(PeerRoute::OwnMedia);
        }
        if let Some(relay) = relay_at(peer) {
            return Some(PeerRoute::OwnRelay(relay));
        }
        let refused = own && self.refused_ports.contains(&peer.port());
        let open = match scope {
            Scope::Public | Scope::Local => true,
            Scope::Loopback => client.to_canonical().is_loopback(),
            Scope::Closed => false,
        };
        (self.allow_local && open && !refused).then_some(PeerRoute::Network)
    }

    /// What a peer that may not be reached is counted as.
    pub fn refusal(&self, peer: IpAddr) -> Refusal {
        let is_stranger = scope(peer) == Scope::Public && !self.own.contains(&peer);
        match is_stranger && !self.allow_internet {
            true => Refusal::InternetForbidden,
            false => Refusal::PeerForbidden,
        }
    }

    /// Whether a permission for an address, whatever the port, can be of any use.
    ///
    /// `has_relays` knows whether there is a relayed address on it.
    pub fn permits(
        &self,
        peer: IpAddr,
        client: IpAddr,
        has_relays: impl FnOnce(IpAddr) -> bool,
    ) -> bool {
        let scope = scope(peer);
        let own = self.own.contains(&peer) || scope == Scope::Loopback;
        let open = match scope {
            Scope::Public if own => self.allow_local,
            Scope::Public => self.allow_internet,
            Scope::Local => self.allow_local,
            Scope::Loopback => self.allow_local && client.to_canonical().is_loopback(),
            Scope::Closed => false,
        };
        open || self.media.iter().any(|media| media.ip() == peer) || has_relays(peer)
    }
}

fn scope(ip: IpAddr) -> Scope {
    match ip {
        IpAddr::V4(ip) => scope_v4(ip),
        IpAddr::V6(ip) => scope_v6(ip),
    }
}

/// After the registry of special-purpose addresses (RFC 6890 and its successors).
fn scope_v4(ip: Ipv4Addr) -> Scope {
    match ip.octets() {
        [127, ..] => Scope::Loopback,
        [10, ..] | [192, 168, ..] | [198, 18 | 19, ..] => Scope::Local,
        [172, second, ..] if second & 0xF0 == 16 => Scope::Local,
        [100, second, ..] if second & 0xC0 == 64 => Scope::Local,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Scope::Local,
        // This network, link-local, IETF's own, 6to4 relays; multicast, reserved, broadcast.
        [0, ..] | [169, 254, ..] | [192, 0, 0, _] | [192, 88, 99, _] | [224..=255, ..] => {
            Scope::Closed
        }
        _ => Scope::Public,
    }
}

/// Global unicast (2000::/3) less its tunnels is public; whatever else there is has to be named here.
fn scope_v6(ip: Ipv6Addr) -> Scope {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Scope::Loopback,
        [first, ..] if first & 0xFE00 == 0xFC00 => Scope::Local,
        [0x2001, 0x0DB8, ..] => Scope::Local,
        [0x3FFF, second, ..] if second & 0xF000 == 0 => Scope::Local,
        // 2001::/23 has Teredo, ORCHID and other things that are no hosts; 2002::/16 is 6to4.
        [0x2001, second, ..] if second & 0xFE00 == 0 => Scope::Closed,
        [0x2002, ..] => Scope::Closed,
        [first, ..] if first & 0xE000 == 0x2000 => Scope::Public,
        _ => Scope::Closed,
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;

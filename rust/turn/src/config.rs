//! What a server is told once.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// How a [`Server`](crate::Server) is set up.
#[derive(Clone)]
pub struct Config {
    /// The realm of the credentials (RFC 8489 §14.9).
    pub realm: String,
    /// What credentials are minted with; see [`credentials`](crate::credentials). Anybody who knows it can relay.
    pub secret: Vec<u8>,
    /// SOFTWARE in answers; empty leaves it out.
    pub software: String,
    /// Signs nonces and reservation tokens; fresh random bytes at each start.
    pub nonce_key: [u8; 32],
    /// The address clients and peers reach this machine at, put into XOR-RELAYED-ADDRESS instead of the bound one.
    pub external_v4: Option<Ipv4Addr>,
    /// The same for IPv6.
    pub external_v6: Option<Ipv6Addr>,
    /// Opens the internet as peers. Off, only this server's own media and relayed addresses are, which
    /// is what its viewers need; the command's default.
    pub allow_internet_relay: bool,
    /// Opens private networks as peers; `policy.rs` has the table of what is open and what stays closed.
    pub allow_local_relay: bool,
    /// All addresses of this machine. Of these only `own_media` and relayed addresses are peers.
    pub own_addresses: Vec<IpAddr>,
    /// This server's own media: allowed as peers, although they are local.
    pub own_media: Vec<SocketAddr>,
    /// Ports of this server that are never relayed to, at any address of this machine: HTTP, TURN itself.
    pub refused_ports: Vec<u16>,
    /// Allocations there can be at one time, reservations of EVEN-PORT included.
    pub max_allocations: usize,
    /// Allocations of one username at one time; 0: no limit but `max_allocations`.
    pub user_quota: usize,
    /// Allocations of one address (of a /64 of IPv6) at one time; 0: no limit but `max_allocations`.
    pub address_quota: usize,
    /// How long an allocation lasts without a permission, whatever it was granted. A browser makes one
    /// as soon as it knows an address of its peer.
    pub unused_lifetime: Duration,
    /// Bits of payload a second that pass through one allocation, in each direction; 0: no limit.
    pub max_bitrate: u64,
}

impl Default for Config {
    /// A server that nobody can use yet: no secret, and a nonce key of zeros.
    fn default() -> Self {
        Self {
            realm: "icey".into(),
            secret: Vec::new(),
            software: String::new(),
            nonce_key: [0; 32],
            external_v4: None,
            external_v6: None,
            allow_internet_relay: true,
            allow_local_relay: false,
            own_addresses: Vec::new(),
            own_media: Vec::new(),
            refused_ports: Vec::new(),
            max_allocations: 200,
            user_quota: 0,
            address_quota: 0,
            unused_lifetime: Duration::from_secs(60),
            max_bitrate: 0,
        }
    }
}

/// Without what is secret.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("realm", &self.realm)
            .field("software", &self.software)
            .field("external_v4", &self.external_v4)
            .field("external_v6", &self.external_v6)
            .field("allow_internet_relay", &self.allow_internet_relay)
            .field("allow_local_relay", &self.allow_local_relay)
            .field("own_addresses", &self.own_addresses)
            .field("own_media", &self.own_media)
            .field("refused_ports", &self.refused_ports)
            .field("max_allocations", &self.max_allocations)
            .field("user_quota", &self.user_quota)
            .field("address_quota", &self.address_quota)
            .field("max_bitrate", &self.max_bitrate)
            .finish_non_exhaustive()
    }
}

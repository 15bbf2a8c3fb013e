//! What a TURN server is made with.

use std::path::PathBuf;

/// What a TURN server is made with.
#[derive(Clone)]
pub struct TurnConfig {
    /// The IP address to bind, for clients and for relayed addresses.
    pub host: String,
    /// UDP and TCP port; 0 takes one that is free for both.
    pub port: u16,
    pub tls: Option<TlsConfig>,
    pub realm: String,
    /// Signs credentials.
    pub secret: Vec<u8>,
    /// Told in place of the bound address of its family; empty for none.
    pub external_ip: String,
    pub allow_local_relay: bool,
    /// Ports of this machine that are never relayed to, besides the server's own.
    pub refused_ports: Vec<u16>,
    pub max_allocations: usize,
    pub user_quota: usize,
    /// Bit/s of one allocation in each direction; 0 for no limit.
    pub max_bitrate: u64,
    /// The first and the last port of relayed addresses.
    pub relay_ports: (u16, u16),
}

/// What TLS needs.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// TCP port; 0 takes a free one.
    pub port: u16,
    /// PEM files.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

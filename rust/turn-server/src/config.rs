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
    /// Told in place of the bound address of its family; empty for none.
    pub external_ip: String,
    /// The first and the last port of relayed addresses.
    pub relay_ports: (u16, u16),
    /// What the protocol is told. The server itself knows its addresses, adds its own ports to
    /// `refused_ports`, and makes the nonce key.
    pub protocol: icey_turn::Config,
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

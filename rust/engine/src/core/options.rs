//! What a peer is made with.

use std::net::SocketAddr;

use str0m::config::DtlsCert;

use super::wallclock::Wallclock;

/// How the bitrate to a peer is estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Estimation {
    /// By the browser, told in REMB. No pacing: the cheapest.
    #[default]
    Remb,
    /// Here, from transport-wide feedback; paces, and probes up to `max_bitrate`.
    Twcc,
}

/// What a peer is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerOptions {
    pub estimation: Estimation,
    /// What its tracks may reach together, in bit/s. Only matters for [`Estimation::Twcc`].
    pub max_bitrate: u64,
    /// What its path is taken to carry before anything is known of it, in bit/s: the first packets
    /// are paced at that, and probes ask for three and six times as much. Only matters for
    /// [`Estimation::Twcc`].
    pub start_bitrate: u64,
}

/// What all peers share.
#[derive(Debug, Clone)]
pub struct Local {
    pub certificate: DtlsCert,
    /// The addresses that datagrams arrive at.
    pub addresses: Vec<SocketAddr>,
    /// Further addresses that are advertised, e.g. a NAT's. Datagrams to them arrive at one of
    /// `addresses`, so ICE must not know them: it would send from them.
    pub additional: Vec<SocketAddr>,
    /// The wallclock that sender reports go by.
    pub wallclock: Wallclock,
}

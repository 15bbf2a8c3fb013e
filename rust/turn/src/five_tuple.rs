//! Who talks to the server, and how.

use std::net::SocketAddr;

/// What carries the messages between client and server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    Udp,
    Tcp,
    /// TLS over TCP (`turns:`).
    Tls,
}

impl Transport {
    /// Whether messages are cut from a stream of bytes: ChannelData is padded there (RFC 8656 §12.5).
    pub fn is_stream(self) -> bool {
        self != Self::Udp
    }
}

/// One client's way to the server, which names its allocation (RFC 8656 §2.2).
///
/// `local` must be the same for all messages of a client. Where a UDP socket on the wildcard address cannot tell
/// at which address a datagram arrived, give the socket's own address; then a wildcard cannot stand in for the
/// relayed address, and [`Config`](crate::Config) or the bound relay socket must know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FiveTuple {
    pub transport: Transport,
    pub local: SocketAddr,
    pub remote: SocketAddr,
}

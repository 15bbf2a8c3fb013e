//! What a server asks of who runs it.

use std::net::SocketAddr;
use std::ops::Range;

use crate::five_tuple::FiveTuple;

/// One relayed address, and the allocation it belongs to. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelayId(pub(crate) u64);

impl RelayId {
    /// As a number, for a table of sockets or `epoll`'s user data.
    pub fn as_u64(self) -> u64 {
        self.0
    }

    pub(crate) fn new(slot: u32, generation: u32) -> Self {
        Self(u64::from(generation) << 32 | u64::from(slot))
    }

    pub(crate) fn slot(self) -> usize {
        self.0 as u32 as usize
    }

    pub(crate) fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Back from [`as_u64`](Self::as_u64). A number that never was a relay is one that does not exist.
    pub fn from_u64(number: u64) -> Self {
        Self(number)
    }
}

/// The family of a relayed address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub fn of(address: SocketAddr) -> Self {
        if address.is_ipv4() {
            Self::V4
        } else {
            Self::V6
        }
    }

    /// From the first byte of REQUESTED-ADDRESS-FAMILY (§18.5).
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::V4),
            2 => Some(Self::V6),
            _ => None,
        }
    }
}

/// Which port a relay is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PortRequest {
    /// Any of the range.
    Any,
    /// An even one (EVEN-PORT, RFC 8656 §18.6).
    Even,
    /// An even one; bind the next one as well and keep it, until [`PortRequest::Reserved`] with this relay's id asks
    /// for it, or [`Output::ReleaseReserved`] gives it up.
    EvenAndReserve,
    /// The port that was kept when this relay was opened. (That relay itself may be closed by now.)
    Reserved(RelayId),
}

/// Why a relay could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RelayError {
    /// The machine has no address of this family: 440.
    FamilyNotSupported,
    /// No port is free, or no more sockets can be had: 508.
    NoPort,
}

/// Something to be done, apart from passing payloads on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this STUN message to a client: a whole one, as it is, on every transport.
    Send { to: FiveTuple, data: Vec<u8> },
    /// Open a UDP socket, and tell [`Server::relay_opened`](crate::Server::relay_opened) about it, whatever happens.
    OpenRelay {
        relay: RelayId,
        /// Whose allocation it will be.
        client: FiveTuple,
        family: Family,
        port: PortRequest,
    },
    /// Close it. It may be one that could not be opened, or was not yet.
    CloseRelay { relay: RelayId },
    /// Give the port up that was kept next to this relay's, if one was.
    ReleaseReserved { relay: RelayId },
}

/// What is behind a peer's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// The network.
    Network,
    /// This server's own media (`own_media` of [`Config`](crate::Config)): no socket is needed.
    OwnMedia,
    /// Another relayed address of this server; [`Server::receive_from_peer`](crate::Server::receive_from_peer) of that
    /// relay takes it, with [`ToPeer::from`] as its peer.
    OwnRelay(RelayId),
}

/// A client's payload on its way to a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "nobody else passes the payload on"]
pub struct ToPeer {
    /// Whose socket sends it.
    pub relay: RelayId,
    /// The relayed address: what the peer sees as sender.
    pub from: SocketAddr,
    pub peer: SocketAddr,
    pub route: Route,
    /// Where the payload is in the bytes that were received.
    pub payload: Range<usize>,
    /// To be sent with the DF bit (DONT-FRAGMENT, RFC 8656 §18.7).
    pub dont_fragment: bool,
}

/// The longest head of a [`ToClient`]: a Data indication with an IPv6 peer.
pub const MAX_HEAD: usize = 20 + 24 + 4;

/// A peer's payload on its way to a client: `head`, the bytes that were received, `padding`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "nobody else passes the payload on"]
pub struct ToClient {
    pub to: FiveTuple,
    pub(crate) head: [u8; MAX_HEAD],
    pub(crate) head_length: u8,
    pub(crate) padding: u8,
}

impl ToClient {
    /// What goes before the payload: a ChannelData header, or a Data indication up to its data.
    pub fn head(&self) -> &[u8] {
        &self.head[..usize::from(self.head_length)]
    }

    /// The zeros that go behind the payload, at most three.
    pub fn padding(&self) -> &'static [u8] {
        &[0; 3][..usize::from(self.padding)]
    }
}

//! What a server has counted.

/// Why something was not done for a client or a peer.
///
/// The discriminant is the place in [`Stats::refusals`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Refusal {
    /// Neither STUN nor ChannelData, or cut short, or with attributes that cannot be read.
    Malformed,
    /// A FINGERPRINT that does not fit.
    Fingerprint,
    /// A request without credentials: 401, how every honest client begins.
    Challenged,
    /// A nonce too old, of another client, or not of this server: 438.
    StaleNonce,
    /// Credentials that this server never minted, or a message changed on its way: 401.
    Forged,
    /// Credentials whose time is over: 401.
    Expired,
    /// Good credentials, but not those of the allocation: 441.
    WrongCredentials,
    /// A request that makes no sense: 400.
    BadRequest,
    /// Attributes that must be understood and are not: 420.
    UnknownAttribute,
    /// A transport other than UDP to the peer: 442.
    TransportNotSupported,
    /// A family of addresses that is not there: 440.
    FamilyNotSupported,
    /// A peer of another family than the relayed address: 443.
    FamilyMismatch,
    /// Allocate where there is an allocation, or something else where there is none: 437.
    AllocationMismatch,
    /// A user with too many allocations: 486.
    UserQuota,
    /// Too many allocations in all, or no port left: 508.
    Capacity,
    /// A peer that may not be reached: 403, or a payload dropped.
    PeerForbidden,
    /// A payload to or from a peer without permission.
    NoPermission,
    /// ChannelData on a channel that is not bound, or without an allocation.
    NoChannel,
    /// A payload above the bitrate of an allocation.
    Bitrate,
    /// A payload too large for a datagram.
    Oversized,
}

impl Refusal {
    /// All of them, in the order of [`Stats::refusals`].
    pub const ALL: [Self; 20] = [
        Self::Malformed,
        Self::Fingerprint,
        Self::Challenged,
        Self::StaleNonce,
        Self::Forged,
        Self::Expired,
        Self::WrongCredentials,
        Self::BadRequest,
        Self::UnknownAttribute,
        Self::TransportNotSupported,
        Self::FamilyNotSupported,
        Self::FamilyMismatch,
        Self::AllocationMismatch,
        Self::UserQuota,
        Self::Capacity,
        Self::PeerForbidden,
        Self::NoPermission,
        Self::NoChannel,
        Self::Bitrate,
        Self::Oversized,
    ];

    /// The name it has in the API and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Fingerprint => "fingerprint",
            Self::Challenged => "challenged",
            Self::StaleNonce => "stale_nonce",
            Self::Forged => "forged",
            Self::Expired => "expired",
            Self::WrongCredentials => "wrong_credentials",
            Self::BadRequest => "bad_request",
            Self::UnknownAttribute => "unknown_attribute",
            Self::TransportNotSupported => "transport_not_supported",
            Self::FamilyNotSupported => "family_not_supported",
            Self::FamilyMismatch => "family_mismatch",
            Self::AllocationMismatch => "allocation_mismatch",
            Self::UserQuota => "user_quota",
            Self::Capacity => "capacity",
            Self::PeerForbidden => "peer_forbidden",
            Self::NoPermission => "no_permission",
            Self::NoChannel => "no_channel",
            Self::Bitrate => "bitrate",
            Self::Oversized => "oversized",
        }
    }
}

/// Payloads that were passed on in one direction; heads are not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    pub packets: u64,
    pub bytes: u64,
}

impl Traffic {
    pub(crate) fn count(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
    }
}

/// Counted since the start, but for `allocations` and `reservations`, which are now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    pub allocations: usize,
    pub allocations_total: u64,
    /// Ports kept for a second allocation (EVEN-PORT).
    pub reservations: usize,
    /// From clients to peers.
    pub to_peers: Traffic,
    /// From peers to clients.
    pub to_clients: Traffic,
    /// By [`Refusal`], in the order of [`Refusal::ALL`].
    pub refusals: [u64; Refusal::ALL.len()],
}

impl Stats {
    /// How often it happened.
    pub fn refused(&self, refusal: Refusal) -> u64 {
        self.refusals[refusal as usize]
    }

    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        self.refusals[refusal as usize] += 1;
    }
}

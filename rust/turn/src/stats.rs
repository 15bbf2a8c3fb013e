//! What a server has counted.

/// The variants, each with the name that it has in the API and in metrics.
macro_rules! refusals {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why something was not done for a client or a peer.
        ///
        /// The discriminant is the place in [`ProtocolStats::refusals`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(usize)]
        pub enum Refusal {
            $($(#[$doc])* $variant,)*
        }

        impl Refusal {
            /// All of them, in the order of [`ProtocolStats::refusals`].
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// The name it has in the API and in metrics.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

refusals! {
    /// Neither STUN nor ChannelData, or cut short, or with attributes that cannot be read.
    Malformed = "malformed",
    /// A FINGERPRINT that does not fit.
    Fingerprint = "fingerprint",
    /// A request without credentials: 401, how every honest client begins.
    Challenged = "challenged",
    /// A nonce too old, of another client, or not of this server: 438.
    StaleNonce = "stale_nonce",
    /// Credentials that this server never minted, or a message changed on its way: 401.
    Forged = "forged",
    /// Credentials whose time is over: 401.
    Expired = "expired",
    /// Good credentials, but not those of the allocation: 441.
    WrongCredentials = "wrong_credentials",
    /// A request that makes no sense: 400.
    BadRequest = "bad_request",
    /// Attributes that must be understood and are not: 420.
    UnknownAttribute = "unknown_attribute",
    /// A transport other than UDP to the peer: 442.
    TransportNotSupported = "transport_not_supported",
    /// A family of addresses that is not there: 440.
    FamilyNotSupported = "family_not_supported",
    /// A peer of another family than the relayed address: 443.
    FamilyMismatch = "family_mismatch",
    /// Allocate where there is an allocation, or something else where there is none: 437.
    AllocationMismatch = "allocation_mismatch",
    /// A user with too many allocations: 486.
    UserQuota = "user_quota",
    /// An address with too many allocations: 486.
    AddressQuota = "address_quota",
    /// Too many allocations in all, or no port left: 508.
    Capacity = "capacity",
    /// A peer that may not be reached: 403, or a payload dropped.
    PeerForbidden = "peer_forbidden",
    /// A peer on the internet, where only this server is relayed to: 403, or a payload dropped.
    InternetForbidden = "internet_forbidden",
    /// A payload to or from a peer without permission.
    NoPermission = "no_permission",
    /// ChannelData on a channel that is not bound, or without an allocation.
    NoChannel = "no_channel",
    /// A payload above the bitrate of an allocation.
    Bitrate = "bitrate",
    /// A payload too large for a datagram.
    Oversized = "oversized",
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProtocolStats {
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

impl ProtocolStats {
    /// How often it happened.
    pub fn refused(&self, refusal: Refusal) -> u64 {
        self.refusals[refusal as usize]
    }

    /// Every reason, and how often it was one.
    pub fn by_refusal(&self) -> impl Iterator<Item = (Refusal, u64)> {
        Refusal::ALL.into_iter().zip(self.refusals)
    }

    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        self.refusals[refusal as usize] += 1;
    }
}

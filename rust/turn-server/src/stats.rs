//! What a TURN server has counted.

/// A snapshot. What the protocol counts, and what the sockets do; all but `connections` and the
/// protocol's allocations only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TurnStats {
    pub protocol: icey_turn::ProtocolStats,
    /// Open TCP and TLS connections.
    pub connections: u64,
    pub connections_total: u64,
    /// Too many in all or of one address.
    pub connections_refused: u64,
    /// Ended here: broken, slow, or without an allocation for too long.
    pub connections_dropped: u64,
    /// Of both directions: those to and from the engine of this process.
    pub packets_short_cut: u64,
    /// A queue was full, or the kernel refused.
    pub packets_dropped: u64,
    /// Times that all was dropped because of a caught panic.
    pub panics: u64,
}

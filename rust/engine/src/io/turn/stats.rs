//! What a TURN server has counted.

/// What the sockets count; the protocol's counters are in `icey_turn::Stats`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counters {
    pub connections: u64,
    pub connections_total: u64,
    pub connections_refused: u64,
    pub connections_dropped: u64,
    pub packets_dropped: u64,
    pub packets_short_cut: u64,
    pub panics: u64,
}

/// A snapshot. All but `allocations` and `connections` only grow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TurnStats {
    pub allocations: u64,
    /// Open TCP and TLS connections.
    pub connections: u64,
    pub allocations_total: u64,
    pub connections_total: u64,
    pub packets_to_peers: u64,
    /// Payloads, without any header.
    pub bytes_to_peers: u64,
    pub packets_from_peers: u64,
    pub bytes_from_peers: u64,
    /// Of both directions: those to and from the engine of this process.
    pub packets_short_cut: u64,
    /// A queue was full, or the kernel refused.
    pub packets_dropped: u64,
    /// Too many in all or of one address.
    pub connections_refused: u64,
    /// Ended here: broken, slow, or without an allocation for too long.
    pub connections_dropped: u64,
    /// Times that all was dropped because of a caught panic.
    pub panics: u64,
    /// Every reason, by name.
    pub refusals: Vec<(&'static str, u64)>,
}

impl TurnStats {
    pub fn new(server: &icey_turn::Stats, counters: &Counters) -> Self {
        let refusals = icey_turn::Refusal::ALL.iter();
        Self {
            allocations: server.allocations as u64,
            connections: counters.connections,
            allocations_total: server.allocations_total,
            connections_total: counters.connections_total,
            packets_to_peers: server.to_peers.packets,
            bytes_to_peers: server.to_peers.bytes,
            packets_from_peers: server.to_clients.packets,
            bytes_from_peers: server.to_clients.bytes,
            packets_short_cut: counters.packets_short_cut,
            packets_dropped: counters.packets_dropped,
            connections_refused: counters.connections_refused,
            connections_dropped: counters.connections_dropped,
            panics: counters.panics,
            refusals: refusals
                .map(|reason| (reason.name(), server.refused(*reason)))
                .collect(),
        }
    }
}

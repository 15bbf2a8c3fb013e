//! What a peer is sent: under which numbers, at what rate, and when nothing.

pub mod congestion;
pub mod estimate;
pub mod pacer;
pub mod packetize;
pub mod stream;

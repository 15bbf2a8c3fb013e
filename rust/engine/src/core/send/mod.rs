//! What a viewer is sent: under which numbers, at what rate, and when nothing.

pub mod catch_up;
pub mod congestion;
pub mod estimate;
pub mod losses;
pub mod pacer;
pub mod packetize;
pub mod parameters;
pub mod rewriter;
pub mod streams;
pub mod way;

//! The numbers by which peers and tracks are known.

/// A peer's number, never used twice.
pub type PeerId = u64;

/// A track's number, never used twice.
pub type TrackId = u64;

//! The paths to a browser: whose datagram one is, what was tried, and which path is used.

pub mod attempts;
pub mod candidate;
pub mod checks;
pub mod demux;
pub mod nomination;
pub mod path;
pub mod remotes;

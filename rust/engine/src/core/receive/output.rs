//! Where the streams of a publisher put what they receive.

use super::capture_clock::CaptureClock;
use super::inbox::Writer;
use crate::stats::PeerStats;

/// What the streams of a publisher share.
pub struct Output<'a> {
    pub inbox: &'a Writer,
    pub stats: &'a mut PeerStats,
    pub clock: &'a mut CaptureClock,
    /// The number of the newest epoch.
    pub epochs: &'a mut u64,
}

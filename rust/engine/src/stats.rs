//! Counters. Whatever is dropped anywhere is counted here.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of the whole engine, written by its threads and readable from any.
#[derive(Debug, Default)]
pub struct Counters {
    pub packets_sent: AtomicU64,
    pub bytes_sent: AtomicU64,
    pub packets_received: AtomicU64,
    pub bytes_received: AtomicU64,
    pub packets_dropped: AtomicU64,
    pub packets_unknown: AtomicU64,
    pub frames_dropped: AtomicU64,
    pub checks_refused: AtomicU64,
    pub panics: AtomicU64,
}

impl Counters {
    /// Adds to one counter. Relaxed: counters order nothing.
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }
}

/// A snapshot of [`Counters`] and sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    pub peers: u64,
    pub tracks: u64,
    pub packets_sent: u64,
    pub bytes_sent: u64,
    pub packets_received: u64,
    pub bytes_received: u64,
    /// Outgoing packets thrown away: the socket's queue was full.
    pub packets_dropped: u64,
    /// Incoming packets that belong to no peer, or that make no sense.
    pub packets_unknown: u64,
    /// Access units thrown away: a full queue, or a viewer that cannot keep up.
    pub frames_dropped: u64,
    /// Connectivity checks not sent: too many to what never answered.
    pub checks_refused: u64,
    /// Estimates folded into a newer one before anybody read them.
    pub events_dropped: u64,
    /// Peers closed by a caught panic.
    pub panics: u64,
}

/// One peer's path and traffic.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PeerStats {
    pub connected: bool,
    /// What was tried, a line each, for people; empty once it is connected.
    pub pairs: Vec<String>,
    /// `ip:port` of the chosen path; empty before ICE is up.
    pub remote_address: String,
    pub packets_sent: u64,
    pub bytes_sent: u64,
    /// RTX packets (RFC 4588).
    pub packets_resent: u64,
    pub nacks: u64,
    pub plis: u64,
    pub frames_dropped: u64,
    pub rtt_ms: Option<f64>,
    /// Fraction lost, 0..1, from the newest receiver report.
    pub loss: Option<f64>,
    /// The newest estimate in bit/s.
    pub bitrate_estimate: Option<u64>,
    /// RTP packets received, resent ones too, without second copies.
    pub packets_received: u64,
    /// Their payloads.
    pub bytes_received: u64,
    /// Packets that were missing for too long.
    pub packets_lost: u64,
    /// Frames that were delivered.
    pub frames_received: u64,
    /// Frames that were not: incomplete, without the keyframe before them, or without room.
    pub frames_lost: u64,
    /// NACK messages, counted each second.
    pub nacks_sent: u64,
    pub plis_sent: u64,
}

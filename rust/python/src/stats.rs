//! Counters as Python objects.

use pyo3::prelude::*;

#[pyclass(frozen, get_all, module = "icey._core")]
pub struct EngineStats {
    peers: u64,
    tracks: u64,
    packets_sent: u64,
    bytes_sent: u64,
    packets_received: u64,
    bytes_received: u64,
    packets_dropped: u64,
    packets_unknown: u64,
    frames_dropped: u64,
    events_dropped: u64,
    panics: u64,
}

impl From<icey_engine::Stats> for EngineStats {
    fn from(stats: icey_engine::Stats) -> Self {
        Self {
            peers: stats.peers,
            tracks: stats.tracks,
            packets_sent: stats.packets_sent,
            bytes_sent: stats.bytes_sent,
            packets_received: stats.packets_received,
            bytes_received: stats.bytes_received,
            packets_dropped: stats.packets_dropped,
            packets_unknown: stats.packets_unknown,
            frames_dropped: stats.frames_dropped,
            events_dropped: stats.events_dropped,
            panics: stats.panics,
        }
    }
}

#[pyclass(frozen, get_all, module = "icey._core")]
pub struct PeerStats {
    connected: bool,
    pairs: Vec<String>,
    remote_address: String,
    packets_sent: u64,
    bytes_sent: u64,
    packets_resent: u64,
    nacks: u64,
    plis: u64,
    frames_dropped: u64,
    rtt_ms: Option<f64>,
    loss: Option<f64>,
    bitrate_estimate: Option<u64>,
    packets_received: u64,
    bytes_received: u64,
    packets_lost: u64,
    frames_received: u64,
    frames_lost: u64,
    nacks_sent: u64,
    plis_sent: u64,
}

impl From<icey_engine::PeerStats> for PeerStats {
    fn from(stats: icey_engine::PeerStats) -> Self {
        Self {
            connected: stats.connected,
            pairs: stats.pairs,
            remote_address: stats.remote_address,
            packets_sent: stats.packets_sent,
            bytes_sent: stats.bytes_sent,
            packets_resent: stats.packets_resent,
            nacks: stats.nacks,
            plis: stats.plis,
            frames_dropped: stats.frames_dropped,
            rtt_ms: stats.rtt_ms,
            loss: stats.loss,
            bitrate_estimate: stats.bitrate_estimate,
            packets_received: stats.packets_received,
            bytes_received: stats.bytes_received,
            packets_lost: stats.packets_lost,
            frames_received: stats.frames_received,
            frames_lost: stats.frames_lost,
            nacks_sent: stats.nacks_sent,
            plis_sent: stats.plis_sent,
        }
    }
}

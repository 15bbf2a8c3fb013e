//! Counters as Python objects.

use pyo3::prelude::*;

/// A class that copies the engine's counters field by field; in Python each is an attribute, and
/// an argument of the constructor.
macro_rules! stats {
    ($class:ident of $source:ty { $($field:ident: $kind:ty),* $(,)? }) => {
        #[pyclass(frozen, get_all, module = "icey._core")]
        pub struct $class {
            $($field: $kind),*
        }

        impl From<$source> for $class {
            fn from(stats: $source) -> Self {
                Self { $($field: stats.$field),* }
            }
        }

        #[pymethods]
        impl $class {
            #[new]
            #[pyo3(signature = (*, $($field = Default::default()),*))]
            #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
            fn new($($field: $kind),*) -> Self {
                Self { $($field),* }
            }
        }
    };
}

stats!(EngineStats of icey_engine::Stats {
    peers: u64,
    tracks: u64,
    packets_sent: u64,
    bytes_sent: u64,
    packets_received: u64,
    bytes_received: u64,
    packets_dropped: u64,
    packets_unknown: u64,
    frames_dropped: u64,
    checks_refused: u64,
    events_dropped: u64,
    panics: u64,
});

stats!(PeerStats of icey_engine::PeerStats {
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
});

//! `icey._core`: the packet engine, TURN, RTSP and SRT for Python. A list of exports; none knows Python.

mod engine;
mod error;
mod event;
mod frame;
mod kind;
mod panics;
mod peer;
mod rtsp;
mod srt;
mod stats;
mod track;
mod turn;

use pyo3::prelude::*;

#[pymodule]
mod _core {
    use super::{Bound, PyModule, PyModuleMethods, PyResult, event, panics};

    #[pymodule_export]
    use super::engine::Engine;
    #[pymodule_export]
    use super::event::{
        BitrateEstimated, KeyframeRequested, MediaStarted, PeerCongested, PeerConnected,
        PeerDisconnected, PeerReached,
    };
    #[pymodule_export]
    use super::frame::ReceivedFrame;
    #[pymodule_export]
    use super::peer::Peer;
    #[pymodule_export]
    use super::rtsp::{RtspFrame, RtspSource};
    #[pymodule_export]
    use super::srt::SrtReceiver;
    #[pymodule_export]
    use super::stats::{EngineStats, PeerStats};
    #[pymodule_export]
    use super::track::Track;
    #[pymodule_export]
    use super::turn::{TurnProbe, TurnServer, TurnStats, probe_turn};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        panics::install_hook();
        module.add("Event", event::union(module.py())?)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

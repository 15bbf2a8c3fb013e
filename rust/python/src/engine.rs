//! The engine: port, thread, peers and tracks.

use std::sync::Arc;

use icey_engine::{Delivery, EngineConfig, Estimation, PeerOptions, ReceiverOptions};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::error::detached;
use crate::event;
use crate::kind::kind_of;
use crate::peer::Peer;
use crate::stats::EngineStats;
use crate::track::Track;

/// What the tracks of a peer may reach together, in bit/s, if nothing is said.
const DEFAULT_MAX_BITRATE: u64 = 2_500_000;

#[pyclass(frozen, module = "icey._core")]
pub struct Engine(pub icey_engine::Engine);

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(
        signature = (*, host="0.0.0.0", port=0, additional_hosts=Vec::new()),
        text_signature = "(*, host='0.0.0.0', port=0, additional_hosts=())"
    )]
    fn new(py: Python<'_>, host: &str, port: u16, additional_hosts: Vec<String>) -> PyResult<Self> {
        let config = EngineConfig {
            host: host.to_owned(),
            port,
            additional_hosts,
        };
        detached(py, || icey_engine::Engine::new(&config)).map(Self)
    }

    #[getter]
    fn port(&self) -> u16 {
        self.0.port()
    }

    #[getter]
    fn event_fd(&self) -> i32 {
        self.0.event_fd()
    }

    #[getter]
    fn addresses(&self) -> Vec<String> {
        self.0.addresses().iter().map(ToString::to_string).collect()
    }

    fn poll_events(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        let events = py.detach(|| self.0.poll_events());
        events
            .into_iter()
            .map(|event| event::to_python(py, event))
            .collect()
    }

    fn create_track(&self, py: Python<'_>, kind: &str) -> PyResult<Track> {
        let kind = kind_of(kind)?;
        detached(py, || self.0.create_track(kind)).map(|track| Track(Arc::new(track)))
    }

    #[pyo3(signature = (
        *, direction="send", deliver="frames", simulcast=false, estimation="remb",
        max_bitrate=None, start_bitrate=None
    ))]
    #[expect(clippy::too_many_arguments, reason = "Python gives them by name")]
    fn create_peer(
        &self,
        py: Python<'_>,
        direction: &str,
        deliver: &str,
        simulcast: bool,
        estimation: &str,
        max_bitrate: Option<u64>,
        start_bitrate: Option<u64>,
    ) -> PyResult<Peer> {
        let estimation = match estimation {
            "remb" => Estimation::Remb,
            "twcc" => Estimation::Twcc,
            other => {
                return Err(PyValueError::new_err(format!(
                    "estimation {other:?}: remb or twcc"
                )));
            }
        };
        let delivery = match deliver {
            "frames" => Delivery::Frames,
            "packets" => Delivery::Packets { simulcast },
            other => {
                return Err(PyValueError::new_err(format!(
                    "deliver {other:?}: frames or packets"
                )));
            }
        };
        let (sends, receives) = match direction {
            "send" => (true, false),
            "receive" => (false, true),
            "both" => (true, true),
            other => {
                return Err(PyValueError::new_err(format!(
                    "direction {other:?}: send, receive or both"
                )));
            }
        };
        let sent_bitrate = max_bitrate.unwrap_or(DEFAULT_MAX_BITRATE);
        let sending = PeerOptions {
            estimation,
            max_bitrate: sent_bitrate,
            start_bitrate: start_bitrate.unwrap_or(sent_bitrate),
        };
        let receiving = ReceiverOptions {
            delivery,
            max_bitrate: max_bitrate.unwrap_or(0),
        };
        detached(py, || match (sends, receives) {
            (_, false) => self.0.create_peer(sending),
            (false, true) => self.0.create_receiver(receiving),
            (true, true) => self.0.create_caller(sending, receiving),
        })
        .map(Peer)
    }

    fn attach(&self, py: Python<'_>, peer: &Peer, track: &Track) -> PyResult<()> {
        detached(py, || self.0.attach(&peer.0, &track.0))
    }

    fn detach(&self, py: Python<'_>, peer: &Peer, kind: &str) -> PyResult<()> {
        let kind = kind_of(kind)?;
        detached(py, || self.0.detach(&peer.0, kind))
    }

    #[pyo3(signature = (source, track, layer=""))]
    fn route(&self, py: Python<'_>, source: &Peer, track: &Track, layer: &str) -> PyResult<()> {
        detached(py, || self.0.route(&source.0, &track.0, layer))
    }

    fn unroute(&self, py: Python<'_>, track: &Track) -> PyResult<()> {
        detached(py, || self.0.unroute(&track.0))
    }

    fn stats(&self) -> EngineStats {
        self.0.stats().into()
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }
}

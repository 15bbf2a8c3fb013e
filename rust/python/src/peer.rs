//! One browser.

use icey_engine::Codec;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::error::detached;
use crate::frame::{self, ReceivedFrame};
use crate::stats::PeerStats;

#[pyclass(frozen, module = "icey._core")]
pub struct Peer(pub icey_engine::Peer);

#[pymethods]
impl Peer {
    #[getter]
    fn id(&self) -> u64 {
        self.0.id()
    }

    fn accept_offer(&self, py: Python<'_>, sdp: &str) -> PyResult<String> {
        detached(py, || self.0.accept_offer(sdp))
    }

    fn add_candidate(&self, py: Python<'_>, candidate: &str) -> PyResult<()> {
        detached(py, || self.0.add_candidate(candidate))
    }

    #[getter]
    fn codecs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.codecs().into_iter().map(Codec::name))
    }

    #[pyo3(signature = (max_frames=512))]
    fn pull(&self, py: Python<'_>, max_frames: usize) -> Vec<ReceivedFrame> {
        let frames = py.detach(|| self.0.pull(max_frames));
        frame::to_python(py, frames)
    }

    #[getter]
    fn layers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.layers())
    }

    fn limit_bitrate(&self, py: Python<'_>, bits_per_second: u64) -> PyResult<()> {
        detached(py, || self.0.limit_bitrate(bits_per_second))
    }

    fn probe(&self, py: Python<'_>, bits_per_second: u64) -> PyResult<()> {
        detached(py, || self.0.probe(bits_per_second))
    }

    fn request_keyframe(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || self.0.request_keyframe())
    }

    fn stats(&self, py: Python<'_>) -> PyResult<PeerStats> {
        detached(py, || self.0.stats()).map(PeerStats::from)
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }
}

//! One browser.

use pyo3::prelude::*;

use crate::error::detached;
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

    fn stats(&self, py: Python<'_>) -> PyResult<PeerStats> {
        detached(py, || self.0.stats()).map(PeerStats::from)
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }
}

//! A stream of encoded access units.

use std::sync::{Arc, Weak};

use pyo3::prelude::*;

use crate::error::detached;

#[pyclass(frozen, module = "icey._core")]
pub struct Track(pub Arc<icey_engine::Track>);

impl Track {
    /// The track, for those who are not to keep it open.
    pub fn downgrade(&self) -> Weak<icey_engine::Track> {
        Arc::downgrade(&self.0)
    }
}

#[pymethods]
impl Track {
    #[getter]
    fn id(&self) -> u64 {
        self.0.id()
    }

    fn push(
        &self,
        py: Python<'_>,
        data: &[u8],
        timestamp: i64,
        captured_ns: u64,
        keyframe: bool,
    ) -> PyResult<()> {
        detached(py, || self.0.push(data, timestamp, captured_ns, keyframe))
    }

    #[getter]
    fn viewers(&self) -> usize {
        self.0.viewers()
    }

    #[getter]
    fn bitrate(&self) -> u64 {
        self.0.bitrate()
    }

    #[getter]
    fn frames(&self) -> u64 {
        self.0.frames()
    }

    #[getter]
    fn backlog_ms(&self) -> u32 {
        self.0.backlog_ms()
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }
}

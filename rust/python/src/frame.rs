//! Received frames as Python objects.

use icey_engine::Codec;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::kind::kind_name;

#[pyclass(frozen, get_all, module = "icey._core")]
pub struct ReceivedFrame {
    kind: &'static str,
    codec: &'static str,
    data: Py<PyBytes>,
    timestamp: u64,
    arrived_ns: u64,
    report: Option<(u64, u64)>,
    keyframe: bool,
    after_loss: bool,
}

#[pymethods]
impl ReceivedFrame {
    #[new]
    #[pyo3(signature = (
        *, codec, data, timestamp, arrived_ns, report=None, keyframe=true, after_loss=false
    ))]
    fn new(
        codec: &str,
        data: Py<PyBytes>,
        timestamp: u64,
        arrived_ns: u64,
        report: Option<(u64, u64)>,
        keyframe: bool,
        after_loss: bool,
    ) -> PyResult<Self> {
        let codec = [Codec::H264, Codec::Vp8, Codec::Opus]
            .into_iter()
            .find(|known| known.name() == codec)
            .ok_or_else(|| PyValueError::new_err(format!("codec {codec:?}: h264, vp8 or opus")))?;
        Ok(Self {
            kind: kind_name(codec.kind()),
            codec: codec.name(),
            data,
            timestamp,
            arrived_ns,
            report,
            keyframe,
            after_loss,
        })
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!(
            "ReceivedFrame(codec={:?}, {} bytes, timestamp={}, keyframe={:?}, after_loss={:?})",
            self.codec,
            self.data.bind(py).as_bytes().len(),
            self.timestamp,
            self.keyframe,
            self.after_loss
        )
    }
}

/// The Python objects of frames.
pub fn to_python(py: Python<'_>, frames: Vec<icey_engine::ReceivedFrame>) -> Vec<ReceivedFrame> {
    let clock = icey_engine::MonotonicClock::now();
    let convert = |frame: icey_engine::ReceivedFrame| ReceivedFrame {
        kind: kind_name(frame.codec.kind()),
        codec: frame.codec.name(),
        data: PyBytes::new(py, &frame.data).unbind(),
        timestamp: frame.timestamp,
        arrived_ns: clock.ns_of(frame.arrived),
        report: frame.report.map(|report| (report.ntp_ns, report.timestamp)),
        keyframe: frame.keyframe,
        after_loss: frame.after_loss,
    };
    frames.into_iter().map(convert).collect()
}

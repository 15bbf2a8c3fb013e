//! Engine errors as the exceptions of `icey.errors`.

use icey_engine::EngineError;
use icey_rtsp::RtspError;
use icey_srt::SrtError;
use icey_turn_server::ProbeError;
use icey_udp::OpenError;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The exception for an error. `icey.errors` is imported when the first one is raised, so that
/// importing the extension needs nothing else.
pub fn to_python(py: Python<'_>, error: &EngineError) -> PyErr {
    if let EngineError::Frame(text) = error {
        return PyValueError::new_err(text.clone());
    }
    build(py, error).unwrap_or_else(|failure| failure)
}

fn build(py: Python<'_>, error: &EngineError) -> PyResult<PyErr> {
    let evidence = PyDict::new(py);
    let class = match error {
        EngineError::Open(OpenError::AddressInUse { host, port, .. }) => {
            evidence.set_item("host", host)?;
            evidence.set_item("port", port)?;
            "AddressInUseError"
        }
        EngineError::Offer { reason, .. } => {
            evidence.set_item("reason", reason)?;
            "OfferError"
        }
        EngineError::Candidate { candidate, .. } => {
            evidence.set_item("candidate", candidate)?;
            "CandidateError"
        }
        EngineError::Closed(_) => "ClosedError",
        EngineError::Open(_) | EngineError::System(_) | EngineError::Frame(_) => "EngineError",
    };
    let exception = py
        .import("icey.errors")?
        .getattr(class)?
        .call((error.to_string(),), Some(&evidence))?;
    Ok(PyErr::from_value(exception))
}

/// The exception for a stream that could not be opened.
pub fn srt_to_python(py: Python<'_>, error: &SrtError) -> PyErr {
    let raised = || {
        let class = py.import("icey.errors")?.getattr("EngineError")?;
        Ok(PyErr::from_value(class.call1((error.to_string(),))?))
    };
    raised().unwrap_or_else(|failure| failure)
}

/// The exception for an RTSP stream that could not be opened.
pub fn rtsp_to_python(py: Python<'_>, error: &RtspError) -> PyErr {
    let is_unsupported = matches!(error, RtspError::Unsupported(_));
    rtsp_ended(py, &error.to_string(), is_unsupported)
}

/// The exception for an RTSP stream that ended.
pub fn rtsp_ended(py: Python<'_>, reason: &str, is_unsupported: bool) -> PyErr {
    let raised = || {
        let class = if is_unsupported {
            "UnsupportedError"
        } else {
            "EngineError"
        };
        let class = py.import("icey.errors")?.getattr(class)?;
        Ok(PyErr::from_value(class.call1((reason,))?))
    };
    raised().unwrap_or_else(|failure| failure)
}

/// The exception for a self-test of a TURN server that failed.
pub fn probe_to_python(py: Python<'_>, error: &ProbeError) -> PyErr {
    let raised = || {
        let evidence = PyDict::new(py);
        evidence.set_item("step", error.step.name())?;
        evidence.set_item("said", &error.said)?;
        evidence.set_item("code", error.code)?;
        let exception = py
            .import("icey.errors")?
            .getattr("TurnProbeError")?
            .call((error.to_string(),), Some(&evidence))?;
        Ok(PyErr::from_value(exception))
    };
    raised().unwrap_or_else(|failure: PyErr| failure)
}

/// Runs something of the engine without the GIL.
pub fn detached<T: Send, E: Into<EngineError> + Send>(
    py: Python<'_>,
    f: impl FnOnce() -> Result<T, E> + Send,
) -> PyResult<T> {
    py.detach(f).map_err(|error| to_python(py, &error.into()))
}

//! A live SRT stream as a pipe.

use std::time::Duration;

use icey_srt::{Options, Receiver, Role};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::error;

#[pyclass(frozen, module = "icey._core")]
pub struct SrtReceiver(Receiver);

#[pymethods]
impl SrtReceiver {
    #[new]
    #[pyo3(signature = (
        *, host, port, listen=false, stream_id="", passphrase="", key_bytes=0, latency_ms=None,
        timeout_s=5.0
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn new(
        py: Python<'_>,
        host: &str,
        port: u16,
        listen: bool,
        stream_id: &str,
        passphrase: &str,
        key_bytes: u16,
        latency_ms: Option<u32>,
        timeout_s: f64,
    ) -> PyResult<Self> {
        if !(0.0..=3600.0).contains(&timeout_s) {
            return Err(PyValueError::new_err("timeout_s: 0 to 3600"));
        }
        let options = Options {
            role: if listen { Role::Listener } else { Role::Caller },
            host: host.to_owned(),
            port,
            stream_id: stream_id.to_owned(),
            passphrase: passphrase.to_owned(),
            key_bytes,
            latency: latency_ms.map(|ms| Duration::from_millis(ms.into())),
            timeout: Duration::from_secs_f64(timeout_s),
        };
        py.detach(|| Receiver::connect(options))
            .map(Self)
            .map_err(|failure| error::srt_to_python(py, &failure))
    }

    fn fileno(&self) -> i32 {
        self.0.fd()
    }

    #[getter]
    fn dropped(&self) -> u64 {
        self.0.dropped()
    }

    fn error(&self) -> Option<String> {
        self.0.error()
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.0.close());
    }
}

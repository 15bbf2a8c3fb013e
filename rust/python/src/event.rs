//! Events as Python objects.

use std::convert::Infallible;
use std::fmt;

use icey_engine::{Event, MediaKind};
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::engine::kind_of;

/// `"video"` or `"audio"`.
#[derive(Clone, Copy)]
pub struct Kind(pub MediaKind);

impl Kind {
    fn name(self) -> &'static str {
        match self.0 {
            MediaKind::Video => "video",
            MediaKind::Audio => "audio",
        }
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.name(), f)
    }
}

impl<'py> FromPyObject<'_, 'py> for Kind {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        kind_of(object.extract()?).map(Self)
    }
}

impl<'py> IntoPyObject<'py> for Kind {
    type Target = PyString;
    type Output = Bound<'py, PyString>;
    type Error = Infallible;

    fn into_pyobject(self, py: Python<'py>) -> Result<Self::Output, Infallible> {
        self.name().into_pyobject(py)
    }
}

/// The event classes, whose fields are keyword arguments of the constructor, and their union.
macro_rules! events {
    ($($class:ident { $($field:ident: $kind:ty $(= $default:expr)?),* })*) => {
        $(
            #[pyclass(frozen, get_all, module = "icey._core")]
            pub struct $class {
                $($field: $kind),*
            }

            #[pymethods]
            impl $class {
                #[new]
                #[pyo3(signature = (*, $($field $(= $default)?),*))]
                fn new($($field: $kind),*) -> Self {
                    Self { $($field),* }
                }

                fn __repr__(&self) -> String {
                    let fields: Vec<String> =
                        vec![$(format!(concat!(stringify!($field), "={:?}"), self.$field)),*];
                    format!("{}({})", stringify!($class), fields.join(", "))
                }
            }
        )*

        /// `Event`: the union of all event classes, for annotations and `isinstance`.
        pub fn union(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
            let mut union = py.None().into_bound(py);
            $(
                let class = py.get_type::<$class>().into_any();
                union = if union.is_none() { class } else { union.bitor(class)? };
            )*
            Ok(union)
        }
    };
}

events! {
    PeerConnected { peer: u64 }
    PeerDisconnected { peer: u64, reason: String, pairs: Vec<String> = Vec::new() }
    KeyframeRequested { peer: u64, track: u64 }
    BitrateEstimated { peer: u64, bitrate: u64 }
    MediaStarted { peer: u64, kind: Kind, layer: String = String::new() }
    PeerCongested { peer: u64, congested: bool }
}

/// The Python object for an event.
pub fn to_python(py: Python<'_>, event: Event) -> PyResult<Py<PyAny>> {
    Ok(match event {
        Event::PeerConnected { peer } => Py::new(py, PeerConnected { peer })?.into_any(),
        Event::PeerDisconnected {
            peer,
            reason,
            pairs,
        } => Py::new(py, PeerDisconnected::new(peer, reason, pairs))?.into_any(),
        Event::KeyframeRequested { peer, track } => {
            Py::new(py, KeyframeRequested { peer, track })?.into_any()
        }
        Event::BitrateEstimated { peer, bitrate } => {
            Py::new(py, BitrateEstimated { peer, bitrate })?.into_any()
        }
        Event::MediaStarted { peer, kind, layer } => {
            Py::new(py, MediaStarted::new(peer, Kind(kind), layer))?.into_any()
        }
        Event::PeerCongested { peer, congested } => {
            Py::new(py, PeerCongested { peer, congested })?.into_any()
        }
    })
}

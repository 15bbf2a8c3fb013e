//! Events as Python objects.

use icey_engine::Event;
use pyo3::prelude::*;

use crate::kind::kind_name;

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
    PeerReached { peer: u64 }
    PeerConnected { peer: u64 }
    PeerDisconnected { peer: u64, reason: String, pairs: Vec<String> = Vec::new() }
    KeyframeRequested { peer: u64, track: u64 }
    BitrateEstimated { peer: u64, bitrate: u64 }
    MediaStarted { peer: u64, kind: String, layer: String = String::new() }
    PeerCongested { peer: u64, congested: bool }
}

/// The Python object for an event.
pub fn to_python(py: Python<'_>, event: Event) -> PyResult<Py<PyAny>> {
    Ok(match event {
        Event::PeerReached { peer } => Py::new(py, PeerReached { peer })?.into_any(),
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
        Event::MediaStarted { peer, kind, layer } => Py::new(
            py,
            MediaStarted::new(peer, kind_name(kind).to_owned(), layer),
        )?
        .into_any(),
        Event::PeerCongested { peer, congested } => {
            Py::new(py, PeerCongested { peer, congested })?.into_any()
        }
    })
}

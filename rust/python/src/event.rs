//! Events as Python objects.

use icey_engine::{Event, MediaKind};
use pyo3::prelude::*;

#[pyclass(frozen, get_all, module = "icey._core")]
pub struct PeerConnected {
    peer: u64,
}

#[pyclass(frozen, get_all, module = "icey._core")]
pub struct PeerDisconnected {
    peer: u64,
    reason: String,
    pairs: Vec<String>,
}

#[pyclass(frozen, get_all, module = "icey._core")]
pub struct KeyframeRequested {
    peer: u64,
    track: u64,
}

#[pyclass(frozen, get_all, module = "icey._core")]
pub struct BitrateEstimated {
    peer: u64,
    bitrate: u64,
}

#[pyclass(frozen, get_all, module = "icey._core")]
pub struct MediaStarted {
    peer: u64,
    kind: &'static str,
    layer: String,
}

#[pyclass(frozen, get_all, module = "icey._core")]
pub struct PeerCongested {
    peer: u64,
    congested: bool,
}

/// The Python object for an event.
pub fn to_python(py: Python<'_>, event: Event) -> PyResult<Py<PyAny>> {
    Ok(match event {
        Event::PeerConnected { peer } => Py::new(py, PeerConnected { peer })?.into_any(),
        Event::PeerDisconnected {
            peer,
            reason,
            pairs,
        } => Py::new(
            py,
            PeerDisconnected {
                peer,
                reason,
                pairs,
            },
        )?
        .into_any(),
        Event::KeyframeRequested { peer, track } => {
            Py::new(py, KeyframeRequested { peer, track })?.into_any()
        }
        Event::BitrateEstimated { peer, bitrate } => {
            Py::new(py, BitrateEstimated { peer, bitrate })?.into_any()
        }
        Event::MediaStarted { peer, kind, layer } => {
            let kind = match kind {
                MediaKind::Video => "video",
                MediaKind::Audio => "audio",
            };
            Py::new(py, MediaStarted { peer, kind, layer })?.into_any()
        }
        Event::PeerCongested { peer, congested } => {
            Py::new(py, PeerCongested { peer, congested })?.into_any()
        }
    })
}

/// `Event`: the union of all event classes, for annotations and `isinstance`.
pub fn union(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.get_type::<PeerConnected>()
        .bitor(py.get_type::<PeerDisconnected>())?
        .bitor(py.get_type::<KeyframeRequested>())?
        .bitor(py.get_type::<BitrateEstimated>())?
        .bitor(py.get_type::<MediaStarted>())?
        .bitor(py.get_type::<PeerCongested>())
}

macro_rules! repr {
    ($($class:ident($($field:ident),*)),*) => {$(
        #[pymethods]
        impl $class {
            fn __repr__(&self) -> String {
                let fields: Vec<String> =
                    vec![$(format!(concat!(stringify!($field), "={:?}"), self.$field)),*];
                format!("{}({})", stringify!($class), fields.join(", "))
            }
        }
    )*};
}

repr!(
    PeerConnected(peer),
    PeerDisconnected(peer, reason, pairs),
    KeyframeRequested(peer, track),
    BitrateEstimated(peer, bitrate),
    MediaStarted(peer, kind, layer),
    PeerCongested(peer, congested)
);

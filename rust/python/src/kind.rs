//! The kinds of media, as Python names them.

use icey_engine::MediaKind;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// The kind that a word names.
pub fn kind_of(kind: &str) -> PyResult<MediaKind> {
    match kind {
        "video" => Ok(MediaKind::Video),
        "audio" => Ok(MediaKind::Audio),
        other => Err(PyValueError::new_err(format!(
            "kind {other:?}: video or audio"
        ))),
    }
}

/// The word for a kind of media.
pub fn kind_name(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Video => "video",
        MediaKind::Audio => "audio",
    }
}

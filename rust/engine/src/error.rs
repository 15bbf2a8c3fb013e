//! What the engine refuses, as data; the Python border turns each into its exception.

use std::fmt;

use icey_udp::OpenError;

/// A refused call. The text is for a person; the fields are the evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineError {
    /// The socket or the thread could not be opened.
    Open(OpenError),
    /// An SDP offer that cannot be answered; `reason` is fit for the remote user.
    Offer { message: String, reason: String },
    /// A text that is not an ICE candidate.
    Candidate { message: String, candidate: String },
    /// An access unit that cannot be sent: empty, too large, or without a NAL unit.
    Frame(String),
    /// The engine, peer or track was closed before.
    Closed(&'static str),
    /// The system refused something else.
    System(String),
}

impl EngineError {
    /// An offer error whose reason is its message.
    pub fn offer(message: impl Into<String>) -> Self {
        let message = message.into();
        Self::Offer {
            reason: message.clone(),
            message,
        }
    }

    /// An offer error about the SDP itself.
    pub fn sdp(why: impl fmt::Display) -> Self {
        Self::Offer {
            message: format!("the SDP offer is refused: {why}"),
            reason: format!("sdp: {why}"),
        }
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::Frame(text) | Self::System(text) => f.write_str(text),
            Self::Offer { message, .. } | Self::Candidate { message, .. } => f.write_str(message),
            Self::Closed(what) => write!(f, "the {what} is closed"),
        }
    }
}

impl std::error::Error for EngineError {}

impl From<OpenError> for EngineError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

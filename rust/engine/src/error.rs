//! What the engine refuses, as data; the Python border turns each into its exception.

use std::fmt;

/// A refused call. The text is for a person; the fields are the evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineError {
    /// The port is taken.
    AddressInUse {
        protocol: &'static str,
        host: String,
        port: u16,
    },
    /// An address that is not one, or not one of this machine.
    Address(String),
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
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressInUse {
                protocol,
                host,
                port,
            } => write!(
                f,
                "{protocol} port {port} on {host} is in use; stop the other program or choose another port"
            ),
            Self::Address(text) | Self::Frame(text) | Self::System(text) => f.write_str(text),
            Self::Offer { message, .. } | Self::Candidate { message, .. } => f.write_str(message),
            Self::Closed(what) => write!(f, "the {what} is closed"),
        }
    }
}

impl std::error::Error for EngineError {}

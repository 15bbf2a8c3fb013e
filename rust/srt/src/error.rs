//! What can go wrong before the first packet.

use std::fmt::{self, Display, Formatter};

/// Why there is no stream. No text holds the passphrase or the stream id.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SrtError {
    /// An option that SRT does not allow.
    Option(String),
    /// The name has no address.
    Unresolved,
    /// Nobody answered, or called, in time.
    TimedOut,
    /// The other side answered, and said no.
    Refused(String),
    /// The SRT stack gave up on what the other side sent.
    Protocol,
    /// The words of the operating system or of the SRT stack.
    System(String),
}

impl Display for SrtError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(text) => f.write_str(text),
            Self::System(text) => write!(f, "the SRT connection failed: {text}"),
            Self::Unresolved => f.write_str("the host's name has no address"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Refused(text) => write!(f, "the other side refused the connection: {text}"),
            Self::Protocol => f.write_str(
                "no agreement on SRT: are passphrase and key length the same on both sides?",
            ),
        }
    }
}

impl std::error::Error for SrtError {}

impl From<std::io::Error> for SrtError {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::TimedOut => Self::TimedOut,
            ErrorKind::ConnectionRefused => {
                let text = error.to_string();
                let reason = text.strip_prefix("Remote rejected connection: ");
                Self::Refused(reason.unwrap_or(&text).to_owned())
            }
            ErrorKind::InvalidInput => Self::Option(error.to_string()),
            _ => Self::System(error.to_string()),
        }
    }
}

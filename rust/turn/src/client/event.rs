//! What a client is asked for, and what it tells.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::message::method;
use crate::output::Family;

/// What a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Binding,
    Allocate,
    CreatePermission,
    ChannelBind,
    Refresh,
}

impl Step {
    pub(super) fn method(self) -> u16 {
        match self {
            Self::Binding => method::BINDING,
            Self::Allocate => method::ALLOCATE,
            Self::CreatePermission => method::CREATE_PERMISSION,
            Self::ChannelBind => method::CHANNEL_BIND,
            Self::Refresh => method::REFRESH,
        }
    }
}

/// Its name, as in RFC 8656.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The server refused it.
    Refused { code: u16, reason: String },
    /// No answer came: 39.5 s after the first of seven requests on UDP, or on TCP after the only one.
    Timeout,
    /// The answer cannot be read.
    BadAnswer,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { code, reason } => write!(f, "{code} {reason}"),
            Self::Timeout => f.write_str("no answer"),
            Self::BadAnswer => f.write_str("an answer that cannot be read"),
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The server sees this client at `mapped` (answer to Binding).
    Bound {
        mapped: SocketAddr,
    },
    Allocated {
        relayed: SocketAddr,
        mapped: SocketAddr,
        lifetime: Duration,
        /// For a second allocation on the next port, where it was asked for.
        reservation: Option<[u8; 8]>,
    },
    PermissionCreated {
        peer: SocketAddr,
    },
    ChannelBound {
        channel: u16,
        peer: SocketAddr,
    },
    /// `lifetime` 0: the allocation is freed.
    Refreshed {
        lifetime: Duration,
    },
    Received {
        peer: SocketAddr,
        payload: Vec<u8>,
    },
    Failed {
        step: Step,
        failure: Failure,
    },
}

/// What an allocation is to be like; the default is an ordinary one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AllocateOptions {
    pub family: Option<Family>,
    pub lifetime: Option<Duration>,
    /// EVEN-PORT, and with `Some(true)` the next port kept.
    pub even_port: Option<bool>,
    pub reservation: Option<[u8; 8]>,
}

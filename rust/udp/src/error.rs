//! Why a socket, or a thread around one, could not be opened.

use std::fmt;
use std::io;
use std::net::IpAddr;

/// The text is for a person; the fields are the evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenError {
    /// The port is taken.
    AddressInUse {
        protocol: &'static str,
        host: String,
        port: u16,
    },
    /// An address that is not one, or not one of this machine.
    Address(String),
    /// The system refused something else.
    System(String),
}

impl OpenError {
    /// `what` was refused by the system.
    pub fn system(what: &str, error: &io::Error) -> Self {
        Self::System(format!("{what}: {error}"))
    }

    /// Why a port could not be bound; `protocol` is "UDP" or "TCP".
    pub fn bind(protocol: &'static str, host: IpAddr, port: u16, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::AddressInUse {
                protocol,
                host: host.to_string(),
                port,
            },
            io::ErrorKind::AddrNotAvailable => {
                Self::Address(format!("{host} is not an address of this machine"))
            }
            io::ErrorKind::PermissionDenied => Self::Address(format!(
                "{protocol} port {port} may not be bound by this user; choose one above 1023"
            )),
            _ => Self::system(
                &format!("{protocol} port {port} on {host} cannot be bound"),
                error,
            ),
        }
    }
}

impl fmt::Display for OpenError {
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
            Self::Address(text) | Self::System(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for OpenError {}

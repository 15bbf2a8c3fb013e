//! How to connect.

use std::time::Duration;

use srt_tokio::options::{KeySize, Passphrase, SocketOptions, StreamId};

use crate::error::SrtError;

/// Who calls whom. Rendezvous is not supported.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// Call a sender that listens.
    Caller,
    /// Wait for a sender that calls, and take the first one.
    Listener,
}

/// How to connect; has no `Debug`, as it holds the passphrase.
#[derive(Clone)]
pub struct Options {
    pub role: Role,
    /// A name or an IP address; for a listener the address to bind, empty for all of IPv4.
    pub host: String,
    pub port: u16,
    /// Sent to the listener, which may choose a stream by it; empty for none.
    pub stream_id: String,
    /// 10 to 79 bytes; empty for none.
    pub passphrase: String,
    /// Bytes of the AES key: 16, 24 or 32, or 0 to leave it to the sender.
    pub key_bytes: u16,
    /// How long lost packets may take to be sent again; SRT's 120 ms if None.
    pub latency: Option<Duration>,
    /// How long connecting may take, and how long a connected sender may send nothing.
    pub timeout: Duration,
}

impl Options {
    /// What the SRT stack makes of them.
    pub(crate) fn socket(&self) -> Result<SocketOptions, SrtError> {
        let mut socket = SocketOptions::default();
        // Our own deadline comes first: it covers the look-up of the name too.
        socket.connect.timeout = self.timeout * 2;
        socket.session.peer_idle_timeout = self.timeout;
        if let Some(latency) = self.latency {
            socket.receiver.latency = latency;
            socket.sender.peer_latency = latency;
        }
        if !self.passphrase.is_empty() {
            let passphrase = Passphrase::try_from(self.passphrase.clone())
                .map_err(|_| SrtError::Option("a passphrase has 10 to 79 bytes".into()))?;
            socket.encryption.passphrase = Some(passphrase);
        }
        socket.encryption.key_size = KeySize::try_from(self.key_bytes)
            .map_err(|_| SrtError::Option("a key has 16, 24 or 32 bytes, or 0 for any".into()))?;
        if StreamId::try_from(self.stream_id.clone()).is_err() {
            return Err(SrtError::Option("a stream id has at most 512 bytes".into()));
        }
        Ok(socket)
    }
}

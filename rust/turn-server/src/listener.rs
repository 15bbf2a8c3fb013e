//! A TCP port: taking connections, and what to do when descriptors run out.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use icey_udp::{OpenError, canonical};

/// Connections taken in a row, before others get their turn.
const MAX_ACCEPTS: usize = 32;

/// How long nobody is taken after descriptors ran out: asking for the one that waits would fail again
/// and again.
const PAUSE: Duration = Duration::from_millis(200);

/// A listening port.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    port: u16,
    paused_until: Option<Instant>,
}

impl Listener {
    pub fn bind(host: IpAddr, port: u16) -> Result<Self, OpenError> {
        let refuse = |error| OpenError::bind("TCP", host, port, &error);
        let socket = TcpListener::bind((host, port)).map_err(refuse)?;
        socket.set_nonblocking(true).map_err(refuse)?;
        let port = socket.local_addr().map_err(refuse)?.port();
        Ok(Self {
            socket,
            port,
            paused_until: None,
        })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Hands over who waits, some at a time. Gives `true` once nobody waits, or nobody may be taken
    /// for a moment.
    pub fn accept(&mut self, now: Instant, mut each: impl FnMut(TcpStream, SocketAddr)) -> bool {
        for _ in 0..MAX_ACCEPTS {
            if self.paused_until.is_some() {
                return true;
            }
            match self.socket.accept() {
                Ok((stream, remote)) => each(stream, canonical(remote)),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                        self.paused_until = Some(now + PAUSE);
                    }
                    Some(libc::EAGAIN) => return true,
                    // About the one connection, which is gone (accept(2)).
                    _ => {}
                },
            }
        }
        false
    }

    /// When connections are to be taken again, if they are not now.
    pub fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    /// Whether a pause has just ended, so that somebody may wait.
    pub fn resume(&mut self, now: Instant) -> bool {
        let is_over = self.paused_until.is_some_and(|until| now >= until);
        if is_over {
            self.paused_until = None;
        }
        is_over
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_port_in_use_is_refused_by_name() {
        let first = Listener::bind(Ipv4Addr::LOCALHOST.into(), 0).expect("a free port");
        let second = Listener::bind(Ipv4Addr::LOCALHOST.into(), first.port());
        assert_eq!(
            second.err(),
            Some(OpenError::AddressInUse {
                protocol: "TCP",
                host: "127.0.0.1".into(),
                port: first.port()
            })
        );
    }
}

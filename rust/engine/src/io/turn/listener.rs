//! Taking TCP connections: how many, from whom, and what to do when descriptors run out.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use crate::error::EngineError;

/// Connections taken in a row, before others get their turn.
const MAX_ACCEPTS: usize = 32;

/// How long nobody is taken after descriptors ran out: the kernel would tell of the one that waits
/// again and again.
const PAUSE: Duration = Duration::from_millis(200);

/// Connections of all clients, and of one address (of one network of IPv6: RFC 6177 gives a
/// subscriber at least one).
pub const MAX_CONNECTIONS: usize = 1024;
pub const MAX_PER_ADDRESS: usize = 128;

/// A listening port.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    port: u16,
    paused_until: Option<Instant>,
}

impl Listener {
    pub fn bind(host: IpAddr, port: u16) -> Result<Self, EngineError> {
        let system =
            |error: &io::Error| EngineError::System(format!("TCP port {port} on {host}: {error}"));
        let socket = TcpListener::bind((host, port)).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => EngineError::AddressInUse {
                protocol: "TCP",
                host: host.to_string(),
                port,
            },
            io::ErrorKind::AddrNotAvailable => {
                EngineError::Address(format!("{host} is not an address of this machine"))
            }
            io::ErrorKind::PermissionDenied => EngineError::Address(format!(
                "TCP port {port} may not be bound by this user; choose one above 1023"
            )),
            _ => system(&error),
        })?;
        socket
            .set_nonblocking(true)
            .map_err(|error| system(&error))?;
        let port = socket.local_addr().map_err(|error| system(&error))?.port();
        Ok(Self {
            socket,
            port,
            paused_until: None,
        })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Hands over who waits, some at a time. `false` once nobody may be taken for a moment.
    pub fn accept(&mut self, now: Instant, mut each: impl FnMut(TcpStream, SocketAddr)) -> bool {
        for _ in 0..MAX_ACCEPTS {
            match self.socket.accept() {
                Ok((stream, remote)) => each(stream, canonical(remote)),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                        self.paused_until = Some(now + PAUSE);
                        return false;
                    }
                    Some(libc::EAGAIN) => return true,
                    // About the one connection, which is gone (accept(2)).
                    _ => {}
                },
            }
        }
        true
    }

    /// When connections are to be taken again, if they are not now.
    pub fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    /// Whether a pause has just ended.
    pub fn resume(&mut self, now: Instant) -> bool {
        let is_over = self.paused_until.is_some_and(|until| now >= until);
        if is_over {
            self.paused_until = None;
        }
        is_over
    }
}

/// An address as it is without the socket's point of view (RFC 4291 §2.5.5.2).
pub fn canonical(address: SocketAddr) -> SocketAddr {
    (address.ip().to_canonical(), address.port()).into()
}

/// How many connections there are, and whose.
#[derive(Debug, Default)]
pub struct Crowd {
    of: HashMap<IpAddr, usize>,
    total: usize,
}

impl Crowd {
    /// Counts one more; `false` if that would be too many.
    pub fn enter(&mut self, remote: SocketAddr) -> bool {
        let key = network(remote.ip());
        let count = self.of.get(&key).copied().unwrap_or(0);
        if self.total >= MAX_CONNECTIONS || count >= MAX_PER_ADDRESS {
            return false;
        }
        self.of.insert(key, count + 1);
        self.total += 1;
        true
    }

    /// Counts one less, which was counted before.
    pub fn leave(&mut self, remote: SocketAddr) {
        let key = network(remote.ip());
        match self.of.get_mut(&key) {
            Some(1) => {
                self.of.remove(&key);
                self.total -= 1;
            }
            Some(count) => {
                *count -= 1;
                self.total -= 1;
            }
            None => {}
        }
    }

    pub fn total(&self) -> usize {
        self.total
    }
}

/// Who counts as one client: an address of IPv4, a /64 of IPv6.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
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
            Some(EngineError::AddressInUse {
                protocol: "TCP",
                host: "127.0.0.1".into(),
                port: first.port()
            })
        );
    }

    #[test]
    fn one_address_and_one_network_may_hold_so_many_and_leave_room_for_others() {
        let mut crowd = Crowd::default();
        let six = |n: u16| SocketAddr::from(([0x2001, 0xdb8, 0, 1, 0, 0, 0, n], n));
        for n in 0..MAX_PER_ADDRESS as u16 {
            assert!(crowd.enter(six(n)));
        }
        assert!(!crowd.enter(six(9999)));
        let four = SocketAddr::from(([192, 0, 2, 1], 1));
        assert!(crowd.enter(four));
        crowd.leave(six(1));
        assert!(crowd.enter(six(9999)));
        crowd.leave(four);
        crowd.leave(four);
        assert_eq!(crowd.total(), MAX_PER_ADDRESS);
    }

    #[test]
    fn all_of_them_are_bounded_too() {
        let mut crowd = Crowd::default();
        let entered = (0..2 * MAX_CONNECTIONS as u32)
            .filter(|n| crowd.enter((Ipv4Addr::from_bits(*n), 1).into()))
            .count();
        assert_eq!(entered, MAX_CONNECTIONS);
    }
}

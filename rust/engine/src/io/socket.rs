//! The UDP socket: bound once, read and written in batches.

use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::address;
use crate::error::EngineError;

/// Kernel buffers that are asked for, in bytes; the system may grant less.
const BUFFER_BYTES: libc::c_int = 4 << 20;

/// A bound, non-blocking UDP socket that tells at which of its addresses a datagram arrived.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    /// Bound for both families.
    dual: bool,
    local: SocketAddr,
}

impl Socket {
    /// Binds. Not shared: a second program on the port is refused, which is what the port check
    /// relies on.
    pub fn bind(host: IpAddr, port: u16) -> Result<Self, EngineError> {
        Self::bind_with(host, port, BUFFER_BYTES)
    }

    /// The same, with kernel buffers of this size in bytes.
    pub fn bind_with(
        host: IpAddr,
        port: u16,
        buffer_bytes: libc::c_int,
    ) -> Result<Self, EngineError> {
        let dual = host.is_ipv6();
        let family = if dual { libc::AF_INET6 } else { libc::AF_INET };
        let kind = libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: no pointer is passed; the result is checked before it is owned.
        let fd = unsafe { libc::socket(family, kind, 0) };
        if fd < 0 {
            return Err(system("no UDP socket", &io::Error::last_os_error()));
        }
        // SAFETY: `fd` is open and belongs to nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut socket = Self {
            fd,
            dual,
            local: (host, port).into(),
        };
        socket
            .configure(buffer_bytes)
            .map_err(|error| system("a socket option was refused", &error))?;
        socket.bind_to(host, port)?;
        Ok(socket)
    }

    fn configure(&self, buffer_bytes: libc::c_int) -> io::Result<()> {
        if self.dual {
            self.set(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0)?;
            self.set(libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
        }
        // Also on a socket for both families: IPv4 datagrams carry IPv4 information.
        self.set(libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
        self.set(libc::SOL_SOCKET, libc::SO_RCVBUF, buffer_bytes)?;
        self.set(libc::SOL_SOCKET, libc::SO_SNDBUF, buffer_bytes)
    }

    /// Sets an option of the socket (setsockopt(2)).
    pub fn set(
        &self,
        level: libc::c_int,
        option: libc::c_int,
        value: libc::c_int,
    ) -> io::Result<()> {
        let size = mem::size_of_val(&value) as libc::socklen_t;
        // SAFETY: `value` is valid for `size` bytes.
        let done = unsafe {
            libc::setsockopt(
                self.fd(),
                level,
                option,
                std::ptr::from_ref(&value).cast(),
                size,
            )
        };
        if done == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    fn bind_to(&mut self, host: IpAddr, port: u16) -> Result<(), EngineError> {
        // SAFETY: all-zero bytes are a valid sockaddr_storage.
        let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
        let size = address::write((host, port).into(), self.dual, &mut storage);
        // SAFETY: `storage` is valid for `size` bytes.
        if unsafe { libc::bind(self.fd(), std::ptr::from_ref(&storage).cast(), size) } != 0 {
            let error = io::Error::last_os_error();
            return Err(match error.raw_os_error() {
                Some(libc::EADDRINUSE) => EngineError::AddressInUse {
                    protocol: "UDP",
                    host: host.to_string(),
                    port,
                },
                Some(libc::EADDRNOTAVAIL) => {
                    EngineError::Address(format!("{host} is not an address of this machine"))
                }
                Some(libc::EACCES) => EngineError::Address(format!(
                    "UDP port {port} may not be bound by this user; choose one above 1023"
                )),
                _ => system(
                    &format!("UDP port {port} on {host} cannot be bound"),
                    &error,
                ),
            });
        }
        let mut length = mem::size_of_val(&storage) as libc::socklen_t;
        // SAFETY: `storage` is valid for `length` bytes.
        let named = unsafe {
            libc::getsockname(
                self.fd(),
                std::ptr::from_mut(&mut storage).cast(),
                &mut length,
            )
        };
        match address::read(&storage) {
            Some(local) if named == 0 => {
                self.local = local;
                Ok(())
            }
            _ => Err(system(
                "the port that was bound is unknown",
                &io::Error::last_os_error(),
            )),
        }
    }

    pub fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    pub fn port(&self) -> u16 {
        self.local.port()
    }

    pub fn is_dual(&self) -> bool {
        self.dual
    }

    /// The address it is bound to; unspecified if to all.
    pub fn ip(&self) -> IpAddr {
        self.local.ip()
    }
}

fn system(what: &str, error: &io::Error) -> EngineError {
    EngineError::System(format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_port_in_use_is_refused_by_name() {
        let first = Socket::bind(Ipv4Addr::LOCALHOST.into(), 0).expect("a free port");
        assert_eq!(
            Socket::bind(Ipv4Addr::LOCALHOST.into(), first.port()).err(),
            Some(EngineError::AddressInUse {
                protocol: "UDP",
                host: "127.0.0.1".into(),
                port: first.port()
            })
        );
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        let elsewhere = Ipv4Addr::new(192, 0, 2, 77).into();
        assert!(matches!(
            Socket::bind(elsewhere, 0),
            Err(EngineError::Address(_))
        ));
    }
}

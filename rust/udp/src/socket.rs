//! The UDP socket: bound once, read and written in batches.

use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, getsockname, socket,
};

use crate::address::{from_kernel, to_kernel};
use crate::error::OpenError;

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
    pub fn bind(host: IpAddr, port: u16) -> Result<Self, OpenError> {
        Self::bind_with(host, port, BUFFER_BYTES)
    }

    /// The same, with kernel buffers of this size in bytes.
    pub fn bind_with(
        host: IpAddr,
        port: u16,
        buffer_bytes: libc::c_int,
    ) -> Result<Self, OpenError> {
        let dual = host.is_ipv6();
        let family = if dual {
            AddressFamily::Inet6
        } else {
            AddressFamily::Inet
        };
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(family, SockType::Datagram, flags, None)
            .map_err(|error| OpenError::system("no UDP socket", &error.into()))?;
        configure(&fd, dual, buffer_bytes)
            .map_err(|error| OpenError::system("a socket option was refused", &error))?;
        let wanted = (host, port).into();
        bind(fd.as_raw_fd(), &to_kernel(wanted, dual))
            .map_err(|error| OpenError::bind("UDP", host, port, &error.into()))?;
        let name = getsockname::<SockaddrStorage>(fd.as_raw_fd()).map_err(|error| {
            OpenError::system("the port that was bound is unknown", &error.into())
        })?;
        Ok(Self {
            fd,
            dual,
            local: from_kernel(&name).unwrap_or(wanted),
        })
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

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

fn configure(fd: &OwnedFd, dual: bool, buffer_bytes: libc::c_int) -> io::Result<()> {
    if dual {
        set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0)?;
        set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
    }
    // Also on a socket for both families: IPv4 datagrams carry IPv4 information.
    set_option(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
    set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, buffer_bytes)?;
    set_option(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, buffer_bytes)
}

/// Sets an option of a socket (setsockopt(2)).
pub fn set_option(
    socket: &impl AsRawFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let size = mem::size_of_val(&value) as libc::socklen_t;
    let value = std::ptr::from_ref(&value).cast();
    // SAFETY: `value` is valid for `size` bytes.
    match unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, size) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
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
            Some(OpenError::AddressInUse {
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
            Err(OpenError::Address(_))
        ));
    }
}

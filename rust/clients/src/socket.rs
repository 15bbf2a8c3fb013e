//! What the standard library's sockets cannot do: many datagrams in a call, and when one came.

use std::io::{Error, ErrorKind, Result};
use std::mem::zeroed;
use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use libc::c_int;

/// Has the kernel tell when datagrams come (socket(7)).
pub fn enable_timestamps(socket: &impl AsRawFd) -> Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)
}

/// Has the kernel cut what it is given into datagrams of this size (udp(7)).
pub fn enable_segmentation(socket: &impl AsRawFd, size: usize) -> Result<()> {
    set_option(socket, libc::SOL_UDP, libc::UDP_SEGMENT, size as c_int)
}

fn set_option(socket: &impl AsRawFd, level: c_int, option: c_int, value: c_int) -> Result<()> {
    let (fd, size) = (socket.as_raw_fd(), size_of::<c_int>() as libc::socklen_t);
    // SAFETY: the option's value is valid for its size.
    match unsafe { libc::setsockopt(fd, level, option, (&raw const value).cast(), size) } {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

/// Reads the next datagram: its length, where it is from, and when it came, by the real-time clock.
pub fn receive(
    socket: &impl AsRawFd,
    buffer: &mut [u8],
) -> Result<Option<(usize, SocketAddr, Duration)>> {
    let mut control = [0_u64; 16];
    let mut vector = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: all-zero bytes are valid for both.
    let (mut name, mut message): (libc::sockaddr_in, libc::msghdr) = unsafe { zeroed() };
    message.msg_name = (&raw mut name).cast();
    message.msg_namelen = size_of_val(&name) as _;
    message.msg_iov = &mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    let length = loop {
        // SAFETY: every pointer leads to a buffer that outlives the call, with its true length.
        let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, libc::MSG_DONTWAIT) };
        if let Ok(length) = usize::try_from(length) {
            break length;
        }
        match Error::last_os_error() {
            error if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            // The server's port was closed: the ICE timeout is what notices.
            error if error.kind() == ErrorKind::ConnectionRefused => {}
            error => return Err(error),
        }
    };
    // SAFETY: the kernel has filled the control buffer; the entry is checked before it is read.
    let at = unsafe {
        let first = libc::CMSG_FIRSTHDR(&message);
        if first.is_null() || (*first).cmsg_type != libc::SCM_TIMESTAMPNS {
            return Err(Error::other("a datagram without a timestamp"));
        }
        std::ptr::read_unaligned(libc::CMSG_DATA(first).cast::<libc::timespec>())
    };
    let address = name.sin_addr.s_addr.to_ne_bytes();
    let source = SocketAddr::from((address, u16::from_be(name.sin_port)));
    let at = Duration::new(at.tv_sec as u64, at.tv_nsec as u32);
    Ok(Some((length, source, at)))
}

/// Gives all datagrams to the kernel, as many in a call as it takes. Those in a row that are of the size of a
/// `segment` and to one address go as one message, with one more behind them that may be smaller.
pub fn send_batch(
    socket: &UdpSocket,
    batch: &[(SocketAddrV4, Vec<u8>)],
    segment: Option<usize>,
) -> Result<()> {
    let (mut vectors, mut names) = (Vec::new(), Vec::new());
    for (address, data) in batch {
        vectors.push(libc::iovec {
            iov_base: data.as_ptr().cast_mut().cast(),
            iov_len: data.len(),
        });
        // SAFETY: all-zero bytes are a valid sockaddr_in.
        let mut name: libc::sockaddr_in = unsafe { zeroed() };
        name.sin_family = libc::AF_INET as _;
        name.sin_port = address.port().to_be();
        name.sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
        names.push(name);
    }
    let mut messages = Vec::new();
    let mut start = 0;
    for (n, (address, data)) in batch.iter().enumerate() {
        let next = batch.get(n + 1).map(|(address, _)| address);
        if segment == Some(data.len()) && next == Some(address) {
            continue;
        }
        // SAFETY: all-zero bytes are a valid mmsghdr.
        let mut message: libc::mmsghdr = unsafe { zeroed() };
        message.msg_hdr.msg_name = (&raw mut names[start]).cast();
        message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as _;
        message.msg_hdr.msg_iov = &mut vectors[start];
        message.msg_hdr.msg_iovlen = (n + 1 - start) as _;
        messages.push(message);
        start = n + 1;
    }
    let mut sent = 0;
    while sent < messages.len() {
        let rest = &mut messages[sent..];
        // SAFETY: every pointer leads to a buffer that outlives the call, with its true length.
        let done =
            unsafe { libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), rest.len() as u32, 0) };
        sent += usize::try_from(done).map_err(|_| Error::last_os_error())?;
    }
    Ok(())
}

//! Reading datagrams in batches (recvmmsg(2)), each with the address that it arrived at.

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::address;
use super::socket::Socket;

/// Datagrams read in one call.
pub const BATCH: usize = 64;

/// Larger than any datagram of a WebRTC peer; what is larger is cut, and fails its checks.
pub const PEER_BYTES: usize = 2048;

/// Room for an in6_pktinfo and an in_pktinfo, in words so that it is aligned.
const CONTROL_WORDS: usize = 16;

/// The buffers of a batch.
pub struct Receiver {
    buffers: Vec<u8>,
    datagram_bytes: usize,
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<[u64; CONTROL_WORDS]>,
}

/// A datagram in a [`Receiver`]'s buffers.
pub struct Received<'a> {
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub data: &'a [u8],
    /// The datagram was larger than the buffer.
    pub is_cut: bool,
}

impl Receiver {
    /// For datagrams of this size, in bytes.
    pub fn new(datagram_bytes: usize) -> Self {
        Self {
            // Zeroed by the system where it is touched: room for large ones costs nothing.
            buffers: vec![0; datagram_bytes * BATCH],
            datagram_bytes,
            // SAFETY: all-zero bytes are a valid sockaddr_storage.
            names: vec![unsafe { mem::zeroed() }; BATCH],
            controls: vec![[0; CONTROL_WORDS]; BATCH],
        }
    }

    /// Reads what waits, up to a batch, and hands it over one by one; how many there were.
    pub fn receive(
        &mut self,
        socket: &Socket,
        mut each: impl FnMut(Received<'_>),
    ) -> io::Result<usize> {
        let size = self.datagram_bytes;
        let mut vectors: [libc::iovec; BATCH] = std::array::from_fn(|i| libc::iovec {
            iov_base: self.buffers[i * size..(i + 1) * size].as_mut_ptr().cast(),
            iov_len: size,
        });
        let mut messages: [libc::mmsghdr; BATCH] = std::array::from_fn(|i| {
            // SAFETY: all-zero bytes are a valid mmsghdr.
            let mut message: libc::mmsghdr = unsafe { mem::zeroed() };
            let header = &mut message.msg_hdr;
            header.msg_name = std::ptr::from_mut(&mut self.names[i]).cast();
            header.msg_namelen = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_iov = &mut vectors[i];
            header.msg_iovlen = 1;
            header.msg_control = self.controls[i].as_mut_ptr().cast();
            header.msg_controllen = mem::size_of::<[u64; CONTROL_WORDS]>() as _;
            message
        });
        // SAFETY: every pointer in `messages` leads to a buffer of `self` or of this frame that
        // outlives the call, with its true length.
        let count = unsafe {
            libc::recvmmsg(
                socket.fd(),
                messages.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        if count < 0 {
            return Err(io::Error::last_os_error());
        }
        for (i, message) in messages.iter().enumerate().take(count as usize) {
            let Some(remote) = address::read(&self.names[i]) else {
                continue;
            };
            // SAFETY: the kernel filled this header in the call above.
            let ip = unsafe { destination(&message.msg_hdr) };
            let local = (ip.unwrap_or(socket.ip()), socket.port()).into();
            let data = &self.buffers[i * size..][..(message.msg_len as usize).min(size)];
            each(Received {
                local,
                remote,
                data,
                is_cut: message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            });
        }
        Ok(count as usize)
    }
}

/// The address that a datagram was sent to (ip(7), IP_PKTINFO; RFC 3542 §6.1).
///
/// # Safety
///
/// `header` was filled in by the kernel and its control buffer is alive.
unsafe fn destination(header: &libc::msghdr) -> Option<IpAddr> {
    // SAFETY: as the caller promises; the CMSG functions stay inside the control buffer, and the
    // level and type say what the data is.
    unsafe {
        let mut control = libc::CMSG_FIRSTHDR(header);
        while let Some(message) = control.as_ref() {
            let data = libc::CMSG_DATA(control);
            match (message.cmsg_level, message.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let info: libc::in_pktinfo = std::ptr::read_unaligned(data.cast());
                    return Some(Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes()).into());
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let info: libc::in6_pktinfo = std::ptr::read_unaligned(data.cast());
                    return Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).to_canonical());
                }
                _ => control = libc::CMSG_NXTHDR(header, control),
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn a_datagram_to_the_unspecified_address_tells_where_it_arrived() {
        for (host, to) in [("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("::", "::1")] {
            let (host, to): (IpAddr, IpAddr) = (host.parse().expect("ip"), to.parse().expect("ip"));
            let Ok(socket) = Socket::bind(host, 0) else {
                assert!(host.is_ipv6(), "only IPv6 may be switched off");
                continue;
            };
            let Ok(sender) = UdpSocket::bind((to, 0)) else {
                continue;
            };
            let from = sender.local_addr().expect("bound");
            sender.send_to(b"hello", (to, socket.port())).expect("sent");
            let mut seen = Vec::new();
            let mut receiver = Receiver::new(PEER_BYTES);
            // Loopback delivers before sendto returns.
            let count = receiver
                .receive(&socket, |d| {
                    seen.push((d.local.ip(), d.remote, d.data.to_vec()))
                })
                .expect("a datagram");
            assert_eq!((count, seen), (1, vec![(to, from, b"hello".to_vec())]));
        }
    }
}

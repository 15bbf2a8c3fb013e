//! Reading datagrams in batches (recvmmsg(2)), each with the address that it arrived at.

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Instant;

use nix::sys::socket::SockaddrStorage;

use crate::address::from_kernel;
use crate::socket::Socket;

/// Datagrams read in one call.
const BATCH: usize = 64;

/// Larger than any datagram of a WebRTC peer; what is larger is cut, and fails its checks.
pub const PEER_BYTES: usize = 2048;

/// Room for an in6_pktinfo and an in_pktinfo, in words so that it is aligned.
const CONTROL_WORDS: usize = 16;

/// The buffers of a batch.
#[derive(Debug)]
pub struct ReceiveBuffers {
    payloads: Vec<u8>,
    datagram_bytes: usize,
    names: Vec<SockaddrStorage>,
    controls: Vec<[u64; CONTROL_WORDS]>,
}

/// A datagram in [`ReceiveBuffers`].
#[derive(Debug)]
pub struct ReceivedDatagram<'a> {
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub data: &'a [u8],
    /// The datagram was larger than the buffer.
    pub is_cut: bool,
}

impl ReceiveBuffers {
    /// For datagrams of this size, in bytes.
    pub fn new(datagram_bytes: usize) -> Self {
        let nobody = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        Self {
            // Zeroed by the system where it is touched: room for large ones costs nothing.
            payloads: vec![0; datagram_bytes * BATCH],
            datagram_bytes,
            names: vec![nobody.into(); BATCH],
            controls: vec![[0; CONTROL_WORDS]; BATCH],
        }
    }

    /// Reads what waits, up to so many batches, and hands it over one by one, with the time at
    /// which its batch was read. Gives `true` once nothing waits.
    pub fn drain(
        &mut self,
        socket: &Socket,
        max_batches: usize,
        mut each: impl FnMut(Instant, ReceivedDatagram<'_>),
    ) -> bool {
        for _ in 0..max_batches {
            let now = Instant::now();
            match self.receive(socket, |datagram| each(now, datagram)) {
                Ok(BATCH) => {}
                Ok(_) => return true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                // About a datagram that was sent before (an ICMP message); reading has cleared it.
                Err(_) => {}
            }
        }
        false
    }

    /// Reads one batch; how many datagrams there were.
    fn receive(
        &mut self,
        socket: &Socket,
        mut each: impl FnMut(ReceivedDatagram<'_>),
    ) -> io::Result<usize> {
        let size = self.datagram_bytes;
        let mut vectors: [libc::iovec; BATCH] = std::array::from_fn(|i| libc::iovec {
            iov_base: self.payloads[i * size..(i + 1) * size].as_mut_ptr().cast(),
            iov_len: size,
        });
        let mut messages: [libc::mmsghdr; BATCH] = std::array::from_fn(|i| {
            // SAFETY: all-zero bytes are a valid mmsghdr.
            let mut message: libc::mmsghdr = unsafe { mem::zeroed() };
            let header = &mut message.msg_hdr;
            header.msg_name = std::ptr::from_mut(&mut self.names[i]).cast();
            header.msg_namelen = mem::size_of::<SockaddrStorage>() as libc::socklen_t;
            header.msg_iov = &mut vectors[i];
            header.msg_iovlen = 1;
            header.msg_control = self.controls[i].as_mut_ptr().cast();
            header.msg_controllen = mem::size_of::<[u64; CONTROL_WORDS]>() as _;
            message
        });
        // SAFETY: every pointer in `messages` leads to a buffer of `self` or of this frame that
        // outlives the call, with its true length. Whatever family the kernel writes into a
        // SockaddrStorage, it is read as what its family says.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                messages.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (i, message) in messages.iter().enumerate().take(count) {
            let Some(remote) = from_kernel(&self.names[i]) else {
                continue;
            };
            // SAFETY: the kernel filled this header in the call above.
            let ip = unsafe { destination(&message.msg_hdr) };
            let local = (ip.unwrap_or(socket.ip()), socket.port()).into();
            let data = &self.payloads[i * size..][..(message.msg_len as usize).min(size)];
            each(ReceivedDatagram {
                local,
                remote,
                data,
                is_cut: message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            });
        }
        Ok(count)
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
            let mut buffers = ReceiveBuffers::new(PEER_BYTES);
            // Loopback delivers before sendto returns.
            let is_drained = buffers.drain(&socket, 1, |_, d| {
                seen.push((d.local.ip(), d.remote, d.data.to_vec()))
            });
            assert_eq!(
                (is_drained, seen),
                (true, vec![(to, from, b"hello".to_vec())])
            );
        }
    }

    #[test]
    fn a_busy_socket_is_left_after_so_many_batches() {
        let socket = Socket::bind(Ipv4Addr::LOCALHOST.into(), 0).expect("a free port");
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        for _ in 0..2 * BATCH + 1 {
            let to = (Ipv4Addr::LOCALHOST, socket.port());
            sender.send_to(&[0; 8], to).expect("sent");
        }
        let (mut buffers, mut seen) = (ReceiveBuffers::new(4), 0);
        let mut cut = |_, datagram: ReceivedDatagram<'_>| {
            assert!(datagram.is_cut && datagram.data.len() == 4);
            seen += 1;
        };
        assert!(!buffers.drain(&socket, 2, &mut cut));
        assert!(buffers.drain(&socket, 2, &mut cut));
        assert_eq!(seen, 2 * BATCH + 1);
    }
}

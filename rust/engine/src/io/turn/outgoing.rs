//! Datagrams on their way out of one socket: copied once into one buffer, written in batches
//! (sendmmsg(2)), runs of one size and address as one message (UDP segmentation, udp(7)).

use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};

use crate::io::address;
use crate::io::send::{CONTROL_WORDS, MAX_SEGMENTED_BYTES, MAX_SEGMENTS, write_control};
use crate::io::socket::Socket;

/// Messages that are given to the kernel in one call.
const BATCH: usize = 64;

/// Datagrams and bytes that wait while the kernel takes none; then the newest are dropped.
const MAX_DATAGRAMS: usize = 2048;
const MAX_BYTES: usize = 2 << 20;

/// Datagrams that are worth a call to the kernel, before the burst that they are part of is over.
const BURST: usize = 512;

/// A buffer that a burst made larger is given back.
const KEPT_BYTES: usize = 128 << 10;

#[derive(Debug, Clone, Copy)]
struct Datagram {
    from: IpAddr,
    to: SocketAddr,
    end: usize,
}

/// The outgoing side of a socket.
#[derive(Debug)]
pub struct Outgoing {
    bytes: Vec<u8>,
    /// In the order of `bytes`, without gaps.
    datagrams: Vec<Datagram>,
    /// How many of them are written, and their bytes.
    written: usize,
    written_bytes: usize,
    blocked: bool,
    segmentation: bool,
    /// Thrown away: no room here, or refused by the kernel.
    dropped: u64,
}

impl Default for Outgoing {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            datagrams: Vec::new(),
            written: 0,
            written_bytes: 0,
            blocked: false,
            segmentation: true,
            dropped: 0,
        }
    }
}

impl Outgoing {
    /// Adds a datagram, put together from parts. `from` is the address it leaves from, the
    /// unspecified one if that is the kernel's choice.
    pub fn push(&mut self, from: IpAddr, to: SocketAddr, parts: &[&[u8]]) {
        let size: usize = parts.iter().map(|part| part.len()).sum();
        let waiting = self.bytes.len() - self.written_bytes;
        if self.datagrams.len() - self.written >= MAX_DATAGRAMS || waiting + size > MAX_BYTES {
            self.dropped += 1;
            return;
        }
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        let end = self.bytes.len();
        self.datagrams.push(Datagram { from, to, end });
    }

    /// Whether so much waits that it should be flushed now.
    pub fn is_due(&self) -> bool {
        !self.blocked && self.datagrams.len() - self.written >= BURST
    }

    /// Whether datagrams wait for the kernel to have room.
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Datagrams thrown away since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        mem::take(&mut self.dropped)
    }

    /// Writes what waits, as far as the kernel takes it.
    pub fn flush(&mut self, socket: &Socket) {
        self.blocked = false;
        while self.written < self.datagrams.len() && !self.blocked {
            let runs = self.runs();
            match self.write(socket, &runs) {
                Ok(messages) => self.advance(runs[..messages].iter().sum()),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN | libc::ENOBUFS) => self.blocked = true,
                    Some(libc::EINTR) => {}
                    // A network card that cannot segment (udp(7)): one by one from now on.
                    _ if runs[0] > 1 => self.segmentation = false,
                    _ => {
                        self.dropped += 1;
                        self.advance(1);
                    }
                },
            }
        }
        if self.written == self.datagrams.len() {
            self.written = 0;
            self.written_bytes = 0;
            self.datagrams.clear();
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_BYTES);
            self.datagrams
                .shrink_to(KEPT_BYTES / mem::size_of::<Datagram>());
        } else if self.written_bytes > MAX_BYTES {
            self.compact();
        }
    }

    fn advance(&mut self, datagrams: usize) {
        self.written += datagrams;
        self.written_bytes = self.start(self.written);
    }

    /// Gives back the room of what is written.
    fn compact(&mut self) {
        self.bytes.drain(..self.written_bytes);
        self.datagrams.drain(..self.written);
        for datagram in &mut self.datagrams {
            datagram.end -= self.written_bytes;
        }
        self.written = 0;
        self.written_bytes = 0;
    }

    /// Where a datagram begins.
    fn start(&self, index: usize) -> usize {
        match index.checked_sub(1) {
            Some(before) => self.datagrams[before].end,
            None => 0,
        }
    }

    /// How many datagrams each message of the next batch holds: those in a row on one path and of
    /// one size, the last of which may be smaller.
    fn runs(&self) -> Vec<usize> {
        let mut runs = Vec::with_capacity(BATCH);
        let mut first = self.written;
        while first < self.datagrams.len() && runs.len() < BATCH {
            let begin = self.start(first);
            let Datagram { from, to, end } = self.datagrams[first];
            let size = end - begin;
            let mut next = first + 1;
            while self.segmentation && next < self.datagrams.len() && next - first < MAX_SEGMENTS {
                let candidate = self.datagrams[next];
                let length = candidate.end - self.datagrams[next - 1].end;
                let fits = candidate.end - begin <= MAX_SEGMENTED_BYTES;
                if candidate.to != to || candidate.from != from || length > size || !fits {
                    break;
                }
                // An empty datagram cannot be a segment.
                if length == 0 {
                    break;
                }
                next += 1;
                if length < size {
                    break;
                }
            }
            runs.push(next - first);
            first = next;
        }
        runs
    }

    /// Gives a batch to the kernel; how many messages it took.
    fn write(&self, socket: &Socket, runs: &[usize]) -> io::Result<usize> {
        // SAFETY: all-zero bytes are a valid iovec, sockaddr_storage and mmsghdr.
        let (mut vectors, mut names, mut messages): (
            [libc::iovec; BATCH],
            [libc::sockaddr_storage; BATCH],
            [libc::mmsghdr; BATCH],
        ) = unsafe { (mem::zeroed(), mem::zeroed(), mem::zeroed()) };
        let mut controls = [[0_u64; CONTROL_WORDS]; BATCH];
        let mut first = self.written;
        for (i, run) in runs.iter().enumerate() {
            let begin = self.start(first);
            let Datagram { from, to, end } = self.datagrams[first];
            let bytes = &self.bytes[begin..self.start(first + run)];
            vectors[i] = libc::iovec {
                iov_base: bytes.as_ptr().cast_mut().cast(),
                iov_len: bytes.len(),
            };
            let header = &mut messages[i].msg_hdr;
            header.msg_namelen = address::write(to, socket.is_dual(), &mut names[i]);
            header.msg_name = std::ptr::from_mut(&mut names[i]).cast();
            header.msg_iov = &mut vectors[i];
            header.msg_iovlen = 1;
            header.msg_control = controls[i].as_mut_ptr().cast();
            header.msg_controllen = mem::size_of::<[u64; CONTROL_WORDS]>() as _;
            let segment = (*run > 1).then_some((end - begin) as u16);
            // SAFETY: the control buffer is zeroed, aligned, and larger than both entries.
            header.msg_controllen =
                unsafe { write_control(header, from, socket.is_dual(), segment) } as _;
            first += run;
        }
        // SAFETY: every pointer in `messages` leads to a buffer that outlives the call, with its
        // true length; the kernel reads payloads only.
        let sent = unsafe {
            libc::sendmmsg(
                socket.fd(),
                messages.as_mut_ptr(),
                runs.len() as libc::c_uint,
                libc::MSG_DONTWAIT as _,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};
    use std::time::Duration;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn datagrams_arrive_whole_in_order_and_without_a_gap_between_batches() {
        let receiver = UdpSocket::bind((HERE, 0)).expect("a free port");
        receiver
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("a timeout");
        let to = receiver.local_addr().expect("bound");
        let socket = Socket::bind(HERE, 0).expect("a free port");
        let mut outgoing = Outgoing::default();
        let sizes = [100, 100, 40, 0, 900, 900, 900, 901, 1, 0, 0, 30];
        for round in 0..3_u8 {
            for size in sizes {
                let body = vec![round; size];
                let (head, tail) = body.split_at(size / 2);
                outgoing.push(HERE, to, &[head, tail]);
            }
            outgoing.flush(&socket);
            let mut buffer = [0; 2048];
            for size in sizes {
                let (length, from) = receiver.recv_from(&mut buffer).expect("a datagram");
                assert_eq!((length, from.port()), (size, socket.port()));
                assert!(buffer[..length].iter().all(|byte| *byte == round));
            }
        }
        assert_eq!(outgoing.take_dropped(), 0);
    }

    #[test]
    fn what_the_kernel_refuses_is_counted_and_does_not_hold_up_the_rest() {
        let receiver = UdpSocket::bind((HERE, 0)).expect("a free port");
        receiver
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("a timeout");
        let to = receiver.local_addr().expect("bound");
        let socket = Socket::bind(HERE, 0).expect("a free port");
        let mut outgoing = Outgoing::default();
        // No route from the loopback address to the world.
        outgoing.push(HERE, ([192, 0, 2, 1], 9).into(), &[b"lost"]);
        outgoing.push(HERE, to, &[b"arrives"]);
        outgoing.flush(&socket);
        let mut buffer = [0; 16];
        assert_eq!(receiver.recv(&mut buffer).expect("a datagram"), 7);
        assert_eq!(outgoing.take_dropped(), 1);
    }

    #[test]
    fn what_nobody_writes_is_bounded() {
        let mut outgoing = Outgoing::default();
        for _ in 0..MAX_DATAGRAMS + 3 {
            outgoing.push(HERE, ([127, 0, 0, 1], 9).into(), &[b"x"]);
        }
        assert_eq!(outgoing.take_dropped(), 3);
    }
}

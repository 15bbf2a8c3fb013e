//! Datagrams on their way out of one socket: copied once into one buffer, written in batches
//! (sendmmsg(2)), each from its own address, runs of one size and path as one message (UDP
//! segmentation, udp(7)).

use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use nix::sys::socket::{SockaddrLike, SockaddrStorage};

use crate::address::{mapped, to_kernel};
use crate::socket::Socket;

/// Messages that are given to the kernel in one call.
const BATCH: usize = 64;

/// The kernel's UDP_MAX_SEGMENTS, and the largest UDP datagram before it is cut up again.
const MAX_SEGMENTS: usize = 64;
const MAX_SEGMENTED_BYTES: usize = 60_000;

/// Room for a source address and a segment size, in words so that it is aligned.
const CONTROL_WORDS: usize = 12;

/// A buffer that a burst made larger is given back.
const KEPT_BYTES: usize = 128 << 10;

/// So many written bytes are given back, though others behind them still wait.
const COMPACT_BYTES: usize = 2 << 20;

/// What may wait while the kernel takes nothing, and when writing is worth a call.
#[derive(Debug, Clone, Copy)]
pub struct SendLimits {
    /// With so many datagrams waiting the newest are dropped.
    pub datagrams: usize,
    /// The same, in bytes of payload.
    pub bytes: usize,
    /// Datagrams that are worth a call to the kernel, before the burst that they are part of is
    /// over.
    pub burst: usize,
}

/// What became of datagrams in a [`SendQueue::flush`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flushed {
    pub sent: u64,
    pub sent_bytes: u64,
    /// The kernel refused them for good: there is no way to their destination.
    pub refused: u64,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    from: IpAddr,
    to: SocketAddr,
    end: usize,
}

/// The outgoing side of a socket.
#[derive(Debug)]
pub struct SendQueue {
    limits: SendLimits,
    bytes: Vec<u8>,
    /// In the order of `bytes`, without gaps.
    datagrams: Vec<Waiting>,
    /// How many of them are written, and their bytes.
    written: usize,
    written_bytes: usize,
    blocked: bool,
    segmentation: bool,
}

impl SendQueue {
    pub fn new(limits: SendLimits) -> Self {
        Self {
            limits,
            bytes: Vec::new(),
            datagrams: Vec::new(),
            written: 0,
            written_bytes: 0,
            blocked: false,
            segmentation: true,
        }
    }

    /// Adds a datagram, put together from parts; `false` if there is no room. `from` is the address
    /// it leaves from, the unspecified one if that is the kernel's choice.
    #[must_use = "nobody else counts what is dropped"]
    pub fn push(&mut self, from: IpAddr, to: SocketAddr, parts: &[&[u8]]) -> bool {
        let size: usize = parts.iter().map(|part| part.len()).sum();
        let waiting = self.bytes.len() - self.written_bytes;
        if self.len() >= self.limits.datagrams || waiting + size > self.limits.bytes {
            return false;
        }
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        let end = self.bytes.len();
        self.datagrams.push(Waiting { from, to, end });
        true
    }

    /// Whether so much waits that it should be flushed now.
    pub fn is_due(&self) -> bool {
        !self.blocked && self.len() >= self.limits.burst
    }

    /// Whether datagrams wait for the kernel to have room.
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    fn len(&self) -> usize {
        self.datagrams.len() - self.written
    }

    /// Writes what waits, as far as the kernel takes it.
    pub fn flush(&mut self, socket: &Socket) -> Flushed {
        let mut flushed = Flushed::default();
        self.blocked = false;
        while self.len() > 0 && !self.blocked {
            let runs = self.runs();
            match self.write(socket, &runs) {
                Ok(messages) => self.sent(runs[..messages].iter().sum(), &mut flushed),
                Err(error) => self.retry(socket, runs[0], runs[0] == 1, &error, &mut flushed),
            }
        }
        if self.len() == 0 {
            self.written = 0;
            self.written_bytes = 0;
            self.datagrams.clear();
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_BYTES);
            self.datagrams
                .shrink_to(KEPT_BYTES / mem::size_of::<Waiting>());
        } else if self.written_bytes > COMPACT_BYTES {
            self.compact();
        }
        flushed
    }

    /// Deals with the next message, of so many datagrams, which the kernel did not take; `alone`: nor
    /// did it take the first of them by itself.
    fn retry(
        &mut self,
        socket: &Socket,
        run: usize,
        alone: bool,
        error: &io::Error,
        flushed: &mut Flushed,
    ) {
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::ENOBUFS) => self.blocked = true,
            Some(libc::EINTR) => {}
            // Either the path does not work, or a network card without checksum offload refuses
            // segmentation (udp(7)), and takes the datagram alone.
            _ if !alone => match self.write(socket, &[1]) {
                Ok(_) => {
                    self.segmentation = false;
                    self.sent(1, flushed);
                }
                Err(error) => self.retry(socket, run, true, &error, flushed),
            },
            _ => {
                // What is smaller may pass where the first is too large for the path.
                let size = self.size(self.written);
                let of_one_size = |i: &usize| self.size(self.written + i) == size;
                let refused = (0..run).take_while(of_one_size).count();
                flushed.refused += refused as u64;
                self.advance(refused);
            }
        }
    }

    fn sent(&mut self, datagrams: usize, flushed: &mut Flushed) {
        let before = self.written_bytes;
        self.advance(datagrams);
        flushed.sent += datagrams as u64;
        flushed.sent_bytes += (self.written_bytes - before) as u64;
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

    fn size(&self, index: usize) -> usize {
        self.datagrams[index].end - self.start(index)
    }

    /// How many datagrams each message of the next batch holds: those in a row on one path and of
    /// one size, the last of which may be smaller.
    fn runs(&self) -> Vec<usize> {
        let mut runs = Vec::with_capacity(BATCH.min(self.len()));
        let mut first = self.written;
        while first < self.datagrams.len() && runs.len() < BATCH {
            let begin = self.start(first);
            let Waiting { from, to, .. } = self.datagrams[first];
            let size = self.size(first);
            let mut next = first + 1;
            while self.segmentation && next < self.datagrams.len() && next - first < MAX_SEGMENTS {
                let candidate = self.datagrams[next];
                let length = self.size(next);
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
        let count = runs.len();
        let mut vectors: Vec<libc::iovec> = Vec::with_capacity(count);
        let mut names: Vec<SockaddrStorage> = Vec::with_capacity(count);
        let mut controls = vec![[0_u64; CONTROL_WORDS]; count];
        let mut messages: Vec<libc::mmsghdr> = Vec::with_capacity(count);
        let mut first = self.written;
        for (run, control) in runs.iter().zip(&mut controls) {
            let begin = self.start(first);
            let Waiting { from, to, .. } = self.datagrams[first];
            let bytes = &self.bytes[begin..self.start(first + run)];
            vectors.push(libc::iovec {
                iov_base: bytes.as_ptr().cast_mut().cast(),
                iov_len: bytes.len(),
            });
            names.push(to_kernel(to, socket.is_dual()));
            // SAFETY: all-zero bytes are a valid mmsghdr.
            let mut message: libc::mmsghdr = unsafe { mem::zeroed() };
            let header = &mut message.msg_hdr;
            header.msg_iovlen = 1;
            header.msg_control = control.as_mut_ptr().cast();
            header.msg_controllen = mem::size_of::<[u64; CONTROL_WORDS]>() as _;
            let segment = (*run > 1).then(|| self.size(first) as u16);
            // SAFETY: the control buffer is zeroed, aligned, and larger than both entries.
            header.msg_controllen =
                unsafe { write_control(header, from, socket.is_dual(), segment) } as _;
            messages.push(message);
            first += run;
        }
        // Now that neither list moves any more.
        for (message, (name, vector)) in messages.iter_mut().zip(names.iter().zip(&mut vectors)) {
            message.msg_hdr.msg_name = name.as_ptr().cast_mut().cast();
            message.msg_hdr.msg_namelen = name.len();
            message.msg_hdr.msg_iov = vector;
        }
        // SAFETY: every pointer in `messages` leads to a buffer that outlives the call, with its
        // true length; the kernel reads names and payloads only.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                messages.as_mut_ptr(),
                count as libc::c_uint,
                libc::MSG_DONTWAIT as _,
            )
        };
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

/// Writes the source address (ip(7), RFC 3542 §6.2) and the segment size (udp(7)); their length.
///
/// # Safety
///
/// The control buffer of `header` is zeroed, aligned for a cmsghdr, and has its true length.
unsafe fn write_control(
    header: &libc::msghdr,
    source: IpAddr,
    dual: bool,
    segment: Option<u16>,
) -> usize {
    // SAFETY: as the caller promises; two entries fit (see CONTROL_WORDS), so CMSG_NXTHDR stays
    // inside.
    unsafe {
        let control = libc::CMSG_FIRSTHDR(header);
        let mut length = if dual {
            let mut info: libc::in6_pktinfo = mem::zeroed();
            info.ipi6_addr.s6_addr = mapped(source).octets();
            put(control, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info)
        } else {
            let mut info: libc::in_pktinfo = mem::zeroed();
            if let IpAddr::V4(v4) = source {
                info.ipi_spec_dst.s_addr = u32::from_ne_bytes(v4.octets());
            }
            put(control, libc::IPPROTO_IP, libc::IP_PKTINFO, info)
        };
        if let Some(size) = segment {
            let next = libc::CMSG_NXTHDR(header, control);
            length += put(next, libc::SOL_UDP, libc::UDP_SEGMENT, size);
        }
        length
    }
}

/// # Safety
///
/// There is room for an entry with `value` at `control`.
unsafe fn put<T>(
    control: *mut libc::cmsghdr,
    level: libc::c_int,
    kind: libc::c_int,
    value: T,
) -> usize {
    let size = mem::size_of::<T>() as libc::c_uint;
    // SAFETY: as the caller promises.
    unsafe {
        (*control).cmsg_level = level;
        (*control).cmsg_type = kind;
        (*control).cmsg_len = libc::CMSG_LEN(size) as _;
        std::ptr::write_unaligned(libc::CMSG_DATA(control).cast(), value);
        libc::CMSG_SPACE(size) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};
    use std::time::Duration;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn queue() -> SendQueue {
        SendQueue::new(SendLimits {
            datagrams: 2048,
            bytes: 1 << 20,
            burst: 64,
        })
    }

    fn receiver() -> (UdpSocket, SocketAddr) {
        let receiver = UdpSocket::bind((HERE, 0)).expect("a free port");
        receiver
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("a timeout");
        let address = receiver.local_addr().expect("bound");
        (receiver, address)
    }

    #[test]
    fn datagrams_of_one_path_and_size_share_a_message() {
        let (a, b) = (([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into());
        let sizes = [
            (a, 100),
            (a, 100),
            (a, 50),
            (a, 100),
            (b, 100),
            (b, 200),
            (b, 200),
            (b, 0),
            (b, 0),
        ];
        let mut waiting = queue();
        for (to, size) in sizes {
            assert!(waiting.push(HERE, to, &[&vec![0; size]]));
        }
        assert_eq!(waiting.runs(), [3, 1, 1, 2, 1, 1]);
        waiting.segmentation = false;
        assert_eq!(waiting.runs(), [1; 9]);
        let mut large = queue();
        for _ in 0..64 {
            assert!(large.push(HERE, a, &[&[0; 1200]]));
        }
        assert_eq!(large.runs(), [50, 14]);
    }

    #[test]
    fn datagrams_arrive_whole_in_order_and_without_a_gap_between_batches() {
        let (receiver, to) = receiver();
        // From the address that is asked for, though the socket is bound to all.
        let socket = Socket::bind(Ipv4Addr::UNSPECIFIED.into(), 0).expect("a free port");
        let from = (HERE, socket.port()).into();
        let mut waiting = queue();
        let sizes = [
            1200, 1200, 1200, 700, 100, 40, 0, 900, 900, 901, 1, 0, 0, 30,
        ];
        for round in 0..3_u8 {
            for size in sizes {
                let body = vec![round; size];
                let (head, tail) = body.split_at(size / 2);
                assert!(waiting.push(HERE, to, &[head, tail]));
            }
            let all = Flushed {
                sent: sizes.len() as u64,
                sent_bytes: sizes.iter().sum::<usize>() as u64,
                refused: 0,
            };
            assert_eq!(waiting.flush(&socket), all);
            let mut buffer = [0; 2048];
            for size in sizes {
                let seen = receiver.recv_from(&mut buffer).expect("a datagram");
                assert_eq!(seen, (size, from));
                assert!(buffer[..size].iter().all(|byte| *byte == round));
            }
        }
    }

    #[test]
    fn what_the_kernel_refuses_is_counted_and_does_not_hold_up_the_rest() {
        let (receiver, to) = receiver();
        let socket = Socket::bind(HERE, 0).expect("a free port");
        let mut waiting = queue();
        // No route from the loopback address to the world.
        for _ in 0..2 {
            assert!(waiting.push(HERE, ([192, 0, 2, 1], 9).into(), &[b"lost"]));
        }
        assert!(waiting.push(HERE, to, &[b"arrives"]));
        let flushed = waiting.flush(&socket);
        assert_eq!((flushed.sent, flushed.refused), (1, 2));
        assert!(waiting.segmentation, "it is not at fault");
        assert_eq!(receiver.recv(&mut [0; 16]).expect("a datagram"), 7);
    }

    #[test]
    fn what_nobody_writes_is_bounded() {
        let to = ([127, 0, 0, 1], 9).into();
        let mut waiting = queue();
        let pushed = (0..2048 + 3)
            .filter(|_| waiting.push(HERE, to, &[b"x"]))
            .count();
        assert_eq!(pushed, 2048);
        let mut waiting = queue();
        let pushed = (0..20)
            .filter(|_| waiting.push(HERE, to, &[&[0; 100 << 10]]))
            .count();
        assert_eq!(pushed, 10);
    }
}

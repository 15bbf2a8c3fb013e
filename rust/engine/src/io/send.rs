//! Writing datagrams in batches (sendmmsg(2)), from the right address, with UDP segmentation.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;

use super::address;
use super::socket::Socket;
use super::turn::short_cut::{EngineEnd, Taken};
use crate::core::context::{Datagram, Outbound};
use crate::id::PeerId;
use crate::stats::Counters;

/// Datagrams that are given to the kernel in one call.
const BATCH: usize = 64;

/// Datagrams that wait while the socket is full: about 10 MB.
const MAX_QUEUE: usize = 8192;

/// The kernel's UDP_MAX_SEGMENTS, and the largest UDP datagram before it is cut up again.
pub(super) const MAX_SEGMENTS: usize = 64;
pub(super) const MAX_SEGMENTED_BYTES: usize = 60_000;

/// Room for a source address and a segment size, in words so that it is aligned.
pub(super) const CONTROL_WORDS: usize = 12;

/// The outgoing side of the socket.
///
/// Datagrams are written as soon as a batch is full, or on [`Sender::flush`]. While the kernel
/// takes none they wait; when too many wait, the newest are dropped and counted, and
/// [`Sender::take_dropped`] says whose they were.
pub struct Sender {
    socket: Arc<Socket>,
    counters: Arc<Counters>,
    queue: VecDeque<Datagram>,
    full: bool,
    segmentation: bool,
    dropped: Vec<PeerId>,
    /// Takes what is for allocations of the TURN server of this process.
    relayed: EngineEnd,
}

impl Outbound for Sender {
    fn send(&mut self, datagram: Datagram) {
        let (local, remote) = (datagram.local, datagram.remote);
        match self.relayed.send(local, remote, &datagram.payload) {
            Taken::No if self.queue.len() >= MAX_QUEUE => return self.drop(datagram.peer),
            Taken::No => {}
            Taken::Dropped => return self.drop(datagram.peer),
            Taken::Yes => {
                Counters::add(&self.counters.packets_sent, 1);
                Counters::add(&self.counters.bytes_sent, datagram.payload.len() as u64);
                return;
            }
        }
        self.queue.push_back(datagram);
        if !self.full && self.queue.len() >= BATCH {
            self.flush();
        }
    }
}

impl Sender {
    pub fn new(socket: Arc<Socket>, counters: Arc<Counters>, relayed: EngineEnd) -> Self {
        Self {
            socket,
            counters,
            queue: VecDeque::with_capacity(BATCH * 2),
            full: false,
            segmentation: true,
            dropped: Vec::new(),
            relayed,
        }
    }

    /// Whether datagrams wait for the kernel to have room.
    pub fn is_blocked(&self) -> bool {
        self.full
    }

    /// The peers that lost datagrams since the last call.
    pub fn take_dropped(&mut self) -> Vec<PeerId> {
        self.dropped.sort_unstable();
        self.dropped.dedup();
        mem::take(&mut self.dropped)
    }

    /// Writes what waits, as far as the kernel takes it.
    pub fn flush(&mut self) {
        self.relayed.flush();
        self.full = false;
        while !self.queue.is_empty() && !self.full {
            let count = self.queue.len().min(BATCH);
            self.write_batch(count);
        }
    }

    fn drop(&mut self, peer: PeerId) {
        Counters::add(&self.counters.packets_dropped, 1);
        if self.dropped.last() != Some(&peer) {
            self.dropped.push(peer);
        }
    }

    /// Writes the first `count` datagrams, or notes that the kernel is full.
    fn write_batch(&mut self, count: usize) {
        let batch = self.queue.make_contiguous();
        let runs = runs(&batch[..count], self.segmentation);
        match write(&self.socket, &batch[..count], &runs) {
            Ok(written) => {
                let datagrams: usize = runs[..written].iter().sum();
                let bytes: usize = batch[..datagrams].iter().map(|d| d.payload.len()).sum();
                Counters::add(&self.counters.packets_sent, datagrams as u64);
                Counters::add(&self.counters.bytes_sent, bytes as u64);
                self.queue.drain(..datagrams);
            }
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN | libc::ENOBUFS) => self.full = true,
                Some(libc::EINTR) => {}
                _ => self.give_up(runs[0]),
            },
        }
    }

    /// Deals with the first `count` datagrams, one message, which the kernel refused for good.
    fn give_up(&mut self, count: usize) {
        let batch = self.queue.make_contiguous();
        // Either the path does not work, which ICE finds out by itself; or a network card without
        // checksum offload refuses segmentation (udp(7)), and takes the datagram alone.
        if count > 1 && write(&self.socket, &batch[..1], &[1]).is_ok() {
            self.segmentation = false;
            self.queue.pop_front();
        } else {
            self.queue.drain(..count);
        }
    }
}

/// How many datagrams each message holds: those in a row on one path and of one size, the last of
/// which may be smaller.
fn runs(batch: &[Datagram], segmentation: bool) -> Vec<usize> {
    let mut runs = Vec::with_capacity(batch.len());
    let mut start = 0;
    while start < batch.len() {
        let first = &batch[start];
        let size = first.payload.len();
        let mut end = start + 1;
        while segmentation && end < batch.len() && end - start < MAX_SEGMENTS {
            let next = &batch[end];
            let fits = (end - start + 1) * size <= MAX_SEGMENTED_BYTES;
            if next.remote != first.remote
                || next.local != first.local
                || next.payload.len() > size
                || !fits
            {
                break;
            }
            end += 1;
            if next.payload.len() < size {
                break;
            }
        }
        runs.push(end - start);
        start = end;
    }
    runs
}

/// Gives the batch to the kernel; how many messages it took.
fn write(socket: &Socket, batch: &[Datagram], runs: &[usize]) -> io::Result<usize> {
    let mut vectors: Vec<libc::iovec> = batch
        .iter()
        .map(|d| libc::iovec {
            iov_base: d.payload.as_ptr().cast_mut().cast(),
            iov_len: d.payload.len(),
        })
        .collect();
    // SAFETY: all-zero bytes are a valid sockaddr_storage.
    let mut names: Vec<libc::sockaddr_storage> = vec![unsafe { mem::zeroed() }; runs.len()];
    let mut controls = vec![[0_u64; CONTROL_WORDS]; runs.len()];
    let mut messages = Vec::with_capacity(runs.len());
    let mut start = 0;
    for (i, run) in runs.iter().enumerate() {
        let first = &batch[start];
        // SAFETY: all-zero bytes are a valid mmsghdr.
        let mut message: libc::mmsghdr = unsafe { mem::zeroed() };
        let header = &mut message.msg_hdr;
        header.msg_namelen = address::write(first.remote, socket.is_dual(), &mut names[i]);
        header.msg_name = std::ptr::from_mut(&mut names[i]).cast();
        header.msg_iov = &mut vectors[start];
        header.msg_iovlen = *run as _;
        header.msg_control = controls[i].as_mut_ptr().cast();
        header.msg_controllen = mem::size_of::<[u64; CONTROL_WORDS]>() as _;
        let segment = (*run > 1).then_some(first.payload.len() as u16);
        // SAFETY: the control buffer is zeroed, aligned, and larger than both entries.
        header.msg_controllen =
            unsafe { write_control(header, first.local.ip(), socket.is_dual(), segment) } as _;
        messages.push(message);
        start += run;
    }
    // SAFETY: every pointer in `messages` leads to a buffer that outlives the call, with its true
    // length; the kernel reads payloads only.
    let sent = unsafe {
        libc::sendmmsg(
            socket.fd(),
            messages.as_mut_ptr(),
            messages.len() as libc::c_uint,
            libc::MSG_DONTWAIT as _,
        )
    };
    if sent < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(sent as usize)
    }
}

/// Writes the source address (ip(7), RFC 3542 §6.2) and the segment size (udp(7)); their length.
///
/// # Safety
///
/// The control buffer of `header` is zeroed, aligned for a cmsghdr, and has its true length.
pub(super) unsafe fn write_control(
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
            info.ipi6_addr.s6_addr = address::mapped(source).octets();
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
#[path = "send_tests.rs"]
mod tests;

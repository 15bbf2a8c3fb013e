//! The least that sending costs: AES-256-GCM, and sendmmsg to sockets that are read.

#![allow(dead_code)] // each example uses its part of this

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes of a socket's queue.
const ROOM: libc::c_int = 4 << 20;

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// CPU time of the engine's thread so far (proc(5), schedstat).
pub fn engine_cpu() -> Result<Duration> {
    for task in std::fs::read_dir("/proc/self/task")? {
        let path = task?.path();
        if std::fs::read_to_string(path.join("comm"))?.trim() == "icey-engine" {
            let stat = std::fs::read_to_string(path.join("schedstat"))?;
            let ns = stat.split(' ').next().ok_or("no time in schedstat")?;
            return Ok(Duration::from_nanos(ns.parse()?));
        }
    }
    Err("no engine thread".into())
}

/// CPU time of this thread so far.
pub fn thread_cpu() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid out-pointer; this clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// CPU time of encrypting so many payloads of a size.
pub fn encrypt(count: u64, size: usize) -> Result<Duration> {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[1; 32])?);
    let mut payload = vec![0; size];
    let start = thread_cpu();
    for n in 0..count {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&n.to_ne_bytes());
        let (nonce, aad) = (Nonce::assume_unique_for_key(nonce), Aad::from([0; 12]));
        let tag = key.seal_in_place_separate_tag(nonce, aad, &mut payload)?;
        let _ = std::hint::black_box(tag);
    }
    Ok(thread_cpu() - start)
}

/// Sockets that a thread reads and throws away what comes.
pub struct Readers {
    names: Vec<libc::sockaddr_in>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Readers {
    pub fn start(count: usize) -> Result<Self> {
        let (mut readers, mut names) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.set_nonblocking(true)?;
            widen(&socket)?;
            names.push(name_of(socket.local_addr()?)?);
            readers.push(socket);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while !stopped.load(Ordering::Relaxed) {
                for socket in &readers {
                    while socket.recv_from(&mut buffer).is_ok() {}
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Ok(Self {
            names,
            stop,
            thread,
        })
    }

    /// Where to send to.
    pub fn names(&self) -> &[libc::sockaddr_in] {
        &self.names
    }

    pub fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the reader panicked".into())
    }
}

/// Gives all datagrams to the kernel in one call; with segmentation, those in a row to one address
/// and of one size, the last of which may be smaller, as one message.
pub fn send_batch(
    socket: &UdpSocket,
    batch: &mut [(libc::sockaddr_in, Vec<u8>)],
    is_segmented: bool,
) -> Result<()> {
    let mut vectors: Vec<libc::iovec> = batch
        .iter_mut()
        .map(|(_, data)| libc::iovec {
            iov_base: data.as_mut_ptr().cast(),
            iov_len: data.len(),
        })
        .collect();
    let mut controls = vec![[0_u64; 4]; batch.len()];
    let mut messages = Vec::with_capacity(batch.len());
    let mut start = 0;
    while start < batch.len() {
        let size = batch[start].1.len();
        let address = |i: usize| (batch[i].0.sin_port, batch[i].0.sin_addr.s_addr);
        let mut end = start + 1;
        while is_segmented && end < batch.len() && batch[end - 1].1.len() == size {
            if address(end) != address(start) || batch[end].1.len() > size {
                break;
            }
            end += 1;
        }
        // SAFETY: all-zero bytes are a valid mmsghdr.
        let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
        let header = &mut message.msg_hdr;
        header.msg_name = (&raw mut batch[start].0).cast();
        header.msg_namelen = size_of::<libc::sockaddr_in>() as _;
        header.msg_iov = &mut vectors[start];
        header.msg_iovlen = (end - start) as _;
        if end - start > 1 {
            header.msg_control = controls[start].as_mut_ptr().cast();
            header.msg_controllen = size_of::<[u64; 4]>() as _;
            // SAFETY: the control buffer is zeroed, aligned, and larger than the one entry.
            unsafe {
                let control = libc::CMSG_FIRSTHDR(header);
                (*control).cmsg_level = libc::SOL_UDP;
                (*control).cmsg_type = libc::UDP_SEGMENT;
                (*control).cmsg_len = libc::CMSG_LEN(size_of::<u16>() as _) as _;
                std::ptr::write_unaligned(libc::CMSG_DATA(control).cast(), size as u16);
                header.msg_controllen = libc::CMSG_SPACE(size_of::<u16>() as _) as _;
            }
        }
        messages.push(message);
        start = end;
    }
    let mut sent = 0;
    while sent < messages.len() {
        let rest = &mut messages[sent..];
        // SAFETY: every pointer leads to a buffer that outlives the call, with its true length.
        let done =
            unsafe { libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), rest.len() as u32, 0) };
        if done < 0 {
            return Err(std::io::Error::last_os_error().into());
        }
        sent += done as usize;
    }
    Ok(())
}

/// CPU time of sending so many datagrams of a size to so many sockets in turn, `at_once` in a row to
/// each, by segmentation if that is more than one. The sockets are read by another thread.
pub fn send(count: u64, size: usize, sockets: usize, at_once: usize) -> Result<Duration> {
    let readers = Readers::start(sockets)?;
    let mut names = readers.names().to_vec();
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let fd = sender.as_raw_fd();
    if at_once > 1 {
        set_option(fd, libc::SOL_UDP, libc::UDP_SEGMENT, size as libc::c_int)?;
    }
    let mut payload = vec![0_u8; size * at_once];
    let mut vector = libc::iovec {
        iov_base: payload.as_mut_ptr().cast(),
        iov_len: payload.len(),
    };
    let (mut sent, mut spent) = (0, Duration::ZERO);
    let batch = 64 / at_once;
    while sent < count {
        let mut messages: Vec<libc::mmsghdr> = (0..batch)
            .map(|i| {
                // SAFETY: all-zero bytes are a valid mmsghdr.
                let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
                let name = &mut names[(sent as usize / at_once + i) % sockets];
                message.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
                message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as _;
                message.msg_hdr.msg_iov = &mut vector;
                message.msg_hdr.msg_iovlen = 1;
                message
            })
            .collect();
        let start = thread_cpu();
        // SAFETY: names, vector and payload outlive the call, with their true lengths.
        let done = unsafe { libc::sendmmsg(fd, messages.as_mut_ptr(), batch as u32, 0) };
        spent += thread_cpu() - start;
        sent += u64::try_from(done)? * at_once as u64;
        // Not faster than viewers read: a full socket drops, and costs less.
        if sent.is_multiple_of(64 * 8) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    readers.stop()?;
    Ok(spent)
}

fn name_of(address: SocketAddr) -> Result<libc::sockaddr_in> {
    let SocketAddr::V4(address) = address else {
        return Err("an IPv4 address was asked for".into());
    };
    // SAFETY: all-zero bytes are a valid sockaddr_in.
    let mut name: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    name.sin_family = libc::AF_INET as _;
    name.sin_port = address.port().to_be();
    name.sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
    Ok(name)
}

fn set_option(fd: RawFd, level: i32, option: i32, value: libc::c_int) -> Result<()> {
    let size = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the option's value is valid for its size.
    let set = unsafe { libc::setsockopt(fd, level, option, (&raw const value).cast(), size) };
    match set {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error().into()),
    }
}

/// Gives a socket room for what comes while its thread does not run, as far as that is allowed.
pub fn widen(socket: &UdpSocket) -> Result<()> {
    let fd = socket.as_raw_fd();
    let forced = set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, ROOM);
    forced.or_else(|_| set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, ROOM))
}

/// The same for what is sent.
pub fn widen_sending(socket: &UdpSocket) -> Result<()> {
    let fd = socket.as_raw_fd();
    set_option(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, ROOM)
}

/// Lets the kernel tell when datagrams come (socket(7), SO_TIMESTAMPNS).
pub fn stamp(socket: &UdpSocket) -> Result<()> {
    set_option(
        socket.as_raw_fd(),
        libc::SOL_SOCKET,
        libc::SO_TIMESTAMPNS,
        1,
    )
}

/// The next datagram, from where, and when it came in ns of the real-time clock.
pub fn receive(fd: RawFd) -> Result<Option<(Vec<u8>, SocketAddr, u64)>> {
    let mut data = vec![0_u8; 2048];
    let mut control = [0_u64; 16];
    let mut vector = libc::iovec {
        iov_base: data.as_mut_ptr().cast(),
        iov_len: data.len(),
    };
    // SAFETY: all-zero bytes are valid for both.
    let mut name: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_name = (&raw mut name).cast();
    message.msg_namelen = size_of::<libc::sockaddr_in>() as _;
    message.msg_iov = &mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // SAFETY: every pointer leads to a buffer that outlives the call, with its true length.
    let length = unsafe { libc::recvmsg(fd, &mut message, libc::MSG_DONTWAIT) };
    let Ok(length) = usize::try_from(length) else {
        return Ok(None);
    };
    data.truncate(length);
    // SAFETY: the kernel has filled the control buffer; the entry is checked before it is read.
    let at = unsafe {
        let first = libc::CMSG_FIRSTHDR(&message);
        if first.is_null() || (*first).cmsg_type != libc::SCM_TIMESTAMPNS {
            return Err("no timestamp".into());
        }
        std::ptr::read_unaligned(libc::CMSG_DATA(first).cast::<libc::timespec>())
    };
    let source = SocketAddr::from((
        name.sin_addr.s_addr.to_ne_bytes(),
        u16::from_be(name.sin_port),
    ));
    Ok(Some((
        data,
        source,
        at.tv_sec as u64 * 1_000_000_000 + at.tv_nsec as u64,
    )))
}

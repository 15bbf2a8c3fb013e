//! One client's TCP connection, with TLS or without: a bounded queue out, and deadlines. No call
//! blocks.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use icey_turn::FiveTuple;
use icey_turn::framing::Framer;
use icey_udp::set_option;
use rustls::ServerConnection;

/// Bytes that wait for the client, payloads of peers among them: half a second at 4 Mb/s. Then the
/// newest payloads are dropped, which is what a network would do.
const MAX_DATA: usize = 256 << 10;

/// Bytes that wait, answers among them. A client that asks on and on and reads nothing is dropped.
const MAX_QUEUE: usize = MAX_DATA + (32 << 10);

/// The kernel's own queue, in bytes: what waits there can no longer be dropped.
const UNSENT_BYTES: libc::c_int = 64 << 10;

/// How long a client may take to say what TLS it speaks.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long a connection may be there without an allocation.
const WITHOUT_ALLOCATION: Duration = Duration::from_secs(30);

/// How long a client may read nothing at all, and how long too little.
const MAX_STALL: Duration = Duration::from_secs(10);
const MAX_CONGESTION: Duration = Duration::from_secs(30);

/// What a client without an allocation may send before a message is whole, in bytes. Requests are
/// far below; a whole frame of 64 KiB would be remembered for somebody unknown.
const MAX_PARTIAL: usize = 4096;

/// One connection.
pub struct Connection {
    socket: TcpStream,
    tls: Option<Box<ServerConnection>>,
    pub tuple: FiveTuple,
    /// What was read of a message that is not whole yet.
    pub framer: Framer,
    /// Allocations on it: 0 or 1.
    pub relays: usize,
    queue: Vec<u8>,
    written: usize,
    opened: Instant,
    /// Since when there is no allocation.
    idle: Instant,
    /// Since when the kernel takes nothing, though something waits.
    stalled: Option<Instant>,
    /// Since when payloads are dropped, without the queue having been empty.
    congested: Option<Instant>,
    /// Bytes read since the last whole message.
    partial: usize,
    is_broken: bool,
}

impl Connection {
    pub fn new(
        socket: TcpStream,
        tls: Option<ServerConnection>,
        tuple: FiveTuple,
        now: Instant,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        // The kernel says "full" with so much unsent (tcp(7)).
        set_option(
            &socket,
            libc::IPPROTO_TCP,
            libc::TCP_NOTSENT_LOWAT,
            UNSENT_BYTES,
        )?;
        Ok(Self {
            socket,
            tls: tls.map(Box::new),
            tuple,
            framer: Framer::new(),
            relays: 0,
            queue: Vec::new(),
            written: 0,
            opened: now,
            idle: now,
            stalled: None,
            congested: None,
            partial: 0,
            is_broken: false,
        })
    }

    /// Reads what is there, up to `into`; 0 at the end of the stream. `budget` is how often the
    /// kernel may be asked: with it used up, or with nothing there, the error is `WouldBlock`.
    pub fn read(&mut self, into: &mut [u8], budget: &mut usize) -> io::Result<usize> {
        loop {
            // What TLS has decrypted comes first: the kernel will not tell of it again.
            if let Some(tls) = &mut self.tls {
                match tls.reader().read(into) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    done => return self.count(done),
                }
            }
            *budget = budget.checked_sub(1).ok_or(ErrorKind::WouldBlock)?;
            let Some(tls) = &mut self.tls else {
                let done = self.socket.read(into);
                return self.count(done);
            };
            if tls.read_tls(&mut self.socket)? == 0 {
                return Ok(0);
            }
            if let Err(error) = tls.process_new_packets() {
                // The client is told why, if it listens; the connection ends in any case.
                let _ = tls.write_tls(&mut self.socket);
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
        }
    }

    fn count(&mut self, done: io::Result<usize>) -> io::Result<usize> {
        self.partial += *done.as_ref().unwrap_or(&0);
        done
    }

    /// A whole message was read.
    pub fn message_read(&mut self) {
        self.partial = 0;
    }

    /// Puts an answer in line.
    pub fn send(&mut self, message: &[u8]) {
        if self.pending() + message.len() > MAX_QUEUE {
            self.is_broken = true;
            return;
        }
        self.queue.extend_from_slice(message);
    }

    /// Puts a payload in line, with what goes before and behind it; `false` if it was dropped, which
    /// it is only if the kernel does not take what waits either.
    pub fn send_data(&mut self, parts: [&[u8]; 3], now: Instant) -> bool {
        let size: usize = parts.iter().map(|part| part.len()).sum();
        let is_full = |connection: &Self| connection.pending() + size > MAX_DATA;
        // An error shows again at the next flush, whose business it is.
        if is_full(self) && (self.flush(now).is_err() || is_full(self)) {
            self.congested.get_or_insert(now);
            return false;
        }
        for part in parts {
            self.queue.extend_from_slice(part);
        }
        true
    }

    /// Writes what waits, as far as the kernel takes it.
    pub fn flush(&mut self, now: Instant) -> io::Result<()> {
        let before = self.pending();
        let done = match &mut self.tls {
            None => write_all(&mut self.socket, &self.queue, &mut self.written),
            Some(tls) => write_tls(tls, &mut self.socket, &self.queue, &mut self.written),
        };
        match done {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            done => done?,
        }
        if !self.wants_write() {
            self.stalled = None;
            self.congested = None;
        } else if self.pending() < before {
            self.stalled = Some(now);
        } else {
            self.stalled.get_or_insert(now);
        }
        if self.written == self.queue.len() {
            self.queue.clear();
            self.queue.shrink_to(MAX_PARTIAL);
            self.written = 0;
        } else if self.written > MAX_QUEUE {
            self.queue.drain(..self.written);
            self.written = 0;
        }
        Ok(())
    }

    /// Whether something waits for the kernel to have room.
    pub fn wants_write(&self) -> bool {
        self.pending() > 0 || self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    fn pending(&self) -> usize {
        self.queue.len() - self.written
    }

    /// The allocation has ended, or a new one was made.
    pub fn set_relays(&mut self, relays: usize, now: Instant) {
        self.relays = relays;
        self.idle = now;
    }

    /// Whether one of the client's deadlines or bounds is passed.
    pub fn is_over(&self, now: Instant) -> bool {
        let older = |since: Instant, limit: Duration| now.saturating_duration_since(since) >= limit;
        let is_late = |since: Option<Instant>, limit| since.is_some_and(|at| older(at, limit));
        let is_handshaking = self.tls.as_ref().is_some_and(|tls| tls.is_handshaking());
        self.is_broken
            || is_handshaking && older(self.opened, HANDSHAKE)
            || self.relays == 0 && older(self.idle, WITHOUT_ALLOCATION)
            || self.relays == 0 && self.partial > MAX_PARTIAL
            || is_late(self.stalled, MAX_STALL)
            || is_late(self.congested, MAX_CONGESTION)
    }

    /// Says goodbye, if that can be done without waiting.
    pub fn close(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            // Nobody has to hear it: the end of the stream follows.
            let _ = tls.write_tls(&mut self.socket);
        }
    }
}

impl AsRawFd for Connection {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

fn write_all(to: &mut impl Write, bytes: &[u8], written: &mut usize) -> io::Result<()> {
    while *written < bytes.len() {
        match to.write(&bytes[*written..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => *written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// TLS takes a bounded amount and makes records of it; both steps go on until one is stuck.
fn write_tls(
    tls: &mut ServerConnection,
    socket: &mut TcpStream,
    bytes: &[u8],
    written: &mut usize,
) -> io::Result<()> {
    loop {
        if *written < bytes.len() && !tls.is_handshaking() {
            *written += tls.writer().write(&bytes[*written..])?;
        }
        if !tls.wants_write() {
            return Ok(());
        }
        while tls.wants_write() {
            tls.write_tls(socket)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use icey_turn::Transport;

    use super::*;

    /// A connection and the client's end of it.
    fn pair(now: Instant) -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let client = TcpStream::connect(address).expect("connected");
        let (socket, remote) = listener.accept().expect("accepted");
        let tuple = FiveTuple {
            transport: Transport::Tcp,
            local: address,
            remote,
        };
        let connection = Connection::new(socket, None, tuple, now).expect("options are set");
        (connection, client)
    }

    #[test]
    fn a_client_that_reads_nothing_is_bounded_and_then_given_up() {
        let start = Instant::now();
        let (mut connection, _client) = pair(start);
        connection.set_relays(1, start);
        let payload = [0; 1200];
        let mut dropped = 0;
        // More than all queues of the kernel and ours together.
        for _ in 0..20_000 {
            if !connection.send_data([&[0; 4], &payload, &[]], start) {
                dropped += 1;
            }
            connection.flush(start).expect("only full");
        }
        assert!(dropped > 0);
        assert!(connection.pending() <= MAX_DATA);
        assert!(!connection.is_over(start + MAX_STALL / 2));
        assert!(connection.is_over(start + MAX_STALL));
        let now = start + Duration::from_secs(1);
        for _ in 0..1000 {
            connection.send(&[0; 100]);
        }
        assert!(connection.pending() <= MAX_QUEUE);
        assert!(connection.is_over(now), "answers may not pile up either");
    }

    #[test]
    fn what_was_queued_arrives_in_order_once_the_client_reads() {
        let now = Instant::now();
        let (mut connection, mut client) = pair(now);
        let mut expected = Vec::new();
        for n in 0..=255_u8 {
            let body = [n; 1000];
            if connection.send_data([&[n], &body, &[n]], now) {
                expected.extend_from_slice(&[n; 1002]);
            }
            connection.flush(now).expect("only full");
        }
        client
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("a timeout");
        let mut seen = vec![0; expected.len()];
        let mut at = 0;
        while at < seen.len() {
            connection.flush(now).expect("only full");
            at += client.read(&mut seen[at..]).expect("bytes");
        }
        assert!(seen == expected);
        assert!(!connection.wants_write());
    }

    #[test]
    fn a_stranger_has_thirty_seconds_and_four_kilobytes() {
        let start = Instant::now();
        let (mut connection, mut client) = pair(start);
        assert!(!connection.is_over(start + WITHOUT_ALLOCATION / 2));
        assert!(connection.is_over(start + WITHOUT_ALLOCATION));
        client.write_all(&[0; MAX_PARTIAL + 1]).expect("sent");
        let mut buffer = [0; 1024];
        let mut read = 0;
        while read <= MAX_PARTIAL {
            let mut budget = 1;
            match connection.read(&mut buffer, &mut budget) {
                Ok(count) => read += count,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        assert!(connection.is_over(start));
        connection.message_read();
        assert!(!connection.is_over(start));
    }
}

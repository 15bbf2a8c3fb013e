//! Which sockets the thread waits for, and what it knows them by.
//!
//! `mio` tells each change once (edge-triggered): what is not read to its end has to be remembered.

use std::io;
use std::os::fd::AsRawFd;

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

/// A descriptor of the server. The numbers of relays and connections are never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketId {
    Wake,
    Udp,
    Tcp,
    Tls,
    Relay(usize),
    Connection(usize),
}

/// The bits of a token that say what kind of descriptor it is.
const KIND_BITS: u32 = 3;

impl From<SocketId> for Token {
    fn from(id: SocketId) -> Self {
        let (kind, number) = match id {
            SocketId::Wake => (0, 0),
            SocketId::Udp => (1, 0),
            SocketId::Tcp => (2, 0),
            SocketId::Tls => (3, 0),
            SocketId::Relay(number) => (4, number),
            SocketId::Connection(number) => (5, number),
        };
        Self(number << KIND_BITS | kind)
    }
}

impl From<Token> for SocketId {
    fn from(token: Token) -> Self {
        let number = token.0 >> KIND_BITS;
        match token.0 & ((1 << KIND_BITS) - 1) {
            0 => Self::Wake,
            1 => Self::Udp,
            2 => Self::Tcp,
            3 => Self::Tls,
            4 => Self::Relay(number),
            _ => Self::Connection(number),
        }
    }
}

/// What may be done with a socket now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    pub id: SocketId,
    /// Also when it failed or was closed: reading tells which.
    pub readable: bool,
    pub writable: bool,
}

impl Ready {
    /// There may be something to read.
    pub fn to_read(id: SocketId) -> Self {
        Self {
            id,
            readable: true,
            writable: false,
        }
    }
}

impl From<&Event> for Ready {
    fn from(event: &Event) -> Self {
        Self {
            id: event.token().into(),
            readable: event.is_readable() || event.is_error() || event.is_read_closed(),
            writable: event.is_writable(),
        }
    }
}

/// What a socket is watched for. UDP tells of room to write after each datagram, so it is asked only
/// where there is none; TCP tells of it only after it was full.
pub const READ: Interest = Interest::READABLE;
pub const READ_AND_WRITE: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// The sockets that are waited for. A closed one leaves by itself.
#[derive(Debug)]
pub struct Watcher(pub Registry);

impl Watcher {
    pub fn add(&self, socket: &dyn AsRawFd, id: SocketId, interest: Interest) -> io::Result<()> {
        let fd = socket.as_raw_fd();
        self.0.register(&mut SourceFd(&fd), id.into(), interest)
    }

    /// Says what a socket that was added is watched for.
    pub fn change(&self, socket: &dyn AsRawFd, id: SocketId, interest: Interest) {
        let fd = socket.as_raw_fd();
        // It fails for a descriptor that is not in the set, which was put there when it was made.
        let _ = self.0.reregister(&mut SourceFd(&fd), id.into(), interest);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use icey_udp::Wake;
    use mio::{Events, Poll};

    use super::*;

    #[test]
    fn a_token_names_its_socket() {
        for id in [
            SocketId::Wake,
            SocketId::Udp,
            SocketId::Tcp,
            SocketId::Tls,
            SocketId::Relay(0),
            SocketId::Relay(1 << 20),
            SocketId::Connection(7),
        ] {
            assert_eq!(SocketId::from(Token::from(id)), id);
        }
    }

    #[test]
    fn a_ready_socket_is_told_once_until_something_is_new() {
        let mut poll = Poll::new().expect("an epoll");
        let watcher = Watcher(poll.registry().try_clone().expect("a copy"));
        let wake = Wake::new().expect("an eventfd");
        let mut events = Events::with_capacity(8);
        let mut told = || -> Vec<Ready> {
            let no_wait = Some(Duration::ZERO);
            poll.poll(&mut events, no_wait).expect("no signal");
            events.iter().map(Ready::from).collect()
        };
        watcher.add(&wake, SocketId::Relay(7), READ).expect("added");
        assert_eq!(told(), []);
        for _ in 0..2 {
            wake.raise();
            assert_eq!(told(), [Ready::to_read(SocketId::Relay(7))]);
            assert_eq!(told(), []);
        }
        watcher.change(&wake, SocketId::Relay(7), READ_AND_WRITE);
        assert!(told()[0].writable);
    }
}

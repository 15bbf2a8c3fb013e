//! Waiting for a socket, a wake and the clock (ppoll(2)), level-triggered: what is not read now is
//! told again, so that a busy socket can be left for the timers.
//!
//! `mio` waits in whole milliseconds (epoll_wait(2)). The pacer's deadlines are nearer than that:
//! rounded up they would take the rate away that it paces at.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use crate::socket::Socket;
use crate::wake::Wake;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readiness {
    pub readable: bool,
    pub writable: bool,
    pub woken: bool,
}

/// Waits until the socket is readable (or writable, if that is wanted) or the flag is raised, at
/// most so long.
pub fn wait(socket: &Socket, want_write: bool, wake: &Wake, timeout: Duration) -> Readiness {
    let mut events = PollFlags::POLLIN;
    events.set(PollFlags::POLLOUT, want_write);
    let mut polled = [
        PollFd::new(socket.as_fd(), events),
        PollFd::new(wake.as_fd(), PollFlags::POLLIN),
    ];
    // On failure (EINTR) no bit is set, which is a round without work.
    let _ = ppoll(&mut polled, Some(TimeSpec::from_duration(timeout)), None);
    let seen = |i: usize, flags| {
        let revents = polled[i].revents();
        revents.is_some_and(|revents: PollFlags| revents.intersects(flags))
    };
    Readiness {
        // An error on the socket is picked up by reading.
        readable: seen(0, PollFlags::POLLIN | PollFlags::POLLERR),
        writable: seen(0, PollFlags::POLLOUT),
        woken: seen(1, PollFlags::POLLIN),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};

    use super::*;

    const NOTHING: Readiness = Readiness {
        readable: false,
        writable: false,
        woken: false,
    };

    #[test]
    fn the_flag_is_told_from_raise_to_lower_and_the_socket_until_it_is_read() {
        let socket = Socket::bind(Ipv4Addr::LOCALHOST.into(), 0).expect("a free port");
        let wake = Wake::new().expect("an eventfd");
        let now = |want_write| wait(&socket, want_write, &wake, Duration::ZERO);
        assert_eq!(now(false), NOTHING);
        wake.raise();
        wake.raise();
        let woken = Readiness {
            woken: true,
            ..NOTHING
        };
        assert_eq!((now(false), now(false)), (woken, woken));
        wake.lower();
        assert_eq!(now(false), NOTHING);
        wake.lower();
        let writable = Readiness {
            writable: true,
            ..NOTHING
        };
        assert_eq!(now(true), writable);
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let to = (Ipv4Addr::LOCALHOST, socket.port());
        sender.send_to(b"hello", to).expect("sent");
        let readable = Readiness {
            readable: true,
            ..NOTHING
        };
        assert_eq!((now(false), now(false)), (readable, readable));
    }
}

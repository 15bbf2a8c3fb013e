//! Waiting for many descriptors at once (epoll(7)), level-triggered: what is not read now is told
//! again, so that one busy descriptor can be left for the others.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Descriptors told of in one call.
const MAX_EVENTS: usize = 128;

/// A set of descriptors, each known by a number. A closed descriptor leaves it by itself.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

/// What may be done with a descriptor now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    pub token: u64,
    /// Also when it failed or was closed: reading tells which.
    pub readable: bool,
    pub writable: bool,
}

impl Epoll {
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointer is passed; the result is checked before it is owned.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` is open and belongs to nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Watches a descriptor for reading.
    pub fn add(&self, fd: RawFd, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, libc::EPOLLIN, token)
    }

    /// Says what a watched descriptor is watched for.
    pub fn modify(&self, fd: RawFd, token: u64, read: bool, write: bool) -> io::Result<()> {
        let events = if read { libc::EPOLLIN } else { 0 } | if write { libc::EPOLLOUT } else { 0 };
        self.control(libc::EPOLL_CTL_MOD, fd, events, token)
    }

    fn control(
        &self,
        operation: libc::c_int,
        fd: RawFd,
        events: libc::c_int,
        token: u64,
    ) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: events as u32,
            u64: token,
        };
        // SAFETY: `event` is valid during the call.
        if unsafe { libc::epoll_ctl(self.0.as_raw_fd(), operation, fd, &mut event) } == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Waits, at most so long (rounded up to a millisecond), and tells what is ready. A signal ends
    /// the wait with nothing.
    pub fn wait(&self, timeout: Duration, ready: &mut Vec<Ready>) {
        ready.clear();
        // SAFETY: all-zero bytes are a valid epoll_event.
        let mut events: [libc::epoll_event; MAX_EVENTS] = unsafe { mem::zeroed() };
        let milliseconds = timeout.as_micros().div_ceil(1000).min(60_000) as libc::c_int;
        // SAFETY: `events` has room for as many as are asked for.
        let count = unsafe {
            libc::epoll_wait(
                self.0.as_raw_fd(),
                events.as_mut_ptr(),
                MAX_EVENTS as libc::c_int,
                milliseconds,
            )
        };
        for event in &events[..usize::try_from(count).unwrap_or(0)] {
            let flags = event.events as libc::c_int;
            ready.push(Ready {
                token: event.u64,
                readable: flags & (libc::EPOLLIN | libc::EPOLLERR | libc::EPOLLHUP) != 0,
                writable: flags & libc::EPOLLOUT != 0,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::wake::Wake;

    #[test]
    fn a_ready_descriptor_is_told_by_its_number_until_it_is_read() {
        let (epoll, wake) = (
            Epoll::new().expect("an epoll"),
            Wake::new().expect("an eventfd"),
        );
        let mut ready = Vec::new();
        epoll.add(wake.fd(), 7).expect("added");
        epoll.wait(Duration::ZERO, &mut ready);
        assert_eq!(ready, []);
        wake.raise();
        let told = Ready {
            token: 7,
            readable: true,
            writable: false,
        };
        for _ in 0..2 {
            epoll.wait(Duration::from_secs(5), &mut ready);
            assert_eq!(ready, [told]);
        }
        epoll
            .modify(wake.fd(), 7, false, true)
            .expect("an eventfd can be written to");
        epoll.wait(Duration::from_secs(5), &mut ready);
        assert!(ready[0].writable && !ready[0].readable);
    }
}

//! An eventfd (eventfd(2)): a flag that one thread raises and another one polls.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// A flag behind a file descriptor.
#[derive(Debug)]
pub struct Wake(OwnedFd);

impl Wake {
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointer is passed; the result is checked before it is owned.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` is open and belongs to nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The descriptor: readable while the flag is raised.
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Raises the flag. If the counter is full it is raised already, so failing is no failure.
    pub fn raise(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: the buffer is valid for its length.
        unsafe { libc::write(self.fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Lowers the flag. If it is down already, reading fails with EAGAIN and nothing is to do.
    pub fn lower(&self) {
        let mut count = [0_u8; 8];
        // SAFETY: the buffer is valid for its length.
        unsafe { libc::read(self.fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_readable(wake: &Wake) -> bool {
        let mut poll = libc::pollfd {
            fd: wake.fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one valid pollfd.
        unsafe { libc::poll(&mut poll, 1, 0) == 1 }
    }

    #[test]
    fn the_flag_is_up_from_raise_to_lower() {
        let wake = Wake::new().expect("an eventfd");
        assert!(!is_readable(&wake));
        wake.raise();
        wake.raise();
        assert!(is_readable(&wake));
        wake.lower();
        assert!(!is_readable(&wake));
        wake.lower();
    }
}

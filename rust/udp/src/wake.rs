//! A flag that one thread raises and another one waits for (eventfd(2)).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::sys::eventfd::{EfdFlags, EventFd};

/// A flag behind a file descriptor, which is readable while the flag is raised.
#[derive(Debug)]
pub struct Wake(EventFd);

impl Wake {
    pub fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        Ok(Self(EventFd::from_flags(flags)?))
    }

    /// Raises the flag.
    pub fn raise(&self) {
        // It fails where the counter is full, and the flag is raised then.
        let _ = self.0.write(1);
    }

    /// Lowers the flag.
    pub fn lower(&self) {
        // It fails with EAGAIN where the flag is down already.
        let _ = self.0.read();
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// For a loop that is not ours.
impl AsRawFd for Wake {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

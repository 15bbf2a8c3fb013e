//! A thread that its owner joins once.

use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use crate::error::OpenError;

/// A thread of packets.
#[derive(Debug)]
pub struct IoThread(Mutex<Option<JoinHandle<()>>>);

impl IoThread {
    /// Starts a thread; `name` is what `top` shows.
    pub fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<Self, OpenError> {
        let thread = Builder::new()
            .name(name.into())
            .spawn(run)
            .map_err(|error| OpenError::system("no thread", &error))?;
        Ok(Self(Mutex::new(Some(thread))))
    }

    /// Calls `stop`, which must make the thread end, and waits for that. Only the first call does
    /// anything.
    pub fn end(&self, stop: impl FnOnce()) {
        let thread = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            stop();
            // A panic of the thread was printed by its hook; what it owned is freed.
            let _ = thread.join();
        }
    }
}

//! One direction of the short cut: datagrams in one buffer that both sides swap, so that none costs
//! an allocation.

use std::mem;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// What may wait in a lane. Both threads come by within milliseconds: this is for a bad moment.
pub(crate) const MAX_DATAGRAMS: usize = 8192;
const MAX_BYTES: usize = 8 << 20;

/// Buffers that a burst made larger are given back.
const KEPT_BYTES: usize = 256 << 10;

/// Datagrams between the engine and relayed addresses, in one buffer.
#[derive(Debug, Default)]
pub struct RelayedBatch {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    local: SocketAddr,
    remote: SocketAddr,
    range: Range<usize>,
}

impl RelayedBatch {
    /// The datagrams, oldest first: the engine's address, the relayed address, the bytes.
    pub fn iter(&self) -> impl Iterator<Item = (SocketAddr, SocketAddr, &[u8])> {
        self.entries
            .iter()
            .map(|entry| (entry.local, entry.remote, &self.bytes[entry.range.clone()]))
    }

    fn push(&mut self, local: SocketAddr, remote: SocketAddr, data: &[u8]) -> bool {
        let start = self.bytes.len();
        if self.entries.len() >= MAX_DATAGRAMS || start + data.len() > MAX_BYTES {
            return false;
        }
        self.bytes.extend_from_slice(data);
        self.entries.push(Entry {
            local,
            remote,
            range: start..self.bytes.len(),
        });
        true
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.entries.shrink_to(KEPT_BYTES / mem::size_of::<Entry>());
    }
}

/// A poisoned lock is taken all the same: every change under it leaves a whole batch.
#[derive(Debug, Default)]
pub(crate) struct Lane(Mutex<RelayedBatch>);

impl Lane {
    /// Adds a datagram; `false` if there is no room.
    pub fn push(&self, local: SocketAddr, remote: SocketAddr, data: &[u8]) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(local, remote, data)
    }

    /// Takes what waits.
    pub fn take(&self, into: &mut RelayedBatch) {
        into.clear();
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.entries.is_empty() {
            mem::swap(&mut *waiting, into);
        }
    }
}

//! The way between the engine and the TURN server of the same process: no socket, no kernel.
//!
//! What a client sends through its allocation to the engine's own address waits in one lane until
//! the engine's thread comes by, and what the engine sends to a relayed address in the other. A
//! lane is one buffer that both sides swap, so that no datagram costs an allocation.

use std::collections::HashSet;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::io::wake::Wake;

/// What may wait in a lane. Both threads come by within milliseconds: this is for a bad moment.
const MAX_DATAGRAMS: usize = 8192;
const MAX_BYTES: usize = 8 << 20;

/// Buffers that a burst made larger are given back.
const KEPT_BYTES: usize = 256 << 10;

/// Datagrams on their way, in one buffer.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    local: SocketAddr,
    remote: SocketAddr,
    range: Range<usize>,
}

impl Batch {
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

/// One direction.
#[derive(Debug, Default)]
struct Lane(Mutex<Batch>);

impl Lane {
    fn push(&self, local: SocketAddr, remote: SocketAddr, data: &[u8]) -> bool {
        lock(&self.0).push(local, remote, data)
    }

    fn take(&self, into: &mut Batch) {
        into.clear();
        let mut waiting = lock(&self.0);
        if !waiting.entries.is_empty() {
            mem::swap(&mut *waiting, into);
        }
    }
}

/// Both directions, and which relayed addresses there are.
#[derive(Debug)]
pub struct ShortCut {
    to_engine: Lane,
    to_turn: Lane,
    relayed: Mutex<Arc<HashSet<SocketAddr>>>,
    /// Grows with every change of `relayed`.
    generation: AtomicU64,
    taken: AtomicBool,
    /// Wakes the TURN server's thread.
    pub wake: Wake,
}

impl ShortCut {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            to_engine: Lane::default(),
            to_turn: Lane::default(),
            relayed: Mutex::default(),
            generation: AtomicU64::new(0),
            taken: AtomicBool::new(false),
            wake: Wake::new()?,
        })
    }

    /// Makes the caller the engine's TURN server; `false` if it has one.
    pub fn claim(&self) -> bool {
        !self.taken.swap(true, Ordering::AcqRel)
    }

    /// Undoes [`ShortCut::claim`].
    pub fn release(&self) {
        self.publish(HashSet::new());
        let mut left = Batch::default();
        self.to_turn.take(&mut left);
        self.taken.store(false, Ordering::Release);
    }

    /// Tells the engine which addresses are relayed ones.
    pub fn publish(&self, relayed: HashSet<SocketAddr>) {
        *lock(&self.relayed) = Arc::new(relayed);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Hands a datagram of an allocation to the engine; `false` if there is no room. The engine
    /// has to be woken afterwards.
    pub fn to_engine(&self, local: SocketAddr, remote: SocketAddr, data: &[u8]) -> bool {
        self.to_engine.push(local, remote, data)
    }

    /// Takes what waits for the engine.
    pub fn take_for_engine(&self, into: &mut Batch) {
        self.to_engine.take(into);
    }

    /// Takes what waits for the TURN server.
    pub fn take_for_turn(&self, into: &mut Batch) {
        self.to_turn.take(into);
    }
}

/// What became of a datagram of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is for somebody else.
    No,
    Yes,
    /// It was for an allocation, and there was no room.
    Dropped,
}

/// The engine's end: looks at everything that it sends, so it costs one atomic read where nothing
/// is relayed, and no lock where something is.
#[derive(Debug)]
pub struct EngineEnd {
    short_cut: Arc<ShortCut>,
    generation: u64,
    relayed: Arc<HashSet<SocketAddr>>,
    has_pushed: bool,
}

impl EngineEnd {
    pub fn new(short_cut: Arc<ShortCut>) -> Self {
        Self {
            short_cut,
            generation: 0,
            relayed: Arc::default(),
            has_pushed: false,
        }
    }

    /// Takes a datagram that is for a relayed address.
    pub fn send(&mut self, local: SocketAddr, remote: SocketAddr, data: &[u8]) -> Taken {
        let generation = self.short_cut.generation.load(Ordering::Acquire);
        if generation != self.generation {
            self.generation = generation;
            self.relayed = lock(&self.short_cut.relayed).clone();
        }
        if self.relayed.is_empty() || !self.relayed.contains(&remote) {
            return Taken::No;
        }
        if !self.short_cut.to_turn.push(local, remote, data) {
            return Taken::Dropped;
        }
        self.has_pushed = true;
        Taken::Yes
    }

    /// Wakes the TURN server if something waits for it.
    pub fn flush(&mut self) {
        if mem::take(&mut self.has_pushed) {
            self.short_cut.wake.raise();
        }
    }
}

/// A poisoned lock is taken all the same: every change under these locks leaves a whole value.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    #[test]
    fn only_relayed_addresses_take_the_short_cut() {
        let short_cut = Arc::new(ShortCut::new().expect("an eventfd"));
        let mut end = EngineEnd::new(short_cut.clone());
        assert_eq!(end.send(address(1), address(50_000), b"a"), Taken::No);
        short_cut.publish([address(50_000)].into());
        assert_eq!(end.send(address(1), address(50_000), b"a"), Taken::Yes);
        assert_eq!(end.send(address(1), address(50_001), b"b"), Taken::No);
        let mut batch = Batch::default();
        short_cut.take_for_turn(&mut batch);
        assert_eq!(
            batch.iter().collect::<Vec<_>>(),
            [(address(1), address(50_000), &b"a"[..])]
        );
        short_cut.release();
        assert_eq!(end.send(address(1), address(50_000), b"c"), Taken::No);
    }

    #[test]
    fn a_lane_that_nobody_empties_is_full_and_says_so() {
        let short_cut = ShortCut::new().expect("an eventfd");
        let pushed = (0..MAX_DATAGRAMS + 5)
            .filter(|_| short_cut.to_engine(address(1), address(2), b"datagram"))
            .count();
        assert_eq!(pushed, MAX_DATAGRAMS);
        let mut batch = Batch::default();
        short_cut.take_for_engine(&mut batch);
        assert_eq!(batch.iter().count(), MAX_DATAGRAMS);
        assert!(short_cut.to_engine(address(1), address(2), b"room again"));
        short_cut.take_for_engine(&mut batch);
        assert_eq!(
            batch.iter().map(|entry| entry.2).collect::<Vec<_>>(),
            [b"room again"]
        );
    }

    #[test]
    fn an_engine_has_one_turn_server_at_a_time() {
        let short_cut = ShortCut::new().expect("an eventfd");
        assert!(short_cut.claim());
        assert!(!short_cut.claim());
        short_cut.release();
        assert!(short_cut.claim());
    }
}

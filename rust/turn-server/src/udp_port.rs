//! A UDP socket of the server, and what waits to be sent from it.

use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use icey_udp::{SendLimits, SendQueue, Socket};

use crate::watch::{READ, READ_AND_WRITE, SocketId, Watcher};

/// What waits while the kernel takes none: then the newest are dropped.
const LIMITS: SendLimits = SendLimits {
    datagrams: 2048,
    bytes: 2 << 20,
    burst: 512,
};

/// See the module.
#[derive(Debug)]
pub struct UdpPort {
    pub socket: Arc<Socket>,
    id: SocketId,
    queue: SendQueue,
    /// Watched for becoming writable.
    watched: bool,
    /// Thrown away: no room here, or refused by the kernel.
    dropped: u64,
}

impl UdpPort {
    /// `id` is what a watcher is to know the socket by.
    pub fn new(socket: Arc<Socket>, id: SocketId) -> Self {
        Self {
            socket,
            id,
            queue: SendQueue::new(LIMITS),
            watched: false,
            dropped: 0,
        }
    }

    /// Puts a datagram in line, put together from parts.
    pub fn push(&mut self, from: IpAddr, to: SocketAddr, parts: &[&[u8]]) {
        self.dropped += u64::from(!self.queue.push(from, to, parts));
        if self.queue.is_due() {
            self.write();
        }
    }

    /// Writes what waits, as far as the kernel takes it.
    pub fn write(&mut self) {
        self.dropped += self.queue.flush(&self.socket).refused;
    }

    /// The same, and lets the watcher tell when there is room for the rest.
    pub fn flush(&mut self, watcher: &Watcher) {
        self.write();
        let blocked = self.queue.is_blocked();
        if blocked != self.watched {
            self.watched = blocked;
            let interest = if blocked { READ_AND_WRITE } else { READ };
            watcher.change(&*self.socket, self.id, interest);
        }
    }

    /// Datagrams thrown away since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        mem::take(&mut self.dropped)
    }
}

//! The engine's way out: the socket, or the short cut for what is relayed.

use std::mem;
use std::sync::Arc;

use icey_udp::{EngineEnd, Handover, SendLimits, SendQueue, Socket};

use crate::core::context::{Datagram, Outbound};
use crate::id::PeerId;
use crate::stats::Counters;

/// Datagrams that wait while the socket is full: about 10 MB. They are written as soon as there are
/// enough for a call to the kernel.
const LIMITS: SendLimits = SendLimits {
    datagrams: 8192,
    bytes: usize::MAX,
    burst: 64,
};

/// The outgoing side of the engine.
///
/// While the kernel takes none, datagrams wait; when too many wait, the newest are dropped and
/// counted, and [`DatagramSender::take_dropped`] says whose they were.
pub struct DatagramSender {
    socket: Arc<Socket>,
    counters: Arc<Counters>,
    queue: SendQueue,
    dropped: Vec<PeerId>,
    /// Takes what is for allocations of the TURN server of this process.
    relayed: EngineEnd,
}

impl Outbound for DatagramSender {
    fn send(&mut self, datagram: Datagram) {
        let Datagram {
            peer,
            local,
            remote,
            payload,
        } = datagram;
        let taken = match self.relayed.send(local, remote, &payload) {
            Handover::NotRelayed => self.queue.push(local.ip(), remote, &[&payload]),
            Handover::Dropped => false,
            Handover::Taken => {
                self.count_sent(1, payload.len() as u64);
                true
            }
        };
        if !taken {
            Counters::add(&self.counters.packets_dropped, 1);
            if self.dropped.last() != Some(&peer) {
                self.dropped.push(peer);
            }
        } else if self.queue.is_due() {
            self.flush();
        }
    }
}

impl DatagramSender {
    pub fn new(socket: Arc<Socket>, counters: Arc<Counters>, relayed: EngineEnd) -> Self {
        Self {
            socket,
            counters,
            queue: SendQueue::new(LIMITS),
            dropped: Vec::new(),
            relayed,
        }
    }

    /// Whether datagrams wait for the kernel to have room.
    pub fn is_blocked(&self) -> bool {
        self.queue.is_blocked()
    }

    /// The peers that lost datagrams since the last call.
    pub fn take_dropped(&mut self) -> Vec<PeerId> {
        self.dropped.sort_unstable();
        self.dropped.dedup();
        mem::take(&mut self.dropped)
    }

    /// Writes what waits, as far as the kernel takes it. What it refuses for good is not counted as
    /// dropped: the path does not work, which ICE finds out by itself.
    pub fn flush(&mut self) {
        self.relayed.flush();
        let flushed = self.queue.flush(&self.socket);
        self.count_sent(flushed.sent, flushed.sent_bytes);
    }

    fn count_sent(&self, packets: u64, bytes: u64) {
        Counters::add(&self.counters.packets_sent, packets);
        Counters::add(&self.counters.bytes_sent, bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use icey_udp::{MediaAddresses, ShortCut, Wake};

    use super::*;

    fn sender() -> DatagramSender {
        let socket = Socket::bind(Ipv4Addr::UNSPECIFIED.into(), 0).expect("a free port");
        let wake = Arc::new(Wake::new().expect("an eventfd"));
        let short_cut = ShortCut::new(wake, MediaAddresses::default()).expect("an eventfd");
        DatagramSender::new(
            Arc::new(socket),
            Arc::default(),
            EngineEnd::new(Arc::new(short_cut)),
        )
    }

    #[test]
    fn what_is_sent_arrives_from_its_address_and_is_counted() {
        let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let timeout = Some(Duration::from_secs(5));
        receiver.set_read_timeout(timeout).expect("a timeout");
        let remote = receiver.local_addr().expect("bound");
        let mut sender = sender();
        // More than a burst: the first of them leave before the flush.
        for i in 0..80_u8 {
            sender.send(Datagram {
                peer: 1,
                local: (Ipv4Addr::LOCALHOST, 4501).into(),
                remote,
                payload: vec![i; 100],
            });
        }
        let sent = |sender: &DatagramSender| sender.counters.packets_sent.load(Ordering::Relaxed);
        assert_eq!(sent(&sender), 64);
        sender.flush();
        let mut buffer = [0; 128];
        for i in 0..80_u8 {
            let (length, from) = receiver.recv_from(&mut buffer).expect("a datagram");
            assert_eq!((length, from.ip()), (100, Ipv4Addr::LOCALHOST.into()));
            assert_eq!(buffer[0], i);
        }
        assert_eq!(sent(&sender), 80);
        let bytes = sender.counters.bytes_sent.load(Ordering::Relaxed);
        assert_eq!(bytes, 8000);
    }

    #[test]
    fn a_full_queue_drops_counts_and_says_whose() {
        let mut sender = sender();
        // A queue that the kernel does not empty.
        sender.queue = SendQueue::new(SendLimits {
            burst: usize::MAX,
            ..LIMITS
        });
        for _ in 0..LIMITS.datagrams + 3 {
            sender.send(Datagram {
                peer: 1,
                local: (Ipv4Addr::LOCALHOST, 4501).into(),
                remote: ([127, 0, 0, 1], 9).into(),
                payload: vec![0; 10],
            });
        }
        assert_eq!(sender.counters.packets_dropped.load(Ordering::Relaxed), 3);
        assert_eq!(sender.take_dropped(), [1]);
        assert!(sender.take_dropped().is_empty());
    }
}

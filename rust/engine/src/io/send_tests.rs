use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::*;
use crate::io::turn::short_cut::ShortCut;

fn datagram(remote: SocketAddr, size: usize, fill: u8) -> Datagram {
    Datagram {
        peer: 1,
        local: (Ipv4Addr::LOCALHOST, 4501).into(),
        remote,
        payload: vec![fill; size],
    }
}

fn sender() -> Sender {
    let socket = Socket::bind(Ipv4Addr::UNSPECIFIED.into(), 0).expect("a free port");
    let short_cut = Arc::new(ShortCut::new().expect("an eventfd"));
    Sender::new(Arc::new(socket), Arc::default(), EngineEnd::new(short_cut))
}

#[test]
fn datagrams_of_one_path_and_size_share_a_message() {
    let (a, b) = (([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into());
    let sizes = [
        (a, 100),
        (a, 100),
        (a, 50),
        (a, 100),
        (b, 100),
        (b, 200),
        (b, 200),
    ];
    let batch: Vec<Datagram> = sizes
        .iter()
        .map(|(remote, size)| datagram(*remote, *size, 0))
        .collect();
    assert_eq!(runs(&batch, true), [3, 1, 1, 2]);
    assert_eq!(runs(&batch, false), [1; 7]);
    let large: Vec<Datagram> = (0..64).map(|_| datagram(a, 1200, 0)).collect();
    assert_eq!(runs(&large, true), [50, 14]);
}

#[test]
fn every_datagram_arrives_whole_in_order_and_from_its_address() {
    let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    receiver
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("a timeout");
    let remote = receiver.local_addr().expect("bound");
    let mut sender = sender();
    let sizes = [1200, 1200, 1200, 700, 1200, 30, 1200, 1200];
    for (i, size) in sizes.into_iter().enumerate() {
        sender.send(datagram(remote, size, i as u8));
    }
    sender.flush();
    let mut buffer = [0; 2048];
    for (i, size) in sizes.into_iter().enumerate() {
        let (length, from) = receiver.recv_from(&mut buffer).expect("a datagram");
        assert_eq!(
            (length, from.ip().to_string().as_str()),
            (size, "127.0.0.1")
        );
        assert!(buffer[..length].iter().all(|byte| *byte == i as u8));
    }
    assert_eq!(sender.counters.packets_sent.load(Ordering::Relaxed), 8);
    assert_eq!(
        sender.counters.bytes_sent.load(Ordering::Relaxed),
        sizes.iter().sum::<usize>() as u64
    );
}

#[test]
fn an_impossible_destination_does_not_hold_up_the_others() {
    let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    receiver
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("a timeout");
    let mut sender = sender();
    let nowhere = datagram(([192, 0, 2, 1], 9).into(), 100, 1); // from 127.0.0.1: no route
    sender.send(nowhere);
    sender.send(datagram(receiver.local_addr().expect("bound"), 100, 2));
    sender.flush();
    assert_eq!(receiver.recv(&mut [0; 2048]).expect("a datagram"), 100);
}

#[test]
fn a_full_queue_drops_counts_and_says_whose() {
    let mut sender = sender();
    sender.full = true; // as after EAGAIN
    for _ in 0..MAX_QUEUE + 3 {
        sender.send(datagram(([127, 0, 0, 1], 9).into(), 10, 0));
    }
    assert_eq!(sender.counters.packets_dropped.load(Ordering::Relaxed), 3);
    assert_eq!(sender.take_dropped(), [1]);
    assert!(sender.take_dropped().is_empty());
}

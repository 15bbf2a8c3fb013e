//! The TURN server over real sockets, on the loopback: what the protocol's own tests cannot see.

mod turn_world;

use std::collections::HashSet;
use std::io::Write;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use icey_engine::{Engine, EngineConfig};
use icey_turn::client::AllocateOptions;
use icey_turn_server::{ProbeConfig, ProbeStep, TurnServer, TurnTransport, probe_turn};
use icey_udp::OpenError;

use turn_world::{DEADLINE, HERE, World, config, peer};

/// Payloads of every kind that segmentation and padding could hurt.
fn payloads() -> Vec<Vec<u8>> {
    let sizes = [
        1200, 1200, 1200, 1199, 1201, 0, 1, 2, 3, 4, 5, 1400, 1400, 60, 60, 8000,
    ];
    let numbered = sizes.iter().enumerate();
    numbered.map(|(n, size)| vec![n as u8 + 1; *size]).collect()
}

#[test]
fn payloads_pass_both_ways_whole_and_in_order_over_udp_and_tcp() {
    let world = World::new();
    for transport in [TurnTransport::Udp, TurnTransport::Tcp] {
        for has_channel in [false, true] {
            let mut visitor = world.client(transport);
            let (relayed, _) = visitor.allocate(AllocateOptions::default());
            let (socket, address) = peer();
            visitor.permit(address);
            if has_channel {
                visitor.bind_channel(address);
            }
            for payload in payloads() {
                visitor.client.send(address, &payload);
            }
            visitor.flush();
            let mut buffer = [0; 65_536];
            for payload in payloads() {
                let (count, from) = socket.recv_from(&mut buffer).expect("a datagram");
                assert_eq!(from, relayed);
                assert!(buffer[..count] == payload, "{} bytes", payload.len());
            }
            for payload in payloads() {
                socket.send_to(&payload, relayed).expect("sent");
            }
            for payload in payloads() {
                assert!(visitor.payload() == payload, "{} bytes", payload.len());
            }
        }
    }
    let count = 4 * payloads().len() as u64;
    let bytes = 4 * payloads().iter().map(|p| p.len() as u64).sum::<u64>();
    let stats = world.counted(|stats| stats.protocol.to_clients.packets == count);
    assert_eq!(
        (
            stats.protocol.to_peers.packets,
            stats.protocol.to_peers.bytes
        ),
        (count, bytes)
    );
    assert_eq!(stats.protocol.to_clients.bytes, bytes);
    assert_eq!((stats.packets_dropped, stats.packets_short_cut), (0, 0));
}

#[test]
fn a_closed_connection_frees_its_allocation_and_port() {
    let world = World::new();
    let mut visitor = world.client(TurnTransport::Tcp);
    let (relayed, _) = visitor.allocate(AllocateOptions::default());
    assert!(UdpSocket::bind(relayed).is_err(), "it is the server's");
    world.counted(|stats| (stats.protocol.allocations, stats.connections) == (1, 1));
    drop(visitor);
    let stats = world.counted(|stats| (stats.protocol.allocations, stats.connections) == (0, 0));
    assert_eq!(stats.connections_dropped, 0, "the client went by itself");
    UdpSocket::bind(relayed).expect("it is free");
}

#[test]
fn the_port_above_an_even_one_is_kept_for_a_second_allocation() {
    let world = World::new();
    let (mut first, mut second) = (
        world.client(TurnTransport::Udp),
        world.client(TurnTransport::Udp),
    );
    let (even, token) = first.allocate(AllocateOptions {
        even_port: Some(true),
        ..AllocateOptions::default()
    });
    assert_eq!(even.port() % 2, 0);
    let next = SocketAddr::from((HERE, even.port() + 1));
    assert!(UdpSocket::bind(next).is_err(), "it is kept");
    let (odd, _) = second.allocate(AllocateOptions {
        reservation: token,
        ..AllocateOptions::default()
    });
    assert_eq!(odd, next);
}

#[test]
fn one_address_cannot_take_all_connections_and_garbage_ends_one() {
    let world = World::new();
    let address = (HERE, world.server.port());
    let crowd: Vec<TcpStream> = (0..130)
        .map(|_| TcpStream::connect(address).expect("the kernel takes it"))
        .collect();
    let stats = world.counted(|stats| stats.connections_refused == 2);
    assert_eq!(stats.connections, 128);
    // SSH, for example. ("GET" would look like ChannelData that is not complete yet.)
    (&crowd[0]).write_all(b"SSH-2.0-").expect("sent");
    world.counted(|stats| (stats.connections, stats.connections_dropped) == (127, 1));
    // Over UDP everybody is still served.
    let mut visitor = world.client(TurnTransport::Udp);
    visitor.allocate(AllocateOptions::default());
    drop(crowd);
    world.counted(|stats| stats.connections == 0);
}

#[test]
fn a_client_that_does_not_read_loses_payloads_and_delays_nobody() {
    let world = World::new();
    let mut deaf = world.client(TurnTransport::Tcp);
    let (relayed, _) = deaf.allocate(AllocateOptions::default());
    let (socket, address) = peer();
    deaf.bind_channel(address);
    let (mut busy, end) = (world.client(TurnTransport::Udp), Instant::now() + DEADLINE);
    busy.allocate(AllocateOptions::default());
    let (echo, other) = peer();
    busy.bind_channel(other);
    while world.server.stats().packets_dropped < 100 {
        assert!(Instant::now() < end, "{:?}", world.server.stats());
        for _ in 0..64 {
            socket.send_to(&[7; 1200], relayed).expect("sent");
        }
        busy.client.send(other, b"still there?");
        busy.flush();
        let mut buffer = [0; 64];
        let (count, from) = echo.recv_from(&mut buffer).expect("a datagram");
        echo.send_to(&buffer[..count], from).expect("sent");
        assert_eq!(busy.payload(), b"still there?");
    }
    // What did get through is whole.
    assert_eq!(deaf.payload(), [7; 1200]);
}

#[test]
fn a_port_that_is_taken_for_tcp_or_udp_is_refused_by_name() {
    let world = World::new();
    let udp = UdpSocket::bind((HERE, 0)).expect("a port");
    let tcp = std::net::TcpListener::bind((HERE, 0)).expect("a port");
    let other = Engine::new(&EngineConfig {
        host: HERE.to_string(),
        port: 0,
        additional_hosts: vec![],
    })
    .expect("an engine");
    let ports = [
        ("UDP", udp.local_addr().expect("bound").port()),
        ("TCP", tcp.local_addr().expect("bound").port()),
    ];
    for (protocol, port) in ports {
        let mut taken = config();
        taken.port = port;
        let refused = TurnServer::new(other.short_cut(), &taken).err();
        let expected = OpenError::AddressInUse {
            protocol,
            host: HERE.to_string(),
            port,
        };
        assert_eq!(refused, Some(expected));
    }
    let second = TurnServer::new(world.engine.short_cut(), &config()).err();
    let text = second.expect("one an engine").to_string();
    assert_eq!(text, "this engine has a TURN server already");
    // A refused one leaves nothing behind.
    TurnServer::new(other.short_cut(), &config())
        .expect("free again")
        .close();
}

#[test]
fn the_end_frees_the_ports_whichever_of_engine_and_server_ends_first() {
    for engine_first in [true, false] {
        let world = World::new();
        let mut visitor = world.client(TurnTransport::Udp);
        let (relayed, _) = visitor.allocate(AllocateOptions::default());
        let media = SocketAddr::from((HERE, world.engine.port()));
        visitor.permit(media);
        if engine_first {
            world.engine.close();
            // Nobody takes the short cut any more, which hurts nobody.
            visitor.client.send(media, b"is anybody there?");
            visitor.flush();
            world.counted(|stats| stats.packets_dropped == 1);
        }
        world.server.close();
        world.server.close();
        let port = world.server.port();
        UdpSocket::bind((HERE, port)).expect("free for UDP");
        UdpSocket::bind(relayed).expect("free");
        std::net::TcpListener::bind((HERE, port)).expect("free for TCP");
        world.engine.close();
    }
}

#[test]
fn what_is_sent_to_the_engine_takes_the_short_cut() {
    let world = World::with(|config| config.protocol.allow_local_relay = false);
    let mut visitor = world.client(TurnTransport::Udp);
    visitor.allocate(AllocateOptions::default());
    let media = SocketAddr::from((HERE, world.engine.port()));
    visitor.permit(media);
    visitor.client.send(media, b"no WebRTC, but a datagram");
    visitor.flush();
    let stats = world.counted(|stats| stats.packets_short_cut == 1);
    assert_eq!(stats.protocol.to_peers.packets, 1);
    let end = Instant::now() + DEADLINE;
    while world.engine.stats().packets_unknown < 1 {
        assert!(Instant::now() < end, "the engine has not seen it");
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(world.engine.stats().packets_received, 1);
}

#[test]
fn the_probe_passes_a_datagram_and_says_what_failed() {
    let world = World::with(|config| config.protocol.allow_local_relay = false);
    for transport in [TurnTransport::Udp, TurnTransport::Tcp] {
        let seen = probe_turn(&ProbeConfig {
            transport,
            ..world.probe()
        });
        let seen = seen.expect("it works");
        assert_eq!(seen.relayed.ip(), HERE);
        assert!((40_000..=48_000).contains(&seen.relayed.port()));
        assert_eq!(seen.mapped.ip(), HERE);
    }
    let stats = world.counted(|stats| (stats.protocol.allocations, stats.connections) == (0, 0));
    assert_eq!(stats.protocol.allocations_total, 4);

    let forged = probe_turn(&ProbeConfig {
        credential: "guessed".into(),
        ..world.probe()
    });
    let forged = forged.expect_err("no credential");
    assert_eq!((forged.step, forged.code), (ProbeStep::Allocate, Some(401)));

    let (_echo, address) = peer();
    let inside = probe_turn(&ProbeConfig {
        echo: Some(address),
        ..world.probe()
    });
    let inside = inside.expect_err("a peer of its own on this machine");
    assert_eq!((inside.step, inside.code), (ProbeStep::Permit, Some(403)));

    let closed = UdpSocket::bind((HERE, 0)).expect("a port");
    let port = closed.local_addr().expect("bound").port();
    for (transport, step) in [
        (TurnTransport::Udp, ProbeStep::Allocate),
        (TurnTransport::Tcp, ProbeStep::Connect),
    ] {
        let silent = probe_turn(&ProbeConfig {
            port,
            transport,
            timeout: Duration::from_millis(300),
            ..world.probe()
        });
        assert_eq!(silent.expect_err("nobody answers").step, step);
    }
}

#[test]
fn an_echo_outside_answers_the_probe_where_local_peers_are_open() {
    let world = World::new();
    let (echo, address) = peer();
    let answering = std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        let (count, from) = echo.recv_from(&mut buffer).expect("a datagram");
        echo.send_to(&buffer[..count], from).expect("sent");
    });
    let seen = probe_turn(&ProbeConfig {
        echo: Some(address),
        ..world.probe()
    });
    assert!(seen.is_ok(), "{seen:?}");
    answering.join().expect("it answered");
}

#[test]
fn relayed_ports_differ_and_stay_in_their_range() {
    let world = World::with(|config| config.relay_ports = (41_000, 41_100));
    let mut visitors = Vec::new();
    let mut ports = HashSet::new();
    for _ in 0..20 {
        let mut visitor = world.client(TurnTransport::Udp);
        let (relayed, _) = visitor.allocate(AllocateOptions::default());
        assert!((41_000..=41_100).contains(&relayed.port()));
        assert!(ports.insert(relayed.port()));
        visitors.push(visitor);
    }
    world.counted(|stats| stats.protocol.allocations == 20);
}

//! The attack table, peers that a client may not reach: each row refused, and counted.

mod world;

use std::time::Duration;

use icey_turn::client::{AllocateOptions, Client, ClientEvent};
use icey_turn::{PeerRoute, Refusal, Transport};
use world::{HERE, World, address, config, minted, refused, udp};

/// Peers inside are refused with 403 for permission and channel, and a payload for them goes nowhere.
#[test]
fn peers_inside() {
    for peer in [
        "127.0.0.1:80",
        "10.0.0.1:80",
        "172.16.9.9:80",
        "192.168.1.1:80",
        "169.254.169.254:80",
        "100.64.0.1:80",
        "224.0.0.251:5353",
        "255.255.255.255:9",
        "0.0.0.0:80",
        "8.8.8.8:4500",
        "8.8.8.8:3478",
        "8.8.8.8:22",
        "[::1]:80",
        "[::ffff:127.0.0.1]:80",
        "[::ffff:10.0.0.1]:80",
        "[::127.0.0.1]:80",
        "[64:ff9b::7f00:1]:80",
        "[2002:7f00:1::]:80",
        "[fe80::1]:80",
        "[fd00::1]:80",
    ] {
        let peer = address(peer);
        let mut world = World::new(config());
        let (username, password) = minted(3600);
        let mut client = Client::new(Transport::Udp, &username, &password);
        let family = Some(icey_turn::Family::of(peer));
        world.allocate(
            udp(HERE),
            &mut client,
            AllocateOptions {
                family,
                ..Default::default()
            },
        );
        client.create_permission(world.now, peer);
        assert_eq!(refused(&world.talk(udp(HERE), &mut client)), 403, "{peer}");
        client.bind_channel(world.now, peer);
        assert_eq!(refused(&world.talk(udp(HERE), &mut client)), 403, "{peer}");
        client.send(peer, b"GET / HTTP/1.0\r\n\r\n");
        let sent = client.poll_transmit().expect("a payload");
        assert!(world.receive(udp(HERE), &sent).is_none(), "{peer}");
        assert_eq!(world.refused(Refusal::PeerForbidden), 2);
        assert_eq!(world.refused(Refusal::NoPermission), 1);
    }
}

/// This server's own media is a peer although it is local; a permission for it opens no other port.
#[test]
fn own_media_and_nothing_beside_it() {
    let mut world = World::new(config());
    let from = udp(HERE);
    let (mut client, relayed) = world.allocated(from);
    for media in ["8.8.8.8:4501", "127.0.0.1:4501"] {
        let peer = address(media);
        client.create_permission(world.now, peer);
        assert_eq!(
            world.talk(from, &mut client),
            [ClientEvent::PermissionCreated { peer }]
        );
        client.send(peer, b"x");
        let sent = client.poll_transmit().expect("a payload");
        let to_peer = world.receive(from, &sent).expect("it passes");
        assert_eq!(
            (to_peer.route, to_peer.from),
            (PeerRoute::OwnMedia, relayed)
        );
        for port in [22, 80, 3478, 4500, 4502] {
            let beside = std::net::SocketAddr::new(peer.ip(), port);
            client.send(beside, b"x");
            let sent = client.poll_transmit().expect("a payload");
            assert!(world.receive(from, &sent).is_none());
        }
    }
    assert_eq!(world.refused(Refusal::PeerForbidden), 10);
}

/// Two clients reach each other over their relayed addresses; one that is closed is nobody's any more.
#[test]
fn own_relays() {
    let mut world = World::new(config());
    let (here, there) = (udp(HERE), udp("6.6.6.6:1"));
    let (mut one, one_relayed) = world.allocated(here);
    let (mut other, other_relayed) = world.allocated(there);
    one.bind_channel(world.now, other_relayed);
    world.talk(here, &mut one);
    other.create_permission(world.now, one_relayed);
    world.talk(there, &mut other);
    one.send(other_relayed, b"hello");
    let sent = one.poll_transmit().expect("a payload");
    let to_peer = world.receive(here, &sent).expect("it passes");
    let PeerRoute::OwnRelay(relay) = to_peer.route else {
        panic!("{:?}", to_peer.route);
    };
    let payload = &sent[to_peer.payload];
    let to_client = world
        .server
        .receive_from_peer(world.now, relay, to_peer.from, payload)
        .expect("it passes");
    assert_eq!(to_client.to, there);
    other.receive(
        world.now,
        &[to_client.head(), payload, to_client.padding()].concat(),
    );
    let received = ClientEvent::Received {
        peer: one_relayed,
        payload: b"hello".to_vec(),
    };
    assert_eq!(other.poll_event(), Some(received));

    other.refresh(world.now, Duration::ZERO);
    world.talk(there, &mut other);
    assert!(world.receive(here, &sent).is_none());
    assert_eq!(world.refused(Refusal::PeerForbidden), 1);
    assert!(
        world
            .server
            .receive_from_peer(world.now, relay, one_relayed, b"x")
            .is_none()
    );
}

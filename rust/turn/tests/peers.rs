//! CreatePermission and ChannelBind, as RFC 8656 §10 and §12 say.

mod world;

use std::time::Duration;

use icey_turn::Refusal;
use icey_turn::client::Client;
use icey_turn::message::{Class, Message, attribute, method};
use world::{HERE, PEER, World, address, answer, code, config, udp};

/// A permission lasts five minutes, a channel ten; both are renewed by asking again.
#[test]
fn permissions_and_channels_end() {
    let mut world = World::new(config());
    let from = udp(HERE);
    let (mut client, relayed) = world.allocated(from);
    let peer = address(PEER);
    let relay = world.server.relay_at(relayed).expect("a relay");
    client.bind_channel(world.now, peer);
    world.talk(from, &mut client);
    let passes_back = |world: &mut World| {
        world
            .server
            .receive_from_peer(world.now, relay, peer, b"x")
            .is_some()
    };
    let passes = |world: &mut World, client: &mut Client| {
        client.send(peer, b"x");
        let sent = client.poll_transmit().expect("a payload");
        world.receive(from, &sent).is_some()
    };
    client.refresh(world.now, Duration::from_secs(3600));
    world.talk(from, &mut client);
    world.wait(Duration::from_secs(299));
    assert!(passes_back(&mut world));
    world.wait(Duration::from_secs(1));
    assert!(!passes_back(&mut world));
    client.create_permission(world.now, peer);
    world.talk(from, &mut client);
    assert!(passes_back(&mut world));
    world.wait(Duration::from_secs(299));
    assert!(passes(&mut world, &mut client));
    world.wait(Duration::from_secs(1));
    assert!(!passes(&mut world, &mut client));
    assert_eq!(world.refused(Refusal::NoChannel), 1);
    client.bind_channel(world.now, peer);
    world.talk(from, &mut client);
    assert!(passes(&mut world, &mut client));
}

/// A channel has one peer, a peer one channel, and a number of the range: else 400.
#[test]
fn channels_are_bound_once() {
    let mut world = World::new(config());
    let from = udp(HERE);
    let (_, _) = world.allocated(from);
    let peer = |port: u8| {
        [
            0,
            1,
            0x21,
            0x12 ^ port,
            0x21 ^ 9,
            0x12 ^ 9,
            0xA4 ^ 9,
            0x42 ^ 9,
        ]
    };
    let mut bind = |number: [u8; 4], port: u8| {
        let attributes: [(u16, &[u8]); 2] = [
            (attribute::CHANNEL_NUMBER, &number),
            (attribute::XOR_PEER_ADDRESS, &peer(port)),
        ];
        let answer = answer(&mut world, from, method::CHANNEL_BIND, &attributes);
        Message::parse(&answer)
            .expect("a message")
            .error()
            .map(|(code, _)| code)
    };
    assert_eq!(bind([0x40, 0, 0, 0], 1), None);
    assert_eq!(bind([0x40, 0, 0, 0], 1), None, "renewed");
    assert_eq!(bind([0x40, 0, 0, 0], 2), Some(400), "another peer");
    assert_eq!(bind([0x40, 1, 0, 0], 1), Some(400), "another channel");
    assert_eq!(bind([0x4F, 0xFF, 0, 0], 2), None);
    assert_eq!(bind([0x3F, 0xFF, 0, 0], 3), Some(400));
    assert_eq!(bind([0x50, 0, 0, 0], 3), Some(400));
    assert_eq!(bind([0x40, 5, 0, 0], 0), Some(400), "no port");
    world.wait(Duration::from_secs(600));
    // The allocation has ended with its channels.
    assert_eq!(world.server.stats().allocations, 0);
}

/// CreatePermission needs a peer; of several all are permitted or none.
#[test]
fn several_peers_in_one_request() {
    let mut world = World::new(config());
    let from = udp(HERE);
    let (_, relayed) = world.allocated(from);
    let relay = world.server.relay_at(relayed).expect("a relay");
    assert_eq!(
        code(&answer(&mut world, from, method::CREATE_PERMISSION, &[])),
        400
    );
    let masked = |a: u8, b: u8| [0, 1, 0x21, 0x12, 0x21 ^ a, 0x12 ^ b, 0xA4, 0x42 ^ 1];
    let (good, other, bad) = (masked(9, 9), masked(9, 8), masked(10, 0));
    let pair = |first, second| -> [(u16, &[u8]); 2] {
        [
            (attribute::XOR_PEER_ADDRESS, first),
            (attribute::XOR_PEER_ADDRESS, second),
        ]
    };
    let attributes = pair(&good[..], &bad[..]);
    assert_eq!(
        code(&answer(
            &mut world,
            from,
            method::CREATE_PERMISSION,
            &attributes
        )),
        403
    );
    let from_peer = |world: &mut World, peer| {
        world
            .server
            .receive_from_peer(world.now, relay, address(peer), b"x")
    };
    assert!(from_peer(&mut world, "9.9.0.1:1").is_none());
    let attributes = pair(&good[..], &other[..]);
    let answer = answer(&mut world, from, method::CREATE_PERMISSION, &attributes);
    assert_eq!(
        Message::parse(&answer).expect("a message").class(),
        Class::Success
    );
    assert!(from_peer(&mut world, "9.9.0.1:1").is_some());
    assert!(
        from_peer(&mut world, "9.8.0.1:7").is_some(),
        "any port of it"
    );
    assert!(from_peer(&mut world, "9.7.0.1:1").is_none());
    assert_eq!(world.refused(Refusal::NoPermission), 2);
}

//! The attack table, frames and floods: each row refused, and counted.

mod world;

use std::time::Duration;

use icey_turn::client::{AllocateOptions, Client, ClientEvent};
use icey_turn::message::{Builder, Class, attribute, method};
use icey_turn::{Config, Refusal, Transport};
use world::{HERE, PEER, World, address, client, config, minted, plain, refused, udp};

/// Frames that are cut short, too long, of no kind or of another protocol are dropped without an answer.
#[test]
fn broken_frames() {
    let mut world = World::new(config());
    let from = udp(HERE);
    let (mut client, _) = world.allocated(from);
    client.bind_channel(world.now, address(PEER));
    world.talk(from, &mut client);
    let mut request = plain(method::ALLOCATE, [1; 12]);
    let mut broken: Vec<Vec<u8>> = (0..request.len())
        .map(|length| request[..length].to_vec())
        .collect();
    request[7] = 0;
    broken.extend([
        request,
        vec![0x40],
        vec![0x40, 0, 0],
        vec![0x40, 0, 0, 5, 1, 2, 3, 4],
        vec![0x40, 0, 0xFF, 0xFF, 1, 2, 3, 4],
        vec![0x40, 0, 0, 1, 1, 0, 0, 0, 0],
        vec![0x50, 0, 0, 0],
        vec![0x80; 100],
        vec![0xFF; 65_535],
        vec![0; 65_535],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        Builder::new(Class::Success, method::ALLOCATE, [1; 12]).finish(),
        Builder::new(Class::Request, 0x7FF, [1; 12]).finish(),
        Builder::new(Class::Indication, method::ALLOCATE, [1; 12]).finish(),
    ]);
    let all = broken.len() as u64;
    for data in broken {
        assert!(world.receive(from, &data).is_none());
    }
    assert!(world.take(from).is_empty());
    assert_eq!(world.refused(Refusal::Malformed), all);
    let mut wrong =
        Builder::new(Class::Request, method::BINDING, [1; 12]).finish_with_fingerprint();
    *wrong.last_mut().expect("bytes") ^= 1;
    let _ = world.receive(from, &wrong);
    assert_eq!(world.refused(Refusal::Fingerprint), 1);
}

/// Send indications without peer, data, permission or allocation, or with what is not understood, go nowhere.
#[test]
fn broken_indications() {
    let mut world = World::new(config());
    world.allocated(udp(HERE));
    let new = || Builder::new(Class::Indication, method::SEND, [1; 12]);
    let peer = attribute::XOR_PEER_ADDRESS;
    let whole = new()
        .address(peer, address(PEER))
        .attribute(attribute::DATA, b"x");
    let cases = [
        (
            udp(HERE),
            new().attribute(attribute::DATA, b"x").finish(),
            Refusal::BadRequest,
        ),
        (
            udp(HERE),
            new().address(peer, address(PEER)).finish(),
            Refusal::BadRequest,
        ),
        (
            udp(HERE),
            new()
                .attribute(peer, &[0, 3, 0, 0])
                .attribute(attribute::DATA, b"")
                .finish(),
            Refusal::BadRequest,
        ),
        (udp(HERE), whole.finish(), Refusal::NoPermission),
        (
            udp(HERE),
            new().attribute(0x7FFF, b"").finish(),
            Refusal::UnknownAttribute,
        ),
        (
            udp("5.5.5.5:2"),
            new()
                .address(peer, address(PEER))
                .attribute(attribute::DATA, b"x")
                .finish(),
            Refusal::AllocationMismatch,
        ),
        (udp("5.5.5.5:2"), vec![0x40, 0, 0, 0], Refusal::NoChannel),
    ];
    for (from, data, refusal) in cases {
        let before = world.refused(refusal);
        assert!(world.receive(from, &data).is_none());
        assert_eq!(world.refused(refusal), before + 1, "{refusal:?}");
    }
    assert!(world.sent.is_empty());
}

/// A payload that does not fit a datagram on its way is dropped, and one that just fits is not.
#[test]
fn oversized_payloads() {
    for (transport, channel, most) in [
        (Transport::Udp, false, 65_507 - 36 - 3),
        (Transport::Udp, true, 65_507 - 4),
        (Transport::Tcp, false, 65_507),
        (Transport::Tcp, true, 65_535),
    ] {
        let mut world = World::new(config());
        let from = client(transport, HERE);
        let (mut turn, relayed) = world.allocated(from);
        let relay = world.server.relay_at(relayed).expect("a relay");
        let peer = address(PEER);
        turn.create_permission(world.now, peer);
        world.talk(from, &mut turn);
        if channel {
            turn.bind_channel(world.now, peer);
            world.talk(from, &mut turn);
        }
        let passes = |world: &mut World, length| {
            let data = vec![0; length];
            let to_client = world
                .server
                .receive_from_peer(world.now, relay, peer, &data)?;
            Some(to_client.head().len() + length + to_client.padding().len())
        };
        let whole = passes(&mut world, most).expect("it passes");
        assert!(transport.is_stream() || whole <= 65_507);
        if !transport.is_stream() {
            assert_eq!(passes(&mut world, most + 1), None);
            assert_eq!(world.refused(Refusal::Oversized), 1);
        }
    }
    // As long as it gets from an IPv6 peer: more than the length of a message can say.
    let mut world = World::new(config());
    let from = client(Transport::Tcp, HERE);
    let (username, password) = minted(3600);
    let mut turn = Client::new(Transport::Tcp, &username, &password);
    let family = Some(icey_turn::Family::V6);
    let relayed = world.allocate(
        from,
        &mut turn,
        AllocateOptions {
            family,
            ..Default::default()
        },
    );
    let relay = world.server.relay_at(relayed).expect("a relay");
    let peer = address("[2a00::9]:5");
    turn.create_permission(world.now, peer);
    world.talk(from, &mut turn);
    assert!(
        world
            .server
            .receive_from_peer(world.now, relay, peer, &[0; 65_507])
            .is_none()
    );
    assert!(
        world
            .server
            .receive_from_peer(world.now, relay, peer, &[0; 65_504])
            .is_some()
    );
}

/// An allocation passes no more than its bitrate, in each direction, and a burst of half a second.
#[test]
fn bitrates() {
    let mut world = World::new(Config {
        max_bitrate: 4_000_000,
        ..config()
    });
    let from = udp(HERE);
    let (mut turn, relayed) = world.allocated(from);
    let relay = world.server.relay_at(relayed).expect("a relay");
    let peer = address(PEER);
    turn.bind_channel(world.now, peer);
    world.talk(from, &mut turn);
    turn.send(peer, &[0; 1000]);
    let sent = turn.poll_transmit().expect("a payload");
    let (mut up, mut down) = (0, 0);
    for _ in 0..10_000 {
        up += usize::from(world.receive(from, &sent).is_some());
        down += usize::from(
            world
                .server
                .receive_from_peer(world.now, relay, peer, &[0; 1000])
                .is_some(),
        );
        world.wait(Duration::from_millis(1));
    }
    // 250 kB at once, then 500 kB a second for ten seconds.
    for passed in [up, down] {
        assert!((5249..=5250).contains(&passed), "{passed}");
    }
    assert_eq!(world.refused(Refusal::Bitrate), 20_000 - (up + down) as u64);
}

/// One allocation has so many permissions and channels; those that have ended make room.
#[test]
fn peers_are_bounded() {
    let mut world = World::new(config());
    let from = udp(HERE);
    let (mut turn, _) = world.allocated(from);
    let peer = |number: u32| address(&format!("9.9.{}.{}:5000", number / 200, number % 200 + 1));
    for number in 0..128 {
        turn.bind_channel(world.now, peer(number));
        assert_eq!(world.talk(from, &mut turn).len(), 1);
    }
    turn.bind_channel(world.now, peer(128));
    assert_eq!(refused(&world.talk(from, &mut turn)), 508);
    turn.create_permission(world.now, peer(128));
    assert_eq!(refused(&world.talk(from, &mut turn)), 508);
    turn.create_permission(world.now, peer(0));
    assert_eq!(world.talk(from, &mut turn).len(), 1);
    turn.refresh(world.now, Duration::from_secs(3600));
    world.talk(from, &mut turn);
    world.wait(Duration::from_secs(600));
    turn.bind_channel(world.now, peer(128));
    let bound = ClientEvent::ChannelBound {
        channel: 0x4080,
        peer: peer(128),
    };
    assert_eq!(world.talk(from, &mut turn), [bound]);
}

//! The attack table: each row refused, and counted.

mod world;

use std::time::Duration;

use icey_turn::client::{AllocateOptions, Client, Event};
use icey_turn::message::{Builder, Class, Message, attribute, method};
use icey_turn::{Config, FiveTuple, Refusal, Route, Transport, credentials};
use world::{
    EPOCH, PEER, SECRET, World, address, client, code, config, minted, nonce, plain, refused, udp,
};

const HERE: &str = "5.5.5.5:1000";

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
            [Event::PermissionCreated { peer }]
        );
        client.send(peer, b"x");
        let sent = client.poll_transmit().expect("a payload");
        let to_peer = world.receive(from, &sent).expect("it passes");
        assert_eq!((to_peer.route, to_peer.from), (Route::OwnMedia, relayed));
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
    let Route::OwnRelay(relay) = to_peer.route else {
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
    let received = Event::Received {
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

/// A nonce is good for who was given it, for ten minutes, and not a byte different.
#[test]
fn replayed_nonces() {
    let mut world = World::new(config());
    let (mut turn, _) = world.allocated(udp(HERE));
    turn.refresh(world.now, Duration::from_secs(3600));
    let request = turn.poll_transmit().expect("a request");
    for thief in [
        udp("5.5.5.5:1001"),
        udp("5.5.5.6:1000"),
        client(Transport::Tcp, HERE),
    ] {
        let _ = world.receive(thief, &request);
        assert_eq!(code(&world.take(thief)[0]), 438);
    }
    let _ = world.receive(udp(HERE), &request);
    assert_eq!(world.take(udp(HERE)).len(), 1);
    world.wait(Duration::from_secs(599));
    let _ = world.receive(udp(HERE), &request);
    let answers = world.take(udp(HERE));
    assert_eq!(
        Message::parse(&answers[0]).expect("a message").class(),
        Class::Success
    );
    world.wait(Duration::from_secs(1));
    let _ = world.receive(udp(HERE), &request);
    assert_eq!(code(&world.take(udp(HERE))[0]), 438);
    assert_eq!(world.refused(Refusal::StaleNonce), 4);
    // The client takes the new one and goes on.
    turn.refresh(world.now, Duration::from_secs(600));
    let refreshed = Event::Refreshed {
        lifetime: Duration::from_secs(600),
    };
    assert_eq!(world.talk(udp(HERE), &mut turn), [refreshed]);
}

/// Invented and changed nonces are stale.
#[test]
fn forged_nonces() {
    let mut world = World::new(config());
    let from = udp(HERE);
    let _ = world.receive(from, &plain(method::ALLOCATE, [1; 12]));
    let good = nonce(&world.take(from)[0]);
    let mut nonces: Vec<Vec<u8>> = (0..good.len())
        .map(|place| {
            let mut changed = good.clone();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            changed
        })
        .collect();
    nonces.extend([
        vec![],
        b"x".to_vec(),
        good[..good.len() - 1].to_vec(),
        vec![0xFF; 40],
        vec![b'A'; 4000],
    ]);
    let all = nonces.len() as u64;
    for nonce in nonces {
        let request = Builder::new(Class::Request, method::ALLOCATE, [2; 12])
            .attribute(attribute::USERNAME, b"1900000000")
            .attribute(attribute::REALM, b"icey")
            .attribute(attribute::NONCE, &nonce)
            .attribute(attribute::MESSAGE_INTEGRITY, &[0; 20]);
        let _ = world.receive(from, &request.finish());
        assert_eq!(code(&world.take(from)[0]), 438);
    }
    assert_eq!(world.refused(Refusal::StaleNonce), all);
}

/// Usernames that this server has not signed are refused with 401, whatever they say, and so are wrong passwords.
#[test]
fn forged_usernames() {
    let (username, password) = minted(3600);
    let later = format!("{}:tester", EPOCH + 7200);
    let other_secret = credentials::password(b"another secret", &username);
    let own = |name: &str| (name.to_owned(), credentials::password(SECRET, name));
    let cases = [
        (later, password.clone()),
        (username.clone(), other_secret),
        (username.clone(), String::new()),
        (String::new(), password.clone()),
        ("admin".to_owned(), "admin".to_owned()),
        // Signed, but without an end.
        own("admin"),
        own(""),
        own("-1:x"),
        own("+1900000000:x"),
        own("99999999999999999999999:x"),
        own(&format!("{}{}", EPOCH + 60, "x".repeat(600))),
    ];
    let mut world = World::new(config());
    let all = cases.len() as u64;
    for (username, password) in cases {
        let mut client = Client::new(Transport::Udp, &username, &password);
        client.allocate(world.now, AllocateOptions::default());
        assert_eq!(
            refused(&world.talk(udp(HERE), &mut client)),
            401,
            "{username}"
        );
    }
    assert_eq!(world.refused(Refusal::Forged), all);
    assert_eq!(world.server.stats().allocations_total, 0);
}

/// A server without a secret knows nobody; there is no built-in password.
#[test]
fn no_secret_no_relay() {
    let mut world = World::new(Config {
        secret: Vec::new(),
        ..config()
    });
    let username = format!("{}", EPOCH + 60);
    let password = credentials::password(b"", &username);
    let mut client = Client::new(Transport::Udp, &username, &password);
    client.allocate(world.now, AllocateOptions::default());
    assert_eq!(refused(&world.talk(udp(HERE), &mut client)), 401);
}

/// Expired credentials are refused for Allocate and for Refresh; what is there may still be freed.
#[test]
fn expired_credentials() {
    let mut world = World::new(config());
    let (username, password) = minted(100);
    let mut client = Client::new(Transport::Udp, &username, &password);
    world.allocate(udp(HERE), &mut client, AllocateOptions::default());
    world.wait(Duration::from_secs(99));
    client.refresh(world.now, Duration::from_secs(600));
    assert_eq!(world.talk(udp(HERE), &mut client).len(), 1);
    world.wait(Duration::from_secs(1));
    client.refresh(world.now, Duration::from_secs(600));
    assert_eq!(refused(&world.talk(udp(HERE), &mut client)), 401);
    let mut again = Client::new(Transport::Udp, &username, &password);
    again.allocate(world.now, AllocateOptions::default());
    assert_eq!(refused(&world.talk(udp("5.5.5.5:2"), &mut again)), 401);
    assert_eq!(world.refused(Refusal::Expired), 2);
    client.refresh(world.now, Duration::ZERO);
    assert_eq!(
        world.talk(udp(HERE), &mut client),
        [Event::Refreshed {
            lifetime: Duration::ZERO
        }]
    );
    assert!(world.relays.is_empty());
}

/// A request changed on its way is not obeyed.
#[test]
fn changed_requests() {
    let mut world = World::new(config());
    let (mut client, _) = world.allocated(udp(HERE));
    client.refresh(world.now, Duration::from_secs(3600));
    let request = client.poll_transmit().expect("a request");
    // Without the FINGERPRINT, which would find it first.
    let mut request = request[..request.len() - 8].to_vec();
    let length = (request.len() - 20) as u16;
    request[2..4].copy_from_slice(&length.to_be_bytes());
    let lifetime = 20 + 4;
    request[lifetime..lifetime + 4].copy_from_slice(&[0; 4]);
    let _ = world.receive(udp(HERE), &request);
    assert_eq!(code(&world.take(udp(HERE))[0]), 401);
    assert_eq!(world.refused(Refusal::Forged), 1);
    assert_eq!(world.server.stats().allocations, 1);
}

/// Who has no credentials yet is challenged with little more than he sent, and is not told what runs here.
#[test]
fn challenges_are_small() {
    let mut world = World::new(config());
    let _ = world.receive(udp(HERE), &plain(method::ALLOCATE, [1; 12]));
    let answers = world.take(udp(HERE));
    let message = Message::parse(&answers[0]).expect("a message");
    assert_eq!(message.error(), Some((401, "Unauthorized")));
    assert_eq!(message.get(attribute::SOFTWARE), None);
    assert!(answers[0].len() <= 128, "{} bytes", answers[0].len());
    assert_eq!(world.refused(Refusal::Challenged), 1);
}

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
    let bound = Event::ChannelBound {
        channel: 0x4080,
        peer: peer(128),
    };
    assert_eq!(world.talk(from, &mut turn), [bound]);
}

/// No secret is in what is printed for a log.
#[test]
fn secrets_are_not_printed() {
    let mut world = World::new(config());
    let (turn, _) = world.allocated(udp(HERE));
    let printed = format!("{:?} {turn:?}", world.server);
    let (_, password) = minted(3600);
    assert!(!printed.contains(&password));
    assert!(!printed.contains(&format!("{SECRET:?}")));
    assert!(!printed.contains("[7, 7, 7, 7, 7, 7, 7, 7"));
    let from: FiveTuple = udp(HERE);
    assert!(printed.contains(&from.remote.to_string()));
}

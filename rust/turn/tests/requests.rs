//! Requests are answered as RFC 8656 says.

mod world;

use std::time::Duration;

use icey_turn::client::{AllocateOptions, Client, Event, Failure, Step};
use icey_turn::integrity::{Integrity, Key, PasswordAlgorithm};
use icey_turn::message::{Builder, Class, Message, attribute, method};
use icey_turn::{Config, Family, FiveTuple, Refusal, RelayError, Transport};
use world::{EPOCH, PEER, World, address, code, config, minted, nonce, plain, refused, udp};

const HERE: &str = "5.5.5.5:1000";

/// A request of `username`, as a client of ours would not write it.
fn request(
    world: &mut World,
    from: FiveTuple,
    method: u16,
    username: &str,
    password: &str,
    attributes: &[(u16, &[u8])],
) -> Vec<u8> {
    let _ = world.receive(from, &plain(method::REFRESH, [9; 12]));
    let nonce = nonce(&world.take(from)[0]);
    let mut request = Builder::new(Class::Request, method, [3; 12]);
    for (kind, value) in attributes {
        request = request.attribute(*kind, value);
    }
    let algorithm = PasswordAlgorithm::Md5;
    let key = Key::long_term(algorithm, username.as_bytes(), "icey", password);
    request
        .attribute(attribute::USERNAME, username.as_bytes())
        .attribute(attribute::REALM, b"icey")
        .attribute(attribute::NONCE, &nonce)
        .integrity(Integrity::Sha1, &key)
        .finish()
}

/// The answer to a request of somebody with good credentials.
fn answer(world: &mut World, from: FiveTuple, method: u16, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let (username, password) = minted(3600);
    let request = request(world, from, method, &username, &password, attributes);
    let _ = world.receive(from, &request);
    let mut answers = world.take(from);
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

const UDP: (u16, &[u8]) = (attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);

/// Binding says who asks, with SOFTWARE and FINGERPRINT.
#[test]
fn binding() {
    let mut world = World::new(config());
    let from = udp("[::ffff:5.5.5.5]:1000");
    let _ = world.receive(from, &plain(method::BINDING, [1; 12]));
    let answers = world.take(from);
    let message = Message::parse(&answers[0]).expect("a message");
    assert_eq!(message.class(), Class::Success);
    assert_eq!(
        message.address(attribute::XOR_MAPPED_ADDRESS),
        Some(address(HERE))
    );
    assert_eq!(message.text(attribute::SOFTWARE), Some("test"));
    assert!(message.has_fingerprint());
    let mut client = Client::new(Transport::Udp, "", "");
    client.binding(world.now);
    let bound = Event::Bound {
        mapped: address(HERE),
    };
    assert_eq!(world.talk(from, &mut client), [bound]);
}

/// An allocation has the external address, the bound port and the asked lifetime within bounds.
#[test]
fn allocate() {
    for (asked, granted) in [
        (None, 600),
        (Some(1), 600),
        (Some(900), 900),
        (Some(86_400), 3600),
    ] {
        let external = Some([7, 7, 7, 7].into());
        let mut world = World::new(Config {
            external_v4: external,
            ..config()
        });
        let (username, password) = minted(3600);
        let mut client = Client::new(Transport::Udp, &username, &password);
        let lifetime = asked.map(Duration::from_secs);
        client.allocate(
            world.now,
            AllocateOptions {
                lifetime,
                ..Default::default()
            },
        );
        let allocated = Event::Allocated {
            relayed: address("7.7.7.7:50001"),
            mapped: address(HERE),
            lifetime: Duration::from_secs(granted),
            reservation: None,
        };
        assert_eq!(world.talk(udp(HERE), &mut client), [allocated]);
    }
}

/// SHA-256 is offered, and used by a client that can.
#[test]
fn sha256() {
    let mut world = World::new(config());
    let (username, password) = minted(3600);
    let mut client = Client::new(Transport::Udp, &username, &password);
    client.set_prefer_sha256(true);
    world.allocate(udp(HERE), &mut client, AllocateOptions::default());
    client.refresh(world.now, Duration::from_secs(600));
    let sent = client.poll_transmit().expect("a request");
    let message = Message::parse(&sent).expect("a message");
    assert_eq!(message.integrity(), Some(Integrity::Sha256));
    let _ = world.receive(udp(HERE), &sent);
    let answers = world.take(udp(HERE));
    let message = Message::parse(&answers[0]).expect("a message");
    assert_eq!(message.integrity(), Some(Integrity::Sha256));
    assert_eq!(message.class(), Class::Success);
}

/// Who changes the list of algorithms on its way, or chooses none of it, is refused with 400.
#[test]
fn algorithms_are_not_negotiable_downwards() {
    let lists: [&[(u16, &[u8])]; 4] = [
        &[
            UDP,
            (attribute::PASSWORD_ALGORITHMS, &[0, 1, 0, 0]),
            (attribute::PASSWORD_ALGORITHM, &[0, 1, 0, 0]),
        ],
        &[UDP, (attribute::PASSWORD_ALGORITHM, &[0, 1, 0, 0])],
        &[
            UDP,
            (attribute::PASSWORD_ALGORITHMS, &[0, 2, 0, 0, 0, 1, 0, 0]),
        ],
        &[
            UDP,
            (attribute::PASSWORD_ALGORITHMS, &[0, 2, 0, 0, 0, 1, 0, 0]),
            (attribute::PASSWORD_ALGORITHM, &[0, 3, 0, 0]),
        ],
    ];
    for attributes in lists {
        let mut world = World::new(config());
        assert_eq!(
            code(&answer(&mut world, udp(HERE), method::ALLOCATE, attributes)),
            400
        );
    }
}

/// A request that comes again has the very same answer, and makes nothing new.
#[test]
fn retransmissions_are_answered_alike() {
    let mut world = World::new(config());
    let from = udp(HERE);
    let (username, password) = minted(3600);
    let refresh: [(u16, &[u8]); 1] = [(attribute::LIFETIME, &[0, 0, 0, 0])];
    let cases: [(u16, &[(u16, &[u8])]); 2] =
        [(method::ALLOCATE, &[UDP]), (method::REFRESH, &refresh)];
    for (method, attributes) in cases {
        let request = request(&mut world, from, method, &username, &password, attributes);
        let _ = world.receive(from, &request);
        world.wait(Duration::from_secs(2));
        let _ = world.receive(from, &request);
        let answers = world.take(from);
        assert_eq!(answers[0], answers[1]);
        let class = Message::parse(&answers[0]).expect("a message").class();
        assert_eq!(class, Class::Success);
    }
    assert_eq!(world.server.stats().allocations_total, 1);
}

/// Allocate without a transport, with another, or twice: 400, 442, 437.
#[test]
fn allocate_refused() {
    let cases: [(&[(u16, &[u8])], u16); 9] = [
        (&[], 400),
        (&[(attribute::REQUESTED_TRANSPORT, &[17])], 400),
        (&[(attribute::REQUESTED_TRANSPORT, &[6, 0, 0, 0])], 442),
        (&[UDP, (attribute::LIFETIME, &[1, 2])], 400),
        (
            &[UDP, (attribute::REQUESTED_ADDRESS_FAMILY, &[3, 0, 0, 0])],
            440,
        ),
        (
            &[
                UDP,
                (attribute::EVEN_PORT, &[0x80]),
                (attribute::RESERVATION_TOKEN, &[0; 8]),
            ],
            400,
        ),
        (&[UDP, (attribute::RESERVATION_TOKEN, &[0; 8])], 508),
        (
            &[
                UDP,
                (attribute::REQUESTED_ADDRESS_FAMILY, &[1, 0, 0, 0]),
                (attribute::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]),
            ],
            400,
        ),
        (&[UDP, (0x7ABC, &[])], 420),
    ];
    for (attributes, expected) in cases {
        let mut world = World::new(config());
        let answer = answer(&mut world, udp(HERE), method::ALLOCATE, attributes);
        assert_eq!(code(&answer), expected, "{attributes:?}");
        assert!(world.relays.is_empty());
        if expected == 420 {
            let message = Message::parse(&answer).expect("a message");
            assert_eq!(
                message.get(attribute::UNKNOWN_ATTRIBUTES),
                Some(&[0x7A, 0xBC][..])
            );
        }
    }
    let mut world = World::new(config());
    let (mut client, _) = world.allocated(udp(HERE));
    client.allocate(world.now, AllocateOptions::default());
    assert_eq!(refused(&world.talk(udp(HERE), &mut client)), 437);
    assert_eq!(world.refused(Refusal::AllocationMismatch), 1);
}

/// Who asks for two families has one, and is told.
#[test]
fn one_family_of_two() {
    let mut world = World::new(config());
    let second: (u16, &[u8]) = (attribute::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0]);
    let answer = answer(&mut world, udp(HERE), method::ALLOCATE, &[UDP, second]);
    let message = Message::parse(&answer).expect("a message");
    assert_eq!(message.class(), Class::Success);
    let error = message
        .get(attribute::ADDRESS_ERROR_CODE)
        .expect("an error");
    assert_eq!(error[..4], [2, 0, 4, 40]);
}

/// An IPv6 address is given where it is asked for; peers of the other family are refused with 443.
#[test]
fn families() {
    let mut world = World::new(config());
    let (username, password) = minted(3600);
    let mut client = Client::new(Transport::Udp, &username, &password);
    let family = Some(Family::V6);
    let relayed = world.allocate(
        udp(HERE),
        &mut client,
        AllocateOptions {
            family,
            ..Default::default()
        },
    );
    assert_eq!(relayed, address("[2a00::8]:50001"));
    client.create_permission(world.now, address(PEER));
    assert_eq!(refused(&world.talk(udp(HERE), &mut client)), 443);
    client.bind_channel(world.now, address(PEER));
    assert_eq!(refused(&world.talk(udp(HERE), &mut client)), 443);
    let peer = address("[2a00::9]:5");
    client.create_permission(world.now, peer);
    assert_eq!(
        world.talk(udp(HERE), &mut client),
        [Event::PermissionCreated { peer }]
    );
    let refresh: (u16, &[u8]) = (attribute::REQUESTED_ADDRESS_FAMILY, &[1, 0, 0, 0]);
    assert_eq!(
        code(&answer(&mut world, udp(HERE), method::REFRESH, &[refresh])),
        443
    );
}

/// A family without an address, and no port: 440, 508.
#[test]
fn relays_that_cannot_be_opened() {
    for (error, expected) in [
        (RelayError::FamilyNotSupported, 440),
        (RelayError::NoPort, 508),
    ] {
        let mut world = World::new(config());
        world.no_relays = Some(error);
        assert_eq!(
            code(&answer(&mut world, udp(HERE), method::ALLOCATE, &[UDP])),
            expected
        );
        assert_eq!(world.server.stats().allocations, 0);
        world.no_relays = None;
        world.allocated(udp(HERE));
    }
}

/// A wildcard has no address of its own: it is the one the client reached, if the family fits.
#[test]
fn wildcards() {
    let mut world = World::new(config());
    let from = FiveTuple {
        local: address("[2a00::8]:3478"),
        ..udp("[2a00::7]:1")
    };
    assert_eq!(
        code(&answer(&mut world, from, method::ALLOCATE, &[UDP])),
        440
    );
    assert!(world.relays.is_empty());
}

/// EVEN-PORT gives an even port, and the next one to whoever has the token, once and for 30 s.
#[test]
fn even_ports() {
    let even_port = |reserve| AllocateOptions {
        even_port: Some(reserve),
        ..Default::default()
    };
    let (username, password) = minted(3600);
    let new = || Client::new(Transport::Udp, &username, &password);
    let mut world = World::new(config());
    let relayed = world.allocate(udp("5.5.5.5:1"), &mut new(), even_port(false));
    assert_eq!(relayed.port(), 50_002);

    let mut first = new();
    first.allocate(world.now, even_port(true));
    let token = match world.talk(udp("5.5.5.5:2"), &mut first)[..] {
        [
            Event::Allocated {
                relayed,
                reservation: Some(token),
                ..
            },
        ] => {
            assert_eq!(relayed.port(), 50_004);
            token
        }
        ref other => panic!("{other:?}"),
    };
    assert_eq!(world.server.stats().reservations, 1);
    let reservation = AllocateOptions {
        reservation: Some(token),
        ..Default::default()
    };

    let (name, secret) = minted(3601);
    let mut other = Client::new(Transport::Udp, &name, &secret);
    other.allocate(world.now, reservation);
    assert_eq!(
        refused(&world.talk(udp("5.5.5.5:3"), &mut other)),
        508,
        "another user"
    );

    let relayed = world.allocate(udp("5.5.5.5:4"), &mut new(), reservation);
    assert_eq!(relayed.port(), 50_005);
    assert_eq!(world.server.stats().reservations, 0);
    let mut again = new();
    again.allocate(world.now, reservation);
    assert_eq!(refused(&world.talk(udp("5.5.5.5:5"), &mut again)), 508);

    let mut second = new();
    second.allocate(world.now, even_port(true));
    world.talk(udp("5.5.5.5:6"), &mut second);
    assert_eq!(world.reserved.len(), 1);
    world.wait(Duration::from_secs(30));
    assert!(world.reserved.is_empty());
    assert_eq!(world.server.stats().reservations, 0);
}

/// An allocation ends when it is not refreshed, and not before; Refresh moves its end.
#[test]
fn lifetimes() {
    let mut world = World::new(config());
    let (mut client, _) = world.allocated(udp(HERE));
    world.wait(Duration::from_secs(599));
    client.refresh(world.now, Duration::from_secs(700));
    let refreshed = Event::Refreshed {
        lifetime: Duration::from_secs(700),
    };
    assert_eq!(world.talk(udp(HERE), &mut client), [refreshed]);
    world.wait(Duration::from_secs(699));
    assert_eq!(world.relays.len(), 1);
    world.wait(Duration::from_secs(1));
    assert!(world.relays.is_empty());
    client.refresh(world.now, Duration::from_secs(600));
    assert_eq!(refused(&world.talk(udp(HERE), &mut client)), 437);
    assert_eq!(world.server.next_timeout(), None);
}

/// The end of a connection is the end of its allocation, also while its relay is being opened.
#[test]
fn closed_connections() {
    let mut world = World::new(config());
    let from = world::client(Transport::Tcp, HERE);
    world.allocated(from);
    world.server.connection_closed(world.now, from);
    world.run();
    assert!(world.relays.is_empty());
    assert_eq!(world.server.stats().allocations, 0);

    let (username, password) = minted(3600);
    let allocate = request(
        &mut world,
        from,
        method::ALLOCATE,
        &username,
        &password,
        &[UDP],
    );
    let unix = world.unix();
    let _ = world.server.receive(world.now, unix, from, &allocate);
    world.server.connection_closed(world.now, from);
    world.run();
    assert!(world.relays.is_empty());
    assert!(world.sent.is_empty());
}

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

/// Another user's credentials on an allocation: 441.
#[test]
fn allocations_are_their_makers() {
    let mut world = World::new(config());
    world.allocated(udp(HERE));
    let (username, password) = minted(3000);
    for method in [
        method::REFRESH,
        method::CREATE_PERMISSION,
        method::CHANNEL_BIND,
    ] {
        let request = request(&mut world, udp(HERE), method, &username, &password, &[]);
        let _ = world.receive(udp(HERE), &request);
        assert_eq!(code(&world.take(udp(HERE))[0]), 441);
    }
    assert_eq!(world.refused(Refusal::WrongCredentials), 3);
}

/// Without an allocation there is nothing to refresh, to permit and to bind: 437.
#[test]
fn nothing_without_an_allocation() {
    let mut world = World::new(config());
    for method in [
        method::REFRESH,
        method::CREATE_PERMISSION,
        method::CHANNEL_BIND,
    ] {
        assert_eq!(code(&answer(&mut world, udp(HERE), method, &[])), 437);
    }
}

/// A user has so many allocations, and all users so many: 486, 508. A freed one makes room.
#[test]
fn quotas() {
    let mut world = World::new(Config {
        user_quota: 2,
        max_allocations: 3,
        ..config()
    });
    let (first, _) = minted(1);
    let mut clients = Vec::new();
    let mut try_one = |world: &mut World, port: u16, seconds: u64| -> Option<u16> {
        let (username, password) = minted(seconds);
        assert_ne!(username, first);
        let mut client = Client::new(Transport::Udp, &username, &password);
        client.allocate(world.now, AllocateOptions::default());
        let from = udp(&format!("5.5.5.5:{port}"));
        let events = world.talk(from, &mut client);
        match events[..] {
            [Event::Allocated { .. }] => {
                clients.push((from, client));
                None
            }
            _ => Some(refused(&events)),
        }
    };
    assert_eq!(try_one(&mut world, 1, 100), None);
    assert_eq!(try_one(&mut world, 2, 100), None);
    assert_eq!(try_one(&mut world, 3, 100), Some(486));
    assert_eq!(try_one(&mut world, 4, 101), None);
    assert_eq!(try_one(&mut world, 5, 102), Some(508));
    let (from, mut client) = clients.remove(0);
    client.refresh(world.now, Duration::ZERO);
    world.talk(from, &mut client);
    let (username, password) = minted(102);
    let mut client = Client::new(Transport::Udp, &username, &password);
    world.allocate(udp("5.5.5.5:6"), &mut client, AllocateOptions::default());
    assert_eq!(
        (
            world.refused(Refusal::UserQuota),
            world.refused(Refusal::Capacity)
        ),
        (1, 1)
    );
}

/// A client that hears nothing sends again, ever more seldom, and gives up after 39.5 s.
#[test]
fn the_client_gives_up() {
    let mut world = World::new(config());
    let mut client = Client::new(Transport::Udp, "", "");
    client.binding(world.now);
    let start = world.now;
    let mut times = vec![];
    while let Some(timeout) = client.next_timeout() {
        while client.poll_transmit().is_some() {
            times.push((world.now - start).as_millis());
        }
        world.now = timeout;
        client.handle_timeout(timeout);
    }
    assert_eq!(times, [0, 500, 1500, 3500, 7500, 15_500, 31_500]);
    assert_eq!((world.now - start).as_millis(), 39_500);
    let failed = Event::Failed {
        step: Step::Binding,
        failure: Failure::Timeout,
    };
    assert_eq!(client.poll_event(), Some(failed));
}

/// A client does not believe an answer that its server did not sign.
#[test]
fn the_client_is_not_fooled() {
    let mut world = World::new(config());
    let (mut client, _) = world.allocated(udp(HERE));
    client.refresh(world.now, Duration::from_secs(600));
    let sent = client.poll_transmit().expect("a request");
    let transaction = Message::parse(&sent).expect("a message").transaction();
    let lie =
        Builder::new(Class::Success, method::REFRESH, transaction).number(attribute::LIFETIME, 1);
    client.receive(world.now, &lie.finish());
    client.receive(
        world.now,
        &Builder::error(method::REFRESH, transaction, 437, "").finish(),
    );
    assert_eq!(client.poll_event(), None);
    let _ = world.receive(udp(HERE), &sent);
    let answers = world.take(udp(HERE));
    client.receive(world.now, &answers[0]);
    let lifetime = Duration::from_secs(600);
    assert_eq!(client.poll_event(), Some(Event::Refreshed { lifetime }));
    assert!(world.unix() >= EPOCH);
}

//! Allocate and Refresh, as RFC 8656 §7 and §8 say.

mod world;

use std::time::Duration;

use icey_turn::client::{AllocateOptions, Client, ClientEvent};
use icey_turn::message::{Class, Message, attribute, method};
use icey_turn::{Config, Family, FiveTuple, Refusal, RelayError, Transport};
use world::{
    Attributes, HERE, PEER, UDP, World, address, answer, code, config, minted, refused, request,
    udp,
};

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
        let allocated = ClientEvent::Allocated {
            relayed: address("7.7.7.7:50001"),
            mapped: address(HERE),
            lifetime: Duration::from_secs(granted),
            reservation: None,
        };
        assert_eq!(world.talk(udp(HERE), &mut client), [allocated]);
    }
}

/// A request that comes again has the very same answer, and makes nothing new.
#[test]
fn retransmissions_are_answered_alike() {
    let mut world = World::new(config());
    let from = udp(HERE);
    let (username, password) = minted(3600);
    let refresh: [(u16, &[u8]); 1] = [(attribute::LIFETIME, &[0, 0, 0, 0])];
    let cases: [(u16, Attributes<'_>); 2] =
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
    let cases: [(Attributes<'_>, u16); 9] = [
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
        [ClientEvent::PermissionCreated { peer }]
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
            ClientEvent::Allocated {
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
    let refreshed = ClientEvent::Refreshed {
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

/// An allocation that nobody may use ends after a minute, whatever it was granted or refreshed; one whose
/// permissions have lapsed, a minute after the last.
#[test]
fn unused_ones_end() {
    let unused = || {
        World::new(Config {
            unused_lifetime: Duration::from_secs(60),
            ..config()
        })
    };
    let mut world = unused();
    let (mut client, _) = world.allocated(udp(HERE));
    world.wait(Duration::from_secs(50));
    client.refresh(world.now, Duration::from_secs(3600));
    world.talk(udp(HERE), &mut client);
    world.wait(Duration::from_secs(59));
    assert_eq!(world.relays.len(), 1);
    world.wait(Duration::from_secs(1));
    assert!(world.relays.is_empty());

    let mut world = unused();
    let (mut client, _) = world.allocated(udp(HERE));
    client.refresh(world.now, Duration::from_secs(3600));
    world.talk(udp(HERE), &mut client);
    client.create_permission(world.now, address(PEER));
    world.talk(udp(HERE), &mut client);
    world.wait(Duration::from_secs(359));
    assert_eq!(world.relays.len(), 1);
    world.wait(Duration::from_secs(1));
    assert!(world.relays.is_empty());
}

/// One address has so many allocations, by whatever names: 486. An IPv6 network is one address.
#[test]
fn quota_by_address() {
    for (own, other) in [
        (["5.5.5.5:1", "5.5.5.5:2", "5.5.5.5:3"], "5.5.5.6:1"),
        (
            ["[2a00::1]:1", "[2a00::2]:1", "[2a00::3:3]:1"],
            "[2a00:0:0:1::1]:1",
        ),
    ] {
        let mut world = World::new(Config {
            address_quota: 2,
            ..config()
        });
        let mut try_one = |remote: &str, seconds| {
            let (username, password) = minted(seconds);
            let mut client = Client::new(Transport::Udp, &username, &password);
            client.allocate(world.now, AllocateOptions::default());
            match world.talk(udp(remote), &mut client)[..] {
                [ClientEvent::Allocated { .. }] => None,
                ref events => Some(refused(events)),
            }
        };
        assert_eq!(try_one(own[0], 100), None);
        assert_eq!(try_one(own[1], 101), None);
        assert_eq!(try_one(own[2], 102), Some(486));
        assert_eq!(try_one(other, 103), None);
        assert_eq!(world.server.stats().refused(Refusal::AddressQuota), 1);
    }
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
            [ClientEvent::Allocated { .. }] => {
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

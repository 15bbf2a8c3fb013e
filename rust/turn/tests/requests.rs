//! Who sends a request, and how it is answered: RFC 8489 §9.2, RFC 8656 §5.

mod world;

use std::time::Duration;

use icey_turn::client::{AllocateOptions, Client, ClientEvent};
use icey_turn::integrity::Integrity;
use icey_turn::message::{Class, Message, attribute, method};
use icey_turn::{Refusal, Transport};
use world::{
    Attributes, HERE, UDP, World, address, answer, code, config, minted, plain, request, udp,
};

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
    let bound = ClientEvent::Bound {
        mapped: address(HERE),
    };
    assert_eq!(world.talk(from, &mut client), [bound]);
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
    let lists: [Attributes<'_>; 4] = [
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

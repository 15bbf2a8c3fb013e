//! The client tells what it hears, and believes its server alone.

mod world;

use std::time::Duration;

use icey_turn::Transport;
use icey_turn::client::{Client, ClientEvent, Failure, RequestKind};
use icey_turn::message::{Builder, Class, Message, attribute, method};
use world::{EPOCH, HERE, World, config, udp};

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
    let failed = ClientEvent::Failed {
        step: RequestKind::Binding,
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
    assert_eq!(
        client.poll_event(),
        Some(ClientEvent::Refreshed { lifetime })
    );
    assert!(world.unix() >= EPOCH);
}

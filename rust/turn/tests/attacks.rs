//! The attack table, senders who are not who they say: each row refused, and counted.

mod world;

use std::time::Duration;

use icey_turn::client::{AllocateOptions, Client, ClientEvent};
use icey_turn::message::{Builder, Class, Message, attribute, method};
use icey_turn::{Config, FiveTuple, Refusal, Transport, credentials};
use world::{EPOCH, HERE, SECRET, World, client, code, config, minted, nonce, plain, refused, udp};

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
    let refreshed = ClientEvent::Refreshed {
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
        [ClientEvent::Refreshed {
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

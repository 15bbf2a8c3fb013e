//! Any bytes at all, as a message, as a stream, and as what a server sends.

use icey_turn::client::{AllocateOptions, Client};
use icey_turn::framing::{Framer, MAX_FRAME};
use icey_turn::integrity::Key;
use icey_turn::message::{Builder, Message, attribute};
use icey_turn::{Refusal, Transport};

use super::{World, client, config};

/// Whatever the bytes are, nothing panics, and what was understood is what is there.
pub fn run(bytes: &[u8]) {
    message(bytes);
    stream(bytes);
    answered(bytes);
    received(bytes);
}

/// A message that is read can be written again and is the same.
fn message(bytes: &[u8]) {
    let Ok(message) = Message::parse(bytes) else {
        return;
    };
    let mut again = Builder::new(message.class(), message.method(), message.transaction());
    for (kind, value) in message.attributes() {
        assert_eq!(message.get(kind).is_some(), message.has(kind));
        let _ = (message.text(kind), message.number(kind));
        if let Some(address) = message.unmask(value) {
            let same =
                Builder::new(message.class(), 1, message.transaction()).address(kind, address);
            let same = same.finish();
            let same = Message::parse(&same).expect("what was written can be read");
            assert_eq!(same.address(kind), Some(address));
        }
        again = again.attribute(kind, value);
    }
    let _ = (message.error(), message.not_understood().count());
    let key = Key::short_term("key");
    assert!(!message.verify(&key) || message.integrity().is_some());
    let written = again.finish();
    let read = Message::parse(&written).expect("what was written can be read");
    assert!(read.attributes().eq(message.attributes()));
    assert_eq!(
        (read.class(), read.method()),
        (message.class(), message.method())
    );
}

/// A stream gives the same frames whether it comes at once or byte by byte, and all of its bytes in them.
fn stream(bytes: &[u8]) {
    let cut = |most: usize| {
        let (mut framer, mut frames, mut rest) = (Framer::new(), Vec::new(), bytes);
        loop {
            loop {
                match framer.next_frame() {
                    Ok(Some(frame)) => {
                        assert!(frame.len() <= MAX_FRAME);
                        frames.push(frame.to_vec());
                    }
                    Ok(None) => break,
                    Err(_) => return (frames, false),
                }
            }
            if rest.is_empty() {
                return (frames, true);
            }
            let space = framer.space();
            let count = most.min(space.len()).min(rest.len());
            space[..count].copy_from_slice(&rest[..count]);
            framer.filled(count);
            rest = &rest[count..];
        }
    };
    let (frames, _) = cut(usize::MAX);
    assert_eq!(cut(usize::MAX), cut(7));
    assert!(bytes.starts_with(&frames.concat()));
}

/// A client that waits for an answer gets this instead.
fn answered(bytes: &[u8]) {
    let now = std::time::Instant::now();
    let mut turn = Client::new(Transport::Tcp, "user", "password");
    turn.allocate(now, AllocateOptions::default());
    turn.receive(now, bytes);
    // The same as an answer to its own request.
    let sent = turn.poll_transmit().expect("a request");
    if let (Ok(answer), Ok(request)) = (Message::parse(bytes), Message::parse(&sent)) {
        let method = request.method();
        let mut same = Builder::new(answer.class(), method, request.transaction());
        for (kind, value) in answer.attributes() {
            same = same.attribute(kind, value);
        }
        turn.receive(now, &same.finish());
    }
    while turn.poll_transmit().is_some() || turn.poll_event().is_some() {}
}

/// A server with a client gets this from the client and from somebody else.
fn received(bytes: &[u8]) {
    for transport in [Transport::Udp, Transport::Tls] {
        let mut world = World::new(config());
        let from = client(transport, "5.5.5.5:1");
        world.allocated(from);
        let _ = world.receive(from, bytes);
        let _ = world.receive(client(transport, "6.6.6.6:1"), bytes);
        for (_, data) in std::mem::take(&mut world.sent) {
            let message = Message::parse(&data).expect("answers can be read");
            assert!(
                data.len() < 400
                    && message.has(attribute::XOR_MAPPED_ADDRESS) | message.error().is_some()
            );
        }
        assert_eq!(world.server.stats().allocations, 1);
        assert_eq!(world.refused(Refusal::Expired), 0);
    }
}

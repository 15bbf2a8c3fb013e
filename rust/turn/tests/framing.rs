//! Frames are cut from a stream as they are, or the stream is given up.

use icey_turn::framing::{Framer, FramingError, MAX_FRAME};
use icey_turn::message::{Builder, Class, attribute, method};

/// Reads all of `bytes`, so many at a time, and cuts them.
fn cut(bytes: &[u8], most: usize) -> Result<Vec<Vec<u8>>, FramingError> {
    let (mut framer, mut frames, mut rest) = (Framer::new(), Vec::new(), bytes);
    while !rest.is_empty() {
        let space = framer.space();
        let count = most.min(space.len()).min(rest.len());
        space[..count].copy_from_slice(&rest[..count]);
        framer.filled(count);
        rest = &rest[count..];
        while let Some(frame) = framer.next_frame()? {
            frames.push(frame.to_vec());
        }
    }
    Ok(frames)
}

/// STUN and ChannelData of all lengths come out as they went in, however they are cut on their way.
#[test]
fn whole_frames() {
    let mut frames = vec![Builder::new(Class::Request, method::BINDING, [1; 12]).finish()];
    for length in [0, 1, 2, 3, 4, 5, 1200, 65_528] {
        let data = vec![7; length];
        let stun = Builder::new(Class::Indication, method::SEND, [1; 12]);
        frames.push(stun.attribute(attribute::DATA, &data).finish());
        let mut channel = [&[0x40, 1][..], &(length as u16).to_be_bytes(), &data].concat();
        channel.resize(channel.len().next_multiple_of(4), 0);
        frames.push(channel);
    }
    for most in [1, 3, 1460, usize::MAX] {
        assert_eq!(
            cut(&frames.concat(), most).as_ref(),
            Ok(&frames),
            "{most} at a time"
        );
    }
}

/// A stream of something else is given up at its first byte that does not fit.
#[test]
fn other_protocols() {
    let mut odd = Builder::new(Class::Request, method::BINDING, [1; 12]).finish();
    odd[3] = 2;
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01",
        b"\x80",
        b"\x50\0\0\0",
        &odd,
    ] {
        assert_eq!(cut(bytes, 1), Err(FramingError));
    }
    let good = Builder::new(Class::Request, method::BINDING, [1; 12]).finish();
    for late in [&b"SSH-2.0"[..], b"\0\x01\0\0\x21\x12\xA4\x43"] {
        assert_eq!(cut(&[&good, late].concat(), 5), Err(FramingError));
    }
    assert_eq!(
        cut(b"\x40\0\0\0", 1),
        Err(FramingError),
        "a channel before it can be bound"
    );
}

/// A frame that never ends holds the memory of one frame and one read, and it can be told that one has begun.
#[test]
fn slow_frames() {
    let mut framer = Framer::new();
    assert!(!framer.is_within_frame());
    let mut sent = vec![0, 1, 0xFF, 0xFC, 0x21, 0x12, 0xA4, 0x42];
    sent.resize(MAX_FRAME - 1, 0);
    for byte in sent {
        let space = framer.space();
        assert!(space.len() <= 2 * 16 * 1024);
        space[0] = byte;
        framer.filled(1);
        assert_eq!(framer.next_frame(), Ok(None));
        assert!(framer.is_within_frame());
    }
}

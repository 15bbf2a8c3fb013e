//! The test vectors of RFC 5769 and RFC 8489: what others wrote is read, and what is written is what they wrote.

use std::net::SocketAddr;

use icey_turn::integrity::{Integrity, Key, PasswordAlgorithm};
use icey_turn::message::{Builder, Class, Message, ParseError, attribute, method};

/// Bytes from hexadecimal digits, in words as the RFCs print them.
fn bytes(words: &[&str]) -> Vec<u8> {
    let digits: String = words.concat().split_whitespace().collect();
    data_encoding::HEXLOWER
        .decode(digits.as_bytes())
        .expect("hexadecimal digits")
}

/// RFC 5769 §2.1.
fn request() -> Vec<u8> {
    bytes(&[
        "00010058 2112a442 b7e7a701 bc34d686 fa87dfae",
        "80220010 5354554e 20746573 7420636c 69656e74",
        "00240004 6e0001ff 80290008 932ff9b1 51263b36",
        "00060009 6576746a 3a683676 59202020",
        "00080014 9aeaa70c bfd8cb56 781ef2b5 b2d3f249 c1b571a2",
        "80280004 e57a3bcf",
    ])
}

/// RFC 5769 §2.2.
fn answer_v4() -> Vec<u8> {
    bytes(&[
        "0101003c 2112a442 b7e7a701 bc34d686 fa87dfae",
        "8022000b 74657374 20766563 746f7220",
        "00200008 0001a147 e112a643",
        "00080014 2b91f599 fd9e90c3 8c7489f9 2af9ba53 f06be7d7",
        "80280004 c07d4c96",
    ])
}

/// RFC 5769 §2.3.
fn answer_v6() -> Vec<u8> {
    bytes(&[
        "01010048 2112a442 b7e7a701 bc34d686 fa87dfae",
        "8022000b 74657374 20766563 746f7220",
        "00200014 0002a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9",
        "00080014 a382954e 4be67bf1 1784c97c 8292c275 bfe3ed41",
        "80280004 c8fb0b4c",
    ])
}

/// RFC 5769 §2.4.
fn long_term() -> Vec<u8> {
    bytes(&[
        "00010060 2112a442 78ad3433 c6ad72c0 29da412e",
        "00060012 e3839ee3 8388e383 aae38383 e382afe3 82b90000",
        "0015001c 662f2f34 39396b39 35346436 4f4c3334 6f4c3946 53547679 36347341",
        "0014000b 6578616d 706c652e 6f726700",
        "00080014 f6702465 6dd64a3e 02b8e071 2e85c9a2 8ca89666",
    ])
}

/// RFC 8489 appendix B.1, with the length of erratum 6268.
fn sha256() -> Vec<u8> {
    bytes(&[
        "00010090 2112a442 78ad3433 c6ad72c0 29da412e",
        "001e0020 4a3cf38f ef6992bd a952c678 0417da0f 24819415 569e60b2 05c46e41 407f1704",
        "00150029 6f624d61 744a6f73 32414141 43662f2f 3439396b 39353464",
        "364f4c33 346f4c39 46535476 79363473 41000000",
        "0014000b 6578616d 706c652e 6f726700",
        "001d0004 00020000",
        "001c0020 b5c7bf00 5b6c52a2 1c51c5e8 92f81924 136296cb 927c4314 9309278c c6518e65",
    ])
}

const USERNAME: &str = "マトリックス";
const SHORT_TERM: &str = "VOkJxbRl1RmTxUk/WvJxBt";

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// A request with short-term credentials is read, and its integrity holds under its password alone.
#[test]
fn rfc5769_request() {
    let bytes = request();
    let message = Message::parse(&bytes).expect("a message");
    assert_eq!(
        (message.class(), message.method()),
        (Class::Request, method::BINDING)
    );
    assert_eq!(message.text(attribute::SOFTWARE), Some("STUN test client"));
    assert_eq!(message.text(attribute::USERNAME), Some("evtj:h6vY"));
    assert!(message.has_fingerprint());
    assert!(message.verify(&Key::short_term(SHORT_TERM)));
    assert!(!message.verify(&Key::short_term("another")));
}

/// An answer with an IPv4 address is read, and written byte by byte but for its padding.
#[test]
fn rfc5769_answer_v4() {
    let bytes = answer_v4();
    let message = Message::parse(&bytes).expect("a message");
    let mapped = message.address(attribute::XOR_MAPPED_ADDRESS);
    assert_eq!(mapped, Some(address("192.0.2.1:32853")));
    assert!(message.verify(&Key::short_term(SHORT_TERM)));
}

/// An answer with an IPv6 address is read.
#[test]
fn rfc5769_answer_v6() {
    let bytes = answer_v6();
    let message = Message::parse(&bytes).expect("a message");
    let mapped = message.address(attribute::XOR_MAPPED_ADDRESS);
    let expected = address("[2001:db8:1234:5678:11:2233:4455:6677]:32853");
    assert_eq!(mapped, Some(expected));
    assert!(message.verify(&Key::short_term(SHORT_TERM)));
}

/// A request with long-term credentials is read, and written byte by byte.
#[test]
fn rfc5769_long_term() {
    let bytes = long_term();
    let message = Message::parse(&bytes).expect("a message");
    assert_eq!(message.text(attribute::USERNAME), Some(USERNAME));
    let algorithm = PasswordAlgorithm::Md5;
    let key = Key::long_term(algorithm, USERNAME.as_bytes(), "example.org", "TheMatrIX");
    assert_eq!(message.integrity(), Some(Integrity::Sha1));
    assert!(message.verify(&key));
    let mut again = Builder::new(Class::Request, method::BINDING, message.transaction());
    for (kind, value) in message.attributes() {
        again = again.attribute(kind, value);
    }
    assert_eq!(again.integrity(Integrity::Sha1, &key).finish(), bytes);
}

/// A request with SHA-256 for key and integrity is read, and written byte by byte.
#[test]
fn rfc8489_sha256() {
    let bytes = sha256();
    let message = Message::parse(&bytes).expect("a message");
    let algorithm = PasswordAlgorithm::Sha256;
    let key = Key::long_term(algorithm, USERNAME.as_bytes(), "example.org", "TheMatrIX");
    assert_eq!(message.integrity(), Some(Integrity::Sha256));
    assert!(message.verify(&key));
    let md5 = PasswordAlgorithm::Md5;
    let other = Key::long_term(md5, USERNAME.as_bytes(), "example.org", "TheMatrIX");
    assert!(!message.verify(&other));
    let mut again = Builder::new(Class::Request, method::BINDING, message.transaction());
    for (kind, value) in message.attributes() {
        again = again.attribute(kind, value);
    }
    assert_eq!(again.integrity(Integrity::Sha256, &key).finish(), bytes);
}

/// Each byte that changes breaks a vector: its form, its FINGERPRINT or its integrity; or strips the FINGERPRINT off.
#[test]
fn changed_vectors_are_refused() {
    let algorithm = PasswordAlgorithm::Md5;
    let long = Key::long_term(algorithm, USERNAME.as_bytes(), "example.org", "TheMatrIX");
    let short = Key::short_term(SHORT_TERM);
    let vectors = [
        (request(), &short),
        (answer_v4(), &short),
        (answer_v6(), &short),
        (long_term(), &long),
    ];
    for (vector, key) in vectors {
        assert!(Message::parse(&vector).expect("a message").verify(key));
        for place in 0..vector.len() {
            let mut changed = vector.clone();
            changed[place] ^= 1;
            match Message::parse(&changed) {
                Err(ParseError::Malformed | ParseError::Fingerprint) => {}
                // Behind the integrity is the FINGERPRINT alone; as another attribute it is ignored.
                Ok(message) => {
                    let stripped = place > vector.len() - 9 && !message.has_fingerprint();
                    assert!(!message.verify(key) || stripped, "byte {place}");
                }
            }
        }
    }
}

/// No part of a vector is a message, and neither is one with more behind it.
#[test]
fn cut_vectors_are_refused() {
    for vector in [request(), answer_v4(), answer_v6(), long_term(), sha256()] {
        for length in 0..vector.len() {
            assert!(Message::parse(&vector[..length]).is_err(), "{length} bytes");
        }
        let longer = [&vector[..], &[0; 4]].concat();
        assert!(Message::parse(&longer).is_err());
    }
}

/// What is behind an integrity does not count, but for FINGERPRINT; nothing may be behind that.
#[test]
fn attributes_behind_the_integrity_are_ignored() {
    let key = Key::short_term("secret");
    let signed = |builder: Builder| builder.integrity(Integrity::Sha1, &key);
    let builder = || Builder::new(Class::Request, method::BINDING, [1; 12]);
    let late = signed(builder()).attribute(attribute::USERNAME, b"late");
    let late = late.finish_with_fingerprint();
    let message = Message::parse(&late).expect("a message");
    assert!(message.verify(&key));
    assert_eq!(message.get(attribute::USERNAME), None);

    let mut behind = signed(builder()).finish_with_fingerprint();
    behind.extend([0x80, 0x22, 0, 0]);
    let length = (behind.len() - 20) as u16;
    behind[2..4].copy_from_slice(&length.to_be_bytes());
    assert!(Message::parse(&behind).is_err());
}

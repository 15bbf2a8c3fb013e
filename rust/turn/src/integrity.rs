//! Keys and integrity (RFC 8489 §9, §14.5, §14.6).

use std::fmt;

use aws_lc_rs::{constant_time, digest, hmac};
use md5::{Digest, Md5};

/// How the key is made of a long-term credential (RFC 8489 §18.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PasswordAlgorithm {
    Md5,
    Sha256,
}

impl PasswordAlgorithm {
    /// The value of PASSWORD-ALGORITHM: number, and no parameters.
    pub fn value(self) -> [u8; 4] {
        match self {
            Self::Md5 => [0, 1, 0, 0],
            Self::Sha256 => [0, 2, 0, 0],
        }
    }
}

/// Which HMAC protects a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Integrity {
    Sha1,
    Sha256,
}

impl Integrity {
    fn algorithm(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
        }
    }
}

/// What a message is protected with.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl Key {
    /// The key of a long-term credential (§9.2.2), of which nothing is prepared by OpaqueString: what this server
    /// mints is ASCII, and anything else is none of its credentials.
    pub fn long_term(
        algorithm: PasswordAlgorithm,
        username: &[u8],
        realm: &str,
        password: &str,
    ) -> Self {
        let parts: [&[u8]; 5] = [username, b":", realm.as_bytes(), b":", password.as_bytes()];
        Self(match algorithm {
            PasswordAlgorithm::Md5 => {
                let mut md5 = Md5::new();
                parts.iter().for_each(|part| md5.update(part));
                md5.finalize().to_vec()
            }
            PasswordAlgorithm::Sha256 => {
                let mut sha256 = digest::Context::new(&digest::SHA256);
                parts.iter().for_each(|part| sha256.update(part));
                sha256.finish().as_ref().to_vec()
            }
        })
    }

    /// The key of a short-term credential (§9.1.1): the password itself.
    pub fn short_term(password: &str) -> Self {
        Self(password.as_bytes().to_vec())
    }

    /// The tag over the message `before` it, where the header is to say `length`.
    pub(crate) fn sign(&self, integrity: Integrity, before: &[u8], length: usize) -> hmac::Tag {
        let key = hmac::Key::new(integrity.algorithm(), &self.0);
        let mut context = hmac::Context::with_key(&key);
        context.update(&before[..2]);
        context.update(&(length as u16).to_be_bytes());
        context.update(&before[4..]);
        context.sign()
    }

    /// Compares in constant time. A truncated tag fails: TURN does not allow it (§14.6).
    pub(crate) fn verify(
        &self,
        integrity: Integrity,
        before: &[u8],
        length: usize,
        tag: &[u8],
    ) -> bool {
        let expected = self.sign(integrity, before, length);
        constant_time::verify_slices_are_equal(expected.as_ref(), tag).is_ok()
    }
}

/// Without the key.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

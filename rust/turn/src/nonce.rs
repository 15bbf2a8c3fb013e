//! Nonces that prove themselves: nothing is stored for them.
//!
//! `obMatJos2` and the security features (RFC 8489 §9.2), then base64 of the second it was made in and an
//! HMAC over that and the client's address. Anybody else's nonce, an invented and an old one are all stale.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use aws_lc_rs::{constant_time, hmac};
use data_encoding::BASE64;

use crate::five_tuple::{FiveTuple, Transport};

/// How long a nonce is good for.
pub const NONCE_LIFETIME: Duration = Duration::from_secs(600);

/// The nonce cookie (§9.2), and 24 bits of features in base64: bit 0, password algorithms.
const COOKIE: &str = "obMatJos2gAAA";
const TAG: usize = 14;

/// Makes and knows nonces.
pub(crate) struct Nonces {
    key: hmac::Key,
    /// The zero of the seconds in nonces.
    start: Option<Instant>,
}

impl Nonces {
    pub fn new(key: &[u8; 32]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            start: None,
        }
    }

    /// A nonce for this client.
    pub fn make(&mut self, now: Instant, client: FiveTuple) -> String {
        let seconds = self.seconds(now).to_be_bytes();
        let mut bytes = [0; 4 + TAG];
        bytes[..4].copy_from_slice(&seconds);
        bytes[4..].copy_from_slice(&self.tag(seconds, client).as_ref()[..TAG]);
        format!("{COOKIE}{}", BASE64.encode(&bytes))
    }

    /// Whether this client was given it, not too long ago.
    pub fn is_fresh(&mut self, now: Instant, client: FiveTuple, nonce: &[u8]) -> bool {
        let Some(encoded) = nonce.strip_prefix(COOKIE.as_bytes()) else {
            return false;
        };
        let mut bytes = [0; 4 + TAG];
        if encoded.len() != BASE64.encode_len(bytes.len())
            || BASE64.decode_mut(encoded, &mut bytes).is_err()
        {
            return false;
        }
        let (seconds, tag) = bytes.split_at(4);
        let seconds = [seconds[0], seconds[1], seconds[2], seconds[3]];
        let expected = self.tag(seconds, client);
        if constant_time::verify_slices_are_equal(&expected.as_ref()[..TAG], tag).is_err() {
            return false;
        }
        let age = self
            .seconds(now)
            .saturating_sub(u32::from_be_bytes(seconds));
        u64::from(age) < NONCE_LIFETIME.as_secs()
    }

    fn seconds(&mut self, now: Instant) -> u32 {
        let start = *self.start.get_or_insert(now);
        u32::try_from(now.saturating_duration_since(start).as_secs()).unwrap_or(u32::MAX)
    }

    fn tag(&self, seconds: [u8; 4], client: FiveTuple) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&seconds);
        context.update(&[match client.transport {
            Transport::Udp => 0,
            Transport::Tcp => 1,
            Transport::Tls => 2,
        }]);
        match client.remote.ip() {
            IpAddr::V4(ip) => context.update(&ip.octets()),
            IpAddr::V6(ip) => context.update(&ip.octets()),
        }
        context.update(&client.remote.port().to_be_bytes());
        context.sign()
    }
}

/// Without the key.
impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nonces")
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}

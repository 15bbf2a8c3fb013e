//! Time-limited credentials: the TURN REST scheme.
//!
//! A username is `<unix expiry>` or `<unix expiry>:<suffix>`; its password is the base64 of
//! HMAC-SHA1 over it, under a secret that only the server knows.

use aws_lc_rs::hmac;
use data_encoding::BASE64;

/// The password that belongs to a username.
pub fn password(secret: &[u8], username: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    BASE64.encode(hmac::sign(&key, username.as_bytes()).as_ref())
}

/// When credentials with this username end, in seconds since 1970; `None` where it does not say.
pub fn expiry(username: &str) -> Option<u64> {
    let digits = username.split(':').next()?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

//! Credentials are those of the TURN REST scheme.

use icey_turn::credentials::{expiry, password};

/// The password of a username is what `printf … | openssl dgst -sha1 -hmac … -binary | base64` gives.
#[test]
fn passwords() {
    assert_eq!(
        password(b"key", "The quick brown fox jumps over the lazy dog"),
        "3nybhbi3iqa8ino29wqQcBydtNk="
    );
}

/// A username begins with its end, and may go on behind a colon.
#[test]
fn expiries() {
    assert_eq!(expiry("1900000000"), Some(1_900_000_000));
    assert_eq!(expiry("1900000000:name"), Some(1_900_000_000));
    assert_eq!(expiry("1900000000:a:b"), Some(1_900_000_000));
    assert_eq!(expiry("18446744073709551615"), Some(u64::MAX));
    for none in [
        "",
        ":",
        "name",
        "name:1900000000",
        "+1",
        "-1",
        " 1",
        "1.5",
        "18446744073709551616",
        "１２",
    ] {
        assert_eq!(expiry(none), None, "{none}");
    }
}

//! What an offer tells of ICE and DTLS, of the session or of a section.

use crate::error::EngineError;

/// Lengths of an ICE user name fragment and password; RFC 8839 §5.4 has up to 256, and 4 to 32 are
/// seen. With ours behind it a longer fragment makes more than the 128 bytes that str0m writes of a user name:
/// it panics there.
const UFRAG_BYTES: std::ops::RangeInclusive<usize> = 4..=96;
const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 22..=256;

const MAX_FINGERPRINTS: usize = 4;
const MAX_FINGERPRINT_BYTES: usize = 256;

/// What is told of ICE and DTLS, of the session or of a section.
#[derive(Debug, Default)]
pub struct Transport<'a> {
    pub ufrag: Option<&'a str>,
    pub password: Option<&'a str>,
    pub fingerprints: Vec<&'a str>,
    pub setup: Option<&'a str>,
}

impl<'a> Transport<'a> {
    /// Takes an attribute; `false` if it is about something else.
    pub fn take(&mut self, name: &str, value: &'a str) -> Result<bool, EngineError> {
        let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        match name {
            "ice-ufrag" => {
                if !UFRAG_BYTES.contains(&value.len()) || !is_word(value) || value.contains(':') {
                    return Err(EngineError::sdp(
                        "an ice-ufrag has 4 to 96 letters or digits",
                    ));
                }
                self.ufrag.get_or_insert(value);
            }
            "ice-pwd" => {
                if !PASSWORD_BYTES.contains(&value.len()) || !is_word(value) {
                    return Err(EngineError::sdp(
                        "an ice-pwd has 22 to 256 letters or digits",
                    ));
                }
                self.password.get_or_insert(value);
            }
            "fingerprint" => {
                if !is_fingerprint(value) {
                    return Err(EngineError::sdp("a fingerprint makes no sense"));
                }
                if self.fingerprints.len() < MAX_FINGERPRINTS {
                    self.fingerprints.push(value);
                }
            }
            "setup" if matches!(value, "actpass" | "active" | "passive") => {
                self.setup.get_or_insert(value);
            }
            "setup" => {}
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// A hash's name, and its bytes in hexadecimal (RFC 8122 §5).
fn is_fingerprint(value: &str) -> bool {
    let Some((name, bytes)) = value.split_once(' ') else {
        return false;
    };
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let mut pairs = bytes.split(':');
    let is_pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
    is_name && value.len() <= MAX_FINGERPRINT_BYTES && pairs.all(is_pair)
}

//! Who sent a request (RFC 8489 §9.2.4).
//!
//! Nothing is remembered about who cannot tell; an answer to him is made of his request and the nonce key.

use std::time::Instant;

use super::state::{Rejection, Server};
use crate::credentials;
use crate::five_tuple::FiveTuple;
use crate::integrity::{Integrity, Key, PasswordAlgorithm};
use crate::message::{Builder, Message, attribute, method};
use crate::stats::Refusal;

/// PASSWORD-ALGORITHMS: what a key can be made with, the better one first.
const ALGORITHMS: [u8; 8] = [0, 2, 0, 0, 0, 1, 0, 0];
/// USERNAME is shorter than this (RFC 8489 §14.3).
const MAX_USERNAME: usize = 509;

/// Somebody whose credentials hold.
#[derive(Debug)]
pub(super) struct Sender<'a> {
    pub username: &'a str,
    /// The time of the credentials is over: nothing more is granted.
    pub expired: bool,
    pub key: Key,
    pub integrity: Integrity,
}

impl Server {
    /// Knows the sender, or answers him why not.
    pub(super) fn authenticate<'a>(
        &mut self,
        now: Instant,
        unix_seconds: u64,
        from: FiveTuple,
        message: &Message<'a>,
    ) -> Option<Sender<'a>> {
        let sender = match self.identify(now, unix_seconds, from, message) {
            Ok(sender) => sender,
            Err(rejection) => {
                self.turn_away(now, from, message, rejection);
                return None;
            }
        };
        // Freeing what one has is no grant.
        let frees =
            message.method() == method::REFRESH && message.number(attribute::LIFETIME) == Some(0);
        let grants = matches!(message.method(), method::ALLOCATE | method::REFRESH) && !frees;
        if sender.expired && grants {
            let rejection = Rejection::new(Refusal::Expired, 401, "Credentials Expired");
            self.turn_away(now, from, message, rejection);
            return None;
        }
        Some(sender)
    }

    fn identify<'a>(
        &mut self,
        now: Instant,
        unix_seconds: u64,
        from: FiveTuple,
        message: &Message<'a>,
    ) -> Result<Sender<'a>, Rejection> {
        const FORGED: Rejection = Rejection::new(Refusal::Forged, 401, "Unauthorized");
        let Some(integrity) = message.integrity() else {
            return Err(Rejection::new(Refusal::Challenged, 401, "Unauthorized"));
        };
        let (Some(nonce), true) = (message.get(attribute::NONCE), message.has(attribute::REALM))
        else {
            return Err(Rejection::BAD_REQUEST);
        };
        let Some(username) = message.get(attribute::USERNAME) else {
            // Usernames are not anonymous here, and so no hash of one is known (§9.2.4).
            return Err(if message.has(attribute::USERHASH) {
                FORGED
            } else {
                Rejection::BAD_REQUEST
            });
        };
        if !self.nonces.is_fresh(now, from, nonce) {
            return Err(Rejection::new(Refusal::StaleNonce, 438, "Stale Nonce"));
        }
        let algorithm = password_algorithm(message)?;
        let username = std::str::from_utf8(username)
            .ok()
            .filter(|username| username.len() < MAX_USERNAME)
            .ok_or(FORGED)?;
        let expiry = credentials::expiry(username).ok_or(FORGED)?;
        let password = credentials::password(&self.config.secret, username);
        let key = Key::long_term(
            algorithm,
            username.as_bytes(),
            &self.config.realm,
            &password,
        );
        if self.config.secret.is_empty() || !message.verify(&key) {
            return Err(FORGED);
        }
        Ok(Sender {
            username,
            expired: expiry <= unix_seconds,
            key,
            integrity,
        })
    }

    /// An answer without integrity, for there is no key in common. A challenge has no SOFTWARE: it is what anybody can
    /// have sent to anybody else, and should not be much longer than what asked for it.
    fn turn_away(
        &mut self,
        now: Instant,
        from: FiveTuple,
        message: &Message<'_>,
        rejection: Rejection,
    ) {
        self.stats.refuse(rejection.refusal);
        let mut answer = Builder::error(
            message.method(),
            message.transaction(),
            rejection.code,
            rejection.reason,
        );
        if matches!(rejection.code, 401 | 438) {
            let nonce = self.nonces.make(now, from);
            answer = answer
                .attribute(attribute::REALM, self.config.realm.as_bytes())
                .attribute(attribute::NONCE, nonce.as_bytes())
                .attribute(attribute::PASSWORD_ALGORITHMS, &ALGORITHMS);
        }
        self.send(from, answer.finish_with_fingerprint());
    }
}

/// What the key is made with: MD5, where a client does not speak of it (§9.2.4).
fn password_algorithm(message: &Message<'_>) -> Result<PasswordAlgorithm, Rejection> {
    let offered = message.get(attribute::PASSWORD_ALGORITHMS);
    let chosen = message.get(attribute::PASSWORD_ALGORITHM);
    match (offered, chosen) {
        (None, None) => Ok(PasswordAlgorithm::Md5),
        // Another list than the one sent is somebody in between who wants the weaker one taken.
        (Some(offered), Some(chosen)) if offered == ALGORITHMS => {
            [PasswordAlgorithm::Sha256, PasswordAlgorithm::Md5]
                .into_iter()
                .find(|algorithm| algorithm.value() == chosen)
                .ok_or(Rejection::BAD_REQUEST)
        }
        _ => Err(Rejection::BAD_REQUEST),
    }
}

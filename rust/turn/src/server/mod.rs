//! The server: what comes in, what goes out, and when.
//!
//! | file | what |
//! |---|---|
//! | `state` | all that a server knows |
//! | `authentication` | who sent a request: challenges, nonces, credentials |
//! | `request`, `rejection` | a request with its sender; why one is refused |
//! | `allocating` | Allocate and Refresh, relays opened and ended |
//! | `peers` | CreatePermission and ChannelBind |
//! | `relaying` | payloads, both ways |

mod allocating;
mod authentication;
mod peers;
mod rejection;
mod relaying;
mod request;
mod state;

use std::time::Instant;

pub use self::state::Server;
use crate::five_tuple::FiveTuple;
use crate::message::{Builder, Class, Message, ParseError, attribute, canonical, method};
use crate::output::ToPeer;
use crate::stats::Refusal;

impl Server {
    /// Takes what a client sent: one UDP datagram, or one frame cut from a stream by [`framing`](crate::framing).
    ///
    /// `unix_seconds` is the wall clock, which credentials end by. Gives the payload that is to be passed on, if there
    /// is one; then [`poll`](Self::poll).
    pub fn receive(
        &mut self,
        now: Instant,
        unix_seconds: u64,
        from: FiveTuple,
        data: &[u8],
    ) -> Option<ToPeer> {
        // RFC 7983 §7, RFC 8656 §12.5: the first byte tells ChannelData and STUN apart.
        match data.first() {
            Some(0x40..=0x4F) => {
                let done = self.channel_data(now, from, data);
                self.counted(done)
            }
            Some(0..=3) => self.stun(now, unix_seconds, from, data),
            _ => self.counted(Err(Refusal::Malformed)),
        }
    }

    fn stun(
        &mut self,
        now: Instant,
        unix_seconds: u64,
        from: FiveTuple,
        data: &[u8],
    ) -> Option<ToPeer> {
        let message = match Message::parse(data) {
            Ok(message) => message,
            Err(ParseError::Malformed) => return self.counted(Err(Refusal::Malformed)),
            Err(ParseError::Fingerprint) => return self.counted(Err(Refusal::Fingerprint)),
        };
        match (message.class(), message.method()) {
            (Class::Indication, method::SEND) => {
                let done = self.send_indication(now, from, data, &message);
                return self.counted(done);
            }
            // Keeps a NAT open, and asks for nothing (RFC 8489 §2).
            (Class::Indication, method::BINDING) => {}
            (Class::Request, method::BINDING) => self.binding(from, &message),
            (
                Class::Request,
                method::ALLOCATE
                | method::REFRESH
                | method::CREATE_PERMISSION
                | method::CHANNEL_BIND,
            ) => self.request(now, unix_seconds, from, &message),
            // Answers to what was never asked, and methods that are not there: silence (RFC 8489 §6.3).
            _ => self.stats.refuse(Refusal::Malformed),
        }
        None
    }

    fn binding(&mut self, from: FiveTuple, message: &Message<'_>) {
        let unknown: Vec<u16> = message.not_understood().collect();
        if !unknown.is_empty() {
            self.stats.refuse(Refusal::UnknownAttribute);
            let answer = unknown_attributes(message, &unknown);
            self.send(from, answer.finish_with_fingerprint());
            return;
        }
        let answer = Builder::new(Class::Success, method::BINDING, message.transaction())
            .address(attribute::XOR_MAPPED_ADDRESS, canonical(from.remote));
        let answer = self.with_software(answer).finish_with_fingerprint();
        self.send(from, answer);
    }

    /// A request that needs a credential.
    fn request(&mut self, now: Instant, unix_seconds: u64, from: FiveTuple, message: &Message<'_>) {
        let Some(request) = self.authenticate(now, unix_seconds, from, message) else {
            return;
        };
        let unknown: Vec<u16> = message.not_understood().collect();
        let done = match message.method() {
            _ if !unknown.is_empty() => {
                self.stats.refuse(Refusal::UnknownAttribute);
                Ok(Some(unknown_attributes(message, &unknown)))
            }
            method::ALLOCATE => self.allocate(&request),
            method::REFRESH => self.refresh(&request).map(Some),
            method::CREATE_PERMISSION => self.create_permission(&request).map(Some),
            _ => self.channel_bind(&request).map(Some),
        };
        let answer = done.unwrap_or_else(|rejection| {
            self.stats.refuse(rejection.refusal);
            Some(rejection.answer(message.method(), message.transaction()))
        });
        if let Some(answer) = answer {
            self.send_signed(from, answer, request.integrity, &request.key);
        }
    }
}

fn unknown_attributes(message: &Message<'_>, unknown: &[u16]) -> Builder {
    // As many as an answer of a reasonable size can name.
    let named: Vec<u8> = unknown
        .iter()
        .take(16)
        .flat_map(|kind| kind.to_be_bytes())
        .collect();
    Builder::error(
        message.method(),
        message.transaction(),
        420,
        "Unknown Attribute",
    )
    .attribute(attribute::UNKNOWN_ATTRIBUTES, &named)
}

//! On which path a peer is sent what goes past str0m.
//!
//! str0m knows, and tells once a second. A second on a path that was left is too long. So whenever
//! it may have changed its mind, it is handed a message to send, and where it would send that is
//! the path; the message itself is not sent. It changes its mind where the browser names a path
//! (USE-CANDIDATE, RFC 8445 §7.3.1.5), or a check of ours is answered (§7.2.5.3.4).

use str0m::Rtc;
use str0m::ice::StunMessage;
use str0m::rtp::Ssrc;

use super::demux::AddressPair;
use crate::core::forward::rtcp;

/// Paths on which checks were answered that are remembered.
const MAX_PATHS: usize = 16;

/// The sender of the message that is not sent: a number that no stream of ours has.
const NOBODY: u32 = 0;

/// The path of one peer.
#[derive(Debug, Default)]
pub struct Nomination {
    pair: Option<AddressPair>,
    named: Option<AddressPair>,
    answered: Vec<AddressPair>,
}

impl Nomination {
    /// The path to send on.
    pub fn pair(&self) -> Option<AddressPair> {
        self.pair
    }

    /// str0m sends on this path.
    pub fn used(&mut self, path: AddressPair) {
        self.pair = Some(path);
    }

    /// Takes note of a STUN message that str0m accepts; whether it may change its mind by it.
    pub fn handle_stun(&mut self, path: AddressPair, message: &StunMessage<'_>) -> bool {
        if message.is_binding_request() && message.use_candidate() {
            return self.named.replace(path) != Some(path);
        }
        if !message.is_successful_binding_response() || self.answered.contains(&path) {
            return false;
        }
        if self.answered.len() == MAX_PATHS {
            self.answered.remove(0);
        }
        self.answered.push(path);
        true
    }
}

/// Hands str0m the message that shows the path.
pub fn send_pathfinder(rtc: &mut Rtc) {
    let nobody = Ssrc::from(NOBODY);
    let mut api = rtc.direct_api();
    api.send_app_specific_feedback(nobody, nobody, *b"path");
}

/// Whether a datagram of str0m's is that message. The sender of RTCP is in the clear.
pub fn is_pathfinder(datagram: &[u8]) -> bool {
    rtcp::is_rtcp(datagram) && datagram.get(4..8) == Some(&NOBODY.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: u8 = 0;
    const RESPONSE: u8 = 1;

    /// A STUN message with USERNAME, and with USE-CANDIDATE if so wanted.
    fn message(class: u8, names: bool) -> Vec<u8> {
        let mut body = vec![0, 6, 0, 3, b'a', b':', b'b', 0];
        if names {
            body.extend([0, 0x25, 0, 0]);
        }
        // A response needs an address, XOR-MAPPED-ADDRESS.
        body.extend([0, 0x20, 0, 8, 0, 1, 1, 2, 3, 4, 5, 6]);
        // PRIORITY and ICE-CONTROLLING of a request, and what str0m wants of every message.
        body.extend([0, 0x24, 0, 4, 0, 0, 0, 1]);
        body.extend([0x80, 0x2a, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1]);
        body.extend([0, 8, 0, 20]);
        body.extend([0; 20]);
        let head = [class, 1, 0, body.len() as u8, 0x21, 0x12, 0xa4, 0x42];
        [&head[..], &[7; 12], &body].concat()
    }

    fn handle(nomination: &mut Nomination, path: AddressPair, datagram: &[u8]) -> bool {
        let message = StunMessage::parse(datagram).expect("a STUN message");
        nomination.handle_stun(path, &message)
    }

    fn paths() -> [AddressPair; 2] {
        let us = "10.0.0.1:4000".parse().expect("an address");
        ["10.0.0.2:1", "10.0.0.3:1"].map(|them| (us, them.parse().expect("an address")))
    }

    #[test]
    fn only_what_is_new_may_change_the_path() {
        let ([first, second], mut nomination) = (paths(), Nomination::default());
        assert!(handle(&mut nomination, first, &message(REQUEST, true)));
        assert!(!handle(&mut nomination, first, &message(REQUEST, true)));
        assert!(handle(&mut nomination, first, &message(RESPONSE, false)));
        assert!(!handle(&mut nomination, first, &message(RESPONSE, false)));
        assert!(!handle(&mut nomination, second, &message(REQUEST, false)));
        assert!(handle(&mut nomination, second, &message(REQUEST, true)));
        assert!(
            handle(&mut nomination, first, &message(REQUEST, true)),
            "and back"
        );
        assert_eq!(nomination.pair(), None, "str0m decides");
        nomination.used(second);
        assert_eq!(nomination.pair(), Some(second));
    }

    #[test]
    fn what_answers_is_not_remembered_for_ever() {
        let mut nomination = Nomination::default();
        let (local, _) = paths()[0];
        for port in 1..1000 {
            let path = (local, ([10, 0, 0, 2], port).into());
            handle(&mut nomination, path, &message(RESPONSE, false));
        }
        assert_eq!(nomination.answered.len(), MAX_PATHS);
    }
}

//! The path to one browser: its candidates, what was tried until it came up, and where to send.

use std::net::SocketAddr;
use std::time::Instant;

use str0m::ice::StunMessage;
use str0m::{Candidate, Rtc};

use super::attempts::Attempts;
use super::demux::AddressPair;
use super::nomination::{self, Nomination};
use super::remotes::{Remotes, Standing};

/// Remote candidates kept until the offer comes, and taken in all, until ICE begins anew. A browser on
/// a machine with many interfaces has some twenty; what is left out still reaches us by itself.
const MAX_CANDIDATES: usize = 32;

/// What became of a STUN message of the browser's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// str0m is to have it. `may_move`: it may send on another path by it. `is_answer`: of a check.
    Taken { may_move: bool, is_answer: bool },
    /// It is one address too many.
    Refused,
}

/// The path of one connection.
#[derive(Debug, Default)]
pub struct Path {
    is_reached: bool,
    is_connected: bool,
    attempts: Attempts,
    nomination: Nomination,
    /// Candidates that came before the offer.
    early: Vec<Candidate>,
    candidates: usize,
    remotes: Remotes,
}

impl Path {
    /// Takes a candidate of the remote side, before or after its offer. `true` if str0m was given
    /// it.
    pub fn add_candidate(&mut self, rtc: Option<&mut Rtc>, candidate: Candidate) -> bool {
        if self.candidates >= MAX_CANDIDATES {
            return false;
        }
        self.candidates += 1;
        if !self.is_connected {
            self.attempts.add(&candidate);
        }
        match rtc {
            Some(rtc) => {
                rtc.add_remote_candidate(candidate);
                true
            }
            None => {
                self.early.push(candidate);
                false
            }
        }
    }

    /// The remote side has a candidate whose address it does not tell.
    pub fn add_hidden_candidate(&mut self) {
        self.attempts.add_hidden(1);
    }

    /// Gives str0m the candidates that came before the offer, and those in it.
    pub fn handle_offer(&mut self, rtc: &mut Rtc, offered: Vec<Candidate>, hidden: u32) {
        for candidate in std::mem::take(&mut self.early) {
            rtc.add_remote_candidate(candidate);
        }
        for candidate in offered {
            self.add_candidate(Some(rtc), candidate);
        }
        if !self.is_connected {
            self.attempts.add_hidden(hidden);
        }
    }

    /// Notes a STUN message that str0m would accept.
    pub fn handle_stun(&mut self, now: Instant, pair: AddressPair, datagram: &[u8]) -> Heard {
        let Ok(message) = StunMessage::parse(datagram) else {
            return Heard::Refused;
        };
        let is_answer = message.is_successful_binding_response();
        let is_taken = match (message.is_binding_request(), is_answer) {
            (true, _) => self.remotes.handle_request(now, pair.1),
            (_, true) => self.remotes.handle_answer(pair.1, message.mapped_address()),
            _ => true,
        };
        if !is_taken {
            return Heard::Refused;
        }
        if !self.is_connected {
            self.attempts.received(pair.0, pair.1, datagram);
        }
        Heard::Taken {
            may_move: self.nomination.handle_stun(pair, &message),
            is_answer,
        }
    }

    /// A check of ours was answered; whether it is the first one.
    pub fn reach(&mut self) -> bool {
        !std::mem::replace(&mut self.is_reached, true)
    }

    /// What an address has shown to which a check is to be sent.
    pub fn standing(&mut self, remote: SocketAddr) -> Standing {
        self.remotes.take(remote)
    }

    /// ICE begins anew, and with it what may be sent and taken.
    pub fn handle_restart(&mut self) {
        self.candidates = 0;
    }

    /// Notes a check that is sent.
    pub fn handle_check(&mut self, pair: AddressPair) {
        if !self.is_connected {
            self.attempts.sent(pair.0, pair.1);
        }
    }

    /// ICE and DTLS are up: nobody will ask what was tried.
    pub fn handle_connected(&mut self) {
        self.is_connected = true;
        self.attempts.forget();
    }

    /// Has str0m show where it sends.
    pub fn find(&self, rtc: &mut Rtc) {
        nomination::send_pathfinder(rtc);
    }

    /// str0m sends on this path.
    pub fn handle_used(&mut self, pair: AddressPair) {
        self.nomination.used(pair);
    }

    /// Where to send; `None` before that is known.
    pub fn pair(&self) -> Option<AddressPair> {
        self.nomination.pair()
    }

    /// What was tried, a line each, for people; none once it is connected.
    pub fn lines(&self) -> Vec<String> {
        match self.is_connected {
            true => Vec::new(),
            false => self.attempts.lines(),
        }
    }
}

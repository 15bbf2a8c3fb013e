//! What was tried to reach a browser, for whoever has to find out why nothing came of it.

use std::net::SocketAddr;

use str0m::Candidate;

/// Pairs of addresses that are remembered; ICE itself tries no more than 100 (RFC 8445 §6.1.2.5).
const MAX_PAIRS: usize = 256;

/// Remote candidates that are remembered.
const MAX_CANDIDATES: usize = 64;

/// Lines that are told.
const MAX_LINES: usize = 32;

/// The connectivity checks of a peer until it is connected.
#[derive(Debug, Default)]
pub struct Attempts {
    candidates: Vec<(SocketAddr, &'static str)>,
    /// Candidates whose address the browser keeps to itself (`.local` names).
    hidden: u32,
    pairs: Vec<Pair>,
}

#[derive(Debug)]
struct Pair {
    local: SocketAddr,
    remote: SocketAddr,
    sent: u32,
    answers: u32,
    requests: u32,
}

impl Attempts {
    /// The browser has an address.
    pub fn add(&mut self, candidate: &Candidate) {
        let address = candidate.addr();
        let is_known = self.candidates.iter().any(|known| known.0 == address);
        if !is_known && self.candidates.len() < MAX_CANDIDATES {
            let kind = match candidate.kind().to_string().as_str() {
                "host" => "host",
                "srflx" => "srflx",
                "relay" => "relay",
                _ => "prflx",
            };
            self.candidates.push((address, kind));
        }
    }

    /// The browser has so many addresses that it does not tell.
    pub fn add_hidden(&mut self, count: u32) {
        self.hidden = self.hidden.saturating_add(count);
    }

    /// A check goes out.
    pub fn sent(&mut self, local: SocketAddr, remote: SocketAddr) {
        if let Some(pair) = self.pair(local, remote) {
            pair.sent += 1;
        }
    }

    /// A STUN message of the browser came in.
    pub fn received(&mut self, local: SocketAddr, remote: SocketAddr, message: &[u8]) {
        if let Some(pair) = self.pair(local, remote) {
            if is_request(message) {
                pair.requests += 1;
            } else {
                pair.answers += 1;
            }
        }
    }

    /// It came up: nobody will ask.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// For people, a line each: first what there is to say of all, then each pair.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.candidates.is_empty() {
            lines.push(match self.hidden {
                0 => "the browser sent no address of its own".to_owned(),
                1 => "the browser sent one address, hidden behind a .local name".to_owned(),
                n => format!("the browser sent {n} addresses, all hidden behind .local names"),
            });
        } else if self.hidden > 0 {
            let n = self.hidden;
            lines.push(format!(
                "besides, the browser hides {n} behind .local names"
            ));
        }
        if !self
            .pairs
            .iter()
            .any(|pair| pair.requests + pair.answers > 0)
        {
            lines.push("nothing at all was heard from the browser over UDP".to_owned());
        }
        for (remote, kind) in &self.candidates {
            if !self.pairs.iter().any(|pair| pair.remote == *remote) {
                lines.push(format!("browser {kind} {remote}: never tried"));
            }
        }
        lines.extend(self.pairs.iter().map(|pair| self.line(pair)));
        lines.truncate(MAX_LINES);
        lines
    }

    fn line(&self, pair: &Pair) -> String {
        let Pair {
            local,
            remote,
            sent,
            answers,
            requests,
        } = pair;
        let kind = self.candidates.iter().find(|known| known.0 == *remote);
        let kind = kind.map_or("prflx", |known| known.1);
        let answered = match (*sent, *answers) {
            (0, 0) => "no check sent".to_owned(),
            (1, 0) => "1 check sent, not answered".to_owned(),
            (_, 0) => format!("{sent} checks sent, none answered"),
            _ => format!("{sent} checks sent, {answers} answered"),
        };
        let heard = match *requests {
            0 => String::new(),
            1 => ", 1 came from there".to_owned(),
            n => format!(", {n} came from there"),
        };
        format!("browser {kind} {remote} to {local}: {answered}{heard}")
    }

    fn pair(&mut self, local: SocketAddr, remote: SocketAddr) -> Option<&mut Pair> {
        let at = |pair: &Pair| pair.local == local && pair.remote == remote;
        let index = match self.pairs.iter().position(at) {
            Some(index) => index,
            None if self.pairs.len() < MAX_PAIRS => {
                self.pairs.push(Pair {
                    local,
                    remote,
                    sent: 0,
                    answers: 0,
                    requests: 0,
                });
                self.pairs.len() - 1
            }
            None => return None,
        };
        self.pairs.get_mut(index)
    }
}

/// A Binding request, and no answer to one (RFC 8489 §5).
pub fn is_request(message: &[u8]) -> bool {
    message.starts_with(&[0x00, 0x01])
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] = &[0, 1, 0, 0];
    const ANSWER: &[u8] = &[1, 1, 0, 0];

    fn address(host: u8, port: u16) -> SocketAddr {
        ([192, 0, 2, host], port).into()
    }

    fn candidate(address: SocketAddr) -> Candidate {
        Candidate::host(address, "udp").expect("a candidate")
    }

    #[test]
    fn each_pair_says_what_was_seen_on_it() {
        let (local, silent, loud) = (address(1, 4501), address(2, 50_000), address(3, 50_000));
        let mut attempts = Attempts::default();
        attempts.add(&candidate(silent));
        attempts.add(&candidate(silent));
        attempts.add(&candidate(address(9, 9)));
        for _ in 0..9 {
            attempts.sent(local, silent);
        }
        attempts.received(local, loud, REQUEST);
        attempts.sent(local, loud);
        assert_eq!(
            attempts.lines(),
            [
                "browser host 192.0.2.9:9: never tried",
                "browser host 192.0.2.2:50000 to 192.0.2.1:4501: 9 checks sent, none answered",
                "browser prflx 192.0.2.3:50000 to 192.0.2.1:4501: 1 check sent, not answered, 1 came from there",
            ]
        );
        attempts.received(local, silent, ANSWER);
        assert!(attempts.lines()[1].ends_with("9 checks sent, 1 answered"));
        attempts.forget();
        assert_eq!(attempts.lines().len(), 2);
    }

    #[test]
    fn a_browser_of_which_nothing_is_known_is_told_first() {
        let mut attempts = Attempts::default();
        let silence = "nothing at all was heard from the browser over UDP";
        assert_eq!(
            attempts.lines(),
            ["the browser sent no address of its own", silence]
        );
        attempts.add_hidden(1);
        attempts.add_hidden(1);
        assert_eq!(
            attempts.lines(),
            [
                "the browser sent 2 addresses, all hidden behind .local names",
                silence
            ]
        );
    }

    #[test]
    fn whoever_sends_much_is_not_remembered_for_ever() {
        let mut attempts = Attempts::default();
        for port in 1..2000 {
            attempts.add(&candidate(address(2, port)));
            attempts.received(address(1, 4501), address(2, port), REQUEST);
        }
        assert_eq!(attempts.pairs.len(), MAX_PAIRS);
        assert_eq!(attempts.candidates.len(), MAX_CANDIDATES);
        assert_eq!(attempts.lines().len(), MAX_LINES);
    }
}

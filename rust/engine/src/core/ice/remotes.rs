//! What the addresses of one browser have shown: that they answer, that something came from there, or
//! nothing yet. And how many new ones a browser may come up with, because str0m keeps them all.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Addresses that are remembered: what answered longest ago is forgotten first.
const MAX_REMEMBERED: usize = 64;

/// Checks that requests of an address entitle to, at a time.
const MAX_CREDIT: u8 = 2;

/// New addresses of a browser that requests are taken from: so many, and one more in each interval.
/// A NAT that gives a new port each minute goes on for ever.
const NEW_ADDRESSES: u32 = 32;
const NEW_ADDRESS_EACH: Duration = Duration::from_secs(10);

/// Addresses of this server that a browser may tell in its answers; a NAT before us makes one each.
const MAX_MAPPED: usize = 32;

/// What an address has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It has answered a check: it wants them.
    Answers,
    /// A request came from there, for which a check may be sent.
    Asks,
    /// Nothing that entitles to a check.
    Silent,
}

#[derive(Debug)]
struct Remote {
    address: SocketAddr,
    answers: bool,
    credit: u8,
}

/// The addresses of one browser.
#[derive(Debug, Default)]
pub struct Remotes {
    known: Vec<Remote>,
    mapped: Vec<SocketAddr>,
    new: u32,
    first: Option<Instant>,
}

impl Remotes {
    /// A request came from an address. `false` if it is one too many.
    pub fn handle_request(&mut self, now: Instant, address: SocketAddr) -> bool {
        if let Some(remote) = self.known(address) {
            remote.credit = (remote.credit + 1).min(MAX_CREDIT);
            return true;
        }
        let first = *self.first.get_or_insert(now);
        let intervals = now.saturating_duration_since(first).as_secs() / NEW_ADDRESS_EACH.as_secs();
        if u64::from(self.new) >= u64::from(NEW_ADDRESSES) + intervals {
            return false;
        }
        self.new = self.new.saturating_add(1);
        self.remember(address).credit = 1;
        true
    }

    /// An answer to a check came from an address, and tells which address of ours it saw. `false` if
    /// that is one too many.
    pub fn handle_answer(&mut self, address: SocketAddr, mapped: Option<SocketAddr>) -> bool {
        if let Some(mapped) = mapped.filter(|mapped| !self.mapped.contains(mapped)) {
            if self.mapped.len() >= MAX_MAPPED {
                return false;
            }
            self.mapped.push(mapped);
        }
        match self.known(address) {
            Some(remote) => remote.answers = true,
            None => self.remember(address).answers = true,
        }
        true
    }

    /// What an address has shown to which a check is to be sent; the check is taken from what
    /// requests entitle to.
    pub fn take(&mut self, address: SocketAddr) -> Standing {
        match self.known(address) {
            Some(remote) if remote.answers => Standing::Answers,
            Some(remote) if remote.credit > 0 => {
                remote.credit -= 1;
                Standing::Asks
            }
            _ => Standing::Silent,
        }
    }

    fn known(&mut self, address: SocketAddr) -> Option<&mut Remote> {
        let mut known = self.known.iter_mut();
        known.find(|remote| remote.address == address)
    }

    fn remember(&mut self, address: SocketAddr) -> &mut Remote {
        if self.known.len() >= MAX_REMEMBERED {
            let silent = self.known.iter().position(|remote| !remote.answers);
            self.known.remove(silent.unwrap_or(0));
        }
        self.known.push(Remote {
            address,
            answers: false,
            credit: 0,
        });
        let newest = self.known.len() - 1;
        &mut self.known[newest]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    #[test]
    fn a_request_entitles_to_a_check_and_an_answer_to_all() {
        let (now, mut remotes) = (Instant::now(), Remotes::default());
        assert_eq!(remotes.take(address(1)), Standing::Silent);
        for _ in 0..9 {
            assert!(remotes.handle_request(now, address(1)));
        }
        let taken: Vec<Standing> = (0..3).map(|_| remotes.take(address(1))).collect();
        assert_eq!(taken, [Standing::Asks, Standing::Asks, Standing::Silent]);
        assert!(remotes.handle_answer(address(1), None));
        assert_eq!(remotes.take(address(1)), Standing::Answers);
    }

    #[test]
    fn a_browser_cannot_come_from_everywhere() {
        let (now, mut remotes) = (Instant::now(), Remotes::default());
        let taken = (0..1000).filter(|port| remotes.handle_request(now, address(*port)));
        assert_eq!(taken.count(), NEW_ADDRESSES as usize);
        assert!(remotes.handle_request(now, address(3)), "it is known");
        assert!(remotes.handle_request(now + NEW_ADDRESS_EACH, address(999)));
        assert!(!remotes.handle_request(now + NEW_ADDRESS_EACH, address(998)));
    }

    #[test]
    fn a_browser_cannot_tell_endless_addresses_of_ours() {
        let mut remotes = Remotes::default();
        let told = (0..1000).filter(|port| remotes.handle_answer(address(1), Some(address(*port))));
        assert_eq!(told.count(), MAX_MAPPED);
        assert!(remotes.handle_answer(address(1), Some(address(3))));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (now, mut remotes) = (Instant::now(), Remotes::default());
        assert!(remotes.handle_answer(address(60_000), None));
        for port in 0..5000 {
            let later = now + NEW_ADDRESS_EACH * u32::from(port);
            assert!(remotes.handle_request(later, address(port)));
        }
        assert_eq!(remotes.known.len(), MAX_REMEMBERED);
        assert_eq!(remotes.take(address(60_000)), Standing::Answers);
    }
}

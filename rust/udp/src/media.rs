//! The addresses that peers reach the engine at.

use std::net::SocketAddr;

/// The engine's addresses.
#[derive(Debug, Clone, Default)]
pub struct MediaAddresses {
    /// Those that the engine knows as its own.
    pub local: Vec<SocketAddr>,
    /// Those that are only advertised: a NAT's.
    pub additional: Vec<SocketAddr>,
}

impl MediaAddresses {
    /// All of them.
    pub fn all(&self) -> Vec<SocketAddr> {
        self.local.iter().chain(&self.additional).copied().collect()
    }

    /// The engine's own name for one of its addresses.
    ///
    /// For a NAT's it is the last one of that family, which is the loopback address, if there is
    /// one: the least likely to be used by its own name in the same allocation.
    pub fn own_name(&self, address: SocketAddr) -> Option<SocketAddr> {
        if self.local.contains(&address) {
            return Some(address);
        }
        let same = |own: &&SocketAddr| own.is_ipv4() == address.is_ipv4();
        self.local.iter().rfind(same).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nats_address_is_given_to_one_of_the_engines_own_of_that_family() {
        let of = |text: &str| -> SocketAddr { text.parse().expect("an address") };
        let media = MediaAddresses {
            local: vec![of("10.0.0.5:4501"), of("127.0.0.1:4501")],
            additional: vec![of("203.0.113.7:4501"), of("[2001:db8::7]:4501")],
        };
        for own in &media.local {
            assert_eq!(media.own_name(*own), Some(*own));
        }
        assert_eq!(media.own_name(media.additional[0]), Some(media.local[1]));
        // The engine has no IPv6: nobody could answer from there.
        assert_eq!(media.own_name(media.additional[1]), None);
        assert_eq!(media.all().len(), 4);
    }
}

//! A relayed address: its socket, its client, and by which names the client knows the engine.

use std::net::SocketAddr;
use std::sync::Arc;

use icey_turn::FiveTuple;
use icey_udp::{Socket, set_option};

use crate::udp_port::UdpPort;
use crate::watch::SocketId;

/// One relayed address.
#[derive(Debug)]
pub struct Relay {
    pub port: UdpPort,
    /// What the watcher knows it by.
    pub number: usize,
    pub client: FiveTuple,
    dont_fragment: bool,
    /// By which of the engine's names the client knows the engine's addresses: the engine's own,
    /// then the one the client used last. They differ for a NAT's address.
    aliases: Vec<(SocketAddr, SocketAddr)>,
}

impl Relay {
    /// `number` is what the watcher knows the socket by.
    pub fn new(socket: Socket, number: usize, client: FiveTuple) -> Self {
        let mut relay = Self {
            port: UdpPort::new(Arc::new(socket), SocketId::Relay(number)),
            number,
            client,
            dont_fragment: true,
            aliases: Vec::new(),
        };
        // A TURN server fragments unless it is told not to (RFC 8656 §15).
        relay.set_dont_fragment(false);
        relay
    }

    /// The address that the socket is bound to.
    pub fn bound(&self) -> SocketAddr {
        (self.port.socket.ip(), self.port.socket.port()).into()
    }

    /// Puts a payload in line for a peer.
    pub fn push(&mut self, peer: SocketAddr, payload: &[u8], dont_fragment: bool) {
        if dont_fragment != self.dont_fragment {
            self.port.write();
            self.set_dont_fragment(dont_fragment);
        }
        self.port.push(self.port.socket.ip(), peer, &[payload]);
    }

    /// RFC 8656 §18.7. What is set is noted in any case: a kernel that refuses does so again.
    fn set_dont_fragment(&mut self, on: bool) {
        self.dont_fragment = on;
        let socket = &*self.port.socket;
        let (level, option, modes) = if socket.is_dual() {
            let modes = [libc::IPV6_PMTUDISC_DONT, libc::IPV6_PMTUDISC_DO];
            (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, modes)
        } else {
            let modes = [libc::IP_PMTUDISC_DONT, libc::IP_PMTUDISC_DO];
            (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, modes)
        };
        // Where it is refused datagrams go out as the system would send them.
        let _ = set_option(socket, level, option, modes[usize::from(on)]);
    }

    /// The client sent to `used`, which the engine knows as `engine`.
    pub fn note_alias(&mut self, engine: SocketAddr, used: SocketAddr) {
        match self.aliases.iter_mut().find(|alias| alias.0 == engine) {
            Some(alias) => alias.1 = used,
            None => self.aliases.push((engine, used)),
        }
    }

    /// The name by which the client knows an address of the engine.
    pub fn alias(&self, engine: SocketAddr) -> SocketAddr {
        let alias = self.aliases.iter().find(|alias| alias.0 == engine);
        alias.map_or(engine, |alias| alias.1)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use icey_turn::Transport;

    use super::*;

    #[test]
    fn the_client_hears_of_the_engine_by_the_name_it_used() {
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let client = FiveTuple {
            transport: Transport::Udp,
            local: (here, 3478).into(),
            remote: (here, 50_000).into(),
        };
        let socket = Socket::bind(here, 0).expect("a free port");
        let mut relay = Relay::new(socket, 1, client);
        let [engine, public]: [SocketAddr; 2] =
            [([10, 0, 0, 1], 4501).into(), ([192, 0, 2, 9], 4501).into()];
        assert_eq!(relay.alias(engine), engine);
        relay.note_alias(engine, public);
        assert_eq!(relay.alias(engine), public);
        relay.note_alias(engine, engine);
        assert_eq!(relay.alias(engine), engine);
    }
}

//! The ports of relayed addresses: which are free, and which are kept.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use icey_turn::{Family, FiveTuple, PortRequest, RelayError, RelayId};
use icey_udp::{OpenError, Socket};

/// Kernel buffers of a relayed address in bytes: a fifth of a second at 10 Mb/s.
const BUFFER_BYTES: libc::c_int = 256 << 10;

/// Ports tried for one relayed address that turned out to be taken by other programs.
const MAX_TRIES: usize = 64;

/// Where relayed addresses come from.
#[derive(Debug)]
pub struct RelayPorts {
    host: IpAddr,
    first: u16,
    last: u16,
    /// Told in place of the bound one, so any bound one will do.
    has_external: [bool; 2],
    /// Next to the port of a relay (EVEN-PORT with the R bit).
    kept: HashMap<RelayId, Socket>,
}

impl RelayPorts {
    /// `has_external`: of IPv4, of IPv6.
    pub fn new(host: IpAddr, (first, last): (u16, u16), has_external: [bool; 2]) -> Self {
        Self {
            host,
            first,
            last,
            has_external,
            kept: HashMap::new(),
        }
    }

    /// Opens a relayed address. `local` are the addresses of this machine, the preferred first.
    pub fn open(
        &mut self,
        relay: RelayId,
        client: FiveTuple,
        family: Family,
        port: PortRequest,
        local: &[IpAddr],
    ) -> Result<Socket, RelayError> {
        match port {
            PortRequest::Reserved(of) => self.kept.remove(&of).ok_or(RelayError::NoPort),
            PortRequest::Any | PortRequest::Even | PortRequest::EvenAndReserve => {
                let ip = self
                    .bind_address(client, family, local)
                    .ok_or(RelayError::FamilyNotSupported)?;
                let (socket, next) = self.bind(ip, port)?;
                if let Some(next) = next {
                    self.kept.insert(relay, next);
                }
                Ok(socket)
            }
        }
    }

    /// Gives up the port that was kept next to a relay's.
    pub fn release(&mut self, relay: RelayId) {
        self.kept.remove(&relay);
    }

    /// Gives up all of them.
    pub fn clear(&mut self) {
        self.kept.clear();
    }

    fn bind_address(&self, client: FiveTuple, family: Family, local: &[IpAddr]) -> Option<IpAddr> {
        let fits = |ip: &IpAddr| ip.is_ipv4() == (family == Family::V4);
        if !self.host.is_unspecified() {
            return Some(self.host).filter(fits);
        }
        if self.host.is_ipv4() && family == Family::V6 {
            return None;
        }
        if self.has_external[usize::from(family == Family::V6)] {
            return Some(match family {
                Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
                Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
            });
        }
        // Where the client reached us it is likely that peers do, too.
        Some(client.local.ip())
            .filter(|ip| fits(ip) && !ip.is_unspecified())
            .or_else(|| {
                local
                    .iter()
                    .copied()
                    .find(|ip| fits(ip) && !is_link_local(*ip))
            })
    }

    /// A socket on a free port, and on the port above it if that is wanted.
    fn bind(&self, ip: IpAddr, port: PortRequest) -> Result<(Socket, Option<Socket>), RelayError> {
        let even = port != PortRequest::Any;
        let pair = port == PortRequest::EvenAndReserve;
        let (first, last) = (u32::from(self.first), u32::from(self.last));
        let span = last - first + 1;
        // Anywhere in the range: a port that can be guessed is easier to spoof (RFC 6056).
        let offset = fastrand::u32(..span);
        let mut tries = 0;
        for step in 0..span {
            let candidate = first + (offset + step) % span;
            let is_wrong = even && candidate % 2 == 1 || pair && candidate == last;
            if is_wrong {
                continue;
            }
            if tries == MAX_TRIES {
                break;
            }
            tries += 1;
            let bound = bind(ip, candidate)?;
            let Some(socket) = bound else { continue };
            if !pair {
                return Ok((socket, None));
            }
            if let Some(next) = bind(ip, candidate + 1)? {
                return Ok((socket, Some(next)));
            }
        }
        Err(RelayError::NoPort)
    }
}

/// Means nothing without an interface.
fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// `None` where the port is taken, an error where no other port would do better.
fn bind(ip: IpAddr, port: u32) -> Result<Option<Socket>, RelayError> {
    let port = u16::try_from(port).map_err(|_| RelayError::NoPort)?;
    match Socket::bind_with(ip, port, BUFFER_BYTES) {
        Ok(socket) => Ok(Some(socket)),
        Err(OpenError::AddressInUse { .. }) => Ok(None),
        Err(OpenError::Address(_)) => Err(RelayError::FamilyNotSupported),
        Err(_) => Err(RelayError::NoPort),
    }
}

#[cfg(test)]
mod tests {
    use icey_turn::Transport;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn client(ip: IpAddr) -> FiveTuple {
        FiveTuple {
            transport: Transport::Udp,
            local: (ip, 3478).into(),
            remote: (HERE, 50_000).into(),
        }
    }

    /// A range of ports of which at least the first six are free now.
    fn free_range() -> (u16, u16) {
        for first in (20_000..30_000_u16).step_by(16) {
            let free = |port: u16| matches!(bind(HERE, port.into()), Ok(Some(_)));
            if (first..first + 6).all(free) {
                return (first, first + 5);
            }
        }
        panic!("no free ports");
    }

    fn open(ports: &mut RelayPorts, id: u64, port: PortRequest) -> Result<Socket, RelayError> {
        ports.open(
            RelayId::from_u64(id),
            client(HERE),
            Family::V4,
            port,
            &[HERE],
        )
    }

    #[test]
    fn ports_stay_in_their_range_and_run_out() {
        let range = free_range();
        let mut ports = RelayPorts::new(HERE, range, [false; 2]);
        let mut sockets = Vec::new();
        for id in 0..6 {
            sockets.push(open(&mut ports, id, PortRequest::Any).expect("a free port"));
        }
        let mut taken: Vec<u16> = sockets.iter().map(Socket::port).collect();
        taken.sort_unstable();
        assert_eq!(taken, (range.0..=range.1).collect::<Vec<_>>());
        assert_eq!(
            open(&mut ports, 7, PortRequest::Any).err(),
            Some(RelayError::NoPort)
        );
    }

    #[test]
    fn an_even_port_keeps_the_next_one_until_it_is_asked_for_or_given_up() {
        let mut ports = RelayPorts::new(HERE, free_range(), [false; 2]);
        let first = open(&mut ports, 1, PortRequest::EvenAndReserve).expect("a pair");
        assert_eq!(first.port() % 2, 0);
        let next = u32::from(first.port()) + 1;
        assert!(matches!(bind(HERE, next), Ok(None)), "it is kept");
        let id = RelayId::from_u64(1);
        let second = open(&mut ports, 2, PortRequest::Reserved(id)).expect("the kept one");
        assert_eq!(u32::from(second.port()), next);
        assert_eq!(
            open(&mut ports, 3, PortRequest::Reserved(id)).err(),
            Some(RelayError::NoPort)
        );
        drop((first, second));
        let first = open(&mut ports, 4, PortRequest::EvenAndReserve).expect("a pair");
        ports.release(RelayId::from_u64(4));
        assert!(matches!(
            bind(HERE, u32::from(first.port()) + 1),
            Ok(Some(_))
        ));
    }

    #[test]
    fn the_relayed_address_is_where_the_client_reached_us() {
        let other = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let ports = RelayPorts::new(any, (1024, 2048), [false; 2]);
        let of = |ports: &RelayPorts, family| ports.bind_address(client(HERE), family, &[other]);
        assert_eq!(of(&ports, Family::V4), Some(HERE));
        assert_eq!(of(&ports, Family::V6), None);
        let ports = RelayPorts::new(any, (1024, 2048), [true, false]);
        assert_eq!(of(&ports, Family::V4), Some(any));
        let ports = RelayPorts::new(other, (1024, 2048), [true, false]);
        assert_eq!(of(&ports, Family::V4), Some(other));
        let ports = RelayPorts::new(Ipv6Addr::UNSPECIFIED.into(), (1024, 2048), [false; 2]);
        let six = client(Ipv6Addr::LOCALHOST.into());
        assert_eq!(ports.bind_address(six, Family::V4, &[other]), Some(other));
    }
}

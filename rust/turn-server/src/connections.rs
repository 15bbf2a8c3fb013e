//! All TCP and TLS connections: how many there may be and whose, found by number and by client.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use icey_turn::{FiveTuple, Transport};
use icey_udp::canonical;
use rustls::{ServerConfig, ServerConnection};

use crate::connection::Connection;

/// Connections of all clients, and of one address (of one network of IPv6: RFC 6177 gives a
/// subscriber at least one).
const MAX_CONNECTIONS: usize = 1024;
const MAX_PER_ADDRESS: usize = 128;

/// See the module.
#[derive(Default)]
pub struct Connections {
    by_number: HashMap<usize, Connection>,
    by_client: HashMap<FiveTuple, usize>,
    count: ConnectionCount,
}

impl Connections {
    pub fn len(&self) -> usize {
        self.count.total
    }

    pub fn get(&mut self, number: usize) -> Option<&mut Connection> {
        self.by_number.get_mut(&number)
    }

    /// The connection of a client, and its number.
    pub fn of_client(&mut self, client: &FiveTuple) -> Option<(usize, &mut Connection)> {
        let number = *self.by_client.get(client)?;
        Some((number, self.by_number.get_mut(&number)?))
    }

    /// Takes a new connection, which is closed at once where there are too many; `number` is new,
    /// too. The stream with it goes to `watch`, which may refuse.
    pub fn open(
        &mut self,
        number: usize,
        stream: TcpStream,
        remote: SocketAddr,
        tls: Option<&Arc<ServerConfig>>,
        now: Instant,
        watch: impl FnOnce(&Connection) -> io::Result<()>,
    ) -> bool {
        if !self.count.enter(remote) {
            return false;
        }
        let Some(connection) =
            prepare(stream, remote, tls, now).filter(|connection| watch(connection).is_ok())
        else {
            self.count.leave(remote);
            return false;
        };
        self.by_client.insert(connection.tuple, number);
        self.by_number.insert(number, connection);
        true
    }

    /// Ends a connection; whose it was.
    pub fn close(&mut self, number: usize) -> Option<FiveTuple> {
        let mut connection = self.by_number.remove(&number)?;
        connection.close();
        self.count.leave(connection.tuple.remote);
        self.by_client.remove(&connection.tuple);
        Some(connection.tuple)
    }

    /// The connections whose time is over.
    pub fn over(&self, now: Instant) -> Vec<usize> {
        let over = self.by_number.iter();
        over.filter(|(_, connection)| connection.is_over(now))
            .map(|(number, _)| *number)
            .collect()
    }
}

fn prepare(
    stream: TcpStream,
    remote: SocketAddr,
    tls: Option<&Arc<ServerConfig>>,
    now: Instant,
) -> Option<Connection> {
    let (transport, session) = match tls {
        Some(config) => {
            let session = ServerConnection::new(config.clone()).ok()?;
            (Transport::Tls, Some(session))
        }
        None => (Transport::Tcp, None),
    };
    let tuple = FiveTuple {
        transport,
        local: canonical(stream.local_addr().ok()?),
        remote,
    };
    Connection::new(stream, session, tuple, now).ok()
}

/// How many connections there are, and whose.
#[derive(Debug, Default)]
struct ConnectionCount {
    of: HashMap<IpAddr, usize>,
    total: usize,
}

impl ConnectionCount {
    /// Counts one more; `false` if that would be too many.
    fn enter(&mut self, remote: SocketAddr) -> bool {
        let key = network(remote.ip());
        let count = self.of.get(&key).copied().unwrap_or(0);
        if self.total >= MAX_CONNECTIONS || count >= MAX_PER_ADDRESS {
            return false;
        }
        self.of.insert(key, count + 1);
        self.total += 1;
        true
    }

    /// Counts one less, which was counted before.
    fn leave(&mut self, remote: SocketAddr) {
        let key = network(remote.ip());
        if let Some(count) = self.of.get_mut(&key) {
            *count -= 1;
            self.total -= 1;
            if *count == 0 {
                self.of.remove(&key);
            }
        }
    }
}

/// Who counts as one client: an address of IPv4, a /64 of IPv6.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn one_address_and_one_network_may_hold_so_many_and_leave_room_for_others() {
        let mut count = ConnectionCount::default();
        let six = |n: u16| SocketAddr::from(([0x2001, 0xdb8, 0, 1, 0, 0, 0, n], n));
        for n in 0..MAX_PER_ADDRESS as u16 {
            assert!(count.enter(six(n)));
        }
        assert!(!count.enter(six(9999)));
        let four = SocketAddr::from(([192, 0, 2, 1], 1));
        assert!(count.enter(four));
        count.leave(six(1));
        assert!(count.enter(six(9999)));
        count.leave(four);
        count.leave(four);
        assert_eq!(count.total, MAX_PER_ADDRESS);
    }

    #[test]
    fn all_of_them_are_bounded_too() {
        let mut count = ConnectionCount::default();
        let entered = (0..2 * MAX_CONNECTIONS as u32)
            .filter(|n| count.enter((Ipv4Addr::from_bits(*n), 1).into()))
            .count();
        assert_eq!(entered, MAX_CONNECTIONS);
    }
}

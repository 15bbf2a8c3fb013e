//! Everything between the sockets: the TURN server, its relayed addresses and connections, and
//! what waits to be sent. Reading is the thread's part (`thread.rs`).

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use icey_turn::{
    Config, Family, FiveTuple, Output, PortRequest, RelayError, RelayId, Route, Server, ToClient,
    ToPeer, Transport,
};
use rustls::{ServerConfig, ServerConnection};

use super::connection::Connection;
use super::epoll::Epoll;
use super::listener::{Crowd, canonical};
use super::media::Media;
use super::outgoing::Outgoing;
use super::relay::{Ports, Relay};
use super::short_cut::Batch;
use super::stats::Counters;
use super::{CONNECTION, RELAY};
use crate::io::mailbox::Shared;
use crate::io::socket::Socket;

/// The time, as the server wants it.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    pub instant: Instant,
    pub unix_seconds: u64,
}

impl Now {
    pub fn read() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            instant: Instant::now(),
            // A clock before 1970 is not set: no credential is good then, and none is minted.
            unix_seconds: unix.map_or(u64::MAX, |since| since.as_secs()),
        }
    }
}

/// See the module.
pub struct Exchange {
    config: Config,
    server: Server,
    epoll: Arc<Epoll>,
    udp: Arc<Socket>,
    /// To clients, over UDP.
    clients: Outgoing,
    clients_watched: bool,
    ports: Ports,
    relays: HashMap<RelayId, Relay>,
    /// Sockets by the number that the epoll has of them.
    by_token: HashMap<u64, RelayId>,
    connections: HashMap<u64, Connection>,
    by_tuple: HashMap<FiveTuple, u64>,
    crowd: Crowd,
    /// Numbers of sockets and connections, never used twice.
    next_number: u64,
    addresses: Vec<IpAddr>,
    media: Media,
    engine: Arc<Shared>,
    has_pushed: bool,
    relayed_changed: bool,
    dirty_relays: Vec<RelayId>,
    dirty_connections: Vec<u64>,
    pub counters: Counters,
}

/// The token of the UDP socket, for the epoll.
const UDP: u64 = super::UDP;

impl Exchange {
    pub fn new(
        config: Config,
        epoll: Arc<Epoll>,
        udp: Arc<Socket>,
        ports: Ports,
        media: Media,
        engine: Arc<Shared>,
    ) -> Self {
        Self {
            server: Server::new(config.clone()),
            addresses: config.own_addresses.clone(),
            config,
            epoll,
            udp,
            clients: Outgoing::default(),
            clients_watched: false,
            ports,
            relays: HashMap::new(),
            by_token: HashMap::new(),
            connections: HashMap::new(),
            by_tuple: HashMap::new(),
            crowd: Crowd::default(),
            next_number: 0,
            media,
            engine,
            has_pushed: false,
            relayed_changed: false,
            dirty_relays: Vec::new(),
            dirty_connections: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// The relayed address of this number, and its socket.
    pub fn relay(&self, number: u64) -> Option<(RelayId, Arc<Socket>)> {
        let id = self.by_token.get(&number)?;
        let relay = self.relays.get(id)?;
        Some((*id, relay.socket.clone()))
    }

    pub fn connection(&mut self, id: u64) -> Option<&mut Connection> {
        self.connections.get_mut(&id)
    }

    pub fn has_connections(&self) -> bool {
        !self.connections.is_empty()
    }

    pub fn server_stats(&self) -> &icey_turn::Stats {
        self.server.stats()
    }

    /// When [`Exchange::expire`] is due.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.server.next_timeout()
    }

    /// Does what is due.
    pub fn expire(&mut self, now: Now) {
        self.server.handle_timeout(now.instant);
        self.obey(now.instant);
    }

    /// This machine's addresses, read anew.
    pub fn set_addresses(&mut self, addresses: Vec<IpAddr>) {
        if addresses != self.addresses {
            self.addresses.clone_from(&addresses);
            self.config.own_addresses.clone_from(&addresses);
            self.server.set_own_addresses(addresses, self.media.all());
        }
    }

    /// A whole message of a client.
    pub fn client_sent(&mut self, now: Now, from: FiveTuple, data: &[u8]) {
        let passed = self
            .server
            .receive(now.instant, now.unix_seconds, from, data);
        if let Some(to_peer) = passed {
            self.pass_to_peer(now.instant, &to_peer, &data[to_peer.payload.clone()]);
        }
        self.obey(now.instant);
    }

    /// A datagram at a relayed address.
    pub fn peer_sent(&mut self, now: Instant, relay: RelayId, peer: SocketAddr, data: &[u8]) {
        if let Some(to_client) = self.server.receive_from_peer(now, relay, peer, data) {
            self.pass_to_client(now, &to_client, data);
        }
        self.obey(now);
    }

    /// What the engine sent to relayed addresses.
    pub fn engine_sent(&mut self, now: Instant, batch: &Batch) {
        for (local, relayed, data) in batch.iter() {
            let Some(id) = self.server.relay_at(relayed) else {
                // Closed a moment ago.
                self.counters.packets_dropped += 1;
                continue;
            };
            let relay = self.relays.get(&id);
            let peer = relay.map_or(local, |relay| relay.alias(local));
            self.counters.packets_short_cut += 1;
            self.peer_sent(now, id, peer, data);
        }
    }

    fn pass_to_peer(&mut self, now: Instant, to_peer: &ToPeer, payload: &[u8]) {
        match to_peer.route {
            Route::Network => {
                if let Some(relay) = self.relays.get_mut(&to_peer.relay) {
                    relay.push(to_peer.peer, payload, to_peer.dont_fragment);
                    if self.dirty_relays.last() != Some(&to_peer.relay) {
                        self.dirty_relays.push(to_peer.relay);
                    }
                }
            }
            Route::OwnMedia => {
                let Some(engine) = self.media.own_name(to_peer.peer) else {
                    self.counters.packets_dropped += 1;
                    return;
                };
                if let Some(relay) = self.relays.get_mut(&to_peer.relay) {
                    relay.note_alias(engine, to_peer.peer);
                }
                let short_cut = &self.engine.short_cut;
                if self.engine.is_closed() || !short_cut.to_engine(engine, to_peer.from, payload) {
                    self.counters.packets_dropped += 1;
                    return;
                }
                self.counters.packets_short_cut += 1;
                self.has_pushed = true;
            }
            Route::OwnRelay(other) => {
                let from = to_peer.from;
                if let Some(to_client) = self.server.receive_from_peer(now, other, from, payload) {
                    self.pass_to_client(now, &to_client, payload);
                }
            }
        }
    }

    fn pass_to_client(&mut self, now: Instant, to_client: &ToClient, payload: &[u8]) {
        let parts = [to_client.head(), payload, to_client.padding()];
        let to = to_client.to;
        if to.transport == Transport::Udp {
            self.clients.push(to.local.ip(), to.remote, &parts);
            if self.clients.is_due() {
                self.clients.flush(&self.udp);
            }
        } else if let Some(id) = self.by_tuple.get(&to)
            && let Some(connection) = self.connections.get_mut(id)
        {
            let done = connection.send_data(parts, now);
            self.counters.packets_dropped += u64::from(!done);
            if self.dirty_connections.last() != Some(id) {
                self.dirty_connections.push(*id);
            }
        }
    }

    /// Does what the server wants done.
    fn obey(&mut self, now: Instant) {
        while let Some(output) = self.server.poll() {
            match output {
                Output::Send { to, data } if to.transport == Transport::Udp => {
                    self.clients.push(to.local.ip(), to.remote, &[&data]);
                }
                Output::Send { to, data } => {
                    if let Some(id) = self.by_tuple.get(&to)
                        && let Some(connection) = self.connections.get_mut(id)
                    {
                        connection.send(&data);
                        self.dirty_connections.push(*id);
                    }
                }
                Output::OpenRelay {
                    relay,
                    client,
                    family,
                    port,
                } => {
                    let opened = self.open(relay, client, family, port, now);
                    self.server.relay_opened(now, relay, opened);
                }
                Output::CloseRelay { relay } => self.close_relay(relay, now),
                Output::ReleaseReserved { relay } => self.ports.release(relay),
            }
        }
    }

    fn open(
        &mut self,
        id: RelayId,
        client: FiveTuple,
        family: Family,
        port: PortRequest,
        now: Instant,
    ) -> Result<SocketAddr, RelayError> {
        let mut relay = self.ports.open(id, client, family, port, &self.addresses)?;
        relay.token = self.next_number;
        self.next_number += 1;
        if !self.watch(relay.socket.fd(), RELAY | relay.token) {
            self.ports.release(id);
            return Err(RelayError::NoPort);
        }
        let bound = (relay.socket.ip(), relay.socket.port()).into();
        self.by_token.insert(relay.token, id);
        self.relays.insert(id, relay);
        self.relayed_changed = true;
        self.count_relays(client, now);
        Ok(bound)
    }

    fn close_relay(&mut self, id: RelayId, now: Instant) {
        if let Some(mut relay) = self.relays.remove(&id) {
            self.by_token.remove(&relay.token);
            // What the client sent before it let go is still to arrive.
            relay.outgoing.flush(&relay.socket);
            self.counters.packets_dropped += relay.outgoing.take_dropped();
            self.relayed_changed = true;
            self.count_relays(relay.client, now);
        }
    }

    /// A connection with an allocation may stay.
    fn count_relays(&mut self, client: FiveTuple, now: Instant) {
        if let Some(id) = self.by_tuple.get(&client)
            && let Some(connection) = self.connections.get_mut(id)
        {
            let own = |relay: &&Relay| relay.client == client;
            connection.set_relays(self.relays.values().filter(own).count(), now);
        }
    }

    /// Takes a new connection, or closes it at once.
    pub fn connect(
        &mut self,
        stream: TcpStream,
        remote: SocketAddr,
        tls: Option<&Arc<ServerConfig>>,
        now: Instant,
    ) {
        if !self.crowd.enter(remote) {
            self.counters.connections_refused += 1;
            return;
        }
        let id = self.next_number;
        let Some(connection) = prepare(stream, remote, tls, now)
            .filter(|connection| self.watch(connection.fd(), CONNECTION | id))
        else {
            self.crowd.leave(remote);
            self.counters.connections_refused += 1;
            return;
        };
        self.next_number += 1;
        self.by_tuple.insert(connection.tuple, id);
        self.connections.insert(id, connection);
        self.counters.connections_total += 1;
        self.counters.connections = self.crowd.total() as u64;
    }

    fn watch(&self, fd: RawFd, token: u64) -> bool {
        self.epoll.add(fd, token).is_ok()
    }

    /// Ends a connection. `dropped`: by us.
    pub fn disconnect(&mut self, id: u64, dropped: bool, now: Instant) {
        let Some(mut connection) = self.connections.remove(&id) else {
            return;
        };
        connection.close();
        self.crowd.leave(connection.tuple.remote);
        self.by_tuple.remove(&connection.tuple);
        self.counters.connections_dropped += u64::from(dropped);
        self.counters.connections = self.crowd.total() as u64;
        self.server.connection_closed(now, connection.tuple);
        self.obey(now);
    }

    /// Ends the connections whose time is over.
    pub fn sweep(&mut self, now: Instant) {
        let over = self.connections.iter();
        let over: Vec<u64> = over
            .filter(|(_, connection)| connection.is_over(now))
            .map(|(id, _)| *id)
            .collect();
        for id in over {
            self.disconnect(id, true, now);
        }
    }

    /// Something may wait in a connection that has just been read or become writable.
    pub fn touch(&mut self, id: u64) {
        self.dirty_connections.push(id);
    }

    /// The same of a relayed address.
    pub fn touch_relay(&mut self, id: RelayId) {
        self.dirty_relays.push(id);
    }

    /// Sends what waits, and tells the engine.
    pub fn flush(&mut self, now: Instant) {
        if std::mem::take(&mut self.relayed_changed) {
            // Before the clients hear of them.
            let relayed = self.relays.keys();
            let relayed: HashSet<SocketAddr> = relayed
                .filter_map(|id| self.server.relayed_address(*id))
                .collect();
            self.engine.short_cut.publish(relayed);
        }
        if std::mem::take(&mut self.has_pushed) {
            self.engine.wake.raise();
        }
        self.clients.flush(&self.udp);
        self.counters.packets_dropped += self.clients.take_dropped();
        let blocked = self.clients.is_blocked();
        if blocked != self.clients_watched {
            self.clients_watched = blocked;
            self.rewatch(self.udp.fd(), UDP, blocked);
        }
        let mut relays = std::mem::take(&mut self.dirty_relays);
        for id in relays.drain(..) {
            self.flush_relay(id);
        }
        self.dirty_relays = relays;
        let mut connections = std::mem::take(&mut self.dirty_connections);
        connections.sort_unstable();
        connections.dedup();
        for id in connections.drain(..) {
            self.flush_connection(id, now);
        }
        self.dirty_connections = connections;
    }

    fn flush_relay(&mut self, id: RelayId) {
        let Some(relay) = self.relays.get_mut(&id) else {
            return;
        };
        relay.outgoing.flush(&relay.socket);
        self.counters.packets_dropped += relay.outgoing.take_dropped();
        let blocked = relay.outgoing.is_blocked();
        if blocked != relay.watched {
            relay.watched = blocked;
            let (fd, token) = (relay.socket.fd(), relay.token);
            self.rewatch(fd, RELAY | token, blocked);
        }
    }

    fn flush_connection(&mut self, id: u64, now: Instant) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if connection.flush(now).is_err() {
            // The client is gone.
            return self.disconnect(id, false, now);
        }
        let wanted = connection.wants_write();
        if wanted != connection.watched {
            connection.watched = wanted;
            let fd = connection.fd();
            self.rewatch(fd, CONNECTION | id, wanted);
        }
    }

    fn rewatch(&self, fd: RawFd, token: u64, write: bool) {
        // It fails for a descriptor that is not in the set, which was put there when it was made.
        let _ = self.epoll.modify(fd, token, true, write);
    }

    /// Ends every allocation and connection; after a panic the server's state is not to be trusted.
    pub fn start_over(&mut self) {
        self.relays.clear();
        self.by_token.clear();
        self.ports.clear();
        self.connections.clear();
        self.by_tuple.clear();
        self.crowd = Crowd::default();
        self.counters.connections = 0;
        self.dirty_relays.clear();
        self.dirty_connections.clear();
        self.server = Server::new(self.config.clone());
        self.relayed_changed = true;
    }
}

fn prepare(
    stream: TcpStream,
    remote: SocketAddr,
    tls: Option<&Arc<ServerConfig>>,
    now: Instant,
) -> Option<Connection> {
    let local = canonical(stream.local_addr().ok()?);
    let session = match tls {
        Some(config) => Some(ServerConnection::new(config.clone()).ok()?),
        None => None,
    };
    let transport = match tls {
        Some(_) => Transport::Tls,
        None => Transport::Tcp,
    };
    let tuple = FiveTuple {
        transport,
        local,
        remote,
    };
    Connection::new(stream, session, tuple, now).ok()
}

//! Everything between the sockets: passes on what was read, and does what the protocol asks for.
//! Reading is the thread's part (`thread.rs`).

use std::collections::{HashMap, HashSet};
use std::mem;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use icey_turn::{
    Config, Family, FiveTuple, Output, PeerRoute, PortRequest, RelayError, RelayId, Server,
    ToClient, ToPeer, Transport,
};
use icey_udp::{RelayedBatch, Socket, TurnEnd};
use rustls::ServerConfig;

use crate::connection::Connection;
use crate::connections::Connections;
use crate::relay::Relay;
use crate::relay_ports::RelayPorts;
use crate::stats::TurnStats;
use crate::udp_port::UdpPort;
use crate::watch::{READ, READ_AND_WRITE, SocketId, Watcher};

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
    watcher: Watcher,
    /// To clients, over UDP.
    clients: UdpPort,
    ports: RelayPorts,
    relays: HashMap<RelayId, Relay>,
    /// Relays by the number that the watcher knows them by.
    by_number: HashMap<usize, RelayId>,
    connections: Connections,
    /// Numbers of relays and connections, never used twice.
    next_number: usize,
    addresses: Vec<IpAddr>,
    engine: TurnEnd,
    from_engine: RelayedBatch,
    relayed_changed: bool,
    dirty_relays: Vec<RelayId>,
    dirty_connections: Vec<usize>,
    /// What the sockets count; the protocol counts for itself.
    pub counters: TurnStats,
}

impl Exchange {
    pub fn new(
        config: Config,
        watcher: Watcher,
        udp: Arc<Socket>,
        ports: RelayPorts,
        engine: TurnEnd,
    ) -> Self {
        Self {
            server: Server::new(config.clone()),
            addresses: config.own_addresses.clone(),
            config,
            watcher,
            clients: UdpPort::new(udp, SocketId::Udp),
            ports,
            relays: HashMap::new(),
            by_number: HashMap::new(),
            connections: Connections::default(),
            next_number: 0,
            engine,
            from_engine: RelayedBatch::default(),
            relayed_changed: false,
            dirty_relays: Vec::new(),
            dirty_connections: Vec::new(),
            counters: TurnStats::default(),
        }
    }

    /// The relayed address of this number, and its socket.
    pub fn relay(&self, number: usize) -> Option<(RelayId, Arc<Socket>)> {
        let id = self.by_number.get(&number)?;
        let relay = self.relays.get(id)?;
        Some((*id, relay.port.socket.clone()))
    }

    pub fn connection(&mut self, number: usize) -> Option<&mut Connection> {
        self.connections.get(number)
    }

    pub fn has_connections(&self) -> bool {
        self.connections.len() > 0
    }

    /// All counters as they are now.
    pub fn stats(&self) -> TurnStats {
        TurnStats {
            protocol: *self.server.stats(),
            connections: self.connections.len() as u64,
            ..self.counters
        }
    }

    /// When [`Exchange::expire`] is due.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.server.next_timeout()
    }

    /// Does what is due.
    pub fn expire(&mut self, now: Now) {
        self.server.handle_timeout(now.instant);
        self.do_outputs(now.instant);
    }

    /// This machine's addresses, read anew.
    pub fn set_addresses(&mut self, addresses: Vec<IpAddr>) {
        if addresses != self.addresses {
            self.addresses.clone_from(&addresses);
            self.config.own_addresses.clone_from(&addresses);
            self.server
                .set_own_addresses(addresses, self.engine.media().all());
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
        self.do_outputs(now.instant);
    }

    /// A datagram at a relayed address.
    pub fn peer_sent(&mut self, now: Instant, relay: RelayId, peer: SocketAddr, data: &[u8]) {
        if let Some(to_client) = self.server.receive_from_peer(now, relay, peer, data) {
            self.pass_to_client(now, &to_client, data);
        }
        self.do_outputs(now);
    }

    /// Takes what the engine sent to relayed addresses.
    pub fn read_engine(&mut self, now: Instant) {
        self.engine.wake().lower();
        let mut batch = mem::take(&mut self.from_engine);
        self.engine.take(&mut batch);
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
        self.from_engine = batch;
    }

    fn pass_to_peer(&mut self, now: Instant, to_peer: &ToPeer, payload: &[u8]) {
        match to_peer.route {
            PeerRoute::Network => {
                if let Some(relay) = self.relays.get_mut(&to_peer.relay) {
                    relay.push(to_peer.peer, payload, to_peer.dont_fragment);
                    if self.dirty_relays.last() != Some(&to_peer.relay) {
                        self.dirty_relays.push(to_peer.relay);
                    }
                }
            }
            PeerRoute::OwnMedia => {
                let own = self.engine.media().own_name(to_peer.peer);
                if let Some(own) = own
                    && let Some(relay) = self.relays.get_mut(&to_peer.relay)
                {
                    relay.note_alias(own, to_peer.peer);
                }
                if own.is_some_and(|own| self.engine.send(own, to_peer.from, payload)) {
                    self.counters.packets_short_cut += 1;
                } else {
                    self.counters.packets_dropped += 1;
                }
            }
            PeerRoute::OwnRelay(other) => {
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
        } else if let Some((number, connection)) = self.connections.of_client(&to) {
            let done = connection.send_data(parts, now);
            self.counters.packets_dropped += u64::from(!done);
            if self.dirty_connections.last() != Some(&number) {
                self.dirty_connections.push(number);
            }
        }
    }

    /// Does what the server wants done.
    fn do_outputs(&mut self, now: Instant) {
        while let Some(output) = self.server.poll() {
            match output {
                Output::Send { to, data } if to.transport == Transport::Udp => {
                    self.clients.push(to.local.ip(), to.remote, &[&data]);
                }
                Output::Send { to, data } => {
                    if let Some((number, connection)) = self.connections.of_client(&to) {
                        connection.send(&data);
                        self.dirty_connections.push(number);
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
        let socket = self.ports.open(id, client, family, port, &self.addresses)?;
        let number = self.next_number;
        self.next_number += 1;
        let watched = self.watcher.add(&socket, SocketId::Relay(number), READ);
        if watched.is_err() {
            self.ports.release(id);
            return Err(RelayError::NoPort);
        }
        let relay = Relay::new(socket, number, client);
        let bound = relay.bound();
        self.by_number.insert(number, id);
        self.relays.insert(id, relay);
        self.relayed_changed = true;
        self.count_relays(client, now);
        Ok(bound)
    }

    fn close_relay(&mut self, id: RelayId, now: Instant) {
        if let Some(mut relay) = self.relays.remove(&id) {
            self.by_number.remove(&relay.number);
            // What the client sent before it let go is still to arrive.
            relay.port.write();
            self.counters.packets_dropped += relay.port.take_dropped();
            self.relayed_changed = true;
            self.count_relays(relay.client, now);
        }
    }

    /// A connection with an allocation may stay.
    fn count_relays(&mut self, client: FiveTuple, now: Instant) {
        if let Some((_, connection)) = self.connections.of_client(&client) {
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
        let (number, watcher) = (self.next_number, &self.watcher);
        let id = SocketId::Connection(number);
        let watch = |connection: &Connection| watcher.add(connection, id, READ_AND_WRITE);
        let connections = &mut self.connections;
        if connections.open(number, stream, remote, tls, now, watch) {
            self.next_number += 1;
            self.counters.connections_total += 1;
        } else {
            self.counters.connections_refused += 1;
        }
    }

    /// Ends a connection. `dropped`: by us.
    pub fn disconnect(&mut self, number: usize, dropped: bool, now: Instant) {
        let Some(client) = self.connections.close(number) else {
            return;
        };
        self.counters.connections_dropped += u64::from(dropped);
        self.server.connection_closed(now, client);
        self.do_outputs(now);
    }

    /// Ends the connections whose time is over.
    pub fn sweep(&mut self, now: Instant) {
        for number in self.connections.over(now) {
            self.disconnect(number, true, now);
        }
    }

    /// Something may wait in a connection that has just been read or become writable.
    pub fn touch(&mut self, number: usize) {
        self.dirty_connections.push(number);
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
            self.engine.publish(relayed);
        }
        self.engine.flush();
        self.clients.flush(&self.watcher);
        self.counters.packets_dropped += self.clients.take_dropped();
        // The lists keep their room.
        let mut relays = mem::take(&mut self.dirty_relays);
        for id in relays.drain(..) {
            if let Some(relay) = self.relays.get_mut(&id) {
                relay.port.flush(&self.watcher);
                self.counters.packets_dropped += relay.port.take_dropped();
            }
        }
        self.dirty_relays = relays;
        let mut connections = mem::take(&mut self.dirty_connections);
        connections.sort_unstable();
        connections.dedup();
        for number in connections.drain(..) {
            let connection = self.connections.get(number);
            if connection.is_some_and(|connection| connection.flush(now).is_err()) {
                // The client is gone.
                self.disconnect(number, false, now);
            }
        }
        self.dirty_connections = connections;
    }

    /// Ends every allocation and connection; after a panic the server's state is not to be trusted.
    pub fn start_over(&mut self) {
        self.relays.clear();
        self.by_number.clear();
        self.ports.clear();
        self.connections = Connections::default();
        self.dirty_relays.clear();
        self.dirty_connections.clear();
        self.server = Server::new(self.config.clone());
        self.relayed_changed = true;
    }
}

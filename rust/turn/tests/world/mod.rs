//! A server with clients and peers around it, in simulated time.
#![allow(dead_code, reason = "each test file uses what it needs")]

pub mod bytes;
pub mod model;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use icey_turn::client::{AllocateOptions, Client, ClientEvent};
use icey_turn::integrity::{Integrity, Key, PasswordAlgorithm};
use icey_turn::message::{Builder, Class, Message, TransactionId, attribute, method};
use icey_turn::{
    Config, Family, FiveTuple, Output, PortRequest, Refusal, RelayError, RelayId, Server, ToPeer,
    Transport, credentials,
};

pub const SECRET: &[u8] = b"a secret of tests";
/// The wall clock at the start.
pub const EPOCH: u64 = 1_800_000_000;
pub const PEER: &str = "9.9.9.9:5000";

/// Attributes as they are on the wire: type and value.
pub type Attributes<'a> = &'a [(u16, &'a [u8])];

pub fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// A client's way to the server.
pub fn client(transport: Transport, remote: &str) -> FiveTuple {
    FiveTuple {
        transport,
        local: address("8.8.8.8:3478"),
        remote: address(remote),
    }
}

pub fn udp(remote: &str) -> FiveTuple {
    client(Transport::Udp, remote)
}

pub fn config() -> Config {
    Config {
        secret: SECRET.to_vec(),
        software: "test".into(),
        nonce_key: [7; 32],
        own_addresses: vec![address("8.8.8.8:0").ip()],
        own_media: vec![address("8.8.8.8:4501"), address("127.0.0.1:4501")],
        refused_ports: vec![3478, 4500],
        // Most tests are about other ends of an allocation.
        unused_lifetime: Duration::from_secs(86_400),
        ..Config::default()
    }
}

/// Username and password that are good for some seconds from the start.
pub fn minted(seconds: u64) -> (String, String) {
    let username = format!("{}:tester", EPOCH + seconds);
    let password = credentials::password(SECRET, &username);
    (username, password)
}

/// The server, and what a program around it does.
pub struct World {
    pub server: Server,
    pub start: Instant,
    pub now: Instant,
    pub next_port: u16,
    pub relays: HashMap<RelayId, SocketAddr>,
    pub reserved: HashMap<RelayId, SocketAddr>,
    /// The next relays cannot be opened.
    pub no_relays: Option<RelayError>,
    /// What was sent to clients, not taken yet.
    pub sent: Vec<(FiveTuple, Vec<u8>)>,
}

impl World {
    pub fn new(config: Config) -> Self {
        let now = Instant::now();
        Self {
            server: Server::new(config),
            start: now,
            now,
            next_port: 50_001,
            relays: HashMap::new(),
            reserved: HashMap::new(),
            no_relays: None,
            sent: Vec::new(),
        }
    }

    pub fn unix(&self) -> u64 {
        EPOCH + (self.now - self.start).as_secs()
    }

    /// Lets time pass, with every timeout in its place.
    pub fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(timeout) = self.server.next_timeout().filter(|timeout| *timeout <= end) {
            self.now = self.now.max(timeout);
            self.server.handle_timeout(self.now);
            self.run();
        }
        self.now = end;
    }

    pub fn receive(&mut self, from: FiveTuple, data: &[u8]) -> Option<ToPeer> {
        let to_peer = self.server.receive(self.now, self.unix(), from, data);
        self.run();
        to_peer
    }

    /// Does what the server wants done.
    pub fn run(&mut self) {
        while let Some(output) = self.server.poll() {
            match output {
                Output::Send { to, data } => self.sent.push((to, data)),
                Output::OpenRelay {
                    relay,
                    family,
                    port,
                    ..
                } => {
                    let bound = match self.no_relays {
                        Some(error) => Err(error),
                        None => Ok(self.open(relay, family, port)),
                    };
                    self.server.relay_opened(self.now, relay, bound);
                }
                Output::CloseRelay { relay } => {
                    self.relays.remove(&relay);
                }
                Output::ReleaseReserved { relay } => {
                    self.reserved.remove(&relay);
                }
            }
        }
    }

    fn open(&mut self, relay: RelayId, family: Family, port: PortRequest) -> SocketAddr {
        let wildcard = match family {
            Family::V4 => address("0.0.0.0:0").ip(),
            Family::V6 => address("[2a00::8]:0").ip(),
        };
        let mut bound = SocketAddr::new(wildcard, self.next_port);
        self.next_port = self.next_port.checked_add(1).unwrap_or(1024);
        match port {
            PortRequest::Any => {}
            PortRequest::Even | PortRequest::EvenAndReserve => {
                bound.set_port(bound.port().next_multiple_of(2));
                self.next_port = bound.port() + 2;
                if port == PortRequest::EvenAndReserve {
                    self.reserved
                        .insert(relay, SocketAddr::new(wildcard, bound.port() + 1));
                }
            }
            PortRequest::Reserved(first) => {
                bound = self.reserved.remove(&first).expect("a port that was kept");
            }
        }
        self.relays.insert(relay, bound);
        bound
    }

    /// What was sent to one client.
    pub fn take(&mut self, to: FiveTuple) -> Vec<Vec<u8>> {
        let (taken, left) = std::mem::take(&mut self.sent)
            .into_iter()
            .partition(|(client, _)| *client == to);
        self.sent = left;
        taken.into_iter().map(|(_, data)| data).collect()
    }

    /// Passes messages between a client and the server until both are silent, and gives what happened.
    pub fn talk(&mut self, from: FiveTuple, client: &mut Client) -> Vec<ClientEvent> {
        loop {
            let mut silent = true;
            while let Some(data) = client.poll_transmit() {
                silent = false;
                let _ = self.receive(from, &data);
            }
            for data in self.take(from) {
                silent = false;
                client.receive(self.now, &data);
            }
            if silent {
                break;
            }
        }
        std::iter::from_fn(|| client.poll_event()).collect()
    }

    /// A client with an allocation.
    pub fn allocated(&mut self, from: FiveTuple) -> (Client, SocketAddr) {
        let (username, password) = minted(3600);
        let mut client = Client::new(from.transport, &username, &password);
        let relayed = self.allocate(from, &mut client, AllocateOptions::default());
        (client, relayed)
    }

    pub fn allocate(
        &mut self,
        from: FiveTuple,
        client: &mut Client,
        options: AllocateOptions,
    ) -> SocketAddr {
        client.allocate(self.now, options);
        match self.talk(from, client)[..] {
            [ClientEvent::Allocated { relayed, .. }] => relayed,
            ref other => panic!("{other:?}"),
        }
    }

    pub fn refused(&self, refusal: Refusal) -> u64 {
        self.server.stats().refused(refusal)
    }
}

/// The code of the only event, which must be a refusal.
pub fn refused(events: &[ClientEvent]) -> u16 {
    match events {
        [
            ClientEvent::Failed {
                failure: icey_turn::client::Failure::Refused { code, .. },
                ..
            },
        ] => *code,
        other => panic!("{other:?}"),
    }
}

/// A request without credentials.
pub fn plain(method: u16, transaction: TransactionId) -> Vec<u8> {
    Builder::new(Class::Request, method, transaction).finish()
}

/// The code of an error answer, and its nonce.
pub fn code(data: &[u8]) -> u16 {
    Message::parse(data)
        .expect("a message")
        .error()
        .expect("an error")
        .0
}

pub fn nonce(data: &[u8]) -> Vec<u8> {
    let message = Message::parse(data).expect("a message");
    message.get(attribute::NONCE).expect("a nonce").to_vec()
}

/// Where most clients are.
pub const HERE: &str = "5.5.5.5:1000";

/// REQUESTED-TRANSPORT as it has to be.
pub const UDP: (u16, &[u8]) = (attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);

/// A request of `username`, as a client of ours would not write it.
pub fn request(
    world: &mut World,
    from: FiveTuple,
    method: u16,
    username: &str,
    password: &str,
    attributes: Attributes<'_>,
) -> Vec<u8> {
    let _ = world.receive(from, &plain(method::REFRESH, [9; 12]));
    let nonce = nonce(&world.take(from)[0]);
    let mut request = Builder::new(Class::Request, method, [3; 12]);
    for (kind, value) in attributes {
        request = request.attribute(*kind, value);
    }
    let algorithm = PasswordAlgorithm::Md5;
    let key = Key::long_term(algorithm, username.as_bytes(), "icey", password);
    request
        .attribute(attribute::USERNAME, username.as_bytes())
        .attribute(attribute::REALM, b"icey")
        .attribute(attribute::NONCE, &nonce)
        .integrity(Integrity::Sha1, &key)
        .finish()
}

/// The answer to a request of somebody with good credentials.
pub fn answer(
    world: &mut World,
    from: FiveTuple,
    method: u16,
    attributes: Attributes<'_>,
) -> Vec<u8> {
    let (username, password) = minted(3600);
    let request = request(world, from, method, &username, &password, attributes);
    let _ = world.receive(from, &request);
    let mut answers = world.take(from);
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

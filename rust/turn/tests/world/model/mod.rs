//! What a server is to do, said a second time and simply; and rows of steps to compare the two by.
//!
//! Six bytes are a step, some take the bytes behind them as a message. So any bytes are a row of steps: those of a
//! property test, those of a fuzzer, those of its corpus.

mod asking;
mod payloads;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use icey_turn::message::{Builder, Class, Message, attribute, method};
use icey_turn::{Config, FiveTuple, RelayError, Transport};

use super::{World, address, client, config};

const QUOTA: usize = 3;
const MOST: usize = 5;
/// Seconds that the users' credentials last from the start; the last one's are not his.
const USERS: [u64; 4] = [1500, 90_000, 90_001, 90_002];
const FORGER: usize = 3;

/// Peers, and whether they are open.
const PEERS: [(&str, bool); 12] = [
    ("9.9.9.9:5000", true),
    ("9.9.9.9:5001", true),
    ("9.9.9.8:5000", true),
    ("[2a00::9]:5000", true),
    ("8.8.8.8:4501", true),
    ("8.8.8.8:4500", false),
    ("127.0.0.1:4501", true),
    ("127.0.0.1:22", false),
    ("10.0.0.1:80", false),
    ("169.254.169.254:80", false),
    ("[::ffff:9.9.9.9]:5000", false),
    ("[fe80::1]:5000", false),
];

#[derive(Debug)]
struct Expected {
    user: usize,
    v4: bool,
    expires: Instant,
    permissions: HashMap<IpAddr, Instant>,
    channels: BTreeMap<u16, (SocketAddr, Instant)>,
}

/// The simple server, beside the real one.
pub struct Model {
    world: World,
    clients: Vec<FiveTuple>,
    nonces: Vec<Option<(Vec<u8>, Instant)>>,
    allocations: HashMap<usize, Expected>,
    /// Token, user, end.
    reservations: Vec<([u8; 8], usize, Instant)>,
    last: Option<(FiveTuple, Vec<u8>, Vec<u8>)>,
    transaction: u64,
}

/// Runs a row of steps, and compares after each.
pub fn run(bytes: &[u8]) {
    let mut model = Model::new();
    let mut rest = bytes;
    while let Some((step, after)) = rest.split_first_chunk::<6>() {
        rest = model.step(*step, after);
        model.check();
    }
    model.end();
}

impl Model {
    fn new() -> Self {
        let mut clients: Vec<FiveTuple> = [
            (Transport::Udp, "5.5.5.5:1"),
            (Transport::Udp, "5.5.5.5:2"),
            (Transport::Udp, "[2a00::1]:1"),
            (Transport::Tcp, "5.5.5.5:1"),
            (Transport::Tls, "5.5.5.5:1"),
        ]
        .map(|(transport, remote)| client(transport, remote))
        .into();
        clients.push(client(Transport::Udp, "5.5.5.6:1"));
        let nonces = vec![None; clients.len()];
        Self {
            world: World::new(Config {
                user_quota: QUOTA,
                max_allocations: MOST,
                ..config()
            }),
            clients,
            nonces,
            allocations: HashMap::new(),
            reservations: Vec::new(),
            last: None,
            transaction: 0,
        }
    }

    /// Does one step, and gives what it leaves of the bytes behind it.
    fn step<'a>(&mut self, step: [u8; 6], after: &'a [u8]) -> &'a [u8] {
        let [kind, client, user, a, b, c] = step;
        let client = usize::from(client) % self.clients.len();
        let user = usize::from(user) % USERS.len();
        let (peer, open) = PEERS[usize::from(a) % PEERS.len()];
        let peer = address(peer);
        let channel = 0x4000 + u16::from(b % 4);
        match kind % 14 {
            0 => self.allocate(client, user, a, b, c),
            1 => self.refresh(client, user, u32::from(a) * 20),
            2 => self.permit(client, user, peer, open),
            3 => self.bind(client, user, peer, open, channel),
            4 => self.send(client, peer, open, c),
            5 => self.channel_data(client, channel, c),
            6 => self.peer_sends(a, peer, c),
            7 => self.close(client),
            8 => self.wait(Duration::from_secs(u64::from(a) * u64::from(b) / 8)),
            9 => {
                self.world.no_relays = [
                    None,
                    None,
                    Some(RelayError::NoPort),
                    Some(RelayError::FamilyNotSupported),
                ][usize::from(a % 4)]
            }
            10 => self.repeat(),
            11 => self.stale_request(client, user),
            12 => {
                let (data, rest) = after.split_at(usize::from(a).min(after.len()));
                let _ = self.world.receive(self.clients[client], data);
                self.world.sent.clear();
                return rest;
            }
            _ => {
                let (data, rest) = after.split_at(usize::from(a).min(after.len()));
                self.signed(client, user, b, data);
                return rest;
            }
        }
        after
    }

    fn allocate(&mut self, client: usize, user: usize, a: u8, b: u8, c: u8) {
        let v6 = a & 1 != 0;
        let even = (a & 2 != 0).then_some(a & 4 != 0);
        let token = (a & 8 != 0).then(|| match self.reservations.len() {
            0 => [b; 8],
            many => self.reservations[usize::from(b) % many].0,
        });
        let lifetime = u32::from(c) * 20;
        let transaction = self.transaction();
        let mut builder = Builder::new(Class::Request, method::ALLOCATE, transaction)
            .attribute(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
            .number(attribute::LIFETIME, lifetime);
        if v6 {
            builder = builder.attribute(attribute::REQUESTED_ADDRESS_FAMILY, &[2, 0, 0, 0]);
        }
        if let Some(reserve) = even {
            builder = builder.attribute(attribute::EVEN_PORT, &[u8::from(reserve) << 7]);
        }
        if let Some(token) = token {
            builder = builder.attribute(attribute::RESERVATION_TOKEN, &token);
        }
        let places = 1 + usize::from(even == Some(true));
        let of_user = self
            .allocations
            .values()
            .filter(|allocation| allocation.user == user)
            .count()
            + self
                .reservations
                .iter()
                .filter(|(_, owner, _)| *owner == user)
                .count();
        let in_all = self.allocations.len() + self.reservations.len();
        let claimed = self
            .reservations
            .iter()
            .position(|(known, owner, _)| Some(*known) == token && *owner == user);
        let mut v4 = !v6;
        let expected = if user == FORGER || self.expired(user) {
            401
        } else if self.allocations.contains_key(&client) {
            437
        } else if token.is_some() && (v6 || even.is_some()) {
            400
        } else if token.is_some() && claimed.is_none() {
            508
        } else if token.is_none() && of_user + places > QUOTA {
            486
        } else if token.is_none() && in_all + places > MOST {
            508
        } else {
            if let Some(claimed) = claimed {
                self.reservations.remove(claimed);
                // Reservations are of the family of what they are next to.
                v4 = true;
            }
            match self.world.no_relays {
                Some(RelayError::NoPort) => 508,
                Some(RelayError::FamilyNotSupported) => 440,
                None => 0,
            }
        };
        let (code, answer) = self.ask(client, user, builder, a & 16 != 0);
        assert_eq!(code, expected, "Allocate");
        if code != 0 {
            return;
        }
        let message = Message::parse(&answer).expect("a message");
        let granted = lifetime.clamp(600, 3600);
        assert_eq!(message.number(attribute::LIFETIME), Some(granted));
        let relayed = message
            .address(attribute::XOR_RELAYED_ADDRESS)
            .expect("an address");
        if token.is_some() {
            v4 = relayed.is_ipv4();
        }
        assert_eq!(relayed.is_ipv4(), v4);
        assert!(even.is_none() || relayed.port().is_multiple_of(2));
        if even == Some(true) {
            let token = message.get(attribute::RESERVATION_TOKEN).expect("a token");
            let token = token.try_into().expect("eight bytes");
            self.reservations
                .push((token, user, self.world.now + Duration::from_secs(30)));
        }
        let expected = Expected {
            user,
            v4,
            expires: self.world.now + Duration::from_secs(granted.into()),
            permissions: HashMap::new(),
            channels: BTreeMap::new(),
        };
        self.allocations.insert(client, expected);
    }

    fn refresh(&mut self, client: usize, user: usize, lifetime: u32) {
        let transaction = self.transaction();
        let builder = Builder::new(Class::Request, method::REFRESH, transaction)
            .number(attribute::LIFETIME, lifetime);
        let expected = match self.barred(client, user) {
            Some(401) => 401,
            _ if self.expired(user) && lifetime != 0 => 401,
            barred => barred.unwrap_or(0),
        };
        assert_eq!(
            self.ask(client, user, builder, false).0,
            expected,
            "Refresh"
        );
        if expected != 0 {
            return;
        }
        if lifetime == 0 {
            self.allocations.remove(&client);
        } else if let Some(allocation) = self.allocations.get_mut(&client) {
            allocation.expires =
                self.world.now + Duration::from_secs(lifetime.clamp(600, 3600).into());
        }
    }

    fn permit(&mut self, client: usize, user: usize, peer: SocketAddr, open: bool) {
        let transaction = self.transaction();
        let builder = Builder::new(Class::Request, method::CREATE_PERMISSION, transaction)
            .address(attribute::XOR_PEER_ADDRESS, peer);
        let expected =
            self.barred(client, user)
                .unwrap_or_else(|| match self.allocations.get(&client) {
                    Some(allocation) if allocation.v4 != peer.is_ipv4() => 443,
                    _ if !open => 403,
                    _ => 0,
                });
        assert_eq!(
            self.ask(client, user, builder, false).0,
            expected,
            "CreatePermission"
        );
        if let (0, Some(allocation)) = (expected, self.allocations.get_mut(&client)) {
            let expires = self.world.now + Duration::from_secs(300);
            allocation.permissions.insert(peer.ip(), expires);
        }
    }

    fn bind(&mut self, client: usize, user: usize, peer: SocketAddr, open: bool, channel: u16) {
        let transaction = self.transaction();
        let number = [&channel.to_be_bytes()[..], &[0, 0]].concat();
        let builder = Builder::new(Class::Request, method::CHANNEL_BIND, transaction)
            .attribute(attribute::CHANNEL_NUMBER, &number)
            .address(attribute::XOR_PEER_ADDRESS, peer);
        let now = self.world.now;
        let expected =
            self.barred(client, user)
                .unwrap_or_else(|| match self.allocations.get(&client) {
                    Some(allocation) if allocation.v4 != peer.is_ipv4() => 443,
                    _ if !open => 403,
                    Some(allocation) => {
                        let clash = |(number, (bound, expires)): (&u16, &(SocketAddr, Instant))| {
                            *expires > now && (*number == channel) != (*bound == peer)
                        };
                        if allocation.channels.iter().any(clash) {
                            400
                        } else {
                            0
                        }
                    }
                    None => 437,
                });
        assert_eq!(
            self.ask(client, user, builder, true).0,
            expected,
            "ChannelBind"
        );
        if let (0, Some(allocation)) = (expected, self.allocations.get_mut(&client)) {
            allocation
                .permissions
                .insert(peer.ip(), now + Duration::from_secs(300));
            allocation.channels.retain(|_, (_, expires)| *expires > now);
            allocation
                .channels
                .insert(channel, (peer, now + Duration::from_secs(600)));
        }
    }

    fn close(&mut self, client: usize) {
        let from = self.clients[client];
        if from.transport.is_stream() {
            self.world.server.connection_closed(self.world.now, from);
            self.world.run();
            self.allocations.remove(&client);
        }
    }

    fn wait(&mut self, time: Duration) {
        self.world.wait(time);
        let now = self.world.now;
        self.allocations
            .retain(|_, allocation| allocation.expires > now);
        self.reservations.retain(|(_, _, expires)| *expires > now);
    }

    /// The last request again. What was granted is granted alike, unless its time was over in between.
    fn repeat(&mut self) {
        let Some((from, request, answer)) = self.last.take() else {
            return;
        };
        let message = Message::parse(&answer).expect("a message");
        let (allocate, granted) = (
            message.method() == method::ALLOCATE,
            message.error().is_none(),
        );
        let before = self.world.server.stats().allocations_total;
        let _ = self.world.receive(from, &request);
        let answers = self.world.take(from);
        assert_eq!(answers.len(), 1);
        if allocate && granted && self.world.server.stats().allocations_total == before {
            let refused = Message::parse(&answers[0]).expect("a message").error();
            assert!(refused.is_some() || answers[0] == answer);
        }
        self.adopt();
    }

    /// Ends all allocations, where the model cannot know what came of a step.
    fn adopt(&mut self) {
        self.wait(Duration::from_secs(3601));
    }

    /// A request without a nonce of this server changes nothing.
    fn stale_request(&mut self, client: usize, user: usize) {
        self.nonces[client] = Some((b"obMatJos2gAAAnonsense".to_vec(), self.world.now));
        let transaction = self.transaction();
        let builder = Builder::new(Class::Request, method::REFRESH, transaction)
            .number(attribute::LIFETIME, 0);
        assert_eq!(self.ask(client, user, builder, false).0, 438);
        self.nonces[client] = None;
    }

    /// A request of any attributes under good credentials: what it does is not predicted, so all ends after it.
    fn signed(&mut self, client: usize, user: usize, method: u8, data: &[u8]) {
        const METHODS: [u16; 4] = [
            method::ALLOCATE,
            method::REFRESH,
            method::CREATE_PERMISSION,
            method::CHANNEL_BIND,
        ];
        self.challenge(client);
        let transaction = self.transaction();
        let mut builder = Builder::new(
            Class::Request,
            METHODS[usize::from(method) % 4],
            transaction,
        );
        let mut rest = data;
        while let Some((&[high, low, length], after)) = rest.split_first_chunk() {
            let (value, next) = after.split_at(usize::from(length).min(after.len()));
            builder = builder.attribute(u16::from_be_bytes([high & 0x80, low]), value);
            rest = next;
        }
        let request = self.sign(client, user, builder, method & 4 != 0);
        let _ = self.world.receive(self.clients[client], &request);
        self.world.sent.clear();
        self.adopt();
    }

    /// What holds after each step.
    fn check(&mut self) {
        let stats = self.world.server.stats();
        assert_eq!(stats.allocations, self.allocations.len());
        assert_eq!(stats.reservations, self.reservations.len());
        assert_eq!(self.world.relays.len(), self.allocations.len());
        assert_eq!(self.world.reserved.len(), self.reservations.len());
        assert!(stats.allocations + stats.reservations <= MOST);
        let first = self
            .allocations
            .values()
            .map(|allocation| allocation.expires);
        let first = first
            .chain(self.reservations.iter().map(|(_, _, expires)| *expires))
            .min();
        assert_eq!(self.world.server.next_timeout(), first);
        assert!(self.world.server.poll().is_none());
    }

    /// Everything ends by itself.
    fn end(&mut self) {
        self.wait(Duration::from_secs(3601));
        self.check();
        assert!(self.allocations.is_empty() && self.world.relays.is_empty());
        assert!(self.world.reserved.is_empty());
        assert_eq!(self.world.server.next_timeout(), None);
    }
}

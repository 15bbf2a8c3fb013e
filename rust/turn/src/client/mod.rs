//! A small TURN client without sockets, for self-tests and tests.
//!
//! One request at a time: ask for something, send what [`Client::poll_transmit`] gives, hand what comes back to
//! [`Client::receive`], and look at [`Client::poll_event`] until it says how it went. Asking for something else
//! forgets the request before it.

mod event;

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::five_tuple::Transport;
use crate::integrity::{Integrity, Key, PasswordAlgorithm};
use crate::message::{Builder, Class, Message, TransactionId, attribute, method};
use crate::output::Family;

pub use event::{AllocateOptions, Event, Failure, Step};

/// The first time to wait for an answer on UDP, doubled each time (RFC 8489 §6.2.1).
const RTO: Duration = Duration::from_millis(500);
/// Requests that are sent in all.
const REQUESTS: u32 = 7;
/// How long after the last one is waited: 16 times the first.
const LAST_WAIT: Duration = Duration::from_secs(8);
/// How long an answer is waited for on TCP (§6.2.2).
const STREAM_WAIT: Duration = Duration::from_millis(39_500);

/// What the server said about itself in a challenge.
#[derive(Debug, Clone)]
struct Challenge {
    realm: Vec<u8>,
    nonce: Vec<u8>,
    /// PASSWORD-ALGORITHMS, to be sent back as they are, where SHA-256 is to be used.
    algorithms: Option<Vec<u8>>,
}

/// The request that is under way.
#[derive(Debug)]
struct Pending {
    step: Step,
    transaction: TransactionId,
    /// Its attributes, but for the credentials.
    attributes: Vec<(u16, Vec<u8>)>,
    peer: Option<SocketAddr>,
    channel: u16,
    sent: Vec<u8>,
    requests: u32,
    due: Instant,
    /// Challenges it has been through: a second one is a refusal.
    unauthorized: bool,
    stale: bool,
}

/// One client on one 5-tuple.
pub struct Client {
    transport: Transport,
    username: String,
    password: String,
    prefer_sha256: bool,
    challenge: Option<Challenge>,
    key: Option<(Key, Integrity)>,
    pending: Option<Pending>,
    channels: Vec<(u16, SocketAddr)>,
    transmits: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
}

impl Client {
    pub fn new(transport: Transport, username: &str, password: &str) -> Self {
        Self {
            transport,
            username: username.to_owned(),
            password: password.to_owned(),
            prefer_sha256: false,
            challenge: None,
            key: None,
            pending: None,
            channels: Vec::new(),
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Uses SHA-256 for key and integrity where the server offers it; without, it is MD5 and SHA-1.
    pub fn set_prefer_sha256(&mut self, prefer: bool) {
        self.prefer_sha256 = prefer;
    }

    /// Asks for its own address.
    pub fn binding(&mut self, now: Instant) {
        self.start(now, Step::Binding, Vec::new(), None, 0);
    }

    pub fn allocate(&mut self, now: Instant, options: AllocateOptions) {
        let mut attributes = vec![(attribute::REQUESTED_TRANSPORT, vec![17, 0, 0, 0])];
        if let Some(lifetime) = options.lifetime {
            attributes.push((attribute::LIFETIME, seconds(lifetime)));
        }
        if let Some(family) = options.family {
            let number = match family {
                Family::V4 => 1,
                Family::V6 => 2,
            };
            attributes.push((attribute::REQUESTED_ADDRESS_FAMILY, vec![number, 0, 0, 0]));
        }
        if let Some(reserve) = options.even_port {
            attributes.push((attribute::EVEN_PORT, vec![u8::from(reserve) << 7]));
        }
        if let Some(token) = options.reservation {
            attributes.push((attribute::RESERVATION_TOKEN, token.to_vec()));
        }
        self.start(now, Step::Allocate, attributes, None, 0);
    }

    pub fn create_permission(&mut self, now: Instant, peer: SocketAddr) {
        self.start(now, Step::CreatePermission, Vec::new(), Some(peer), 0);
    }

    /// Binds the next free channel; then [`send`](Self::send) to this peer uses ChannelData.
    pub fn bind_channel(&mut self, now: Instant, peer: SocketAddr) {
        let known = self.channels.iter().find(|(_, bound)| *bound == peer);
        let channel = match known {
            Some((channel, _)) => *channel,
            None => 0x4000 + self.channels.len() as u16,
        };
        let number = [&channel.to_be_bytes()[..], &[0, 0]].concat();
        let attributes = vec![(attribute::CHANNEL_NUMBER, number)];
        self.start(now, Step::ChannelBind, attributes, Some(peer), channel);
    }

    /// Keeps the allocation for another while, or frees it with a `lifetime` of 0.
    pub fn refresh(&mut self, now: Instant, lifetime: Duration) {
        let attributes = vec![(attribute::LIFETIME, seconds(lifetime))];
        self.start(now, Step::Refresh, attributes, None, 0);
    }

    /// Sends a payload: ChannelData where a channel is bound, else a Send indication. One that does not fit a message
    /// is not sent, as a datagram of that size would not be.
    pub fn send(&mut self, peer: SocketAddr, payload: &[u8]) {
        if payload.len() > crate::framing::MAX_DATAGRAM - crate::output::MAX_HEAD {
            return;
        }
        let known = self.channels.iter().find(|(_, bound)| *bound == peer);
        let bytes = match known {
            Some((channel, _)) => {
                let length = (payload.len() as u16).to_be_bytes();
                let mut bytes = [&channel.to_be_bytes(), &length, payload].concat();
                if self.transport.is_stream() {
                    bytes.resize(bytes.len().next_multiple_of(4), 0);
                }
                bytes
            }
            None => Builder::new(Class::Indication, method::SEND, transaction())
                .address(attribute::XOR_PEER_ADDRESS, peer)
                .attribute(attribute::DATA, payload)
                .finish(),
        };
        self.transmits.push_back(bytes);
    }

    fn start(
        &mut self,
        now: Instant,
        step: Step,
        attributes: Vec<(u16, Vec<u8>)>,
        peer: Option<SocketAddr>,
        channel: u16,
    ) {
        self.pending = Some(Pending {
            step,
            transaction: [0; 12],
            attributes,
            peer,
            channel,
            sent: Vec::new(),
            requests: 0,
            due: now,
            unauthorized: false,
            stale: false,
        });
        self.write_request(now);
    }

    /// Sends the pending request under a new transaction, with what is known of the server by now.
    fn write_request(&mut self, now: Instant) {
        let Some(pending) = &mut self.pending else {
            return;
        };
        pending.transaction = transaction();
        let method = pending.step.method();
        let mut request = Builder::new(Class::Request, method, pending.transaction);
        for (kind, value) in &pending.attributes {
            request = request.attribute(*kind, value);
        }
        if let Some(peer) = pending.peer {
            request = request.address(attribute::XOR_PEER_ADDRESS, peer);
        }
        if let (Some(challenge), Some((key, integrity)), true) =
            (&self.challenge, &self.key, pending.step != Step::Binding)
        {
            request = request
                .attribute(attribute::USERNAME, self.username.as_bytes())
                .attribute(attribute::REALM, &challenge.realm)
                .attribute(attribute::NONCE, &challenge.nonce);
            if let Some(algorithms) = &challenge.algorithms {
                let chosen = PasswordAlgorithm::Sha256.value();
                request = request
                    .attribute(attribute::PASSWORD_ALGORITHMS, algorithms)
                    .attribute(attribute::PASSWORD_ALGORITHM, &chosen);
            }
            request = request.integrity(*integrity, key);
        }
        pending.sent = request.finish_with_fingerprint();
        pending.requests = 1;
        pending.due = now
            + if self.transport.is_stream() {
                STREAM_WAIT
            } else {
                RTO
            };
        self.transmits.push_back(pending.sent.clone());
    }

    /// Takes one datagram, or one frame of a stream. What does not belong to this client is ignored.
    pub fn receive(&mut self, now: Instant, data: &[u8]) {
        if let Some(0x40..=0x4F) = data.first() {
            self.channel_data(data);
            return;
        }
        let Ok(message) = Message::parse(data) else {
            return;
        };
        match message.class() {
            Class::Indication if message.method() == method::DATA => {
                let peer = message.address(attribute::XOR_PEER_ADDRESS);
                if let (Some(peer), Some(payload)) = (peer, message.get(attribute::DATA)) {
                    let payload = payload.to_vec();
                    self.events.push_back(Event::Received { peer, payload });
                }
            }
            Class::Success | Class::Error => self.answer(now, &message),
            Class::Request | Class::Indication => {}
        }
    }

    fn channel_data(&mut self, data: &[u8]) {
        let Some((&[high, low, length_high, length_low], rest)) = data.split_first_chunk() else {
            return;
        };
        let number = u16::from_be_bytes([high, low]);
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        let known = self.channels.iter().find(|(channel, _)| *channel == number);
        if let (Some((_, peer)), Some(payload)) = (known, rest.get(..length)) {
            let (peer, payload) = (*peer, payload.to_vec());
            self.events.push_back(Event::Received { peer, payload });
        }
    }

    fn answer(&mut self, now: Instant, message: &Message<'_>) {
        let Some(pending) = &mut self.pending else {
            return;
        };
        if message.transaction() != pending.transaction || message.method() != pending.step.method()
        {
            return;
        }
        // An answer to a request with integrity has it too (§9.2.5); challenges alone cannot. Another is not the
        // server's, so the real one is waited for.
        let signed = match &self.key {
            Some((key, _)) => message.verify(key),
            None => false,
        };
        let error = message.error();
        let challenged = matches!(error, Some((400 | 401 | 438, _)));
        if self.key.is_some() && pending.step != Step::Binding && !signed && !challenged {
            return;
        }
        let step = pending.step;
        match error {
            None if message.class() == Class::Success => match self.success(message) {
                Some(event) => self.finish(event),
                None => self.fail(step, Failure::BadAnswer),
            },
            None => self.fail(step, Failure::BadAnswer),
            Some((code @ (401 | 438), reason)) => {
                let again = match code {
                    401 => !std::mem::replace(&mut pending.unauthorized, true),
                    _ => !std::mem::replace(&mut pending.stale, true),
                };
                // Credentials that were refused once are not tried again.
                let again = again && (code == 438 || self.key.is_none());
                if again && self.learn(message) {
                    self.write_request(now);
                } else {
                    let reason = reason.to_owned();
                    self.fail(step, Failure::Refused { code, reason });
                }
            }
            Some((code, reason)) => {
                let reason = reason.to_owned();
                self.fail(step, Failure::Refused { code, reason });
            }
        }
    }

    /// Takes realm and nonce from a challenge.
    fn learn(&mut self, message: &Message<'_>) -> bool {
        let realm = message.get(attribute::REALM);
        let (Some(realm), Some(nonce)) = (realm, message.get(attribute::NONCE)) else {
            return false;
        };
        let Ok(realm_text) = std::str::from_utf8(realm) else {
            return false;
        };
        let offered = message.get(attribute::PASSWORD_ALGORITHMS);
        let sha256 = PasswordAlgorithm::Sha256.value();
        let algorithms = offered
            .filter(|offered| self.prefer_sha256 && offered.chunks(4).any(|one| one == sha256));
        let (algorithm, integrity) = match algorithms {
            Some(_) => (PasswordAlgorithm::Sha256, Integrity::Sha256),
            None => (PasswordAlgorithm::Md5, Integrity::Sha1),
        };
        let username = self.username.as_bytes();
        let key = Key::long_term(algorithm, username, realm_text, &self.password);
        self.key = Some((key, integrity));
        self.challenge = Some(Challenge {
            realm: realm.to_vec(),
            nonce: nonce.to_vec(),
            algorithms: algorithms.map(<[u8]>::to_vec),
        });
        true
    }

    fn success(&mut self, message: &Message<'_>) -> Option<Event> {
        let pending = self.pending.as_ref()?;
        let lifetime = || {
            let seconds = message.number(attribute::LIFETIME)?;
            Some(Duration::from_secs(seconds.into()))
        };
        let mapped = || message.address(attribute::XOR_MAPPED_ADDRESS);
        Some(match pending.step {
            Step::Binding => Event::Bound { mapped: mapped()? },
            Step::Allocate => Event::Allocated {
                relayed: message.address(attribute::XOR_RELAYED_ADDRESS)?,
                mapped: mapped()?,
                lifetime: lifetime()?,
                reservation: match message.get(attribute::RESERVATION_TOKEN) {
                    Some(token) => Some(token.try_into().ok()?),
                    None => None,
                },
            },
            Step::CreatePermission => Event::PermissionCreated {
                peer: pending.peer?,
            },
            Step::ChannelBind => {
                let (channel, peer) = (pending.channel, pending.peer?);
                if !self.channels.contains(&(channel, peer)) {
                    self.channels.push((channel, peer));
                }
                Event::ChannelBound { channel, peer }
            }
            Step::Refresh => Event::Refreshed {
                lifetime: lifetime()?,
            },
        })
    }

    fn finish(&mut self, event: Event) {
        self.pending = None;
        self.events.push_back(event);
    }

    fn fail(&mut self, step: Step, failure: Failure) {
        self.finish(Event::Failed { step, failure });
    }

    /// The next message for the server, whole.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.pending.as_ref().map(|pending| pending.due)
    }

    /// Sends a request again, or gives it up.
    pub fn handle_timeout(&mut self, now: Instant) {
        let Some(pending) = self.pending.as_mut().filter(|pending| pending.due <= now) else {
            return;
        };
        if self.transport.is_stream() || pending.requests == REQUESTS {
            let step = pending.step;
            self.fail(step, Failure::Timeout);
            return;
        }
        pending.requests += 1;
        pending.due = now
            + if pending.requests == REQUESTS {
                LAST_WAIT
            } else {
                RTO * 2u32.pow(pending.requests - 1)
            };
        self.transmits.push_back(pending.sent.clone());
    }
}

/// Without the password.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("transport", &self.transport)
            .field("username", &self.username)
            .field(
                "pending",
                &self.pending.as_ref().map(|pending| pending.step),
            )
            .field("channels", &self.channels)
            .finish_non_exhaustive()
    }
}

fn seconds(duration: Duration) -> Vec<u8> {
    let seconds = u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    seconds.to_be_bytes().to_vec()
}

/// A new transaction, which nobody can guess (RFC 8489 §5).
fn transaction() -> TransactionId {
    let mut transaction = [0; 12];
    #[expect(
        clippy::expect_used,
        reason = "without random numbers TLS and SRTP are not there either"
    )]
    aws_lc_rs::rand::fill(&mut transaction).expect("the system gives random bytes");
    transaction
}

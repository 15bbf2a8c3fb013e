//! A client that waits: allocates, passes a datagram through, frees. The self-test of the server,
//! over the same sockets as a browser's.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use icey_turn::client::{AllocateOptions, Client, ClientEvent, Failure};
use icey_turn::framing::Framer;
use icey_turn::{Family, Transport};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::tls;

/// How often the datagram is sent, if it does not come through: on UDP one may be lost.
const RESEND: Duration = Duration::from_millis(300);

/// What is passed through. Long enough to need padding, and no text that anybody else would send.
const PAYLOAD: &[u8; 27] = b"icey-server turn self-test ";

/// The name in the TLS handshake: the certificate is compared as a whole, whatever its names.
const SERVER_NAME: &str = "turn.invalid";

/// Which server is probed, how, and as whom.
#[derive(Clone)]
pub struct ProbeConfig {
    pub host: String,
    pub port: u16,
    pub transport: Transport,
    pub username: String,
    pub credential: String,
    /// For TLS: the PEM file with the certificate that the server must show.
    pub certificate: PathBuf,
    /// What sends every datagram back; `None` makes a second allocation the peer.
    pub echo: Option<SocketAddr>,
    /// For all steps together.
    pub timeout: Duration,
}

/// What a probe that succeeded has seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    pub relayed: SocketAddr,
    pub mapped: SocketAddr,
    pub round_trip: Duration,
}

/// Which step failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeStep {
    Connect,
    Allocate,
    Permit,
    Relay,
    Free,
}

impl ProbeStep {
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Allocate => "allocate",
            Self::Permit => "permit",
            Self::Relay => "relay",
            Self::Free => "free",
        }
    }
}

/// Why the probe failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeError {
    pub step: ProbeStep,
    /// What the server or the system said; empty where nothing came.
    pub said: String,
    /// The STUN error code of the answer.
    pub code: Option<u16>,
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.step {
            ProbeStep::Connect => "the TURN server cannot be reached",
            ProbeStep::Allocate => "the TURN server makes no allocation",
            ProbeStep::Permit => "the TURN server permits no peer",
            ProbeStep::Relay => "nothing passes through the TURN server",
            ProbeStep::Free => "the TURN server does not free an allocation",
        };
        match (self.code, self.said.as_str()) {
            (Some(code), said) => write!(f, "{what}: {code} {said}"),
            (None, "") => write!(f, "{what}: no answer in time"),
            (None, said) => write!(f, "{what}: {said}"),
        }
    }
}

impl std::error::Error for ProbeError {}

/// Takes every step in turn; the first one that fails ends the probe.
pub fn probe(config: &ProbeConfig) -> Result<Probe, ProbeError> {
    let deadline = Instant::now() + config.timeout;
    let server = resolve(config, deadline)?;
    let mut first = Session::open(config, server, deadline)?;
    let (relayed, mapped) = first.allocate()?;
    let mut second = match config.echo {
        Some(_) => None,
        None => Some(Session::open(config, server, deadline)?),
    };
    let peer = match (&mut second, config.echo) {
        (Some(session), _) => session.allocate()?.0,
        (None, Some(echo)) => echo,
        (None, None) => relayed,
    };
    first.permit(peer)?;
    if let Some(session) = &mut second {
        session.permit(relayed)?;
    }
    let round_trip = pass(&mut first, second.as_mut(), relayed, peer, deadline)?;
    first.free()?;
    if let Some(session) = &mut second {
        session.free()?;
    }
    Ok(Probe {
        relayed,
        mapped,
        round_trip,
    })
}

/// Sends a datagram through the first allocation and waits for it to come back, off the echo or off
/// the second allocation.
fn pass(
    first: &mut Session,
    mut second: Option<&mut Session>,
    relayed: SocketAddr,
    peer: SocketAddr,
    deadline: Instant,
) -> Result<Duration, ProbeError> {
    loop {
        let sent = Instant::now();
        let until = (sent + RESEND).min(deadline);
        first.send(peer, ProbeStep::Relay)?;
        let arrived = match &mut second {
            Some(session) => session.receive(relayed, until)?,
            None => true,
        };
        if arrived {
            if let Some(session) = &mut second {
                session.send(relayed, ProbeStep::Relay)?;
            }
            if first.receive(peer, until)? {
                return Ok(sent.elapsed());
            }
        }
        if Instant::now() >= deadline {
            return Err(failed(ProbeStep::Relay, "the datagram did not come back"));
        }
    }
}

fn resolve(config: &ProbeConfig, deadline: Instant) -> Result<SocketAddr, ProbeError> {
    let refuse = |said: String| failed(ProbeStep::Connect, said);
    let found = (config.host.as_str(), config.port)
        .to_socket_addrs()
        .map_err(|error| refuse(format!("{}: {error}", config.host)))?
        .next();
    if Instant::now() >= deadline {
        return Err(refuse("looking up the name took too long".into()));
    }
    found.ok_or_else(|| refuse(format!("{} has no address", config.host)))
}

/// One client and its socket.
struct Session {
    client: Client,
    link: Link,
    family: Family,
    deadline: Instant,
}

impl Session {
    fn open(
        config: &ProbeConfig,
        server: SocketAddr,
        deadline: Instant,
    ) -> Result<Self, ProbeError> {
        let link = Link::open(config, server, deadline)
            .map_err(|error| failed(ProbeStep::Connect, error))?;
        Ok(Self {
            client: Client::new(config.transport, &config.username, &config.credential),
            link,
            family: if server.is_ipv4() {
                Family::V4
            } else {
                Family::V6
            },
            deadline,
        })
    }

    /// Allocates; the relayed address, and where the server sees this client.
    fn allocate(&mut self) -> Result<(SocketAddr, SocketAddr), ProbeError> {
        let options = AllocateOptions {
            // The default is IPv4 (RFC 8656 §7.1), which a server on an IPv6 address may not have.
            family: (self.family == Family::V6).then_some(Family::V6),
            ..AllocateOptions::default()
        };
        self.client.allocate(Instant::now(), options);
        self.wait(ProbeStep::Allocate, self.deadline, |event| match event {
            ClientEvent::Allocated {
                relayed, mapped, ..
            } => Some((*relayed, *mapped)),
            _ => None,
        })?
        .ok_or_else(|| silent(ProbeStep::Allocate))
    }

    fn permit(&mut self, peer: SocketAddr) -> Result<(), ProbeError> {
        self.client.create_permission(Instant::now(), peer);
        self.wait(ProbeStep::Permit, self.deadline, |event| {
            matches!(event, ClientEvent::PermissionCreated { .. }).then_some(())
        })?
        .ok_or_else(|| silent(ProbeStep::Permit))
    }

    fn free(&mut self) -> Result<(), ProbeError> {
        self.client.refresh(Instant::now(), Duration::ZERO);
        self.wait(ProbeStep::Free, self.deadline, |event| {
            matches!(event, ClientEvent::Refreshed { .. }).then_some(())
        })?
        .ok_or_else(|| silent(ProbeStep::Free))
    }

    fn send(&mut self, peer: SocketAddr, step: ProbeStep) -> Result<(), ProbeError> {
        self.client.send(peer, PAYLOAD);
        self.transmit(step)
    }

    /// Waits for the datagram; whether it came.
    fn receive(&mut self, from: SocketAddr, until: Instant) -> Result<bool, ProbeError> {
        let seen = self.wait(ProbeStep::Relay, until, |event| match event {
            ClientEvent::Received { peer, payload } => {
                (*peer == from && payload == PAYLOAD).then_some(())
            }
            _ => None,
        })?;
        Ok(seen.is_some())
    }

    fn transmit(&mut self, step: ProbeStep) -> Result<(), ProbeError> {
        while let Some(message) = self.client.poll_transmit() {
            self.link
                .send(&message)
                .map_err(|error| failed(step, error))?;
        }
        Ok(())
    }

    /// Works until an event is what was waited for; `None` at the end of the time.
    fn wait<T>(
        &mut self,
        step: ProbeStep,
        until: Instant,
        mut wanted: impl FnMut(&ClientEvent) -> Option<T>,
    ) -> Result<Option<T>, ProbeError> {
        loop {
            self.transmit(step)?;
            while let Some(event) = self.client.poll_event() {
                if let Some(found) = wanted(&event) {
                    return Ok(Some(found));
                }
                if let ClientEvent::Failed { failure, .. } = event {
                    return Err(refused(step, failure));
                }
            }
            let now = Instant::now();
            if now >= until {
                return Ok(None);
            }
            let wake = self.client.next_timeout();
            let wake = wake.map_or(until, |wake| wake.min(until));
            let client = &mut self.client;
            self.link
                .receive(wake, |data| client.receive(Instant::now(), data))
                .map_err(|error| failed(step, error))?;
            self.client.handle_timeout(Instant::now());
        }
    }
}

fn failed(step: ProbeStep, said: impl ToString) -> ProbeError {
    ProbeError {
        step,
        said: said.to_string(),
        code: None,
    }
}

fn silent(step: ProbeStep) -> ProbeError {
    failed(step, "")
}

fn refused(step: ProbeStep, failure: Failure) -> ProbeError {
    match failure {
        Failure::Refused { code, reason } => ProbeError {
            step,
            said: reason,
            code: Some(code),
        },
        Failure::Timeout => silent(step),
        Failure::BadAnswer => failed(
            step,
            "an answer that cannot be read, or that this server did not make",
        ),
    }
}

/// The socket to the server.
enum Link {
    Udp(UdpSocket),
    Tcp(TcpStream, Framer),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>, Framer),
}

impl Link {
    fn open(config: &ProbeConfig, server: SocketAddr, deadline: Instant) -> io::Result<Self> {
        if config.transport == Transport::Udp {
            let any: SocketAddr = match server {
                SocketAddr::V4(_) => ([0; 4], 0).into(),
                SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
            };
            let socket = UdpSocket::bind(any)?;
            socket.connect(server)?;
            return Ok(Self::Udp(socket));
        }
        let stream = TcpStream::connect_timeout(&server, remaining(deadline))?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(remaining(deadline)))?;
        if config.transport == Transport::Tcp {
            return Ok(Self::Tcp(stream, Framer::new()));
        }
        stream.set_read_timeout(Some(remaining(deadline)))?;
        let settings = tls::client(&config.certificate).map_err(io::Error::other)?;
        let stream = handshake(settings, stream)?;
        Ok(Self::Tls(Box::new(stream), Framer::new()))
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp(socket) => match socket.send(message) {
                // Told by ICMP about the datagram before: the same as no answer.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
                sent => sent.map(drop),
            },
            Self::Tcp(stream, _) => stream.write_all(message),
            Self::Tls(stream, _) => stream.write_all(message),
        }
    }

    /// Waits until something has come, at most until then.
    fn receive(&mut self, until: Instant, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let wait = Some(remaining(until));
        let read = match self {
            Self::Udp(socket) => {
                let mut buffer = [0; 2048];
                socket.set_read_timeout(wait)?;
                socket.recv(&mut buffer).map(|count| each(&buffer[..count]))
            }
            Self::Tcp(stream, framer) => {
                stream.set_read_timeout(wait)?;
                read_frames(stream, framer, each)
            }
            Self::Tls(stream, framer) => {
                stream.sock.set_read_timeout(wait)?;
                read_frames(&mut **stream, framer, each)
            }
        };
        match read {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            // A closed UDP port. The server may be about to start, so that it is asked again.
            Err(error)
                if error.kind() == ErrorKind::ConnectionRefused && matches!(self, Self::Udp(_)) =>
            {
                std::thread::sleep(remaining(until).min(RESEND));
                Ok(())
            }
            done => done,
        }
    }
}

fn read_frames(
    stream: &mut impl Read,
    framer: &mut Framer,
    mut each: impl FnMut(&[u8]),
) -> io::Result<()> {
    match stream.read(framer.space())? {
        0 => {
            return Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "the server hung up",
            ));
        }
        count => framer.filled(count),
    }
    let broken = |_| io::Error::new(ErrorKind::InvalidData, "the server sends no TURN");
    while let Some(frame) = framer.next_frame().map_err(broken)? {
        each(frame);
    }
    Ok(())
}

fn handshake(
    settings: Arc<ClientConfig>,
    mut stream: TcpStream,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
    let mut session = ClientConnection::new(settings, name).map_err(io::Error::other)?;
    while session.is_handshaking() {
        session.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(session, stream))
}

/// The time that is left; at least a moment, as a time-out of 0 means none.
fn remaining(until: Instant) -> Duration {
    until
        .saturating_duration_since(Instant::now())
        .max(Duration::from_millis(1))
}

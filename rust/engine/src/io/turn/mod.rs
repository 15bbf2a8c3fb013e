//! The TURN server as a program uses it: sockets, TLS and a thread around `icey-turn`, and the
//! short cut to the engine of the same process.
//!
//! | file | what |
//! |---|---|
//! | `thread` | waits and reads |
//! | `exchange` | what was read on its way to where it is to go |
//! | `relay`, `listener`, `connection`, `outgoing` | sockets |
//! | `short_cut` | the way to the engine and back |
//! | `probe` | a client, for the self-test |

mod connection;
mod epoll;
mod exchange;
mod listener;
pub(crate) mod media;
mod outgoing;
mod probe;
mod relay;
pub(crate) mod short_cut;
mod stats;
mod thread;
mod tls;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use self::epoll::Epoll;
use self::exchange::Exchange;
use self::listener::Listener;
pub use self::probe::{Probe, ProbeConfig, ProbeError, ProbeStep, probe};
use self::relay::Ports;
use self::short_cut::Batch;
pub use self::stats::TurnStats;
use self::thread::{Control, Worker};
use super::receive::Receiver;
use super::socket::Socket;
use super::{Engine, interfaces, parse_ip, system};
use crate::error::EngineError;

/// What a descriptor is, in the upper bits of its number; the lower ones say which one.
const KINDS: u64 = 0xff << 56;
const WAKE: u64 = 1 << 56;
const UDP: u64 = 2 << 56;
const TCP: u64 = 3 << 56;
const TLS: u64 = 4 << 56;
const RELAY: u64 = 5 << 56;
const CONNECTION: u64 = 6 << 56;

/// How often a free port is looked for that UDP and TCP both have.
const MAX_TRIES: usize = 16;

/// What a TURN server is made with.
#[derive(Clone)]
pub struct TurnConfig {
    /// The IP address to bind, for clients and for relayed addresses.
    pub host: String,
    /// UDP and TCP port; 0 takes one that is free for both.
    pub port: u16,
    pub tls: Option<TlsConfig>,
    pub realm: String,
    /// Signs credentials.
    pub secret: Vec<u8>,
    /// Told in place of the bound address of its family; empty for none.
    pub external_ip: String,
    pub allow_local_relay: bool,
    /// Ports of this machine that are never relayed to, besides the server's own.
    pub refused_ports: Vec<u16>,
    pub max_allocations: usize,
    pub user_quota: usize,
    /// Bit/s of one allocation in each direction; 0 for no limit.
    pub max_bitrate: u64,
    /// The first and the last port of relayed addresses.
    pub relay_ports: (u16, u16),
}

/// What TLS needs.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// TCP port; 0 takes a free one.
    pub port: u16,
    /// PEM files.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// A TURN server next to an engine.
pub struct TurnServer {
    control: Arc<Control>,
    thread: Mutex<Option<JoinHandle<()>>>,
    engine: Arc<super::mailbox::Shared>,
    port: u16,
    tls_port: Option<u16>,
}

impl TurnServer {
    /// Binds the ports and starts the thread.
    pub fn new(engine: &Engine, config: &TurnConfig) -> Result<Self, EngineError> {
        let host = parse_ip(&config.host)?;
        let external = match config.external_ip.as_str() {
            "" => None,
            text => Some(parse_ip(text)?),
        };
        let (udp, tcp) = bind(host, config.port)?;
        let tls = match &config.tls {
            Some(tls) => Some((
                Listener::bind(host, tls.port)?,
                tls::server(&tls.certificate, &tls.key)?,
            )),
            None => None,
        };
        let (port, tls_port) = (
            udp.port(),
            tls.as_ref().map(|(listener, _)| listener.port()),
        );
        let media = engine.media();
        let mut own =
            interfaces::all_addresses().map_err(|error| system("no list of addresses", &error))?;
        own.extend(external);
        let mut refused_ports = config.refused_ports.clone();
        refused_ports.push(port);
        refused_ports.extend(tls_port);
        let protocol = icey_turn::Config {
            realm: config.realm.clone(),
            secret: config.secret.clone(),
            software: concat!("icey ", env!("CARGO_PKG_VERSION")).into(),
            nonce_key: tls::random_key()?,
            external_v4: external.and_then(|ip| match ip {
                IpAddr::V4(v4) => Some(v4),
                IpAddr::V6(_) => None,
            }),
            external_v6: external.and_then(|ip| match ip {
                IpAddr::V6(v6) => Some(v6),
                IpAddr::V4(_) => None,
            }),
            allow_local_relay: config.allow_local_relay,
            own_addresses: own,
            own_media: media.all(),
            refused_ports,
            max_allocations: config.max_allocations,
            user_quota: config.user_quota,
            max_bitrate: config.max_bitrate,
        };
        let has_external = [
            protocol.external_v4.is_some(),
            protocol.external_v6.is_some(),
        ];
        let ports = Ports::new(host, config.relay_ports, has_external);
        let epoll = Arc::new(Epoll::new().map_err(|error| system("no epoll", &error))?);
        let engine = engine.shared.clone();
        let watched = [
            (engine.short_cut.wake.fd(), WAKE),
            (udp.fd(), UDP),
            (tcp.fd(), TCP),
        ];
        let secure = tls.iter().map(|(listener, _)| (listener.fd(), TLS));
        for (fd, token) in watched.into_iter().chain(secure) {
            epoll
                .add(fd, token)
                .map_err(|error| system("epoll refused a socket", &error))?;
        }
        if !engine.short_cut.claim() {
            return Err(EngineError::System(
                "this engine has a TURN server already".into(),
            ));
        }
        let (udp, control) = (Arc::new(udp), Arc::<Control>::default());
        let worker = Worker {
            control: control.clone(),
            engine: engine.clone(),
            epoll: epoll.clone(),
            udp: udp.clone(),
            tcp,
            tls,
            // Room for whatever a datagram can be.
            receiver: Receiver::new(icey_turn::MAX_DATAGRAM + 1),
            exchange: Exchange::new(protocol, epoll, udp, ports, media, engine.clone()),
            relayed: Batch::default(),
            external: external.into_iter().collect(),
            sweep: Instant::now(),
            look: Instant::now(),
        };
        let thread = std::thread::Builder::new()
            .name("icey-turn".into())
            .spawn(move || worker.run())
            .map_err(|error| system("no thread", &error))?;
        Ok(Self {
            control,
            thread: Mutex::new(Some(thread)),
            engine,
            port,
            tls_port,
        })
    }

    /// The UDP and TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn tls_port(&self) -> Option<u16> {
        self.tls_port
    }

    /// The counters, as of the thread's newest round.
    pub fn stats(&self) -> TurnStats {
        self.control.stats()
    }

    /// Ends every allocation, frees the ports and ends the thread. Closing twice is harmless.
    pub fn close(&self) {
        self.control.closed.store(true, Ordering::Release);
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            self.engine.short_cut.wake.raise();
            // A panic of the thread was printed by its hook; the ports are free.
            let _ = thread.join();
        }
    }
}

impl Drop for TurnServer {
    fn drop(&mut self) {
        self.close();
    }
}

/// Binds one port for UDP and TCP.
fn bind(host: IpAddr, port: u16) -> Result<(Socket, Listener), EngineError> {
    let mut tries = 0;
    loop {
        let udp = Socket::bind(host, port)?;
        match Listener::bind(host, udp.port()) {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(EngineError::AddressInUse { .. }) if port == 0 && tries < MAX_TRIES => tries += 1,
            Err(error) => return Err(error),
        }
    }
}

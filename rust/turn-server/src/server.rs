//! The server's handle: binds the ports, starts the thread, and ends it.

use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use icey_udp::{
    IoThread, MediaAddresses, OpenError, ReceiveBuffers, ShortCut, Socket, TurnEnd, all_addresses,
    parse_ip,
};
use mio::Poll;

use crate::config::TurnConfig;
use crate::exchange::Exchange;
use crate::listener::Listener;
use crate::relay_ports::RelayPorts;
use crate::stats::TurnStats;
use crate::thread::{TurnControl, TurnWorker};
use crate::tls;
use crate::watch::{READ, SocketId, Watcher};

/// How often a free port is looked for that UDP and TCP both have.
const MAX_TRIES: usize = 16;

/// A TURN server next to an engine.
pub struct TurnServer {
    control: Arc<TurnControl>,
    thread: IoThread,
    short_cut: Arc<ShortCut>,
    port: u16,
    tls_port: Option<u16>,
}

impl TurnServer {
    /// Binds the ports and starts the thread. `short_cut` leads to the engine.
    pub fn new(short_cut: &Arc<ShortCut>, config: &TurnConfig) -> Result<Self, OpenError> {
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
        let listener = tls.as_ref().map(|(listener, _)| listener);
        let (port, tls_port) = (udp.port(), listener.map(Listener::port));
        let mut protocol = protocol(&config.protocol, external, &short_cut.media)?;
        protocol.refused_ports.push(port);
        protocol.refused_ports.extend(tls_port);
        let has_external = [
            protocol.external_v4.is_some(),
            protocol.external_v6.is_some(),
        ];
        let ports = RelayPorts::new(host, config.relay_ports, has_external);
        let no_poll = |error| OpenError::system("a socket cannot be waited for", &error);
        let engine = TurnEnd::claim(short_cut.clone())
            .ok_or_else(|| OpenError::System("this engine has a TURN server already".into()))?;
        let poll = Poll::new().map_err(no_poll)?;
        let watcher = Watcher(poll.registry().try_clone().map_err(no_poll)?);
        let watch = |socket: &dyn AsRawFd, id| watcher.add(socket, id, READ).map_err(no_poll);
        watch(engine.wake(), SocketId::Wake)?;
        watch(&udp, SocketId::Udp)?;
        watch(&tcp, SocketId::Tcp)?;
        if let Some(listener) = listener {
            watch(listener, SocketId::Tls)?;
        }
        let (udp, control) = (Arc::new(udp), Arc::<TurnControl>::default());
        let exchange = Exchange::new(protocol, watcher, udp.clone(), ports, engine);
        let worker = TurnWorker {
            control: control.clone(),
            poll,
            unfinished: Vec::new(),
            udp,
            tcp,
            tls,
            // Room for whatever a datagram can be.
            buffers: ReceiveBuffers::new(icey_turn::MAX_DATAGRAM + 1),
            exchange,
            external,
            sweep: Instant::now(),
            look: Instant::now(),
        };
        Ok(Self {
            control,
            thread: IoThread::start("icey-turn", move || worker.run())?,
            short_cut: short_cut.clone(),
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
        self.thread.end(|| {
            self.control.closed.store(true, Ordering::Release);
            self.short_cut.wake_turn();
        });
    }
}

impl Drop for TurnServer {
    fn drop(&mut self) {
        self.close();
    }
}

/// Binds one port for UDP and TCP.
fn bind(host: IpAddr, port: u16) -> Result<(Socket, Listener), OpenError> {
    let mut tries = 0;
    loop {
        let udp = Socket::bind(host, port)?;
        match Listener::bind(host, udp.port()) {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(OpenError::AddressInUse { .. }) if port == 0 && tries < MAX_TRIES => tries += 1,
            Err(error) => return Err(error),
        }
    }
}

/// What the protocol is told, but for the server's own ports.
fn protocol(
    wanted: &icey_turn::Config,
    external: Option<IpAddr>,
    media: &MediaAddresses,
) -> Result<icey_turn::Config, OpenError> {
    let mut own_addresses =
        all_addresses().map_err(|error| OpenError::system("no list of addresses", &error))?;
    own_addresses.extend(external);
    let mut config = icey_turn::Config {
        software: concat!("icey ", env!("CARGO_PKG_VERSION")).into(),
        nonce_key: tls::random_key()?,
        own_addresses,
        own_media: media.all(),
        ..wanted.clone()
    };
    match external {
        Some(IpAddr::V4(v4)) => config.external_v4 = Some(v4),
        Some(IpAddr::V6(v6)) => config.external_v6 = Some(v6),
        None => {}
    }
    Ok(config)
}

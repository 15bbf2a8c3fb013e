//! The server's handle: binds the ports, starts the thread, and ends it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use icey_udp::{
    IoThread, MediaAddresses, OpenError, ShortCut, Socket, TurnEnd, all_addresses, parse_ip,
};
use mio::Poll;

use crate::config::TurnConfig;
use crate::exchange::Exchange;
use crate::listener::Listener;
use crate::relay_ports::RelayPorts;
use crate::stats::TurnStats;
use crate::thread::{TurnControl, TurnWorker};
use crate::tls;
use crate::watch::{SocketId, Watcher};

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
        let mut refused_ports = config.refused_ports.clone();
        refused_ports.push(port);
        refused_ports.extend(tls_port);
        let protocol = protocol(config, external, &short_cut.media, refused_ports)?;
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
        watcher
            .add(engine.wake(), SocketId::Wake)
            .and_then(|()| watcher.add(&udp, SocketId::Udp))
            .and_then(|()| watcher.add(&tcp, SocketId::Tcp))
            .and_then(|()| listener.map_or(Ok(()), |tls| watcher.add(tls, SocketId::Tls)))
            .map_err(no_poll)?;
        let (udp, control) = (Arc::new(udp), Arc::<TurnControl>::default());
        let exchange = Exchange::new(protocol, watcher, udp.clone(), ports, engine);
        let worker = TurnWorker::new(control.clone(), poll, udp, tcp, tls, exchange, external);
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

/// What the protocol is told.
fn protocol(
    config: &TurnConfig,
    external: Option<IpAddr>,
    media: &MediaAddresses,
    refused_ports: Vec<u16>,
) -> Result<icey_turn::Config, OpenError> {
    let mut own_addresses =
        all_addresses().map_err(|error| OpenError::system("no list of addresses", &error))?;
    own_addresses.extend(external);
    let (external_v4, external_v6) = match external {
        Some(IpAddr::V4(v4)) => (Some(v4), None),
        Some(IpAddr::V6(v6)) => (None, Some(v6)),
        None => (None, None),
    };
    Ok(icey_turn::Config {
        realm: config.realm.clone(),
        secret: config.secret.clone(),
        software: concat!("icey ", env!("CARGO_PKG_VERSION")).into(),
        nonce_key: tls::random_key()?,
        external_v4,
        external_v6,
        allow_local_relay: config.allow_local_relay,
        own_addresses,
        own_media: media.all(),
        refused_ports,
        max_allocations: config.max_allocations,
        user_quota: config.user_quota,
        max_bitrate: config.max_bitrate,
    })
}

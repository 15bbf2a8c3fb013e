//! An engine, its TURN server and clients, on the loopback.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use icey_engine::{Engine, EngineConfig};
use icey_turn::client::{AllocateOptions, Client, ClientEvent};
use icey_turn::credentials;
use icey_turn::framing::Framer;
use icey_turn_server::{
    ProbeConfig, ProtocolConfig, TurnConfig, TurnServer, TurnStats, TurnTransport,
};

pub const SECRET: &[u8] = b"only this server knows it";
pub const DEADLINE: Duration = Duration::from_secs(10);
pub const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// An engine, its TURN server, and who may use it.
pub struct World {
    pub engine: Engine,
    pub server: TurnServer,
    pub user: String,
    pub password: String,
}

impl World {
    /// Peers on the loopback may be relayed to: they are all there is to test with.
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut TurnConfig)) -> Self {
        let engine = Engine::new(&EngineConfig {
            host: HERE.to_string(),
            port: 0,
            additional_hosts: vec![],
        })
        .expect("an engine");
        let mut config = config();
        change(&mut config);
        let server = TurnServer::new(engine.short_cut(), &config).expect("a server");
        let (user, password) = credential();
        Self {
            engine,
            server,
            user,
            password,
        }
    }

    pub fn client(&self, transport: TurnTransport) -> Visitor {
        let server = (HERE, self.server.port()).into();
        Visitor::new(server, transport, &self.user, &self.password)
    }

    /// Waits until the counters are as they should be.
    pub fn counted(&self, holds: impl Fn(&TurnStats) -> bool) -> TurnStats {
        let end = Instant::now() + DEADLINE;
        loop {
            let stats = self.server.stats();
            if holds(&stats) {
                return stats;
            }
            assert!(Instant::now() < end, "{stats:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn probe(&self) -> ProbeConfig {
        ProbeConfig {
            host: HERE.to_string(),
            port: self.server.port(),
            transport: TurnTransport::Udp,
            username: self.user.clone(),
            credential: self.password.clone(),
            certificate: "".into(),
            echo: None,
            timeout: DEADLINE,
        }
    }
}

/// A user name that is good for ten minutes, and its password.
pub fn credential() -> (String, String) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("1970");
    let user = format!("{}:tester", now.as_secs() + 600);
    let password = credentials::password(SECRET, &user);
    (user, password)
}

pub fn config() -> TurnConfig {
    TurnConfig {
        host: HERE.to_string(),
        port: 0,
        tls: None,
        external_ip: String::new(),
        relay_ports: (40_000, 48_000),
        protocol: ProtocolConfig {
            secret: SECRET.to_vec(),
            allow_local_relay: true,
            max_allocations: 100,
            user_quota: 100,
            ..ProtocolConfig::default()
        },
    }
}

pub enum Way {
    Udp(UdpSocket),
    Tcp(TcpStream, Framer),
}

/// A client and its socket.
pub struct Visitor {
    pub client: Client,
    pub way: Way,
}

impl Visitor {
    pub fn new(server: SocketAddr, transport: TurnTransport, user: &str, password: &str) -> Self {
        let way = match transport {
            TurnTransport::Udp => {
                let socket = UdpSocket::bind((HERE, 0)).expect("a port");
                socket.connect(server).expect("a port");
                Way::Udp(socket)
            }
            _ => Way::Tcp(
                TcpStream::connect(server).expect("a connection"),
                Framer::new(),
            ),
        };
        Self {
            client: Client::new(transport, user, password),
            way,
        }
    }

    pub fn flush(&mut self) {
        while let Some(message) = self.client.poll_transmit() {
            match &mut self.way {
                Way::Udp(socket) => {
                    socket.send(&message).expect("sent");
                }
                Way::Tcp(stream, _) => stream.write_all(&message).expect("sent"),
            }
        }
    }

    /// Goes on until something has happened.
    pub fn wait(&mut self) -> ClientEvent {
        let end = Instant::now() + DEADLINE;
        loop {
            self.flush();
            if let Some(event) = self.client.poll_event() {
                return event;
            }
            assert!(Instant::now() < end, "nothing happened");
            self.read(Duration::from_millis(200));
            self.client.handle_timeout(Instant::now());
        }
    }

    pub fn read(&mut self, wait: Duration) {
        let now = Instant::now();
        let mut buffer = [0; 65_536];
        match &mut self.way {
            Way::Udp(socket) => {
                socket.set_read_timeout(Some(wait)).expect("a timeout");
                if let Ok(count) = socket.recv(&mut buffer) {
                    self.client.receive(now, &buffer[..count]);
                }
            }
            Way::Tcp(stream, framer) => {
                stream.set_read_timeout(Some(wait)).expect("a timeout");
                match stream.read(framer.space()) {
                    Ok(0) => panic!("the server hung up"),
                    Ok(count) => framer.filled(count),
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
                while let Some(frame) = framer.next_frame().expect("TURN") {
                    self.client.receive(now, frame);
                }
            }
        }
    }

    pub fn allocate(&mut self, options: AllocateOptions) -> (SocketAddr, Option<[u8; 8]>) {
        self.client.allocate(Instant::now(), options);
        match self.wait() {
            ClientEvent::Allocated {
                relayed,
                reservation,
                ..
            } => (relayed, reservation),
            other => panic!("{other:?}"),
        }
    }

    pub fn bind_channel(&mut self, peer: SocketAddr) {
        self.client.bind_channel(Instant::now(), peer);
        let event = self.wait();
        assert!(
            matches!(event, ClientEvent::ChannelBound { .. }),
            "{event:?}"
        );
    }

    pub fn permit(&mut self, peer: SocketAddr) {
        self.client.create_permission(Instant::now(), peer);
        let event = self.wait();
        assert!(
            matches!(event, ClientEvent::PermissionCreated { .. }),
            "{event:?}"
        );
    }

    pub fn payload(&mut self) -> Vec<u8> {
        match self.wait() {
            ClientEvent::Received { payload, .. } => payload,
            other => panic!("{other:?}"),
        }
    }
}

/// A peer on the loopback.
pub fn peer() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((HERE, 0)).expect("a port");
    socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let address = socket.local_addr().expect("bound");
    (socket, address)
}

//! The load of a TURN server: each client has a channel to a peer, and both send to each other.
//!
//! Both send 7 datagrams of 1150 bytes 30 times a second, a picture of 2 Mb/s. `burst` sends the 7 at
//! once, `paced` spreads them evenly. For each line with a number of seconds on standard input the
//! load runs so long, and prints one line of JSON: how many datagrams were sent, and how many came.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use icey_turn::Transport;
use icey_turn::client::{AllocateOptions, Client, ClientEvent};
use icey_turn::framing::Framer;
use serde_json::json;

use crate::line::{Result, lines, print_line};

const PICTURES: u32 = 30;
const PACKETS: u32 = 7;
const PAYLOAD: usize = 1150;
const DEADLINE: Duration = Duration::from_secs(10);

/// The first channel that a [`Client`] binds.
const CHANNEL: [u8; 2] = [0x40, 0x00];

pub struct Load {
    transport: Transport,
    is_paced: bool,
}

impl Load {
    pub fn new(transport: &str, pace: &str) -> Result<Self> {
        Ok(Self {
            transport: match transport {
                "udp" => Transport::Udp,
                "tcp" => Transport::Tcp,
                _ => return Err("a transport is udp or tcp".into()),
            },
            is_paced: match pace {
                "paced" => true,
                "burst" => false,
                _ => return Err("a pace is burst or paced".into()),
            },
        })
    }

    /// Allocates for all clients, then sends as often as it is asked to.
    pub fn run(&self, server: SocketAddr, user: &str, password: &str, count: usize) -> Result<()> {
        let mut pairs = Vec::new();
        for _ in 0..count {
            let client = Client::new(self.transport, user, password);
            pairs.push(Pair::open(client, self.transport, server)?);
        }
        print_line(&json!({ "clients": count }))?;
        for seconds in lines::<u64>() {
            let (sent, arrived) = self.exchange(&mut pairs, Duration::from_secs(seconds))?;
            print_line(&json!({ "sent": sent, "arrived": arrived }))?;
        }
        Ok(())
    }

    /// Sends both ways for a while; how many were sent, and how many arrived.
    fn exchange(&self, pairs: &mut [Pair], duration: Duration) -> Result<(u64, u64)> {
        let ticks = if self.is_paced {
            PICTURES * PACKETS
        } else {
            PICTURES
        };
        let each = PICTURES * PACKETS / ticks;
        let count = (duration.as_secs_f64() * f64::from(ticks)) as u32;
        let (start, mut sent, mut arrived) = (Instant::now(), 0, 0);
        for tick in 0..count {
            let due = start + Duration::from_secs(1) * tick / ticks;
            loop {
                arrived += receive(pairs)?;
                let now = Instant::now();
                if now >= due {
                    break;
                }
                std::thread::sleep((due - now).min(Duration::from_micros(500)));
            }
            for pair in pairs.iter_mut() {
                for _ in 0..each {
                    sent += pair.send()?;
                }
            }
        }
        let end = Instant::now() + Duration::from_millis(300);
        while Instant::now() < end {
            arrived += receive(pairs)?;
            std::thread::sleep(Duration::from_micros(500));
        }
        Ok((sent, arrived))
    }
}

fn receive(pairs: &mut [Pair]) -> Result<u64> {
    let mut arrived = 0;
    for pair in pairs {
        let mut buffer = [0; 4096];
        while pair.peer.recv(&mut buffer).is_ok() {
            arrived += 1;
        }
        while pair.link.receive(|_| arrived += 1)? {}
    }
    Ok(arrived)
}

/// The way of a client to the server.
enum Link {
    Udp(UdpSocket),
    Tcp(TcpStream, Framer),
}

impl Link {
    fn open(transport: Transport, server: SocketAddr) -> Result<Self> {
        if transport.is_stream() {
            let stream = TcpStream::connect(server)?;
            stream.set_nonblocking(true)?;
            return Ok(Self::Tcp(stream, Framer::new()));
        }
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        Ok(Self::Udp(socket))
    }

    fn send(&mut self, message: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(message).map(drop),
            Self::Tcp(stream, _) => stream.write_all(message),
        }
    }

    /// Hands over what one read brings; false if nothing waits.
    fn receive(&mut self, mut take: impl FnMut(&[u8])) -> Result<bool> {
        let (read, framer) = match self {
            Self::Udp(socket) => {
                let mut buffer = [0; 4096];
                match socket.recv(&mut buffer) {
                    Ok(length) => take(&buffer[..length]),
                    Err(_) => return Ok(false),
                }
                return Ok(true);
            }
            Self::Tcp(stream, framer) => (stream.read(framer.space()), framer),
        };
        match read {
            Ok(0) => return Err("the server hung up".into()),
            Ok(length) => framer.filled(length),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        while let Some(frame) = framer.next_frame()? {
            take(frame);
        }
        Ok(true)
    }
}

/// A client with its peer.
struct Pair {
    link: Link,
    relayed: SocketAddr,
    peer: UdpSocket,
}

impl Pair {
    /// Allocates, and binds a channel to a peer.
    fn open(mut client: Client, transport: Transport, server: SocketAddr) -> Result<Self> {
        let mut link = Link::open(transport, server)?;
        let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        peer.set_nonblocking(true)?;
        client.allocate(Instant::now(), AllocateOptions::default());
        let relayed = match wait(&mut client, &mut link)? {
            ClientEvent::Allocated { relayed, .. } => relayed,
            other => return Err(format!("{other:?} in place of an allocation").into()),
        };
        client.bind_channel(Instant::now(), peer.local_addr()?);
        match wait(&mut client, &mut link)? {
            ClientEvent::ChannelBound { .. } => {}
            other => return Err(format!("{other:?} in place of a channel").into()),
        }
        Ok(Self {
            link,
            relayed,
            peer,
        })
    }

    /// Sends a datagram from either side; how many the sockets took.
    fn send(&mut self) -> Result<u64> {
        // With the padding that a stream needs: 1150 is no multiple of four.
        let mut message = [0; 4 + PAYLOAD + 2];
        message[..2].copy_from_slice(&CHANNEL);
        message[2..4].copy_from_slice(&(PAYLOAD as u16).to_be_bytes());
        let length = match self.link {
            Link::Udp(_) => 4 + PAYLOAD,
            Link::Tcp(..) => message.len(),
        };
        let ours = self.link.send(&message[..length]);
        let theirs = self.peer.send_to(&message[..PAYLOAD], self.relayed);
        let mut sent = 0;
        for done in [ours, theirs.map(drop)] {
            match done {
                Ok(()) => sent += 1,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(sent)
    }
}

/// Goes on with what the client was asked for until it is done.
fn wait(client: &mut Client, link: &mut Link) -> Result<ClientEvent> {
    let end = Instant::now() + DEADLINE;
    loop {
        while let Some(message) = client.poll_transmit() {
            link.send(&message)?;
        }
        if let Some(event) = client.poll_event() {
            return Ok(event);
        }
        if Instant::now() > end {
            return Err("the TURN server does not answer".into());
        }
        if !link.receive(|message| client.receive(Instant::now(), message))? {
            std::thread::sleep(Duration::from_millis(1));
        }
        client.handle_timeout(Instant::now());
    }
}

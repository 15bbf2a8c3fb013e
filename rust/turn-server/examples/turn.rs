//! What a relayed datagram costs the TURN server, next to coturn.
//!
//! `cargo run --release -p icey-turn-server --example turn -- [clients] [seconds] [burst|paced] [udp|tcp]`
//!
//! Both servers run as processes of their own, one after the other and three times over, under the
//! same load from this process: each client has a channel to a peer, and both send each other 7
//! datagrams of 1150 bytes 30 times a second, a picture of 2 Mb/s. `burst` sends the 7 at once,
//! `paced` spreads them evenly. The cost is the whole process's CPU by the datagrams that arrived.
//! coturn is Debian's package of that name.

#[path = "../tests/turn_world/mod.rs"]
#[allow(dead_code, reason = "made for the tests")]
mod turn_world;

use std::error::Error;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use icey_turn::client::AllocateOptions;
use icey_turn_server::TurnTransport;
use turn_world::{HERE, SECRET, Visitor, Way, World, credential};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const PICTURES: u32 = 30;
const PACKETS: u32 = 7;
const PAYLOAD: usize = 1150;
const ROUNDS: usize = 3;

/// The first channel that a [`Visitor`] binds.
const CHANNEL: [u8; 2] = [0x40, 0x00];

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some("serve") {
        return serve();
    }
    let clients: usize = first.map_or(Ok(20), |text| text.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let is_paced = arguments.next().as_deref() == Some("paced");
    let transport = match arguments.next().as_deref() {
        Some("tcp") => TurnTransport::Tcp,
        _ => TurnTransport::Udp,
    };
    let load = Load {
        clients,
        duration: Duration::from_secs(seconds),
        is_paced,
        transport,
    };
    for _ in 0..ROUNDS {
        load.run("icey", Served::start()?)?;
        load.run("coturn", Served::coturn()?)?;
    }
    Ok(())
}

/// The child process: an engine and its TURN server, until standard input ends.
fn serve() -> Result<()> {
    let world = World::with(|config| {
        config.protocol.max_allocations = 1000;
        config.protocol.user_quota = 1000;
    });
    println!("{}", world.server.port());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// A server that runs.
struct Served {
    process: Child,
    address: SocketAddr,
}

impl Served {
    fn start() -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let output = process.stdout.take().ok_or("no standard output")?;
        BufReader::new(output).read_line(&mut line)?;
        let address = (HERE, line.trim().parse()?).into();
        Ok(Self { process, address })
    }

    fn coturn() -> Result<Self> {
        let free = TcpListener::bind((HERE, 0))?;
        let address = free.local_addr()?;
        drop(free);
        let secret = std::str::from_utf8(SECRET)?;
        let process = Command::new("turnserver")
            .args(["-n", "--no-cli", "--no-tls", "--no-dtls", "--no-stdout-log"])
            .args([
                "--log-file=/dev/null",
                "--simple-log",
                "--pidfile=/dev/null",
            ])
            .args([
                "--allow-loopback-peers",
                "--use-auth-secret",
                "--realm=icey",
            ])
            .args(["--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1"])
            .arg(format!("--listening-port={}", address.port()))
            .arg(format!("--static-auth-secret={secret}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let end = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(address).is_err() {
            if Instant::now() > end {
                return Err("coturn does not start".into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Self { process, address })
    }

    /// CPU time of all its threads so far.
    fn cpu(&self) -> Result<Duration> {
        let mut total = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
            let used: u64 = text.split(' ').next().unwrap_or("0").parse()?;
            total += used;
        }
        Ok(Duration::from_nanos(total))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A client with its peer.
struct Pair {
    visitor: Visitor,
    relayed: SocketAddr,
    peer: UdpSocket,
}

struct Load {
    clients: usize,
    duration: Duration,
    is_paced: bool,
    transport: TurnTransport,
}

impl Load {
    fn run(&self, name: &str, server: Served) -> Result<()> {
        let mut pairs = Vec::new();
        for _ in 0..self.clients {
            pairs.push(self.connect(server.address)?);
        }
        // The first second is for caches and buffers.
        self.exchange(&mut pairs, Duration::from_secs(1))?;
        let (cpu, start) = (server.cpu()?, Instant::now());
        let (sent, arrived) = self.exchange(&mut pairs, self.duration)?;
        let (cpu, elapsed) = (server.cpu()? - cpu, start.elapsed());
        println!(
            "{name:>7}: {:5.2} µs CPU a datagram, {:4.1} % of a core, {:.0} datagrams/s, {} lost",
            cpu.as_secs_f64() * 1e6 / arrived as f64,
            100.0 * cpu.as_secs_f64() / elapsed.as_secs_f64(),
            arrived as f64 / elapsed.as_secs_f64(),
            sent - arrived,
        );
        Ok(())
    }

    fn connect(&self, server: SocketAddr) -> Result<Pair> {
        let (user, password) = credential();
        let mut visitor = Visitor::new(server, self.transport, &user, &password);
        let (relayed, _) = visitor.allocate(AllocateOptions::default());
        let peer = UdpSocket::bind((HERE, 0))?;
        visitor.bind_channel(peer.local_addr()?);
        peer.set_nonblocking(true)?;
        match &visitor.way {
            Way::Udp(socket) => socket.set_nonblocking(true)?,
            Way::Tcp(stream, _) => stream.set_nonblocking(true)?,
        }
        Ok(Pair {
            visitor,
            relayed,
            peer,
        })
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
                    sent += send(pair)?;
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

fn send(pair: &mut Pair) -> Result<u64> {
    // With the padding that a stream needs: 1150 is no multiple of four.
    let mut message = [0; 4 + PAYLOAD + 2];
    message[..2].copy_from_slice(&CHANNEL);
    message[2..4].copy_from_slice(&(PAYLOAD as u16).to_be_bytes());
    let mut sent = 0;
    let ours = match &mut pair.visitor.way {
        Way::Udp(socket) => socket.send(&message[..4 + PAYLOAD]).map(drop),
        Way::Tcp(stream, _) => stream.write_all(&message),
    };
    for done in [
        ours,
        pair.peer
            .send_to(&message[..PAYLOAD], pair.relayed)
            .map(drop),
    ] {
        match done {
            Ok(()) => sent += 1,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(sent)
}

fn receive(pairs: &mut [Pair]) -> Result<u64> {
    let mut buffer = [0; 4096];
    let mut arrived = 0;
    for pair in pairs {
        while pair.peer.recv(&mut buffer).is_ok() {
            arrived += 1;
        }
        match &mut pair.visitor.way {
            Way::Udp(socket) => {
                while socket.recv(&mut buffer).is_ok() {
                    arrived += 1;
                }
            }
            Way::Tcp(stream, framer) => loop {
                match stream.read(framer.space()) {
                    Ok(0) => return Err("the server hung up".into()),
                    Ok(count) => framer.filled(count),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
                while framer.next_frame()?.is_some() {
                    arrived += 1;
                }
            },
        }
    }
    Ok(arrived)
}

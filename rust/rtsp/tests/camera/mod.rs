//! A camera on loopback that says what a test wants, and sends packets when told to.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

pub const SPS: &str = "Z0LAHtkDxWhAAAADAEAAAAwDxYuS";
pub const PPS: &str = "aMuMsg==";

/// The section of H.264 in an SDP.
pub fn h264() -> String {
    format!(
        "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n\
         a=fmtp:96 packetization-mode=1;sprop-parameter-sets={SPS},{PPS}\r\na=control:trackID=0\r\n"
    )
}

/// The section of a sound in an SDP.
pub fn sound(rtpmap: &str) -> String {
    format!("m=audio 0 RTP/AVP 97\r\na=rtpmap:97 {rtpmap}\r\na=control:trackID=1\r\n")
}

/// What a camera does.
pub struct Behaviour {
    pub sections: String,
    pub takes_tcp: bool,
    /// The challenge to whoever has not said who he is.
    pub challenge: Option<&'static str>,
}

/// A camera; it serves one connection after the other.
pub struct Camera {
    pub url: String,
    packets: Sender<Option<(u8, Vec<u8>)>>,
    pub requests: Receiver<String>,
}

impl Camera {
    pub fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("rtsp://{}/live", listener.local_addr().expect("bound"));
        let (packets, to_send) = channel();
        let (told, requests) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.expect("accepted"), &behaviour, &to_send, &told);
            }
        });
        Self {
            url,
            packets,
            requests,
        }
    }

    /// Sends an RTP packet of a stream.
    pub fn send(&self, stream: u8, sequence: u16, timestamp: u32, marker: bool, payload: &[u8]) {
        let kind = if stream == 0 { 96 } else { 97 };
        let mut packet = vec![0x80, kind | (u8::from(marker) << 7)];
        packet.extend(sequence.to_be_bytes());
        packet.extend(timestamp.to_be_bytes());
        packet.extend((0x1000 + u32::from(stream)).to_be_bytes());
        packet.extend(payload);
        self.packets.send(Some((stream, packet))).expect("it runs");
    }

    /// Closes the connection.
    pub fn hang_up(&self) {
        self.packets.send(None).expect("it runs");
    }
}

/// Where packets of a stream go.
enum Way {
    Channel(u8),
    Port(u16),
}

fn serve(
    stream: TcpStream,
    behaviour: &Behaviour,
    packets: &Receiver<Option<(u8, Vec<u8>)>>,
    told: &Sender<String>,
) {
    let mut reader = BufReader::new(stream.try_clone().expect("cloned"));
    let mut writer = stream;
    let mut ways: Vec<Way> = Vec::new();
    let (udp, port) = pair();
    loop {
        let Some(request) = read(&mut reader) else {
            return;
        };
        let method = request.split(' ').next().unwrap_or_default().to_owned();
        let header = |name: &str| {
            let lines = request.lines().filter_map(|line| line.split_once(": "));
            let mut found = lines.filter(|(n, _)| n.eq_ignore_ascii_case(name));
            found.next().map(|(_, value)| value.to_owned())
        };
        let sequence = header("CSeq").unwrap_or_default();
        let _ = told.send(request.clone()); // the test may have ended
        let mut answer = |status: &str, rest: &str| {
            let text = format!("RTSP/1.0 {status}\r\nCSeq: {sequence}\r\n{rest}");
            let _ = writer.write_all(text.as_bytes()); // the client may be gone
        };
        if let Some(challenge) = behaviour.challenge
            && header("Authorization").is_none()
        {
            answer("401 Unauthorized", &format!("{challenge}\r\n\r\n"));
            continue;
        }
        match method.as_str() {
            "DESCRIBE" => {
                let sdp = format!(
                    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\n{}",
                    behaviour.sections
                );
                answer(
                    "200 OK",
                    &format!(
                        "Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
                        sdp.len()
                    ),
                );
            }
            "SETUP" => {
                let transport = header("Transport").unwrap_or_default();
                let number = |name: &str| {
                    let value = transport.split(name).nth(1)?.split('-').next()?;
                    value.parse::<u16>().ok()
                };
                if let Some(channel) = number("interleaved=") {
                    if !behaviour.takes_tcp {
                        answer("461 Unsupported Transport", "\r\n");
                        continue;
                    }
                    ways.push(Way::Channel(channel as u8));
                    answer(
                        "200 OK",
                        &format!("Session: 1\r\nTransport: {transport}\r\n\r\n"),
                    );
                } else {
                    ways.push(Way::Port(number("client_port=").expect("a port")));
                    answer(
                        "200 OK",
                        &format!(
                            "Session: 1\r\nTransport: {transport};server_port={port}-{}\r\n\r\n",
                            port + 1
                        ),
                    );
                }
            }
            "PLAY" => {
                answer("200 OK", "Session: 1\r\n\r\n");
                break;
            }
            _ => answer("200 OK", "Session: 1\r\n\r\n"),
        }
    }
    while let Ok(Some((stream, packet))) = packets.recv() {
        match ways[usize::from(stream)] {
            Way::Channel(channel) => {
                let mut data = vec![b'$', channel];
                data.extend((packet.len() as u16).to_be_bytes());
                data.extend(packet);
                if writer.write_all(&data).is_err() {
                    return;
                }
            }
            Way::Port(port) => {
                let _ = udp.send_to(&packet, ("127.0.0.1", port)); // the client may be gone
            }
        }
    }
}

/// A socket, and its port; the next one is taken for RTCP, and nobody is there.
fn pair() -> (UdpSocket, u16) {
    let sockets = std::iter::repeat_with(|| UdpSocket::bind("127.0.0.1:0").expect("a free port"));
    let with_port = sockets.map(|socket| {
        let port = socket.local_addr().expect("bound").port();
        (socket, port)
    });
    with_port
        .take(1000)
        .find(|(_, port)| *port < u16::MAX)
        .expect("a port with a next one")
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            return Some(text);
        }
        text += &line;
    }
}

/// Waits a moment for what another thread does.
pub fn within(mut is_so: impl FnMut() -> bool) -> bool {
    (0..1000).any(|_| {
        is_so() || {
            thread::sleep(Duration::from_millis(5));
            false
        }
    })
}

//! One light viewer: a str0m client that counts what it receives.

use std::error::Error;
use std::io::ErrorKind;
use std::iter::Sum;
use std::net::SocketAddr;
use std::ops::Add;
use std::time::Instant;

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use serde::Serialize;
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

/// What a viewer has received since its start.
#[derive(Clone, Copy, Default, Serialize)]
pub struct Totals {
    pub packets: u64,
    pub bytes: u64,
    /// Ends of pictures: video packets with the marker bit (RFC 6184 §5.1).
    pub frames: u64,
    /// Sequence numbers that never came, resends counted in.
    pub lost: u64,
}

impl Add for Totals {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            bytes: self.bytes + other.bytes,
            frames: self.frames + other.frames,
            lost: self.lost + other.lost,
        }
    }
}

impl Sum for Totals {
    fn sum<I: Iterator<Item = Self>>(totals: I) -> Self {
        totals.fold(Self::default(), Add::add)
    }
}

/// First and highest sequence number of a stream, and how many came.
#[derive(Clone, Copy)]
struct Span {
    first: u64,
    last: u64,
    received: u64,
}

pub struct Viewer {
    rtc: Rtc,
    socket: UdpSocket,
    address: SocketAddr,
    pending: Option<SdpPendingOffer>,
    connected: bool,
    totals: Totals,
    spans: Vec<(str0m::rtp::Ssrc, Span)>,
}

impl Viewer {
    /// Open a socket and make an offer to receive video and audio.
    pub fn new(
        registry: &Registry,
        token: Token,
        now: Instant,
    ) -> Result<(Self, String), Box<dyn Error>> {
        let mut socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = socket.local_addr()?;
        registry.register(&mut socket, token, Interest::READABLE)?;

        let mut rtc = RtcConfig::new()
            .clear_codecs()
            .enable_h264(true)
            .enable_opus(true, false)
            .set_rtp_mode(true)
            .build(now);
        rtc.add_local_candidate(Candidate::host(address, "udp")?);
        let mut change = rtc.sdp_api();
        change.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
        change.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        let (offer, pending) = change.apply().ok_or("an offer with two m-lines")?;
        let viewer = Self {
            rtc,
            socket,
            address,
            pending: Some(pending),
            connected: false,
            totals: Totals::default(),
            spans: Vec::new(),
        };
        Ok((viewer, offer.to_sdp_string()))
    }

    pub fn answered(&self) -> bool {
        self.pending.is_none()
    }

    pub fn connected(&self) -> bool {
        self.connected
    }

    pub fn totals(&self) -> Totals {
        let lost =
            |(_, span): &(_, Span)| (span.last - span.first + 1).saturating_sub(span.received);
        Totals {
            lost: self.spans.iter().map(lost).sum(),
            ..self.totals
        }
    }

    pub fn accept_answer(&mut self, sdp: &str) -> Result<(), Box<dyn Error>> {
        let pending = self.pending.take().ok_or("answered twice")?;
        let answer = SdpAnswer::from_sdp_string(sdp)?;
        Ok(self.rtc.sdp_api().accept_answer(pending, answer)?)
    }

    /// Read the socket until it is empty, and tell when to call `advance`.
    pub fn receive(&mut self) -> Result<Instant, Box<dyn Error>> {
        let mut buffer = [0; 2048];
        loop {
            let (length, source) = match self.socket.recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // The server's port was closed: the ICE timeout is what notices.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => continue,
                Err(error) => return Err(error.into()),
            };
            let Ok(contents) = buffer[..length].try_into() else {
                continue;
            };
            let input = Input::Receive(
                Instant::now(),
                Receive {
                    proto: Protocol::Udp,
                    source,
                    destination: self.address,
                    contents,
                },
            );
            self.rtc.handle_input(input)?;
            self.drain()?;
        }
        self.drain()
    }

    /// Let time pass, and tell when to call again.
    pub fn advance(&mut self, now: Instant) -> Result<Instant, Box<dyn Error>> {
        if self.rtc.is_alive() {
            self.rtc.handle_input(Input::Timeout(now))?;
        }
        self.drain()
    }

    fn drain(&mut self) -> Result<Instant, Box<dyn Error>> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(at) => return Ok(at),
                Output::Transmit(datagram) => {
                    // A full socket loses a receiver report, which the next one makes good.
                    if let Err(error) = self
                        .socket
                        .send_to(&datagram.contents, datagram.destination)
                        && error.kind() != ErrorKind::WouldBlock
                        && error.kind() != ErrorKind::ConnectionRefused
                    {
                        return Err(error.into());
                    }
                }
                Output::Event(Event::Connected) => self.connected = true,
                Output::Event(Event::RtpPacket(packet)) => self.count(&packet),
                Output::Event(_) => {}
            }
        }
    }

    fn count(&mut self, packet: &str0m::rtp::RtpPacket) {
        self.totals.packets += 1;
        self.totals.bytes += packet.payload.len() as u64;
        // Opus sets the marker too, at the start of a talk spurt (RFC 7587 §4.1), but on few packets.
        self.totals.frames +=
            u64::from(packet.header.marker && packet.header.payload_type != 111.into());
        let number = *packet.seq_no;
        let ssrc = packet.header.ssrc;
        match self.spans.iter_mut().find(|(known, _)| *known == ssrc) {
            Some((_, span)) => {
                span.last = span.last.max(number);
                span.received += 1;
            }
            None => self.spans.push((
                ssrc,
                Span {
                    first: number,
                    last: number,
                    received: 1,
                },
            )),
        }
    }
}

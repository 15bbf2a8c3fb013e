//! One light client: str0m on a socket of its own, which watches or publishes.

use std::error::Error;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use socket2::SockRef;
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::media::{Direction, Frequency, MediaKind, MediaTime, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use crate::clip::{Clip, Cursor};
use crate::reception::{Reception, Totals};

/// What a socket holds until it is read, in bytes, as far as the system grants it.
const RECEIVE_BUFFER: usize = 4 << 20;

pub struct Client {
    rtc: Rtc,
    socket: UdpSocket,
    address: SocketAddr,
    pending: Option<SdpPendingOffer>,
    connected: bool,
    reception: Reception,
    video: Mid,
    audio: Mid,
    clip: Option<Arc<Clip>>,
    cursor: Option<Cursor>,
    sent: u64,
    asked: u64,
}

impl Client {
    /// Open a socket and make an offer: to send the clip, or without one to receive.
    pub fn new(
        registry: &Registry,
        token: Token,
        clip: Option<Arc<Clip>>,
        now: Instant,
    ) -> Result<(Self, String), Box<dyn Error>> {
        let mut socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = socket.local_addr()?;
        // One thread reads all sockets: what comes while it does not run is not to be lost.
        SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER)?;
        registry.register(&mut socket, token, Interest::READABLE)?;

        let publishes = clip.is_some();
        let direction = if publishes {
            Direction::SendOnly
        } else {
            Direction::RecvOnly
        };
        let mut rtc = RtcConfig::new()
            .clear_codecs()
            .enable_h264(true)
            .enable_opus(true, false)
            .set_rtp_mode(!publishes)
            .build(now);
        rtc.add_local_candidate(Candidate::host(address, "udp")?);
        let mut change = rtc.sdp_api();
        let audio = change.add_media(MediaKind::Audio, direction, None, None, None);
        let video = change.add_media(MediaKind::Video, direction, None, None, None);
        let (offer, pending) = change.apply().ok_or("an offer with two m-lines")?;
        let client = Self {
            rtc,
            socket,
            address,
            pending: Some(pending),
            connected: false,
            reception: Reception::default(),
            video,
            audio,
            clip,
            cursor: None,
            sent: 0,
            asked: 0,
        };
        Ok((client, offer.to_sdp_string()))
    }

    pub fn answered(&self) -> bool {
        self.pending.is_none()
    }

    pub fn connected(&self) -> bool {
        self.connected
    }

    pub fn totals(&self) -> Totals {
        Totals {
            sent: self.sent,
            asked: self.asked,
            ..self.reception.totals()
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
            while self.publish_next(now)? {
                self.drain()?; // one change, then everything out: str0m asks for it
            }
        }
        self.drain()
    }

    /// Send the next unit of the clip, if it is due.
    fn publish_next(&mut self, now: Instant) -> Result<bool, Box<dyn Error>> {
        let Some(cursor) = self.cursor.as_mut() else {
            return Ok(false);
        };
        let (unit, time, due) = cursor.peek();
        if due > now {
            return Ok(false);
        }
        let (kind, data) = (unit.kind, unit.data.clone());
        cursor.step();
        let (mid, rate) = match kind {
            MediaKind::Video => (self.video, Frequency::NINETY_KHZ),
            MediaKind::Audio => (self.audio, Frequency::FORTY_EIGHT_KHZ),
        };
        // A section that the server does not take has no writer, and is not sent.
        let Some(writer) = self.rtc.writer(mid) else {
            return Ok(true);
        };
        let pt = writer.payload_params().next().map(|params| params.pt());
        if let Some(pt) = pt {
            let ticks = time.as_micros() as u64 * u64::from(rate.get()) / 1_000_000;
            writer.write(pt, due, MediaTime::new(ticks, rate), data)?;
            self.sent += u64::from(kind == MediaKind::Video);
        }
        Ok(true)
    }

    fn drain(&mut self) -> Result<Instant, Box<dyn Error>> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(at) => {
                    let due = self.cursor.as_ref().map(|cursor| cursor.peek().2);
                    return Ok(due.map_or(at, |due| due.min(at)));
                }
                Output::Transmit(datagram) => transmit(&self.socket, &datagram)?,
                Output::Event(Event::Connected) => {
                    self.connected = true;
                    self.cursor = self
                        .clip
                        .clone()
                        .map(|clip| Cursor::new(clip, Instant::now()));
                }
                Output::Event(Event::RtpPacket(packet)) => self.reception.count(&packet),
                Output::Event(Event::KeyframeRequest(_)) => self.asked += 1,
                Output::Event(_) => {}
            }
        }
    }
}

/// A full socket loses a packet, which is sent again when it is missed.
fn transmit(socket: &UdpSocket, datagram: &str0m::net::Transmit) -> Result<(), Box<dyn Error>> {
    match socket.send_to(&datagram.contents, datagram.destination) {
        Err(error)
            if error.kind() != ErrorKind::WouldBlock
                && error.kind() != ErrorKind::ConnectionRefused =>
        {
            Err(error.into())
        }
        _ => Ok(()),
    }
}

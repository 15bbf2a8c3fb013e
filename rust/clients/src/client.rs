//! One light client: str0m on a socket of its own, which watches or publishes.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use socket2::SockRef;
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::media::{Direction, Frequency, MediaKind, MediaTime, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};

use crate::clip::{Clip, Cursor};
use crate::line::Result;
use crate::reception::{Reception, Totals};
use crate::{delay, socket};

/// Bytes that a socket holds until they are read or sent, as far as the system grants it.
pub const BUFFER: usize = 4 << 20;

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
}

impl Client {
    /// Opens a socket and makes an offer: to send the clip, or without one to receive.
    pub fn new(
        registry: &Registry,
        token: Token,
        clip: Option<Arc<Clip>>,
        now: Instant,
    ) -> Result<(Self, String)> {
        let mut socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = socket.local_addr()?;
        // One thread reads all sockets: what comes while it does not run is not to be lost.
        SockRef::from(&socket).set_recv_buffer_size(BUFFER)?;
        socket::enable_timestamps(&socket)?;
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
        self.reception.totals()
    }

    pub fn accept_answer(&mut self, sdp: &str) -> Result<()> {
        let pending = self.pending.take().ok_or("answered twice")?;
        let answer = SdpAnswer::from_sdp_string(sdp)?;
        Ok(self.rtc.sdp_api().accept_answer(pending, answer)?)
    }

    /// Reads the socket until it is empty, and returns when to call `advance`.
    pub fn receive(&mut self) -> Result<Instant> {
        let mut buffer = [0; 2048];
        while let Some((length, source, at)) = socket::receive(&self.socket, &mut buffer)? {
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
            self.drain(at)?;
        }
        self.drain(Duration::ZERO)
    }

    /// Handles timeouts, sends what is due of the clip, and returns when to call again.
    pub fn advance(&mut self, now: Instant) -> Result<Instant> {
        if self.rtc.is_alive() {
            self.rtc.handle_input(Input::Timeout(now))?;
            while self.publish_next(now)? {
                self.drain(Duration::ZERO)?; // one change, then everything out: str0m asks for it
            }
        }
        self.drain(Duration::ZERO)
    }

    /// Sends the next unit of the clip, if it is due.
    fn publish_next(&mut self, now: Instant) -> Result<bool> {
        let Some(cursor) = self.cursor.as_mut() else {
            return Ok(false);
        };
        let (unit, time, due) = cursor.peek();
        if due > now {
            return Ok(false);
        }
        let (kind, data) = (unit.kind, delay::stamp(&unit.data, &unit.places));
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
        }
        Ok(true)
    }

    /// Does what str0m asks for. `arrived` is when the datagram came that was handed in before.
    fn drain(&mut self, arrived: Duration) -> Result<Instant> {
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
                Output::Event(Event::RtpPacket(packet)) => self.reception.count(&packet, arrived),
                Output::Event(_) => {}
            }
        }
    }
}

/// Sends a datagram. A full socket loses it, and it is sent again when it is missed.
fn transmit(socket: &UdpSocket, datagram: &str0m::net::Transmit) -> Result<()> {
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

//! The receiving role of a connection: what a browser sends becomes frames for its owner, or
//! packets for viewers.

use std::time::Instant;

use str0m::Rtc;
use str0m::media::{KeyframeRequestKind, Mid, Pt, Rid};
use str0m::rtp::RtpPacket as Decrypted;
use str0m::stats::MediaIngressStats;

use super::context::Context;
use super::forward::packet::Origin;
use super::media::MediaKind;
use super::receive::bitrate_limit::BitrateLimit;
use super::receive::capture_clock::CaptureClock;
use super::receive::codecs;
use super::receive::frame::Codec;
use super::receive::inbox::Writer;
use super::receive::ingress::Ingress;
use super::receive::options::{Delivery, ReceiverOptions};
use super::receive::output::Output;
use super::receive::{frame_sink, packet_sink};
use super::sdp::offer::Prepared;
use crate::error::EngineError;
use crate::event::Event;
use crate::id::PeerId;
use crate::stats::PeerStats;

/// What a browser sends: audio, and video or each simulcast layer of it.
#[derive(Debug)]
pub struct Publisher {
    peer: PeerId,
    delivery: Delivery,
    /// Frames go into it. Where packets are forwarded it only shows the owner what was negotiated.
    inbox: Writer,
    /// Made with the negotiation for frames, with the first packet for viewers.
    streams: Vec<Ingress>,
    /// The sections that the browser sends in, by kind.
    sections: [Option<Mid>; 2],
    /// What its payload types mean.
    codecs: Vec<(Pt, Codec)>,
    /// The simulcast layers, in the order of the offer; none without simulcast.
    layers: Vec<Rid>,
    clock: CaptureClock,
    epochs: u64,
    is_connected: bool,
    /// When a keyframe was requested last, of whichever layer.
    requested: Option<Instant>,
    limit: BitrateLimit,
    /// NACK messages of each stream.
    nacks: Vec<(Mid, Option<Rid>, u64)>,
}

impl Publisher {
    pub fn new(peer: PeerId, inbox: Writer, options: ReceiverOptions, now: Instant) -> Self {
        Self {
            peer,
            delivery: options.delivery,
            inbox,
            streams: Vec::new(),
            sections: [None, None],
            codecs: Vec::new(),
            layers: Vec::new(),
            clock: CaptureClock::new(now),
            epochs: 0,
            is_connected: false,
            requested: None,
            limit: BitrateLimit::new(options.max_bitrate),
            nacks: Vec::new(),
        }
    }

    /// What becomes of what the browser sends.
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// Goes by a prepared offer that str0m has answered.
    pub fn handle_negotiated(
        &mut self,
        now: Instant,
        rtc: &Rtc,
        prepared: &Prepared,
        stats: &mut PeerStats,
    ) -> Result<(), EngineError> {
        let sections = prepared.received;
        let agreed = codecs::agreed(rtc, sections);
        let preferred =
            sections.map(|section| section.and_then(|mid| codecs::preferred(rtc, &agreed, mid)));
        if sections[MediaKind::Video as usize].is_some()
            && preferred[MediaKind::Video as usize].is_none()
        {
            return Err(EngineError::offer(match self.delivery {
                Delivery::Frames => "codec: browser offers no H.264 or VP8",
                Delivery::Packets { .. } => "codec: browser offers no H.264",
            }));
        }
        self.codecs = agreed;
        for kind in [MediaKind::Video, MediaKind::Audio] {
            let codec = preferred[kind as usize];
            let section = sections[kind as usize].filter(|_| codec.is_some());
            let before = std::mem::replace(&mut self.sections[kind as usize], section);
            if self.delivery == Delivery::Frames {
                self.change_section(now, kind, before.is_some(), codec, stats);
            }
        }
        // What is negotiated once stays (RFC 8853 §5.3.4): str0m takes no other layers later.
        if self.layers.is_empty() && self.streams.is_empty() {
            let layers = prepared.layers.iter();
            self.layers = layers.map(|name| Rid::from(&**name)).collect();
        }
        self.inbox
            .set_codecs(preferred.into_iter().flatten().collect());
        self.inbox
            .set_layers(self.layers.iter().map(ToString::to_string).collect());
        Ok(())
    }

    /// Continues the frames of a kind in another section, or waits for one. `codec` is `None` where
    /// there is no section.
    fn change_section(
        &mut self,
        now: Instant,
        kind: MediaKind,
        was_sending: bool,
        codec: Option<Codec>,
        stats: &mut PeerStats,
    ) {
        let origin = self.origin(kind, None);
        let (streams, mut output) = self.parts(stats);
        let stream = streams.iter_mut().find(|stream| stream.origin == origin);
        match (stream, codec) {
            (Some(stream), Some(_)) if !was_sending => stream.resume(now),
            (Some(stream), None) if was_sending => stream.pause(now, &mut output),
            (None, Some(codec)) => {
                let mut stream = Ingress::frames(origin, codec);
                if self.is_connected {
                    stream.require_first_keyframe(now);
                }
                self.streams.push(stream);
            }
            _ => {}
        }
    }

    /// Takes a packet from str0m.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        packet: &Decrypted,
        rtc: &mut Rtc,
        stats: &mut PeerStats,
        context: &mut Context<'_>,
    ) {
        let codec_of = |entry: &&(Pt, Codec)| entry.0 == packet.header.payload_type;
        let Some((_, codec)) = self.codecs.iter().find(codec_of).copied() else {
            return;
        };
        let Some(index) = self.admit(now, codec.kind(), packet, rtc) else {
            return;
        };
        stats.packets_received += 1;
        stats.bytes_received += packet.payload.len() as u64;
        let is_forwarded = self.delivery != Delivery::Frames;
        let (streams, mut output) = self.parts(stats);
        let stream = &mut streams[index];
        if is_forwarded && stream.begins(now) {
            let origin = stream.origin;
            context.events.push(Event::MediaStarted {
                peer: origin.source,
                kind: origin.kind,
                layer: origin.layer.map_or_else(String::new, |rid| rid.to_string()),
            });
        }
        let forwarded = stream.handle_packet(now, codec, packet, &mut output);
        context.arrivals.extend(forwarded);
    }

    /// The stream that a packet belongs to; `None` where it belongs to none that is received.
    fn admit(
        &mut self,
        now: Instant,
        kind: MediaKind,
        packet: &Decrypted,
        rtc: &mut Rtc,
    ) -> Option<usize> {
        let section = self.sections[kind as usize]?;
        let ssrc = packet.header.ssrc;
        let is_known = |stream: &Ingress| stream.origin.kind == kind && stream.ssrc() == Some(ssrc);
        if let Some(index) = self.streams.iter().position(is_known) {
            return Some(index);
        }
        let mut api = rtc.direct_api();
        let incoming = api.stream_rx(&ssrc)?;
        if incoming.mid() != section {
            return None;
        }
        let index = self.index(kind, incoming.rid())?;
        if self.streams[index].is_stray(now, ssrc) {
            return None;
        }
        // str0m asks for no resends where the SDP tells no RTX SSRC; they may come all the
        // same, under one that is found later or in the stream itself.
        incoming.suppress_nack(kind == MediaKind::Audio);
        Some(index)
    }

    /// The stream of a layer, which is made with its first packet.
    fn index(&mut self, kind: MediaKind, rid: Option<Rid>) -> Option<usize> {
        let layer = match (kind, &self.layers[..]) {
            (MediaKind::Video, [_, ..]) => Some(rid.filter(|rid| self.layers.contains(rid))?),
            _ => None,
        };
        let origin = self.origin(kind, layer);
        let is_same = |stream: &Ingress| stream.origin == origin;
        Some(self.streams.iter().position(is_same).unwrap_or_else(|| {
            self.streams.push(Ingress::packets(origin));
            self.streams.len() - 1
        }))
    }

    fn origin(&self, kind: MediaKind, layer: Option<Rid>) -> Origin {
        Origin {
            source: self.peer,
            kind,
            layer,
            is_default: layer.is_none() || layer == self.layers.first().copied(),
        }
    }

    /// The streams, and where they put what they receive.
    fn parts<'a>(&'a mut self, stats: &'a mut PeerStats) -> (&'a mut [Ingress], Output<'a>) {
        let output = Output {
            inbox: &self.inbox,
            stats,
            clock: &mut self.clock,
            epochs: &mut self.epochs,
        };
        (&mut self.streams, output)
    }

    /// Delivers what is due, and sends what is due of keyframe requests and the limit. `true` if
    /// str0m was given something to send.
    pub fn poll(&mut self, now: Instant, rtc: &mut Rtc, stats: &mut PeerStats) -> bool {
        let (streams, mut output) = self.parts(stats);
        for stream in streams {
            stream.expire(now, &mut output);
        }
        let has_requested = self.send_keyframe_request(now, rtc, stats);
        let has_limited = self
            .limit
            .poll(now)
            .is_some_and(|bitrate| self.send_limit(rtc, bitrate));
        has_requested || has_limited
    }

    /// Requests the keyframe that is due longest, so that no layer waits for another for ever.
    fn send_keyframe_request(
        &mut self,
        now: Instant,
        rtc: &mut Rtc,
        stats: &mut PeerStats,
    ) -> bool {
        if !self.is_connected || self.next_request().is_some_and(|at| now < at) {
            return false;
        }
        let section = self.sections[MediaKind::Video as usize];
        let mut due: Vec<&mut Ingress> = videos(&mut self.streams).collect();
        due.sort_by_key(|stream| stream.keyframes.deadline());
        for stream in due {
            if !stream.poll_keyframe(now) {
                continue;
            }
            let mut api = rtc.direct_api();
            let incoming = match (stream.ssrc(), section) {
                (Some(ssrc), _) => api.stream_rx(&ssrc),
                (None, Some(mid)) => api.stream_rx_by_mid(mid, None),
                (None, None) => None,
            };
            if let Some(incoming) = incoming {
                incoming.request_keyframe(KeyframeRequestKind::Pli);
                stats.plis_sent += 1;
                self.requested = Some(now);
                return true;
            }
            stream.keyframes.not_sent();
        }
        false
    }

    /// When a keyframe may be requested again, of whichever layer.
    fn next_request(&self) -> Option<Instant> {
        let spacing = match self.delivery {
            Delivery::Frames => frame_sink::KEYFRAME_SPACING,
            Delivery::Packets { .. } => packet_sink::KEYFRAME_SPACING,
        };
        self.requested.map(|at| at + spacing)
    }

    /// Sends the browser the limit of all that it sends. `false` if it sends no video yet.
    fn send_limit(&self, rtc: &mut Rtc, bitrate: u64) -> bool {
        let mut videos = self.streams.iter().filter(|stream| stream.is_video());
        let mut api = rtc.direct_api();
        let incoming = videos
            .find_map(Ingress::ssrc)
            .and_then(|ssrc| api.stream_rx(&ssrc));
        incoming
            .map(|stream| stream.request_remb(bitrate.into()))
            .is_some()
    }

    /// When [`Publisher::poll`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let requests = self.streams.iter();
        let request = requests
            .filter_map(|stream| stream.keyframes.deadline())
            .min();
        let request = request
            .filter(|_| self.is_connected)
            .map(|at| self.next_request().map_or(at, |allowed| at.max(allowed)));
        let frames = self.streams.iter().filter_map(Ingress::deadline);
        frames.chain(request).chain(self.limit.deadline()).min()
    }

    /// Media may flow.
    pub fn handle_connected(&mut self, now: Instant) {
        self.is_connected = true;
        for stream in &mut self.streams {
            stream.require_first_keyframe(now);
        }
        self.limit.handle_connected(now);
    }

    /// A viewer needs a keyframe of this layer; `None` is the default one.
    pub fn require_keyframe(&mut self, now: Instant, layer: Option<Rid>) {
        if self.delivery == Delivery::Frames {
            return; // it has no viewers
        }
        for stream in videos(&mut self.streams).filter(|stream| stream.origin.is_layer(layer)) {
            stream.keyframes.require(now);
        }
    }

    /// Requests a keyframe of each layer, if the browser sends video now.
    pub fn request_keyframe(&mut self, now: Instant) {
        if self.sections[MediaKind::Video as usize].is_some() {
            for stream in videos(&mut self.streams) {
                stream.keyframes.request(now);
            }
        }
    }

    /// Delivers what is complete: no packet follows.
    pub fn flush(&mut self, now: Instant, stats: &mut PeerStats) {
        let (streams, mut output) = self.parts(stats);
        for stream in streams {
            stream.flush(now, &mut output);
        }
    }

    /// Counts the NACKs that str0m has sent for video.
    pub fn handle_stats(&mut self, ingress: &MediaIngressStats, stats: &mut PeerStats) {
        if self.sections[MediaKind::Video as usize] != Some(ingress.mid) {
            return;
        }
        let (mid, rid) = (ingress.mid, ingress.rid);
        let mut nacks = self.nacks.iter_mut();
        match nacks.find(|entry| (entry.0, entry.1) == (mid, rid)) {
            // It begins anew where a stream is replaced.
            Some(entry) => entry.2 = entry.2.max(ingress.nacks),
            None => self.nacks.push((mid, rid, ingress.nacks)),
        }
        stats.nacks_sent = self.nacks.iter().map(|entry| entry.2).sum();
    }

    /// Limits what the browser may send, in bit/s; 0 lifts the limit.
    pub fn set_max_bitrate(&mut self, bitrate: u64, now: Instant) {
        self.limit.set(bitrate, now);
    }

    /// The most that the browser may send, in bit/s; 0 without a limit.
    pub fn max_bitrate(&self) -> u64 {
        self.limit.get()
    }
}

fn videos(streams: &mut [Ingress]) -> impl Iterator<Item = &mut Ingress> {
    streams.iter_mut().filter(|stream| stream.is_video())
}

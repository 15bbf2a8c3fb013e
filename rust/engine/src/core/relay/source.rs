//! A peer whose packets are forwarded.

use std::time::Instant;

use str0m::Rtc;
use str0m::media::{KeyframeRequestKind, Mid, Pt, Rid};
use str0m::rtp::RtpPacket;
use str0m::stats::MediaIngressStats;

use super::clock::CaptureClock;
use super::stream::{Incoming, KEYFRAME_SPACING};
use super::{Arrived, Origin};
use crate::core::receive::frame::Codec;
use crate::core::receive::inbox::Writer;
use crate::core::track::MediaKind;
use crate::core::{Context, PeerId};
use crate::event::Event;
use crate::stats::PeerStats;

/// What a peer sends us, stream by stream: audio, and each layer of video.
#[derive(Debug)]
pub struct Source {
    pub(super) peer: PeerId,
    /// Only tells the owner what was negotiated: no frame goes into it.
    pub(super) inbox: Writer,
    pub(super) is_simulcast_wanted: bool,
    pub(super) streams: Vec<Incoming>,
    /// The sections that the browser sends in, by kind.
    pub(super) sections: [Option<Mid>; 2],
    pub(super) codecs: Vec<(Pt, Codec)>,
    /// The simulcast layers, in the order of the offer; none without simulcast.
    pub(super) layers: Vec<Rid>,
    clock: CaptureClock,
    epochs: u64,
    is_connected: bool,
    /// When it was asked for a keyframe last, of whichever layer.
    asked: Option<Instant>,
    nacks: Vec<(Mid, Option<Rid>, u64)>,
}

impl Source {
    pub fn new(peer: PeerId, inbox: Writer, is_simulcast_wanted: bool, now: Instant) -> Self {
        Self {
            peer,
            inbox,
            is_simulcast_wanted,
            streams: Vec::new(),
            sections: [None, None],
            codecs: Vec::new(),
            layers: Vec::new(),
            clock: CaptureClock::new(now),
            epochs: 0,
            is_connected: false,
            asked: None,
            nacks: Vec::new(),
        }
    }

    /// Takes a packet from str0m.
    pub fn packet(
        &mut self,
        now: Instant,
        packet: &RtpPacket,
        rtc: &mut Rtc,
        stats: &mut PeerStats,
        context: &mut Context<'_>,
    ) {
        let codec_of = |entry: &&(Pt, Codec)| entry.0 == packet.header.payload_type;
        let Some((_, codec)) = self.codecs.iter().find(codec_of).copied() else {
            return;
        };
        let (kind, ssrc) = (codec.kind(), packet.header.ssrc);
        let Some(section) = self.sections[kind as usize] else {
            return;
        };
        let known = |stream: &Incoming| stream.origin.kind == kind && stream.ssrc() == Some(ssrc);
        let index = match self.streams.iter().position(known) {
            Some(index) => index,
            None => {
                let mut api = rtc.direct_api();
                let Some(incoming) = api.stream_rx(&ssrc) else {
                    return;
                };
                let rid = incoming.rid();
                if incoming.mid() != section {
                    return;
                }
                let Some(index) = self.index(kind, rid) else {
                    return;
                };
                if self.streams[index].is_stray(now, ssrc) {
                    return;
                }
                // str0m asks for no resends where the SDP tells no RTX SSRC; they may come all
                // the same, under one that is found later or in the stream itself.
                incoming.suppress_nack(kind == MediaKind::Audio);
                index
            }
        };
        stats.packets_received += 1;
        stats.bytes_received += packet.payload.len() as u64;
        let stream = &mut self.streams[index];
        if stream.begins(now) {
            context.events.push(Event::MediaStarted {
                peer: self.peer,
                kind,
                layer: stream
                    .origin
                    .layer
                    .map_or_else(String::new, |rid| rid.to_string()),
            });
        }
        let before = stream.lost();
        let arrived = stream.admit(codec, packet, &mut self.clock, &mut self.epochs);
        stats.packets_lost = (stats.packets_lost + stream.lost()).saturating_sub(before);
        if let Some(arrived) = arrived {
            stats.frames_received += u64::from(arrived.marker && kind == MediaKind::Video);
            context.arrivals.push(arrived);
        }
    }

    /// The stream of a layer, which is made with its first packet.
    fn index(&mut self, kind: MediaKind, rid: Option<Rid>) -> Option<usize> {
        let layer = match (kind, &self.layers[..]) {
            (MediaKind::Video, [_, ..]) => Some(rid.filter(|rid| self.layers.contains(rid))?),
            _ => None,
        };
        let origin = Origin {
            source: self.peer,
            kind,
            layer,
            is_default: layer == self.layers.first().copied() || layer.is_none(),
        };
        let is_same =
            |stream: &Incoming| (stream.origin.kind, stream.origin.layer) == (kind, layer);
        Some(self.streams.iter().position(is_same).unwrap_or_else(|| {
            self.streams.push(Incoming::new(origin));
            self.streams.len() - 1
        }))
    }

    /// Lets time pass. `true` if str0m was given something to send.
    pub fn work(&mut self, now: Instant, rtc: &mut Rtc, stats: &mut PeerStats) -> bool {
        if !self.is_connected || self.asked.is_some_and(|at| now < at + KEYFRAME_SPACING) {
            return false;
        }
        let mut due: Vec<&mut Incoming> = self.videos().collect();
        // The longest wish first, so that no layer waits for another for ever.
        due.sort_by_key(|stream| stream.keyframes.deadline());
        let mut has_asked = false;
        for stream in due {
            if has_asked || !stream.keyframes.take(now, false) {
                continue;
            }
            let incoming = stream.ssrc();
            let mut api = rtc.direct_api();
            match incoming.and_then(|ssrc| api.stream_rx(&ssrc)) {
                Some(incoming) => {
                    incoming.request_keyframe(KeyframeRequestKind::Pli);
                    stats.plis_sent += 1;
                    has_asked = true;
                }
                None => stream.keyframes.put_back(),
            }
        }
        if has_asked {
            self.asked = Some(now);
        }
        has_asked
    }

    /// When [`Source::work`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let deadlines = self
            .streams
            .iter()
            .map(|stream| stream.keyframes.deadline());
        let wished = deadlines.flatten().min().filter(|_| self.is_connected)?;
        let allowed = self.asked.map_or(wished, |at| at + KEYFRAME_SPACING);
        Some(wished.max(allowed))
    }

    /// Media may flow.
    pub fn connected(&mut self) {
        self.is_connected = true;
    }

    /// A viewer needs a keyframe of this layer; `None` is the default one.
    pub fn need_keyframe(&mut self, now: Instant, layer: Option<Rid>) {
        for stream in self.videos() {
            if stream.origin.layer == layer || (layer.is_none() && stream.origin.is_default) {
                stream.keyframes.miss(now);
            }
        }
    }

    /// Asks for a keyframe of every layer.
    pub fn request_keyframe(&mut self, now: Instant) {
        for stream in self.videos() {
            stream.keyframes.ask(now);
        }
    }

    /// Tells the browser what it may send in all. `false` if it sends no video yet.
    pub fn limit(&self, rtc: &mut Rtc, bitrate: u64) -> bool {
        let is_video = |stream: &&Incoming| stream.origin.kind == MediaKind::Video;
        let mut ssrcs = self
            .streams
            .iter()
            .filter(is_video)
            .filter_map(Incoming::ssrc);
        let mut api = rtc.direct_api();
        let incoming = ssrcs.next().and_then(|ssrc| api.stream_rx(&ssrc));
        incoming
            .map(|stream| stream.request_remb(bitrate.into()))
            .is_some()
    }

    /// Counts what str0m has asked to be sent again.
    pub fn count_nacks(&mut self, ingress: &MediaIngressStats, stats: &mut PeerStats) {
        if self.sections[MediaKind::Video as usize] != Some(ingress.mid) {
            return;
        }
        let (mid, rid) = (ingress.mid, ingress.rid);
        match self
            .nacks
            .iter_mut()
            .find(|entry| (entry.0, entry.1) == (mid, rid))
        {
            // It begins anew where a stream is replaced.
            Some(entry) => entry.2 = entry.2.max(ingress.nacks),
            None => self.nacks.push((mid, rid, ingress.nacks)),
        }
        stats.nacks_sent = self.nacks.iter().map(|entry| entry.2).sum();
    }

    fn videos(&mut self) -> impl Iterator<Item = &mut Incoming> {
        let streams = self.streams.iter_mut();
        streams.filter(|stream| stream.origin.kind == MediaKind::Video)
    }
}

impl Arrived {
    /// Whether this packet is of what a route takes: `None` takes the default layer.
    pub fn is_of(&self, source: PeerId, kind: MediaKind, layer: Option<Rid>) -> bool {
        let origin = &self.origin;
        let is_layer = match layer {
            Some(_) => origin.layer == layer,
            None => origin.is_default,
        };
        (origin.source, origin.kind) == (source, kind) && is_layer
    }
}

//! The receiving side of a peer: RTP packets become frames in an inbox.
//!
//! ```text
//! str0m ─ RtpPacket ─▶ Stream::admit ─ Packet ─▶ Reorder ─▶ Units<H264 | Vp8> ─▶ Writer ─▶ Inbox
//!                      extends numbers           holes      whole frames         bounded   owner
//! ```
//!
//! A [`Packet`] out of [`Stream::admit`] is what a router of packets needs: in the order of
//! arrival, decrypted, resent ones unwrapped, with sequence number and timestamp extended.
//! Nothing before it looks into the payload.
//!
//! Facts about the receiving side of str0m 0.25 (`streams/receive.rs`, `streams/register_nack.rs`,
//! `session.rs`) that this folder relies on or works around:
//!
//! * `RtpPacket` comes at most once for a sequence number, decrypted and authenticated, and
//!   resent packets (RTX) with the number, SSRC and payload type of the original. At most one
//!   waits, so str0m is polled after every datagram. The number is extended per SSRC.
//! * It asks for a missing packet each 33 ms at most, five times at most, a round trip and 5 ms
//!   apart (100 ms until the round trip is known), and only for the newest 100 numbers. An older
//!   packet that comes all the same is dropped. So the second that is granted to a hole is only
//!   used up below 100 packets a second; at 2 Mb/s a packet can be repaired for half a second,
//!   which is five tries up to a round trip of 100 ms, and two at 200 ms.
//! * It never asks where the SDP names an SSRC without one for resends; that is undone at the
//!   first packet of a stream.
//! * Its extended RTP time jumps by half a cycle where a stream pauses and goes on with an older
//!   packet, and it extends sender reports apart from packets. [`axis::Axis`] extends both anew.
//! * It takes RTP for every section that it knows, whatever the direction. What is not received
//!   is sorted out in [`Receiving::packet`].
//! * It remembers every SSRC that an authenticated packet came from, and every `a=ssrc`, for
//!   ever. [`Sources`] and the prepared offer bound them.
//! * It passes over an RTCP BYE, which browsers send in mid-call, too.
//! * What it counts of NACKs comes with its statistics, each second.

pub mod axis;
pub mod frame;
pub mod h264;
pub mod inbox;
pub mod keyframes;
mod negotiate;
pub mod reorder;
mod sources;
mod stream;
pub mod units;
pub mod vp8;

use std::time::Instant;

use str0m::Rtc;
use str0m::media::{KeyframeRequestKind, Mid, Pt};
use str0m::rtp::RtpPacket;
use str0m::stats::MediaIngressStats;

use self::frame::Codec;
use self::inbox::Writer;
pub use self::negotiate::{accepted, first_codec};
pub use self::sources::Sources;
use self::stream::{Sink, Stream};
use crate::core::track::MediaKind;
use crate::stats::PeerStats;

/// What a peer receives: one stream of each kind at most.
#[derive(Debug)]
pub struct Receiving {
    inbox: Writer,
    streams: [Option<Stream>; 2],
    /// The sections that the browser sends in, by kind.
    sections: [Option<Mid>; 2],
    /// What its payload types mean.
    codecs: Vec<(Pt, Codec)>,
    is_connected: bool,
}

impl Receiving {
    pub fn new(inbox: Writer) -> Self {
        Self {
            inbox,
            streams: [None, None],
            sections: [None, None],
            codecs: Vec::new(),
            is_connected: false,
        }
    }

    /// Takes a packet from str0m.
    pub fn packet(
        &mut self,
        now: Instant,
        packet: &RtpPacket,
        rtc: &mut Rtc,
        stats: &mut PeerStats,
    ) {
        let codec_of = |entry: &&(Pt, Codec)| entry.0 == packet.header.payload_type;
        let Some((_, codec)) = self.codecs.iter().find(codec_of).copied() else {
            return;
        };
        let (kind, ssrc) = (codec.kind(), packet.header.ssrc);
        let section = self.sections[kind as usize];
        let (Some(stream), Some(section)) = (self.streams[kind as usize].as_mut(), section) else {
            return;
        };
        if stream.ssrc() != Some(ssrc) {
            let mut api = rtc.direct_api();
            let Some(incoming) = api.stream_rx(&ssrc) else {
                return;
            };
            if incoming.mid() != section || stream.is_stray(now, ssrc) {
                return;
            }
            // str0m asks for no resends where the SDP tells no RTX SSRC; they may come all the
            // same, under one that is found later or in the stream itself.
            incoming.suppress_nack(kind == MediaKind::Audio);
        }
        stats.packets_received += 1;
        stats.bytes_received += packet.payload.len() as u64;
        let inbox = &self.inbox;
        let mut sink = Sink { inbox, stats };
        let packet = stream.admit(codec, packet, &mut sink);
        stream.push(now, packet, &mut sink);
    }

    /// Lets time pass. `true` if str0m was given something to send.
    pub fn work(&mut self, now: Instant, rtc: &mut Rtc, stats: &mut PeerStats) -> bool {
        let mut has_asked = false;
        for stream in self.streams.iter_mut().flatten() {
            let inbox = &self.inbox;
            stream.expire(now, &mut Sink { inbox, stats });
            if !self.is_connected || !stream.wants_keyframe(now) {
                continue;
            }
            let mut api = rtc.direct_api();
            let incoming = match stream.ssrc() {
                Some(ssrc) => api.stream_rx(&ssrc),
                None => api.stream_rx_by_mid(stream.mid, None),
            };
            match incoming {
                Some(incoming) => {
                    incoming.request_keyframe(KeyframeRequestKind::Pli);
                    stats.plis_sent += 1;
                    has_asked = true;
                }
                None => stream.keyframes.put_back(),
            }
        }
        has_asked
    }

    /// When [`Receiving::work`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let streams = self.streams.iter().flatten();
        streams.filter_map(Stream::deadline).min()
    }

    /// Media may flow: asks for the first keyframe.
    pub fn connected(&mut self, now: Instant) {
        self.is_connected = true;
        self.miss_keyframe(now);
    }

    /// Asks for a keyframe of every video stream.
    pub fn request_keyframe(&mut self, now: Instant) {
        if let Some(stream) = &mut self.streams[MediaKind::Video as usize]
            && self.sections[MediaKind::Video as usize].is_some()
        {
            stream.keyframes.ask(now);
        }
    }

    /// Tells the browser what it may send in all. `false` if it sends no video yet.
    pub fn limit(&self, rtc: &mut Rtc, bitrate: u64) -> bool {
        let video = self.streams[MediaKind::Video as usize].as_ref();
        let mut api = rtc.direct_api();
        let incoming = video
            .and_then(Stream::ssrc)
            .and_then(|ssrc| api.stream_rx(&ssrc));
        incoming
            .map(|stream| stream.request_remb(bitrate.into()))
            .is_some()
    }

    /// Delivers what is complete: no packet follows.
    pub fn flush(&mut self, now: Instant, stats: &mut PeerStats) {
        for stream in self.streams.iter_mut().flatten() {
            let inbox = &self.inbox;
            stream.flush(now, &mut Sink { inbox, stats });
        }
    }

    /// Counts what str0m has asked to be sent again.
    pub fn count_nacks(&self, ingress: &MediaIngressStats, stats: &mut PeerStats) {
        if self.sections[MediaKind::Video as usize] == Some(ingress.mid) {
            // It begins anew where a stream is replaced.
            stats.nacks_sent = stats.nacks_sent.max(ingress.nacks);
        }
    }

    fn miss_keyframe(&mut self, now: Instant) {
        if let Some(stream) = &mut self.streams[MediaKind::Video as usize] {
            stream.miss_first_keyframe(now);
        }
    }
}

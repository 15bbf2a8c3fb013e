//! RTP packets into access units and frames of sound, as soon as the last packet is here.
//!
//! retina's own stream of frames ends at the first packet that makes no sense, and knows no Opus. So
//! its packets are taken, and its depacketizers are fed one by one, by a door that it keeps for its
//! benchmarks and does not promise to keep: the version is pinned. The marker bit ends an access unit;
//! without one the next timestamp does.

use std::num::NonZeroU16;
use std::time::Instant;

use bytes::Bytes;
use retina::codec::{self, CodecItem, FrameFormat, ParametersRef};
use retina::rtp::{PacketMeta, ReceivedPacket};
use retina::testutil::DepacketizeBuf;

use crate::description::{AudioDescription, VideoDescription};

/// The ring that packets of an unfinished access unit lie in; it grows.
const RING_BYTES: usize = 256 << 10;

/// Frames that one packet may hold; a packet of AAC has a few.
const MAX_FRAMES: usize = 256;

/// A frame as the packets have it.
#[derive(Debug)]
pub struct Piece {
    pub data: Bytes,
    pub timestamp: i64,
    pub arrived: Instant,
    pub keyframe: bool,
    pub after_loss: bool,
}

/// Who can make something of a format.
pub enum Support {
    /// This crate.
    Here(Box<Depacketizer>),
    /// FFmpeg's RTP demuxer, perhaps.
    Elsewhere,
    /// Nobody.
    Nowhere,
}

/// Sound that FFmpeg takes out of RTP and retina does not, or not in a form that a decoder knows.
const SOUND_OF_FFMPEG: &[&str] = &[
    "ac3",
    "amr",
    "amr-wb",
    "dvi4",
    "g723",
    "g726-16",
    "g726-24",
    "g726-32",
    "g726-40",
    "gsm",
    "ilbc",
    "l24",
    "l8",
    "mp4a-latm",
    "mpa",
    "mpa-robust",
    "qcelp",
    "speex",
    "vorbis",
];

/// Puts the packets of one stream together.
pub struct Depacketizer {
    way: Way,
    /// A packet made no sense, or was lost, and no frame has said so yet.
    has_lost: bool,
    /// Packets in a row that made no sense.
    damaged: usize,
}

enum Way {
    /// Each packet is a frame (RFC 7587).
    Opus,
    Retina(Box<codec::Depacketizer>, DepacketizeBuf),
}

impl Depacketizer {
    fn opus() -> Box<Self> {
        Box::new(Self::new(Way::Opus))
    }

    fn new(way: Way) -> Self {
        Self {
            way,
            has_lost: false,
            damaged: 0,
        }
    }

    fn retina(stream: &Format<'_>) -> Option<Box<Self>> {
        let mut inner = codec::Depacketizer::new(
            stream.media,
            stream.encoding,
            stream.clock_rate,
            stream.channels,
            stream.parameters,
        )
        .ok()?;
        inner.set_frame_format(FrameFormat {
            aac_framing: codec::aac::Framing::Raw,
            ..FrameFormat::SIMPLE
        });
        let buffer = DepacketizeBuf::new(RING_BYTES);
        Some(Box::new(Self::new(Way::Retina(Box::new(inner), buffer))))
    }

    /// Packets in a row that made no sense.
    pub fn damaged(&self) -> usize {
        self.damaged
    }

    /// Takes a packet, and gives the frames that it completes.
    pub fn push(&mut self, packet: ReceivedPacket, frames: &mut Vec<Piece>) {
        let before = frames.len();
        self.has_lost |= packet.loss() > 0;
        let is_sound = match &mut self.way {
            Way::Opus => {
                packet.payload().is_empty() || {
                    let (timestamp, arrived) = (packet.timestamp(), packet.ctx().received());
                    frames.push(Piece {
                        data: packet.into_payload_bytes(),
                        timestamp: timestamp.timestamp(),
                        arrived,
                        keyframe: true,
                        after_loss: false,
                    });
                    true
                }
            }
            Way::Retina(inner, buffer) => {
                let meta = PacketMeta::from_received(&packet);
                let mut is_sound = buffer.push(inner, meta, packet.payload()).is_ok();
                for _ in 0..MAX_FRAMES {
                    match inner.pull() {
                        None => break,
                        Some(Ok(item)) => frames.extend(piece(item)),
                        Some(Err(_)) => is_sound = false,
                    }
                }
                is_sound
            }
        };
        for frame in &mut frames[before..] {
            frame.after_loss |= std::mem::take(&mut self.has_lost);
        }
        self.damaged = if is_sound { 0 } else { self.damaged + 1 };
        self.has_lost |= !is_sound;
    }

    fn parameters(&self) -> Option<ParametersRef<'_>> {
        match &self.way {
            Way::Opus => None,
            Way::Retina(inner, _) => inner.parameters(),
        }
    }
}

fn piece(item: CodecItem) -> Option<Piece> {
    match item {
        CodecItem::VideoFrame(frame) => Some(Piece {
            timestamp: frame.timestamp().timestamp(),
            arrived: frame.end_ctx().received(),
            keyframe: frame.is_random_access_point(),
            after_loss: frame.loss() > 0,
            data: frame.into_data().into(),
        }),
        CodecItem::AudioFrame(frame) => Some(Piece {
            timestamp: frame.timestamp().timestamp(),
            arrived: frame.ctx().received(),
            keyframe: true,
            after_loss: frame.loss() > 0,
            data: Bytes::copy_from_slice(frame.data()),
        }),
        _ => None,
    }
    .filter(|piece| !piece.data.is_empty())
}

/// What the SDP says of a stream.
pub struct Format<'a> {
    pub media: &'a str,
    pub encoding: &'a str,
    pub clock_rate: u32,
    pub channels: Option<NonZeroU16>,
    pub frame_rate: Option<f32>,
    pub parameters: Option<&'a str>,
}

impl Format<'_> {
    /// Who takes these pictures, and what they are.
    pub fn video(&self) -> (Support, VideoDescription) {
        let codec = match self.encoding {
            "h264" => "h264",
            "h265" => "hevc",
            "jpeg" => "mjpeg",
            _ => "",
        };
        let depacketizer = (!codec.is_empty())
            .then(|| Depacketizer::retina(self))
            .flatten();
        let told = depacketizer.as_ref().and_then(|depacketizer| {
            match depacketizer.parameters() {
                // The duration of a frame, so the fraction stands on its head.
                Some(ParametersRef::Video(video)) => video.frame_rate().map(|(n, d)| (d, n)),
                _ => None,
            }
        });
        let in_sdp = self.frame_rate.map(|rate| ((rate * 1000.0) as u32, 1000));
        let sane = |(n, d): &(u32, u32)| *d > 0 && *n / *d >= 1 && *n / *d <= 240;
        let description = VideoDescription {
            codec,
            frame_rate: told.filter(sane).or(in_sdp.filter(sane)),
        };
        let support = depacketizer.map_or(Support::Elsewhere, Support::Here);
        (support, description)
    }

    /// Who takes this sound, and what it is.
    pub fn audio(&self) -> (Support, AudioDescription) {
        let channels = self.channels.map_or(1, NonZeroU16::get);
        let described = |codec, sample_rate, channels| AudioDescription {
            codec,
            sample_rate,
            channels,
            extra_data: Vec::new(),
        };
        let rate = self.clock_rate;
        let mut description = match self.encoding {
            "opus" => {
                return (
                    Support::Here(Depacketizer::opus()),
                    described("opus", 48_000, 2),
                );
            }
            "mpeg4-generic" => described("aac", rate, channels),
            "pcmu" => described("pcm_mulaw", rate, channels),
            "pcma" => described("pcm_alaw", rate, channels),
            "l16" => described("pcm_s16be", rate, channels),
            // Its RTP clock is half of its sample rate, by an old mistake (RFC 3551 §4.5.2).
            "g722" => described("adpcm_g722", 16_000, 1),
            _ => described("", rate, channels),
        };
        if description.codec.is_empty() {
            let known = SOUND_OF_FFMPEG.contains(&self.encoding);
            let support = if known {
                Support::Elsewhere
            } else {
                Support::Nowhere
            };
            return (support, description);
        }
        let Some(depacketizer) = Depacketizer::retina(self) else {
            return (Support::Elsewhere, description);
        };
        if description.codec == "aac"
            && let Some(ParametersRef::Audio(audio)) = depacketizer.parameters()
        {
            description.sample_rate = audio.clock_rate();
            description.channels = audio.channels().get();
            description.extra_data = audio.extra_data().to_vec();
        }
        (Support::Here(depacketizer), description)
    }
}

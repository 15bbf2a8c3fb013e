//! What the receiving side delivers: whole frames, and the packets that they are made of.

use std::sync::Arc;
use std::time::Instant;

use super::sender_report::SenderReport;
use crate::core::media::MediaKind;

/// How a received frame is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    H264,
    Vp8,
    Opus,
}

impl Codec {
    pub fn kind(self) -> MediaKind {
        match self {
            Self::H264 | Self::Vp8 => MediaKind::Video,
            Self::Opus => MediaKind::Audio,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::Vp8 => "vp8",
            Self::Opus => "opus",
        }
    }
}

/// One access unit of video or one packet of audio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedFrame {
    pub codec: Codec,
    /// H.264: Annex B. VP8: a frame as in RFC 6386. Opus: a packet.
    pub data: Vec<u8>,
    /// RTP time past 32 bits, see [`super::timestamp::TimestampUnwrapper`].
    pub timestamp: u64,
    /// When the last of its packets arrived.
    pub arrived: Instant,
    /// The newest sender report of its stream.
    pub report: Option<SenderReport>,
    pub keyframe: bool,
    /// Something was lost or dropped between this frame and the one of its kind before it.
    pub after_loss: bool,
}

/// An RTP packet of one stream, decrypted, with its numbers extended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedPacket {
    /// Past 16 bits.
    pub sequence: u64,
    pub timestamp: u64,
    pub marker: bool,
    pub payload: Arc<[u8]>,
    pub arrived: Instant,
}

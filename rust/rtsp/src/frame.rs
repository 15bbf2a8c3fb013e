//! What comes out.

use std::time::Instant;

use bytes::Bytes;

/// Pictures or sound.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Video,
    Audio,
}

/// An access unit or a frame of sound.
#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: Kind,
    /// H.264 and H.265: Annex B, a keyframe with its parameter sets in front. Else as the codec has it.
    pub data: Bytes,
    /// RTP timestamp extended past 32 bits.
    pub timestamp: i64,
    /// Units a second of `timestamp`.
    pub clock_rate: u32,
    /// When its last packet arrived.
    pub arrived: Instant,
    /// The moment of it by the arrival of all: without the jitter of the network.
    pub placed: Instant,
    /// The newest sender report (RFC 3550 §6.4.1): ns since 1900, and the same moment on
    /// `timestamp`'s axis.
    pub report: Option<(u64, i64)>,
    /// Decoding can begin here; always true of sound.
    pub keyframe: bool,
    /// Something is missing between this frame and the one of its kind before.
    pub after_loss: bool,
}

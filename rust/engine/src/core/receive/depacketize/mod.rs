//! RTP payloads of one stream, in order, become frames.

pub mod frame_assembler;
pub mod h264;
mod opus;
pub mod vp8;

use self::frame_assembler::{Depacketizer, FrameAssembler};
use self::h264::H264;
use self::opus::Opus;
use self::vp8::Vp8;
use super::frame::Codec;

/// A depacketizer at the begin of a stream.
pub fn depacketizer(codec: Codec) -> Box<dyn Depacketizer> {
    match codec {
        Codec::H264 => Box::new(FrameAssembler::new(H264::default())),
        Codec::Vp8 => Box::new(FrameAssembler::new(Vp8)),
        Codec::Opus => Box::new(Opus),
    }
}

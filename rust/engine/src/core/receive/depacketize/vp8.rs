//! VP8 frames out of RTP payloads (RFC 7741).

use super::frame_assembler::{Completeness, PayloadFormat};

/// The format keeps nothing: a frame's packets have all that is needed.
#[derive(Debug, Default)]
pub struct Vp8;

/// What a frame has so far.
#[derive(Debug, Default)]
pub struct PartialFrame {
    begun: bool,
    keyframe: bool,
}

impl PayloadFormat for Vp8 {
    type Partial = PartialFrame;

    fn append(&mut self, partial: &mut PartialFrame, data: &mut Vec<u8>, payload: &[u8]) -> bool {
        let Some((is_first, body)) = parse(payload) else {
            return false;
        };
        if is_first == partial.begun {
            return false; // its begin is missing, or another begins
        }
        if is_first {
            partial.begun = true;
            // The inverse of the frame tag's first bit (RFC 6386 §9.1).
            partial.keyframe = body[0] & 1 == 0;
        }
        data.extend_from_slice(body);
        true
    }

    fn complete(
        &mut self,
        partial: PartialFrame,
        data: &mut Vec<u8>,
        _after_gap: bool,
    ) -> Completeness {
        let is_whole = data.len() >= 3 && (!partial.keyframe || is_keyframe_header(data));
        if is_whole {
            Completeness::Whole {
                keyframe: partial.keyframe,
            }
        } else {
            Completeness::Incomplete
        }
    }

    fn is_keyframe(partial: &PartialFrame) -> bool {
        partial.keyframe
    }
}

/// The start code and the size of the picture behind the tag (RFC 6386 §9.1).
fn is_keyframe_header(data: &[u8]) -> bool {
    data.len() >= 10 && data[3..6] == [0x9d, 0x01, 0x2a]
}

/// Whether a payload begins a frame, and what follows its descriptor (§4.2).
fn parse(payload: &[u8]) -> Option<(bool, &[u8])> {
    let (first, mut rest) = payload.split_first()?;
    let is_first = first & 0x10 != 0 && first & 0x07 == 0;
    if first & 0x80 != 0 {
        let extension = take(&mut rest)?;
        if extension & 0x80 != 0 && take(&mut rest)? & 0x80 != 0 {
            take(&mut rest)?; // the second byte of a long picture number
        }
        if extension & 0x40 != 0 {
            take(&mut rest)?;
        }
        if extension & 0x30 != 0 {
            take(&mut rest)?;
        }
    }
    (!rest.is_empty()).then_some((is_first, rest))
}

fn take(rest: &mut &[u8]) -> Option<u8> {
    let (byte, after) = rest.split_first()?;
    *rest = after;
    Some(*byte)
}

#[cfg(test)]
#[path = "vp8_tests.rs"]
mod tests;

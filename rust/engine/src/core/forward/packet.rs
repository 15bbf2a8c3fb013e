//! A packet of a publisher on its way to viewers.

use std::sync::Arc;
use std::time::Instant;

use str0m::media::Rid;

use crate::core::media::MediaKind;
use crate::core::nal::{self, Payload};
use crate::id::PeerId;

/// A run of packets whose numbers belong together: one SSRC, without a jump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch {
    pub source: PeerId,
    pub number: u64,
}

/// Which stream of which publisher a packet is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    pub source: PeerId,
    pub kind: MediaKind,
    /// The simulcast layer.
    pub layer: Option<Rid>,
    /// It is the only layer, or the first.
    pub is_default: bool,
}

impl Origin {
    /// Whether this is the layer of a request; `None` requests the default one.
    pub fn is_layer(&self, layer: Option<Rid>) -> bool {
        match layer {
            Some(_) => self.layer == layer,
            None => self.is_default,
        }
    }
}

/// A packet whose payload all viewers share.
#[derive(Debug, Clone)]
pub struct RtpPacket {
    pub origin: Origin,
    pub epoch: Epoch,
    /// Past 16 bits.
    pub sequence: u64,
    /// Past 32 bits.
    pub timestamp: i64,
    /// When that moment of media was captured, as far as that can be known.
    pub captured: Instant,
    pub marker: bool,
    pub start: KeyframeStart,
    pub payload: Arc<[u8]>,
}

/// Where a decoder of H.264 can begin, read from one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum KeyframeStart {
    /// Not at this packet.
    #[default]
    None,
    /// An IDR picture; a decoder that has its parameter sets can begin here.
    Picture,
    /// Parameter sets, which browsers send in front of each IDR picture.
    ParameterSets,
}

impl KeyframeStart {
    /// Reads the payload of a packet.
    pub fn of_h264(payload: &[u8]) -> Self {
        match Payload::read(payload) {
            Some(Payload::Single(nal)) => Self::of_unit(nal),
            Some(Payload::Aggregate(units)) => {
                let units = units.flatten().map(Self::of_unit);
                units.max().unwrap_or_default()
            }
            Some(Payload::Fragment(fragment)) if fragment.is_first => {
                Self::of_unit(&[fragment.header])
            }
            Some(Payload::Fragment(_)) | None => Self::None,
        }
    }

    fn of_unit(nal: &[u8]) -> Self {
        match nal::kind(nal) {
            Some(nal::SPS) => Self::ParameterSets,
            Some(nal::IDR) => Self::Picture,
            _ => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::send::packetize;

    #[test]
    fn a_keyframe_begins_with_its_parameter_sets_whatever_carries_them() {
        let small = [0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 1, 0x65, 9];
        let mut large = small.to_vec();
        large.extend([7; 5000]);
        for unit in [&small[..], &large] {
            let starts: Vec<KeyframeStart> = packetize::packetize(unit, 1200)
                .iter()
                .map(|payload| KeyframeStart::of_h264(payload))
                .collect();
            assert_eq!(starts[0], KeyframeStart::ParameterSets, "{starts:?}");
            assert!(!starts[1..].contains(&KeyframeStart::ParameterSets));
        }
        assert_eq!(
            KeyframeStart::of_h264(&[0x67, 1]),
            KeyframeStart::ParameterSets
        );
        assert_eq!(KeyframeStart::of_h264(&[0x65, 1]), KeyframeStart::Picture);
        assert_eq!(
            KeyframeStart::of_h264(&[0x7c, 0x85, 1]),
            KeyframeStart::Picture
        );
        assert_eq!(
            KeyframeStart::of_h264(&[0x7c, 0x05, 1]),
            KeyframeStart::None,
            "goes on"
        );
        assert_eq!(KeyframeStart::of_h264(&[0x41, 1]), KeyframeStart::None);
        assert_eq!(
            KeyframeStart::of_h264(&[24, 0, 1, 6, 0, 2, 0x65, 1]),
            KeyframeStart::Picture
        );
    }

    #[test]
    fn nothing_that_is_sent_harms() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..20_000 {
            let mut payload: Vec<u8> = (0..random.usize(..20)).map(|_| random.u8(..)).collect();
            if let Some(first) = payload.first_mut().filter(|_| random.bool()) {
                *first = 24;
            }
            KeyframeStart::of_h264(&payload);
        }
    }
}

//! Where a decoder of H.264 can begin, told from one packet (RFC 6184).

const SLICE_IDR: u8 = 5;
const SPS: u8 = 7;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// What begins with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// Nothing.
    #[default]
    None,
    /// An IDR picture; to a decoder that has its parameter sets it is a start.
    Picture,
    /// Parameter sets, which browsers send in front of each IDR picture.
    ParameterSets,
}

impl Start {
    /// Looks into the payload of a packet.
    pub fn of_h264(payload: &[u8]) -> Self {
        let Some(kind) = payload.first().map(|byte| byte & 0x1f) else {
            return Self::None;
        };
        match kind {
            STAP_A => {
                let mut found = Self::None;
                let mut rest = &payload[1..];
                while let [high, low, unit @ ..] = rest {
                    let size = usize::from(u16::from_be_bytes([*high, *low]));
                    match unit.first().map(|byte| byte & 0x1f) {
                        Some(SPS) => return Self::ParameterSets,
                        Some(SLICE_IDR) => found = Self::Picture,
                        _ => {}
                    }
                    rest = unit.get(size..).unwrap_or_default();
                }
                found
            }
            FU_A => match payload.get(1) {
                // The first fragment.
                Some(header) if header & 0x80 != 0 => Self::of_unit(header & 0x1f),
                _ => Self::None,
            },
            kind => Self::of_unit(kind),
        }
    }

    fn of_unit(kind: u8) -> Self {
        match kind {
            SPS => Self::ParameterSets,
            SLICE_IDR => Self::Picture,
            _ => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::h264;

    #[test]
    fn a_keyframe_begins_with_its_parameter_sets_whatever_carries_them() {
        let small = [0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 1, 0x65, 9];
        let mut large = small.to_vec();
        large.extend([7; 5000]);
        for unit in [&small[..], &large] {
            let starts: Vec<Start> = h264::packetize(unit, 1200)
                .iter()
                .map(|payload| Start::of_h264(payload))
                .collect();
            assert_eq!(starts[0], Start::ParameterSets, "{starts:?}");
            assert!(!starts[1..].contains(&Start::ParameterSets));
        }
        assert_eq!(Start::of_h264(&[0x67, 1]), Start::ParameterSets);
        assert_eq!(Start::of_h264(&[0x65, 1]), Start::Picture);
        assert_eq!(Start::of_h264(&[0x7c, 0x85, 1]), Start::Picture);
        assert_eq!(Start::of_h264(&[0x7c, 0x05, 1]), Start::None, "goes on");
        assert_eq!(Start::of_h264(&[0x41, 1]), Start::None);
        assert_eq!(
            Start::of_h264(&[24, 0, 1, 6, 0, 2, 0x65, 1]),
            Start::Picture
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
            Start::of_h264(&payload);
        }
    }
}

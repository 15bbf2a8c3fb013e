//! H.264 NAL units: between Annex B start codes (ISO/IEC 14496-10, annex B) and in RTP payloads
//! (RFC 6184, packetization modes 0 and 1).

/// The largest access unit taken. A 1080p keyframe at high quality is below 1 MiB.
pub const MAX_ACCESS_UNIT: usize = 4 << 20;

/// What stands in front of a NAL unit in Annex B.
pub const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// The bits of a NAL unit's header (ISO/IEC 14496-10 §7.3.1).
pub const TYPE: u8 = 0x1f;
pub const REF_IDC: u8 = 0x60;
const FORBIDDEN: u8 = 0x80;

/// Types of NAL units (ISO/IEC 14496-10, table 7-1).
pub const SLICE: u8 = 1;
pub const IDR: u8 = 5;
pub const SEI: u8 = 6;
pub const SPS: u8 = 7;
pub const PPS: u8 = 8;
pub const AUD: u8 = 9;
pub const FILLER: u8 = 12;

/// Types that only RTP payloads have (RFC 6184, table 1): what is below the first is a NAL unit.
pub const STAP_A: u8 = 24;
pub const FU_A: u8 = 28;

/// The bits of a fragment's header that say where in its NAL unit it is (RFC 6184 §5.8).
pub const FRAGMENT_START: u8 = 0x80;
pub const FRAGMENT_END: u8 = 0x40;

/// The type of a NAL unit; `None` if there is none, or its header makes no sense.
pub fn kind(nal: &[u8]) -> Option<u8> {
    let header = nal.first().filter(|header| *header & FORBIDDEN == 0)?;
    Some(header & TYPE).filter(|kind| (1..STAP_A).contains(kind))
}

/// An RTP payload.
#[derive(Debug)]
pub enum Payload<'a> {
    /// A NAL unit that is alone in its packet (§5.6).
    Single(&'a [u8]),
    /// A STAP-A: NAL units behind 16-bit lengths (§5.7.1).
    Aggregate(Aggregate<'a>),
    /// An FU-A: a part of a NAL unit (§5.8).
    Fragment(Fragment<'a>),
}

/// The NAL units of a STAP-A; `None` stands for a rest that is not one.
#[derive(Debug)]
pub struct Aggregate<'a>(&'a [u8]);

/// A part of a NAL unit.
#[derive(Debug)]
pub struct Fragment<'a> {
    /// The header of the NAL unit.
    pub header: u8,
    pub is_first: bool,
    pub is_last: bool,
    pub body: &'a [u8],
}

impl<'a> Payload<'a> {
    /// Reads a payload; `None` if it makes no sense, or is of packetization mode 2, which nobody
    /// is offered.
    pub fn read(payload: &'a [u8]) -> Option<Self> {
        let (indicator, rest) = payload.split_first()?;
        match indicator & (FORBIDDEN | TYPE) {
            1..STAP_A => Some(Self::Single(payload)),
            STAP_A => Some(Self::Aggregate(Aggregate(rest))),
            FU_A => {
                let (header, body) = rest.split_first()?;
                Some(Self::Fragment(Fragment {
                    header: (indicator & REF_IDC) | (header & TYPE),
                    is_first: header & FRAGMENT_START != 0,
                    is_last: header & FRAGMENT_END != 0,
                    body,
                }))
            }
            _ => None,
        }
    }
}

impl<'a> Iterator for Aggregate<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let unit = self
            .0
            .split_first_chunk::<2>()
            .and_then(|(length, rest)| rest.split_at_checked(u16::from_be_bytes(*length).into()));
        self.0 = unit.map_or(&[], |(_, rest)| rest);
        Some(unit.map(|(nal, _)| nal))
    }
}

/// The non-empty NAL units of an Annex B stream.
pub fn units(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = find_start_code(data).map(|at| &data[at + 3..]);
    std::iter::from_fn(move || {
        loop {
            let current = rest?;
            let (nal, next) = match find_start_code(current) {
                Some(at) => (&current[..at], Some(&current[at + 3..])),
                None => (current, None),
            };
            rest = next;
            // The zero byte of a four-byte start code, and trailing zeros, belong to no NAL unit.
            let end = nal.iter().rposition(|byte| *byte != 0);
            if let Some(end) = end {
                return Some(&nal[..=end]);
            }
        }
    })
}

fn find_start_code(data: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at + 3 <= data.len() {
        // The third byte decides how far to jump: most bytes of a slice are neither 0 nor 1.
        match data[at + 2] {
            1 if data[at] == 0 && data[at + 1] == 0 => return Some(at),
            0 => at += 1,
            _ => at += 3,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annex_b_is_split_at_its_start_codes_and_trailing_zeros_are_left_out() {
        let units = |data| super::units(data).collect::<Vec<_>>();
        assert_eq!(
            units(b"\0\0\x01\x65\x05\0\0\0\x01\x41\x06\0"),
            [&[0x65, 5], &[0x41, 6]]
        );
    }

    #[test]
    fn a_payload_is_read_up_to_what_makes_no_sense() {
        let aggregated = |payload| match Payload::read(payload) {
            Some(Payload::Aggregate(units)) => units.collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        assert_eq!(aggregated(&[0x78]), [None; 0]);
        let two: [Option<&[u8]>; 2] = [Some(&[0x67, 1]), Some(&[0x68])];
        assert_eq!(aggregated(&[0x78, 0, 2, 0x67, 1, 0, 1, 0x68]), two);
        let cut: [Option<&[u8]>; 2] = [Some(&[0x67, 1]), None];
        assert_eq!(aggregated(&[0x78, 0, 2, 0x67, 1, 0, 9, 0x68]), cut);
        assert_eq!(aggregated(&[0x78, 0, 2, 0x67, 1, 0]), cut);
        let Some(Payload::Fragment(last)) = Payload::read(&[0x7c, 0x45, 9]) else {
            panic!("a fragment")
        };
        assert_eq!(
            (last.header, last.is_first, last.is_last),
            (0x65, false, true)
        );
        for payload in [
            &[][..],
            &[0x7c],
            &[0xe5, 1],
            &[0x60],
            &[0x79, 1],
            &[0x7d, 0x85, 1],
        ] {
            assert!(Payload::read(payload).is_none(), "{payload:02x?}");
        }
        assert_eq!(
            [kind(&[0x65]), kind(&[0xe5]), kind(&[0x78]), kind(&[])],
            [Some(5), None, None, None]
        );
    }
}

//! H.264 access units out of RTP payloads (RFC 6184, packetization modes 0 and 1).

use super::units::{Format, Judgement};

const NAL_TYPE: u8 = 0x1f;
const NAL_REF_IDC: u8 = 0x60;
const FORBIDDEN: u8 = 0x80;
const NAL_SLICE: u8 = 1;
const NAL_IDR: u8 = 5;
const NAL_SPS: u8 = 7;
const NAL_PPS: u8 = 8;
const NAL_AUD: u8 = 9;
const NAL_LAST_SINGLE: u8 = 23;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// Parameter sets kept of each sort, of the 32 and 256 that there may be. Browsers use one.
const MAX_SETS: usize = 16;

/// The largest parameter set kept. Usual ones have some 20 bytes.
const MAX_SET_BYTES: usize = 1024;

/// The format, with the parameter sets seen last.
#[derive(Debug, Default)]
pub struct H264 {
    sps: Vec<ParameterSet>,
    pps: Vec<ParameterSet>,
}

#[derive(Debug)]
struct ParameterSet {
    id: u32,
    nal: Vec<u8>,
}

/// What an access unit has so far.
#[derive(Debug, Default)]
pub struct Part {
    slice: bool,
    idr: bool,
    sps: bool,
    pps: bool,
    /// Where the NAL unit begins whose last fragment has not come.
    fragment: Option<usize>,
}

impl Format for H264 {
    type Part = Part;

    fn append(&mut self, part: &mut Part, data: &mut Vec<u8>, payload: &[u8]) -> bool {
        let header = payload[0];
        let kind = header & NAL_TYPE;
        if header & FORBIDDEN != 0 || (kind != FU_A && part.fragment.is_some()) {
            return false;
        }
        match kind {
            1..=NAL_LAST_SINGLE => self.add(part, data, payload),
            STAP_A => self.add_aggregate(part, data, &payload[1..]),
            FU_A => self.add_fragment(part, data, payload),
            // The rest is for packetization mode 2, which nobody is offered.
            _ => return false,
        }
        .is_some()
    }

    fn complete(&mut self, part: Part, data: &mut Vec<u8>, after_hole: bool) -> Judgement {
        if part.fragment.is_some() {
            return Judgement::Incomplete;
        }
        if !part.slice {
            return Judgement::Nothing;
        }
        if part.idr && !(part.sps && part.pps) {
            // After a hole it may have had its own, and they may have been new.
            if after_hole || self.sps.is_empty() || self.pps.is_empty() {
                return Judgement::Incomplete;
            }
            self.insert_sets(data);
        }
        Judgement::Frame { keyframe: part.idr }
    }

    fn is_keyframe(part: &Part) -> bool {
        part.idr
    }
}

impl H264 {
    /// A NAL unit that is alone in its packet (§5.6) or one of an aggregate.
    fn add(&mut self, part: &mut Part, data: &mut Vec<u8>, nal: &[u8]) -> Option<()> {
        self.note(part, nal)?;
        data.extend_from_slice(&START_CODE);
        data.extend_from_slice(nal);
        Some(())
    }

    /// A STAP-A: NAL units behind 16-bit lengths (§5.7.1).
    fn add_aggregate(
        &mut self,
        part: &mut Part,
        data: &mut Vec<u8>,
        mut rest: &[u8],
    ) -> Option<()> {
        while !rest.is_empty() {
            let (length, after) = rest.split_first_chunk::<2>()?;
            let (nal, next) = after.split_at_checked(u16::from_be_bytes(*length).into())?;
            self.add(part, data, nal)?;
            rest = next;
        }
        Some(())
    }

    /// A fragment of a NAL unit (§5.8).
    fn add_fragment(&mut self, part: &mut Part, data: &mut Vec<u8>, payload: &[u8]) -> Option<()> {
        let ([indicator, header], body) = payload.split_first_chunk::<2>()?;
        let (is_first, is_last) = (header & 0x80 != 0, header & 0x40 != 0);
        if is_first {
            if part.fragment.is_some() {
                return None;
            }
            part.fragment = Some(data.len() + START_CODE.len());
            data.extend_from_slice(&START_CODE);
            data.push((indicator & NAL_REF_IDC) | (header & NAL_TYPE));
            part.idr |= header & NAL_TYPE == NAL_IDR; // known before the last fragment
        }
        let begin = part.fragment?;
        data.extend_from_slice(body);
        if is_last {
            part.fragment = None;
            let nal = data.get(begin..)?;
            self.note(part, nal)?;
        }
        Some(())
    }

    /// Notes what a NAL unit is, and keeps a parameter set.
    fn note(&mut self, part: &mut Part, nal: &[u8]) -> Option<()> {
        let (header, body) = nal.split_first()?;
        if header & FORBIDDEN != 0 {
            return None;
        }
        match header & NAL_TYPE {
            0 | STAP_A.. => return None,
            NAL_SLICE..=NAL_IDR => {
                part.slice = true;
                part.idr |= header & NAL_TYPE == NAL_IDR;
            }
            NAL_SPS => {
                part.sps = true;
                // Behind profile, constraints and level (ISO/IEC 14496-10 §7.3.2.1).
                let id = exp_golomb(body.get(3..)?)?;
                if keep(&mut self.sps, id, nal) {
                    // What refers to it may not fit any more, and has to come again.
                    self.pps.clear();
                }
            }
            NAL_PPS => {
                part.pps = true;
                keep(&mut self.pps, exp_golomb(body)?, nal);
            }
            _ => {}
        }
        Some(())
    }

    /// Puts the sets seen last in front, behind a delimiter.
    fn insert_sets(&self, data: &mut Vec<u8>) {
        let at = if data.get(4).is_some_and(|byte| byte & NAL_TYPE == NAL_AUD) {
            let rest = &data[4..];
            rest.windows(4)
                .position(|bytes| bytes == START_CODE)
                .map_or(0, |at| at + 4)
        } else {
            0
        };
        let sets = self.sps.iter().chain(&self.pps);
        let bytes: Vec<u8> = sets
            .flat_map(|set| START_CODE.iter().chain(&set.nal))
            .copied()
            .collect();
        data.splice(at..at, bytes);
    }
}

/// Keeps a set in place of the one with its number; `true` if it is another one.
fn keep(sets: &mut Vec<ParameterSet>, id: u32, nal: &[u8]) -> bool {
    if let Some(set) = sets.iter().find(|set| set.id == id)
        && set.nal == nal
    {
        return false;
    }
    sets.retain(|set| set.id != id);
    if nal.len() <= MAX_SET_BYTES {
        if sets.len() == MAX_SETS {
            sets.remove(0);
        }
        let nal = nal.to_vec();
        sets.push(ParameterSet { id, nal });
    }
    true
}

/// An unsigned Exp-Golomb number at the first bit (ISO/IEC 14496-10 §9.1) of at most 16 bits.
fn exp_golomb(data: &[u8]) -> Option<u32> {
    let mut head = [0; 4];
    let length = data.len().min(4);
    head[..length].copy_from_slice(&data[..length]);
    let bits = u32::from_be_bytes(head);
    let zeros = bits.leading_zeros();
    if zeros > 15 || (2 * zeros + 1) as usize > length * 8 {
        return None;
    }
    Some((bits >> (31 - 2 * zeros)) - 1)
}

#[cfg(test)]
#[path = "h264_tests.rs"]
mod tests;

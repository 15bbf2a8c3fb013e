//! H.264 access units out of RTP payloads (RFC 6184, packetization modes 0 and 1).

use super::frame_assembler::{Completeness, PayloadFormat};
use crate::core::nal::{self, Fragment, Payload, START_CODE};

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
pub struct PartialAccessUnit {
    slice: bool,
    idr: bool,
    sps: bool,
    pps: bool,
    /// Where the NAL unit begins whose last fragment has not come.
    fragment: Option<usize>,
}

impl PayloadFormat for H264 {
    type Partial = PartialAccessUnit;

    fn append(
        &mut self,
        partial: &mut PartialAccessUnit,
        data: &mut Vec<u8>,
        payload: &[u8],
    ) -> bool {
        match Payload::read(payload) {
            Some(Payload::Fragment(fragment)) => self.add_fragment(partial, data, &fragment),
            // A NAL unit in the middle of another.
            Some(_) if partial.fragment.is_some() => None,
            Some(Payload::Single(nal)) => self.add(partial, data, nal),
            Some(Payload::Aggregate(mut units)) => {
                units.try_for_each(|nal| self.add(partial, data, nal?))
            }
            None => None,
        }
        .is_some()
    }

    fn complete(
        &mut self,
        partial: PartialAccessUnit,
        data: &mut Vec<u8>,
        after_gap: bool,
    ) -> Completeness {
        if partial.fragment.is_some() {
            return Completeness::Incomplete;
        }
        if !partial.slice {
            return Completeness::NoPicture;
        }
        if partial.idr && !(partial.sps && partial.pps) {
            // After a gap it may have had its own, and they may have been new.
            if after_gap || self.sps.is_empty() || self.pps.is_empty() {
                return Completeness::Incomplete;
            }
            self.insert_sets(data);
        }
        Completeness::Whole {
            keyframe: partial.idr,
        }
    }

    fn is_keyframe(partial: &PartialAccessUnit) -> bool {
        partial.idr
    }
}

impl H264 {
    /// Adds a whole NAL unit.
    fn add(
        &mut self,
        partial: &mut PartialAccessUnit,
        data: &mut Vec<u8>,
        nal: &[u8],
    ) -> Option<()> {
        self.note(partial, nal)?;
        data.extend_from_slice(&START_CODE);
        data.extend_from_slice(nal);
        Some(())
    }

    fn add_fragment(
        &mut self,
        partial: &mut PartialAccessUnit,
        data: &mut Vec<u8>,
        fragment: &Fragment<'_>,
    ) -> Option<()> {
        if fragment.is_first {
            if partial.fragment.is_some() {
                return None;
            }
            partial.fragment = Some(data.len() + START_CODE.len());
            data.extend_from_slice(&START_CODE);
            data.push(fragment.header);
            // Known before the last fragment.
            partial.idr |= fragment.header & nal::TYPE == nal::IDR;
        }
        let begin = partial.fragment?;
        data.extend_from_slice(fragment.body);
        if fragment.is_last {
            partial.fragment = None;
            self.note(partial, data.get(begin..)?)?;
        }
        Some(())
    }

    /// Notes what a NAL unit is, and keeps a parameter set.
    fn note(&mut self, partial: &mut PartialAccessUnit, nal: &[u8]) -> Option<()> {
        let (kind, body) = (nal::kind(nal)?, nal.get(1..)?);
        match kind {
            nal::SLICE..=nal::IDR => {
                partial.slice = true;
                partial.idr |= kind == nal::IDR;
            }
            nal::SPS => {
                partial.sps = true;
                // Behind profile, constraints and level (ISO/IEC 14496-10 §7.3.2.1).
                let id = exp_golomb(body.get(3..)?)?;
                if keep(&mut self.sps, id, nal) {
                    // What refers to it may not fit any more, and has to come again.
                    self.pps.clear();
                }
            }
            nal::PPS => {
                partial.pps = true;
                keep(&mut self.pps, exp_golomb(body)?, nal);
            }
            _ => {}
        }
        Some(())
    }

    /// Puts the sets seen last in front, behind a delimiter.
    fn insert_sets(&self, data: &mut Vec<u8>) {
        let at = if data.get(4).is_some_and(|byte| byte & nal::TYPE == nal::AUD) {
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

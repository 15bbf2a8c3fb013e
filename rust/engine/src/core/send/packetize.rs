//! H.264 access units into RTP payloads (RFC 6184, packetization-mode 1).

use std::sync::Arc;

use crate::core::nal;

/// The most bytes of an RTP payload. With headers, extensions and the SRTP tag a datagram stays
/// below 1280 bytes, which every path carries (RFC 8200 §5).
pub const MAX_PAYLOAD: usize = 1200;

/// Cuts one Annex B access unit into RTP payloads of at most `max` bytes.
///
/// SPS, PPS and SEI travel together in a STAP-A (§5.7.1), a NAL unit that fits travels alone
/// (§5.6), a larger one as FU-A (§5.8). Delimiters and filler, which only cost bandwidth, are
/// left out. The fragments of one NAL unit have equal sizes but for the last, so that a sender
/// can hand them to the kernel as one segmented datagram. Empty if there is no NAL unit.
pub fn packetize(access_unit: &[u8], max: usize) -> Vec<Arc<[u8]>> {
    let mut payloads = Vec::with_capacity(access_unit.len() / max + 2);
    let mut aggregate = Aggregate::new(max);
    for nal in nal::units(access_unit) {
        match nal[0] & nal::TYPE {
            nal::AUD | nal::FILLER => {}
            nal::SEI | nal::SPS | nal::PPS if aggregate.fits_at_all(nal) => {
                aggregate.add(nal, &mut payloads);
            }
            _ => {
                aggregate.flush(&mut payloads);
                if nal.len() <= max {
                    payloads.push(Arc::from(nal));
                } else {
                    fragment(nal, max, &mut payloads);
                }
            }
        }
    }
    aggregate.flush(&mut payloads);
    payloads
}

/// Small NAL units that wait to travel in one STAP-A.
struct Aggregate<'a> {
    max: usize,
    nals: Vec<&'a [u8]>,
    /// The size of the STAP-A: its header, and each NAL unit behind a 16-bit length.
    size: usize,
}

impl<'a> Aggregate<'a> {
    fn new(max: usize) -> Self {
        Self {
            max,
            nals: Vec::new(),
            size: 1,
        }
    }

    fn fits_at_all(&self, nal: &[u8]) -> bool {
        1 + 2 + nal.len() <= self.max
    }

    fn add(&mut self, nal: &'a [u8], payloads: &mut Vec<Arc<[u8]>>) {
        if self.size + 2 + nal.len() > self.max {
            self.flush(payloads);
        }
        self.size += 2 + nal.len();
        self.nals.push(nal);
    }

    fn flush(&mut self, payloads: &mut Vec<Arc<[u8]>>) {
        match self.nals.as_slice() {
            [] => {}
            [nal] => payloads.push(Arc::from(*nal)),
            nals => {
                let mut payload = Vec::with_capacity(self.size);
                // The header's NRI is the largest of what it carries (§5.3).
                let importance = nals
                    .iter()
                    .map(|nal| nal[0] & nal::REF_IDC)
                    .max()
                    .unwrap_or(0);
                payload.push(importance | nal::STAP_A);
                for nal in nals {
                    let length = nal.len() as u16; // below `max`, see `fits_at_all`
                    payload.extend_from_slice(&length.to_be_bytes());
                    payload.extend_from_slice(nal);
                }
                payloads.push(Arc::from(payload));
            }
        }
        self.nals.clear();
        self.size = 1;
    }
}

fn fragment(nal: &[u8], max: usize, payloads: &mut Vec<Arc<[u8]>>) {
    let (header, body) = (nal[0], &nal[1..]);
    let room = max - 2;
    let last = body.len().div_ceil(room) - 1;
    for (i, chunk) in body.chunks(room).enumerate() {
        let start = if i == 0 { nal::FRAGMENT_START } else { 0 };
        let end = if i == last { nal::FRAGMENT_END } else { 0 };
        let mut payload = Vec::with_capacity(2 + chunk.len());
        payload.push((header & nal::REF_IDC) | nal::FU_A);
        payload.push(start | end | (header & nal::TYPE));
        payload.extend_from_slice(chunk);
        payloads.push(Arc::from(payload));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annex_b(nals: &[&[u8]]) -> Vec<u8> {
        let mut data = Vec::new();
        for (i, nal) in nals.iter().enumerate() {
            data.extend_from_slice(if i % 2 == 0 {
                &[0, 0, 0, 1]
            } else {
                &[0, 0, 1]
            });
            data.extend_from_slice(nal);
        }
        data
    }

    #[test]
    fn parameter_sets_share_a_stap_a_and_the_slice_follows() {
        let (sps, pps, idr) = ([0x67, 1, 2], [0x68, 3], [0x65, 9, 9, 9]);
        let payloads = packetize(&annex_b(&[&[0x09, 0x10], &sps, &pps, &idr]), MAX_PAYLOAD);
        assert_eq!(payloads.len(), 2);
        assert_eq!(&*payloads[0], &[0x78, 0, 3, 0x67, 1, 2, 0, 2, 0x68, 3]);
        assert_eq!(&*payloads[1], &idr);
    }

    #[test]
    fn every_parameter_set_is_kept() {
        let (sps, pps_a, pps_b) = ([0x67, 1], [0x68, 2], [0x68, 3]);
        let payloads = packetize(&annex_b(&[&sps, &pps_a, &pps_b]), MAX_PAYLOAD);
        assert_eq!(
            &*payloads[0],
            &[0x78, 0, 2, 0x67, 1, 0, 2, 0x68, 2, 0, 2, 0x68, 3]
        );
    }

    #[test]
    fn a_large_slice_becomes_equal_fragments_that_join_to_the_slice() {
        let slice: Vec<u8> = std::iter::once(0x65)
            .chain((0..5000).map(|i| (i % 251 + 1) as u8))
            .collect();
        let payloads = packetize(&annex_b(&[&slice]), MAX_PAYLOAD);
        assert_eq!(payloads.len(), 5);
        assert!(payloads[..4].iter().all(|p| p.len() == MAX_PAYLOAD));
        assert_eq!(payloads[0][..2], [0x7c, 0x85]);
        assert_eq!(payloads[1][..2], [0x7c, 0x05]);
        assert_eq!(payloads[4][..2], [0x7c, 0x45]);
        let mut joined = vec![(payloads[0][0] & 0x60) | (payloads[0][1] & 0x1f)];
        joined.extend(payloads.iter().flat_map(|p| p[2..].iter().copied()));
        assert_eq!(joined, slice);
    }

    #[test]
    fn no_payload_exceeds_the_limit_whatever_the_input() {
        fastrand::seed(7);
        for _ in 0..2000 {
            let data: Vec<u8> = (0..fastrand::usize(..4000))
                .map(|_| [0, 0, 1, 0x67, 0x65, 0xff][fastrand::usize(..6)])
                .collect();
            for payload in packetize(&data, 100) {
                assert!(!payload.is_empty() && payload.len() <= 100);
            }
        }
    }

    #[test]
    fn nothing_comes_of_data_without_a_nal_unit() {
        for data in [&b""[..], b"\0\0\x01", b"\0\0\0\x01\0\0", b"no start code"] {
            assert!(packetize(data, MAX_PAYLOAD).is_empty());
        }
    }
}

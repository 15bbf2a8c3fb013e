use std::time::Instant;

use super::*;
use crate::core::nal::MAX_ACCESS_UNIT;
use crate::core::receive::depacketize::frame_assembler::{
    AssembledFrame, Assembly, Depacketizer, FrameAssembler,
};
use crate::core::receive::frame::ReceivedPacket;
use crate::core::send::packetize::packetize;

const SPS: &[u8] = &[0x67, 0x42, 0xc0, 0x1f, 0xda, 1];
const PPS: &[u8] = &[0x68, 0xce, 0x3c, 0x80];
const IDR: &[u8] = &[0x65, 0x88, 1, 2, 3];
const SLICE: &[u8] = &[0x41, 0x9a, 4, 5];

/// A row of packets with a sequence of its own.
struct Row {
    assembler: FrameAssembler<H264>,
    assembled: Vec<Assembly>,
    now: Instant,
}

impl Row {
    fn new() -> Self {
        Self {
            assembler: FrameAssembler::new(H264::default()),
            assembled: vec![],
            now: Instant::now(),
        }
    }

    fn push(&mut self, timestamp: u64, marker: bool, payload: &[u8]) -> &mut Self {
        let packet = ReceivedPacket {
            sequence: 0,
            timestamp,
            marker,
            payload: payload.into(),
            arrived: self.now,
        };
        self.assembler.push(&packet, &mut self.assembled);
        self
    }

    fn gap(&mut self) -> &mut Self {
        self.assembler.gap();
        self
    }

    /// What came out: the data, or `None` for something incomplete.
    fn take(&mut self) -> Vec<Option<Vec<u8>>> {
        let assembled = self.assembled.drain(..);
        assembled
            .map(|assembly| match assembly {
                Assembly::Frame(AssembledFrame { data, .. }) => Some(data),
                Assembly::Incomplete => None,
            })
            .collect()
    }
}

fn annex_b(nals: &[&[u8]]) -> Vec<u8> {
    nals.iter()
        .flat_map(|nal| [&START_CODE[..], nal].concat())
        .collect()
}

fn stap_a(nals: &[&[u8]]) -> Vec<u8> {
    let mut payload = vec![0x78];
    for nal in nals {
        payload.extend_from_slice(&(nal.len() as u16).to_be_bytes());
        payload.extend_from_slice(nal);
    }
    payload
}

#[test]
fn every_way_to_carry_a_nal_unit_gives_it_back() {
    let mut row = Row::new();
    row.push(1, false, &stap_a(&[SPS, PPS]));
    row.push(1, false, &[0x7c, 0x85, 9, 9]);
    row.push(1, false, &[0x7c, 0x05, 8]);
    row.push(1, true, &[0x7c, 0x45, 7]);
    row.push(2, true, SLICE);
    let keyframe = annex_b(&[SPS, PPS, &[0x65, 9, 9, 8, 7]]);
    assert_eq!(row.take(), [Some(keyframe), Some(annex_b(&[SLICE]))]);
}

#[test]
fn a_picture_of_several_slices_is_one_access_unit() {
    let mut row = Row::new();
    for nal in [SPS, PPS, IDR] {
        row.push(1, false, nal);
    }
    row.push(1, true, IDR);
    assert_eq!(row.take(), [Some(annex_b(&[SPS, PPS, IDR, IDR]))]);
}

#[test]
fn a_keyframe_gets_the_parameter_sets_that_it_lacks() {
    let mut row = Row::new();
    // Alone in a unit of their own, which is no picture.
    row.push(1, true, &stap_a(&[SPS, PPS]));
    row.push(2, true, IDR);
    row.push(3, true, &stap_a(&[&[0x09, 0xf0], IDR]));
    let with_delimiter = annex_b(&[&[0x09, 0xf0], SPS, PPS, IDR]);
    assert_eq!(
        row.take(),
        [Some(annex_b(&[SPS, PPS, IDR])), Some(with_delimiter)]
    );
}

#[test]
fn a_keyframe_without_known_parameter_sets_is_of_no_use() {
    let mut row = Row::new();
    assert_eq!(row.push(1, true, IDR).take(), [None]);
    row.push(2, true, &stap_a(&[SPS, IDR]));
    assert_eq!(row.take(), [None], "no PPS");
    row.push(3, true, &stap_a(&[SPS, PPS, IDR])).take();
    // Another SPS under the same number: what refers to the old one is not used with it.
    let other = [&SPS[..5], &[2]].concat();
    row.push(4, true, &stap_a(&[&other, IDR]));
    assert_eq!(row.take(), [None]);
}

#[test]
fn parameter_sets_are_kept_by_number_and_no_more_than_allowed() {
    let mut row = Row::new();
    // PPS 0 to 59, as Exp-Golomb numbers of at most 11 bits.
    let pps: Vec<Vec<u8>> = (1u16..=60)
        .map(|code| {
            let bits = 16 - code.leading_zeros();
            let [a, b] = (code << (17 - 2 * bits)).to_be_bytes();
            vec![0x68, a, b, 0x80]
        })
        .collect();
    row.push(1, false, SPS);
    for (id, nal) in pps.iter().enumerate() {
        assert_eq!(exp_golomb(&nal[1..]), Some(id as u32));
        row.push(1, false, nal);
    }
    row.push(1, true, &[0x68; 1100]);
    row.push(2, true, IDR);
    let kept: Vec<&[u8]> = pps[60 - MAX_SETS..].iter().map(Vec::as_slice).collect();
    let [Some(data)] = &row.take()[..] else {
        panic!("a keyframe")
    };
    assert!(data.len() < 200 && data.ends_with(&annex_b(&[IDR])));
    assert!(kept.iter().all(|pps| {
        data.windows(pps.len() + 4)
            .any(|bytes| bytes == annex_b(&[pps]))
    }));
}

#[test]
fn what_a_gap_touches_is_incomplete_and_the_next_is_whole() {
    let mut row = Row::new();
    row.push(1, true, &stap_a(&[SPS, PPS, IDR]));
    row.push(2, false, SLICE).gap().push(2, true, SLICE);
    row.push(3, true, SLICE);
    let keyframe = annex_b(&[SPS, PPS, IDR]);
    let slice = annex_b(&[SLICE]);
    assert_eq!(
        row.take(),
        [Some(keyframe.clone()), None, Some(slice)],
        "what refers to it is the frame sink's to know"
    );
    // The gap may have held the begin of this one, and a new SPS.
    row.gap().push(4, true, IDR);
    assert_eq!(row.take(), [None]);
    row.gap().push(5, true, &stap_a(&[SPS, PPS, IDR]));
    assert_eq!(row.take(), [Some(keyframe)]);
}

#[test]
fn without_markers_a_picture_ends_with_its_timestamp() {
    let mut row = Row::new();
    row.push(1, false, &stap_a(&[SPS, PPS, IDR]));
    row.push(2, false, SLICE);
    row.push(2, false, SLICE);
    row.push(3, false, SLICE);
    let two = annex_b(&[SLICE, SLICE]);
    assert_eq!(row.take(), [Some(annex_b(&[SPS, PPS, IDR])), Some(two)]);
    row.assembler.finish(&mut row.assembled);
    assert_eq!(row.take(), [Some(annex_b(&[SLICE]))]);
}

#[test]
fn a_marker_within_a_picture_is_not_believed_twice() {
    let mut row = Row::new();
    row.push(1, true, &stap_a(&[SPS, PPS, IDR]));
    row.push(2, true, SLICE).push(2, true, SLICE);
    assert_eq!(row.take().len(), 2, "the second half waits");
    row.push(3, true, SLICE).push(3, true, SLICE);
    row.push(4, true, SLICE);
    assert_eq!(row.take(), [None, Some(annex_b(&[SLICE, SLICE]))]);
}

#[test]
fn padding_is_passed_over() {
    let mut row = Row::new();
    row.push(1, true, &stap_a(&[SPS, PPS, IDR]));
    row.push(1, false, &[]).push(2, true, SLICE);
    assert_eq!(row.take().len(), 2);
}

#[test]
fn payloads_that_make_no_sense_spoil_their_picture_alone() {
    let bad: &[&[u8]] = &[
        &[0x7c],             // FU-A without its header
        &[0x7c, 0x05, 1],    // a fragment without a begin
        &[0x78, 0, 9, 0x41], // a NAL unit longer than its STAP-A
        &[0x78, 0],          // half a length
        &[0x78, 0, 0],       // an empty NAL unit
        &[0x78, 0, 1, 0x78], // a STAP-A in a STAP-A
        &[0xe5, 1],          // the forbidden bit
        &[0x60],             // type 0
        &[0x79, 1],
        &[0x7d, 0x85, 1],             // STAP-B, FU-B
        &[0x67, 0x42],                // an SPS that ends before its number
        &[0x7c, 0x80 | 0x40 | 28, 1], // a fragment of a fragment
    ];
    for payload in bad {
        let mut row = Row::new();
        row.push(1, true, payload).push(2, true, SLICE);
        assert_eq!(
            row.take(),
            [None, Some(annex_b(&[SLICE]))],
            "{payload:02x?}"
        );
    }
    let mut row = Row::new();
    row.push(1, false, &[0x7c, 0x81, 1]).push(1, true, SLICE);
    assert_eq!(row.take(), [None], "a NAL unit in the middle of another");
}

#[test]
fn a_picture_without_end_is_given_up() {
    let mut row = Row::new();
    let fragment = [&[0x7c, 0x01][..], &[7; 60_000]].concat();
    row.push(1, false, &[0x7c, 0x81, 1]);
    for _ in 0..200 {
        row.push(1, false, &fragment);
        let held = row.assembler.held();
        assert!(held <= MAX_ACCESS_UNIT, "{held}");
    }
    row.push(1, true, &[0x7c, 0x41, 1]);
    assert_eq!(row.take(), [None]);
}

#[test]
fn what_our_packetizer_cuts_comes_together_again() {
    let mut random = fastrand::Rng::with_seed(5);
    let mut row = Row::new();
    for timestamp in 0..300 {
        let mut nals: Vec<Vec<u8>> = vec![SPS.to_vec(), PPS.to_vec()];
        for _ in 0..random.usize(1..4) {
            let size = random.usize(1..5000);
            let body = (0..size).map(|_| random.u8(1..));
            nals.push([0x65].into_iter().chain(body).collect());
        }
        let nals: Vec<&[u8]> = nals.iter().map(Vec::as_slice).collect();
        let unit = annex_b(&nals);
        let payloads = packetize(&unit, 500);
        for (i, payload) in payloads.iter().enumerate() {
            row.push(timestamp, i + 1 == payloads.len(), payload);
        }
        assert_eq!(row.take(), [Some(unit)]);
    }
}

#[test]
fn no_payload_panics_and_what_comes_out_is_annex_b() {
    let mut random = fastrand::Rng::with_seed(9);
    for _ in 0..200 {
        let mut row = Row::new();
        for _ in 0..200 {
            let mut payload: Vec<u8> = (0..random.usize(..12)).map(|_| random.u8(..)).collect();
            if let Some(first) = payload.first_mut() {
                *first = [0x7c, 0x78, 0x65, 0x67, 0x68, 0x41, *first][random.usize(..7)];
            }
            if random.u8(..) < 20 {
                row.gap();
            }
            row.push(random.u64(..3), random.bool(), &payload);
        }
        row.assembler.finish(&mut row.assembled);
        for data in row.take().into_iter().flatten() {
            assert!(data.starts_with(&START_CODE) && data.len() > 4);
        }
    }
}

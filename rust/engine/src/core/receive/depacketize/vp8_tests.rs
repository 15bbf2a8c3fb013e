use std::time::Instant;

use super::*;
use crate::core::receive::depacketize::frame_assembler::{Assembly, Depacketizer, FrameAssembler};
use crate::core::receive::frame::ReceivedPacket;

const KEYFRAME: &[u8] = &[0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 48, 0];
const DELTA: &[u8] = &[0x11, 0, 0, 5];

struct Row {
    assembler: FrameAssembler<Vp8>,
    assembled: Vec<Assembly>,
}

impl Row {
    fn new() -> Self {
        Self {
            assembler: FrameAssembler::new(Vp8),
            assembled: vec![],
        }
    }

    fn push(&mut self, timestamp: u64, marker: bool, descriptor: &[u8], body: &[u8]) -> &mut Self {
        let packet = ReceivedPacket {
            sequence: 0,
            timestamp,
            marker,
            payload: [descriptor, body].concat().into(),
            arrived: Instant::now(),
        };
        self.assembler.push(&packet, &mut self.assembled);
        self
    }

    /// The data and whether it is a keyframe, or `None` for something incomplete.
    fn take(&mut self) -> Vec<Option<(Vec<u8>, bool)>> {
        let assembled = self.assembled.drain(..);
        assembled
            .map(|assembly| match assembly {
                Assembly::Frame(frame) => Some((frame.data, frame.keyframe)),
                Assembly::Incomplete => None,
            })
            .collect()
    }
}

#[test]
fn every_form_of_the_descriptor_is_read() {
    let descriptors: &[&[u8]] = &[
        &[0x10],
        &[0x90, 0x00],
        &[0x90, 0x80, 0x7f],             // a short picture number
        &[0x90, 0x80, 0x81, 0x02],       // a long one
        &[0x90, 0xe0, 0x81, 2, 3, 0x40], // all fields, as Chromium sends them
        &[0x90, 0x10, 0x01],             // a key index alone
        &[0x90, 0x40, 9],                // a TL0PICIDX alone
    ];
    for descriptor in descriptors {
        let mut row = Row::new();
        row.push(1, true, descriptor, KEYFRAME);
        assert_eq!(
            row.take(),
            [Some((KEYFRAME.to_vec(), true))],
            "{descriptor:02x?}"
        );
    }
}

#[test]
fn partitions_and_packets_are_joined() {
    let mut row = Row::new();
    row.push(1, false, &[0x10], KEYFRAME);
    row.push(1, false, &[0x00], &[1, 2]);
    row.push(1, true, &[0x11], &[3]); // the begin of another partition
    row.push(2, true, &[0x10], DELTA);
    let whole = [KEYFRAME, &[1, 2, 3]].concat();
    assert_eq!(
        row.take(),
        [Some((whole, true)), Some((DELTA.to_vec(), false))]
    );
}

#[test]
fn a_frame_without_its_begin_is_incomplete() {
    let mut row = Row::new();
    row.push(1, true, &[0x00], DELTA);
    row.push(2, false, &[0x10], DELTA);
    row.assembler.gap();
    row.push(2, true, &[0x00], DELTA);
    row.assembler.gap();
    row.push(3, true, &[0x10], KEYFRAME);
    assert_eq!(row.take(), [None, None, Some((KEYFRAME.to_vec(), true))]);
}

#[test]
fn what_makes_no_sense_is_incomplete() {
    let cases: &[(&[u8], &[u8])] = &[
        (&[0x90], &[]),
        (&[0x90, 0x80], &[]),
        (&[0x90, 0x80, 0x80], &[]),
        (&[0x10], &[]),
        (&[0x10], &[0x11, 0]),                                // no frame tag
        (&[0x10], &[0x10, 0, 0, 1, 2, 3, 0, 0, 0, 0]),        // no start code
        (&[0x10], &[0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 4]), // no size
    ];
    for (descriptor, body) in cases {
        let mut row = Row::new();
        row.push(1, true, descriptor, body);
        assert_eq!(row.take(), [None], "{descriptor:02x?} {body:02x?}");
    }
    let mut row = Row::new();
    row.push(1, false, &[0x10], DELTA);
    row.push(1, true, &[0x10], DELTA);
    assert_eq!(row.take(), [None], "two begins");
}

#[test]
fn no_payload_panics() {
    let mut random = fastrand::Rng::with_seed(4);
    for _ in 0..200 {
        let mut row = Row::new();
        for _ in 0..200 {
            let body: Vec<u8> = (0..random.usize(..14)).map(|_| random.u8(..)).collect();
            if random.u8(..) < 20 {
                row.assembler.gap();
            }
            row.push(random.u64(..3), random.bool(), &[], &body);
        }
        row.assembler.finish(&mut row.assembled);
        for (data, keyframe) in row.take().into_iter().flatten() {
            assert_eq!(keyframe, data[0] & 1 == 0);
        }
    }
}

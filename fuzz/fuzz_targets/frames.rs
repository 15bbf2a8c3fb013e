//! RTP payloads of any content, in any order and with any holes, do no harm: no panic, no memory
//! beyond the limits, and frames only in the form that is promised.
//!
//! The input is a row of packets: a byte of flags, one that says how far the sequence number and
//! the timestamp move, one for the length, and the payload.

#![no_main]

use std::time::{Duration, Instant};

use icey_engine::Codec;
use icey_engine::core::h264::MAX_ACCESS_UNIT;
use icey_engine::core::receive::axis::Axis;
use icey_engine::core::receive::frame::Packet;
use icey_engine::core::receive::h264::H264;
use icey_engine::core::receive::reorder::{Reorder, Step};
use icey_engine::core::receive::units::{Format, Outcome, Units};
use icey_engine::core::receive::vp8::Vp8;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    if first & 1 == 0 {
        for data in play(Units::new(H264::default()), rest) {
            assert!(data.starts_with(&[0, 0, 0, 1]) && data.len() > 4);
        }
    } else {
        for data in play(Units::new(Vp8), rest) {
            assert!(data.len() >= 3);
        }
    }
});

fn play<F: Format>(mut units: Units<F>, mut rest: &[u8]) -> Vec<Vec<u8>> {
    let (mut now, mut outcomes) = (Instant::now(), Vec::new());
    let mut reorder = Reorder::new(Duration::from_secs(1));
    let mut axis = Axis::new(90_000);
    let (mut base, mut wire, mut last) = (1_u64 << 20, u32::MAX - 9000, None);
    while let Some(([flags, moves, length], after)) = rest.split_first_chunk() {
        let length = usize::from(*length).min(after.len());
        let (payload, next) = after.split_at(length);
        rest = next;
        base += u64::from(moves & 3);
        wire = wire.wrapping_add(u32::from(moves >> 4 & 3) * 3000);
        let time = if flags & 4 == 0 { wire } else { u32::from(*moves) << 24 };
        now += Duration::from_millis(u64::from(flags >> 4));
        let extended = axis.extend(time, now, flags & 8 != 0);
        reorder.insert(Packet {
            codec: Codec::H264,
            sequence: base - u64::from(moves >> 2 & 3),
            timestamp: extended.value,
            marker: flags & 1 != 0,
            payload: payload.into(),
            arrived: now,
        });
        if flags & 2 != 0 && rest.is_empty() {
            reorder.drain();
        }
        while let Some(step) = reorder.pop(now) {
            match step {
                Step::Packet(packet) => {
                    assert!(last.is_none_or(|last| packet.sequence > last));
                    last = Some(packet.sequence);
                    units.push(&packet, &mut outcomes);
                }
                Step::Hole(count) => {
                    assert!(count > 0);
                    units.hole();
                }
            }
        }
    }
    units.finish(&mut outcomes);
    let frames = outcomes.into_iter().filter_map(|outcome| match outcome {
        Outcome::Frame(unit) => Some(unit.data),
        Outcome::Incomplete => None,
    });
    // Parameter sets may be put before a unit of the largest size.
    let frames: Vec<Vec<u8>> = frames.collect();
    assert!(frames.iter().all(|data| data.len() <= MAX_ACCESS_UNIT + (64 << 10)));
    frames
}

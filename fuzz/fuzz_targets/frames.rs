//! RTP payloads of any content, in any order and with any gaps, do no harm: no panic, no memory
//! beyond the limits, and frames only in the form that is promised.
//!
//! The input is a row of packets: a byte of flags, one that says how far the sequence number and
//! the timestamp move, one for the length, and the payload.

#![no_main]

use std::time::{Duration, Instant};

use icey_engine::Codec;
use icey_engine::core::nal::MAX_ACCESS_UNIT;
use icey_engine::core::receive::depacketize::depacketizer;
use icey_engine::core::receive::depacketize::frame_assembler::Assembly;
use icey_engine::core::receive::frame::ReceivedPacket;
use icey_engine::core::receive::reorder::{ReorderBuffer, Step};
use icey_engine::core::receive::timestamp::TimestampUnwrapper;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    if first & 1 == 0 {
        for data in play(Codec::H264, rest) {
            assert!(data.starts_with(&[0, 0, 0, 1]) && data.len() > 4);
        }
    } else {
        for data in play(Codec::Vp8, rest) {
            assert!(data.len() >= 3);
        }
    }
});

fn play(codec: Codec, mut rest: &[u8]) -> Vec<Vec<u8>> {
    let (mut now, mut assembled) = (Instant::now(), Vec::new());
    let mut depacketizer = depacketizer(codec);
    let mut reorder = ReorderBuffer::new(Duration::from_secs(1));
    let mut timestamps = TimestampUnwrapper::new(90_000);
    let (mut base, mut wire, mut last) = (1_u64 << 20, u32::MAX - 9000, None);
    while let Some(([flags, moves, length], after)) = rest.split_first_chunk() {
        let length = usize::from(*length).min(after.len());
        let (payload, next) = after.split_at(length);
        rest = next;
        base += u64::from(moves & 3);
        wire = wire.wrapping_add(u32::from(moves >> 4 & 3) * 3000);
        let time = if flags & 4 == 0 { wire } else { u32::from(*moves) << 24 };
        now += Duration::from_millis(u64::from(flags >> 4));
        let extended = timestamps.extend(time, now, flags & 8 != 0);
        reorder.insert(ReceivedPacket {
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
                    depacketizer.push(&packet, &mut assembled);
                }
                Step::Gap(count) => {
                    assert!(count > 0);
                    depacketizer.gap();
                }
            }
        }
    }
    depacketizer.finish(&mut assembled);
    let frames = assembled.into_iter().filter_map(|assembly| match assembly {
        Assembly::Frame(frame) => Some(frame.data),
        Assembly::Incomplete => None,
    });
    // Parameter sets may be put before a unit of the largest size.
    let frames: Vec<Vec<u8>> = frames.collect();
    assert!(frames.iter().all(|data| data.len() <= MAX_ACCESS_UNIT + (64 << 10)));
    frames
}

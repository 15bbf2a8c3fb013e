//! What viewers of a source got.

use std::collections::BTreeMap;

use str0m::media::Mid;
use str0m::rtp::RtpPacket;

use super::{Camera, Network, Sent};

/// The indices of what a viewer got of what was sent; each byte for byte, and in order.
pub fn seen(network: &Network, viewer: usize, mid: Mid, sent: &[Sent]) -> Vec<usize> {
    let (mut from, mut indices) = (0, vec![]);
    for data in network.browsers[viewer]
        .media
        .iter()
        .filter(|data| data.mid == mid)
    {
        let found = sent[from..].iter().position(|sent| sent.data == *data.data);
        from += found.expect("what was sent, in order") + 1;
        indices.push(from - 1);
    }
    indices
}

pub fn pictures(network: &Network, viewer: usize, camera: &Camera) -> Vec<usize> {
    seen(
        network,
        viewer,
        network.browsers[viewer].video,
        &camera.video.sent,
    )
}

pub fn packets(network: &Network, viewer: usize, mid: Mid) -> Vec<&RtpPacket> {
    let pt = |packet: &&RtpPacket| {
        let audio = network.browsers[viewer].audio;
        (packet.header.payload_type == 111.into()) == (mid == audio)
    };
    network.browsers[viewer].packets.iter().filter(pt).collect()
}

pub fn all_from(first: usize, end: usize) -> Vec<usize> {
    (first..end).collect()
}

/// Checks what must hold of the packets of one stream, in whatever order they came: no number
/// twice, times that grow with the numbers from picture to picture, all of them of one SSRC.
pub fn check(packets: &[&RtpPacket], most: u32) {
    let mut by_number = BTreeMap::new();
    for packet in packets {
        assert_eq!(packet.header.ssrc, packets[0].header.ssrc);
        let time = packet.header.timestamp;
        assert!(by_number.insert(*packet.seq_no, time).is_none(), "twice");
    }
    let times: Vec<u32> = by_number.into_values().collect();
    for pair in times.windows(2) {
        let step = pair[1].wrapping_sub(pair[0]);
        assert!(step <= most, "a step of {step}");
    }
}

pub fn is_whole(packets: &[&RtpPacket]) -> bool {
    let mut numbers: Vec<u64> = packets.iter().map(|packet| *packet.seq_no).collect();
    numbers.sort_unstable();
    numbers.windows(2).all(|pair| pair[1] == pair[0] + 1)
}

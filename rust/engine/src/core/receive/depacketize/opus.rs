//! Opus packets out of RTP payloads (RFC 7587).

use super::frame_assembler::{AssembledFrame, Assembly, Depacketizer};
use crate::core::receive::frame::ReceivedPacket;

/// A packet is a frame (§4.2).
#[derive(Debug)]
pub struct Opus;

impl Depacketizer for Opus {
    fn push(&mut self, packet: &ReceivedPacket, assembled: &mut Vec<Assembly>) {
        if packet.payload.is_empty() {
            return;
        }
        assembled.push(Assembly::Frame(AssembledFrame {
            data: packet.payload.to_vec(),
            timestamp: packet.timestamp,
            arrived: packet.arrived,
            keyframe: true,
        }));
    }
}

//! Where a video frame begins and ends in a row of RTP packets.

use std::time::Instant;

use super::frame::Packet;
use crate::core::h264::MAX_ACCESS_UNIT;

/// A whole video frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Unit {
    pub data: Vec<u8>,
    pub timestamp: u64,
    pub arrived: Instant,
    pub keyframe: bool,
}

/// What became of the packets of one timestamp.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Frame(Unit),
    /// Some of it is missing, or makes no sense.
    Incomplete,
}

/// The end of a frame's packets, judged by its codec.
#[derive(Debug, PartialEq, Eq)]
pub enum Judgement {
    Frame {
        keyframe: bool,
    },
    Incomplete,
    /// It was no picture, e.g. parameter sets alone.
    Nothing,
}

/// How a codec puts its frames into RTP payloads.
pub trait Format {
    /// What is known of the frame under way.
    type Part: Default + std::fmt::Debug;

    /// Adds a payload that is not empty to the frame under way; `false` if it does not fit there.
    fn append(&mut self, part: &mut Self::Part, data: &mut Vec<u8>, payload: &[u8]) -> bool;

    /// Judges the frame. Its packets are without a hole; `after_hole` says that packets are
    /// missing before the first of them, which may have belonged to it.
    fn complete(&mut self, part: Self::Part, data: &mut Vec<u8>, after_hole: bool) -> Judgement;

    /// Whether the frame under way is a keyframe, as far as that is known.
    fn is_keyframe(part: &Self::Part) -> bool;
}

/// Puts frames together from packets in order.
///
/// A frame is the packets of one timestamp; the marker ends it at once (RFC 6184 §5.1, RFC 7741
/// §4.1). Without markers it ends where the next one begins. A sender whose timestamp goes on
/// after a marker is not believed its markers any more.
#[derive(Debug)]
pub struct Units<F: Format> {
    format: F,
    current: Option<Current<F::Part>>,
    hole: bool,
    believes_markers: bool,
    has_seen_marker: bool,
    /// The timestamp that a marker ended last.
    ended: Option<u64>,
    /// The size of the frame before, a guess for the next.
    size: usize,
}

#[derive(Debug)]
struct Current<P> {
    part: P,
    data: Vec<u8>,
    timestamp: u64,
    arrived: Instant,
    broken: bool,
    after_hole: bool,
}

impl<F: Format> Units<F> {
    pub fn new(format: F) -> Self {
        Self {
            format,
            current: None,
            hole: false,
            believes_markers: true,
            has_seen_marker: false,
            ended: None,
            size: 0,
        }
    }

    /// Takes the next packet in order.
    pub fn push(&mut self, packet: &Packet, outcomes: &mut Vec<Outcome>) {
        if packet.payload.is_empty() {
            return; // padding, which only probes the path
        }
        let goes_on = |current: &Current<F::Part>| current.timestamp == packet.timestamp;
        if !self.current.as_ref().is_some_and(goes_on) {
            self.end(outcomes);
        }
        let hole = std::mem::take(&mut self.hole);
        let current = match &mut self.current {
            Some(current) => current,
            empty => {
                let contradicts_marker = self.ended == Some(packet.timestamp);
                self.believes_markers &= !contradicts_marker;
                empty.insert(Current {
                    part: F::Part::default(),
                    data: Vec::with_capacity(self.size.max(packet.payload.len() + 64)),
                    timestamp: packet.timestamp,
                    arrived: packet.arrived,
                    broken: contradicts_marker,
                    after_hole: hole,
                })
            }
        };
        current.arrived = current.arrived.max(packet.arrived);
        if !current.broken {
            let fits = self
                .format
                .append(&mut current.part, &mut current.data, &packet.payload);
            if !fits || current.data.len() > MAX_ACCESS_UNIT {
                current.broken = true;
                current.data = Vec::new();
            }
        }
        self.has_seen_marker |= packet.marker;
        if packet.marker && self.believes_markers {
            self.ended = Some(packet.timestamp);
            self.end(outcomes);
        }
    }

    /// Packets are missing before the next one.
    pub fn hole(&mut self) {
        self.hole = true;
        if let Some(current) = &mut self.current {
            current.broken = true;
            current.data = Vec::new();
        }
    }

    /// No packet follows. What lacks its marker is only whole if the sender has none.
    pub fn finish(&mut self, outcomes: &mut Vec<Outcome>) {
        if let Some(current) = &mut self.current {
            current.broken |= self.has_seen_marker && self.believes_markers;
        }
        self.end(outcomes);
    }

    /// Whether a keyframe is on its way, without a hole so far.
    pub fn is_keyframe_under_way(&self) -> bool {
        self.current
            .as_ref()
            .is_some_and(|current| !current.broken && F::is_keyframe(&current.part))
    }

    /// The bytes of the frame under way.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.current
            .as_ref()
            .map_or(0, |current| current.data.len())
    }

    fn end(&mut self, outcomes: &mut Vec<Outcome>) {
        let Some(mut current) = self.current.take() else {
            return;
        };
        let judgement = if current.broken {
            Judgement::Incomplete
        } else {
            self.format
                .complete(current.part, &mut current.data, current.after_hole)
        };
        match judgement {
            Judgement::Frame { keyframe } => {
                self.size = current.data.len();
                outcomes.push(Outcome::Frame(Unit {
                    data: current.data,
                    timestamp: current.timestamp,
                    arrived: current.arrived,
                    keyframe,
                }));
            }
            Judgement::Incomplete => outcomes.push(Outcome::Incomplete),
            Judgement::Nothing => {}
        }
    }
}

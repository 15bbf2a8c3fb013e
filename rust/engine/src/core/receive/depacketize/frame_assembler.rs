//! Puts video frames together from the RTP packets of a stream.

use std::time::Instant;

use crate::core::nal::MAX_ACCESS_UNIT;
use crate::core::receive::frame::ReceivedPacket;

/// A whole frame.
#[derive(Debug, PartialEq, Eq)]
pub struct AssembledFrame {
    pub data: Vec<u8>,
    pub timestamp: u64,
    pub arrived: Instant,
    pub keyframe: bool,
}

/// What the packets of one timestamp came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Assembly {
    Frame(AssembledFrame),
    /// Some of it is missing, or makes no sense.
    Incomplete,
}

/// What the payload format finds at the end of a frame's packets.
#[derive(Debug, PartialEq, Eq)]
pub enum Completeness {
    Whole {
        keyframe: bool,
    },
    Incomplete,
    /// It was no picture, e.g. parameter sets alone.
    NoPicture,
}

/// Turns the packets of one stream, in order, into frames.
pub trait Depacketizer: std::fmt::Debug + Send {
    /// Takes the next packet.
    fn push(&mut self, packet: &ReceivedPacket, assembled: &mut Vec<Assembly>);

    /// Packets are missing before the next one.
    fn gap(&mut self) {}

    /// No packet follows.
    fn finish(&mut self, _assembled: &mut Vec<Assembly>) {}

    /// Whether a keyframe is on its way, without a gap so far.
    fn is_keyframe_under_way(&self) -> bool {
        false
    }
}

/// How a video codec's frames are put into RTP payloads.
pub trait PayloadFormat: std::fmt::Debug + Send {
    /// What is known of the frame under way.
    type Partial: Default + std::fmt::Debug + Send;

    /// Adds a payload that is not empty to the frame under way; `false` if it does not fit there.
    fn append(&mut self, partial: &mut Self::Partial, data: &mut Vec<u8>, payload: &[u8]) -> bool;

    /// Ends the frame. Its packets are without a gap; `after_gap` says that packets are missing
    /// before the first of them, which may have belonged to it.
    fn complete(
        &mut self,
        partial: Self::Partial,
        data: &mut Vec<u8>,
        after_gap: bool,
    ) -> Completeness;

    /// Whether the frame under way is a keyframe, as far as that is known.
    fn is_keyframe(partial: &Self::Partial) -> bool;
}

/// Puts frames together from packets in order.
///
/// A frame is the packets of one timestamp; the marker ends it at once (RFC 6184 §5.1, RFC 7741
/// §4.1). Without markers it ends where the next one begins. A sender whose timestamp goes on
/// after a marker is not believed its markers any more.
#[derive(Debug)]
pub struct FrameAssembler<F: PayloadFormat> {
    format: F,
    current: Option<Current<F::Partial>>,
    has_gap: bool,
    believes_markers: bool,
    has_seen_marker: bool,
    /// The timestamp that a marker ended last.
    ended: Option<u64>,
    /// The size of the frame before, a guess for the next.
    size: usize,
}

#[derive(Debug)]
struct Current<P> {
    partial: P,
    data: Vec<u8>,
    timestamp: u64,
    arrived: Instant,
    broken: bool,
    after_gap: bool,
}

impl<F: PayloadFormat> FrameAssembler<F> {
    pub fn new(format: F) -> Self {
        Self {
            format,
            current: None,
            has_gap: false,
            believes_markers: true,
            has_seen_marker: false,
            ended: None,
            size: 0,
        }
    }

    /// The bytes of the frame under way.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.current
            .as_ref()
            .map_or(0, |current| current.data.len())
    }

    fn end(&mut self, assembled: &mut Vec<Assembly>) {
        let Some(mut current) = self.current.take() else {
            return;
        };
        let completeness = if current.broken {
            Completeness::Incomplete
        } else {
            self.format
                .complete(current.partial, &mut current.data, current.after_gap)
        };
        match completeness {
            Completeness::Whole { keyframe } => {
                self.size = current.data.len();
                assembled.push(Assembly::Frame(AssembledFrame {
                    data: current.data,
                    timestamp: current.timestamp,
                    arrived: current.arrived,
                    keyframe,
                }));
            }
            Completeness::Incomplete => assembled.push(Assembly::Incomplete),
            Completeness::NoPicture => {}
        }
    }
}

impl<F: PayloadFormat> Depacketizer for FrameAssembler<F> {
    fn push(&mut self, packet: &ReceivedPacket, assembled: &mut Vec<Assembly>) {
        if packet.payload.is_empty() {
            return; // padding, which only probes the path
        }
        let goes_on = |current: &Current<F::Partial>| current.timestamp == packet.timestamp;
        if !self.current.as_ref().is_some_and(goes_on) {
            self.end(assembled);
        }
        let after_gap = std::mem::take(&mut self.has_gap);
        let current = match &mut self.current {
            Some(current) => current,
            empty => {
                let contradicts_marker = self.ended == Some(packet.timestamp);
                self.believes_markers &= !contradicts_marker;
                empty.insert(Current {
                    partial: F::Partial::default(),
                    data: Vec::with_capacity(self.size.max(packet.payload.len() + 64)),
                    timestamp: packet.timestamp,
                    arrived: packet.arrived,
                    broken: contradicts_marker,
                    after_gap,
                })
            }
        };
        current.arrived = current.arrived.max(packet.arrived);
        if !current.broken {
            let fits = self
                .format
                .append(&mut current.partial, &mut current.data, &packet.payload);
            if !fits || current.data.len() > MAX_ACCESS_UNIT {
                current.broken = true;
                current.data = Vec::new();
            }
        }
        self.has_seen_marker |= packet.marker;
        if packet.marker && self.believes_markers {
            self.ended = Some(packet.timestamp);
            self.end(assembled);
        }
    }

    fn gap(&mut self) {
        self.has_gap = true;
        if let Some(current) = &mut self.current {
            current.broken = true;
            current.data = Vec::new();
        }
    }

    /// What lacks its marker is only whole if the sender has none.
    fn finish(&mut self, assembled: &mut Vec<Assembly>) {
        if let Some(current) = &mut self.current {
            current.broken |= self.has_seen_marker && self.believes_markers;
        }
        self.end(assembled);
    }

    fn is_keyframe_under_way(&self) -> bool {
        self.current
            .as_ref()
            .is_some_and(|current| !current.broken && F::is_keyframe(&current.partial))
    }
}

//! One access unit on its way to the viewers.

use std::sync::Arc;
use std::time::Instant;

use super::media::MediaKind;
use super::nal;
use super::send::packetize;
use crate::error::EngineError;
use crate::id::TrackId;

/// The largest Opus packet taken: 120 ms at 510 kb/s is 7.6 KiB in theory, what fits one datagram
/// in practice. libopus at 20 ms stays below 1276 bytes.
const MAX_OPUS: usize = 1400;

/// One access unit, cut into RTP payloads once for all its viewers.
#[derive(Debug, Clone)]
pub struct Frame {
    pub track: TrackId,
    pub payloads: Vec<Arc<[u8]>>,
    /// Media time in units of the RTP clock.
    pub timestamp: i64,
    /// When that moment of media was taken.
    pub captured: Instant,
    pub keyframe: bool,
}

impl Frame {
    /// Packetises an access unit.
    pub fn new(
        track: TrackId,
        kind: MediaKind,
        data: &[u8],
        timestamp: i64,
        captured: Instant,
        keyframe: bool,
    ) -> Result<Self, EngineError> {
        let payloads = match kind {
            MediaKind::Video if data.len() > nal::MAX_ACCESS_UNIT => {
                return Err(EngineError::Frame(format!(
                    "access unit of {} bytes; at most {} are taken",
                    data.len(),
                    nal::MAX_ACCESS_UNIT
                )));
            }
            MediaKind::Video => packetize::packetize(data, packetize::MAX_PAYLOAD),
            MediaKind::Audio if data.is_empty() || data.len() > MAX_OPUS => {
                return Err(EngineError::Frame(format!(
                    "Opus packet of {} bytes; 1 to {MAX_OPUS} are taken",
                    data.len()
                )));
            }
            MediaKind::Audio => vec![Arc::from(data)],
        };
        if payloads.is_empty() {
            return Err(EngineError::Frame(
                "no NAL unit in the access unit; H.264 is taken as Annex B".into(),
            ));
        }
        Ok(Self {
            track,
            payloads,
            timestamp,
            captured,
            keyframe,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: MediaKind, data: &[u8]) -> Result<Frame, EngineError> {
        Frame::new(1, kind, data, 0, Instant::now(), true)
    }

    #[test]
    fn what_cannot_be_sent_is_refused_with_a_reason() {
        for (kind, data) in [
            (MediaKind::Video, vec![]),
            (MediaKind::Video, vec![7; 100]),
            (MediaKind::Video, vec![0; nal::MAX_ACCESS_UNIT + 1]),
            (MediaKind::Audio, vec![]),
            (MediaKind::Audio, vec![1; MAX_OPUS + 1]),
        ] {
            assert!(matches!(frame(kind, &data), Err(EngineError::Frame(_))));
        }
        assert_eq!(
            frame(MediaKind::Audio, &[1; MAX_OPUS]).map(|f| f.payloads.len()),
            Ok(1)
        );
    }
}

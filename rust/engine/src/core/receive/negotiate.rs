//! What an offer/answer exchange settles for the receiving side.

use std::time::Instant;

use str0m::Rtc;
use str0m::format::Codec as Format;
use str0m::media::{Mid, Pt};

use super::Receiving;
use super::frame::Codec;
use super::stream::{Sink, Stream};
use crate::core::negotiation;
use crate::core::offer::receive::Prepared;
use crate::core::track::MediaKind;
use crate::error::EngineError;
use crate::stats::PeerStats;

impl Receiving {
    /// Answers a prepared offer.
    pub fn negotiate(
        &mut self,
        now: Instant,
        rtc: &mut Rtc,
        prepared: &Prepared,
        stats: &mut PeerStats,
    ) -> Result<String, EngineError> {
        let answer = negotiation::accept(rtc, &prepared.text)?;
        let codecs = accepted(rtc, [prepared.video, prepared.audio]);
        let wanted = [
            (MediaKind::Video, prepared.video),
            (MediaKind::Audio, prepared.audio),
        ];
        let mut names = Vec::new();
        for (kind, section) in wanted {
            let codec = section.and_then(|mid| first_codec(rtc, &codecs, mid));
            if section.is_some() && codec.is_none() && kind == MediaKind::Video {
                return Err(EngineError::offer("codec: browser offers no H.264 or VP8"));
            }
            names.extend(codec);
            self.settle(now, kind, section.zip(codec), stats);
        }
        self.codecs = codecs;
        self.inbox.set_codecs(names);
        Ok(answer)
    }

    /// Goes on in another section, or waits for one.
    fn settle(
        &mut self,
        now: Instant,
        kind: MediaKind,
        section: Option<(Mid, Codec)>,
        stats: &mut PeerStats,
    ) {
        let inbox = &self.inbox;
        let index = kind as usize;
        let before = std::mem::replace(&mut self.sections[index], section.map(|(mid, _)| mid));
        match (&mut self.streams[index], section) {
            (Some(stream), Some((mid, _))) => {
                stream.mid = mid;
                if before.is_none() {
                    stream.resume(now);
                }
            }
            (Some(stream), None) if before.is_some() => {
                stream.pause(now, &mut Sink { inbox, stats });
            }
            (Some(_), None) | (None, None) => {}
            (None, Some((mid, codec))) => {
                self.streams[index] = Some(Stream::new(kind, mid, codec));
                if self.is_connected && kind == MediaKind::Video {
                    self.miss_keyframe(now);
                }
            }
        }
    }
}

/// The payload types that were agreed on for these sections, and what each means here. str0m knows
/// others too.
pub fn accepted(rtc: &Rtc, sections: [Option<Mid>; 2]) -> Vec<(Pt, Codec)> {
    let media = sections
        .into_iter()
        .flatten()
        .filter_map(|mid| rtc.media(mid));
    let agreed: Vec<Pt> = media
        .flat_map(|media| media.remote_pts().to_vec())
        .collect();
    let params = rtc.codec_config().params().iter();
    params
        .filter(|params| agreed.contains(&params.pt()))
        .filter_map(|params| {
            let codec = match params.spec().codec {
                Format::H264 => Codec::H264,
                Format::Vp8 => Codec::Vp8,
                Format::Opus => Codec::Opus,
                _ => return None,
            };
            Some((params.pt(), codec))
        })
        .collect()
}

/// What the answer names first for a section.
pub fn first_codec(rtc: &Rtc, codecs: &[(Pt, Codec)], mid: Mid) -> Option<Codec> {
    let media = rtc.media(mid)?;
    let offered = |entry: &&(Pt, Codec)| media.remote_pts().contains(&entry.0);
    codecs.iter().find(offered).map(|entry| entry.1)
}

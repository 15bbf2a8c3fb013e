//! What an offer/answer exchange settles for a source.

use str0m::Rtc;
use str0m::media::Rid;

use super::Source;
use crate::core::negotiation;
use crate::core::offer::receive::Prepared;
use crate::core::receive::{accepted, first_codec};
use crate::core::track::MediaKind;
use crate::error::EngineError;

impl Source {
    /// Answers a prepared offer.
    pub fn negotiate(&mut self, rtc: &mut Rtc, prepared: &Prepared) -> Result<String, EngineError> {
        let answer = negotiation::accept(rtc, &prepared.text)?;
        let sections = [prepared.video, prepared.audio];
        let codecs = accepted(rtc, sections);
        let mut names = Vec::new();
        for (kind, section) in [MediaKind::Video, MediaKind::Audio]
            .into_iter()
            .zip(sections)
        {
            let codec = section.and_then(|mid| first_codec(rtc, &codecs, mid));
            if section.is_some() && codec.is_none() && kind == MediaKind::Video {
                return Err(EngineError::offer("codec: browser offers no H.264"));
            }
            names.extend(codec);
        }
        self.codecs = codecs;
        self.sections = sections;
        // What is negotiated once stays (RFC 8853 §5.3.4): str0m takes no other layers later.
        if self.layers.is_empty() && self.streams.is_empty() {
            self.layers = prepared
                .layers
                .iter()
                .map(|name| Rid::from(&**name))
                .collect();
        }
        self.inbox.set_codecs(names);
        self.inbox
            .set_layers(self.layers.iter().map(ToString::to_string).collect());
        Ok(answer)
    }

    /// Whether simulcast is accepted if it is offered.
    pub fn wants_simulcast(&self) -> bool {
        self.is_simulcast_wanted
    }
}

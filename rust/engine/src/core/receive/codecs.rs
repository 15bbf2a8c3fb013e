//! The codecs that an offer/answer exchange agreed on.

use str0m::Rtc;
use str0m::format::Codec as Format;
use str0m::media::{Mid, Pt};

use super::frame::Codec;

/// The payload types that were agreed on for these sections, and what each means here. str0m knows
/// others too.
pub fn agreed(rtc: &Rtc, sections: [Option<Mid>; 2]) -> Vec<(Pt, Codec)> {
    let sections = sections.into_iter().flatten();
    let media = sections.filter_map(|mid| rtc.media(mid));
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

/// The codec that the answer names first for a section.
pub fn preferred(rtc: &Rtc, agreed: &[(Pt, Codec)], mid: Mid) -> Option<Codec> {
    let media = rtc.media(mid)?;
    let offered = |entry: &&(Pt, Codec)| media.remote_pts().contains(&entry.0);
    agreed.iter().find(offered).map(|entry| entry.1)
}

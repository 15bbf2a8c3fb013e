//! The lines of an SDP offer, read section by section (RFC 8866 §5).

use str0m::media::Mid;

use crate::core::media::MediaKind;
use crate::error::EngineError;

/// The largest offer taken, the same as the largest signalling message. Chrome's are below 16 KiB.
pub const MAX_SDP_BYTES: usize = 64 << 10;

const MAX_LINE_BYTES: usize = 4096;
const MAX_SECTIONS: usize = 32;

/// Simulcast layers at the most.
const MAX_LAYERS: usize = 3;

/// The longest name of a layer that str0m takes.
const MAX_LAYER_NAME: usize = 8;

/// The directions of a section; the first is the one of a section that names none.
pub const DIRECTIONS: [&str; 4] = ["a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"];

/// Lines about one payload type.
const OF_PAYLOAD_TYPE: [&str; 3] = ["a=rtpmap:", "a=fmtp:", "a=rtcp-fb:"];

/// The direction of some lines.
pub fn direction_of<'a>(lines: &[&'a str]) -> Option<&'a str> {
    lines.iter().copied().find(|line| DIRECTIONS.contains(line))
}

/// One media section.
pub struct Section<'a> {
    pub lines: Vec<&'a str>,
}

impl<'a> Section<'a> {
    /// What it carries; `None` for data.
    pub fn kind(&self) -> Option<MediaKind> {
        match self.lines.first()?.split_once(' ')?.0 {
            "m=video" => Some(MediaKind::Video),
            "m=audio" => Some(MediaKind::Audio),
            _ => None,
        }
    }

    pub fn mid(&self) -> Option<Mid> {
        let mut lines = self.lines.iter();
        lines
            .find_map(|line| line.strip_prefix("a=mid:"))
            .map(Mid::from)
    }

    /// Port 0 without a bundle-only mark (RFC 3264 §6, RFC 9143 §6).
    pub fn is_rejected(&self) -> bool {
        let port = self.lines.first().and_then(|line| line.split(' ').nth(1));
        port == Some("0") && !self.lines.contains(&"a=bundle-only")
    }

    /// The payload types that `a=rtpmap` gives to a codec.
    pub fn payload_types(&self, codec: &str) -> impl Iterator<Item = &'a str> {
        self.lines.iter().filter_map(move |line| {
            let (pt, name) = line.strip_prefix("a=rtpmap:")?.split_once(' ')?;
            name.trim().eq_ignore_ascii_case(codec).then_some(pt)
        })
    }

    /// The value of one parameter in the `a=fmtp` line of a payload type.
    fn parameter(&self, pt: &str, name: &str) -> Option<&'a str> {
        self.lines.iter().find_map(|line| {
            let (of, parameters) = line.strip_prefix("a=fmtp:")?.split_once(' ')?;
            if of != pt {
                return None;
            }
            parameters.split(';').find_map(|parameter| {
                let (key, value) = parameter.trim().split_once('=')?;
                key.trim()
                    .eq_ignore_ascii_case(name)
                    .then_some(value.trim())
            })
        })
    }

    /// The payload types of resends of others (RFC 4588 §8.1).
    pub fn resends_of(&self, pts: &[&str]) -> Vec<&'a str> {
        self.payload_types("rtx/90000")
            .filter(|pt| {
                self.parameter(pt, "apt")
                    .is_some_and(|apt| pts.contains(&apt))
            })
            .collect()
    }

    /// H.264 that we send: a decoder of Constrained Baseline in packetization mode 1.
    pub fn takes_our_h264(&self, pt: &str) -> bool {
        self.packetization_mode(pt) == "1" && self.is_baseline_decoder(pt)
    }

    /// H.264 that is put together to frames: packetization mode 0 or 1 of a profile with 8 bits of
    /// 4:2:0, as every decoder has.
    pub fn is_decodable_h264(&self, pt: &str) -> bool {
        matches!(self.packetization_mode(pt), "0" | "1") && self.is_baseline_decoder(pt)
    }

    /// H.264 that is forwarded: Constrained Baseline or Baseline in packetization mode 1, which
    /// every browser decodes.
    pub fn is_forwardable_h264(&self, pt: &str) -> bool {
        self.packetization_mode(pt) == "1" && self.profile(pt).starts_with("42")
    }

    fn packetization_mode(&self, pt: &str) -> &'a str {
        self.parameter(pt, "packetization-mode").unwrap_or("0")
    }

    fn profile(&self, pt: &str) -> &'a str {
        // Without the parameter it is Baseline (RFC 6184 §8.1).
        self.parameter(pt, "profile-level-id").unwrap_or("42000a")
    }

    /// Whether a decoder of this profile decodes Constrained Baseline (ISO/IEC 14496-10 §A.2):
    /// Baseline, Main and High do, each with whatever constraints.
    fn is_baseline_decoder(&self, pt: &str) -> bool {
        let profile = self.profile(pt);
        ["42", "4d", "4D", "64"]
            .iter()
            .any(|idc| profile.starts_with(idc))
    }

    /// The names of the layers that the browser would send (RFC 8853 §5.1), of alternatives the
    /// first. None where there is only one.
    pub fn layers(&self) -> Vec<&'a str> {
        let mut lines = self.lines.iter();
        let simulcast = lines.find_map(|line| line.strip_prefix("a=simulcast:"));
        let mut words = simulcast.into_iter().flat_map(|line| line.split(' '));
        let sent = words
            .find(|word| *word == "send")
            .and_then(|_| words.next());
        let mut found: Vec<&str> = Vec::new();
        for layer in sent.into_iter().flat_map(|list| list.split(';')) {
            let name = layer.split(',').next().unwrap_or_default();
            let name = name.trim_start_matches('~');
            let is_name = (1..=MAX_LAYER_NAME).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let is_declared = self.lines.iter().any(|line| {
                let words = line.strip_prefix("a=rid:").map(|line| line.split(' '));
                words.is_some_and(|mut words| {
                    words.next() == Some(name) && words.next() == Some("send")
                })
            });
            if is_name && is_declared && !found.contains(&name) && found.len() < MAX_LAYERS {
                found.push(name);
            }
        }
        if found.len() < 2 {
            found.clear();
        }
        found
    }

    /// The lines that tell the main SSRC and the one of its resends (RFC 5576, RFC 4588 §8.3).
    pub fn main_ssrcs(&self) -> Vec<String> {
        let is_ssrc = |ssrc: &&str| ssrc.parse::<u32>().is_ok();
        let mut lines = self.lines.iter();
        let group = lines.find_map(|line| line.strip_prefix("a=ssrc-group:FID "));
        let group: Vec<&str> = group.into_iter().flat_map(|list| list.split(' ')).collect();
        let mut told = Vec::new();
        let ssrcs: Vec<&str> = match group[..] {
            [main, resends] if is_ssrc(&main) && is_ssrc(&resends) => {
                told.push(format!("a=ssrc-group:FID {main} {resends}"));
                vec![main, resends]
            }
            _ => self
                .lines
                .iter()
                .filter_map(|line| line.strip_prefix("a=ssrc:")?.split(' ').next())
                .find(is_ssrc)
                .into_iter()
                .collect(),
        };
        told.extend(
            ssrcs
                .into_iter()
                .map(|ssrc| format!("a=ssrc:{ssrc} cname:sender")),
        );
        told
    }
}

/// An `m=` line with only these payload types.
pub fn media_line(line: &str, pts: &[&str]) -> String {
    // The fields before the payload types are kind, port and protocol (RFC 8866 §5.14).
    let kept = line.split(' ').enumerate();
    let kept = kept.filter(|(i, field)| *i < 3 || pts.contains(field));
    kept.map(|(_, field)| field).collect::<Vec<_>>().join(" ")
}

/// The payload type that a line is about.
pub fn payload_type_of(line: &str) -> Option<&str> {
    let prefix = OF_PAYLOAD_TYPE
        .iter()
        .find(|prefix| line.starts_with(**prefix))?;
    line[prefix.len()..].split(' ').next()
}

/// The session's lines and its media sections.
pub fn split(sdp: &str) -> Result<(Vec<&str>, Vec<Section<'_>>), EngineError> {
    let refuse = |why: &str| EngineError::Offer {
        message: format!("the SDP offer is refused: {why}"),
        reason: format!("sdp: {why}"),
    };
    if sdp.len() > MAX_SDP_BYTES {
        return Err(refuse("larger than 64 KiB"));
    }
    let mut session = Vec::new();
    let mut sections: Vec<Section<'_>> = Vec::new();
    for line in sdp
        .split('\n')
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
    {
        if line.len() > MAX_LINE_BYTES {
            return Err(refuse("a line is longer than 4096 bytes"));
        }
        if line.bytes().any(|byte| byte < b' ' && byte != b'\t') {
            return Err(refuse("a control character in a line"));
        }
        if line.starts_with("m=") {
            sections.push(Section { lines: Vec::new() });
        }
        match sections.last_mut() {
            Some(section) => section.lines.push(line),
            None => session.push(line),
        }
    }
    if session.first() != Some(&"v=0") {
        return Err(refuse("it does not begin with v=0"));
    }
    if sections.is_empty() {
        return Err(refuse("it has no media section"));
    }
    if sections.len() > MAX_SECTIONS {
        return Err(refuse("more than 32 media sections"));
    }
    let is_known = |section: &Section<'_>| {
        section.kind().is_some() || section.lines[0].starts_with("m=application ")
    };
    if !sections.iter().all(is_known) {
        return Err(refuse(
            "a media section that is neither audio, video nor application",
        ));
    }
    Ok((session, sections))
}

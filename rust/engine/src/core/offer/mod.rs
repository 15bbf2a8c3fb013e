//! An SDP offer, checked and cut down to what this engine answers (RFC 8829 §5.3, RFC 3264).
//!
//! str0m answers whatever it is asked, as far as it can: it would receive where the browser
//! offers to send, and would answer a video section without a common codec with an empty list.
//! So an offer is rewritten before str0m sees it: one section of a kind is sent to, the others
//! are inactive, and lines that only matter for receiving are left out. For peers that receive,
//! see [`receive`].

pub mod receive;

use str0m::media::Mid;

use super::candidate;
use super::track::MediaKind;
use crate::error::EngineError;

/// The largest offer taken, the same as the largest signalling message. Chrome's are below 16 KiB.
pub const MAX_SDP_BYTES: usize = 64 << 10;

const MAX_LINE_BYTES: usize = 4096;
const MAX_SECTIONS: usize = 32;
const MAX_CANDIDATES: usize = 32;

const DIRECTIONS: [&str; 4] = ["a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"];

/// Lines about what the browser sends, which is nothing to a peer that sends.
const RECEIVE_ONLY: [&str; 6] = [
    "a=ssrc:",
    "a=ssrc-group:",
    "a=simulcast:",
    "a=rid:",
    "a=msid:",
    "a=sctp-init:",
];

/// An offer as str0m is given it.
#[derive(Debug, PartialEq, Eq)]
pub struct Prepared {
    pub text: String,
    video: Option<Mid>,
    audio: Option<Mid>,
}

impl Prepared {
    /// The sections that are sent to.
    pub fn wanted(&self) -> impl Iterator<Item = (MediaKind, Mid)> {
        let video = self.video.map(|mid| (MediaKind::Video, mid));
        video
            .into_iter()
            .chain(self.audio.map(|mid| (MediaKind::Audio, mid)))
    }
}

/// Checks an offer and rewrites it.
pub fn prepare(sdp: &str) -> Result<Prepared, EngineError> {
    let (session, sections) = split(sdp)?;
    let session_direction = direction_of(&session).unwrap_or(DIRECTIONS[0]);

    let mut chosen: [Option<usize>; 2] = [None, None];
    let mut offered = [false, false];
    for (i, section) in sections.iter().enumerate() {
        let Some(kind) = Kind::of(section) else {
            continue;
        };
        let direction = direction_of(section).unwrap_or(session_direction);
        if !matches!(direction, "a=sendrecv" | "a=recvonly") || is_rejected(section) {
            continue;
        }
        offered[kind as usize] = true;
        if chosen[kind as usize].is_none() && kind.is_usable(section) {
            chosen[kind as usize] = Some(i);
        }
    }
    if offered[Kind::Video as usize] && chosen[Kind::Video as usize].is_none() {
        return Err(EngineError::offer(why_no_video(&sections)));
    }
    if offered[Kind::Audio as usize] && chosen == [None, None] {
        return Err(EngineError::offer("codec: browser offers no Opus"));
    }

    let mut text = String::with_capacity(sdp.len());
    let mut candidates = 0;
    for line in session.iter().filter(|line| !DIRECTIONS.contains(line)) {
        push_line(&mut text, line, &mut candidates);
    }
    for (i, section) in sections.iter().enumerate() {
        for line in section.iter().filter(|line| !DIRECTIONS.contains(line)) {
            if !RECEIVE_ONLY.iter().any(|prefix| line.starts_with(prefix)) {
                push_line(&mut text, line, &mut candidates);
            }
        }
        if Kind::of(section).is_some() {
            let wanted = chosen.contains(&Some(i));
            push_line(
                &mut text,
                if wanted { "a=recvonly" } else { "a=inactive" },
                &mut candidates,
            );
        }
    }
    let mid = |kind: Kind| chosen[kind as usize].and_then(|i| mid_of(&sections[i]));
    Ok(Prepared {
        text,
        video: mid(Kind::Video),
        audio: mid(Kind::Audio),
    })
}

fn mid_of(section: &[&str]) -> Option<Mid> {
    section
        .iter()
        .find_map(|line| line.strip_prefix("a=mid:"))
        .map(Mid::from)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Video = 0,
    Audio = 1,
}

impl Kind {
    fn of(section: &[&str]) -> Option<Self> {
        match section.first()?.split_once(' ')?.0 {
            "m=video" => Some(Self::Video),
            "m=audio" => Some(Self::Audio),
            _ => None,
        }
    }

    fn is_usable(self, section: &[&str]) -> bool {
        match self {
            Self::Video => payload_types(section, "h264/90000")
                .any(|pt| is_packetization_mode_1(section, pt) && is_baseline_decoder(section, pt)),
            Self::Audio => payload_types(section, "opus/48000/2").next().is_some(),
        }
    }
}

fn why_no_video(sections: &[Vec<&str>]) -> &'static str {
    let mode_0_only = sections
        .iter()
        .any(|section| payload_types(section, "h264/90000").next().is_some());
    if mode_0_only {
        "codec: browser offers no H.264 that carries Constrained Baseline in packetization mode 1"
    } else {
        "codec: browser offers no H.264"
    }
}

/// The payload types that `a=rtpmap` gives to a codec.
fn payload_types<'a>(section: &'a [&'a str], codec: &'a str) -> impl Iterator<Item = &'a str> {
    section.iter().filter_map(move |line| {
        let (pt, name) = line.strip_prefix("a=rtpmap:")?.split_once(' ')?;
        name.trim().eq_ignore_ascii_case(codec).then_some(pt)
    })
}

/// The value of one parameter in the `a=fmtp` line of a payload type.
fn parameter<'a>(section: &'a [&str], pt: &str, name: &str) -> Option<&'a str> {
    section.iter().find_map(|line| {
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

fn is_packetization_mode_1(section: &[&str], pt: &str) -> bool {
    parameter(section, pt, "packetization-mode") == Some("1")
}

/// Whether a decoder of this profile decodes Constrained Baseline (ISO/IEC 14496-10 §A.2): Baseline,
/// Main and High do, each with whatever constraints.
fn is_baseline_decoder(section: &[&str], pt: &str) -> bool {
    // Without the parameter it is Baseline (RFC 6184 §8.1).
    let profile = parameter(section, pt, "profile-level-id").unwrap_or("42000a");
    ["42", "4d", "4D", "64"]
        .iter()
        .any(|idc| profile.starts_with(idc))
}

fn direction_of<'a>(lines: &[&'a str]) -> Option<&'a str> {
    lines.iter().copied().find(|line| DIRECTIONS.contains(line))
}

/// Port 0 without a bundle-only mark (RFC 3264 §6, RFC 9143 §6).
fn is_rejected(section: &[&str]) -> bool {
    let port = section.first().and_then(|line| line.split(' ').nth(1));
    port == Some("0") && !section.contains(&"a=bundle-only")
}

fn push_line(text: &mut String, line: &str, candidates: &mut usize) {
    if line.starts_with("a=candidate:") {
        // One that cannot be read is passed over: the browser's checks find us all the same.
        if !matches!(candidate::parse(line), Ok(Some(_))) || *candidates >= MAX_CANDIDATES {
            return;
        }
        *candidates += 1;
    }
    text.push_str(line);
    text.push_str("\r\n");
}

/// The session's lines and the lines of each media section.
fn split(sdp: &str) -> Result<(Vec<&str>, Vec<Vec<&str>>), EngineError> {
    let refuse = |why: &str| EngineError::Offer {
        message: format!("the SDP offer is refused: {why}"),
        reason: format!("sdp: {why}"),
    };
    if sdp.len() > MAX_SDP_BYTES {
        return Err(refuse("larger than 64 KiB"));
    }
    let mut session = Vec::new();
    let mut sections: Vec<Vec<&str>> = Vec::new();
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
            sections.push(Vec::new());
        }
        sections.last_mut().unwrap_or(&mut session).push(line);
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
    let known = |section: &Vec<&str>| {
        Kind::of(section).is_some() || section[0].starts_with("m=application ")
    };
    if !sections.iter().all(known) {
        return Err(refuse(
            "a media section that is neither audio, video nor application",
        ));
    }
    Ok((session, sections))
}

#[cfg(test)]
mod tests;

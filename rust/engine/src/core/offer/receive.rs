//! The offer of a browser that sends, checked and cut down to what is received of it.
//!
//! One section of a kind is received, the others are inactive. Of its payload types only those
//! stay that may be sent: H.264, or VP8 where there is no H.264, each with its resends. What is
//! forwarded is H.264 as every viewer takes it. Of its SSRCs only the main one and that of the
//! resends stay: str0m remembers every one for ever. With simulcast none stays, layers are told by
//! their names then, which are kept where they are wanted.

use str0m::media::Mid;

use super::{
    DIRECTIONS, Kind, MAX_SECTIONS, direction_of, is_rejected, mid_of, parameter, payload_types,
    push_line, split,
};
use crate::error::EngineError;

/// Simulcast layers at the most.
const MAX_LAYERS: usize = 3;

/// The longest name of a layer that str0m takes.
const MAX_LAYER_NAME: usize = 8;

/// What is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// What can be put together to frames.
    Frames,
    /// What viewers can be sent as it is.
    Packets { simulcast: bool },
}

/// Lines that concern no stream that is received, or all but the first SSRCs.
const LEFT_OUT: [&str; 5] = [
    "a=simulcast:",
    "a=rid:",
    "a=msid:",
    "a=ssrc-group:",
    "a=ssrc:",
];

/// Lines about one payload type.
const OF_PAYLOAD_TYPE: [&str; 3] = ["a=rtpmap:", "a=fmtp:", "a=rtcp-fb:"];

/// An offer as str0m is given it.
#[derive(Debug, PartialEq, Eq)]
pub struct Prepared {
    pub text: String,
    pub video: Option<Mid>,
    pub audio: Option<Mid>,
    /// The simulcast layers of the video, in the order of the offer; none without simulcast.
    pub layers: Vec<String>,
}

/// Checks an offer and rewrites it. The first one of a peer has to send something; a later one
/// need not: that is how browsers mute.
pub fn prepare(sdp: &str, is_first: bool, wanted: Wanted) -> Result<Prepared, EngineError> {
    let (session, sections) = split(sdp)?;
    debug_assert!(sections.len() <= MAX_SECTIONS);
    let session_direction = direction_of(&session).unwrap_or(DIRECTIONS[0]);

    let mut chosen: [Option<(usize, Vec<&str>)>; 2] = [None, None];
    let mut offered = [false, false];
    for (i, section) in sections.iter().enumerate() {
        let Some(kind) = Kind::of(section) else {
            continue;
        };
        let direction = direction_of(section).unwrap_or(session_direction);
        if !matches!(direction, "a=sendrecv" | "a=sendonly") || is_rejected(section) {
            continue;
        }
        offered[kind as usize] = true;
        let usable = received(kind, section, wanted);
        if chosen[kind as usize].is_none() && !usable.is_empty() {
            chosen[kind as usize] = Some((i, usable));
        }
    }
    if is_first && offered == [false, false] {
        return Err(EngineError::offer(match wanted {
            Wanted::Frames => "media: this server records, so the offer must send",
            Wanted::Packets { .. } => "media: a source's offer must send",
        }));
    }
    let [video, audio] = &chosen;
    if offered[Kind::Video as usize] && video.is_none() {
        return Err(EngineError::offer(match wanted {
            Wanted::Frames => "codec: browser offers no H.264 or VP8",
            Wanted::Packets { .. } => "codec: browser offers no H.264 that all viewers take",
        }));
    }
    if offered[Kind::Audio as usize] && video.is_none() && audio.is_none() {
        return Err(EngineError::offer("codec: browser offers no Opus"));
    }

    let layers = match video {
        Some((i, _)) if wanted == (Wanted::Packets { simulcast: true }) => layers(&sections[*i]),
        _ => Vec::new(),
    };

    let mut text = String::with_capacity(sdp.len());
    let mut candidates = 0;
    for line in session.iter().filter(|line| !DIRECTIONS.contains(line)) {
        push_line(&mut text, line, &mut candidates);
    }
    for (i, section) in sections.iter().enumerate() {
        let is_this = |choice: &&(usize, Vec<&str>)| choice.0 == i;
        let accepted = chosen.iter().flatten().find(is_this);
        for line in section.iter().filter(|line| !DIRECTIONS.contains(line)) {
            if LEFT_OUT.iter().any(|prefix| line.starts_with(prefix)) {
                continue;
            }
            match accepted {
                Some((_, pts)) if line.starts_with("m=") => {
                    push_line(&mut text, &media_line(line, pts), &mut candidates);
                }
                Some((_, pts)) if payload_type_of(line).is_some_and(|pt| !pts.contains(&pt)) => {}
                _ => push_line(&mut text, line, &mut candidates),
            }
        }
        if Kind::of(section).is_none() {
            continue;
        }
        let is_layered = !layers.is_empty() && Kind::of(section) == Some(Kind::Video);
        if accepted.is_some() && is_layered {
            push_layers(&mut text, &layers);
        } else if accepted.is_some() {
            push_ssrcs(&mut text, section);
        }
        let direction = ["a=inactive", "a=sendonly"][usize::from(accepted.is_some())];
        push_line(&mut text, direction, &mut candidates);
    }
    let mid = |choice: &Option<(usize, Vec<&str>)>| {
        choice.as_ref().and_then(|(i, _)| mid_of(&sections[*i]))
    };
    Ok(Prepared {
        text,
        video: mid(&chosen[Kind::Video as usize]),
        audio: mid(&chosen[Kind::Audio as usize]),
        layers: layers.into_iter().map(str::to_owned).collect(),
    })
}

/// The payload types that are received in a section, with those of their resends.
fn received<'a>(kind: Kind, section: &'a [&'a str], wanted: Wanted) -> Vec<&'a str> {
    let mut usable: Vec<&str> = match kind {
        Kind::Audio => payload_types(section, "opus/48000/2").collect(),
        Kind::Video => payload_types(section, "h264/90000")
            .filter(|pt| match wanted {
                Wanted::Frames => is_received_h264(section, pt),
                Wanted::Packets { .. } => is_forwarded_h264(section, pt),
            })
            .collect(),
    };
    if usable.is_empty() && kind == Kind::Video && wanted == Wanted::Frames {
        usable = payload_types(section, "vp8/90000").collect();
    }
    let resends: Vec<&str> = payload_types(section, "rtx/90000")
        .filter(|pt| parameter(section, pt, "apt").is_some_and(|apt| usable.contains(&apt)))
        .collect();
    usable.extend(resends);
    usable
}

/// Packetization mode 0 or 1 of a profile with 8 bits of 4:2:0, as every decoder has.
fn is_received_h264(section: &[&str], pt: &str) -> bool {
    let mode = parameter(section, pt, "packetization-mode").unwrap_or("0");
    matches!(mode, "0" | "1") && super::is_baseline_decoder(section, pt)
}

/// Constrained Baseline or Baseline in packetization mode 1, which every browser decodes.
fn is_forwarded_h264(section: &[&str], pt: &str) -> bool {
    let profile = parameter(section, pt, "profile-level-id").unwrap_or("42000a");
    super::is_packetization_mode_1(section, pt) && profile.starts_with("42")
}

/// The names of the layers that the browser would send (RFC 8853 §5.1), of alternatives the first.
/// None where there is only one.
fn layers<'a>(section: &[&'a str]) -> Vec<&'a str> {
    let simulcast = section
        .iter()
        .find_map(|line| line.strip_prefix("a=simulcast:"));
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
        let is_declared = section.iter().any(|line| {
            let words = line.strip_prefix("a=rid:").map(|line| line.split(' '));
            words
                .is_some_and(|mut words| words.next() == Some(name) && words.next() == Some("send"))
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

fn push_layers(text: &mut String, layers: &[&str]) {
    for name in layers {
        text.push_str(&format!("a=rid:{name} send\r\n"));
    }
    text.push_str(&format!("a=simulcast:send {}\r\n", layers.join(";")));
}

/// An `m=` line with only these payload types.
fn media_line(line: &str, pts: &[&str]) -> String {
    // The fields before the payload types are kind, port and protocol (RFC 8866 §5.14).
    let kept = line.split(' ').enumerate();
    let kept = kept.filter(|(i, field)| *i < 3 || pts.contains(field));
    kept.map(|(_, field)| field).collect::<Vec<_>>().join(" ")
}

fn payload_type_of<'a>(line: &&'a str) -> Option<&'a str> {
    let prefix = OF_PAYLOAD_TYPE
        .iter()
        .find(|prefix| line.starts_with(**prefix))?;
    line[prefix.len()..].split(' ').next()
}

/// The main SSRC and the one of its resends (RFC 5576, RFC 4588 §8.3).
fn push_ssrcs(text: &mut String, section: &[&str]) {
    let is_ssrc = |ssrc: &&str| ssrc.parse::<u32>().is_ok();
    let group = section
        .iter()
        .find_map(|line| line.strip_prefix("a=ssrc-group:FID "));
    let group: Vec<&str> = group.into_iter().flat_map(|list| list.split(' ')).collect();
    let ssrcs: Vec<&str> = match group[..] {
        [main, resends] if is_ssrc(&main) && is_ssrc(&resends) => {
            text.push_str(&format!("a=ssrc-group:FID {main} {resends}\r\n"));
            vec![main, resends]
        }
        _ => section
            .iter()
            .filter_map(|line| line.strip_prefix("a=ssrc:")?.split(' ').next())
            .find(is_ssrc)
            .into_iter()
            .collect(),
    };
    for ssrc in ssrcs {
        text.push_str(&format!("a=ssrc:{ssrc} cname:sender\r\n"));
    }
}

#[cfg(test)]
#[path = "receive_tests.rs"]
mod tests;

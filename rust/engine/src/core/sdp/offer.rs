//! An SDP offer, checked and cut down to what this engine answers (RFC 8829 §5.3, RFC 3264).
//!
//! str0m answers whatever it is asked, as far as it can: it would receive where the browser
//! offers to send, and would answer a video section without a common codec with an empty list.
//! So an offer is rewritten before str0m sees it. Of each kind one section is sent to and one is
//! received, which may be the same one; the others are inactive.
//!
//! Of a section that is received only those payload types stay that may be sent: H.264, or VP8
//! where there is no H.264, each with its resends. What is forwarded is H.264 as every viewer takes
//! it. Of its SSRCs only the main one and that of the resends stay: str0m remembers every one for
//! ever. With simulcast none stays, layers are told by their names then, which are kept where they
//! are wanted.

use str0m::media::Mid;

use super::section::{DIRECTIONS, Section, direction_of, media_line, payload_type_of, split};
use crate::core::ice::candidate;
use crate::core::media::MediaKind;
use crate::core::receive::options::Delivery;
use crate::error::EngineError;

pub use super::section::MAX_SDP_BYTES;

const MAX_CANDIDATES: usize = 32;

/// Lines about what the browser sends. Those that str0m needs of a section that is received are
/// told anew.
const LEFT_OUT: [&str; 6] = [
    "a=ssrc:",
    "a=ssrc-group:",
    "a=simulcast:",
    "a=rid:",
    "a=msid:",
    "a=sctp-init:",
];

/// What this side wants of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// It sends tracks.
    pub sends: bool,
    /// It receives, and this becomes of it.
    pub receives: Option<Delivery>,
}

/// An offer as str0m is given it.
#[derive(Debug, PartialEq, Eq)]
pub struct Prepared {
    pub text: String,
    /// The sections that are sent to, by kind.
    pub sent: [Option<Mid>; 2],
    /// The sections that are received, by kind.
    pub received: [Option<Mid>; 2],
    /// The simulcast layers of the video, in the order of the offer; none without simulcast.
    pub layers: Vec<String>,
}

/// Checks an offer and rewrites it. The first one of a connection that only receives has to send
/// something; a later one need not: that is how browsers mute.
pub fn prepare(sdp: &str, is_first: bool, wanted: Wanted) -> Result<Prepared, EngineError> {
    let (session, sections) = split(sdp)?;
    let session_direction = direction_of(&session).unwrap_or(DIRECTIONS[0]);
    let directions: Vec<&str> = sections
        .iter()
        .map(|section| direction_of(&section.lines).unwrap_or(session_direction))
        .collect();

    let received = match wanted.receives {
        Some(delivery) => choose_received(&sections, &directions, is_first, wanted, delivery)?,
        None => [None, None],
    };
    let sent = match wanted.sends {
        true => choose_sent(&sections, &directions)?,
        false => [None, None],
    };
    let layers = match (&received[MediaKind::Video as usize], wanted.receives) {
        (Some((i, _)), Some(Delivery::Packets { simulcast: true })) => sections[*i].layers(),
        _ => Vec::new(),
    };

    let mut text = Text {
        lines: String::with_capacity(sdp.len()),
        candidates: 0,
    };
    for line in session.iter().filter(|line| !DIRECTIONS.contains(line)) {
        text.push(line);
    }
    for (i, section) in sections.iter().enumerate() {
        let accepted = received.iter().flatten().find(|choice| choice.0 == i);
        text.push_section(section, accepted.map(|choice| &choice.1[..]));
        let Some(kind) = section.kind() else {
            continue;
        };
        if accepted.is_some() && kind == MediaKind::Video && !layers.is_empty() {
            for name in &layers {
                text.push(&format!("a=rid:{name} send"));
            }
            text.push(&format!("a=simulcast:send {}", layers.join(";")));
        } else if accepted.is_some() {
            for line in section.main_ssrcs() {
                text.push(&line);
            }
        }
        text.push(match (accepted.is_some(), sent.contains(&Some(i))) {
            (true, true) => "a=sendrecv",
            (true, false) => "a=sendonly",
            (false, true) => "a=recvonly",
            (false, false) => "a=inactive",
        });
    }
    Ok(Prepared {
        text: text.lines,
        sent: sent.map(|choice| choice.and_then(|i| sections[i].mid())),
        received: received.map(|choice| choice.and_then(|(i, _)| sections[i].mid())),
        layers: layers.into_iter().map(str::to_owned).collect(),
    })
}

/// The sections that are sent to, by kind.
fn choose_sent(
    sections: &[Section<'_>],
    directions: &[&str],
) -> Result<[Option<usize>; 2], EngineError> {
    let mut chosen = [None, None];
    let mut offered = [false, false];
    for (i, section) in sections.iter().enumerate() {
        let Some(kind) = section.kind() else {
            continue;
        };
        if !matches!(directions[i], "a=sendrecv" | "a=recvonly") || section.is_rejected() {
            continue;
        }
        offered[kind as usize] = true;
        let is_usable = match kind {
            MediaKind::Video => section
                .payload_types("h264/90000")
                .any(|pt| section.takes_our_h264(pt)),
            MediaKind::Audio => section.payload_types("opus/48000/2").next().is_some(),
        };
        if chosen[kind as usize].is_none() && is_usable {
            chosen[kind as usize] = Some(i);
        }
    }
    let [video, audio] = [MediaKind::Video as usize, MediaKind::Audio as usize];
    if offered[video] && chosen[video].is_none() {
        return Err(EngineError::offer(why_no_video(sections)));
    }
    if offered[audio] && chosen == [None, None] {
        return Err(EngineError::offer("codec: browser offers no Opus"));
    }
    Ok(chosen)
}

fn why_no_video(sections: &[Section<'_>]) -> &'static str {
    let is_other_h264 = sections
        .iter()
        .any(|section| section.payload_types("h264/90000").next().is_some());
    if is_other_h264 {
        "codec: browser offers no H.264 that carries Constrained Baseline in packetization mode 1"
    } else {
        "codec: browser offers no H.264"
    }
}

/// A section that is received, with the payload types that stay.
type Received<'a> = Option<(usize, Vec<&'a str>)>;

/// The sections that are received, by kind.
fn choose_received<'a>(
    sections: &[Section<'a>],
    directions: &[&str],
    is_first: bool,
    wanted: Wanted,
    delivery: Delivery,
) -> Result<[Received<'a>; 2], EngineError> {
    let mut chosen: [Received<'a>; 2] = [None, None];
    let mut offered = [false, false];
    for (i, section) in sections.iter().enumerate() {
        let Some(kind) = section.kind() else {
            continue;
        };
        if !matches!(directions[i], "a=sendrecv" | "a=sendonly") || section.is_rejected() {
            continue;
        }
        offered[kind as usize] = true;
        let usable = received_payload_types(kind, section, delivery);
        if chosen[kind as usize].is_none() && !usable.is_empty() {
            chosen[kind as usize] = Some((i, usable));
        }
    }
    if is_first && !wanted.sends && offered == [false, false] {
        return Err(EngineError::offer(match delivery {
            Delivery::Frames => "media: this server records, so the offer must send",
            Delivery::Packets { .. } => "media: a source's offer must send",
        }));
    }
    let [video, audio] = &chosen;
    if offered[MediaKind::Video as usize] && video.is_none() {
        return Err(EngineError::offer(match delivery {
            Delivery::Frames => "codec: browser offers no H.264 or VP8",
            Delivery::Packets { .. } => "codec: browser offers no H.264 that all viewers take",
        }));
    }
    if offered[MediaKind::Audio as usize] && video.is_none() && audio.is_none() {
        return Err(EngineError::offer("codec: browser offers no Opus"));
    }
    Ok(chosen)
}

/// The payload types that are received in a section, with those of their resends.
fn received_payload_types<'a>(
    kind: MediaKind,
    section: &Section<'a>,
    delivery: Delivery,
) -> Vec<&'a str> {
    let mut usable: Vec<&str> = match kind {
        MediaKind::Audio => section.payload_types("opus/48000/2").collect(),
        MediaKind::Video => section
            .payload_types("h264/90000")
            .filter(|pt| match delivery {
                Delivery::Frames => section.is_decodable_h264(pt),
                Delivery::Packets { .. } => section.is_forwardable_h264(pt),
            })
            .collect(),
    };
    if usable.is_empty() && kind == MediaKind::Video && delivery == Delivery::Frames {
        usable = section.payload_types("vp8/90000").collect();
    }
    let resends = section.resends_of(&usable);
    usable.extend(resends);
    usable
}

/// The offer that str0m is given.
struct Text {
    lines: String,
    candidates: usize,
}

impl Text {
    /// The lines of a section, if it is received with these payload types only.
    fn push_section(&mut self, section: &Section<'_>, pts: Option<&[&str]>) {
        for line in section.lines.iter().copied() {
            let is_left_out = LEFT_OUT.iter().any(|prefix| line.starts_with(prefix));
            if is_left_out || DIRECTIONS.contains(&line) {
                continue;
            }
            match pts {
                Some(pts) if line.starts_with("m=") => self.push(&media_line(line, pts)),
                Some(pts) if payload_type_of(line).is_some_and(|pt| !pts.contains(&pt)) => {}
                _ => self.push(line),
            }
        }
    }

    fn push(&mut self, line: &str) {
        if line.starts_with("a=candidate:") {
            // One that cannot be read is passed over: the browser's checks find us all the same.
            let is_usable = matches!(candidate::parse(line), Ok(Some(_)));
            if !is_usable || self.candidates >= MAX_CANDIDATES {
                return;
            }
            self.candidates += 1;
        }
        self.lines.push_str(line);
        self.lines.push_str("\r\n");
    }
}

#[cfg(test)]
#[path = "offer_both_tests.rs"]
mod both_tests;
#[cfg(test)]
#[path = "offer_receive_tests.rs"]
mod receive_tests;
#[cfg(test)]
#[path = "offer_send_tests.rs"]
mod send_tests;

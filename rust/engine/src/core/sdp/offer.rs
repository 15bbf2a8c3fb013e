//! An SDP offer, checked and cut down to what this engine answers (RFC 8829 §5.3, RFC 3264).
//!
//! str0m answers whatever it is asked, as far as it can: it would receive where the browser
//! offers to send, and would answer a video section without a common codec with an empty list.
//! So str0m never sees an offer, but a text of ours that says the same of what this engine answers.
//! Of each kind one section is sent to and one is received, which may be the same one; the others
//! are inactive. That text is short and in a form that str0m reads without a panic, whatever the
//! offer was. Reading and writing it needs no connection, so it is done on the caller's thread.
//!
//! Of a section that is received only those payload types stay that may be sent: H.264, or VP8
//! where there is no H.264, each with its resends. What is forwarded is H.264 as every viewer takes
//! it. Of its SSRCs only the main one and that of the resends stay: str0m remembers every one for
//! ever. With simulcast none stays, layers are told by their names then, which are kept where they
//! are wanted.

use std::fmt::Write;

use str0m::Candidate;
use str0m::change::SdpOffer;
use str0m::media::Mid;

use super::description::Description;
use super::negotiation;
use super::payload::{Format, Payload, PayloadTypes};
use super::section::{DIRECTIONS, Section};
use crate::core::media::MediaKind;
use crate::core::receive::options::Delivery;
use crate::error::EngineError;

pub use super::description::MAX_SDP_BYTES;

/// Payload types that are kept of a section. Chromium offers eight of H.264 with their resends.
const MAX_KEPT: usize = 32;

/// What stands for the payload types of a section that has none which this engine knows: a static
/// one, of which nothing needs to be told (RFC 3551 §6). str0m leaves it out of the answer.
const NO_PAYLOAD_TYPE: &str = "0";

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
    /// The text as str0m reads it, as often as it is needed.
    offers: Vec<SdpOffer>,
    /// The sections that are sent to, by kind.
    pub sent: [Option<Mid>; 2],
    /// The sections that are received, by kind.
    pub received: [Option<Mid>; 2],
    /// The simulcast layers of the video, in the order of the offer; none without simulcast.
    pub layers: Vec<String>,
    pub candidates: Vec<Candidate>,
    /// Candidates whose address the browser keeps to itself.
    pub hidden: u32,
    pub payload_types: PayloadTypes,
    /// Why it is refused as the first offer of a connection; a later one may send nothing, which
    /// is how browsers mute.
    pub refused_as_first: Option<EngineError>,
}

impl Prepared {
    /// The offer for str0m, which takes it away.
    pub fn take(&mut self) -> Result<SdpOffer, EngineError> {
        match self.offers.pop() {
            Some(offer) => Ok(offer),
            None => negotiation::parse(&self.text),
        }
    }
}

/// Checks an offer and rewrites it.
pub fn prepare(sdp: &str, wanted: Wanted) -> Result<Prepared, EngineError> {
    let description = Description::read(sdp)?;
    let sections = &description.sections;
    let session_direction = description.direction.unwrap_or(DIRECTIONS[0]);
    let directions: Vec<&str> = sections
        .iter()
        .map(|section| section.direction.unwrap_or(session_direction))
        .collect();

    let mut refused_as_first = None;
    let received = match wanted.receives {
        Some(delivery) => {
            let (chosen, offered) = choose_received(sections, &directions, delivery)?;
            if !wanted.sends && offered == [false, false] {
                refused_as_first = Some(EngineError::offer(match delivery {
                    Delivery::Frames => "media: this server records, so the offer must send",
                    Delivery::Packets { .. } => "media: a source's offer must send",
                }));
            }
            chosen
        }
        None => [None, None],
    };
    let sent = match wanted.sends {
        true => choose_sent(sections, &directions)?,
        false => [None, None],
    };
    let layers = match (&received[MediaKind::Video as usize], wanted.receives) {
        (Some((i, _)), Some(Delivery::Packets { simulcast: true })) => sections[*i].layers(),
        _ => Vec::new(),
    };

    let mut text = session_lines(&description);
    let mut payload_types = PayloadTypes::default();
    for (i, section) in sections.iter().enumerate() {
        let accepted = received.iter().flatten().find(|choice| choice.0 == i);
        let mut kept = match accepted {
            Some((_, kept)) => kept.clone(),
            None => section.carrying(|_| true),
        };
        kept.truncate(MAX_KEPT);
        for (payload, format) in &kept {
            payload_types.add(payload.number, *format)?;
        }
        push_section(section, &kept, &mut text)?;
        let Some(kind) = section.kind else {
            continue;
        };
        if accepted.is_some() && kind == MediaKind::Video && !layers.is_empty() {
            for name in &layers {
                push_line(&mut text, format_args!("a=rid:{name} send"));
            }
            push_line(
                &mut text,
                format_args!("a=simulcast:send {}", layers.join(";")),
            );
        } else if accepted.is_some() {
            text.push_str(&section.main_ssrcs());
        }
        let direction = match (accepted.is_some(), sent.contains(&Some(i))) {
            (true, true) => "a=sendrecv",
            (true, false) => "a=sendonly",
            (false, true) => "a=recvonly",
            (false, false) => "a=inactive",
        };
        push_line(&mut text, format_args!("{direction}"));
    }
    // Whoever sends gives it to str0m twice (`OutgoingStreams::negotiate`).
    let times = if wanted.sends { 2 } else { 1 };
    let offers = (0..times).map(|_| negotiation::parse(&text));
    Ok(Prepared {
        offers: offers.collect::<Result<_, _>>()?,
        sent: sent.map(|choice| choice.and_then(|i| sections[i].mid())),
        received: received.map(|choice| choice.and_then(|(i, _)| sections[i].mid())),
        layers: layers.into_iter().map(str::to_owned).collect(),
        candidates: description.candidates,
        hidden: description.hidden,
        payload_types,
        refused_as_first,
        text,
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
        let Some(kind) = section.kind else {
            continue;
        };
        if !matches!(directions[i], "a=sendrecv" | "a=recvonly") || section.is_rejected() {
            continue;
        }
        offered[kind as usize] = true;
        let usable = match kind {
            MediaKind::Video => section.carrying(Format::takes_our_h264),
            MediaKind::Audio => section.carrying(|format| format == Format::Opus),
        };
        if chosen[kind as usize].is_none() && !usable.is_empty() {
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
    if sections.iter().any(|section| section.has("h264/90000")) {
        "codec: browser offers no H.264 that carries Constrained Baseline in packetization mode 1"
    } else {
        "codec: browser offers no H.264"
    }
}

/// A section that is received, with the payload types that stay.
type Received<'a> = Option<(usize, Vec<(Payload<'a>, Format)>)>;

/// The sections that are received, by kind, and the kinds that are offered.
fn choose_received<'a>(
    sections: &[Section<'a>],
    directions: &[&str],
    delivery: Delivery,
) -> Result<([Received<'a>; 2], [bool; 2]), EngineError> {
    let mut chosen: [Received<'a>; 2] = [None, None];
    let mut offered = [false, false];
    for (i, section) in sections.iter().enumerate() {
        let Some(kind) = section.kind else {
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
    Ok((chosen, offered))
}

/// The payload types that are received in a section, with those of their resends.
fn received_payload_types<'a>(
    kind: MediaKind,
    section: &Section<'a>,
    delivery: Delivery,
) -> Vec<(Payload<'a>, Format)> {
    let usable = match (kind, delivery) {
        (MediaKind::Audio, _) => section.carrying(|format| format == Format::Opus),
        (MediaKind::Video, Delivery::Frames) => section.carrying(Format::is_decodable_h264),
        (MediaKind::Video, Delivery::Packets { .. }) => {
            section.carrying(Format::is_forwardable_h264)
        }
    };
    if usable.is_empty() && kind == MediaKind::Video && delivery == Delivery::Frames {
        return section.carrying(|format| format == Format::Vp8);
    }
    usable
}

/// What is told of all sections. str0m wants ICE and DTLS told once, of the session or of a section.
fn session_lines(description: &Description<'_>) -> String {
    let mut text = String::with_capacity(2048);
    text.push_str("v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n");
    if let Some(bundle) = description.bundle {
        let mids = bundle.split_ascii_whitespace();
        let mids = mids.take(description.sections.len() + 1).map(Mid::from);
        text.push_str("a=group:BUNDLE");
        for mid in mids {
            let _ = write!(text, " {mid}");
        }
        text.push_str("\r\n");
    }
    if description.is_ice_lite {
        text.push_str("a=ice-lite\r\n");
    }
    if let Some((ufrag, password)) = description.ice() {
        push_line(&mut text, format_args!("a=ice-ufrag:{ufrag}"));
        push_line(&mut text, format_args!("a=ice-pwd:{password}"));
    }
    for fingerprint in description.fingerprints() {
        push_line(&mut text, format_args!("a=fingerprint:{fingerprint}"));
    }
    if let Some(setup) = description.setup() {
        push_line(&mut text, format_args!("a=setup:{setup}"));
    }
    text
}

/// The lines of a section with these payload types, but its streams and its direction.
fn push_section(
    section: &Section<'_>,
    kept: &[(Payload<'_>, Format)],
    text: &mut String,
) -> Result<(), EngineError> {
    let port = if section.has_port { 9 } else { 0 };
    let mid = section
        .mid()
        .ok_or_else(|| EngineError::sdp("a media section has no name (a=mid)"))?;
    let kind = match section.kind {
        Some(MediaKind::Video) => "video",
        Some(MediaKind::Audio) => "audio",
        None => {
            push_line(
                text,
                format_args!("m=application {port} UDP/DTLS/SCTP webrtc-datachannel"),
            );
            push_line(text, format_args!("a=mid:{mid}\r\na=sctp-port:5000"));
            if let Some(size) = section.max_message_size {
                push_line(text, format_args!("a=max-message-size:{size}"));
            }
            return Ok(());
        }
    };
    let numbers: Vec<String> = kept.iter().map(|(p, _)| p.number.to_string()).collect();
    let numbers = match numbers.is_empty() {
        true => NO_PAYLOAD_TYPE.to_owned(),
        false => numbers.join(" "),
    };
    push_line(
        text,
        format_args!("m={kind} {port} UDP/TLS/RTP/SAVPF {numbers}"),
    );
    push_line(text, format_args!("a=mid:{mid}"));
    for (number, uri) in &section.extensions {
        push_line(text, format_args!("a=extmap:{number} {uri}"));
    }
    for (payload, format) in kept {
        payload.write(*format, text);
    }
    Ok(())
}

fn push_line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing into a `String` cannot fail.
    let _ = text.write_fmt(line);
    text.push_str("\r\n");
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

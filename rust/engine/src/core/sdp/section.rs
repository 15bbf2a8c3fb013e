//! A media section of an offer: what is kept of its lines.

use str0m::media::Mid;

use super::payload::{Format, Payload, number_of};
use super::transport::Transport;
use crate::core::media::MediaKind;
use crate::error::EngineError;

/// Payload types of a section that are looked at. There are 128 numbers (RFC 3550 §5.1).
const MAX_PAYLOADS: usize = 64;

/// Simulcast layers at the most, and names that are looked at for them.
const MAX_LAYERS: usize = 3;
const MAX_LAYER_NAMES: usize = 16;

/// The longest name of a layer that str0m takes.
const MAX_LAYER_NAME: usize = 8;

/// The directions of a section; the first is the one of a section that names none.
pub const DIRECTIONS: [&str; 4] = ["a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"];

/// RTP header extensions that str0m is configured with (`negotiation::extensions`).
const EXTENSIONS: [&str; 5] = [
    "urn:ietf:params:rtp-hdrext:sdes:mid",
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
    "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
];

/// One media section.
#[derive(Debug)]
pub struct Section<'a> {
    /// What it carries; `None` for data.
    pub kind: Option<MediaKind>,
    pub has_port: bool,
    pub mid: Option<&'a str>,
    pub direction: Option<&'a str>,
    /// In the order of the `m=` line.
    pub payloads: Vec<Payload<'a>>,
    pub extensions: Vec<(u8, &'static str)>,
    pub transport: Transport<'a>,
    pub max_message_size: Option<u32>,
    is_bundle_only: bool,
    simulcast: Option<&'a str>,
    /// The names that `a=rid` declares to be sent.
    rids: Vec<&'a str>,
    ssrc: Option<u32>,
    ssrc_group: Option<(u32, u32)>,
    has_ssrc_group: bool,
}

impl<'a> Section<'a> {
    /// Reads an `m=` line: kind, port, protocol and payload types (RFC 8866 §5.14).
    pub fn read(media: &'a str) -> Result<Self, EngineError> {
        let mut fields = media.split(' ').filter(|field| !field.is_empty());
        let (kind, port, protocol) = (fields.next(), fields.next(), fields.next());
        let kind = match kind {
            Some("video") => Some(MediaKind::Video),
            Some("audio") => Some(MediaKind::Audio),
            Some("application") => None,
            _ => {
                return Err(EngineError::sdp(
                    "a media section that is neither audio, video nor application",
                ));
            }
        };
        let is_served = match (kind, protocol) {
            (Some(_), Some(protocol)) => protocol == "UDP/TLS/RTP/SAVPF",
            (None, Some(protocol)) => protocol.ends_with("DTLS/SCTP"),
            (_, None) => false,
        };
        if !is_served {
            return Err(EngineError::sdp(
                "a media section is neither UDP/TLS/RTP/SAVPF nor UDP/DTLS/SCTP",
            ));
        }
        let mut payloads: Vec<Payload<'a>> = Vec::new();
        for field in fields.filter(|_| kind.is_some()) {
            let number = number_of(field)
                .ok_or_else(|| EngineError::sdp("a payload type is not a number below 128"))?;
            let is_known = payloads.iter().any(|known| known.number == number);
            if !is_known && payloads.len() < MAX_PAYLOADS {
                payloads.push(Payload::new(number));
            }
        }
        Ok(Self {
            kind,
            has_port: port != Some("0"),
            mid: None,
            direction: None,
            payloads,
            extensions: Vec::new(),
            transport: Transport::default(),
            max_message_size: None,
            is_bundle_only: false,
            simulcast: None,
            rids: Vec::new(),
            ssrc: None,
            ssrc_group: None,
            has_ssrc_group: false,
        })
    }

    /// Takes a line, an attribute with this name and value.
    pub fn take(&mut self, line: &'a str, name: &str, value: &'a str) -> Result<(), EngineError> {
        match name {
            "mid" if self.mid.is_some() => {
                return Err(EngineError::sdp("a media section has two names (a=mid)"));
            }
            "mid" => self.mid = Some(value),
            "bundle-only" => self.is_bundle_only = true,
            "rtpmap" => {
                if let Some((payload, encoding)) = self.payload_of(value) {
                    if payload.encoding.is_some() {
                        return Err(EngineError::sdp(format!(
                            "payload type {} is told twice in a media section",
                            payload.number
                        )));
                    }
                    payload.encoding = Some(encoding);
                }
            }
            "fmtp" => {
                if let Some((payload, parameters)) = self.payload_of(value)
                    && payload.parameters.is_empty()
                {
                    payload.parameters = parameters;
                }
            }
            "rtcp-fb" => {
                if let Some((payload, feedback)) = self.payload_of(value) {
                    payload.add_feedback(feedback);
                }
            }
            "extmap" => self.take_extension(value),
            "simulcast" => {
                self.simulcast.get_or_insert(value);
            }
            "rid" => self.take_rid(value),
            "ssrc-group" => self.take_ssrc_group(value),
            "ssrc" => {
                let ssrc = value.split(' ').next().and_then(|ssrc| ssrc.parse().ok());
                self.ssrc = self.ssrc.or(ssrc);
            }
            "max-message-size" => self.max_message_size = value.parse().ok(),
            _ if DIRECTIONS.contains(&line) => {
                self.direction.get_or_insert(line);
            }
            _ => {}
        }
        Ok(())
    }

    /// The payload type that a line is about, one of the `m=` line, and what the line says of it.
    fn payload_of(&mut self, value: &'a str) -> Option<(&mut Payload<'a>, &'a str)> {
        let (number, rest) = value.split_once(' ')?;
        let number = number_of(number)?;
        let mut payloads = self.payloads.iter_mut();
        let payload = payloads.find(|payload| payload.number == number)?;
        Some((payload, rest.trim()))
    }

    /// `<number>[/<direction>] <URI> …` (RFC 8285 §5); one-byte numbers.
    fn take_extension(&mut self, value: &str) {
        let mut words = value.split(' ');
        let (Some(number), Some(uri)) = (words.next(), words.next()) else {
            return;
        };
        let number = number.split('/').next().and_then(|text| text.parse().ok());
        let (Some(number @ 1..=14), Some(uri)) =
            (number, EXTENSIONS.into_iter().find(|known| *known == uri))
        else {
            return;
        };
        let mut known = self.extensions.iter();
        if !known.any(|(other, same)| *other == number || *same == uri) {
            self.extensions.push((number, uri));
        }
    }

    fn take_rid(&mut self, value: &'a str) {
        let mut words = value.split(' ');
        if let (Some(name), Some("send")) = (words.next(), words.next())
            && self.rids.len() < MAX_LAYER_NAMES
        {
            self.rids.push(name);
        }
    }

    /// The first group of a main SSRC and the one of its resends (RFC 4588 §8.3).
    fn take_ssrc_group(&mut self, value: &str) {
        let Some(list) = value.strip_prefix("FID ").filter(|_| !self.has_ssrc_group) else {
            return;
        };
        self.has_ssrc_group = true;
        let mut words = list.split(' ').map(str::parse);
        if let (Some(Ok(main)), Some(Ok(resends)), None) =
            (words.next(), words.next(), words.next())
        {
            self.ssrc_group = Some((main, resends));
        }
    }

    /// Its name as str0m has it.
    pub fn mid(&self) -> Option<Mid> {
        self.mid.map(Mid::from)
    }

    /// Port 0 without a bundle-only mark (RFC 3264 §6, RFC 9143 §6).
    pub fn is_rejected(&self) -> bool {
        !self.has_port && !self.is_bundle_only
    }

    /// Whether it has a payload type of a codec, with whatever parameters.
    pub fn has(&self, encoding: &str) -> bool {
        self.payloads.iter().any(|payload| payload.is(encoding))
    }

    /// The payload types that carry what is wanted of this section's kind, and their resends, in the
    /// order of the `m=` line.
    pub fn carrying(&self, is_wanted: impl Fn(Format) -> bool) -> Vec<(Payload<'a>, Format)> {
        let is_of_kind = |format: Format| match format {
            Format::Opus => self.kind == Some(MediaKind::Audio),
            Format::H264 { .. } | Format::Vp8 => self.kind == Some(MediaKind::Video),
            Format::Resends(_) => false,
        };
        let payloads = self.payloads.iter();
        let mut found: Vec<(Payload<'a>, Format)> = payloads
            .filter_map(|payload| Some((*payload, payload.format()?)))
            .collect();
        let originals = found
            .iter()
            .filter(|(_, f)| is_of_kind(*f) && is_wanted(*f));
        let numbers: Vec<u8> = originals.map(|(payload, _)| payload.number).collect();
        found.retain(|(payload, format)| match format {
            Format::Resends(of) => numbers.contains(of),
            _ => numbers.contains(&payload.number),
        });
        found
    }

    /// The names of the layers that the browser would send (RFC 8853 §5.1), of alternatives the
    /// first. None where there is only one.
    pub fn layers(&self) -> Vec<&'a str> {
        let mut words = self.simulcast.unwrap_or_default().split(' ');
        let sent = words
            .find(|word| *word == "send")
            .and_then(|_| words.next());
        let mut found: Vec<&str> = Vec::new();
        let names = sent.into_iter().flat_map(|list| list.split(';'));
        for layer in names.take(MAX_LAYER_NAMES) {
            let name = layer.split(',').next().unwrap_or_default();
            let name = name.trim_start_matches('~');
            let is_name = (1..=MAX_LAYER_NAME).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let is_declared = self.rids.contains(&name);
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
    pub fn main_ssrcs(&self) -> String {
        match (self.ssrc_group, self.ssrc) {
            (Some((main, resends)), _) => format!(
                "a=ssrc-group:FID {main} {resends}\r\na=ssrc:{main} cname:sender\r\n\
                 a=ssrc:{resends} cname:sender\r\n"
            ),
            (None, Some(ssrc)) => format!("a=ssrc:{ssrc} cname:sender\r\n"),
            (None, None) => String::new(),
        }
    }
}

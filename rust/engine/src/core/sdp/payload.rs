//! The payload types of an offer: what each means, and how that is told to str0m.
//!
//! str0m panics ("Pt locked multiple times") where one number means two things in the sections of a
//! BUNDLE, which RFC 8843 §9.1 forbids. So [`PayloadTypes`] holds what every number that is kept
//! means, over the sections of an offer and over the offers of a connection.

use std::fmt::Write;

use crate::error::EngineError;

/// Feedback messages that str0m knows (RFC 4585 §4.2), by bit.
const FEEDBACK: [&str; 5] = ["nack", "nack pli", "ccm fir", "transport-cc", "goog-remb"];

/// What a payload type carries, as far as this engine has to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `profile` is the profile-level-id without its level, which either side may choose.
    H264 {
        mode: u8,
        profile: u16,
    },
    Vp8,
    Opus,
    /// Resends of another payload type (RFC 4588 §8.1).
    Resends(u8),
}

impl Format {
    /// H.264 that we send: a decoder of Constrained Baseline in packetization mode 1.
    pub fn takes_our_h264(self) -> bool {
        matches!(self, Self::H264 { mode: 1, .. }) && self.is_baseline_decoder()
    }

    /// H.264 that is put together to frames: packetization mode 0 or 1 of a profile with 8 bits of
    /// 4:2:0, as every decoder has.
    pub fn is_decodable_h264(self) -> bool {
        matches!(self, Self::H264 { mode: 0 | 1, .. }) && self.is_baseline_decoder()
    }

    /// H.264 that is forwarded: Constrained Baseline or Baseline in packetization mode 1, which
    /// every browser decodes.
    pub fn is_forwardable_h264(self) -> bool {
        matches!(self, Self::H264 { mode: 1, profile } if profile >> 8 == 0x42)
    }

    /// Whether a decoder of this profile decodes Constrained Baseline (ISO/IEC 14496-10 §A.2):
    /// Baseline, Main and High do, each with whatever constraints.
    fn is_baseline_decoder(self) -> bool {
        matches!(self, Self::H264 { profile, .. } if matches!(profile >> 8, 0x42 | 0x4d | 0x64))
    }
}

/// One payload type of a section, as its lines tell it.
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a> {
    pub number: u8,
    /// The value of `a=rtpmap`, such as `H264/90000`.
    pub encoding: Option<&'a str>,
    /// The value of the first `a=fmtp`.
    pub parameters: &'a str,
    feedback: u8,
}

impl<'a> Payload<'a> {
    pub fn new(number: u8) -> Self {
        Self {
            number,
            encoding: None,
            parameters: "",
            feedback: 0,
        }
    }

    /// Takes the value of an `a=rtcp-fb` line; what nobody here answers is passed over.
    pub fn add_feedback(&mut self, value: &str) {
        if let Some(bit) = FEEDBACK.iter().position(|known| *known == value) {
            self.feedback |= 1 << bit;
        }
    }

    pub fn is(&self, encoding: &str) -> bool {
        self.encoding
            .is_some_and(|own| own.trim().eq_ignore_ascii_case(encoding))
    }

    /// What it carries; `None` for what this engine has nothing to do with, or that makes no sense.
    pub fn format(&self) -> Option<Format> {
        if self.is("h264/90000") {
            Some(Format::H264 {
                mode: self.packetization_mode()?,
                profile: self.profile_level_id()?.0,
            })
        } else if self.is("vp8/90000") {
            Some(Format::Vp8)
        } else if self.is("opus/48000/2") {
            Some(Format::Opus)
        } else if self.is("rtx/90000") {
            Some(Format::Resends(number_of(self.parameter("apt")?)?))
        } else {
            None
        }
    }

    /// The value of one parameter.
    fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.split(';').find_map(|parameter| {
            let (key, value) = parameter.split_once('=')?;
            let is_it = key.trim().eq_ignore_ascii_case(name);
            is_it.then_some(value.trim())
        })
    }

    fn packetization_mode(&self) -> Option<u8> {
        match self.parameter("packetization-mode") {
            None => Some(0),
            Some(mode) => mode.parse().ok(),
        }
    }

    /// Profile with its constraints, and level. Without the parameter it is Baseline (RFC 6184 §8.1).
    fn profile_level_id(&self) -> Option<(u16, u8)> {
        let id = self.parameter("profile-level-id").unwrap_or("42000a");
        let is_hex = id.len() == 6 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = u32::from_str_radix(id, 16).ok().filter(|_| is_hex)?;
        Some(((id >> 8) as u16, id as u8))
    }

    /// Writes the lines of a payload type that is kept.
    pub fn write(&self, format: Format, text: &mut String) {
        let number = self.number;
        // Writing into a `String` cannot fail.
        let _ = match format {
            Format::H264 { mode, profile } => {
                let level = self.profile_level_id().map_or(0x0a, |(_, level)| level);
                write!(
                    text,
                    "a=rtpmap:{number} H264/90000\r\na=fmtp:{number} level-asymmetry-allowed=1;\
                     packetization-mode={mode};profile-level-id={profile:04x}{level:02x}\r\n"
                )
            }
            Format::Vp8 => write!(text, "a=rtpmap:{number} VP8/90000\r\n"),
            Format::Opus => write!(text, "a=rtpmap:{number} opus/48000/2\r\n"),
            Format::Resends(apt) => write!(
                text,
                "a=rtpmap:{number} rtx/90000\r\na=fmtp:{number} apt={apt}\r\n"
            ),
        };
        for (bit, name) in FEEDBACK.iter().enumerate() {
            if self.feedback & (1 << bit) != 0 {
                let _ = write!(text, "a=rtcp-fb:{number} {name}\r\n");
            }
        }
    }
}

/// A payload type as a line tells it (RFC 3550 §5.1: seven bits).
pub fn number_of(text: &str) -> Option<u8> {
    text.parse().ok().filter(|number| *number < 128)
}

/// What the payload types mean that are kept of a connection's offers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PayloadTypes(Vec<(u8, Format)>);

impl PayloadTypes {
    /// Adds what a number means; refused where it means something else already.
    pub fn add(&mut self, number: u8, format: Format) -> Result<(), EngineError> {
        match self.0.iter().find(|known| known.0 == number) {
            Some((_, known)) if *known == format => Ok(()),
            Some(_) => Err(EngineError::sdp(format!(
                "payload type {number} means different things in one call"
            ))),
            None => {
                self.0.push((number, format));
                Ok(())
            }
        }
    }

    /// Adds what another offer of the same connection tells; refused where they disagree.
    pub fn merge(&mut self, other: &Self) -> Result<(), EngineError> {
        for (number, format) in &other.0 {
            self.add(*number, *format)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(encoding: &'static str, parameters: &'static str) -> Payload<'static> {
        Payload {
            encoding: Some(encoding),
            parameters,
            ..Payload::new(96)
        }
    }

    #[test]
    fn what_makes_no_sense_is_no_format() {
        let mode_1 = Format::H264 {
            mode: 1,
            profile: 0x42e0,
        };
        let baseline = Format::H264 {
            mode: 0,
            profile: 0x4200,
        };
        let told = "Profile-Level-Id=42E01f; packetization-mode=1";
        assert_eq!(payload("H264/90000", told).format(), Some(mode_1));
        assert_eq!(payload("h264/90000", "").format(), Some(baseline));
        assert_eq!(
            payload("rtx/90000", "apt=127").format(),
            Some(Format::Resends(127))
        );
        for (encoding, parameters) in [
            ("H264/90000", "profile-level-id=+42e01"),
            ("H264/90000", "profile-level-id=42e0"),
            ("H264/90000", "packetization-mode=x"),
            ("rtx/90000", "apt=128"),
            ("rtx/90000", "apt=-1"),
            ("rtx/90000", ""),
            ("AV1/90000", ""),
        ] {
            assert_eq!(payload(encoding, parameters).format(), None, "{parameters}");
        }
    }

    #[test]
    fn a_number_keeps_its_meaning_for_a_call() {
        let mut types = PayloadTypes::default();
        assert!(types.add(96, Format::Vp8).is_ok() && types.add(96, Format::Vp8).is_ok());
        assert!(types.add(96, Format::Opus).is_err());
        let mut later = PayloadTypes::default();
        assert!(later.add(97, Format::Resends(96)).is_ok());
        assert!(types.merge(&later).is_ok());
        let mut changed = PayloadTypes::default();
        assert!(changed.add(97, Format::Resends(98)).is_ok());
        assert!(types.merge(&changed).is_err());
    }
}

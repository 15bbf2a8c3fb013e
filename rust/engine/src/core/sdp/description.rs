//! An SDP offer, read once from the first line to the last (RFC 8866 §5).
//!
//! Of each line is kept what this engine answers, in a form that is bounded; the bounds are far
//! above what Chromium, Firefox and OBS send (some 400 lines, 4 sections, 30 payload types).

use str0m::Candidate;

use super::section::{DIRECTIONS, Section};
use super::transport::Transport;
use crate::core::ice::candidate;
use crate::error::EngineError;

/// The largest offer taken, the same as the largest signalling message. Chrome's are below 16 KiB.
pub const MAX_SDP_BYTES: usize = 64 << 10;

const MAX_LINES: usize = 2048;
const MAX_LINE_BYTES: usize = 4096;
const MAX_SECTIONS: usize = 32;

/// Candidates taken of an offer, and lines that are tried for them.
pub const MAX_CANDIDATES: usize = 32;
const MAX_CANDIDATE_LINES: usize = 128;

/// An offer.
#[derive(Debug, Default)]
pub struct Description<'a> {
    pub direction: Option<&'a str>,
    /// The value of `a=group:BUNDLE`.
    pub bundle: Option<&'a str>,
    pub is_ice_lite: bool,
    pub transport: Transport<'a>,
    pub sections: Vec<Section<'a>>,
    pub candidates: Vec<Candidate>,
    /// Candidates whose address the browser keeps to itself.
    pub hidden: u32,
    candidate_lines: usize,
}

impl<'a> Description<'a> {
    /// Reads an offer, each line once.
    pub fn read(sdp: &'a str) -> Result<Self, EngineError> {
        if sdp.len() > MAX_SDP_BYTES {
            return Err(EngineError::sdp("larger than 64 KiB"));
        }
        let mut description = Self::default();
        let lines = sdp.split('\n').map(str::trim_end);
        for (i, line) in lines.filter(|line| !line.is_empty()).enumerate() {
            if i >= MAX_LINES {
                return Err(EngineError::sdp("more than 2048 lines"));
            }
            if line.len() > MAX_LINE_BYTES {
                return Err(EngineError::sdp("a line is longer than 4096 bytes"));
            }
            if line.bytes().any(|byte| byte < b' ' && byte != b'\t') {
                return Err(EngineError::sdp("a control character in a line"));
            }
            if i == 0 && line != "v=0" {
                return Err(EngineError::sdp("it does not begin with v=0"));
            }
            description.take(line)?;
        }
        if description.sections.is_empty() {
            let why = match sdp.trim_start().starts_with("v=0") {
                true => "it has no media section",
                false => "it does not begin with v=0",
            };
            return Err(EngineError::sdp(why));
        }
        Ok(description)
    }

    fn take(&mut self, line: &'a str) -> Result<(), EngineError> {
        if let Some(media) = line.strip_prefix("m=") {
            if self.sections.len() >= MAX_SECTIONS {
                return Err(EngineError::sdp("more than 32 media sections"));
            }
            self.sections.push(Section::read(media)?);
            return Ok(());
        }
        if line.starts_with("a=candidate:") {
            self.take_candidate(line);
            return Ok(());
        }
        let Some(attribute) = line.strip_prefix("a=") else {
            return Ok(());
        };
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        let transport = match self.sections.last_mut() {
            Some(section) => &mut section.transport,
            None => &mut self.transport,
        };
        if transport.take(name, value)? {
            return Ok(());
        }
        match self.sections.last_mut() {
            Some(section) => section.take(line, name, value),
            None => {
                match name {
                    "group" if self.bundle.is_none() => {
                        self.bundle = value.strip_prefix("BUNDLE").map(str::trim);
                    }
                    "ice-lite" => self.is_ice_lite = true,
                    _ if DIRECTIONS.contains(&line) => {
                        self.direction.get_or_insert(line);
                    }
                    _ => {}
                }
                Ok(())
            }
        }
    }

    /// One that cannot be read is passed over: the browser's checks find us all the same.
    fn take_candidate(&mut self, line: &str) {
        self.candidate_lines += 1;
        if self.candidate_lines > MAX_CANDIDATE_LINES {
            return;
        }
        let Ok(candidate) = candidate::parse(line) else {
            return;
        };
        match candidate {
            None if candidate::is_hidden(line) => self.hidden += 1,
            Some(candidate)
                if self.candidates.len() < MAX_CANDIDATES
                    && !self.candidates.contains(&candidate) =>
            {
                self.candidates.push(candidate);
            }
            _ => {}
        }
    }

    /// ICE credentials: of the session, or of the first section that has both.
    pub fn ice(&self) -> Option<(&'a str, &'a str)> {
        self.transports()
            .find_map(|t| Some((t.ufrag?, t.password?)))
    }

    /// DTLS fingerprints: of the session, or of the first section that has some.
    pub fn fingerprints(&self) -> &[&'a str] {
        let of_all = self.transports().map(|t| &t.fingerprints[..]);
        of_all.into_iter().find(|f| !f.is_empty()).unwrap_or(&[])
    }

    /// The DTLS role: of the session, or of the first section that has one.
    pub fn setup(&self) -> Option<&'a str> {
        self.transports().find_map(|t| t.setup)
    }

    fn transports(&self) -> impl Iterator<Item = &Transport<'a>> {
        let of_sections = self.sections.iter().map(|section| &section.transport);
        std::iter::once(&self.transport).chain(of_sections)
    }
}

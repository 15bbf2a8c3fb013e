//! An encoded clip, which a light publisher plays over and over.
//!
//! The file is a run of records, all numbers big-endian: kind (`u8`: 0 video, 1 audio), time (`u32`
//! µs from the start), length (`u32`), then that many bytes: an Annex B access unit or an Opus
//! packet. A last record of kind 2 and no bytes says how long the clip is.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::media::MediaKind;

use crate::delay;
use crate::line::Result;

pub struct Unit {
    pub kind: MediaKind,
    pub at: Duration,
    pub data: Arc<[u8]>,
    /// Where the time of sending goes: see `delay`.
    pub places: Vec<usize>,
}

pub struct Clip {
    pub units: Vec<Unit>,
    pub length: Duration,
}

impl Clip {
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path)?;
        let mut rest = bytes.as_slice();
        let mut units = Vec::new();
        loop {
            let (head, body) = rest.split_at_checked(9).ok_or("the clip has no end")?;
            let at = Duration::from_micros(u32::from_be_bytes(head[1..5].try_into()?).into());
            let length = u32::from_be_bytes(head[5..9].try_into()?) as usize;
            let kind = match head[0] {
                0 => MediaKind::Video,
                1 => MediaKind::Audio,
                _ if units.is_empty() => return Err("the clip is empty".into()),
                _ => return Ok(Self { units, length: at }),
            };
            let (data, after) = body.split_at_checked(length).ok_or("the clip is cut off")?;
            units.push(Unit {
                kind,
                at,
                data: data.into(),
                places: delay::places(data),
            });
            rest = after;
        }
    }
}

/// Where a publisher is in its clip.
pub struct Cursor {
    clip: Arc<Clip>,
    start: Instant,
    round: u32,
    next: usize,
}

impl Cursor {
    pub fn new(clip: Arc<Clip>, start: Instant) -> Self {
        Self {
            clip,
            start,
            round: 0,
            next: 0,
        }
    }

    /// Returns the next unit, its media time, and the moment at which it is due.
    pub fn peek(&self) -> (&Unit, Duration, Instant) {
        let unit = &self.clip.units[self.next];
        let time = self.clip.length * self.round + unit.at;
        (unit, time, self.start + time)
    }

    pub fn step(&mut self) {
        self.next += 1;
        if self.next == self.clip.units.len() {
            self.next = 0;
            self.round += 1;
        }
    }
}

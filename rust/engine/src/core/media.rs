//! The two kinds of media, and their RTP clocks.

/// What a track carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// H.264, Annex B access units, 90 kHz.
    Video,
    /// Opus packets, 48 kHz.
    Audio,
}

impl MediaKind {
    /// Units of the RTP clock in a second.
    pub fn clock_rate(self) -> u32 {
        match self {
            Self::Video => 90_000,
            Self::Audio => 48_000,
        }
    }
}

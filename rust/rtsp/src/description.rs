//! What a camera says that it sends.

/// The streams that are received, one of a kind at most.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Description {
    pub video: Option<VideoDescription>,
    pub audio: Option<AudioDescription>,
    /// Sound that nobody can decode, by its name in the SDP; it is left out.
    pub left_out: Option<String>,
    /// Whether packets come by UDP.
    pub is_udp: bool,
}

/// Pictures.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VideoDescription {
    /// FFmpeg's name: `h264`, `hevc` or `mjpeg`.
    pub codec: &'static str,
    /// Frames a second, numerator and denominator, if the camera says so.
    pub frame_rate: Option<(u32, u32)>,
}

/// Sound.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AudioDescription {
    /// FFmpeg's name: `opus`, `aac`, `pcm_mulaw`, …
    pub codec: &'static str,
    pub sample_rate: u32,
    pub channels: u16,
    /// What a decoder is to know before the first frame: AAC's AudioSpecificConfig.
    pub extra_data: Vec<u8>,
}

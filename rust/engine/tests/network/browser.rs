//! A browser, and the path to it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::media::{MediaData, Mid, Rid, SenderFeedback};
use str0m::rtp::RtpPacket;
use str0m::{Rtc, RtcConfig};

/// What a path does to datagrams.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// Fraction lost, 0..1.
    pub loss: f64,
    pub delay: Duration,
    /// Up to so much is added to the delay, so that datagrams overtake each other.
    pub jitter: Duration,
    /// Bit/s from the server to the browser; what does not fit into 300 ms of queue is lost.
    pub capacity: Option<u64>,
    pub cut: bool,
}

pub const CLEAN: Link = Link {
    loss: 0.0,
    delay: Duration::from_millis(5),
    jitter: Duration::ZERO,
    capacity: None,
    cut: false,
};

/// A browser, with all that it has received.
pub struct Browser {
    pub rtc: Rtc,
    pub peer: u64,
    pub address: SocketAddr,
    pub link: Link,
    pub video: Mid,
    pub audio: Mid,
    pub media: Vec<MediaData>,
    pub packets: Vec<RtpPacket>,
    pub reports: Vec<SenderFeedback>,
    /// When it was asked for a keyframe.
    pub keyframe_requests: Vec<Instant>,
    /// What it believes the path to the server carries.
    pub estimates: Vec<(Instant, u64)>,
    /// What it was told that it may send.
    pub limits: Vec<(Instant, u64)>,
    /// Of which layers, with each keyframe request.
    pub layers_asked: Vec<Option<Rid>>,
    pub connected: bool,
    pub closed: bool,
    pub deadline: Instant,
    /// When the bottleneck has sent what it holds.
    pub busy_until: Instant,
}

/// A browser that depacketises, keeps what it has, and accepts H.264 and Opus.
pub fn receiving() -> RtcConfig {
    Rtc::builder()
        .clear_codecs()
        .enable_h264(true)
        .enable_opus(true, false)
        .set_reordering_size_video(200)
}

/// A browser that shows each RTP packet.
pub fn rtp_browser() -> RtcConfig {
    receiving().set_rtp_mode(true)
}

/// An Annex B access unit without a start code inside.
pub fn access_unit(random: &mut fastrand::Rng, size: usize, keyframe: bool) -> Vec<u8> {
    let mut data = Vec::with_capacity(size + 32);
    if keyframe {
        data.extend_from_slice(&[0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x1f, 0xda]);
        data.extend_from_slice(&[0, 0, 0, 1, 0x68, 0xce, 0x3c, 0x80]);
    }
    data.extend_from_slice(&[0, 0, 0, 1, if keyframe { 0x65 } else { 0x41 }]);
    data.extend((0..size).map(|_| random.u8(1..)));
    data
}

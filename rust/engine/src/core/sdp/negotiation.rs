//! The parts of an offer/answer exchange that only concern str0m.

use std::time::{Duration, Instant};

use str0m::change::SdpOffer;
use str0m::format::Codec;
use str0m::media::{Mid, Pt};
use str0m::rtp::{Extension, ExtensionMap, Ssrc};
use str0m::{Candidate, Rtc};

use crate::core::forward::keys::{self, Keys};
use crate::core::media::MediaKind;
use crate::core::options::{Estimation, Local, PeerOptions};
use crate::core::receive::options::Delivery;
use crate::core::send::stream::Sender;
use crate::error::EngineError;

/// The bytes resent of all bytes sent in a second, above which resending stops.
const RESEND_RATIO: f32 = 0.5;

/// What is kept for resending: three seconds at 3 Mb/s.
const RESEND_PACKETS: usize = 1000;
const RESEND_AGE: Duration = Duration::from_secs(3);

/// How late a receiver report may be noticed where the bitrate follows it.
const REPORTS_SEEN_WITHIN: Duration = Duration::from_millis(250);

/// The least bitrate that video is worth sending at, in bit/s.
const MIN_BITRATE: u64 = 150_000;

/// The most that a path is probed for, in bit/s.
const MAX_BITRATE: u64 = 100_000_000;

/// H.264 profiles whose decoders take Constrained Baseline, by preference: payload type and RTX
/// payload type before the browser's numbers are known, and profile-level-id (RFC 6184 §8.1).
const PROFILES: [(u8, u8, u32); 5] = [
    (108, 109, 0x42_e0_1f), // Constrained Baseline
    (127, 121, 0x42_00_1f), // Baseline
    (123, 119, 0x4d_00_1f), // Main
    (114, 115, 0x64_00_1f), // High
    (116, 117, 0x64_0c_1f), // Constrained High
];

/// H.264 that is received, by preference: every decoder takes the first ones. Payload types,
/// packetization mode 1 or 0, and profile-level-id: level 5.2, which the sender may stay below
/// (RFC 6184 §8.2.2).
const RECEIVED_PROFILES: [(u8, u8, bool, u32); 8] = [
    (108, 109, true, 0x42_e0_34),
    (127, 121, true, 0x42_00_34),
    (123, 119, true, 0x4d_00_34),
    (114, 115, true, 0x64_00_34),
    (116, 117, true, 0x64_0c_34),
    (124, 120, false, 0x42_e0_34),
    (125, 107, false, 0x42_00_34),
    (35, 36, false, 0x4d_00_34),
];

/// An instance for a peer that has not made its offer yet.
pub fn build(options: &PeerOptions, local: &Local, now: Instant) -> (Rtc, Keys) {
    let mut extensions = ExtensionMap::empty();
    extensions.set(2, Extension::AbsoluteSendTime);
    extensions.set(4, Extension::RtpMid);
    let twcc = options.estimation == Estimation::Twcc;
    let max_bitrate = options.max_bitrate.clamp(MIN_BITRATE, MAX_BITRATE);
    if twcc {
        extensions.set(3, Extension::TransportSequenceNumber);
    }
    let mut config = Rtc::builder()
        .set_dtls_cert(local.certificate.clone())
        .clear_codecs()
        .enable_opus(true, false)
        .set_extension_map(extensions)
        .set_rtp_mode(true)
        .set_stats_interval(Some(Duration::from_secs(1)))
        .set_rtcp_report_interval_audio(Duration::from_secs(1))
        .set_rtcp_report_interval_video(Duration::from_secs(1))
        .set_send_buffer_video(RESEND_PACKETS);
    if twcc {
        let start = options.start_bitrate.clamp(MIN_BITRATE, max_bitrate);
        config = config
            .enable_bwe(Some(start.into()))
            .set_stats_interval(Some(REPORTS_SEEN_WITHIN));
    }
    let codecs = config.codec_config();
    for (pt, rtx, profile) in PROFILES {
        codecs.add_h264(pt.into(), Some(rtx.into()), true, profile);
    }
    for params in codecs.iter_mut() {
        params.set_fb_transport_cc(twcc);
    }
    let (mut rtc, keys) = keys::build(config, now);
    for address in &local.addresses {
        if let Ok(candidate) = Candidate::host(*address, "udp") {
            rtc.add_local_candidate(candidate);
        }
    }
    if twcc {
        rtc.bwe()
            .set_bitrate(MIN_BITRATE.into(), max_bitrate.into());
    }
    (rtc, keys)
}

/// An instance for a peer that receives and has not made its offer yet.
pub fn build_receiver(delivery: Delivery, local: &Local, now: Instant) -> Rtc {
    let mut extensions = ExtensionMap::empty();
    // Without the extension for orientation browsers turn the picture themselves.
    extensions.set(3, Extension::TransportSequenceNumber);
    extensions.set(4, Extension::RtpMid);
    if delivery == (Delivery::Packets { simulcast: true }) {
        extensions.set(10, Extension::RtpStreamId);
        extensions.set(11, Extension::RepairedRtpStreamId);
    }
    let mut config = Rtc::builder()
        .set_dtls_cert(local.certificate.clone())
        .clear_codecs()
        .enable_opus(true, false)
        .set_extension_map(extensions)
        .set_rtp_mode(true)
        .set_stats_interval(Some(Duration::from_secs(1)))
        .set_rtcp_report_interval_audio(Duration::from_secs(1))
        .set_rtcp_report_interval_video(Duration::from_secs(1));
    let codecs = config.codec_config();
    for (pt, rtx, mode_1, profile) in RECEIVED_PROFILES {
        codecs.add_h264(pt.into(), Some(rtx.into()), mode_1, profile);
    }
    codecs.enable_vp8(true);
    let mut rtc = config.build(now);
    for address in &local.addresses {
        if let Ok(candidate) = Candidate::host(*address, "udp") {
            rtc.add_local_candidate(candidate);
        }
    }
    rtc
}

/// Gives str0m the offer; its answer as text.
pub fn accept(rtc: &mut Rtc, text: &str) -> Result<String, EngineError> {
    let refuse = |error: &dyn std::fmt::Display| EngineError::Offer {
        message: format!("the SDP offer is refused: {error}"),
        reason: "sdp: the offer cannot be understood".into(),
    };
    let offer = SdpOffer::from_sdp_string(text).map_err(|error| refuse(&error))?;
    let answer = rtc
        .sdp_api()
        .accept_offer(offer)
        .map_err(|error| refuse(&error))?;
    Ok(answer.to_sdp_string())
}

/// Gives the stream of a section SSRCs of which the main one is always the smaller.
pub fn renumber(rtc: &mut Rtc, mid: Mid) -> (Ssrc, Option<Ssrc>) {
    let mut api = rtc.direct_api();
    let had = api
        .stream_tx_by_mid(mid, None)
        .map(|stream| (stream.ssrc(), stream.rtx()));
    let ssrc = Ssrc::from(fastrand::u32(1..1 << 31));
    let rtx = had
        .and_then(|(_, rtx)| rtx)
        .map(|_| Ssrc::from(fastrand::u32(1 << 31..)));
    if let Some((old, _)) = had {
        api.remove_stream_tx(old);
        api.declare_stream_tx(ssrc, rtx, mid, None);
    }
    (ssrc, rtx)
}

/// Makes the stream known to str0m, which then sends reports of it.
pub fn declare(rtc: &mut Rtc, sender: &mut Sender) {
    let mut api = rtc.direct_api();
    let stream = api.declare_stream_tx(sender.ssrc, sender.rtx, sender.mid, None);
    if sender.kind == MediaKind::Video {
        stream.set_rtx_cache(RESEND_PACKETS, RESEND_AGE, Some(RESEND_RATIO));
    }
    sender.declared = true;
}

/// The payload type to send: the first of ours that the browser takes.
pub fn payload_type(rtc: &Rtc, kind: MediaKind, mid: Mid) -> Option<Pt> {
    let media = rtc.media(mid)?;
    let codec = match kind {
        MediaKind::Video => Codec::H264,
        MediaKind::Audio => Codec::Opus,
    };
    let params = rtc.codec_config().params().iter();
    params
        .filter(|p| p.spec().codec == codec)
        .map(|p| p.pt())
        .find(|pt| media.remote_pts().contains(pt))
}

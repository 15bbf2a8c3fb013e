//! The parts of an offer/answer exchange that only concern str0m.

use std::time::{Duration, Instant};

use str0m::change::{SdpAnswer, SdpOffer};
use str0m::format::{Codec, PayloadParams};
use str0m::media::{Mid, Pt};
use str0m::rtp::{Extension, ExtensionMap, Ssrc};
use str0m::{Candidate, Rtc};

use crate::core::forward::keys::{self, KeySlot};
use crate::core::media::MediaKind;
use crate::core::options::{Estimation, Local, PeerOptions};
use crate::core::receive::options::Delivery;
use crate::core::send::parameters::StreamParameters;
use crate::error::EngineError;

/// What str0m keeps for resending: three seconds at 3 Mb/s.
pub const RESEND_PACKETS: usize = 1000;

/// How late a receiver report may be noticed where the bitrate follows it.
const REPORTS_SEEN_WITHIN: Duration = Duration::from_millis(250);

/// The least bitrate that video is worth sending at, in bit/s.
const MIN_BITRATE: u64 = 150_000;

/// The most that a path is probed for, in bit/s.
const MAX_BITRATE: u64 = 100_000_000;

/// Characters of an error of str0m's that are told.
const MAX_TOLD: usize = 200;

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

/// An instance for a connection that waits for its first offer. Making one takes ten times as long as
/// answering the offer, so it is made on the thread of whoever has the offer.
pub struct Instance {
    pub rtc: Rtc,
    /// Whoever sends finds the keys in it once they are known.
    pub keys: KeySlot,
}

/// Makes an instance.
pub fn build(
    sends: Option<&PeerOptions>,
    receives: Option<Delivery>,
    local: &Local,
    now: Instant,
) -> Instance {
    let paced = sends.filter(|options| options.estimation == Estimation::Twcc);
    let mut config = Rtc::builder()
        .set_dtls_cert(local.certificate.clone())
        .clear_codecs()
        .enable_opus(true, false)
        .set_extension_map(extensions(sends, receives))
        .set_rtp_mode(true)
        .set_stats_interval(Some(Duration::from_secs(1)))
        .set_rtcp_report_interval_audio(Duration::from_secs(1))
        .set_rtcp_report_interval_video(Duration::from_secs(1));
    let mut limits = None;
    if let Some(options) = paced {
        let max = options.max_bitrate.clamp(MIN_BITRATE, MAX_BITRATE);
        let start = options.start_bitrate.clamp(MIN_BITRATE, max);
        limits = Some(max);
        config = config
            .set_send_buffer_video(RESEND_PACKETS)
            .enable_bwe(Some(start.into()))
            .set_stats_interval(Some(REPORTS_SEEN_WITHIN));
    }
    let codecs = config.codec_config();
    if receives.is_some() {
        for (pt, rtx, mode_1, profile) in RECEIVED_PROFILES {
            codecs.add_h264(pt.into(), Some(rtx.into()), mode_1, profile);
        }
        codecs.enable_vp8(true);
    } else {
        for (pt, rtx, profile) in PROFILES {
            codecs.add_h264(pt.into(), Some(rtx.into()), true, profile);
        }
        for params in codecs.iter_mut() {
            params.set_fb_transport_cc(paced.is_some());
        }
    }
    let (mut rtc, keys) = match sends {
        Some(_) => keys::build(config, now),
        None => (config.build(now), KeySlot::default()),
    };
    for address in &local.addresses {
        if let Ok(candidate) = Candidate::host(*address, "udp") {
            rtc.add_local_candidate(candidate);
        }
    }
    if let Some(max) = limits {
        rtc.bwe().set_bitrate(MIN_BITRATE.into(), max.into());
    }
    Instance { rtc, keys }
}

fn extensions(sends: Option<&PeerOptions>, receives: Option<Delivery>) -> ExtensionMap {
    let mut extensions = ExtensionMap::empty();
    extensions.set(4, Extension::RtpMid);
    if sends.is_some() {
        extensions.set(2, Extension::AbsoluteSendTime);
    }
    // Without the extension for orientation browsers turn the picture themselves.
    let is_paced = sends.is_some_and(|options| options.estimation == Estimation::Twcc);
    if is_paced || receives.is_some() {
        extensions.set(3, Extension::TransportSequenceNumber);
    }
    if receives == Some(Delivery::Packets { simulcast: true }) {
        extensions.set(10, Extension::RtpStreamId);
        extensions.set(11, Extension::RepairedRtpStreamId);
    }
    extensions
}

/// Reads a prepared offer as str0m does.
pub fn parse(text: &str) -> Result<SdpOffer, EngineError> {
    SdpOffer::from_sdp_string(text).map_err(|error| refuse(&error))
}

/// Gives str0m the offer.
pub fn accept(rtc: &mut Rtc, offer: SdpOffer) -> Result<SdpAnswer, EngineError> {
    let answer = rtc.sdp_api().accept_offer(offer);
    answer.map_err(|error| refuse(&error))
}

/// An error of str0m's as one line. It may name the peer's text, so it is cut, and the peer is not
/// told it.
fn refuse(error: &dyn std::fmt::Display) -> EngineError {
    let error = error.to_string();
    let lines = error.lines().map(str::trim);
    // A parse error begins with the address in memory at which the parser stood.
    let lines = lines.filter(|line| !line.is_empty() && !line.contains("PointerOffset"));
    let told = lines.collect::<Vec<_>>().join("; ");
    let told: String = told
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_TOLD)
        .collect();
    EngineError::Offer {
        message: format!("the SDP offer is refused: {told}"),
        reason: "sdp: the offer cannot be understood".into(),
    }
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

/// Makes the stream known to str0m, which then tells its SSRCs in answers and sends reports of it.
pub fn declare(rtc: &mut Rtc, stream: &StreamParameters) {
    let mut api = rtc.direct_api();
    api.declare_stream_tx(stream.ssrc, stream.rtx_ssrc, stream.mid, None);
}

/// The payload type to send: the first of ours that the browser takes. H.264 is sent in
/// packetization mode 1.
pub fn payload_type(rtc: &Rtc, kind: MediaKind, mid: Mid) -> Option<Pt> {
    let media = rtc.media(mid)?;
    let is_sent = |params: &&PayloadParams| match (kind, params.spec().codec) {
        (MediaKind::Video, Codec::H264) => params.spec().format.packetization_mode == Some(1),
        (MediaKind::Audio, Codec::Opus) => true,
        _ => false,
    };
    let params = rtc.codec_config().params().iter();
    params
        .filter(is_sent)
        .map(|params| params.pt())
        .find(|pt| media.remote_pts().contains(pt))
}

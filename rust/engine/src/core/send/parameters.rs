//! What was negotiated for an outgoing stream.

use str0m::Rtc;
use str0m::media::{Mid, Pt};
use str0m::rtp::{Extension, Ssrc};

use crate::core::media::MediaKind;

/// What was negotiated for a stream.
#[derive(Debug, Clone, Copy)]
pub struct StreamParameters {
    pub kind: MediaKind,
    pub mid: Mid,
    pub ssrc: Ssrc,
    pub payload_type: Pt,
    /// The SSRC of resends.
    pub rtx_ssrc: Option<Ssrc>,
    /// Their payload type, of video that is resent.
    pub rtx_payload_type: Option<Pt>,
    /// The number of the extension for the section's name (RFC 9143 §14).
    pub mid_extension: Option<u8>,
    /// The number of the extension for the time of sending.
    pub time_extension: Option<u8>,
}

impl StreamParameters {
    /// Reads them where a section was negotiated just now.
    pub fn read(
        rtc: &Rtc,
        kind: MediaKind,
        mid: Mid,
        payload_type: Pt,
        (ssrc, rtx_ssrc): (Ssrc, Option<Ssrc>),
    ) -> Self {
        let number = |extension| rtc.media(mid)?.remote_extmap().id_of(extension);
        let mut params = rtc.codec_config().params().iter();
        let taken = params.find(|params| params.pt() == payload_type);
        Self {
            kind,
            mid,
            ssrc,
            payload_type,
            rtx_ssrc,
            rtx_payload_type: taken
                .and_then(|params| params.resend())
                .filter(|_| kind == MediaKind::Video),
            mid_extension: number(Extension::RtpMid),
            time_extension: number(Extension::AbsoluteSendTime),
        }
    }

    /// SSRC and payload type of resends (RFC 4588), where there are any.
    pub fn rtx(&self) -> Option<(Ssrc, Pt)> {
        self.rtx_ssrc.zip(self.rtx_payload_type)
    }
}

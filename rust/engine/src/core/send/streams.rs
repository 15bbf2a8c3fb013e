//! The streams that a viewer is sent: which section each goes in, and which track it carries.

use std::time::Instant;

use str0m::Rtc;
use str0m::change::SdpAnswer;
use str0m::media::Mid;
use str0m::rtp::Ssrc;

use super::parameters::StreamParameters;
use super::rewriter::RtpRewriter;
use crate::core::media::MediaKind;
use crate::core::sdp::negotiation;
use crate::core::sdp::offer::Prepared;
use crate::error::EngineError;
use crate::id::TrackId;

/// One outgoing stream.
#[derive(Debug)]
pub struct OutgoingStream {
    pub parameters: StreamParameters,
    pub rewriter: RtpRewriter,
}

impl OutgoingStream {
    /// The track being sent.
    pub fn current(&self) -> Option<TrackId> {
        self.rewriter.current()
    }
}

/// All outgoing streams of a viewer, one of a kind at most.
#[derive(Debug, Default)]
pub struct OutgoingStreams {
    streams: Vec<OutgoingStream>,
    /// The tracks wanted, by kind; kept through a renegotiation that takes a section away.
    attached: [Option<TrackId>; 2],
}

impl OutgoingStreams {
    /// Has str0m answer a prepared offer, and makes the streams agree with it. `is_declared` tells
    /// of which streams str0m knows anyway, because it sends them.
    pub fn negotiate(
        &mut self,
        rtc: &mut Rtc,
        prepared: &mut Prepared,
        is_declared: impl Fn(Ssrc) -> bool,
    ) -> Result<SdpAnswer, EngineError> {
        // The answer tells the SSRCs of what str0m knows.
        for stream in &self.streams {
            if !is_declared(stream.parameters.ssrc) {
                negotiation::declare(rtc, &stream.parameters);
            }
        }
        let mut answer = negotiation::accept(rtc, prepared.take()?)?;
        let mut has_renumbered = false;
        for kind in [MediaKind::Video, MediaKind::Audio] {
            let Some(mid) = prepared.sent[kind as usize] else {
                continue;
            };
            if self.of_section(mid).is_some() {
                continue;
            }
            let ssrcs = negotiation::renumber(rtc, mid);
            has_renumbered = true;
            match negotiation::payload_type(rtc, kind, mid) {
                Some(pt) => {
                    let mut rewriter = RtpRewriter::new(kind);
                    if let Some(track) = self.attached(kind) {
                        rewriter.attach(track);
                    }
                    self.streams.push(OutgoingStream {
                        parameters: StreamParameters::read(rtc, kind, mid, pt, ssrcs),
                        rewriter,
                    });
                }
                None if kind == MediaKind::Video => {
                    return Err(EngineError::offer("codec: browser offers no H.264"));
                }
                None => {}
            }
        }
        if has_renumbered {
            // The same offer again changes nothing, and the answer now has the SSRCs chosen here.
            answer = negotiation::accept(rtc, prepared.take()?)?;
        }
        let is_sending = |media: &str0m::media::Media| media.direction().is_sending();
        self.streams
            .retain(|stream| rtc.media(stream.parameters.mid).is_some_and(is_sending));
        for stream in &self.streams {
            if !is_declared(stream.parameters.ssrc) {
                rtc.direct_api().remove_stream_tx(stream.parameters.ssrc);
            }
        }
        Ok(answer)
    }

    /// Forgets a negotiation that failed.
    pub fn reset(&mut self) {
        self.streams.clear();
    }

    /// What was negotiated, stream by stream.
    pub fn parameters(&self) -> Vec<StreamParameters> {
        let streams = self.streams.iter();
        streams.map(|stream| stream.parameters).collect()
    }

    /// Carries `track` in place of the earlier one of its kind. `true` if a keyframe of it is needed.
    pub fn attach(&mut self, kind: MediaKind, track: TrackId) -> bool {
        self.attached[kind as usize] = Some(track);
        let stream = self.of_kind(kind);
        stream.is_some_and(|stream| stream.rewriter.attach(track))
    }

    /// Carries nothing of a kind any more.
    pub fn detach(&mut self, kind: MediaKind) {
        self.attached[kind as usize] = None;
        if let Some(stream) = self.of_kind(kind) {
            stream.rewriter.detach();
        }
    }

    /// The track of a kind that is wanted, whether a stream carries it or not.
    pub fn attached(&self, kind: MediaKind) -> Option<TrackId> {
        self.attached[kind as usize]
    }

    /// Lets go of a track that has ended.
    pub fn track_closed(&mut self, track: TrackId) {
        for attached in &mut self.attached {
            attached.take_if(|attached| *attached == track);
        }
        for stream in &mut self.streams {
            stream.rewriter.track_closed(track);
        }
    }

    /// The tracks that frames are still needed of.
    pub fn tracks(&self) -> Vec<TrackId> {
        let carried = self.streams.iter().flat_map(|s| s.rewriter.tracks());
        carried.chain(self.attached.into_iter().flatten()).collect()
    }

    /// The tracks of which a keyframe is waited for.
    pub fn awaited(&self) -> impl Iterator<Item = TrackId> {
        let rewriters = self.streams.iter().map(|stream| &stream.rewriter);
        let waiting = rewriters.filter(|rewriter| rewriter.is_waiting());
        waiting.filter_map(RtpRewriter::wanted)
    }

    /// Sends no video until the next keyframe.
    pub fn wait_for_keyframe(&mut self) {
        if let Some(video) = self.of_kind(MediaKind::Video) {
            video.rewriter.wait_for_keyframe();
        }
    }

    /// A frame of this track was thrown away before it reached any viewer.
    pub fn handle_frame_lost(&mut self, track: TrackId) {
        if self
            .video()
            .is_some_and(|video| video.current() == Some(track))
        {
            self.wait_for_keyframe();
        }
    }

    /// The stream that carries a track, or will from its next keyframe on.
    pub fn carrier(&mut self, track: TrackId) -> Option<&mut OutgoingStream> {
        let carries = |stream: &&mut OutgoingStream| stream.rewriter.tracks().any(|t| t == track);
        self.streams.iter_mut().find(carries)
    }

    /// The stream with this SSRC.
    pub fn of_ssrc(&self, ssrc: u32) -> Option<&OutgoingStream> {
        let mut streams = self.streams.iter();
        streams.find(|stream| *stream.parameters.ssrc == ssrc)
    }

    /// The RTP timestamp of now, of a stream that has sent.
    pub fn timestamp_at(&self, ssrc: u32, now: Instant) -> Option<u32> {
        self.of_ssrc(ssrc)?.rewriter.timestamp_at(now)
    }

    /// The stream of a section.
    pub fn of_section(&self, mid: Mid) -> Option<&OutgoingStream> {
        let mut streams = self.streams.iter();
        streams.find(|stream| stream.parameters.mid == mid)
    }

    /// The video.
    pub fn video(&self) -> Option<&OutgoingStream> {
        let mut streams = self.streams.iter();
        streams.find(|stream| stream.parameters.kind == MediaKind::Video)
    }

    /// Whether a datagram of str0m's is a resend (RFC 4588 §5.3): the RTP header is in the clear.
    pub fn is_resend(&self, datagram: &[u8]) -> bool {
        let Some(Ok(ssrc)) = datagram.get(8..12).map(<[u8; 4]>::try_from) else {
            return false;
        };
        let ssrc = u32::from_be_bytes(ssrc);
        let mut streams = self.streams.iter();
        streams.any(|s| s.parameters.rtx_ssrc.is_some_and(|rtx| *rtx == ssrc))
    }

    fn of_kind(&mut self, kind: MediaKind) -> Option<&mut OutgoingStream> {
        let mut streams = self.streams.iter_mut();
        streams.find(|stream| stream.parameters.kind == kind)
    }
}

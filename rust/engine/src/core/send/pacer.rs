//! The way out through str0m, which paces: for a viewer whose encoder follows what its path carries
//! ([`Estimation::Twcc`](crate::core::options::Estimation::Twcc)).

use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::Rtc;
use str0m::media::{Direction, Mid};
use str0m::rtp::{RtpWrite, Ssrc};
use str0m::stats::MediaEgressStats;

use super::parameters::StreamParameters;
use super::rewriter::RtpPosition;
use crate::core::media::MediaKind;
use crate::core::sdp::negotiation::{self, RESEND_PACKETS};
use crate::stats::PeerStats;

/// A paced packet that waited so long, after a path has narrowed, is not worth sending any more:
/// what waits is thrown away, and a keyframe at the rate of now is with the viewer sooner.
const STALE_AFTER: Duration = Duration::from_millis(600);

/// The least time between two times of that: on a path that carries next to nothing even a small
/// keyframe takes longer than `STALE_AFTER`, and must arrive some time.
const STALE_PAUSE: Duration = Duration::from_secs(3);

/// A paced packet that waited so long says that the viewer cannot keep up.
const MAX_QUEUE_AGE: Duration = Duration::from_millis(1500);

/// Paced packets that may wait. A 720p keyframe has about a hundred.
const MAX_QUEUE_PACKETS: usize = 2000;

/// The bytes resent of all bytes sent in a second, above which resending stops.
const RESEND_RATIO: f32 = 0.5;

const RESEND_AGE: Duration = Duration::from_secs(3);

/// The streams of a viewer that str0m sends.
#[derive(Debug, Default)]
pub struct Pacer {
    /// Those that str0m knows: each from its first packet on, see `connection`.
    declared: Vec<Ssrc>,
    purged: Option<Instant>,
    /// NACKs and keyframe requests so far, of each section.
    feedback: Vec<(Mid, u64, u64)>,
}

impl Pacer {
    /// Hands a packet to str0m, which sends it when it is its turn.
    pub fn write(
        &mut self,
        rtc: &mut Rtc,
        stream: &StreamParameters,
        position: RtpPosition,
        captured: Instant,
        marker: bool,
        payload: &Arc<[u8]>,
    ) {
        let is_video = stream.kind == MediaKind::Video;
        if !self.is_declared(stream.ssrc) {
            self.declared.push(stream.ssrc);
            negotiation::declare(rtc, stream);
            let mut api = rtc.direct_api();
            if let Some(sender) = api.stream_tx(&stream.ssrc).filter(|_| is_video) {
                sender.set_rtx_cache(RESEND_PACKETS, RESEND_AGE, Some(RESEND_RATIO));
            }
        }
        let mut api = rtc.direct_api();
        if let Some(sender) = api.stream_tx(&stream.ssrc) {
            let sequence = position.sequence.into();
            let payload = payload.clone();
            let (pt, timestamp) = (stream.payload_type, position.timestamp);
            let packet = RtpWrite::new(pt, sequence, timestamp, captured, payload);
            sender.write_rtp(packet.marker(marker).nackable(is_video));
        }
    }

    /// Whether str0m knows the stream.
    pub fn is_declared(&self, ssrc: Ssrc) -> bool {
        self.declared.contains(&ssrc)
    }

    /// Forgets streams that were negotiated away.
    pub fn retain(&mut self, is_wanted: impl Fn(Ssrc) -> bool) {
        self.declared.retain(|ssrc| is_wanted(*ssrc));
    }

    /// Whether more waits for its turn than a viewer that keeps up has waiting.
    pub fn is_congested(&self, rtc: &mut Rtc, ssrc: Ssrc, now: Instant) -> bool {
        let mut api = rtc.direct_api();
        let queue = api
            .stream_tx(&ssrc)
            .and_then(|stream| stream.queue_info())
            .map(|queue| (queue.packet_count(), queue.first_unsent()));
        queue.is_some_and(|(packets, first)| {
            packets > MAX_QUEUE_PACKETS
                || first.is_some_and(|at| now.saturating_duration_since(at) > MAX_QUEUE_AGE)
        })
    }

    /// For how long the oldest packet of a stream waits for its turn.
    pub fn backlog(&self, rtc: &mut Rtc, ssrc: Ssrc, now: Instant) -> Option<Duration> {
        let mut api = rtc.direct_api();
        let since = api.stream_tx(&ssrc)?.queue_info()?.first_unsent();
        Some(since.map_or(Duration::ZERO, |at| now.saturating_duration_since(at)))
    }

    /// Throws away what waits for too long; how many packets that were.
    pub fn purge_stale(
        &mut self,
        rtc: &mut Rtc,
        stream: &StreamParameters,
        now: Instant,
    ) -> Option<u64> {
        let is_recent = |at| now.saturating_duration_since(at) < STALE_PAUSE;
        let age = self.backlog(rtc, stream.ssrc, now)?;
        if age < STALE_AFTER || self.purged.is_some_and(is_recent) {
            return None;
        }
        let direction = rtc.media(stream.mid)?.direction();
        let waiting = rtc
            .direct_api()
            .stream_tx(&stream.ssrc)
            .and_then(|stream| stream.queue_info().map(|queue| queue.packet_count()))
            .unwrap_or_default();
        // str0m empties a stream's queues, that of resends too, when its section stops sending,
        // and offers no other way. Nothing of this is negotiated: the changes are dropped.
        let mut sections = rtc.sdp_api();
        sections.set_direction(stream.mid, Direction::Inactive);
        sections.set_direction(stream.mid, direction);
        drop(sections);
        self.purged = Some(now);
        Some(waiting as u64)
    }

    /// Counts what the viewer has asked for, of which str0m tells once in a while.
    pub fn count_feedback(&mut self, egress: &MediaEgressStats, stats: &mut PeerStats) {
        if let Some(loss) = egress.loss {
            stats.loss = Some(f64::from(loss));
        }
        let of_section = |entry: &&mut (Mid, u64, u64)| entry.0 == egress.mid;
        let counted = (egress.mid, egress.nacks, egress.plis + egress.firs);
        match self.feedback.iter_mut().find(of_section) {
            Some(entry) => *entry = counted,
            None => self.feedback.push(counted),
        }
        stats.nacks = self.feedback.iter().map(|entry| entry.1).sum();
        stats.plis = self.feedback.iter().map(|entry| entry.2).sum();
    }
}

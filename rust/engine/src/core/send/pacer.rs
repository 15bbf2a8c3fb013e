//! A viewer with an encoder that follows him: what waits for the pacer, and what losses say.
//!
//! Only peers of [`Estimation::Twcc`] have a pacer. Of viewers of a relay, whose source follows
//! nobody, losses are judged in `congestion.rs`.

use std::time::{Duration, Instant};

use str0m::media::Direction;
use str0m::stats::MediaEgressStats;

use crate::core::context::Context;
use crate::core::media::MediaKind;
use crate::core::options::Estimation;
use crate::core::peer::Peer;
use crate::core::send::estimate::FLOOR;
use crate::core::send::stream::Sender;
use crate::event::Event;
use crate::id::TrackId;
use crate::stats::Counters;

/// A paced packet that waited so long, after a path has narrowed, is not worth sending any more:
/// what waits is thrown away, and a keyframe at the rate of now is with the viewer sooner.
const STALE_AFTER: Duration = Duration::from_millis(600);

/// The least time between two times of that: on a path that carries next to nothing even a small
/// keyframe takes longer than `STALE_AFTER`, and must arrive some time.
const STALE_PAUSE: Duration = Duration::from_secs(3);

/// Packets that a report must speak of: of three, one lost is no third of the path.
const MIN_REPORTED: u64 = 20;

/// What the pacing of a peer remembers.
#[derive(Debug, Default)]
pub struct Pacing {
    purged: Option<Instant>,
    reported: Option<Reported>,
}

/// A receiver report, and what had been sent when it came.
#[derive(Debug, Clone, Copy)]
struct Reported {
    at: Instant,
    sequence: u64,
    lost: u64,
    sent: u64,
}

impl Reported {
    /// The share lost since an earlier report, and the bit/s sent meanwhile; `None` if too little
    /// was sent to tell.
    fn since(&self, before: &Self) -> Option<(f64, u64)> {
        let expected = self.sequence.checked_sub(before.sequence)?;
        // A packet that came late, or again, is taken back from the losses (RFC 3550 §A.3).
        let lost = self.lost.saturating_sub(before.lost).min(expected);
        let seconds = self.at.saturating_duration_since(before.at).as_secs_f64();
        if expected < MIN_REPORTED || seconds <= 0.0 {
            return None;
        }
        let bits = self.sent.saturating_sub(before.sent) * 8;
        Some((
            lost as f64 / expected as f64,
            (bits as f64 / seconds) as u64,
        ))
    }
}

impl Peer {
    fn is_paced(&self) -> bool {
        self.options.estimation == Estimation::Twcc
    }

    /// The video track that is sent, and for how long its oldest packet waits for the pacer.
    pub(in crate::core) fn backlog(&mut self, now: Instant) -> Option<(TrackId, Duration)> {
        if !self.is_paced() {
            return None;
        }
        let rtc = self.rtc.as_mut()?;
        let is_video = |s: &&Sender| s.declared && s.kind == MediaKind::Video;
        let sender = self.senders.iter().find(is_video)?;
        let track = sender.current()?;
        let mut api = rtc.direct_api();
        let since = api.stream_tx(&sender.ssrc)?.queue_info()?.first_unsent();
        let age = since.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        Some((track, age))
    }

    /// Mends what the pacer can no longer make good; `true` if the peer must be driven again.
    pub(in crate::core) fn mend_pacing(&mut self, now: Instant, context: &mut Context<'_>) -> bool {
        if !self.is_paced() {
            return false;
        }
        let collapsed = self.estimate.wants_fresh_start(now);
        if let Some(rtc) = self.rtc.as_mut().filter(|_| collapsed) {
            rtc.bwe().reset(FLOOR.into());
        }
        self.purge_stale(now, context) || collapsed
    }

    fn purge_stale(&mut self, now: Instant, context: &mut Context<'_>) -> bool {
        let recently = self
            .pacing
            .purged
            .is_some_and(|at| now.saturating_duration_since(at) < STALE_PAUSE);
        let stale = self.backlog(now).filter(|(_, age)| *age >= STALE_AFTER);
        let Some((track, _)) = stale.filter(|_| !recently) else {
            return false;
        };
        let carries = |s: &&mut Sender| s.current() == Some(track);
        let (Some(rtc), Some(sender)) = (self.rtc.as_mut(), self.senders.iter_mut().find(carries))
        else {
            return false;
        };
        let Some(direction) = rtc.media(sender.mid).map(|media| media.direction()) else {
            return false;
        };
        let waiting = rtc
            .direct_api()
            .stream_tx(&sender.ssrc)
            .and_then(|stream| stream.queue_info().map(|queue| queue.packet_count()))
            .unwrap_or_default();
        // str0m empties a stream's queues, that of resends too, when its section stops sending,
        // and offers no other way. Nothing of this is negotiated: the changes are dropped.
        let mut sections = rtc.sdp_api();
        sections.set_direction(sender.mid, Direction::Inactive);
        sections.set_direction(sender.mid, direction);
        drop(sections);
        sender.wait_for_keyframe();
        self.pacing.purged = Some(now);
        self.estimate.overloaded();
        Counters::add(&context.counters.packets_dropped, waiting as u64);
        context.events.push(Event::KeyframeRequested {
            peer: self.id,
            track,
        });
        true
    }

    /// Lets the estimate know what each new receiver report says of the video.
    pub(in crate::core) fn watch_losses(&mut self, stats: &MediaEgressStats) {
        let is_video = |s: &Sender| s.mid == stats.mid && s.kind == MediaKind::Video;
        let Some(remote) = stats.remote.as_ref() else {
            return;
        };
        if self.congestion.is_relayed || !self.senders.iter().any(is_video) {
            return;
        }
        let report = Reported {
            at: stats.timestamp,
            sequence: *remote.maximum_sequence_number,
            lost: remote.packets_lost,
            sent: self.stats.bytes_sent,
        };
        let news = match self.pacing.reported {
            // The newest report is told again and again until the next one comes.
            Some(before) if before.sequence == report.sequence => return,
            Some(before) => report.since(&before),
            // The first one speaks of all that was ever sent.
            None => stats.loss.zip(self.offered).map(|(loss, since)| {
                let seconds = report.at.saturating_duration_since(since).as_secs_f64();
                let sent = report.sent as f64 * 8.0 / seconds.max(0.001);
                (f64::from(loss), sent as u64)
            }),
        };
        if let Some((loss, sent)) = news {
            self.estimate.report_loss(loss, sent);
        }
        self.pacing.reported = Some(report);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_measured_against_the_one_before() {
        let start = Instant::now();
        let before = Reported {
            at: start,
            sequence: 100,
            lost: 10,
            sent: 1000,
        };
        let report = |sequence, lost, sent| Reported {
            at: start + Duration::from_secs(2),
            sequence,
            lost,
            sent,
        };
        assert_eq!(
            report(200, 30, 26_000).since(&before),
            Some((0.2, 100_000)),
            "20 of 100 lost, 25 kB in 2 s"
        );
        assert_eq!(report(110, 11, 9000).since(&before), None, "ten packets");
        assert_eq!(report(90, 11, 9000).since(&before), None, "an old report");
        assert_eq!(report(200, 5, 1000).since(&before), Some((0.0, 0)));
        assert_eq!(report(200, 5000, 1000).since(&before), Some((1.0, 0)));
    }
}

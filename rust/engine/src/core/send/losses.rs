//! What receiver reports say of the losses on a path (RFC 3550 §6.4.1).

use std::time::Instant;

/// Packets that a report must speak of: of three, one lost is no third of the path.
const MIN_REPORTED: u64 = 20;

/// A receiver report on one stream.
#[derive(Debug, Clone, Copy)]
pub struct ReceptionReport {
    pub at: Instant,
    /// The highest sequence number received.
    pub sequence: u64,
    /// Packets lost since the start.
    pub lost: u64,
    /// The share lost since the report before, 0..1.
    pub fraction: Option<f64>,
    /// Bytes that had been sent when the report came.
    pub sent: u64,
}

impl ReceptionReport {
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

/// The losses of one stream, report by report.
#[derive(Debug, Default)]
pub struct Losses {
    /// When sending began at the earliest.
    start: Option<Instant>,
    newest: Option<ReceptionReport>,
}

impl Losses {
    /// What is sent was negotiated, for the first time or again.
    pub fn handle_negotiated(&mut self, now: Instant) {
        self.start.get_or_insert(now);
    }

    /// Takes a report: the share lost and the bit/s sent since the one before, where that can be
    /// told.
    pub fn handle_report(&mut self, report: ReceptionReport) -> Option<(f64, u64)> {
        let start = self.start?;
        let losses = match self.newest {
            // The newest report is told again and again until the next one comes.
            Some(before) if before.sequence == report.sequence => return None,
            Some(before) => report.since(&before),
            // The first one speaks of all that was ever sent.
            None => report.fraction.map(|fraction| {
                let seconds = report.at.saturating_duration_since(start).as_secs_f64();
                let sent = report.sent as f64 * 8.0 / seconds.max(0.001);
                (fraction, sent as u64)
            }),
        };
        self.newest = Some(report);
        losses
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_report_is_measured_against_the_one_before() {
        let start = Instant::now();
        let before = ReceptionReport {
            at: start,
            sequence: 100,
            lost: 10,
            fraction: Some(0.1),
            sent: 1000,
        };
        let report = |sequence, lost, sent| ReceptionReport {
            at: start + Duration::from_secs(2),
            sequence,
            lost,
            fraction: None,
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

    #[test]
    fn the_first_report_speaks_of_all_and_the_same_one_again_of_nothing() {
        let (start, mut losses) = (Instant::now(), Losses::default());
        let report = ReceptionReport {
            at: start + Duration::from_secs(2),
            sequence: 100,
            lost: 10,
            fraction: Some(0.25),
            sent: 1000,
        };
        losses.handle_negotiated(start);
        losses.handle_negotiated(start + Duration::from_secs(1));
        assert_eq!(losses.handle_report(report), Some((0.25, 4000)));
        assert_eq!(losses.handle_report(report), None);
    }
}

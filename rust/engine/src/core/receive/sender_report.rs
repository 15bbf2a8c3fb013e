//! RTCP sender reports of a stream that is received (RFC 3550 §6.4.1).

use std::time::SystemTime;

use str0m::rtp::rtcp::SenderInfo;

use super::timestamp::TimestampUnwrapper;

/// One moment on two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderReport {
    /// The sender's wallclock, ns since the Unix epoch.
    pub ntp_ns: u64,
    /// The same moment on the timeline of [`super::frame::ReceivedFrame::timestamp`].
    pub timestamp: u64,
}

impl SenderReport {
    /// The sender's wallclock at another moment of the stream, ns since the Unix epoch.
    pub fn wallclock_ns(&self, timestamp: u64, clock_rate: u32) -> i128 {
        let since = i128::from(timestamp) - i128::from(self.timestamp);
        i128::from(self.ntp_ns) + since * 1_000_000_000 / i128::from(clock_rate)
    }
}

/// The newest report of a stream, if it fits the stream's timestamps.
#[derive(Debug, Default)]
pub struct NewestReport {
    /// The report read last, by the sender's wallclock. It outlives [`NewestReport::discard`]:
    /// str0m hands a report out with every packet until the next one comes, and after a jump of
    /// the timestamps that report is one of the clock before.
    read: Option<SystemTime>,
    report: Option<SenderReport>,
}

impl NewestReport {
    /// Reads the report that came with a packet, after the timestamp of that packet was extended.
    /// str0m extends a report's timestamp apart from those of packets; only its lower half is used.
    pub fn read(&mut self, info: &SenderInfo, timestamps: &TimestampUnwrapper) {
        if self.read == Some(info.ntp_time) {
            return;
        }
        let since_epoch = info.ntp_time.duration_since(SystemTime::UNIX_EPOCH).ok();
        let ntp_ns = since_epoch.and_then(|time| u64::try_from(time.as_nanos()).ok());
        let timestamp = timestamps.extend_report(info.rtp_time.numer() as u32);
        if let (Some(ntp_ns), Some(timestamp)) = (ntp_ns, timestamp) {
            self.read = Some(info.ntp_time);
            self.report = Some(SenderReport { ntp_ns, timestamp });
        }
    }

    /// The sender's clock started anew: what was reported of it holds no longer.
    pub fn discard(&mut self) {
        self.report = None;
    }

    pub fn get(&self) -> Option<SenderReport> {
        self.report
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use str0m::media::{Frequency, MediaTime};

    use super::*;

    /// A report of a moment, in seconds since the Unix epoch.
    fn info(ntp: u64, rtp: u64) -> SenderInfo {
        SenderInfo {
            ssrc: 1.into(),
            ntp_time: SystemTime::UNIX_EPOCH + Duration::from_secs(ntp),
            rtp_time: MediaTime::new(rtp, Frequency::NINETY_KHZ),
            sender_packet_count: 0,
            sender_octet_count: 0,
        }
    }

    #[test]
    fn a_report_from_before_a_jump_of_the_clock_is_not_read_again() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut timestamps = TimestampUnwrapper::new(90_000);
        let mut newest = NewestReport::default();
        let first = timestamps.extend(1000, start, false).value;
        newest.read(&info(100, 1000), &timestamps);
        let before = newest.get().expect("a report");
        assert_eq!((before.ntp_ns, before.timestamp), (100_000_000_000, first));
        assert_eq!(before.wallclock_ns(first + 45_000, 90_000), 100_500_000_000);
        // str0m hands the old report out with the packets after the jump.
        let jump = timestamps.extend(3_000_000_000, start + second, false);
        assert!(jump.is_joined);
        newest.discard();
        newest.read(&info(100, 1000), &timestamps);
        assert_eq!(newest.get(), None);
        newest.read(&info(101, 3_000_000_000), &timestamps);
        let after = newest.get().map(|report| (report.ntp_ns, report.timestamp));
        assert_eq!(after, Some((101_000_000_000, jump.value)));
    }
}

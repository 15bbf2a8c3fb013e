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

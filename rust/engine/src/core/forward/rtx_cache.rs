//! The packets that a viewer was sent last, to be resent.

use std::sync::Arc;

/// Packets that are kept: three seconds at 3 Mb/s. The payloads are shared by all viewers.
const PACKETS: usize = 1024;

/// Of these the largest is looked for where one is to be resent as a probe.
const LAST: u32 = 128;

/// The bytes resent of all bytes sent. It still bounds what a viewer that NACKs everything gets.
const RATIO: f64 = 0.5;

/// What may be resent at once, in bytes: a keyframe lost in a burst.
const BURST: f64 = 100_000.0;

/// A packet that was sent.
#[derive(Debug, Clone)]
pub struct SentPacket {
    /// The lower half is the number on the wire.
    pub sequence: u32,
    pub timestamp: u32,
    pub marker: bool,
    pub payload: Arc<[u8]>,
}

/// The newest packets of one stream.
#[derive(Debug)]
pub struct RtxCache {
    /// A packet has its place by its number.
    packets: Vec<Option<SentPacket>>,
    newest: u32,
    /// Bytes that may be resent.
    credit: f64,
}

impl Default for RtxCache {
    fn default() -> Self {
        Self {
            packets: Vec::new(),
            newest: 0,
            credit: BURST,
        }
    }
}

impl RtxCache {
    pub fn add(&mut self, sent: SentPacket) {
        if self.packets.is_empty() {
            self.packets.resize(PACKETS, None);
            self.newest = sent.sequence;
        }
        self.credit = (self.credit + sent.payload.len() as f64 * RATIO).min(BURST);
        self.newest = self.newest.max(sent.sequence);
        let place = sent.sequence as usize % PACKETS;
        self.packets[place] = Some(sent);
    }

    /// The packet of a number on the wire, if it is still there and may be sent again.
    pub fn resend(&mut self, number: u16) -> Option<SentPacket> {
        let found = self.find(number)?.clone();
        let bytes = found.payload.len() as f64;
        if self.credit < bytes {
            return None;
        }
        self.credit -= bytes;
        Some(found)
    }

    /// The largest of the last packets.
    pub fn largest(&self) -> Option<SentPacket> {
        let last = (0..LAST).filter_map(|n| self.newest.checked_sub(n));
        let last = last.filter_map(|sequence| self.find(sequence as u16));
        last.max_by_key(|sent| sent.payload.len()).cloned()
    }

    fn find(&self, number: u16) -> Option<&SentPacket> {
        let place = usize::from(number) % PACKETS;
        let sent = self.packets.get(place)?.as_ref()?;
        let is_recent = self.newest - sent.sequence < PACKETS as u32;
        (sent.sequence as u16 == number && is_recent).then_some(sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(sequence: u32, size: usize) -> SentPacket {
        SentPacket {
            sequence,
            timestamp: sequence * 10,
            marker: false,
            payload: vec![1; size].into(),
        }
    }

    #[test]
    fn the_newest_are_found_by_their_number_on_the_wire_and_older_ones_are_not() {
        let mut cache = RtxCache::default();
        assert!(cache.resend(7).is_none());
        for sequence in 65_000..66_500 {
            cache.add(sent(sequence, 10));
        }
        let found = cache.resend((66_499_u32 & 0xffff) as u16).expect("there");
        assert_eq!((found.sequence, found.timestamp), (66_499, 664_990));
        assert!(cache.resend(65_476).is_some());
        assert!(cache.resend(65_475).is_none());
        assert!(cache.resend(964).is_none(), "not sent yet");
    }

    #[test]
    fn half_of_what_is_sent_may_be_resent_and_a_burst() {
        let mut cache = RtxCache::default();
        for sequence in 0..100 {
            cache.add(sent(sequence, 1000));
        }
        let burst = (0..300).filter(|n| cache.resend(n % 100).is_some());
        assert_eq!(burst.count(), 100);
        cache.add(sent(100, 1000));
        assert!(cache.resend(100).is_none());
        cache.add(sent(101, 1000));
        assert!(cache.resend(100).is_some() && cache.resend(101).is_none());
    }

    #[test]
    fn the_largest_of_the_last_is_found() {
        let mut cache = RtxCache::default();
        assert!(cache.largest().is_none());
        for (sequence, size) in [(5, 1300), (200, 900), (201, 1100), (202, 80)] {
            cache.add(sent(sequence, size));
        }
        assert_eq!(cache.largest().map(|sent| sent.sequence), Some(201));
    }
}

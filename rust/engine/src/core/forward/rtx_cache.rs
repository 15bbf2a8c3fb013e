//! What a viewer was sent last, to be sent again.

use std::sync::Arc;

/// Packets that are remembered: two seconds at 2 Mb/s. The payloads are shared by all viewers.
const PACKETS: usize = 512;

/// The bytes resent of all bytes sent. It still bounds what a viewer that NACKs everything gets.
const RATIO: f64 = 0.5;

/// What may be resent at once, in bytes: a keyframe lost in a burst.
const BURST: f64 = 100_000.0;

/// A packet that was sent.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The lower half is the number on the wire.
    pub sequence: u32,
    pub timestamp: u32,
    pub marker: bool,
    pub payload: Arc<[u8]>,
}

/// The newest packets of one stream.
#[derive(Debug)]
pub struct History {
    /// A packet has its place by its number.
    packets: Vec<Option<Sent>>,
    newest: u32,
    /// Bytes that may be resent.
    credit: f64,
}

impl Default for History {
    fn default() -> Self {
        Self {
            packets: Vec::new(),
            newest: 0,
            credit: BURST,
        }
    }
}

impl History {
    pub fn add(&mut self, sent: Sent) {
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
    pub fn again(&mut self, number: u16) -> Option<Sent> {
        let found = self.find(number)?.clone();
        let bytes = found.payload.len() as f64;
        if self.credit < bytes {
            return None;
        }
        self.credit -= bytes;
        Some(found)
    }

    /// The largest of the last packets.
    pub fn largest(&self) -> Option<Sent> {
        let last = (0..PACKETS as u32 / 4).filter_map(|n| self.newest.checked_sub(n));
        let last = last.filter_map(|sequence| self.find(sequence as u16));
        last.max_by_key(|sent| sent.payload.len()).cloned()
    }

    fn find(&self, number: u16) -> Option<&Sent> {
        let place = usize::from(number) % PACKETS;
        let sent = self.packets.get(place)?.as_ref()?;
        let is_recent = self.newest - sent.sequence < PACKETS as u32;
        (sent.sequence as u16 == number && is_recent).then_some(sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(sequence: u32, size: usize) -> Sent {
        Sent {
            sequence,
            timestamp: sequence * 10,
            marker: false,
            payload: vec![1; size].into(),
        }
    }

    #[test]
    fn the_newest_are_found_by_their_number_on_the_wire_and_older_ones_are_not() {
        let mut history = History::default();
        assert!(history.again(7).is_none());
        for sequence in 65_000..66_000 {
            history.add(sent(sequence, 10));
        }
        let found = history.again((65_999_u32 & 0xffff) as u16).expect("there");
        assert_eq!((found.sequence, found.timestamp), (65_999, 659_990));
        assert!(history.again(65_488).is_some());
        assert!(history.again(65_487).is_none());
        assert!(history.again(464).is_none(), "not sent yet");
    }

    #[test]
    fn half_of_what_is_sent_may_be_resent_and_a_burst() {
        let mut history = History::default();
        for sequence in 0..100 {
            history.add(sent(sequence, 1000));
        }
        let burst = (0..300).filter(|n| history.again(n % 100).is_some());
        assert_eq!(burst.count(), 100);
        history.add(sent(100, 1000));
        assert!(history.again(100).is_none());
        history.add(sent(101, 1000));
        assert!(history.again(100).is_some() && history.again(101).is_none());
    }

    #[test]
    fn the_largest_of_the_last_is_found() {
        let mut history = History::default();
        assert!(history.largest().is_none());
        for (sequence, size) in [(5, 1300), (200, 900), (201, 1100), (202, 80)] {
            history.add(sent(sequence, size));
        }
        assert_eq!(history.largest().map(|sent| sent.sequence), Some(201));
    }
}

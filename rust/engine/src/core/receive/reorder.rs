//! Packets of one stream back in order, with the gaps that stayed.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::frame::ReceivedPacket;

/// Packets that may wait behind a gap: a second at 15 Mb/s.
pub const MAX_PACKETS: usize = 2048;

/// Their bytes.
pub const MAX_BYTES: usize = 4 << 20;

/// How long the first packets wait for ones that were sent before them.
const START_WAIT: Duration = Duration::from_millis(100);

/// What comes next in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    Packet(ReceivedPacket),
    /// So many packets did not come in time.
    Gap(u64),
}

/// The reorder buffer.
///
/// A gap is given up when a packet behind it has waited for `limit`, or when too much waits.
#[derive(Debug)]
pub struct ReorderBuffer {
    limit: Duration,
    /// What comes next; `None` until the first packets have waited.
    next: Option<u64>,
    waiting: BTreeMap<u64, ReceivedPacket>,
    bytes: usize,
    /// Arrival and number of what waits, oldest first; ones that have gone are passed over. What
    /// comes in order is not here: it is popped at once.
    arrivals: VecDeque<(Instant, u64)>,
    draining: bool,
}

impl ReorderBuffer {
    pub fn new(limit: Duration) -> Self {
        Self {
            limit,
            next: None,
            waiting: BTreeMap::new(),
            bytes: 0,
            arrivals: VecDeque::new(),
            draining: false,
        }
    }

    /// Takes a packet; one that is there already, or comes too late, is dropped.
    /// [`ReorderBuffer::pop`] is to be called after it.
    pub fn insert(&mut self, packet: ReceivedPacket) {
        let sequence = packet.sequence;
        if self.next.is_some_and(|next| sequence < next) || self.waiting.contains_key(&sequence) {
            return;
        }
        self.bytes += packet.payload.len();
        if self.next != Some(sequence) {
            self.arrivals.push_back((packet.arrived, sequence));
        }
        self.waiting.insert(sequence, packet);
    }

    /// What comes next, if it is there or no longer waited for.
    pub fn pop(&mut self, now: Instant) -> Option<Step> {
        let first = *self.waiting.keys().next()?;
        let next = match self.next {
            Some(next) => next,
            None if self.is_over(now) => first,
            None => return None,
        };
        if first == next {
            let packet = self.waiting.remove(&first)?;
            self.bytes -= packet.payload.len();
            self.next = Some(first + 1);
            self.forget_gone();
            return Some(Step::Packet(packet));
        }
        if !self.is_over(now) {
            self.next = Some(next);
            return None;
        }
        self.next = Some(first);
        Some(Step::Gap(first - next))
    }

    /// From now on nothing is waited for.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// When [`ReorderBuffer::pop`] has something although no packet came.
    pub fn deadline(&self) -> Option<Instant> {
        let (oldest, _) = self.arrivals.front()?;
        Some(*oldest + self.patience())
    }

    /// Since when the oldest packet waits behind a gap.
    pub fn gap_since(&self) -> Option<Instant> {
        self.next?;
        self.arrivals.front().map(|(arrived, _)| *arrived)
    }

    fn patience(&self) -> Duration {
        match self.next {
            Some(_) => self.limit,
            None => START_WAIT.min(self.limit),
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        self.draining
            || self.waiting.len() > MAX_PACKETS
            || self.bytes > MAX_BYTES
            || self.deadline().is_some_and(|deadline| deadline <= now)
    }

    fn forget_gone(&mut self) {
        while let Some((_, sequence)) = self.arrivals.front() {
            if self.waiting.contains_key(sequence) {
                return;
            }
            self.arrivals.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(1);

    fn packet(sequence: u64, arrived: Instant) -> ReceivedPacket {
        ReceivedPacket {
            sequence,
            timestamp: 0,
            marker: false,
            payload: vec![0; 100].into(),
            arrived,
        }
    }

    /// Everything that comes out: numbers, and gaps as negative counts.
    fn out(buffer: &mut ReorderBuffer, now: Instant) -> Vec<i64> {
        std::iter::from_fn(|| buffer.pop(now))
            .map(|step| match step {
                Step::Packet(packet) => packet.sequence as i64,
                Step::Gap(count) => -(count as i64),
            })
            .collect()
    }

    fn started(start: Instant) -> ReorderBuffer {
        let mut buffer = ReorderBuffer::new(LIMIT);
        buffer.insert(packet(10, start));
        assert_eq!(out(&mut buffer, start + START_WAIT), [10]);
        buffer
    }

    #[test]
    fn the_start_waits_for_what_was_sent_before() {
        let (start, mut buffer) = (Instant::now(), ReorderBuffer::new(LIMIT));
        buffer.insert(packet(11, start));
        assert_eq!(out(&mut buffer, start), [0; 0]);
        assert_eq!(buffer.deadline(), Some(start + START_WAIT));
        buffer.insert(packet(10, start + START_WAIT / 2));
        assert_eq!(out(&mut buffer, start + START_WAIT), [10, 11]);
        assert_eq!(buffer.deadline(), None);
    }

    #[test]
    fn a_gap_is_filled_or_given_up_after_the_limit() {
        let start = Instant::now();
        let mut buffer = started(start);
        for (sequence, ms) in [(12, 0), (15, 500), (13, 600)] {
            buffer.insert(packet(sequence, start + Duration::from_millis(ms)));
        }
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(out(&mut buffer, at(999)), [0; 0]);
        assert_eq!(buffer.deadline(), Some(at(1000)));
        assert_eq!(buffer.gap_since(), Some(start));
        assert_eq!(out(&mut buffer, at(1000)), [-1, 12, 13]);
        assert_eq!(buffer.deadline(), Some(at(1500)), "since 15 has arrived");
        buffer.insert(packet(11, at(1100)));
        assert_eq!(out(&mut buffer, at(1100)), [0; 0], "too late");
        buffer.insert(packet(14, at(1200)));
        assert_eq!(out(&mut buffer, at(1200)), [14, 15]);
    }

    #[test]
    fn a_second_copy_is_dropped() {
        let start = Instant::now();
        let mut buffer = started(start);
        for sequence in [12, 12, 11, 11, 12] {
            buffer.insert(packet(sequence, start));
        }
        assert_eq!(out(&mut buffer, start), [11, 12]);
        assert_eq!((buffer.bytes, buffer.arrivals.len()), (0, 0));
    }

    #[test]
    fn draining_waits_for_nothing() {
        let (start, mut buffer) = (Instant::now(), ReorderBuffer::new(LIMIT));
        buffer.insert(packet(5, start));
        buffer.insert(packet(9, start));
        buffer.drain();
        assert_eq!(out(&mut buffer, start), [5, -3, 9]);
    }

    #[test]
    fn whatever_comes_order_is_kept_and_what_waits_is_bounded() {
        for seed in 0..20 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut now, mut buffer) = (Instant::now(), ReorderBuffer::new(LIMIT));
            let (mut base, mut last, mut inserted, mut popped) = (1000, 0, 0u64, 0u64);
            for _ in 0..20_000 {
                now += Duration::from_micros(random.u64(..400));
                base += random.u64(..3) + u64::from(random.u8(..) == 0) * random.u64(..30_000);
                let sequence = base.saturating_sub(random.u64(..200));
                buffer.insert(packet(sequence, now));
                inserted += 1;
                let mut expected = None;
                while let Some(step) = buffer.pop(now) {
                    match step {
                        Step::Gap(count) => expected = Some(last + count + 1),
                        Step::Packet(packet) => {
                            assert!(packet.sequence > last);
                            if popped > 0 {
                                assert_eq!(packet.sequence, expected.unwrap_or(last + 1));
                            }
                            (last, expected) = (packet.sequence, None);
                            popped += 1;
                        }
                    }
                }
                assert!(buffer.waiting.len() <= MAX_PACKETS && buffer.bytes <= MAX_BYTES);
                assert!(buffer.arrivals.len() <= inserted as usize);
                assert!(buffer.deadline().is_none_or(|deadline| deadline > now));
            }
            assert!(popped > 1000);
        }
    }
}

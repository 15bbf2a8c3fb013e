//! The delay of packets, from the publisher's send to the kernel of the viewer.
//!
//! A NAL unit of a clip may have a place for the clock behind its header: [`MARK`], then sixteen
//! hexadecimal digits, in which no start code can stand. The publisher writes the time into each
//! such place when it sends the picture. A NAL unit that fits one packet is a packet's payload
//! (RFC 6184 §5.6), so a viewer finds the time at the same place.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

const MARK: &[u8] = b"icey-clock";
const DIGITS: usize = 16;

/// Finds the places for the clock in an access unit.
pub fn places(unit: &[u8]) -> Vec<usize> {
    let windows = unit.windows(MARK.len()).enumerate();
    windows
        .filter(|(_, window)| *window == MARK)
        .map(|(at, _)| at + MARK.len())
        .filter(|at| at + DIGITS <= unit.len())
        .collect()
}

/// Writes the time into the places of an access unit.
pub fn stamp(unit: &Arc<[u8]>, places: &[usize]) -> Arc<[u8]> {
    if places.is_empty() {
        return unit.clone();
    }
    let mut stamped = unit.to_vec();
    let now = format!("{:016x}", now().as_nanos());
    for at in places {
        stamped[*at..at + DIGITS].copy_from_slice(now.as_bytes());
    }
    stamped.into()
}

/// How long the payload of a packet was on its way, if it has the time.
pub fn since_stamp(payload: &[u8], arrived: Duration) -> Option<Duration> {
    let digits = payload.get(1..)?.strip_prefix(MARK)?.get(..DIGITS)?;
    let sent = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    Some(arrived.saturating_sub(Duration::from_nanos(sent)))
}

/// The real-time clock, which the kernel's timestamps are of.
fn now() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}

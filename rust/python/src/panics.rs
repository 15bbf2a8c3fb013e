//! What the log gets of a panic: one line.
//!
//! Panics are caught where they happen and counted. Rust's own hook writes several lines to standard
//! error, and with `RUST_BACKTRACE` a backtrace, which takes the thread that panicked tens of
//! milliseconds: a peer that found a bug would hold up all others by it.

use std::io::Write;
use std::panic::PanicHookInfo;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Characters of a panic's text that are written: it may hold what a peer sent.
const MAX_TEXT: usize = 300;

/// What comes sooner after a line is only counted.
const SPACING: Duration = Duration::from_secs(1);

/// When the last line was written, and how many panics were not since.
static LAST: Mutex<Option<(Instant, u64)>> = Mutex::new(None);

/// Makes a panic of this extension one line on standard error, at most one a second.
pub fn install_hook() {
    std::panic::set_hook(Box::new(|info| {
        // Whoever holds the lock panicked in here: nothing is to be written then.
        let Ok(mut last) = LAST.try_lock() else {
            return;
        };
        let now = Instant::now();
        let omitted = match &mut *last {
            Some((at, omitted)) if now.saturating_duration_since(*at) < SPACING => {
                *omitted += 1;
                return;
            }
            Some((_, omitted)) => *omitted,
            None => 0,
        };
        *last = Some((now, 0));
        // Standard error may be closed; a panic is counted all the same.
        let _ = writeln!(std::io::stderr(), "{}", line_of(info, omitted));
    }));
}

fn line_of(info: &PanicHookInfo<'_>, omitted: u64) -> String {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let text: String = text.unwrap_or("a panic").chars().take(MAX_TEXT).collect();
    let text = text.escape_debug();
    let place = info.location().map(ToString::to_string);
    let place = place.unwrap_or_else(|| "an unknown place".to_owned());
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("a thread");
    let more = match omitted {
        0 => String::new(),
        n => format!(" ({n} more were not written)"),
    };
    format!("icey._core: internal error in {thread} at {place}: {text}{more}")
}

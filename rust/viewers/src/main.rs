//! Many light viewers in one process: they offer, receive, count, and decode nothing.
//!
//! Driven over standard input and output, one JSON object a line, so that the bench does the
//! signalling: `icey-viewers 50` prints fifty offers `{"viewer":0,"sdp":"…"}`, takes the answers in
//! the same shape, then prints a line of totals each second, until standard input ends.

mod viewer;

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use serde::{Deserialize, Serialize};

use viewer::{Totals, Viewer};

#[derive(Serialize, Deserialize)]
struct Description {
    viewer: usize,
    sdp: String,
}

#[derive(Serialize)]
struct Report {
    connected: usize,
    #[serde(flatten)]
    totals: Totals,
}

const REPORT_EVERY: Duration = Duration::from_secs(1);

fn main() -> Result<(), Box<dyn Error>> {
    let count: usize = std::env::args()
        .nth(1)
        .ok_or("usage: icey-viewers NUMBER")?
        .parse()?;
    str0m::crypto::from_feature_flags().install_process_default();

    let mut poll = Poll::new()?;
    let mut viewers = Vec::with_capacity(count);
    for index in 0..count {
        let (viewer, offer) = Viewer::new(poll.registry(), Token(index), Instant::now())?;
        print_line(&Description {
            viewer: index,
            sdp: offer,
        })?;
        viewers.push(viewer);
    }
    run(&mut poll, &mut viewers, &answers())
}

/// Read answers in a thread: standard input cannot be polled where it is a file.
fn answers() -> Receiver<Description> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let parsed = line
                .map_err(|error| error.to_string())
                .and_then(|line| serde_json::from_str(&line).map_err(|error| error.to_string()));
            match parsed {
                Ok(answer) => {
                    if sender.send(answer).is_err() {
                        return;
                    }
                }
                Err(error) => eprintln!("not an answer: {error}"),
            }
        }
    });
    receiver
}

fn run(
    poll: &mut Poll,
    viewers: &mut [Viewer],
    answers: &Receiver<Description>,
) -> Result<(), Box<dyn Error>> {
    let mut events = Events::with_capacity(1024);
    let mut deadlines: HashMap<usize, Instant> = HashMap::new();
    let mut next_report = Instant::now() + REPORT_EVERY;
    loop {
        loop {
            match answers.try_recv() {
                Ok(answer) => {
                    let viewer = viewers.get_mut(answer.viewer).ok_or("no such viewer")?;
                    viewer.accept_answer(&answer.sdp)?;
                    deadlines.insert(answer.viewer, viewer.advance(Instant::now())?);
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Ok(()), // standard input ended
            }
        }

        let now = Instant::now();
        let due = deadlines.values().min().copied().unwrap_or(next_report);
        // Answers come over a channel that the poll does not see; 20 ms is soon enough for them.
        let wait = due.min(next_report).saturating_duration_since(now);
        poll.poll(&mut events, Some(wait.min(Duration::from_millis(20))))?;

        for event in &events {
            let index = event.token().0;
            if viewers[index].answered() {
                deadlines.insert(index, viewers[index].receive()?);
            }
        }
        let now = Instant::now();
        for (&index, deadline) in &mut deadlines {
            if *deadline <= now {
                *deadline = viewers[index].advance(now)?;
            }
        }
        if now >= next_report {
            next_report = now + REPORT_EVERY;
            let totals = viewers.iter().map(Viewer::totals).sum();
            let connected = viewers.iter().filter(|viewer| viewer.connected()).count();
            print_line(&Report { connected, totals })?;
        }
    }
}

fn print_line(value: &impl Serialize) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

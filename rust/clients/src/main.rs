//! Many light clients in one process: viewers receive, count and decode nothing; publishers send
//! a clip that is already encoded.
//!
//! Driven over standard input and output, one JSON object a line, so that the bench does the
//! signalling: `icey-clients watch 50` or `icey-clients publish CLIP 4` prints an offer for each,
//! `{"client":0,"sdp":"…"}`, takes the answers in the same shape, then prints a line of totals each
//! second, until standard input ends.

mod client;
mod clip;
mod reception;

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use serde::{Deserialize, Serialize};

use client::Client;
use clip::Clip;
use reception::Totals;

#[derive(Serialize, Deserialize)]
struct Description {
    client: usize,
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
    const USAGE: &str = "usage: icey-clients watch NUMBER | publish CLIP NUMBER";
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (clip, count): (_, usize) = match words[..] {
        ["watch", count] => (None, count.parse()?),
        ["publish", clip, count] => (Some(Arc::new(Clip::read(clip.as_ref())?)), count.parse()?),
        _ => return Err(USAGE.into()),
    };
    str0m::crypto::from_feature_flags().install_process_default();

    let mut poll = Poll::new()?;
    let mut clients = Vec::with_capacity(count);
    for index in 0..count {
        let (client, offer) =
            Client::new(poll.registry(), Token(index), clip.clone(), Instant::now())?;
        print_line(&Description {
            client: index,
            sdp: offer,
        })?;
        clients.push(client);
    }
    run(&mut poll, &mut clients, &answers())
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
    clients: &mut [Client],
    answers: &Receiver<Description>,
) -> Result<(), Box<dyn Error>> {
    let mut events = Events::with_capacity(1024);
    let mut deadlines: HashMap<usize, Instant> = HashMap::new();
    let mut next_report = Instant::now() + REPORT_EVERY;
    loop {
        loop {
            match answers.try_recv() {
                Ok(answer) => {
                    let client = clients.get_mut(answer.client).ok_or("no such client")?;
                    client.accept_answer(&answer.sdp)?;
                    deadlines.insert(answer.client, client.advance(Instant::now())?);
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
            if clients[index].answered() {
                deadlines.insert(index, clients[index].receive()?);
            }
        }
        let now = Instant::now();
        for (&index, deadline) in &mut deadlines {
            if *deadline <= now {
                *deadline = clients[index].advance(now)?;
            }
        }
        if now >= next_report {
            next_report = now + REPORT_EVERY;
            let totals = clients.iter().map(Client::totals).sum();
            let connected = clients.iter().filter(|client| client.connected()).count();
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

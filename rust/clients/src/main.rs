//! The load of the benches, driven by `bench/` with words on the command line and lines of JSON.
//!
//! | words | what it does |
//! |---|---|
//! | `watch NUMBER` | viewers that receive and count, and decode nothing |
//! | `publish CLIP NUMBER` | publishers that send a clip that is already encoded |
//! | `bare CLIP NUMBER SECONDS [segmented]` | encrypts and sends the clip, and nothing else (`bare`) |
//! | `turn ADDRESS USER PASSWORD NUMBER udp\|tcp burst\|paced` | clients of a TURN server (`turn`) |
//!
//! The bench does the signalling of `watch` and `publish`. They print an offer for each client,
//! `{"client":0,"sdp":"…"}`, and take the answers from standard input in the same shape. Then they
//! print a line of totals each second, until standard input ends.

mod bare;
mod client;
mod clip;
mod delay;
mod line;
mod reception;
mod socket;
mod turn;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use serde::{Deserialize, Serialize};

use client::Client;
use clip::Clip;
use line::{Result, lines, print_line};
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

fn main() -> Result<()> {
    const USAGE: &str = "usage: icey-clients watch NUMBER | publish CLIP NUMBER \
        | bare CLIP NUMBER SECONDS [segmented] \
        | turn ADDRESS USER PASSWORD NUMBER udp|tcp burst|paced";
    str0m::crypto::from_feature_flags().install_process_default();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let read = |clip| Clip::read(Path::new(clip));
    match words[..] {
        ["watch", count] => connect(count.parse()?, None),
        ["publish", clip, count] => connect(count.parse()?, Some(Arc::new(read(clip)?))),
        ["bare", clip, count, seconds] => {
            bare::run(&read(clip)?, count.parse()?, seconds.parse()?, false)
        }
        ["bare", clip, count, seconds, "segmented"] => {
            bare::run(&read(clip)?, count.parse()?, seconds.parse()?, true)
        }
        ["turn", address, user, password, count, transport, pace] => {
            let load = turn::Load::new(transport, pace)?;
            load.run(address.parse()?, user, password, count.parse()?)
        }
        _ => Err(USAGE.into()),
    }
}

/// Opens WebRTC clients, which send the clip, or watch where there is none, until standard input ends.
fn connect(count: usize, clip: Option<Arc<Clip>>) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut clients = Vec::with_capacity(count);
    for index in 0..count {
        let (client, sdp) =
            Client::new(poll.registry(), Token(index), clip.clone(), Instant::now())?;
        print_line(&Description { client: index, sdp })?;
        clients.push(client);
    }
    run(&mut poll, &mut clients, &lines())
}

fn run(poll: &mut Poll, clients: &mut [Client], answers: &Receiver<Description>) -> Result<()> {
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

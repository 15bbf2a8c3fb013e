//! Offers put together of pieces of real ones, for every role and several times for one connection:
//! each is answered or refused, and nothing panics, then or while its checks are sent.
//!
//! `ICEY_ROUNDS` has more of them tried.

mod network;

use std::sync::atomic::Ordering;
use std::time::Duration;

use icey_engine::core::receive::inbox::Writer;
use icey_engine::{Delivery, EngineError, Estimation, PeerOptions, ReceiverOptions};
use network::Network;

const OFFERS: [&str; 5] = [
    include_str!("offers/chromium.sdp"),
    include_str!("offers/chromium-camera.sdp"),
    include_str!("offers/chromium-simulcast.sdp"),
    include_str!("offers/firefox.sdp"),
    include_str!("offers/safari.sdp"),
];

const ROUNDS: u64 = 500;

/// Values that numbers of an offer are replaced by.
const NUMBERS: [&str; 12] = [
    "0",
    "1",
    "9",
    "96",
    "97",
    "102",
    "108",
    "111",
    "127",
    "128",
    "255",
    "4294967296",
];

fn mutate(random: &mut fastrand::Rng) -> String {
    let mut lines: Vec<String> = Vec::new();
    for part in 0..random.usize(1..4) {
        let offer = OFFERS[random.usize(..OFFERS.len())];
        let (session, media) = offer.split_once("m=").expect("a section");
        if part == 0 {
            lines.extend(session.lines().map(str::to_owned));
        }
        for section in format!("m={media}")
            .split_inclusive("\r\n")
            .collect::<String>()
            .split("m=")
        {
            if !section.is_empty() && random.u8(..4) > 0 {
                lines.extend(format!("m={section}").lines().map(str::to_owned));
            }
        }
    }
    // Names of their own, and a group that has them, so that much of it is answered.
    let mut mids = Vec::new();
    for line in &mut lines {
        if line.starts_with("a=mid:") {
            mids.push(mids.len().to_string());
            *line = format!("a=mid:{}", mids[mids.len() - 1]);
        }
    }
    for line in &mut lines {
        if line.starts_with("a=group:") {
            *line = format!("a=group:BUNDLE {}", mids.join(" "));
        }
    }
    for _ in 0..random.usize(..6) {
        let (i, j) = (random.usize(..lines.len()), random.usize(..lines.len()));
        match random.u8(..8) {
            0 => lines.insert(i, lines[j].clone()),
            1 => lines.swap(i, j),
            2 => lines[i] = lines[i].repeat(random.usize(1..40)),
            3 => {
                let directions = ["a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"];
                for line in &mut lines {
                    if directions.contains(&&**line) {
                        *line = directions[random.usize(..4)].to_owned();
                    }
                }
            }
            4 => {
                let copies = random.usize(..400);
                lines.splice(
                    i..i,
                    std::iter::repeat_n(lines[j].clone(), copies).collect::<Vec<_>>(),
                );
            }
            _ => {
                let with = NUMBERS[random.usize(..NUMBERS.len())];
                let digits = |c: char| c.is_ascii_digit();
                let number: String = lines[i]
                    .chars()
                    .skip_while(|c| !digits(*c))
                    .take_while(|c| digits(*c))
                    .collect();
                // Here alone, or wherever it stands.
                let first = if random.bool() { 0 } else { i };
                if !number.is_empty() {
                    let last = if first == 0 { lines.len() } else { i + 1 };
                    for line in &mut lines[first..last] {
                        *line = line.replace(&number, with);
                    }
                }
            }
        }
    }
    lines.join("\r\n") + "\r\n"
}

#[test]
fn offers_of_pieces_are_answered_or_refused_and_nothing_panics() {
    let rounds = std::env::var("ICEY_ROUNDS")
        .ok()
        .and_then(|n| n.parse().ok());
    let seed = std::env::var("ICEY_SEED").ok().and_then(|n| n.parse().ok());
    let mut random = fastrand::Rng::with_seed(seed.unwrap_or(15));
    let mut network = Network::new(15);
    let (mut answered, mut refused) = (0, 0);
    for round in 0..rounds.unwrap_or(ROUNDS) {
        let sends = PeerOptions {
            estimation: [Estimation::Remb, Estimation::Twcc][random.usize(..2)],
            max_bitrate: 2_000_000,
            start_bitrate: 800_000,
        };
        let deliveries = [
            Delivery::Frames,
            Delivery::Packets { simulcast: false },
            Delivery::Packets { simulcast: true },
        ];
        let receives = || {
            let delivery = deliveries[round as usize % 3];
            (
                Writer::new(Default::default()),
                ReceiverOptions {
                    delivery,
                    max_bitrate: 0,
                },
            )
        };
        let (sends, receives) = match random.u8(..3) {
            0 => (Some(sends), None),
            1 => (None, Some(receives())),
            _ => (Some(sends), Some(receives())),
        };
        network
            .core
            .create_peer(round, sends, receives, network.now);
        for _ in 0..random.usize(1..5) {
            let offer = mutate(&mut random);
            let answer = network.accept_offer(round, &offer);
            match answer {
                Ok(_) => answered += 1,
                Err(EngineError::Offer { reason, message }) => {
                    assert!(
                        reason.len() < 200 && message.lines().count() == 1,
                        "{message}"
                    );
                    refused += 1;
                }
                Err(other) => panic!("round {round}: {other}\n{offer}"),
            }
            let panics = network.counters.panics.load(Ordering::Relaxed);
            assert_eq!(panics, 0, "round {round}\n{offer}");
        }
        network.run(Duration::from_millis(200));
        let panics = network.counters.panics.load(Ordering::Relaxed);
        assert_eq!(panics, 0, "round {round}, while checks are sent");
        network
            .core
            .close_peer(round, network.now, &mut network::Nowhere);
    }
    assert!(
        answered > 50 && refused > 50,
        "{answered} answered, {refused} refused"
    );
}

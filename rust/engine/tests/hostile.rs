//! Whatever comes from outside, nothing panics and nobody else notices.

mod network;

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use icey_engine::core::ice::candidate;
use icey_engine::{EngineError, Estimation, PeerOptions};
use network::{CLEAN, Network, VIDEO, receiving};

const OFFERS: [&str; 3] = [
    include_str!("offers/chromium.sdp"),
    include_str!("offers/firefox.sdp"),
    include_str!("offers/safari.sdp"),
];

const OPTIONS: PeerOptions = PeerOptions {
    estimation: Estimation::Remb,
    max_bitrate: 2_000_000,
    start_bitrate: 2_000_000,
};

fn bytes(random: &mut fastrand::Rng, first: u8, length: usize) -> Vec<u8> {
    let mut data: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
    if let Some(byte) = data.first_mut() {
        *byte = first;
    }
    data
}

#[test]
fn the_offers_of_the_browsers_are_answered_with_h264_and_opus() {
    for (i, offer) in OFFERS.into_iter().enumerate() {
        let mut network = Network::new(1);
        network
            .core
            .create_peer(1, Some(OPTIONS), None, network.now);
        let answer = network.accept_offer(1, offer).expect("an answer");
        let rtpmaps: Vec<&str> = answer
            .lines()
            .filter(|line| line.starts_with("a=rtpmap:"))
            .collect();
        let only = ["H264/90000", "rtx/90000", "opus/48000/2"];
        assert!(
            rtpmaps
                .iter()
                .all(|line| only.iter().any(|codec| line.ends_with(codec))),
            "{rtpmaps:?}"
        );
        assert!(
            answer.contains("packetization-mode=1") && !answer.contains("packetization-mode=0")
        );
        assert_eq!(
            answer.matches("a=sendonly").count(),
            2,
            "offer {i}: {answer}"
        );
        assert_eq!(
            answer.matches("\r\nm=").count(),
            offer.matches("\r\nm=").count()
        );
        // The first H.264 of the answer is the one that is sent.
        let first = rtpmaps
            .iter()
            .find(|line| line.ends_with("H264/90000"))
            .expect("H.264");
        let pt = first["a=rtpmap:".len()..]
            .split(' ')
            .next()
            .expect("a payload type");
        let fmtp = answer
            .lines()
            .find(|line| line.starts_with(&format!("a=fmtp:{pt} ")));
        assert!(
            fmtp.is_some_and(|line| line.contains("profile-level-id=42e01f")),
            "{fmtp:?}"
        );
    }
}

#[test]
fn an_offer_to_publish_is_answered_inactive() {
    let mut network = Network::new(1);
    network
        .core
        .create_peer(1, Some(OPTIONS), None, network.now);
    let offer = OFFERS[2].replace("a=sendrecv", "a=sendonly");
    let answer = network.accept_offer(1, &offer).expect("an answer");
    assert_eq!(answer.matches("a=inactive").count(), 2, "{answer}");
}

#[test]
fn after_a_refused_offer_a_good_one_is_answered() {
    let mut network = Network::new(1);
    network
        .core
        .create_peer(1, Some(OPTIONS), None, network.now);
    let vp8_only = OFFERS[0].replace("H264/90000", "H263/90000");
    let refused = network.accept_offer(1, &vp8_only);
    assert!(
        matches!(&refused, Err(EngineError::Offer { reason, .. }) if reason == "codec: browser offers no H.264")
    );
    let no_fingerprint: String = OFFERS[0]
        .lines()
        .filter(|line| !line.contains("fingerprint"))
        .map(|line| format!("{line}\r\n"))
        .collect();
    assert!(matches!(
        network.accept_offer(1, &no_fingerprint),
        Err(EngineError::Offer { .. })
    ));
    assert!(network.accept_offer(1, OFFERS[0]).is_ok());
}

#[test]
fn mutilated_offers_are_answered_or_refused() {
    let mut random = fastrand::Rng::with_seed(11);
    let mut network = Network::new(11);
    let (mut answered, mut refused) = (0, 0);
    for round in 0..3000_u64 {
        let offer = mutilate(&mut random, OFFERS[round as usize % OFFERS.len()]);
        network
            .core
            .create_peer(round, Some(OPTIONS), None, network.now);
        match network.accept_offer(round, &offer) {
            Ok(_) => answered += 1,
            Err(EngineError::Offer { reason, .. }) => {
                assert!(reason.len() < 200, "a reason is for a person: {reason}");
                refused += 1;
            }
            Err(other) => panic!("round {round}: {other}\n{offer}"),
        }
        network
            .core
            .close_peer(round, network.now, &mut network::Nowhere);
    }
    assert!(
        answered > 100 && refused > 100,
        "{answered} answered, {refused} refused"
    );
    assert_eq!(network.counters.panics.load(Ordering::Relaxed), 0);
}

/// A section with an H.264 of this payload type and profile.
fn video(mid: u8, direction: &str, pt: u8, profile: &str) -> String {
    format!(
        "m=video 9 UDP/TLS/RTP/SAVPF {pt}\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na={direction}\r\n\
         a=ice-ufrag:abcd\r\na=ice-pwd:{}\r\na=setup:actpass\r\na=fingerprint:sha-256 {}\r\n\
         a=rtpmap:{pt} H264/90000\r\na=fmtp:{pt} packetization-mode=1;profile-level-id={profile}\r\n",
        "p".repeat(24),
        ["AB"; 32].join(":"),
    )
}

fn offer_of(sections: &[String]) -> String {
    let mids: String = (0..sections.len()).map(|i| format!(" {i}")).collect();
    let session = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE";
    format!("{session}{mids}\r\n{}", sections.concat())
}

#[test]
fn a_payload_type_that_means_two_things_is_refused_and_nothing_panics() {
    let mut network = Network::new(1);
    network
        .core
        .create_peer(1, Some(OPTIONS), None, network.now);
    let refused = |answer: Result<String, EngineError>| match answer {
        Err(EngineError::Offer { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    let two = [
        video(0, "recvonly", 96, "42e01f"),
        video(1, "recvonly", 96, "42001f"),
    ];
    let why = "sdp: payload type 96 means different things in one call";
    assert_eq!(refused(network.accept_offer(1, &offer_of(&two))), why);
    // The first as itself, and the second as a later offer.
    let first = offer_of(&[video(0, "recvonly", 96, "42e01f")]);
    assert!(network.accept_offer(1, &first).is_ok());
    let later = offer_of(&[video(0, "recvonly", 96, "42001f")]);
    assert_eq!(refused(network.accept_offer(1, &later)), why);
    assert!(network.accept_offer(1, &first).is_ok(), "the call goes on");
    assert_eq!(network.counters.panics.load(Ordering::Relaxed), 0);
}

#[test]
fn a_name_of_ice_that_is_too_long_for_a_check_is_refused() {
    let mut network = Network::new(1);
    for length in [3, 96, 97, 4000] {
        let name = "u".repeat(length);
        let offer = OFFERS[0].lines().map(|line| match line.split_once(':') {
            Some(("a=ice-ufrag", _)) => format!("a=ice-ufrag:{name}\r\n"),
            _ => format!("{line}\r\n"),
        });
        let offer: String = offer.collect();
        let id = length as u64;
        network
            .core
            .create_peer(id, Some(OPTIONS), None, network.now);
        let answer = network.accept_offer(id, &offer);
        assert_eq!(answer.is_ok(), length == 96, "{length}: {answer:?}");
    }
    network.add_candidate(96, "candidate:1 1 udp 1 192.0.2.7 5000 typ host");
    network.record = true;
    network.run(Duration::from_secs(2));
    assert!(network.sent_by(96) > 0, "checks are sent");
    assert_eq!(network.counters.panics.load(Ordering::Relaxed), 0);
}

/// Cuts, repeats, swaps and garbles lines and characters, a few at a time.
fn mutilate(random: &mut fastrand::Rng, offer: &str) -> String {
    let mut lines: Vec<String> = offer.lines().map(str::to_owned).collect();
    for _ in 0..random.usize(1..5) {
        let i = random.usize(..lines.len());
        let j = random.usize(..lines.len());
        match random.u8(..9) {
            0 => drop(lines.remove(i)),
            1 => lines.insert(i, lines[j].clone()),
            2 => lines.swap(i, j),
            3 => lines.truncate(i.max(1)),
            4 => lines[i] = lines[i].chars().rev().collect(),
            5 => lines[i] = lines[i].replace(|c: char| c.is_ascii_digit(), "9"),
            6 => lines[i] = lines[i].replace(' ', ""),
            7 => {
                let at = random.usize(..=lines[i].len());
                if lines[i].is_char_boundary(at) {
                    lines[i].insert(at, char::from(random.u8(..)));
                }
            }
            _ => {
                let digits = ["0", "1", "127", "128", "255", "65536", "4294967296", "-1"];
                let with = digits[random.usize(..digits.len())];
                let words: Vec<&str> = lines[i].split(' ').collect();
                let at = random.usize(..words.len());
                let changed: Vec<&str> = words
                    .iter()
                    .enumerate()
                    .map(|(n, word)| if n == at { with } else { *word })
                    .collect();
                lines[i] = changed.join(" ");
            }
        }
        if lines.is_empty() {
            break;
        }
    }
    lines.join("\r\n")
}

#[test]
fn every_cut_of_an_offer_is_answered_or_refused() {
    let mut network = Network::new(1);
    for (id, end) in (0..OFFERS[1].len()).step_by(7).enumerate() {
        let id = id as u64;
        network
            .core
            .create_peer(id, Some(OPTIONS), None, network.now);
        let result = network.accept_offer(id, &OFFERS[1][..end]);
        assert!(
            matches!(result, Ok(_) | Err(EngineError::Offer { .. })),
            "cut at {end}"
        );
    }
    assert_eq!(network.counters.panics.load(Ordering::Relaxed), 0);
}

#[test]
fn garbage_from_strangers_and_from_the_viewers_own_address_changes_nothing() {
    let mut random = fastrand::Rng::with_seed(5);
    let mut network = Network::new(5);
    let viewer = network.connect(CLEAN, Estimation::Remb);
    network.play(Duration::from_secs(1), 500_000);
    let own = network.browsers[viewer].address;
    let stranger: SocketAddr = "198.51.100.7:7".parse().expect("an address");
    for round in 0..20_000 {
        // Every class of RFC 7983, and every length up to a full datagram.
        let first = [0, 1, 20, 22, 23, 63, 64, 79, 128, 143, 144, 191, 255][round % 13];
        let length = random.usize(..if round % 2 == 0 { 64 } else { 1500 });
        let data = bytes(&mut random, first, length);
        network.inject(if round % 3 == 0 { own } else { stranger }, &data);
    }
    assert_eq!(network.counters.panics.load(Ordering::Relaxed), 0);
    assert!(network.counters.packets_unknown.load(Ordering::Relaxed) > 10_000);
    assert_eq!(network.end_of(viewer), None);
    let before = network.browsers[viewer].media.len();
    network.play(Duration::from_secs(1), 500_000);
    assert!(network.browsers[viewer].media.len() >= before + 70);
}

#[test]
fn recorded_datagrams_sent_again_changed_or_not_change_nothing() {
    let mut random = fastrand::Rng::with_seed(6);
    let mut network = Network::new(6);
    network.record = true;
    let viewer = network.connect(CLEAN, Estimation::Twcc);
    network.play(Duration::from_secs(1), 500_000);
    let own = network.browsers[viewer].address;
    let stranger: SocketAddr = "198.51.100.7:7".parse().expect("an address");
    let recorded = std::mem::take(&mut network.recorded);
    network.record = false;
    assert!(recorded.len() > 20);
    for _ in 0..20 {
        for datagram in &recorded {
            let mut data = datagram.clone();
            for _ in 0..random.usize(..4) {
                let at = random.usize(..data.len());
                data[at] = random.u8(..);
            }
            data.truncate(random.usize(..=data.len()).max(1));
            network.inject(if random.bool() { own } else { stranger }, &data);
            network.inject(stranger, datagram);
        }
    }
    assert_eq!(network.counters.panics.load(Ordering::Relaxed), 0);
    let before = network.browsers[viewer].media.len();
    network.play(Duration::from_secs(1), 500_000);
    network.run(Duration::from_secs(1));
    assert_eq!(network.end_of(viewer), None);
    assert!(
        network.browsers[viewer].media.len() >= before + 60,
        "{}",
        network.browsers[viewer].media.len() - before
    );
}

#[test]
fn a_stranger_cannot_bring_a_peer_up_or_keep_it_from_failing() {
    let mut network = Network::new(7);
    let browser = network.add_browser(
        network::Link { cut: true, ..CLEAN },
        Estimation::Remb,
        receiving(),
    );
    let (offer, pending) = network.offer(browser);
    let answer = network.exchange(browser, &offer, pending);
    assert!(answer.contains("a=ice-ufrag:"));
    let own = network.browsers[browser].address;
    for _ in 0..31 {
        network.inject(own, &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        network.inject(own, &[128, 96, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0]);
        network.run(Duration::from_secs(1));
    }
    assert_eq!(
        network.end_of(browser).map(|(_, reason)| reason).as_deref(),
        Some("connection failed")
    );
}

#[test]
fn candidates_of_any_shape_are_read_or_refused() {
    let mut random = fastrand::Rng::with_seed(8);
    let good =
        "candidate:1 1 udp 2130706431 192.0.2.7 50000 typ host raddr 0.0.0.0 rport 0 generation 0";
    for _ in 0..20_000 {
        let mut text: Vec<char> = good.chars().collect();
        for _ in 0..random.usize(..6) {
            let at = random.usize(..text.len());
            text[at] = random.char('\0'..'\u{300}');
        }
        text.truncate(random.usize(..=text.len()));
        let text: String = text.into_iter().collect();
        if let Err(EngineError::Candidate { candidate, .. }) = candidate::parse(&text) {
            assert!(candidate.chars().count() <= 200);
        }
    }
}

#[test]
fn a_peer_cannot_make_the_engine_keep_endless_candidates() {
    let mut network = Network::new(9);
    network
        .core
        .create_peer(1, Some(OPTIONS), None, network.now);
    for port in 1..10_000 {
        network.add_candidate(1, &format!("candidate:1 1 udp 1 192.0.2.7 {port} typ host"));
    }
    assert!(network.accept_offer(1, OFFERS[0]).is_ok());
    network.record = true;
    network.run(Duration::from_secs(29));
    let checks = network.sent_by(1);
    assert!(checks < 2000, "{checks} checks");
}

#[test]
fn frames_for_nobody_and_for_unknown_tracks_are_harmless() {
    let mut network = Network::new(1);
    network.push_video(VIDEO, 0, 1000, true);
    network.core.close_track(VIDEO);
    network.push_video(VIDEO, 3000, 1000, true);
    network.attach_id(77, VIDEO);
    network.core.detach(77, icey_engine::MediaKind::Video);
    network
        .core
        .handle_dropped(77, network.now, &mut network::Nowhere);
    assert_eq!(network.counters.panics.load(Ordering::Relaxed), 0);
}

//! Whatever a browser sends once it is connected, nothing breaks and nothing grows.

mod network;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use icey_engine::core::receive::inbox::{MAX_BYTES, MAX_FRAMES, Writer};
use icey_engine::{Codec, Delivery, EngineError, MediaKind, ReceiverOptions};
use network::camera::{matched, sending};
use network::{CLEAN, Camera, Network, access_unit};
use str0m::RtcConfig;

const SECOND: Duration = Duration::from_secs(1);
const CAMERA: &str = include_str!("offers/chromium-camera.sdp");
const SIMULCAST: &str = include_str!("offers/chromium-simulcast.sdp");
const VIEWERS: [&str; 2] = [
    include_str!("offers/chromium.sdp"),
    include_str!("offers/firefox.sdp"),
];
const SAFARI: &str = include_str!("offers/safari.sdp");

fn connect_vp8(network: &mut Network) -> Camera {
    let config = RtcConfig::new()
        .clear_codecs()
        .enable_vp8(true)
        .enable_opus(true, false)
        .set_rtp_mode(true);
    network.connect_sender_with(CLEAN, config, |offer| offer)
}

/// A VP8 frame in packets, with the descriptor that Chromium sends.
fn vp8_frame(random: &mut fastrand::Rng, keyframe: bool) -> (Vec<u8>, Vec<Arc<[u8]>>) {
    let mut frame = vec![u8::from(!keyframe), 0, 0];
    if keyframe {
        frame.extend_from_slice(&[0x9d, 0x01, 0x2a, 64, 0, 48, 0]);
    }
    frame.extend((0..random.usize(500..4000)).map(|_| random.u8(..)));
    let payload = |(i, chunk): (usize, &[u8])| {
        let begin = if i == 0 { 0x90 } else { 0x80 };
        [&[begin, 0xe0, 0x80, 1, 7, 0x20][..], chunk]
            .concat()
            .into()
    };
    let payloads = frame.chunks(1100).enumerate().map(payload).collect();
    (frame, payloads)
}

#[test]
fn vp8_comes_through_loss_byte_for_byte() {
    let mut network = Network::new(1);
    let mut camera = connect_vp8(&mut network);
    let codecs = network.inboxes[&camera.browser].codecs();
    assert_eq!(codecs, [Codec::Vp8, Codec::Opus]);
    let mut random = fastrand::Rng::with_seed(2);
    for n in 0..300 {
        let lossy = (30..250).contains(&n);
        network.browsers[camera.browser].link.loss = if lossy { 0.1 } else { 0.0 };
        let (frame, payloads) = vp8_frame(&mut random, n % 60 == 0);
        network.send_payloads(&mut camera, &frame, payloads, n % 60 == 0);
        camera.video.timestamp = camera.video.timestamp.wrapping_add(3000);
        network.run(Duration::from_nanos(33_333_333));
    }
    network.run(2 * SECOND);
    let frames = network.pull(&camera);
    assert!(frames.iter().all(|frame| frame.codec == Codec::Vp8));
    let indices = matched(&camera.video.sent, &frames.iter().collect::<Vec<_>>());
    for (pair, frames) in indices.windows(2).zip(frames.windows(2)) {
        assert!(pair[1] == pair[0] + 1 || (frames[1].keyframe && frames[1].after_loss));
    }
    assert!(indices.len() > 200, "{}", indices.len());
    assert!(network.receiver_stats(&camera).nacks_sent > 0);
}

#[test]
fn payloads_of_any_content_do_no_harm() {
    for seed in 0..6 {
        let mut network = Network::new(seed);
        let mut camera = if seed % 2 == 0 {
            network.connect_sender(CLEAN)
        } else {
            connect_vp8(&mut network)
        };
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..3000 {
            let mut payload: Vec<u8> = (0..random.usize(..1200)).map(|_| random.u8(..)).collect();
            if let Some(first) = payload.first_mut() {
                *first = [0x7c, 0x78, 0x65, 0x67, 0x68, 0x90, *first][random.usize(..7)];
            }
            camera.markers = random.bool();
            network.send_payloads(&mut camera, &[], vec![payload.into()], false);
            if random.u8(..) < 100 {
                camera.video.timestamp = random.u32(..);
            }
            if random.u8(..) < 20 {
                camera.video.sequence += random.u64(..20_000);
            }
            network.run(Duration::from_millis(random.u64(..10)));
        }
        let inbox = &network.inboxes[&camera.browser];
        let frames = inbox.pull(usize::MAX);
        assert!(frames.len() <= MAX_FRAMES);
        assert!(frames.iter().map(|frame| frame.data.len()).sum::<usize>() <= MAX_BYTES);
        assert_eq!(network.counters.panics.load(Ordering::Relaxed), 0);
        // And then it behaves.
        camera.markers = true;
        camera.video.sent.clear();
        if seed % 2 == 0 {
            network.film(&mut camera, 3 * SECOND);
            let after = network.pull(&camera);
            let video = after.iter().filter(|frame| frame.codec == Codec::H264);
            assert!(video.count() > 30, "seed {seed}: it goes on");
        }
    }
}

#[test]
fn a_picture_that_never_ends_is_bounded() {
    let mut network = Network::new(1);
    let mut camera = network.connect_sender(CLEAN);
    camera.markers = false;
    network.send_payloads(&mut camera, &[], vec![vec![0x7c, 0x85, 1].into()], true);
    let fragment: Arc<[u8]> = [&[0x7c, 0x05][..], &[7; 1100]].concat().into();
    for _ in 0..200 {
        network.send_payloads(&mut camera, &[], vec![fragment.clone(); 30], false);
        network.run(Duration::from_millis(10));
    }
    network.run(2 * SECOND);
    assert!(network.pull(&camera).is_empty());
    camera.markers = true;
    camera.video.timestamp += 3000;
    let unit = access_unit(&mut fastrand::Rng::with_seed(1), 1000, true);
    network.send_unit(&mut camera, &unit, true);
    network.run(SECOND);
    let frames = network.pull(&camera);
    assert_eq!((frames.len(), &frames[0].data), (1, &unit));
    assert!(network.receiver_stats(&camera).frames_lost >= 1);
}

#[test]
fn a_flood_of_ssrcs_does_not_pass_and_ends() {
    let mut network = Network::new(1);
    let mut camera = network.connect_sender(CLEAN);
    network.film(&mut camera, SECOND);
    let before = network.counters.packets_unknown.load(Ordering::Relaxed);
    for _ in 0..500 {
        let timestamp = camera.video.timestamp;
        network.change_ssrc(&mut camera, timestamp);
        network.film_picture(&mut camera, Some(true));
        network.run(Duration::from_millis(2));
    }
    let refused = network.counters.packets_unknown.load(Ordering::Relaxed) - before;
    assert!(refused > 400, "{refused}");
    network.run(10 * SECOND);
    network.film(&mut camera, 4 * SECOND);
    let frames = network.pull(&camera);
    let last = &camera.video.sent[camera.video.sent.len() - 2].data;
    assert!(frames.iter().any(|frame| frame.data == *last), "it goes on");
}

#[test]
fn packets_of_a_section_that_is_not_received_are_not_delivered() {
    let mut network = Network::new(1);
    let mut camera = network.connect_sender_with(CLEAN, sending(), |offer| {
        // The server hears of audio only.
        let (head, audio) = offer.split_once("m=audio").expect("a section");
        let video = head.replace("a=sendonly", "a=inactive");
        format!("{video}m=audio{audio}")
    });
    network.film(&mut camera, 2 * SECOND);
    network.run(SECOND);
    let frames = network.pull(&camera);
    assert_eq!(frames.len(), 100);
    assert!(
        frames
            .iter()
            .all(|frame| frame.codec.kind() == MediaKind::Audio)
    );
}

#[test]
fn a_codec_that_was_not_agreed_on_is_not_received() {
    let mut network = Network::new(1);
    let mut camera = network.connect_sender(CLEAN);
    network.film(&mut camera, SECOND);
    let agreed = camera.video.pt;
    let params = network.browsers[camera.browser].rtc.codec_config().params();
    let vp8 = params
        .iter()
        .find(|params| params.spec().codec == str0m::format::Codec::Vp8);
    camera.video.pt = vp8.expect("the browser knows VP8").pt();
    let mut random = fastrand::Rng::with_seed(2);
    for _ in 0..30 {
        let (frame, payloads) = vp8_frame(&mut random, true);
        network.send_payloads(&mut camera, &frame, payloads, true);
        camera.video.timestamp += 3000;
        network.run(Duration::from_millis(33));
    }
    camera.video.pt = agreed;
    network.film(&mut camera, 3 * SECOND);
    network.run(SECOND);
    let frames = network.pull(&camera);
    assert!(frames.iter().all(|frame| frame.codec != Codec::Vp8));
    let last = camera.video.sent.last().map(|sent| &sent.data);
    assert!(
        frames.iter().any(|frame| Some(&frame.data) == last),
        "it goes on"
    );
}

#[test]
fn broken_offers_of_senders_are_answered_or_refused() {
    let mut random = fastrand::Rng::with_seed(3);
    for round in 0..400 {
        let mut network = Network::new(round);
        network.core.create_peer(
            1,
            None,
            Some((Writer::new(Arc::default()), ReceiverOptions::default())),
            network.now,
        );
        let forwarding = ReceiverOptions {
            delivery: Delivery::Packets { simulcast: true },
            max_bitrate: 1_000_000,
        };
        let writer = Writer::new(Arc::default());
        let core = &mut network.core;
        core.create_peer(2, None, Some((writer, forwarding)), network.now);
        let offer = [CAMERA, SIMULCAST][random.usize(..2)];
        let mut text = offer.as_bytes().to_vec();
        for _ in 0..random.usize(..6) {
            let at = random.usize(..text.len());
            match random.u8(..3) {
                0 => text[at] = random.u8(32..127),
                1 => drop(text.drain(at..(at + random.usize(..200)).min(text.len()))),
                _ => {
                    let end = (at + random.usize(..200)).min(text.len());
                    let copy = text[at..end].to_vec();
                    text.splice(at..at, copy);
                }
            }
        }
        let sdp = String::from_utf8_lossy(&text);
        for peer in [1, 1, 2, 2] {
            match network.accept_offer(peer, &sdp) {
                Ok(_) | Err(EngineError::Offer { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(network.counters.panics.load(Ordering::Relaxed), 0, "{sdp}");
    }
}

#[test]
fn browsers_that_send_are_answered_and_viewers_refused() {
    let mut network = Network::new(1);
    for (peer, offer) in (1..).zip(VIEWERS.into_iter().chain([SAFARI, CAMERA])) {
        network.core.create_peer(
            peer,
            None,
            Some((Writer::new(Arc::default()), ReceiverOptions::default())),
            network.now,
        );
        let answer = network.accept_offer(peer, offer);
        if VIEWERS.contains(&offer) {
            let Err(EngineError::Offer { reason, .. }) = answer else {
                panic!("{answer:?}")
            };
            assert_eq!(reason, "media: this server records, so the offer must send");
            continue;
        }
        let answer = answer.expect("an answer");
        assert_eq!(answer.matches("a=recvonly").count(), 2);
        assert!(answer.contains("profile-level-id=42e034"), "1080p and more");
        assert!(answer.contains(" transport-cc") && answer.contains("transport-wide-cc"));
        assert!(answer.contains(" nack pli") && answer.contains("rtx/90000"));
        assert!(!answer.contains("video-orientation") && !answer.contains("VP8"));
    }
    let answer = network.accept_offer(4, CAMERA).expect("the same again");
    // Constrained Baseline in mode 1 first: every decoder takes it.
    assert!(answer.contains("m=video 9 UDP/TLS/RTP/SAVPF 108 109 "));
}

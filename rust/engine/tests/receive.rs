//! What browsers send, on a simulated network, and what comes out as frames.

mod network;

use std::time::Duration;

use icey_engine::{Codec, Event, MediaKind, ReceivedFrame};
use network::camera::{matched, sending};
use network::{CLEAN, Camera, Link, Network};
use str0m::media::Direction;

const SECOND: Duration = Duration::from_secs(1);

fn of(frames: &[ReceivedFrame], kind: MediaKind) -> Vec<&ReceivedFrame> {
    let wanted = |frame: &&ReceivedFrame| frame.codec.kind() == kind;
    frames.iter().filter(wanted).collect()
}

/// Checks what must hold of any row of received frames; the indices of those of video.
fn check(camera: &Camera, frames: &[ReceivedFrame]) -> Vec<usize> {
    let video = of(frames, MediaKind::Video);
    let indices = matched(&camera.video.sent, &video);
    assert!(
        video.first().is_none_or(|frame| frame.keyframe),
        "joins at a keyframe"
    );
    for (pair, frames) in indices.windows(2).zip(video.windows(2)) {
        let gap = pair[1] != pair[0] + 1;
        assert!(!gap || frames[1].keyframe, "after a gap, a keyframe");
        assert!(!gap || frames[1].after_loss, "a gap is told");
    }
    let audio = of(frames, MediaKind::Audio);
    let heard = matched(&camera.audio.sent, &audio);
    for (pair, frames) in heard.windows(2).zip(audio.windows(2)) {
        assert_eq!(pair[1] != pair[0] + 1, frames[1].after_loss);
    }
    indices
}

#[test]
fn everything_arrives_on_a_clean_network() {
    let mut network = Network::new(1);
    let mut camera = network.connect_sender(CLEAN);
    assert_eq!(
        network.inboxes[&camera.browser].codecs(),
        [Codec::H264, Codec::Opus]
    );
    network.film(&mut camera, 5 * SECOND);
    network.run(SECOND);
    let frames = network.pull(&camera);
    assert_eq!(check(&camera, &frames), (0..150).collect::<Vec<_>>());
    assert_eq!(of(&frames, MediaKind::Audio).len(), 250);
    assert!(frames.iter().all(|frame| !frame.after_loss));
    let stats = network.receiver_stats(&camera);
    assert_eq!(stats.frames_received, 400);
    let lost = (stats.packets_lost, stats.frames_lost, stats.nacks_sent);
    assert_eq!(lost, (0, 0, 0));
    assert_eq!(
        stats.packets_received,
        400 + camera.video.sequence - 1000 - 150
    );
}

#[test]
fn nack_brings_nearly_all_frames_through_loss_and_reordering() {
    for seed in 1..=5 {
        let mut network = Network::new(seed);
        let mut camera = network.connect_sender(CLEAN);
        network.film(&mut camera, SECOND);
        network.browsers[camera.browser].link = Link {
            loss: 0.1,
            delay: Duration::from_millis(20),
            jitter: Duration::from_millis(30),
            ..CLEAN
        };
        network.film(&mut camera, 20 * SECOND);
        network.browsers[camera.browser].link = CLEAN;
        network.run(2 * SECOND);
        let frames = network.pull(&camera);
        let indices = check(&camera, &frames);
        let stats = network.receiver_stats(&camera);
        assert!(indices.len() >= camera.video.sent.len() * 90 / 100);
        assert!(stats.nacks_sent > 0);
        assert_eq!(stats.frames_received as usize, frames.len());
    }
}

#[test]
fn what_comes_through_a_bad_network_is_right() {
    for seed in 1..=5 {
        let mut network = Network::new(seed);
        let mut camera = network.connect_sender(CLEAN);
        // A resend takes 220 ms in the mean, and each fifth is lost.
        network.browsers[camera.browser].link = Link {
            loss: 0.1,
            delay: Duration::from_millis(20),
            jitter: Duration::from_millis(200),
            ..CLEAN
        };
        network.film(&mut camera, 20 * SECOND);
        network.browsers[camera.browser].link = CLEAN;
        network.run(2 * SECOND);
        let frames = network.pull(&camera);
        let indices = check(&camera, &frames);
        assert!(indices.len() > camera.video.sent.len() / 2, "seed {seed}");
        assert_eq!(
            network.receiver_stats(&camera).frames_received as usize,
            frames.len()
        );
    }
}

#[test]
fn a_recording_that_joins_late_begins_at_the_keyframe_it_asks_for() {
    let mut network = Network::new(1);
    let mut camera = network.connect_sender(CLEAN);
    camera.obeys = false;
    for n in 0..120 {
        network.film_picture(&mut camera, Some(n == 100));
        network.run(Duration::from_nanos(33_333_333));
    }
    let frames = network.pull(&camera);
    assert_eq!(check(&camera, &frames), (100..120).collect::<Vec<_>>());
    assert!(!frames[0].after_loss, "nothing is before it");
    assert_eq!(network.receiver_stats(&camera).frames_lost, 100);
    // At once, and then each second until the keyframe came at 3.3 s.
    let start = network.browsers[camera.browser].keyframe_requests[0];
    let requests = &network.browsers[camera.browser].keyframe_requests;
    let after: Vec<u128> = requests
        .iter()
        .map(|at| (*at - start).as_millis() / 100)
        .collect();
    assert_eq!(after, [0, 10, 20, 30]);
}

#[test]
fn a_keyframe_requested_before_the_connection_is_requested_once_it_is_up() {
    let mut network = Network::new(1);
    let browser = network.add_sender(CLEAN, sending());
    let (offer, pending) = network.offer_to(browser, Direction::SendOnly);
    network.exchange(browser, &offer, pending);
    let peer = network.browsers[browser].peer;
    network.request_keyframe(peer);
    network.come_up(browser);
    network.run(SECOND / 10);
    assert_eq!(network.browsers[browser].keyframe_requests.len(), 1);
    let mut camera = network.camera_of(browser, None);
    network.film(&mut camera, SECOND);
    network.run(SECOND);
    let frames = network.pull(&camera);
    assert_eq!(check(&camera, &frames).len(), 30);
}

#[test]
fn keyframe_requests_are_merged_and_reach_the_browser() {
    let mut network = Network::new(1);
    let mut camera = network.connect_sender(CLEAN);
    network.film(&mut camera, SECOND);
    let peer = network.browsers[camera.browser].peer;
    let before = network.browsers[camera.browser].keyframe_requests.len();
    for _ in 0..100 {
        network.request_keyframe(peer);
        network.film(&mut camera, SECOND / 150);
    }
    network.film(&mut camera, SECOND);
    let requests = network.browsers[camera.browser].keyframe_requests.len() - before;
    assert_eq!(
        requests, 4,
        "in two thirds of a second, the last one after it"
    );
    let frames = network.pull(&camera);
    check(&camera, &frames);
    let keyframes = of(&frames, MediaKind::Video);
    assert_eq!(
        keyframes.iter().filter(|frame| frame.keyframe).count(),
        1 + requests
    );
}

#[test]
fn pictures_without_markers_end_where_the_next_begins() {
    let mut network = Network::new(1);
    let mut camera = network.connect_sender(CLEAN);
    camera.markers = false;
    network.film(&mut camera, 2 * SECOND);
    network.run(SECOND);
    let before = network.pull(&camera);
    assert_eq!(check(&camera, &before), (0..59).collect::<Vec<_>>());
    network.close_peer(camera.browser);
    let last = network.pull(&camera);
    assert_eq!(
        matched(&camera.video.sent[59..], &of(&last, MediaKind::Video)),
        [0]
    );
}

#[test]
fn a_close_by_either_side_delivers_what_is_whole() {
    for by_browser in [false, true] {
        let mut network = Network::new(1);
        let mut camera = network.connect_sender(CLEAN);
        // Within the first tenth of a second everything waits for packets from before.
        network.film(&mut camera, SECOND / 15);
        network.run(Duration::from_millis(10));
        assert!(network.pull(&camera).is_empty());
        if by_browser {
            let browser = &mut network.browsers[camera.browser];
            browser.rtc.close().expect("it closes");
            network.settle();
            network.run(SECOND / 10);
            assert_eq!(network.core.peers(), 0);
        } else {
            network.close_peer(camera.browser);
        }
        let frames = network.pull(&camera);
        assert_eq!(check(&camera, &frames), [0, 1], "by browser: {by_browser}");
        assert_eq!(of(&frames, MediaKind::Audio).len(), 4);
    }
}

#[test]
fn times_and_reports_share_one_timeline_over_a_wrap() {
    let mut network = Network::new(1);
    let mut camera = network.connect_sender(CLEAN);
    camera.video.timestamp = u32::MAX - 5 * 90_000;
    camera.audio.timestamp = u32::MAX - 2 * 48_000;
    network.film(&mut camera, 10 * SECOND);
    network.run(SECOND);
    let frames = network.pull(&camera);
    check(&camera, &frames);
    for (kind, step) in [(MediaKind::Video, 3000), (MediaKind::Audio, 960)] {
        let frames = of(&frames, kind);
        assert!(
            frames
                .windows(2)
                .all(|pair| pair[1].timestamp - pair[0].timestamp == step)
        );
        let rate = f64::from(kind.clock_rate());
        let first = frames[0].timestamp;
        let mut reports: Vec<_> = frames.iter().filter_map(|frame| frame.report).collect();
        reports.dedup();
        assert!((8..=12).contains(&reports.len()), "{}", reports.len());
        let origin = |report: &icey_engine::SenderReport| {
            report.ntp_ns as f64 / 1e9 - (report.timestamp as f64 - first as f64) / rate
        };
        let mut origins: Vec<f64> = reports.iter().map(origin).collect();
        origins.sort_by(f64::total_cmp);
        let spread = origins[origins.len() - 1] - origins[0];
        assert!(spread < 0.035, "{spread} s: {kind:?} and its reports");
    }
}

#[test]
fn a_sender_that_changes_its_ssrc_goes_on_and_the_change_is_told() {
    let mut network = Network::new(1);
    let mut camera = network.connect_sender(CLEAN);
    network.film(&mut camera, 2 * SECOND);
    network.change_ssrc(&mut camera, 7);
    network.film(&mut camera, 2 * SECOND);
    network.run(SECOND);
    let frames = network.pull(&camera);
    let video = of(&frames, MediaKind::Video);
    let indices = check(&camera, &frames);
    let joint = indices
        .iter()
        .position(|index| *index >= 60)
        .expect("it goes on");
    assert!(indices[joint] <= 62, "{}", indices[joint]);
    assert!(video[joint].after_loss && video[joint].keyframe);
    let step = video[joint].timestamp - video[joint - 1].timestamp;
    let pictures = (indices[joint] - indices[joint - 1]) as u64;
    assert!(
        step.abs_diff(pictures * 3000) < 300,
        "{step} for {pictures}"
    );
    assert!(
        video[joint..]
            .windows(2)
            .all(|pair| pair[1].timestamp - pair[0].timestamp == 3000)
    );
}

#[test]
fn ssrcs_that_the_offer_does_not_tell_are_found_by_mid() {
    let mut network = Network::new(1);
    let strip = |offer: String| {
        let lines = offer.lines().filter(|line| !line.starts_with("a=ssrc"));
        lines.map(|line| format!("{line}\r\n")).collect()
    };
    let mut camera = network.connect_sender_with(CLEAN, sending(), strip);
    network.browsers[camera.browser].link.loss = 0.02;
    network.film(&mut camera, 5 * SECOND);
    network.browsers[camera.browser].link = CLEAN;
    network.film(&mut camera, SECOND);
    network.run(SECOND);
    let frames = network.pull(&camera);
    let indices = check(&camera, &frames);
    assert!(
        indices.len() > 170,
        "resends are found too: {}",
        indices.len()
    );
    assert!(network.receiver_stats(&camera).nacks_sent > 0);
}

#[test]
fn a_mute_by_renegotiation_pauses_and_goes_on() {
    let mut network = Network::new(1);
    let mut camera = network.connect_sender(CLEAN);
    network.film(&mut camera, SECOND);
    let (video, audio) = {
        let browser = &network.browsers[camera.browser];
        (browser.video, browser.audio)
    };
    for (direction, codecs) in [
        (Direction::Inactive, &[][..]),
        (Direction::SendOnly, &[Codec::H264, Codec::Opus][..]),
    ] {
        let mut api = network.browsers[camera.browser].rtc.sdp_api();
        api.set_direction(video, direction);
        api.set_direction(audio, direction);
        let (offer, pending) = api.apply().expect("a change");
        network.exchange(camera.browser, &offer.to_sdp_string(), pending);
        assert_eq!(network.inboxes[&camera.browser].codecs(), codecs);
        network.run(3 * SECOND);
    }
    let before = network.pull(&camera);
    assert_eq!(check(&camera, &before).len(), 30);
    let asked = network.browsers[camera.browser].keyframe_requests.len();
    assert!(asked >= 3, "again after the pause: {asked}");
    for stream in [&mut camera.video, &mut camera.audio] {
        let rate = if stream.sequence > 1060 {
            90_000
        } else {
            48_000
        };
        stream.timestamp = stream.timestamp.wrapping_add(6 * rate);
    }
    network.film(&mut camera, SECOND);
    network.run(SECOND);
    let after = network.pull(&camera);
    let indices = check(&camera, &after);
    assert_eq!(indices, (30..60).collect::<Vec<_>>());
    let first = of(&after, MediaKind::Video)[0];
    assert!(first.keyframe && first.after_loss);
    let last = of(&before, MediaKind::Video)[29];
    assert_eq!(first.timestamp - last.timestamp, 3000 + 6 * 90_000);
}

#[test]
fn an_ice_restart_loses_nothing() {
    let mut network = Network::new(1);
    let mut camera = network.connect_sender(CLEAN);
    network.film(&mut camera, SECOND);
    let mut api = network.browsers[camera.browser].rtc.sdp_api();
    api.ice_restart(true);
    let (offer, pending) = api.apply().expect("a change");
    network.exchange(camera.browser, &offer.to_sdp_string(), pending);
    network.film(&mut camera, 3 * SECOND);
    network.run(SECOND);
    let frames = network.pull(&camera);
    assert_eq!(check(&camera, &frames).len(), 120);
}

#[test]
fn a_full_inbox_drops_new_frames_and_goes_on_at_a_keyframe() {
    let mut network = Network::new(1);
    let mut camera = network.connect_sender(CLEAN);
    network.film(&mut camera, 25 * SECOND);
    let stats = network.receiver_stats(&camera);
    assert_eq!(stats.frames_received, 1600);
    assert!(stats.frames_lost > 300);
    let before = network.pull(&camera);
    network.film(&mut camera, 2 * SECOND);
    network.run(SECOND);
    let after = network.pull(&camera);
    assert!(of(&after, MediaKind::Video).len() > 20);
    assert!(of(&after, MediaKind::Audio)[0].after_loss);
    check(&camera, &[before, after].concat());
}

#[test]
fn parameter_sets_that_a_keyframe_lacks_are_put_before_it() {
    let mut network = Network::new(1);
    let mut camera = network.connect_sender(CLEAN);
    camera.parameter_sets = false;
    network.film(&mut camera, SECOND);
    let peer = network.browsers[camera.browser].peer;
    network.request_keyframe(peer);
    network.film(&mut camera, SECOND);
    network.run(SECOND);
    let frames = network.pull(&camera);
    let video = of(&frames, MediaKind::Video);
    assert_eq!(video.len(), 60);
    let second = (1..60)
        .find(|n| video[*n].keyframe)
        .expect("a second keyframe");
    let sets = &video[0].data[..17];
    assert_eq!(
        video[second].data,
        [sets, &camera.video.sent[second].data[..]].concat()
    );
}

#[test]
fn transport_feedback_lets_the_bitrate_grow() {
    let mut network = Network::new(1);
    let config = sending().enable_bwe(Some(str0m::bwe::Bitrate::kbps(300)));
    let mut camera = network.connect_sender_with(CLEAN, config, |offer| offer);
    let rtc = &mut network.browsers[camera.browser].rtc;
    let (least, most) = (str0m::bwe::Bitrate::kbps(100), str0m::bwe::Bitrate::mbps(3));
    rtc.bwe().set_bitrate(least, most);
    camera.bitrate = 250_000;
    network.film(&mut camera, 5 * SECOND);
    let estimates = &network.browsers[camera.browser].estimates;
    let last = estimates.last().expect("feedback arrives").1;
    assert!(last > 1_500_000, "{last}");
}

#[test]
fn a_peer_that_is_gone_leaves_its_frames() {
    let mut network = Network::new(1);
    let mut camera = network.connect_sender(CLEAN);
    network.film(&mut camera, SECOND);
    network.browsers[camera.browser].link.cut = true;
    network.run(25 * SECOND);
    let lost = network.end_of(camera.browser).expect("given up");
    assert_eq!(lost.1, "connection lost");
    let frames = network.pull(&camera);
    assert_eq!(check(&camera, &frames).len(), 30);
    assert_eq!(
        network.count(|event| matches!(event, Event::KeyframeRequested { .. })),
        0
    );
}

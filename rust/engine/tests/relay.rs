//! Packets of sending browsers, forwarded to viewers on a simulated network.

mod network;

use std::sync::atomic::Ordering;
use std::time::Duration;

use icey_engine::{Codec, Estimation, Event, MediaKind};
use network::watch::{all_from, check, is_whole, packets, pictures, seen};
use network::{AUDIO, CLEAN, Camera, Link, Network, VIDEO, rtp_browser};
use str0m::media::KeyframeRequestKind;

const SECOND: Duration = Duration::from_secs(1);

const LOSSY: Link = Link {
    loss: 0.05,
    delay: Duration::from_millis(20),
    jitter: Duration::from_millis(10),
    ..CLEAN
};

fn viewers<const N: usize>(network: &mut Network) -> [usize; N] {
    std::array::from_fn(|_| network.connect(CLEAN, Estimation::Remb))
}

fn requests(network: &Network, camera: &Camera) -> usize {
    network.browsers[camera.browser].keyframe_requests.len()
}

#[test]
fn all_that_is_sent_reaches_every_viewer_and_its_owner_is_told_once() {
    let mut network = Network::new(1);
    let viewers: [usize; 3] = viewers(&mut network);
    let before = network.events.len();
    let mut camera = network.connect_source(CLEAN);
    network.film(&mut camera, 5 * SECOND);
    network.run(SECOND);
    for viewer in viewers {
        assert_eq!(pictures(&network, viewer, &camera), all_from(0, 150));
        let audio = network.browsers[viewer].audio;
        let heard = seen(&network, viewer, audio, &camera.audio.sent);
        assert_eq!(heard, all_from(0, 250));
    }
    let peer = network.browsers[camera.browser].peer;
    let started = |kind| Event::MediaStarted {
        peer,
        kind,
        layer: String::new(),
    };
    let told: Vec<Event> = network.events[before..]
        .iter()
        .map(|e| e.1.clone())
        .collect();
    for kind in [MediaKind::Video, MediaKind::Audio] {
        assert_eq!(told.iter().filter(|e| **e == started(kind)).count(), 1);
    }
    let asked = |e: &&Event| matches!(e, Event::KeyframeRequested { .. });
    assert_eq!(
        told.iter().filter(asked).count(),
        0,
        "routed tracks are not asked for"
    );
    assert_eq!(
        network.inboxes[&camera.browser].codecs(),
        [Codec::H264, Codec::Opus]
    );
    assert!(
        network.pull(&camera).is_empty(),
        "packets never become frames"
    );
}

#[test]
fn resends_complete_the_picture_whichever_side_lost_it() {
    for seed in 1..=4 {
        let mut network = Network::new(seed);
        let lossy = network.connect_with(CLEAN, Estimation::Remb, rtp_browser());
        let clean = network.connect_with(CLEAN, Estimation::Remb, rtp_browser());
        let mut camera = network.connect_source(CLEAN);
        let before = camera.video.sequence;
        network.film(&mut camera, SECOND);
        network.browsers[camera.browser].link = LOSSY;
        network.browsers[lossy].link = LOSSY;
        network.film(&mut camera, 8 * SECOND);
        network.browsers[camera.browser].link = CLEAN;
        network.browsers[lossy].link = CLEAN;
        network.film(&mut camera, SECOND);
        network.run(2 * SECOND);
        assert!(network.receiver_stats(&camera).nacks_sent > 0);
        let peer = network.browsers[lossy].peer;
        let stats = network.core.peer_stats(peer).expect("alive");
        assert!(stats.nacks > 0 && stats.packets_resent > 0, "{stats:?}");
        for viewer in [lossy, clean] {
            let video = packets(&network, viewer, network.browsers[viewer].video);
            check(&video, 3000);
            assert_eq!(video.len() as u64, camera.video.sequence - before);
            assert!(is_whole(&video), "seed {seed}");
        }
    }
}

#[test]
fn viewers_go_on_without_a_jump_over_sources_that_come_and_go() {
    let mut network = Network::new(2);
    let viewer = network.connect_with(CLEAN, Estimation::Remb, rtp_browser());
    let mut sources = vec![];
    for n in 0..3 {
        let mut camera = network.connect_source(CLEAN);
        network.film(&mut camera, 2 * SECOND);
        if n < 2 {
            network.close_peer(camera.browser);
            network.run(SECOND);
        }
        sources.push(camera);
    }
    network.run(SECOND);
    let (video, audio) = (
        network.browsers[viewer].video,
        network.browsers[viewer].audio,
    );
    for (mid, rate) in [(video, 90_000), (audio, 48_000)] {
        let packets = packets(&network, viewer, mid);
        assert!(is_whole(&packets));
        // The pause of more than a second is one in the timestamps too.
        check(&packets, rate * 2);
        let (first, last) = (packets[0], packets[packets.len() - 1]);
        let passed = last.timestamp - first.timestamp;
        let by_rtp = last.header.timestamp.wrapping_sub(first.header.timestamp);
        let by_rtp = Duration::from_secs_f64(f64::from(by_rtp) / f64::from(rate));
        assert!(
            by_rtp.abs_diff(passed) < SECOND / 20,
            "{by_rtp:?} in {passed:?}"
        );
    }
    let markers = packets(&network, viewer, video);
    let pictures = markers.iter().filter(|packet| packet.header.marker).count();
    assert_eq!(pictures, 180);
    assert_eq!(
        network.browsers[viewer].packets[0].header.sequence_number & 0x8000,
        0
    );
}

#[test]
fn numbers_map_one_to_one_under_loss_and_reordering() {
    for seed in 1..=6 {
        let mut network = Network::new(seed);
        let bad = Link {
            loss: 0.1,
            jitter: Duration::from_millis(150),
            ..LOSSY
        };
        let viewer = network.connect_with(CLEAN, Estimation::Remb, rtp_browser());
        let mut camera = network.connect_source(bad);
        network.film(&mut camera, 4 * SECOND);
        // Another SSRC in the middle, as from Firefox, and one that jumps.
        network.change_ssrc(&mut camera, 77);
        network.film(&mut camera, 4 * SECOND);
        camera.video.sequence += 30_000;
        network.film(&mut camera, 4 * SECOND);
        network.run(2 * SECOND);
        let video = packets(&network, viewer, network.browsers[viewer].video);
        assert!(video.len() > 500, "seed {seed}: {}", video.len());
        // str0m, which is the camera here, may lose the new SSRC to a late packet of the old one: it
        // names the section no longer, and all is lost until the numbers jump.
        check(&video, 90_000 * 5);
        let mut numbers: Vec<u64> = video.iter().map(|packet| *packet.seq_no).collect();
        numbers.sort_unstable();
        let steps = numbers.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(
            steps.max() < Some(200),
            "a jump of the source's stays there"
        );
    }
}

#[test]
fn a_crowd_that_joins_at_once_costs_two_keyframes_a_second() {
    let mut network = Network::new(1);
    let mut camera = network.connect_source(CLEAN);
    network.film(&mut camera, 2 * SECOND);
    let before = requests(&network, &camera);
    let mut crowd = vec![];
    for _ in 0..50 {
        let viewer = network.add_browser(CLEAN, Estimation::Remb, network::receiving());
        let (offer, pending) = network.offer(viewer);
        network.exchange(viewer, &offer, pending);
        network.film(&mut camera, SECOND / 30);
        crowd.push(viewer);
    }
    network.film(&mut camera, 2 * SECOND);
    network.run(SECOND);
    let asked = network.browsers[camera.browser].keyframe_requests[before..].to_vec();
    assert!((2..=6).contains(&asked.len()), "{}", asked.len());
    for pair in asked.windows(2) {
        assert!(pair[1] - pair[0] >= SECOND / 2);
    }
    for viewer in crowd {
        let indices = pictures(&network, viewer, &camera);
        let first = indices[0];
        assert!(camera.video.sent[first].keyframe);
        assert_eq!(indices, all_from(first, camera.video.sent.len()));
    }
}

#[test]
fn a_viewer_that_joins_sees_a_picture_within_half_a_second() {
    let mut network = Network::new(1);
    let mut camera = network.connect_source(CLEAN);
    network.film(&mut camera, 3 * SECOND);
    let viewer = network.connect(CLEAN, Estimation::Remb);
    let joined = network.now;
    network.film(&mut camera, SECOND);
    let shown = network.browsers[viewer]
        .media
        .iter()
        .map(|data| data.network_time);
    let waited = shown.min().expect("a picture") - joined;
    assert!(waited < SECOND / 2, "{waited:?}");
}

#[test]
fn keyframes_that_viewers_ask_for_are_merged() {
    let mut network = Network::new(1);
    let viewers: [usize; 4] = viewers(&mut network);
    let mut camera = network.connect_source(CLEAN);
    network.film(&mut camera, 3 * SECOND);
    let before = requests(&network, &camera);
    for _ in 0..30 {
        for viewer in viewers {
            let browser = &mut network.browsers[viewer];
            let (mid, kind) = (browser.video, KeyframeRequestKind::Fir);
            let mut api = browser.rtc.direct_api();
            let stream = api.stream_rx_by_mid(mid, None).expect("it receives");
            stream.request_keyframe(kind);
        }
        network.film(&mut camera, SECOND / 10);
    }
    let asked = requests(&network, &camera) - before;
    assert!((3..=6).contains(&asked), "{asked} in three seconds");
}

#[test]
fn a_narrow_path_pauses_alone_and_the_others_notice_nothing() {
    for estimate in [None, Some(300_000)] {
        let mut network = Network::new(3);
        let others: [usize; 3] = viewers(&mut network);
        let slow = network.connect(CLEAN, Estimation::Remb);
        let mut camera = network.connect_source(CLEAN);
        camera.bitrate = 1_500_000;
        network.film(&mut camera, SECOND);
        network.browsers[slow].link = Link {
            capacity: Some(300_000),
            ..LOSSY
        };
        let before = requests(&network, &camera);
        for _ in 0..20 {
            if let Some(estimate) = estimate {
                let browser = &mut network.browsers[slow];
                let mid = browser.video;
                let mut api = browser.rtc.direct_api();
                let stream = api.stream_rx_by_mid(mid, None).expect("it receives");
                stream.request_remb(f64::from(estimate).into());
            }
            network.film(&mut camera, SECOND);
        }
        let asked = requests(&network, &camera) - before;
        assert!(asked <= 12, "{asked} keyframes in 20 s for one bad path");
        let peer = network.browsers[slow].peer;
        let told = |congested| network.count(|e| *e == Event::PeerCongested { peer, congested });
        assert!((2..=6).contains(&told(true)), "{}", told(true));
        assert!(told(false) >= told(true) - 1);
        let stats = network.core.peer_stats(peer).expect("alive");
        assert!(stats.frames_dropped > 150, "{stats:?}");
        for viewer in others {
            let total = camera.video.sent.len();
            assert_eq!(pictures(&network, viewer, &camera), all_from(0, total));
            let stats = network.core.peer_stats(network.browsers[viewer].peer);
            assert_eq!(stats.expect("alive").frames_dropped, 0);
        }
        // The path is good again: so is the picture, after the longest pause.
        network.browsers[slow].link = CLEAN;
        network.film(&mut camera, 15 * SECOND);
        network.run(SECOND);
        let total = camera.video.sent.len();
        let last = pictures(&network, slow, &camera);
        assert!(last.ends_with(&all_from(total - 60, total)));
    }
}

#[test]
fn random_loss_that_resends_make_good_is_no_congestion() {
    let mut network = Network::new(1);
    let viewer = network.connect(CLEAN, Estimation::Remb);
    let mut camera = network.connect_source(CLEAN);
    network.film(&mut camera, SECOND);
    network.browsers[viewer].link = Link { loss: 0.1, ..CLEAN };
    network.film(&mut camera, 20 * SECOND);
    assert_eq!(
        network.count(|e| matches!(e, Event::PeerCongested { .. })),
        0
    );
}

#[test]
fn a_source_is_told_what_it_may_send() {
    let mut network = Network::new(1);
    let mut camera = network.connect_source(CLEAN);
    network.film(&mut camera, SECOND);
    assert!(network.browsers[camera.browser].limits.is_empty());
    network.limit(&camera, 800_000);
    network.film(&mut camera, 3 * SECOND);
    network.limit(&camera, 0);
    network.film(&mut camera, SECOND / 2);
    let limits: Vec<u64> = network.browsers[camera.browser]
        .limits
        .iter()
        .map(|l| l.1)
        .collect();
    let near = |told: u64, bitrate: u64| told.abs_diff(bitrate) * 100 < bitrate;
    assert!(
        limits[..3].iter().all(|told| near(*told, 800_000)),
        "{limits:?}"
    );
    assert!(*limits.last().expect("some") > 500_000_000, "{limits:?}");
}

#[test]
fn each_layer_goes_to_its_track_and_viewers_change_between_them() {
    let mut network = Network::new(1);
    let (low, high) = (VIDEO, 3);
    network.add_track(high, MediaKind::Video);
    let viewer = network.connect_with(CLEAN, Estimation::Remb, rtp_browser());
    let other = network.connect(CLEAN, Estimation::Remb);
    network.attach(other, high);
    let mut layers = network.connect_layers(CLEAN, &["q", "h", "f"]);
    for (camera, bitrate) in layers.iter_mut().zip([150_000, 500_000, 1_500_000]) {
        camera.bitrate = bitrate;
    }
    assert_eq!(
        network.inboxes[&layers[0].browser].layers(),
        ["q", "h", "f"]
    );
    network.route(&layers[0], low, Some("q"));
    network.route(&layers[0], high, Some("f"));
    network.route(&layers[0], AUDIO, None);
    network.film_layers(&mut layers, 2 * SECOND);
    network.attach(viewer, high);
    network.film_layers(&mut layers, 2 * SECOND);
    network.attach(viewer, low);
    network.film_layers(&mut layers, 2 * SECOND);
    network.run(SECOND);

    let peer = network.browsers[layers[0].browser].peer;
    for layer in ["q", "h", "f"] {
        let layer = layer.to_owned();
        let kind = MediaKind::Video;
        let started = Event::MediaStarted { peer, kind, layer };
        assert_eq!(network.count(|event| *event == started), 1);
    }
    assert_eq!(pictures(&network, other, &layers[2]), all_from(0, 180));
    let video = packets(&network, viewer, network.browsers[viewer].video);
    assert!(is_whole(&video));
    check(&video, 6000);
    let ends = video.iter().filter(|packet| packet.header.marker).count();
    assert!(
        (178..=182).contains(&ends),
        "a change may show a moment twice: {ends}"
    );
    let sizes: Vec<usize> = video.iter().map(|packet| packet.payload.len()).collect();
    let (third, bytes) = (video.len() / 3, sizes.iter().sum::<usize>());
    assert!(
        third > 0 && bytes * 8 > 3_000_000,
        "{bytes} bytes, most of them of the high layer"
    );
}

#[test]
fn resends_of_layers_are_found_by_their_names() {
    let mut network = Network::new(5);
    let viewer = network.connect_with(CLEAN, Estimation::Remb, rtp_browser());
    let mut layers = network.connect_layers(CLEAN, &["q", "f"]);
    network.route(&layers[0], VIDEO, Some("f"));
    let before = layers[1].video.sequence;
    network.film_layers(&mut layers, SECOND);
    network.browsers[layers[0].browser].link = LOSSY;
    network.film_layers(&mut layers, 5 * SECOND);
    network.browsers[layers[0].browser].link = CLEAN;
    network.film_layers(&mut layers, SECOND);
    network.run(2 * SECOND);
    assert!(network.receiver_stats(&layers[0]).nacks_sent > 0);
    let video = packets(&network, viewer, network.browsers[viewer].video);
    assert!(is_whole(&video));
    assert_eq!(video.len() as u64, layers[1].video.sequence - before);
}

#[test]
fn what_a_source_sends_harms_no_viewer() {
    let mut network = Network::new(9);
    let viewer = network.connect_with(CLEAN, Estimation::Remb, rtp_browser());
    let mut camera = network.connect_source(CLEAN);
    network.film(&mut camera, SECOND);
    let mut random = fastrand::Rng::with_seed(4);
    for _ in 0..3000 {
        let size = [0, 1, 3, 1200, 1401, 1900][random.usize(..6)];
        let mut payload: Vec<u8> = (0..size).map(|_| random.u8(..)).collect();
        if let Some(first) = payload.first_mut() {
            *first = [0x67, 0x65, 0x41, 24, 28][random.usize(..5)];
        }
        camera.video.timestamp = match random.u8(..4) {
            0 => random.u32(..),
            _ => camera.video.timestamp.wrapping_add(3000),
        };
        if random.u8(..20) == 0 {
            camera.video.sequence += random.u64(..30_000);
        }
        let marker = random.bool();
        network.write(
            camera.browser,
            &mut camera.video,
            marker,
            true,
            payload.into(),
        );
        network.run(Duration::from_millis(3));
    }
    network.run(2 * SECOND);
    assert_eq!(network.counters.panics.load(Ordering::Relaxed), 0);
    assert_eq!(network.end_of(viewer), None);
    assert_eq!(network.end_of(camera.browser), None);
    let video = packets(&network, viewer, network.browsers[viewer].video);
    assert!(video.len() > 500, "{}", video.len());
    assert!(video.iter().all(|packet| packet.payload.len() <= 1400));

    let before = video.len();
    let late = network.connect(CLEAN, Estimation::Remb);
    let from = camera.video.sent.len();
    network.film(&mut camera, 2 * SECOND);
    network.run(SECOND);
    let video = packets(&network, viewer, network.browsers[viewer].video);
    let ends = video[before..].iter().filter(|packet| packet.header.marker);
    let ends = ends.count();
    assert!(ends >= 55, "{ends}, {:?}", network.receiver_stats(&camera));
    let indices = pictures(&network, late, &camera);
    assert!(indices.len() >= 55 && indices[0] >= from, "{indices:?}");
}

#[test]
fn a_codec_that_was_not_agreed_on_is_not_forwarded() {
    let mut network = Network::new(1);
    let viewer = network.connect_with(CLEAN, Estimation::Remb, rtp_browser());
    let mut camera = network.connect_source(CLEAN);
    network.film(&mut camera, SECOND);
    let video = network.browsers[viewer].video;
    let before = packets(&network, viewer, video).len();
    assert!(before > 30);
    camera.video.pt = 96.into(); // VP8, which the browser could send
    network.film(&mut camera, SECOND);
    assert_eq!(packets(&network, viewer, video).len(), before);
}

#[test]
fn wishes_for_several_layers_are_merged_too_and_none_is_forgotten() {
    let mut network = Network::new(1);
    let high = 3;
    network.add_track(high, MediaKind::Video);
    let low_viewer = network.connect_with(CLEAN, Estimation::Remb, rtp_browser());
    let high_viewer = network.connect_with(CLEAN, Estimation::Remb, rtp_browser());
    let mut layers = network.connect_layers(CLEAN, &["q", "f"]);
    network.route(&layers[0], VIDEO, Some("q"));
    network.route(&layers[0], high, Some("f"));
    network.attach(high_viewer, high);
    network.film_layers(&mut layers, 2 * SECOND);
    for camera in &mut layers {
        camera.obeys = false;
    }
    let source = layers[0].browser;
    let before = network.browsers[source].keyframe_requests.len();
    for _ in 0..40 {
        for viewer in [low_viewer, high_viewer] {
            let browser = &mut network.browsers[viewer];
            let mid = browser.video;
            let mut api = browser.rtc.direct_api();
            let stream = api.stream_rx_by_mid(mid, None).expect("it receives");
            stream.request_keyframe(KeyframeRequestKind::Pli);
        }
        network.film_layers(&mut layers, SECOND / 10);
    }
    let asked = &network.browsers[source].keyframe_requests[before..];
    assert!(
        asked
            .windows(2)
            .all(|pair| pair[1] - pair[0] >= SECOND * 49 / 100)
    );
    for layer in ["q", "f"] {
        let of_layer = network.browsers[source].layers_asked[before..].iter();
        let count = of_layer.filter(|rid| **rid == Some(layer.into())).count();
        assert!((3..=4).contains(&count), "{layer} {count} times");
    }
}

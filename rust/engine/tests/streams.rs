//! What stands on the wire: numbers, times and reports, packet by packet.

mod network;

use std::time::{Duration, UNIX_EPOCH};

use icey_engine::core::track::TrackState;
use icey_engine::{Estimation, Event, MediaKind};
use network::watch::packets;
use network::{AUDIO, CLEAN, Network, VIDEO, rtp_browser};

const SECOND: Duration = Duration::from_secs(1);
const OTHER: u64 = 3;

fn connect() -> (Network, usize) {
    let mut network = Network::new(1);
    network
        .core
        .create_track(TrackState::new(OTHER, MediaKind::Video));
    let viewer = network.connect_with(CLEAN, Estimation::Remb, rtp_browser());
    (network, viewer)
}

#[test]
fn a_change_of_track_happens_at_a_keyframe_and_numbers_go_on() {
    let (mut network, viewer) = connect();
    let mid = network.browsers[viewer].video;
    let tick = Duration::from_nanos(33_333_333);
    for n in 0..10 {
        network.push_video(VIDEO, n * 3000, 4000, n == 0);
        network.run(tick);
    }
    network.attach(viewer, OTHER);
    let peer = network.browsers[viewer].peer;
    let asked = Event::KeyframeRequested { peer, track: OTHER };
    assert!(network.has_event(&asked));
    for n in 10..20 {
        // The other track has an origin of its own, and its keyframe comes at the fifth frame.
        network.push_video(OTHER, 7_000_000_000 + n * 3000, 4000, n == 15);
        network.push_video(VIDEO, n * 3000, 4000, false);
        network.run(tick);
    }
    network.run(SECOND);
    let packets = packets(&network, viewer, mid);
    for pair in packets.windows(2) {
        let (a, b) = (&pair[0].header, &pair[1].header);
        assert_eq!(b.sequence_number, a.sequence_number.wrapping_add(1));
        let step = b.timestamp.wrapping_sub(a.timestamp);
        assert!(step == 0 || (2990..=3010).contains(&step), "{step}");
    }
    let frames = packets.iter().filter(|packet| packet.header.marker).count();
    assert_eq!(frames, 20, "one frame a tick, from one track or the other");
    let keyframes = packets
        .iter()
        .filter(|packet| packet.payload[0] & 0x1f == 24)
        .count();
    assert_eq!(keyframes, 2, "parameter sets at both starts");
}

#[test]
fn sender_reports_put_both_tracks_on_one_clock_from_the_first_on() {
    let (mut network, viewer) = connect();
    network.run(3 * SECOND);
    assert!(
        network.browsers[viewer].reports.is_empty(),
        "a report before media would lie"
    );
    network.play(5 * SECOND, 500_000);
    let browser = &network.browsers[viewer];
    let mut origins = vec![];
    for (mid, rate) in [(browser.video, 90_000), (browser.audio, 48_000)] {
        let packets = packets(&network, viewer, mid);
        let first = packets.first().expect("media").header.timestamp;
        let reports: Vec<_> = browser
            .reports
            .iter()
            .filter(|report| report.mid == mid)
            .collect();
        assert!((4..=7).contains(&reports.len()), "{}", reports.len());
        for report in reports {
            // The wallclock minus the media time since the start is the same in all reports of
            // both tracks: the moment at which the media began.
            let media = (report.sender_info.rtp_time.numer() as u32).wrapping_sub(first) as i32;
            let ntp = report
                .sender_info
                .ntp_time
                .duration_since(UNIX_EPOCH)
                .expect("after 1970");
            origins.push(ntp.as_secs_f64() - f64::from(media) / f64::from(rate));
        }
    }
    let least = origins.iter().copied().fold(f64::INFINITY, f64::min);
    let most = origins.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // Half a frame of it is that packets are pushed in steps.
    assert!(most - least < 0.020, "{} s apart", most - least);
}

#[test]
fn a_frame_of_the_future_does_not_break_the_reports() {
    let (mut network, viewer) = connect();
    let captured = network.now + SECOND;
    for n in 0..100 {
        let opus = [n as u8; 100];
        let frame = icey_engine::core::track::Frame::new(
            AUDIO,
            MediaKind::Audio,
            &opus,
            n * 960,
            captured,
            true,
        );
        network.push_frame(&frame.expect("a frame"));
        network.run(Duration::from_millis(20));
    }
    let reports = &network.browsers[viewer].reports;
    assert!(!reports.is_empty());
    assert!(
        reports
            .iter()
            .all(|report| report.sender_info.rtp_time.numer() != 0)
    );
}

#[test]
fn without_transport_feedback_none_is_negotiated_and_with_it_both_are() {
    for (estimation, transport_cc) in [(Estimation::Remb, false), (Estimation::Twcc, true)] {
        let mut network = Network::new(1);
        let browser = network.add_browser(CLEAN, estimation, rtp_browser());
        let (offer, pending) = network.offer(browser);
        let answer = network.exchange(browser, &offer, pending);
        assert_eq!(
            answer.contains("transport-cc"),
            transport_cc,
            "{estimation:?}"
        );
        assert_eq!(
            answer.contains("draft-holmer-rmcat-transport-wide-cc"),
            transport_cc
        );
        assert!(answer.contains("goog-remb") && answer.contains("abs-send-time"));
    }
}

#[test]
fn the_main_ssrc_is_below_that_of_its_resends() {
    for seed in 0..20 {
        let mut network = Network::new(seed);
        let browser = network.add_browser(CLEAN, Estimation::Remb, rtp_browser());
        let (offer, pending) = network.offer(browser);
        let answer = network.exchange(browser, &offer, pending);
        let group = answer
            .lines()
            .find_map(|line| line.strip_prefix("a=ssrc-group:FID "))
            .expect("RTX");
        let ssrcs: Vec<u32> = group
            .split(' ')
            .map(|ssrc| ssrc.parse().expect("a number"))
            .collect();
        assert!(ssrcs[0] < 1 << 31 && ssrcs[1] >= 1 << 31, "{group}");
    }
}

#[test]
fn a_frame_lost_before_the_engine_means_waiting_for_a_keyframe() {
    let (mut network, viewer) = connect();
    let state = TrackState::new(9, MediaKind::Video);
    network.core.create_track(state.clone());
    network.attach(viewer, 9);
    network.push_video(9, 0, 1000, true);
    network.run(SECOND);
    let mid = network.browsers[viewer].video;
    let before = packets(&network, viewer, mid).len();
    state.gap.store(true, std::sync::atomic::Ordering::Relaxed);
    network.push_video(9, 3000, 1000, false);
    network.run(SECOND);
    assert_eq!(
        packets(&network, viewer, mid).len(),
        before,
        "what refers to a lost frame is not sent"
    );
    let peer = network.browsers[viewer].peer;
    assert!(network.has_event(&Event::KeyframeRequested { peer, track: 9 }));
    network.push_video(9, 6000, 1000, true);
    network.run(SECOND);
    assert!(packets(&network, viewer, mid).len() > before);
}

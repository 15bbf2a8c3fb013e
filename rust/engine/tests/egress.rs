//! What viewers of a source are sent past str0m: reports, probes, and what goes on meanwhile.

mod network;

use std::time::Duration;

use icey_engine::{Estimation, MediaKind};
use network::watch::{check, is_whole, packets};
use network::{CLEAN, Link, Network, VIDEO, began, rtp_browser};

const SECOND: Duration = Duration::from_secs(1);

/// As the network's own, whose tracks a source feeds.
const PUSHED: u64 = 7;

fn viewer(network: &mut Network) -> usize {
    network.connect_with(CLEAN, Estimation::Remb, rtp_browser())
}

#[test]
fn a_viewer_is_told_how_its_streams_belong_together() {
    let mut network = Network::new(1);
    let viewer = viewer(&mut network);
    let mut camera = network.connect_source(CLEAN);
    network.film(&mut camera, 10 * SECOND);
    let browser = &network.browsers[viewer];
    for (mid, rate) in [(browser.video, 90_000), (browser.audio, 48_000)] {
        let of_stream = browser.reports.iter().filter(|report| report.mid == mid);
        let infos: Vec<_> = of_stream.map(|report| report.sender_info).collect();
        assert!((9..=11).contains(&infos.len()), "{}", infos.len());
        let packets = packets(&network, viewer, mid);
        assert!(infos.iter().all(|info| info.ssrc == packets[0].header.ssrc));
        // Media time goes on as the wallclock does, and what is sent is counted.
        let (first, last) = (infos[1], infos[infos.len() - 1]);
        let passed = last.ntp_time.duration_since(first.ntp_time);
        let passed = passed.expect("later").as_secs_f64();
        let since = first.ntp_time.duration_since(began());
        assert!(
            since.expect("the real time") < 3 * SECOND,
            "reports tell the real time"
        );
        let units = (last.rtp_time.numer() as u32).wrapping_sub(first.rtp_time.numer() as u32);
        assert!((f64::from(units) / f64::from(rate) - passed).abs() < 0.02);
        let total = packets.len() as u32;
        assert!(last.sender_packet_count <= total && last.sender_packet_count > total * 8 / 10);
        // The newest packet is as old as it looks on that line.
        let newest = packets[packets.len() - 1].header.timestamp;
        let ahead = newest.wrapping_sub(last.rtp_time.numer() as u32) as i32;
        assert!(ahead.abs() < rate * 11 / 10, "{ahead}");
    }
    let (video, audio) = (browser.video, browser.audio);
    let at = |mid| {
        let mut reports = browser.reports.iter();
        let report = reports.rfind(|report| report.mid == mid);
        report.expect("one").sender_info.ntp_time
    };
    assert_eq!(at(video), at(audio), "one compound packet for both");
}

#[test]
fn a_probe_is_of_packets_that_the_viewer_has() {
    let mut sent = vec![];
    for probes in [false, true] {
        let mut network = Network::new(1);
        let viewer = viewer(&mut network);
        let peer = network.browsers[viewer].peer;
        if probes {
            network.probe(peer, 3_000_000);
        }
        let mut camera = network.connect_source(CLEAN);
        network.film(&mut camera, 4 * SECOND);
        let stats = network.core.peer_stats(peer).expect("alive");
        sent.push(stats.packets_sent);
        let video = packets(&network, viewer, network.browsers[viewer].video);
        check(&video, 3000);
        assert!(is_whole(&video));
        assert_eq!(stats.packets_resent, 0, "none was missing");
    }
    let extra = sent[1] - sent[0];
    assert!((20..=22).contains(&extra), "three times seven, not {extra}");
}

#[test]
fn a_probe_ends_when_the_estimate_is_high_enough() {
    let mut network = Network::new(1);
    let viewer = viewer(&mut network);
    let peer = network.browsers[viewer].peer;
    let mut camera = network.connect_source(CLEAN);
    network.film(&mut camera, SECOND);
    let browser = &mut network.browsers[viewer];
    let mid = browser.video;
    let mut api = browser.rtc.direct_api();
    let stream = api.stream_rx_by_mid(mid, None).expect("it receives");
    stream.request_remb(4_000_000_f64.into());
    network.film(&mut camera, SECOND);
    let stats = network.core.peer_stats(peer).expect("alive");
    assert_eq!(stats.bitrate_estimate, Some(4_000_000));
    let per_second = |network: &mut Network, camera: &mut _| {
        let before = network.core.peer_stats(peer).expect("alive").packets_sent;
        network.film(camera, SECOND);
        network.core.peer_stats(peer).expect("alive").packets_sent - before
    };
    let usual = per_second(&mut network, &mut camera);
    network.probe(peer, 3_000_000);
    let with_probe = per_second(&mut network, &mut camera);
    assert!(with_probe.abs_diff(usual) <= 6, "{usual} {with_probe}");
}

#[test]
fn a_viewer_that_restarts_its_path_goes_on_with_the_same_streams() {
    let mut network = Network::new(1);
    let viewer = viewer(&mut network);
    let mut camera = network.connect_source(CLEAN);
    network.film(&mut camera, 2 * SECOND);
    for _ in 0..2 {
        let mut api = network.browsers[viewer].rtc.sdp_api();
        api.ice_restart(true);
        let (offer, pending) = api.apply().expect("an offer");
        network.exchange(viewer, &offer.to_sdp_string(), pending);
        network.film(&mut camera, 3 * SECOND);
    }
    network.run(SECOND);
    assert_eq!(network.end_of(viewer), None);
    let (video, audio) = (
        network.browsers[viewer].video,
        network.browsers[viewer].audio,
    );
    for (mid, step) in [(video, 3000), (audio, 960)] {
        let packets = packets(&network, viewer, mid);
        check(&packets, step);
        assert!(is_whole(&packets));
    }
    let reports = network.browsers[viewer].reports.iter();
    let of_video = reports.filter(|report| report.mid == video).count();
    assert!((7..=9).contains(&of_video), "one a second: {of_video}");
}

#[test]
fn a_pushed_track_follows_a_routed_one_and_goes_before_it() {
    let mut network = Network::new(1);
    network.add_track(PUSHED, MediaKind::Video);
    for begins_pushed in [true, false] {
        let viewer = viewer(&mut network);
        let mut camera = network.connect_source(CLEAN);
        let mut at = 0;
        let mut push = |network: &mut Network| {
            network.attach(viewer, PUSHED);
            for n in 0..30 {
                network.push_video(PUSHED, at * 3000, 3000, n == 0);
                at += 1;
                network.run(SECOND / 30);
            }
        };
        if begins_pushed {
            push(&mut network);
            network.attach(viewer, VIDEO);
        }
        network.film(&mut camera, 2 * SECOND);
        push(&mut network);
        network.attach(viewer, VIDEO);
        network.film(&mut camera, 2 * SECOND);
        network.run(SECOND);
        let video = packets(&network, viewer, network.browsers[viewer].video);
        check(&video, 90_000 * 2);
        assert!(is_whole(&video));
        let ends = video.iter().filter(|packet| packet.header.marker).count();
        let least = if begins_pushed { 170 } else { 140 };
        assert!(ends >= least, "{ends} pictures");
        network.close_peer(camera.browser);
        network.close_peer(viewer);
    }
}

#[test]
fn what_a_viewer_sends_as_reports_harms_nobody() {
    let mut network = Network::new(3);
    let viewer = viewer(&mut network);
    let mut camera = network.connect_source(CLEAN);
    network.film(&mut camera, SECOND);
    let address = network.browsers[viewer].address;
    let before = network.core.peer_stats(network.browsers[viewer].peer);
    let mut random = fastrand::Rng::with_seed(3);
    for n in 0..3000 {
        let mut data: Vec<u8> = (0..random.usize(..120)).map(|_| random.u8(..)).collect();
        for (at, value) in [(0, 0x80), (1, 192 + (n % 32) as u8)] {
            if let Some(byte) = data.get_mut(at) {
                *byte = value;
            }
        }
        network.inject(address, &data);
    }
    let after = network.core.peer_stats(network.browsers[viewer].peer);
    let counts = |stats: Option<icey_engine::PeerStats>| {
        stats.map(|stats| (stats.nacks, stats.plis, stats.packets_resent))
    };
    assert_eq!(counts(before), counts(after), "none of it was the viewer's");
    network.film(&mut camera, SECOND);
    network.run(SECOND);
    let video = packets(&network, viewer, network.browsers[viewer].video);
    assert!(is_whole(&video));
    assert_eq!(network.end_of(viewer), None);
}

#[test]
fn a_viewer_that_asks_for_all_again_gets_half_as_much_more() {
    let mut network = Network::new(1);
    let viewer = viewer(&mut network);
    let mut camera = network.connect_source(CLEAN);
    network.film(&mut camera, SECOND);
    network.browsers[viewer].link = Link { loss: 0.6, ..CLEAN };
    network.film(&mut camera, 5 * SECOND);
    let peer = network.browsers[viewer].peer;
    let stats = network.core.peer_stats(peer).expect("alive");
    assert!(stats.packets_resent > 50, "{stats:?}");
    assert!(stats.packets_resent * 2 < stats.packets_sent, "{stats:?}");
}

//! A viewer who comes between two keyframes of a source that nobody can ask for one.

mod network;

use std::time::Duration;

use icey_engine::Estimation;
use network::watch::{check, is_whole, packets};
use network::{CLEAN, Link, Network, VIDEO, rtp_browser};

const TICK: Duration = Duration::from_millis(40);

/// Plays pictures of 4000 bytes, 25 a second, a keyframe every hundredth.
fn play(network: &mut Network, numbers: std::ops::Range<i64>) {
    for n in numbers {
        let timestamp = network.elapsed().as_micros() as i64 * 90 / 1000;
        network.push_video(VIDEO, timestamp, 4000, n % 100 == 0);
        network.run(TICK);
    }
}

fn pictures(network: &Network, viewer: usize) -> usize {
    let mid = network.browsers[viewer].video;
    let packets = packets(network, viewer, mid);
    packets.iter().filter(|packet| packet.header.marker).count()
}

fn primed() -> Network {
    let mut network = Network::new(1);
    network.keep_group(VIDEO);
    network
}

#[test]
fn he_is_sent_the_group_at_once_and_faster_than_real_time() {
    for estimation in [Estimation::Remb, Estimation::Twcc] {
        let mut network = primed();
        play(&mut network, 0..50);
        let viewer = network.connect_with(CLEAN, estimation, rtp_browser());
        network.run(Duration::from_millis(100));
        assert!(pictures(&network, viewer) >= 10, "within 0.1 s");
        play(&mut network, 50..65);
        // 2 s of pictures took half a second, and since then there is nothing to catch up with.
        assert_eq!(pictures(&network, viewer), 65);
        let before = pictures(&network, viewer);
        play(&mut network, 65..70);
        assert_eq!(pictures(&network, viewer), before + 5);
        let mid = network.browsers[viewer].video;
        let packets = packets(&network, viewer, mid);
        check(&packets, 2 * 3600);
        assert!(is_whole(&packets));
        // Each was stamped with the moment that it was sent: nothing is shown late because of it.
        let at_once = matches!(estimation, Estimation::Remb); // else a pacer spreads them
        for packet in packets[..100].iter().filter(|_| at_once) {
            let since = (packet.timestamp - packets[0].timestamp).as_millis() as u32 * 90;
            let shown = packet
                .header
                .timestamp
                .wrapping_sub(packets[0].header.timestamp);
            assert!(shown.abs_diff(since) <= 270, "{shown} after {since}");
        }
    }
}

#[test]
fn a_keyframe_ends_the_wait_and_what_is_lost_is_never_sent() {
    let mut network = primed();
    play(&mut network, 0..99);
    let viewer = network.connect_with(CLEAN, Estimation::Remb, rtp_browser());
    network.run(TICK);
    play(&mut network, 100..105);
    assert!(pictures(&network, viewer) < 30);
    let mid = network.browsers[viewer].video;
    check(&packets(&network, viewer, mid), 4 * 3600);
    // On a path that loses packets he gets the group all the same: they are sent again.
    let lossy = Link {
        loss: 0.02,
        ..CLEAN
    };
    let other = network.connect_with(lossy, Estimation::Remb, rtp_browser());
    play(&mut network, 105..140);
    network.run(Duration::from_secs(1));
    assert_eq!(pictures(&network, other), 40);
}

#[test]
fn without_a_group_he_waits_for_a_keyframe() {
    let mut network = Network::new(1);
    play(&mut network, 0..50);
    let viewer = network.connect_with(CLEAN, Estimation::Remb, rtp_browser());
    play(&mut network, 50..90);
    assert_eq!(pictures(&network, viewer), 0);
    play(&mut network, 100..110);
    assert_eq!(pictures(&network, viewer), 10);
}

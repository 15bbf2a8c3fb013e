//! Connections that are sent tracks and send at once.

mod network;

use std::sync::atomic::Ordering;
use std::time::Duration;

use icey_engine::core::send::packetize::{MAX_PAYLOAD, packetize};
use icey_engine::{Delivery, Estimation, Event, MediaKind};
use network::camera::{matched, sending};
use network::watch::{check, is_whole, packets};
use network::{AUDIO, CLEAN, Camera, Link, Network, VIDEO};
use str0m::media::Direction;

const SECOND: Duration = Duration::from_secs(1);
const PACKETS: Delivery = Delivery::Packets { simulcast: false };

/// A connected caller, before any media.
fn connect(network: &mut Network, estimation: Estimation, delivery: Delivery) -> Camera {
    let browser = network.add_caller(CLEAN, estimation, delivery, sending());
    let (offer, pending) = network.offer_to(browser, Direction::SendRecv);
    let answer = network.exchange(browser, &offer, pending);
    assert_eq!(answer.matches("a=sendrecv").count(), 2, "{answer}");
    network.come_up(browser);
    network.camera_of(browser, None)
}

/// What a caller watches is what a camera sent, from a keyframe on to the end.
fn check_seen(network: &Network, watching: &Camera, filmed: &Camera) {
    let browser = &network.browsers[watching.browser];
    let (video, audio) = (
        packets(network, watching.browser, browser.video),
        packets(network, watching.browser, browser.audio),
    );
    check(&video, 3000);
    assert!(is_whole(&video) && is_whole(&audio));
    let units = filmed.video.sent.iter();
    let sent: Vec<_> = units
        .flat_map(|unit| packetize(&unit.data, MAX_PAYLOAD))
        .collect();
    let seen: Vec<_> = video.iter().map(|packet| packet.payload.clone()).collect();
    assert!(sent.ends_with(&seen), "what was sent, to the end");
    assert!(seen.len() > sent.len() * 3 / 4, "{}", seen.len());
    let sent: Vec<&[u8]> = filmed.audio.sent.iter().map(|unit| &*unit.data).collect();
    let heard: Vec<&[u8]> = audio.iter().map(|packet| &*packet.payload).collect();
    assert!(sent.ends_with(&heard) && heard.len() > sent.len() * 3 / 4);
}

#[test]
fn what_a_caller_sends_comes_back_to_it() {
    for estimation in [Estimation::Remb, Estimation::Twcc] {
        let mut network = Network::new(1);
        let mut camera = connect(&mut network, estimation, PACKETS);
        for track in [VIDEO, AUDIO] {
            network.attach(camera.browser, track);
            network.route(&camera, track, None);
        }
        network.film(&mut camera, 5 * SECOND);
        network.run(SECOND);
        check_seen(&network, &camera, &camera);
        let stats = network.receiver_stats(&camera);
        assert!(stats.packets_received > 300 && stats.packets_sent > 300);
        assert_eq!(network.counters.panics.load(Ordering::Relaxed), 0);
        // Sender reports of both streams.
        let reports = &network.browsers[camera.browser].reports;
        assert!(reports.len() >= 8, "{} {estimation:?}", reports.len());
        // str0m tells 0 until its pacer has sent the first packet, see `connection`.
        for report in reports {
            let info = &report.sender_info;
            let is_unsent = estimation == Estimation::Twcc && info.sender_packet_count == 0;
            assert!(is_unsent || info.rtp_time.numer() != 0, "{report:?}");
        }
    }
}

#[test]
fn two_callers_see_each_other() {
    const OTHER: [u64; 2] = [7, 8];
    let mut network = Network::new(2);
    network.add_track(OTHER[0], MediaKind::Video);
    network.add_track(OTHER[1], MediaKind::Audio);
    let mut first = connect(&mut network, Estimation::Remb, PACKETS);
    let mut second = connect(&mut network, Estimation::Remb, PACKETS);
    for (filming, watching, tracks) in [(&first, &second, [VIDEO, AUDIO]), (&second, &first, OTHER)]
    {
        for track in tracks {
            network.route(filming, track, None);
            network.attach(watching.browser, track);
        }
    }
    for _ in 0..60 {
        network.film_picture(&mut first, None);
        network.record_sound(&mut first);
        network.film_picture(&mut second, None);
        network.record_sound(&mut second);
        network.run(SECOND / 30);
    }
    network.run(SECOND);
    check_seen(&network, &second, &first);
    check_seen(&network, &first, &second);
}

#[test]
fn losses_are_repaired_in_both_directions() {
    let mut network = Network::new(3);
    let mut camera = connect(&mut network, Estimation::Remb, PACKETS);
    for track in [VIDEO, AUDIO] {
        network.attach(camera.browser, track);
        network.route(&camera, track, None);
    }
    network.film(&mut camera, SECOND);
    network.browsers[camera.browser].link = Link {
        loss: 0.05,
        ..CLEAN
    };
    network.film(&mut camera, 5 * SECOND);
    network.browsers[camera.browser].link = CLEAN;
    network.film(&mut camera, SECOND);
    network.run(SECOND);
    let stats = network.receiver_stats(&camera);
    assert!(stats.nacks > 0 && stats.packets_resent > 0, "{stats:?}");
    assert!(stats.nacks_sent > 0, "{stats:?}");
    assert!(stats.loss.is_some() && stats.rtt_ms.is_some(), "{stats:?}");
    let video = packets(
        &network,
        camera.browser,
        network.browsers[camera.browser].video,
    );
    check(&video, 3000);
    assert!(is_whole(&video));
}

#[test]
fn frames_of_a_caller_are_received_while_it_is_sent_others() {
    for estimation in [Estimation::Remb, Estimation::Twcc] {
        let mut network = Network::new(4);
        let mut camera = connect(&mut network, estimation, Delivery::Frames);
        network.attach(camera.browser, VIDEO);
        for n in 0..60 {
            network.push_video(VIDEO, n * 3000, 4000, n == 0);
            network.film_picture(&mut camera, None);
            network.record_sound(&mut camera);
            network.run(SECOND / 30);
        }
        network.run(2 * SECOND);
        let frames = network.pull(&camera);
        let of = |kind| {
            let frames = frames.iter();
            frames
                .filter(move |frame| frame.codec.kind() == kind)
                .collect::<Vec<_>>()
        };
        assert!(matched(&camera.video.sent, &of(MediaKind::Video)).len() > 50);
        assert!(matched(&camera.audio.sent, &of(MediaKind::Audio)).len() > 50);
        let video = packets(
            &network,
            camera.browser,
            network.browsers[camera.browser].video,
        );
        check(&video, 3000);
        let pictures = video.iter().filter(|packet| packet.header.marker).count();
        assert_eq!((is_whole(&video), pictures), (true, 60), "{estimation:?}");
    }
}

#[test]
fn a_caller_that_restarts_its_path_and_mutes_goes_on() {
    let mut network = Network::new(5);
    let mut camera = connect(&mut network, Estimation::Remb, PACKETS);
    network.attach(camera.browser, VIDEO);
    network.route(&camera, VIDEO, None);
    network.film(&mut camera, SECOND);
    let video = network.browsers[camera.browser].video;
    for direction in [Direction::RecvOnly, Direction::SendRecv] {
        let mut api = network.browsers[camera.browser].rtc.sdp_api();
        api.set_direction(video, direction);
        api.ice_restart(true);
        let (offer, pending) = api.apply().expect("an offer");
        network.exchange(camera.browser, &offer.to_sdp_string(), pending);
        network.run(SECOND);
    }
    let peer = network.browsers[camera.browser].peer;
    assert_eq!(network.end_of(camera.browser), None);
    assert_eq!(
        network.count(|event| *event == Event::PeerConnected { peer }),
        1
    );
    let before = packets(&network, camera.browser, video).len();
    network.film_picture(&mut camera, Some(true));
    network.run(SECOND);
    assert!(packets(&network, camera.browser, video).len() > before);
}

#[test]
fn a_caller_that_is_closed_hears_of_it() {
    let mut network = Network::new(6);
    let mut camera = connect(&mut network, Estimation::Remb, PACKETS);
    network.attach(camera.browser, VIDEO);
    network.route(&camera, VIDEO, None);
    network.film(&mut camera, SECOND);
    network.close_peer(camera.browser);
    network.run(SECOND);
    assert!(network.browsers[camera.browser].closed);
    assert_eq!(network.core.peers(), 0);
}

//! A path that is too narrow, or gets so: how soon it is known, and that the picture goes on.

mod network;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use icey_engine::core::track::TrackState;
use icey_engine::{Estimation, Event, MediaKind};
use network::{CLEAN, Link, Network};

const SECOND: Duration = Duration::from_secs(1);
const FRAME: Duration = Duration::from_nanos(33_333_333);
const FULL: u64 = 2_000_000;
const LEAST: u64 = 150_000;
const TRACK: u64 = 50;

fn narrow(capacity: u64) -> Link {
    Link {
        capacity: Some(capacity),
        ..CLEAN
    }
}

/// What Python does: an encoder that follows the estimate, and holds back while packets wait.
struct Encoder {
    viewer: usize,
    track: Arc<TrackState>,
    frame: i64,
    rate: u64,
    keyframe: bool,
    seen: usize,
}

impl Encoder {
    fn new(network: &mut Network, viewer: usize) -> Self {
        let track = TrackState::new(TRACK, MediaKind::Video);
        network.core.create_track(track.clone());
        network.attach(viewer, TRACK);
        Self {
            viewer,
            track,
            frame: 0,
            rate: FULL,
            keyframe: true,
            seen: 0,
        }
    }

    fn play(&mut self, network: &mut Network, duration: Duration) {
        let end = network.now + duration;
        while network.now < end {
            let peer = network.browsers[self.viewer].peer;
            for (_, event) in &network.events[self.seen..] {
                match event {
                    Event::BitrateEstimated { peer: p, bitrate } if *p == peer => {
                        self.rate = (bitrate * 85 / 100).clamp(LEAST, FULL);
                    }
                    Event::KeyframeRequested { track: TRACK, .. } => self.keyframe = true,
                    _ => {}
                }
            }
            self.seen = network.events.len();
            if self.track.backlog_ms.load(Ordering::Relaxed) <= 200 {
                let size = self.rate as usize / 8 / 30 * if self.keyframe { 4 } else { 1 };
                network.push_video(TRACK, self.frame * 3000, size, self.keyframe);
                self.keyframe = false;
            }
            self.frame += 1;
            network.run(FRAME);
        }
    }
}

/// The lowest estimate told between two moments since the start.
fn lowest(network: &Network, from: Duration, to: Duration) -> Option<u64> {
    let told = network.events.iter().filter_map(|(at, event)| match event {
        Event::BitrateEstimated { bitrate, .. } if (from..to).contains(at) => Some(*bitrate),
        _ => None,
    });
    told.min()
}

fn pictures(network: &Network, viewer: usize) -> usize {
    let video = network.browsers[viewer].video;
    let media = network.browsers[viewer].media.iter();
    media.filter(|data| data.mid == video).count()
}

#[test]
fn a_path_that_narrows_is_known_within_a_second() {
    for seed in 1..6 {
        let mut network = Network::new(seed);
        let viewer = network.connect(narrow(20_000_000), Estimation::Twcc);
        let mut encoder = Encoder::new(&mut network, viewer);
        encoder.play(&mut network, 4 * SECOND);
        assert_eq!(encoder.rate, FULL, "seed {seed}");
        let narrowed = network.elapsed();
        network.browsers[viewer].link = narrow(500_000);
        encoder.play(&mut network, SECOND);
        let told = lowest(&network, narrowed, narrowed + SECOND).expect("an estimate");
        assert!(told < FULL / 2, "seed {seed}: {told}");
        encoder.play(&mut network, 2 * SECOND);
        let before = pictures(&network, viewer);
        encoder.play(&mut network, 5 * SECOND);
        let shown = pictures(&network, viewer) - before;
        assert!(shown > 100, "seed {seed}: {shown} pictures in 5 s");
    }
}

#[test]
fn a_narrow_path_shows_pictures_from_the_first_seconds_on() {
    for seed in 1..6 {
        let mut network = Network::new(seed);
        let viewer = network.connect(narrow(500_000), Estimation::Twcc);
        let mut encoder = Encoder::new(&mut network, viewer);
        encoder.play(&mut network, 3 * SECOND);
        let before = pictures(&network, viewer);
        assert!(before > 0, "seed {seed}");
        encoder.play(&mut network, 5 * SECOND);
        let shown = pictures(&network, viewer) - before;
        assert!(shown > 100, "seed {seed}: {shown} pictures in 5 s");
    }
}

#[test]
fn what_waits_too_long_is_thrown_away_and_a_keyframe_asked_for() {
    let mut network = Network::new(1);
    let viewer = network.connect(narrow(300_000), Estimation::Twcc);
    let asked = network.count(|event| matches!(event, Event::KeyframeRequested { .. }));
    network.play(2 * SECOND, 4_000_000);
    let dropped = network.counters.packets_dropped.load(Ordering::Relaxed);
    assert!(dropped > 0);
    assert!(network.count(|event| matches!(event, Event::KeyframeRequested { .. })) > asked);
    // Whoever then sends no more than the path carries is seen again.
    network.run(2 * SECOND);
    let seen = pictures(&network, viewer);
    network.play(3 * SECOND, 100_000);
    assert!(pictures(&network, viewer) > seen + 60);
}

#[test]
fn one_slow_viewer_of_two_is_no_backlog_of_the_track() {
    let mut network = Network::new(1);
    let slow = network.connect(narrow(200_000), Estimation::Twcc);
    let mut encoder = Encoder::new(&mut network, slow);
    let mut longest = 0;
    for _ in 0..30 {
        network.push_video(TRACK, encoder.frame * 3000, 8000, encoder.frame == 0);
        encoder.frame += 1;
        network.run(FRAME);
        longest = longest.max(encoder.track.backlog_ms.load(Ordering::Relaxed));
    }
    assert!(longest > 200, "{longest} ms");
    let quick = network.connect(CLEAN, Estimation::Twcc);
    network.attach(quick, TRACK);
    for _ in 0..30 {
        network.push_video(TRACK, encoder.frame * 3000, 8000, encoder.frame == 30);
        encoder.frame += 1;
        network.run(FRAME);
        assert_eq!(encoder.track.backlog_ms.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn losses_are_told_of_a_browser_that_gives_no_estimate() {
    let mut network = Network::new(1);
    let viewer = network.connect(narrow(500_000), Estimation::Remb);
    network.play(4 * SECOND, 2_000_000);
    let peer = network.browsers[viewer].peer;
    let estimate = network
        .core
        .peer_stats(peer)
        .and_then(|s| s.bitrate_estimate);
    let estimate = estimate.expect("an estimate");
    assert!(estimate < 1_000_000, "{estimate}");
    let told =
        |event: &Event| matches!(event, Event::BitrateEstimated { peer: p, .. } if *p == peer);
    assert!(network.count(told) > 0);
}

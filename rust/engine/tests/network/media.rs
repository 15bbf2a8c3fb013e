//! What is played on the simulated network.

use std::time::Duration;

use icey_engine::core::track::Frame;
use icey_engine::{Event, MediaKind};

use super::{AUDIO, Network, VIDEO, access_unit};

impl Network {
    /// Pushes an access unit of about `size` bytes.
    pub fn push_video(&mut self, track: u64, timestamp: i64, size: usize, keyframe: bool) {
        let unit = access_unit(&mut self.random, size, keyframe);
        self.push(track, MediaKind::Video, &unit, timestamp, keyframe);
    }

    pub fn push(
        &mut self,
        track: u64,
        kind: MediaKind,
        data: &[u8],
        timestamp: i64,
        keyframe: bool,
    ) {
        let frame = Frame::new(track, kind, data, timestamp, self.now, keyframe).expect("a frame");
        self.core.push(&frame, self.now, &mut self.outbox);
        self.pushed.entry(track).or_default().push(data.to_vec());
        self.settle();
    }

    pub fn push_frame(&mut self, frame: &Frame) {
        self.core.push(frame, self.now, &mut self.outbox);
        self.settle();
    }

    /// Keeps the newest group of pictures of a track from now on.
    pub fn keep_group(&mut self, track: u64) {
        self.core.prime(track, vec![], self.now, &mut self.outbox);
        self.settle();
    }

    /// Plays both tracks in real (simulated) time: 30 frames and 50 Opus packets a second, a
    /// keyframe at first and whenever one is asked for.
    pub fn play(&mut self, duration: Duration, bitrate: usize) {
        let frames = (duration.as_secs_f64() * 30.0) as i64;
        let mut keyframe = true;
        let begin = self.now;
        let base = self.pushed.get(&VIDEO).map_or(0, Vec::len) as i64;
        let audio_base = self.pushed.get(&AUDIO).map_or(0, Vec::len) as i64;
        let mut audio = 0;
        let mut seen = self.events.len();
        for n in 0..frames {
            self.run(
                (begin + Duration::from_nanos(n as u64 * 33_333_333))
                    .saturating_duration_since(self.now),
            );
            while audio * 20 <= n * 100 / 3 {
                let packet: Vec<u8> = (0..160).map(|_| self.random.u8(..)).collect();
                self.push(
                    AUDIO,
                    MediaKind::Audio,
                    &packet,
                    (audio_base + audio) * 960,
                    true,
                );
                audio += 1;
            }
            for (_, event) in &self.events[seen..] {
                keyframe |= matches!(event, Event::KeyframeRequested { track: VIDEO, .. });
            }
            seen = self.events.len();
            let size = bitrate / 8 / 30 * if keyframe { 4 } else { 1 };
            self.push_video(VIDEO, (base + n) * 3000, size, keyframe);
            keyframe = false;
        }
        self.run(Duration::from_millis(33));
    }
}

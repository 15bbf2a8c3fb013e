//! What a sending browser sends, packet by packet.

use std::sync::Arc;
use std::time::Duration;

use icey_engine::ReceivedFrame;
use icey_engine::core::send::packetize::{MAX_PAYLOAD, packetize};
use str0m::format::Codec;
use str0m::media::{Direction, Mid, Pt, Rid};
use str0m::rtp::{RtpWrite, Ssrc};
use str0m::{Rtc, RtcConfig};

use super::{Link, Network, access_unit, receiving};

/// A frame that was sent.
#[derive(Debug, Clone)]
pub struct Sent {
    pub data: Vec<u8>,
    /// `None` after a change of SSRC: the receiver's axis goes on, the sender's does not.
    pub timestamp: Option<u32>,
    pub keyframe: bool,
}

/// One outgoing stream.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub ssrc: Ssrc,
    pub sequence: u64,
    pub timestamp: u32,
    pub pt: Pt,
    pub has_changed: bool,
    pub sent: Vec<Sent>,
}

/// A browser's camera and microphone.
#[derive(Debug, Clone)]
pub struct Camera {
    pub browser: usize,
    pub video: Outgoing,
    pub audio: Outgoing,
    /// Sends markers at the ends of pictures.
    pub markers: bool,
    /// Sends SPS and PPS with each keyframe, not only with the first.
    pub parameter_sets: bool,
    /// Obeys requests for keyframes.
    pub obeys: bool,
    /// Bit/s.
    pub bitrate: usize,
    seen_requests: usize,
    ticks: u64,
}

/// A browser that sends, RTP packet by RTP packet.
pub fn sending() -> RtcConfig {
    receiving()
        .enable_vp8(true)
        .set_rtp_mode(true)
        .set_rtcp_report_interval_audio(Duration::from_secs(1))
}

impl Network {
    /// A sending browser that is connected, before any media.
    pub fn connect_sender(&mut self, link: Link) -> Camera {
        self.connect_sender_with(link, sending(), |offer| offer)
    }

    /// The same, with its offer changed on the way.
    pub fn connect_sender_with(
        &mut self,
        link: Link,
        config: RtcConfig,
        change: impl Fn(String) -> String,
    ) -> Camera {
        let browser = self.add_sender(link, config);
        let (offer, pending) = self.offer_to(browser, Direction::SendOnly);
        self.exchange(browser, &change(offer), pending);
        self.come_up(browser);
        self.camera_of(browser, None)
    }

    /// The camera of a connected browser, or one layer of it.
    pub fn camera_of(&mut self, browser: usize, layer: Option<Rid>) -> Camera {
        let (video, audio) = (self.browsers[browser].video, self.browsers[browser].audio);
        let rtc = &mut self.browsers[browser].rtc;
        Camera {
            browser,
            video: outgoing(rtc, video, layer, &[Codec::H264, Codec::Vp8]),
            audio: outgoing(rtc, audio, None, &[Codec::Opus]),
            markers: true,
            parameter_sets: true,
            obeys: true,
            bitrate: 1_000_000,
            seen_requests: 0,
            ticks: 0,
        }
    }

    /// Sends 30 pictures and 50 Opus packets a second.
    pub fn film(&mut self, camera: &mut Camera, duration: Duration) {
        let (begin, ticks) = (self.now, (duration.as_secs_f64() * 150.0).round() as u64);
        for n in 0..ticks {
            let at = begin + Duration::from_secs(n) / 150;
            self.run(at.saturating_duration_since(self.now));
            if camera.ticks.is_multiple_of(5) {
                self.film_picture(camera, None);
            }
            if camera.ticks.is_multiple_of(3) {
                self.record_sound(camera);
            }
            camera.ticks += 1;
        }
        self.run((begin + duration).saturating_duration_since(self.now));
    }

    /// Sends a picture; a keyframe at first and where one is asked for, or as told.
    pub fn film_picture(&mut self, camera: &mut Camera, keyframe: Option<bool>) {
        let requests = self.browsers[camera.browser].keyframe_requests.len();
        let asked = camera.obeys && requests > camera.seen_requests;
        let is_first = camera.video.sent.is_empty();
        let keyframe = keyframe.unwrap_or(is_first || asked);
        camera.seen_requests = requests;
        let size = camera.bitrate / 8 / 30 * if keyframe { 4 } else { 1 };
        let mut data = access_unit(&mut self.random, size, keyframe);
        if keyframe && !is_first && !camera.parameter_sets {
            data.drain(..17);
        }
        self.send_unit(camera, &data, keyframe);
        camera.video.timestamp = camera.video.timestamp.wrapping_add(3000);
    }

    /// Sends an H.264 access unit with the camera's timestamp.
    pub fn send_unit(&mut self, camera: &mut Camera, data: &[u8], keyframe: bool) {
        let payloads = packetize(data, MAX_PAYLOAD);
        self.send_payloads(camera, data, payloads, keyframe);
    }

    /// Sends the payloads of a picture.
    pub fn send_payloads(
        &mut self,
        camera: &mut Camera,
        data: &[u8],
        payloads: Vec<Arc<[u8]>>,
        keyframe: bool,
    ) {
        let count = payloads.len();
        for (i, payload) in payloads.into_iter().enumerate() {
            let marker = camera.markers && i + 1 == count;
            self.write(camera.browser, &mut camera.video, marker, true, payload);
        }
        let has_changed = camera.video.has_changed;
        let timestamp = (!has_changed).then_some(camera.video.timestamp);
        camera.video.sent.push(Sent {
            data: data.to_vec(),
            timestamp,
            keyframe,
        });
        self.settle();
    }

    pub fn record_sound(&mut self, camera: &mut Camera) {
        let packet: Vec<u8> = (0..160).map(|_| self.random.u8(..)).collect();
        self.write(
            camera.browser,
            &mut camera.audio,
            false,
            false,
            packet.clone().into(),
        );
        let timestamp = camera.audio.timestamp;
        camera.audio.sent.push(Sent {
            data: packet,
            timestamp: Some(timestamp),
            keyframe: true,
        });
        camera.audio.timestamp = timestamp.wrapping_add(960);
        self.settle();
    }

    pub fn write(
        &mut self,
        browser: usize,
        stream: &mut Outgoing,
        marker: bool,
        nackable: bool,
        payload: Arc<[u8]>,
    ) {
        let now = self.now;
        let rtc = &mut self.browsers[browser].rtc;
        let packet = RtpWrite::new(
            stream.pt,
            stream.sequence.into(),
            stream.timestamp,
            now,
            payload,
        );
        let mut api = rtc.direct_api();
        api.stream_tx(&stream.ssrc)
            .expect("a stream")
            .write_rtp(packet.marker(marker).nackable(nackable));
        stream.sequence += 1;
        rtc.handle_input(str0m::Input::Timeout(now))
            .expect("str0m takes a timeout");
    }

    /// Goes on with another SSRC and other numbers, as Firefox does after a pause.
    pub fn change_ssrc(&mut self, camera: &mut Camera, timestamp: u32) {
        let browser = &mut self.browsers[camera.browser];
        let (ssrc, rtx) = (
            self.random.u32(1..1 << 31).into(),
            self.random.u32(1 << 31..).into(),
        );
        let mut api = browser.rtc.direct_api();
        api.remove_stream_tx(camera.video.ssrc);
        api.declare_stream_tx(ssrc, Some(rtx), browser.video, None);
        camera.video.ssrc = ssrc;
        camera.video.has_changed = true;
        camera.video.sequence = u64::from(self.random.u16(..0x8000));
        camera.video.timestamp = timestamp;
    }

    /// Everything received so far of a camera.
    pub fn pull(&self, camera: &Camera) -> Vec<ReceivedFrame> {
        self.inboxes[&camera.browser].pull(usize::MAX)
    }

    pub fn receiver_stats(&self, camera: &Camera) -> icey_engine::PeerStats {
        let peer = self.browsers[camera.browser].peer;
        self.core.peer_stats(peer).expect("alive")
    }
}

fn outgoing(rtc: &mut Rtc, mid: Mid, layer: Option<Rid>, codecs: &[Codec]) -> Outgoing {
    let media = rtc.media(mid).expect("negotiated");
    let params = rtc.codec_config().params().iter();
    let pt = params
        .filter(|params| codecs.contains(&params.spec().codec))
        .map(|params| params.pt())
        .find(|pt| media.remote_pts().contains(pt))
        .expect("a codec in common");
    let mut api = rtc.direct_api();
    let stream = api.stream_tx_by_mid(mid, layer).expect("it sends");
    stream.set_rtx_cache(2000, Duration::from_secs(3), None);
    let ssrc = stream.ssrc();
    Outgoing {
        ssrc,
        sequence: 1000,
        timestamp: fastrand::u32(..),
        pt,
        has_changed: false,
        sent: vec![],
    }
}

/// The frames of a kind that were received, with the index of what was sent. Fails where one is
/// not what was sent, or out of order.
pub fn matched(sent: &[Sent], frames: &[&ReceivedFrame]) -> Vec<usize> {
    let mut from = 0;
    let mut indices = vec![];
    for frame in frames {
        let found = sent[from..].iter().position(|sent| sent.data == frame.data);
        let index = from + found.expect("byte for byte what was sent, in order");
        let timestamp = frame.timestamp as u32;
        assert_eq!(timestamp, sent[index].timestamp.unwrap_or(timestamp));
        assert_eq!(frame.keyframe, sent[index].keyframe);
        indices.push(index);
        from = index + 1;
    }
    indices
}

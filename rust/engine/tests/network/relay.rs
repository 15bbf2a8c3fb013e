//! Sources and routes on the simulated network.

use std::sync::Arc;
use std::time::Duration;

use icey_engine::core::receive::inbox::{Inbox, Writer};
use icey_engine::core::track::TrackState;
use icey_engine::{Delivery, MediaKind, ReceiverOptions};
use str0m::RtcConfig;
use str0m::change::SdpPendingOffer;
use str0m::media::{Direction, Rid, Simulcast, SimulcastLayer};
use str0m::rtp::Extension;

use super::camera::sending;
use super::{AUDIO, Camera, Link, Network, VIDEO};

impl Network {
    /// A browser whose packets are to be forwarded, before its offer.
    pub fn add_source(&mut self, link: Link, options: ReceiverOptions, config: RtcConfig) -> usize {
        let index = self.add_client(link, config);
        let inbox = Arc::<Inbox>::default();
        let writer = Writer::new(inbox.clone());
        let peer = self.browsers[index].peer;
        self.core
            .create_peer(peer, None, Some((writer, options)), self.now);
        self.inboxes.insert(index, inbox);
        index
    }

    /// A source that is connected, before any media, and feeds both tracks.
    pub fn connect_source(&mut self, link: Link) -> Camera {
        let options = ReceiverOptions {
            delivery: Delivery::Packets { simulcast: true },
            max_bitrate: 0,
        };
        let browser = self.add_source(link, options, sending());
        let (offer, pending) = self.offer_to(browser, Direction::SendOnly);
        self.exchange(browser, &offer, pending);
        self.come_up(browser);
        let camera = self.camera_of(browser, None);
        self.route(&camera, VIDEO, None);
        self.route(&camera, AUDIO, None);
        camera
    }

    /// A connected source of simulcast layers, as Chrome offers them: told by name, without SSRCs.
    pub fn connect_layers(&mut self, link: Link, names: &[&str]) -> Vec<Camera> {
        let options = ReceiverOptions {
            delivery: Delivery::Packets { simulcast: true },
            max_bitrate: 0,
        };
        let config = sending()
            .set_extension(10, Extension::RtpStreamId)
            .set_extension(11, Extension::RepairedRtpStreamId);
        let browser = self.add_source(link, options, config);
        let (offer, pending) = self.offer_layers(browser, names);
        let without_ssrcs: String = offer
            .lines()
            .filter(|line| !line.starts_with("a=ssrc"))
            .map(|line| format!("{line}\r\n"))
            .collect();
        self.exchange(browser, &without_ssrcs, pending);
        self.come_up(browser);
        let layers = names.iter().map(|name| Some(Rid::from(*name)));
        layers.map(|layer| self.camera_of(browser, layer)).collect()
    }

    fn offer_layers(&mut self, browser: usize, names: &[&str]) -> (String, SdpPendingOffer) {
        use str0m::media::MediaKind::{Audio, Video};
        let mut simulcast = Simulcast::new();
        for name in names {
            simulcast.add_send_layer(SimulcastLayer::new(name));
        }
        let browser = &mut self.browsers[browser];
        let mut api = browser.rtc.sdp_api();
        let direction = Direction::SendOnly;
        browser.video = api.add_media(Video, direction, None, None, Some(simulcast));
        browser.audio = api.add_media(Audio, direction, None, None, None);
        let (offer, pending) = api.apply().expect("something to offer");
        (offer.to_sdp_string(), pending)
    }

    pub fn add_track(&mut self, track: u64, kind: MediaKind) {
        self.core.create_track(TrackState::new(track, kind));
    }

    pub fn route(&mut self, camera: &Camera, track: u64, layer: Option<&str>) {
        let peer = self.browsers[camera.browser].peer;
        self.core.route(peer, track, layer.map(Rid::from));
        self.settle();
    }

    pub fn request_keyframe(&mut self, peer: u64) {
        self.core.request_keyframe(peer, self.now, &mut self.outbox);
        self.settle();
    }

    pub fn probe(&mut self, peer: u64, bitrate: u64) {
        self.core.probe(peer, bitrate, self.now, &mut self.outbox);
        self.settle();
    }

    pub fn limit(&mut self, camera: &Camera, bitrate: u64) {
        let peer = self.browsers[camera.browser].peer;
        self.core
            .limit_bitrate(peer, bitrate, self.now, &mut self.outbox);
        self.settle();
    }

    /// Sends pictures of every layer, 30 a second, and the sound of the first.
    pub fn film_layers(&mut self, layers: &mut [Camera], duration: Duration) {
        for _ in 0..(duration.as_secs_f64() * 30.0).round() as u64 {
            for camera in layers.iter_mut() {
                self.film_picture(camera, None);
            }
            self.record_sound(&mut layers[0]);
            self.run(Duration::from_nanos(33_333_333));
        }
    }
}

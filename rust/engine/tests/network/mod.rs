//! A server core and browsers (str0m as the offering side) on a simulated network, in simulated
//! time: nothing sleeps, and a seed fixes what the network does.

#![allow(dead_code, unused_imports)] // each test binary uses its part of this

mod browser;
mod caller;
pub mod camera;
mod media;
mod outbox;
pub mod relay;
pub mod watch;

pub use browser::{Browser, CLEAN, Link, access_unit, receiving, rtp_browser};
pub use camera::{Camera, Sent};
pub use outbox::Nowhere;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use icey_engine::core::Core;
use icey_engine::core::context::Datagram;
use icey_engine::core::options::Local;
use icey_engine::core::receive::inbox::{Inbox, Writer};
use icey_engine::core::sdp::offer::prepare;
use icey_engine::core::track::{Frame, TrackState};
use icey_engine::core::wallclock::Wallclock;
use icey_engine::stats::Counters;
use icey_engine::{Estimation, Event, MediaKind, PeerOptions, ReceiverOptions};
use str0m::bwe::BweKind;
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::media::{Direction, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event as RtcEvent, Input, Output, Rtc, RtcConfig};

use self::outbox::Outbox;

pub const SERVER: &str = "10.0.0.1:4501";
pub const VIDEO: u64 = 1;
pub const AUDIO: u64 = 2;

struct OnTheWire {
    to_server: bool,
    browser: usize,
    destination: SocketAddr,
    data: Vec<u8>,
}

/// The wallclock at the start of a simulation.
pub fn began() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// The world.
pub struct Network {
    pub now: Instant,
    pub start: Instant,
    pub core: Core,
    pub counters: Arc<Counters>,
    pub browsers: Vec<Browser>,
    /// All events so far, with the time since the start.
    pub events: Vec<(Duration, Event)>,
    outbox: Outbox,
    wire: BinaryHeap<Reverse<(Instant, u64)>>,
    letters: HashMap<u64, OnTheWire>,
    next_letter: u64,
    random: fastrand::Rng,
    by_address: BTreeMap<SocketAddr, usize>,
    /// Media pushed so far, by track.
    pub pushed: HashMap<u64, Vec<Vec<u8>>>,
    /// What the peers of sending browsers receive, by browser.
    pub inboxes: HashMap<usize, Arc<Inbox>>,
    /// Keep what browsers send, and count what peers send.
    pub record: bool,
    pub recorded: Vec<Vec<u8>>,
    sent: HashMap<u64, usize>,
}

impl Network {
    pub fn new(seed: u64) -> Self {
        fastrand::seed(seed);
        let certificate = str0m::crypto::from_feature_flags()
            .dtls_provider
            .generate_certificate()
            .expect("aws-lc-rs makes certificates");
        let server: SocketAddr = SERVER.parse().expect("an address");
        let now = Instant::now();
        let local = Local {
            certificate,
            addresses: vec![server],
            additional: vec![],
            wallclock: Wallclock::new(now, began()),
        };
        let counters = Arc::<Counters>::default();
        let mut core = Core::new(local, counters.clone());
        core.create_track(TrackState::new(VIDEO, MediaKind::Video));
        core.create_track(TrackState::new(AUDIO, MediaKind::Audio));
        Self {
            now,
            start: now,
            core,
            counters,
            browsers: vec![],
            events: vec![],
            outbox: Outbox::default(),
            wire: BinaryHeap::new(),
            letters: HashMap::new(),
            next_letter: 0,
            random: fastrand::Rng::with_seed(seed),
            by_address: BTreeMap::new(),
            pushed: HashMap::new(),
            inboxes: HashMap::new(),
            record: false,
            recorded: vec![],
            sent: HashMap::new(),
        }
    }

    /// A browser that receives, before its offer; its peer on the server has both tracks.
    pub fn add_browser(&mut self, link: Link, estimation: Estimation, config: RtcConfig) -> usize {
        let index = self.add_client(link, config);
        let peer = self.browsers[index].peer;
        self.core.create_peer(
            peer,
            Some(PeerOptions {
                estimation,
                max_bitrate: 2_500_000,
                start_bitrate: 2_500_000,
            }),
            None,
            self.now,
        );
        self.core.attach(peer, VIDEO, self.now, &mut self.outbox);
        self.core.attach(peer, AUDIO, self.now, &mut self.outbox);
        index
    }

    /// A browser that sends, before its offer.
    pub fn add_sender(&mut self, link: Link, config: RtcConfig) -> usize {
        let index = self.add_client(link, config);
        let inbox = Arc::<Inbox>::default();
        let peer = self.browsers[index].peer;
        let receives = (Writer::new(inbox.clone()), ReceiverOptions::default());
        self.core.create_peer(peer, None, Some(receives), self.now);
        self.inboxes.insert(index, inbox);
        index
    }

    fn add_client(&mut self, link: Link, config: RtcConfig) -> usize {
        let index = self.browsers.len();
        let address: SocketAddr = ([10, 0, 1, index as u8 + 1], 5000).into();
        let peer = 100 + index as u64;
        let mut rtc = config.build(self.now);
        rtc.add_local_candidate(Candidate::host(address, "udp").expect("a candidate"));
        self.by_address.insert(address, index);
        self.browsers.push(Browser {
            rtc,
            peer,
            address,
            link,
            video: Mid::from("x"),
            audio: Mid::from("x"),
            media: vec![],
            packets: vec![],
            reports: vec![],
            keyframe_requests: vec![],
            estimates: vec![],
            limits: vec![],
            layers_asked: vec![],
            connected: false,
            closed: false,
            deadline: self.now,
            busy_until: self.now,
        });
        index
    }

    /// Makes an offer with audio and video to receive.
    pub fn offer(&mut self, browser: usize) -> (String, SdpPendingOffer) {
        self.offer_to(browser, Direction::RecvOnly)
    }

    /// Makes an offer with audio and video.
    pub fn offer_to(&mut self, browser: usize, direction: Direction) -> (String, SdpPendingOffer) {
        use str0m::media::MediaKind::{Audio, Video};
        let browser = &mut self.browsers[browser];
        let mut api = browser.rtc.sdp_api();
        browser.video = api.add_media(Video, direction, None, None, None);
        browser.audio = api.add_media(Audio, direction, None, None, None);
        let (offer, pending) = api.apply().expect("something to offer");
        (offer.to_sdp_string(), pending)
    }

    /// Hands the offer to the server and its answer to the browser.
    pub fn exchange(&mut self, browser: usize, offer: &str, pending: SdpPendingOffer) -> String {
        let peer = self.browsers[browser].peer;
        let answer = self.accept_offer(peer, offer).expect("an answer");
        let parsed = SdpAnswer::from_sdp_string(&answer).expect("str0m reads the answer");
        self.browsers[browser]
            .rtc
            .sdp_api()
            .accept_answer(pending, parsed)
            .expect("a fitting answer");
        self.settle();
        answer
    }

    /// A browser that is connected on a link, before any media.
    pub fn connect(&mut self, link: Link, estimation: Estimation) -> usize {
        self.connect_with(link, estimation, receiving())
    }

    pub fn connect_with(&mut self, link: Link, estimation: Estimation, config: RtcConfig) -> usize {
        let browser = self.add_browser(link, estimation, config);
        let (offer, pending) = self.offer(browser);
        self.exchange(browser, &offer, pending);
        self.come_up(browser);
        browser
    }

    /// Runs until a browser and its peer are connected.
    pub fn come_up(&mut self, browser: usize) {
        self.run_until(
            |network| network.browsers[browser].connected,
            Duration::from_secs(10),
        );
        assert!(self.browsers[browser].connected, "no connection");
        let peer = self.browsers[browser].peer;
        self.run_until(
            |n| n.has_event(&Event::PeerConnected { peer }),
            Duration::from_secs(10),
        );
    }

    pub fn has_event(&self, event: &Event) -> bool {
        self.events.iter().any(|(_, seen)| seen == event)
    }

    pub fn count(&self, f: impl Fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|(_, event)| f(event)).count()
    }

    /// When the peer's end was told, and why.
    pub fn end_of(&self, browser: usize) -> Option<(Duration, String)> {
        self.events.iter().find_map(|(at, event)| match event {
            Event::PeerDisconnected { peer, reason, .. }
                if *peer == self.browsers[browser].peer =>
            {
                Some((*at, reason.clone()))
            }
            _ => None,
        })
    }

    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Lets time pass.
    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step(end) {}
    }

    /// Lets time pass until something holds, or so long at most.
    pub fn run_until(&mut self, holds: impl Fn(&Self) -> bool, limit: Duration) {
        let end = self.now + limit;
        while !holds(self) && self.step(end) {}
    }

    /// Goes on to the next thing that happens; `false` when that is after `end`.
    fn step(&mut self, end: Instant) -> bool {
        let mut next = end;
        next = next.min(self.core.next_deadline().unwrap_or(end));
        for browser in &self.browsers {
            next = next.min(browser.deadline);
        }
        if let Some(Reverse((at, _))) = self.wire.peek() {
            next = next.min(*at);
        }
        self.now = self.now.max(next);
        self.deliver();
        self.core.expire(self.now, &mut self.outbox);
        for i in 0..self.browsers.len() {
            if self.browsers[i].deadline <= self.now {
                let now = self.now;
                self.browsers[i]
                    .rtc
                    .handle_input(Input::Timeout(now))
                    .expect("str0m takes a timeout");
            }
        }
        self.settle();
        self.now < end
    }

    fn deliver(&mut self) {
        while let Some(Reverse((at, id))) = self.wire.peek().copied() {
            if at > self.now {
                return;
            }
            self.wire.pop();
            let letter = self
                .letters
                .remove(&id)
                .expect("every letter is on the wire once");
            let now = self.now;
            let browser = &mut self.browsers[letter.browser];
            if letter.to_server {
                self.core.receive(
                    now,
                    letter.destination,
                    browser.address,
                    &letter.data,
                    &mut self.outbox,
                );
            } else {
                let server = SERVER.parse().expect("an address");
                if let Ok(receive) =
                    Receive::new(Protocol::Udp, server, browser.address, &letter.data)
                {
                    browser
                        .rtc
                        .handle_input(Input::Receive(now, receive))
                        .expect("valid input");
                }
                self.poll_browser(letter.browser);
            }
        }
    }

    /// Takes what core and browsers have to send and to tell.
    pub fn settle(&mut self) {
        self.core.forward(self.now, &mut self.outbox);
        for i in 0..self.browsers.len() {
            self.poll_browser(i);
        }
        for datagram in std::mem::take(&mut self.outbox.0) {
            assert_eq!(
                datagram.local.to_string(),
                SERVER,
                "sent from an address that is not ours"
            );
            if self.record {
                *self.sent.entry(datagram.peer).or_default() += 1;
            }
            let Some(browser) = self.by_address.get(&datagram.remote).copied() else {
                continue;
            };
            self.post(browser, false, datagram.remote, datagram.payload);
        }
        let elapsed = self.elapsed();
        self.events.extend(
            self.core
                .take_events()
                .into_iter()
                .map(|event| (elapsed, event)),
        );
    }

    fn poll_browser(&mut self, index: usize) {
        loop {
            let browser = &mut self.browsers[index];
            // A handshake that is never answered ends in an error, and so does the browser.
            let Ok(output) = browser.rtc.poll_output() else {
                browser.rtc.disconnect();
                continue;
            };
            match output {
                Output::Timeout(at) => {
                    browser.deadline = at.max(self.now + Duration::from_micros(1));
                    return;
                }
                Output::Transmit(transmit) => {
                    if self.record {
                        self.recorded.push(transmit.contents.to_vec());
                    }
                    self.post(
                        index,
                        true,
                        transmit.destination,
                        transmit.contents.to_vec(),
                    );
                }
                Output::Event(event) => match event {
                    RtcEvent::Connected => browser.connected = true,
                    RtcEvent::Closed => browser.closed = true,
                    RtcEvent::MediaData(data) => browser.media.push(data),
                    RtcEvent::RtpPacket(packet) => browser.packets.push(packet),
                    RtcEvent::SenderFeedback(report) => browser.reports.push(report),
                    RtcEvent::KeyframeRequest(request) => {
                        browser.keyframe_requests.push(self.now);
                        browser.layers_asked.push(request.rid);
                    }
                    RtcEvent::EgressBitrateEstimate(BweKind::Remb { estimate, .. }) => {
                        browser.limits.push((self.now, estimate.as_u64()));
                    }
                    RtcEvent::EgressBitrateEstimate(BweKind::Twcc { estimate, .. }) => {
                        browser.estimates.push((self.now, estimate.as_u64()));
                    }
                    _ => {}
                },
            }
        }
    }

    fn post(&mut self, browser: usize, to_server: bool, destination: SocketAddr, data: Vec<u8>) {
        let link = self.browsers[browser].link;
        if link.cut || self.random.f64() < link.loss {
            return;
        }
        let mut at = self.now + link.delay + link.jitter.mul_f64(self.random.f64());
        if let Some(capacity) = link.capacity.filter(|_| !to_server) {
            let busy = &mut self.browsers[browser].busy_until;
            let begins = (*busy).max(self.now);
            if begins - self.now > Duration::from_millis(300) {
                return;
            }
            *busy = begins + Duration::from_secs_f64((data.len() * 8) as f64 / capacity as f64);
            at += *busy - self.now;
        }
        self.next_letter += 1;
        self.letters.insert(
            self.next_letter,
            OnTheWire {
                to_server,
                browser,
                destination,
                data,
            },
        );
        self.wire.push(Reverse((at, self.next_letter)));
    }

    /// Something that is not a browser's sends this to the server.
    pub fn inject(&mut self, from: SocketAddr, data: &[u8]) {
        let server = SERVER.parse().expect("an address");
        self.core
            .receive(self.now, server, from, data, &mut self.outbox);
        self.settle();
    }

    pub fn accept_offer(
        &mut self,
        peer: u64,
        sdp: &str,
    ) -> Result<String, icey_engine::EngineError> {
        let wanted = self.core.wanted(peer).expect("a peer");
        let offer = prepare(sdp, wanted)?;
        let answer = self
            .core
            .accept_offer(peer, offer, self.now, &mut self.outbox)?;
        Ok(answer.into_text())
    }

    pub fn add_candidate(&mut self, peer: u64, text: &str) {
        let candidate = icey_engine::core::ice::candidate::parse(text)
            .expect("a candidate")
            .expect("of use");
        self.core
            .add_candidate(peer, candidate, self.now, &mut self.outbox);
        self.settle();
    }

    pub fn attach(&mut self, browser: usize, track: u64) {
        self.core.attach(
            self.browsers[browser].peer,
            track,
            self.now,
            &mut self.outbox,
        );
        self.settle();
    }

    pub fn attach_id(&mut self, peer: u64, track: u64) {
        self.core.attach(peer, track, self.now, &mut self.outbox);
        self.settle();
    }

    /// Datagrams that a peer on the server has sent while recording.
    pub fn sent_by(&self, peer: u64) -> usize {
        self.sent.get(&peer).copied().unwrap_or_default()
    }

    pub fn close_peer(&mut self, browser: usize) {
        self.core
            .close_peer(self.browsers[browser].peer, self.now, &mut self.outbox);
        self.settle();
    }
}

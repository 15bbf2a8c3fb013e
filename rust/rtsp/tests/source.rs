//! The receiver against a camera on loopback.

mod camera;

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use camera::{Behaviour, Camera, h264, sound, within};
use icey_rtsp::{Frame, Kind, Options, RtspError, Sink, Source, Transport, Wanted};

const LONG: Duration = Duration::from_secs(5);

fn options(camera: &Camera) -> Options {
    Options {
        url: camera.url.clone(),
        user: "user".into(),
        password: "p[#@:".into(),
        transport: Transport::Auto,
        open_timeout: LONG,
        silence: LONG,
    }
}

fn plain(sections: String) -> Behaviour {
    Behaviour {
        sections,
        takes_tcp: true,
        challenge: None,
    }
}

struct Forwarder(Sender<Frame>);

impl Sink for Forwarder {
    fn begin(&mut self, group: &[Frame]) -> bool {
        group.iter().all(|frame| self.push(frame))
    }

    fn push(&mut self, frame: &Frame) -> bool {
        self.0.send(frame.clone()).is_ok()
    }
}

#[test]
fn an_access_unit_is_there_with_its_last_packet() {
    let camera = Camera::start(plain(h264() + &sound("opus/48000/2")));
    let source = Source::open(options(&camera)).expect("it plays");
    let description = source.description();
    assert_eq!(description.video.as_ref().expect("pictures").codec, "h264");
    assert_eq!(description.audio.as_ref().expect("sound").codec, "opus");
    let (sender, frames) = channel();
    source.forward(Box::new(Forwarder(sender)));
    camera.send(0, 1, 9000, false, &[0x7c, 0x85, 1, 2, 3]);
    camera.send(0, 2, 9000, true, &[0x7c, 0x45, 4, 5]);
    // No later packet comes: what is told is told by the marker bit.
    let picture = frames.recv_timeout(LONG).expect("a picture");
    assert!(picture.keyframe && picture.kind == Kind::Video);
    assert_eq!(picture.data[..5], [0, 0, 0, 1, 0x67]);
    assert!(picture.data.ends_with(&[0, 0, 0, 1, 0x65, 1, 2, 3, 4, 5]));
    camera.send(1, 7, 480, false, &[0xfc, 9, 9]);
    let sound = frames.recv_timeout(LONG).expect("sound");
    assert_eq!(
        (sound.kind, &sound.data[..]),
        (Kind::Audio, &[0xfc, 9, 9][..])
    );
    assert_eq!(source.group().len(), 1);
    source.close();
    assert!(frames.recv_timeout(LONG).is_err());
}

#[test]
fn what_is_wanted_is_pulled_and_the_end_has_a_reason() {
    let camera = Camera::start(plain(h264()));
    let source = Source::open(options(&camera)).expect("it plays");
    source.want(Wanted {
        video: true,
        audio: false,
    });
    camera.send(0, 1, 0, true, &[0x65, 1, 2]);
    camera.send(0, 2, 3000, true, &[0x41, 1, 2]);
    camera.send(0, 4, 9000, true, &[0x41, 1, 2]);
    let mut frames = Vec::new();
    while frames.len() < 3 {
        let pulled = source.pull(9, LONG);
        assert_eq!(pulled.ended, None);
        frames.extend(pulled.frames);
    }
    let lost: Vec<bool> = frames.iter().map(|frame| frame.after_loss).collect();
    assert_eq!(lost, [false, false, true]);
    camera.hang_up();
    let pulled = source.pull(9, LONG);
    assert_eq!(
        pulled.ended.as_deref(),
        Some("the camera closed the connection")
    );
    assert!(!pulled.is_unsupported);
}

#[test]
fn a_camera_that_refuses_tcp_is_received_by_udp() {
    let camera = Camera::start(Behaviour {
        takes_tcp: false,
        ..plain(h264())
    });
    let mut only_tcp = options(&camera);
    only_tcp.transport = Transport::Tcp;
    let refusal = Source::open(only_tcp).err().expect("refused");
    assert!(
        matches!(&refusal, RtspError::Unsupported(text) if text.contains("461")),
        "{refusal}"
    );
    let source = Source::open(options(&camera)).expect("it plays");
    assert!(source.description().is_udp);
    let (sender, frames) = channel();
    source.forward(Box::new(Forwarder(sender)));
    camera.send(0, 1, 9000, true, &[0x65, 1, 2, 3]);
    assert!(frames.recv_timeout(LONG).expect("a picture").keyframe);
}

#[test]
fn a_challenge_is_answered_in_whatever_order_it_comes() {
    for (is_sha, challenge) in [
        (
            false,
            "WWW-Authenticate: Digest realm=\"cam\", nonce=\"n\", qop=\"auth\"\r\n\
         WWW-Authenticate: Digest realm=\"cam\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256",
        ),
        (
            true,
            "WWW-Authenticate: Digest realm=\"cam\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256\r\n\
         WWW-Authenticate: Digest realm=\"cam\", nonce=\"n\", qop=\"auth\", algorithm=MD5",
        ),
    ] {
        let camera = Camera::start(Behaviour {
            challenge: Some(challenge),
            ..plain(h264())
        });
        Source::open(options(&camera)).expect("it plays");
        let requests: Vec<String> = camera.requests.try_iter().collect();
        let answers = requests
            .iter()
            .filter(|r| r.contains("Authorization: Digest"));
        assert!(answers.clone().count() >= 3);
        assert!(
            answers.clone().all(|r| r.contains("SHA-256") == is_sha),
            "{requests:?}"
        );
    }
}

#[test]
fn what_ffmpeg_may_know_is_told_from_what_nobody_can_have() {
    let refusal = |sections: String| {
        let camera = Camera::start(plain(sections));
        Source::open(options(&camera)).err()
    };
    let mpeg4 = "m=video 0 RTP/AVP 96\r\na=rtpmap:96 MP4V-ES/90000\r\na=control:trackID=0\r\n";
    for sections in [
        mpeg4.to_owned(),
        h264() + &sound("MP4A-LATM/44100"),
        "m=x\r\n".into(),
    ] {
        let refusal = refusal(sections);
        assert!(
            matches!(refusal, Some(RtspError::Unsupported(_))),
            "{refusal:?}"
        );
    }
    // Nobody knows this sound: there are pictures all the same.
    let camera = Camera::start(plain(h264() + &sound("X-SECRET/8000")));
    let source = Source::open(options(&camera)).expect("it plays");
    assert_eq!(source.description().left_out.as_deref(), Some("x-secret"));
    let nobody = Options {
        url: "rtsp://127.0.0.1:1/x".into(),
        ..options(&camera)
    };
    let refusal = Source::open(nobody).err();
    assert_eq!(
        refusal,
        Some(RtspError::Failed("Connection refused".into()))
    );
}

#[test]
fn silence_and_nonsense_end_the_stream() {
    let camera = Camera::start(plain(h264()));
    let mut impatient = options(&camera);
    impatient.silence = Duration::from_millis(50);
    let source = Source::open(impatient).expect("it plays");
    let pulled = source.pull(9, LONG);
    assert_eq!(pulled.ended.as_deref(), Some("nothing came for 0.05 s"));

    let camera = Camera::start(plain(h264()));
    let source = Source::open(options(&camera)).expect("it plays");
    let (sender, frames) = channel();
    source.forward(Box::new(Forwarder(sender)));
    camera.send(0, 1, 0, true, &[0x65, 1]);
    assert!(frames.recv_timeout(LONG).is_ok());
    for sequence in 2..600 {
        camera.send(0, sequence, 3000, true, &[0xff, 1]);
    }
    assert!(within(|| source.pull(9, Duration::ZERO).is_unsupported));
}

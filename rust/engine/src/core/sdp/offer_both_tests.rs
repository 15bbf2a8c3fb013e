use super::*;

const SESSION: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n";

/// Of a connection that sends and receives.
fn prepare(sdp: &str, delivery: Delivery) -> Result<Prepared, EngineError> {
    let wanted = Wanted {
        sends: true,
        receives: Some(delivery),
    };
    super::prepare(sdp, wanted)
}

fn video(mid: u8, direction: &str) -> String {
    format!(
        "m=video 9 UDP/TLS/RTP/SAVPF 96 97 102 103 104\r\na=mid:{mid}\r\n{direction}\r\n\
         a=rtpmap:96 VP8/90000\r\na=rtpmap:102 H264/90000\r\n\
         a=fmtp:102 packetization-mode=1;profile-level-id=42e01f\r\n\
         a=rtpmap:103 rtx/90000\r\na=fmtp:103 apt=102\r\na=rtpmap:104 H264/90000\r\n\
         a=fmtp:104 packetization-mode=1;profile-level-id=64001f\r\na=ssrc:7 cname:x\r\n"
    )
}

fn directions(prepared: &Prepared) -> Vec<&str> {
    let lines = prepared.text.lines();
    lines.filter(|line| DIRECTIONS.contains(line)).collect()
}

#[test]
fn a_section_for_both_directions_is_answered_for_both() {
    let packets = Delivery::Packets { simulcast: false };
    let sdp = format!("{SESSION}{}", video(0, "a=sendrecv"));
    let prepared = prepare(&sdp, packets).expect("an offer");
    assert_eq!(directions(&prepared), ["a=sendrecv"]);
    assert_eq!(prepared.sent, prepared.received);
    assert!(prepared.text.contains("SAVPF 102 103\r\n"));
    assert!(prepared.text.contains("a=ssrc:7 cname:sender\r\n"));
    let prepared = prepare(&sdp, Delivery::Frames).expect("an offer");
    assert!(prepared.text.contains("SAVPF 102 103 104\r\n"));
}

#[test]
fn each_direction_may_have_a_section_of_its_own() {
    let sections = [video(0, "a=sendonly"), video(1, "a=recvonly")].concat();
    let prepared = prepare(&format!("{SESSION}{sections}"), Delivery::Frames);
    let prepared = prepared.expect("an offer");
    assert_eq!(directions(&prepared), ["a=sendonly", "a=recvonly"]);
    assert_eq!(prepared.received[0], Some("0".into()));
    assert_eq!(prepared.sent[0], Some("1".into()));
    assert_eq!(prepared.text.matches("a=ssrc:").count(), 1, "of the first");
}

#[test]
fn either_direction_alone_is_answered() {
    for direction in ["a=sendonly", "a=recvonly", "a=inactive"] {
        let prepared = prepare(
            &format!("{SESSION}{}", video(0, direction)),
            Delivery::Frames,
        );
        assert_eq!(directions(&prepared.expect("an offer")), [direction]);
    }
}

#[test]
fn what_is_received_but_cannot_be_sent_is_refused() {
    let vp8 =
        "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=sendrecv\r\na=rtpmap:96 VP8/90000\r\n";
    let refused = prepare(&format!("{SESSION}{vp8}"), Delivery::Frames);
    assert_eq!(
        refused,
        Err(EngineError::offer("codec: browser offers no H.264"))
    );
}

use super::*;

const SESSION: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n";
const CHROMIUM: &str = include_str!("../../../tests/offers/chromium-camera.sdp");

/// Of a connection that only receives.
fn prepare(sdp: &str, is_first: bool, delivery: Delivery) -> Result<Prepared, EngineError> {
    let wanted = Wanted {
        sends: false,
        receives: Some(delivery),
    };
    let prepared = super::prepare(sdp, wanted)?;
    match &prepared.refused_as_first {
        Some(refused) if is_first => Err(refused.clone()),
        _ => Ok(prepared),
    }
}

fn section(kind: &str, mid: u8, pts: &str, lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    format!("m={kind} 9 UDP/TLS/RTP/SAVPF {pts}\r\na=mid:{mid}\r\n{lines}")
}

fn video(direction: &str) -> String {
    let lines = [
        direction,
        "a=rtpmap:96 VP8/90000",
        "a=rtpmap:97 rtx/90000",
        "a=fmtp:97 apt=96",
        "a=rtpmap:102 H264/90000",
        "a=fmtp:102 packetization-mode=0;profile-level-id=42e01f",
        "a=rtcp-fb:102 nack",
        "a=rtpmap:103 rtx/90000",
        "a=fmtp:103 apt=102",
        "a=rtpmap:104 H264/90000",
        "a=fmtp:104 packetization-mode=2;profile-level-id=42e01f",
    ];
    section("video", 0, "96 97 102 103 104", &lines)
}

fn reason(sdp: &str, is_first: bool) -> String {
    match prepare(sdp, is_first, Delivery::Frames) {
        Err(EngineError::Offer { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

fn directions(prepared: &Prepared) -> Vec<&str> {
    let lines = prepared.text.lines();
    lines.filter(|line| DIRECTIONS.contains(line)).collect()
}

#[test]
fn what_the_browser_sends_is_received_and_the_rest_inactive() {
    for direction in ["a=sendrecv", "a=sendonly", ""] {
        let sdp = format!("{SESSION}{}{}", video(direction), video("a=sendonly"));
        let prepared = prepare(&sdp, true, Delivery::Frames).expect("an offer");
        assert_eq!(directions(&prepared), ["a=sendonly", "a=inactive"]);
        assert_eq!(prepared.received[0], Some("0".into()));
    }
}

#[test]
fn h264_of_both_packetization_modes_is_preferred_and_nothing_else_stays() {
    let sdp = format!("{SESSION}{}", video("a=sendonly"));
    let text = prepare(&sdp, true, Delivery::Frames)
        .expect("an offer")
        .text;
    assert!(text.contains("m=video 9 UDP/TLS/RTP/SAVPF 102 103\r\n"));
    assert!(text.contains("a=rtcp-fb:102 nack\r\n") && text.contains("a=fmtp:103 apt=102\r\n"));
    assert!(!text.contains("VP8") && !text.contains(":97 ") && !text.contains(":104 "));
}

#[test]
fn vp8_is_received_where_there_is_no_h264() {
    let sdp = format!(
        "{SESSION}{}",
        video("a=sendonly").replace("42e01f", "f4001f")
    );
    let text = prepare(&sdp, true, Delivery::Frames)
        .expect("an offer")
        .text;
    assert!(text.contains("m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n"));
    assert!(!text.contains("H264"));
}

#[test]
fn an_offer_that_cannot_be_recorded_is_refused_with_its_reason() {
    let receives = format!("{SESSION}{}", video("a=recvonly"));
    let must_send = "media: this server records, so the offer must send";
    assert_eq!(reason(&receives, true), must_send);
    let inactive = format!("{SESSION}{}", video("a=inactive"));
    assert_eq!(reason(&inactive, true), must_send);
    let av1 = section("video", 0, "45", &["a=sendonly", "a=rtpmap:45 AV1/90000"]);
    let opus = ["a=sendonly", "a=rtpmap:111 opus/48000/2"];
    let opus = section("audio", 1, "111", &opus);
    let no_codec = "codec: browser offers no H.264 or VP8";
    assert_eq!(reason(&format!("{SESSION}{av1}{opus}"), true), no_codec);
    let pcmu = section("audio", 1, "0", &["a=sendonly", "a=rtpmap:0 PCMU/8000"]);
    let no_opus = "codec: browser offers no Opus";
    assert_eq!(reason(&format!("{SESSION}{pcmu}"), true), no_opus);
    // Sound alone, and a picture without sound that could be recorded, are taken.
    assert!(prepare(&format!("{SESSION}{opus}"), true, Delivery::Frames).is_ok());
    let prepared = prepare(
        &format!("{SESSION}{}{pcmu}", video("a=sendonly")),
        true,
        Delivery::Frames,
    );
    assert_eq!(prepared.expect("an offer").received[1], None);
}

#[test]
fn a_later_offer_may_send_nothing() {
    let inactive = format!("{SESSION}{}", video("a=inactive"));
    let prepared = prepare(&inactive, false, Delivery::Frames).expect("a mute");
    assert_eq!(prepared.received, [None, None]);
}

#[test]
fn only_the_first_ssrcs_stay_and_no_simulcast() {
    let lines = [
        "a=sendonly",
        "a=rtpmap:102 H264/90000",
        "a=rid:hi send",
        "a=simulcast:send hi;lo",
        "a=ssrc-group:SIM 1 2",
        "a=ssrc-group:FID 11 12",
        "a=ssrc-group:FID 21 22",
        "a=ssrc:11 cname:a",
        "a=ssrc:21 cname:b",
    ];
    let of = |lines: &[&str]| {
        let sdp = format!("{SESSION}{}", section("video", 0, "102", lines));
        let text = prepare(&sdp, true, Delivery::Frames)
            .expect("an offer")
            .text;
        assert!(!text.contains("a=rid") && !text.contains("simulcast"));
        let ssrcs = text.lines().filter(|line| line.starts_with("a=ssrc"));
        ssrcs.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        of(&lines),
        [
            "a=ssrc-group:FID 11 12",
            "a=ssrc:11 cname:sender",
            "a=ssrc:12 cname:sender"
        ]
    );
    let alone = [
        "a=sendonly",
        "a=rtpmap:102 H264/90000",
        "a=ssrc:9 cname:x",
        "a=ssrc:8 y:z",
    ];
    assert_eq!(of(&alone), ["a=ssrc:9 cname:sender"]);
    let broken = [
        "a=sendonly",
        "a=rtpmap:102 H264/90000",
        "a=ssrc-group:FID 1 -2",
        "a=ssrc:x y",
    ];
    assert_eq!(of(&broken), [""; 0]);
}

#[test]
fn chromiums_camera_is_received_in_h264_and_opus() {
    let prepared = prepare(CHROMIUM, true, Delivery::Frames).expect("an offer");
    assert!(prepared.received.iter().all(Option::is_some));
    let maps = prepared
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("a=rtpmap:"));
    let names: Vec<&str> = maps.filter_map(|map| map.split(' ').nth(1)).collect();
    assert!(
        names
            .iter()
            .all(|name| ["H264/90000", "rtx/90000", "opus/48000/2"].contains(name))
    );
    assert_eq!(
        names.iter().filter(|name| **name == "opus/48000/2").count(),
        1
    );
    assert!(names.len() > 10);
}

const SIMULCAST: &str = include_str!("../../../tests/offers/chromium-simulcast.sdp");
const LAYERED: Delivery = Delivery::Packets { simulcast: true };

#[test]
fn layers_are_kept_where_they_are_wanted_and_only_codecs_that_all_viewers_take() {
    let prepared = prepare(SIMULCAST, true, LAYERED).expect("an offer");
    assert_eq!(prepared.layers, ["q", "h", "f"]);
    let text = prepared.text;
    assert!(text.contains("a=rid:q send\r\na=rid:h send\r\na=rid:f send\r\n"));
    assert!(text.contains("a=simulcast:send q;h;f\r\n"));
    let profiles = text
        .lines()
        .filter(|line| line.contains("profile-level-id="));
    let (mut count, taken) = (0, ["42001f", "42e01f"]);
    for line in profiles {
        assert!(line.contains("packetization-mode=1"), "{line}");
        assert!(taken.iter().any(|profile| line.contains(profile)), "{line}");
        count += 1;
    }
    assert!(count > 0);
    for wanted in [Delivery::Frames, Delivery::Packets { simulcast: false }] {
        let prepared = prepare(SIMULCAST, true, wanted).expect("an offer");
        assert!(prepared.layers.is_empty());
        assert!(!prepared.text.contains("a=rid:") && !prepared.text.contains("a=simulcast:"));
    }
}

#[test]
fn layers_that_make_no_sense_are_left_out() {
    let offer = |simulcast: &str, rids: &[&str]| {
        let mut lines = vec![
            "a=sendonly",
            "a=rtpmap:102 H264/90000",
            "a=fmtp:102 packetization-mode=1;profile-level-id=42e01f",
            simulcast,
        ];
        lines.extend(rids);
        let sdp = format!("{SESSION}{}", section("video", 0, "102", &lines));
        prepare(&sdp, true, LAYERED).expect("an offer").layers
    };
    let rids = [
        "a=rid:a send",
        "a=rid:b send pt=102",
        "a=rid:c send",
        "a=rid:d send",
    ];
    assert_eq!(offer("a=simulcast:send a;~b,c;c;d", &rids), ["a", "b", "c"]);
    assert_eq!(offer("a=simulcast:recv x send a;a;b", &rids), ["a", "b"]);
    assert_eq!(
        offer("a=simulcast:send a;z;b", &rids),
        ["a", "b"],
        "z is not declared"
    );
    for broken in [
        "send a",
        "send ;;;",
        "send",
        "",
        "send waytoolongname;x-y;d",
    ] {
        let line = format!("a=simulcast:{broken}");
        assert!(offer(&line, &rids).is_empty(), "{broken}");
    }
    assert!(offer("a=simulcast:send a;b", &["a=rid:a recv", "a=rid:b send"]).is_empty());
}

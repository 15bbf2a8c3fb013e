use super::super::description::MAX_CANDIDATES;
use super::*;

const SESSION: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n";

/// Of a connection that only sends.
fn prepare(sdp: &str) -> Result<Prepared, EngineError> {
    let wanted = Wanted {
        sends: true,
        receives: None,
    };
    super::prepare(sdp, wanted)
}

fn video(direction: &str, codecs: &str) -> String {
    format!(
        "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n{direction}\r\n{codecs}"
    )
}

fn h264(pt: u8, mode: u8, profile: &str) -> String {
    format!(
        "a=rtpmap:{pt} H264/90000\r\na=fmtp:{pt} level-asymmetry-allowed=1;packetization-mode={mode};profile-level-id={profile}\r\n"
    )
}

fn reason(sdp: &str) -> String {
    match prepare(sdp) {
        Err(EngineError::Offer { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_direction_becomes_what_the_engine_can_answer() {
    for (offered, prepared) in [
        ("a=recvonly", "a=recvonly"),
        ("a=sendrecv", "a=recvonly"),
        ("", "a=recvonly"),
        ("a=sendonly", "a=inactive"),
        ("a=inactive", "a=inactive"),
    ] {
        let text = prepare(&format!(
            "{SESSION}{}",
            video(offered, &h264(96, 1, "42e01f"))
        ))
        .expect("an offer")
        .text;
        let directions: Vec<&str> = text
            .lines()
            .filter(|line| DIRECTIONS.contains(line))
            .collect();
        assert_eq!(directions, [prepared], "offered {offered:?}");
    }
}

#[test]
fn every_profile_that_decodes_constrained_baseline_is_accepted() {
    for profile in ["42e01f", "42001f", "42E034", "4d001f", "64001f", "640c1f"] {
        assert!(
            prepare(&format!(
                "{SESSION}{}",
                video("a=recvonly", &h264(96, 1, profile))
            ))
            .is_ok(),
            "{profile}"
        );
    }
}

#[test]
fn an_offer_without_usable_h264_is_refused_with_its_reason() {
    let vp8 = format!(
        "{SESSION}{}",
        video("a=recvonly", "a=rtpmap:96 VP8/90000\r\n")
    );
    assert_eq!(reason(&vp8), "codec: browser offers no H.264");
    let mode_0 = format!("{SESSION}{}", video("a=recvonly", &h264(96, 0, "42e01f")));
    assert!(reason(&mode_0).starts_with("codec: browser offers no H.264 that carries"));
}

#[test]
fn an_offer_without_opus_plays_the_video_alone_and_is_refused_without_video() {
    let audio =
        "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:1\r\na=recvonly\r\na=rtpmap:0 PCMU/8000\r\n";
    assert_eq!(
        reason(&format!("{SESSION}{audio}")),
        "codec: browser offers no Opus"
    );
    let text = prepare(&format!(
        "{SESSION}{}{audio}",
        video("a=recvonly", &h264(96, 1, "42e01f"))
    ))
    .expect("video")
    .text;
    assert!(text.trim_end().ends_with("a=inactive"));
}

#[test]
fn only_the_first_usable_section_of_a_kind_is_sent_to() {
    let usable = video("a=recvonly", &h264(96, 1, "42e01f"));
    let vp8 = video("a=recvonly", "a=rtpmap:97 VP8/90000\r\n").replace("SAVPF 96", "SAVPF 97");
    let text = prepare(&format!("{SESSION}{vp8}{usable}{usable}"))
        .expect("an offer")
        .text;
    let directions: Vec<&str> = text
        .lines()
        .filter(|line| DIRECTIONS.contains(line))
        .collect();
    assert_eq!(directions, ["a=inactive", "a=recvonly", "a=inactive"]);
}

#[test]
fn an_offer_that_only_publishes_is_answered_inactive() {
    let text = prepare(&format!(
        "{SESSION}{}",
        video("a=sendonly", "a=rtpmap:96 VP8/90000\r\n")
    ))
    .expect("an offer")
    .text;
    assert!(text.contains("a=inactive"));
}

#[test]
fn what_only_concerns_receiving_and_useless_candidates_are_left_out() {
    let lines = "a=ssrc:1 cname:x\r\na=ssrc-group:FID 1 2\r\na=rid:q send\r\na=simulcast:send q\r\n\
        a=candidate:1 1 udp 1 a.local 1 typ host\r\na=candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype active\r\n\
        a=candidate:broken\r\na=candidate:1 1 udp 1 192.0.2.9 1234 typ host\r\n";
    let prepared = prepare(&format!(
        "{SESSION}{}{lines}",
        video("a=sendrecv", &h264(96, 1, "42e01f"))
    ))
    .expect("an offer");
    let text = &prepared.text;
    for absent in ["ssrc", "simulcast", "a=rid", ".local", "tcptype", "broken"] {
        assert!(!text.contains(absent), "{absent}");
    }
    assert_eq!((prepared.candidates.len(), prepared.hidden), (1, 1));
}

#[test]
fn candidates_beyond_the_limit_are_left_out() {
    let many: String = (0..200)
        .map(|i| format!("a=candidate:1 1 udp 1 192.0.2.9 {} typ host\r\n", 1000 + i))
        .collect();
    let prepared = prepare(&format!(
        "{SESSION}{}{many}",
        video("a=recvonly", &h264(96, 1, "42e01f"))
    ));
    assert_eq!(prepared.expect("an offer").candidates.len(), MAX_CANDIDATES);
}

#[test]
fn broken_or_oversized_sdp_is_refused() {
    let good = video("a=recvonly", &h264(96, 1, "42e01f"));
    for (sdp, why) in [
        (String::new(), "v=0"),
        ("hello".into(), "v=0"),
        (SESSION.into(), "no media"),
        (
            format!("{SESSION}{good}a=x:{}\r\n", "y".repeat(5000)),
            "longer",
        ),
        (format!("{SESSION}{good}a=x:\0\r\n"), "control"),
        (format!("{SESSION}{}", good.repeat(40)), "more than 32"),
        (format!("{SESSION}m=text 9 RTP/AVP 96\r\n"), "neither"),
        ("v=0\n".repeat(20_000), "64 KiB"),
        (
            format!("{SESSION}{good}{}", "a=x:1\r\n".repeat(2048)),
            "more than 2048 lines",
        ),
        (
            format!("{SESSION}{good}a=rtpmap:96 VP8/90000\r\n"),
            "payload type 96 is told twice",
        ),
        (format!("{SESSION}{good}a=mid:1\r\n"), "two names"),
        (
            format!("{SESSION}{}", good.replace("a=mid:0\r\n", "")),
            "no name",
        ),
        (
            format!("{SESSION}{good}a=ice-ufrag:{}\r\n", "u".repeat(257)),
            "ice-ufrag",
        ),
        (format!("{SESSION}{good}a=ice-pwd:short\r\n"), "ice-pwd"),
        (
            format!("{SESSION}{good}a=fingerprint:sha-256 AB:C\r\n"),
            "fingerprint",
        ),
        (
            format!("{SESSION}{}", good.replace("SAVPF 96", "SAVPF 300")),
            "not a number below 128",
        ),
        (
            format!("{SESSION}{}", good.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP")),
            "UDP/TLS/RTP/SAVPF",
        ),
    ] {
        assert!(reason(&sdp).contains(why), "{why}");
    }
}

#[test]
fn a_payload_type_that_means_two_things_is_refused() {
    let first = video("a=recvonly", &h264(96, 1, "42e01f"));
    for (codecs, is_refused) in [
        (h264(96, 1, "42e034"), false), // the level is either side's own
        (h264(96, 1, "42001f"), true),
        (h264(96, 0, "42e01f"), true),
        ("a=rtpmap:96 VP8/90000\r\n".to_owned(), true),
        (
            "a=rtpmap:96 rtx/90000\r\na=fmtp:96 apt=97\r\n".to_owned(),
            false,
        ), // 97 is not there
    ] {
        let second = video("a=recvonly", &codecs).replace("a=mid:0", "a=mid:1");
        let prepared = prepare(&format!("{SESSION}{first}{second}"));
        assert_eq!(prepared.is_err(), is_refused, "{codecs}: {prepared:?}");
    }
}

#[test]
fn what_str0m_is_given_is_short_whatever_the_offer_was() {
    let good = video("a=recvonly", &h264(96, 1, "42e01f"));
    let noise: String = (0..2000)
        .map(|i| match i % 4 {
            0 => format!("a=fmtp:96 apt={i}\r\n"),
            1 => "a=rtcp-fb:96 nack\r\n".to_owned(),
            2 => format!(
                "a=extmap:{} urn:ietf:params:rtp-hdrext:sdes:mid\r\n",
                i % 15
            ),
            _ => format!("a=ssrc:{i} cname:x\r\n"),
        })
        .collect();
    let prepared = prepare(&format!("{SESSION}{good}{noise}")).expect("an offer");
    assert!(prepared.text.len() < 600, "{}", prepared.text);
}

//! str0m's answer, made to say three things that str0m cannot.

use std::net::SocketAddr;

use str0m::change::SdpAnswer;

/// The one media stream of a peer. Browsers keep the tracks of one stream in sync, and only
/// those (RFC 8830 §2); str0m gives each section a stream of its own.
const STREAM: &str = "icey";

/// An answer of the engine's thread; whoever waits for it writes it out on a thread of its own.
#[derive(Debug)]
pub struct Answer {
    pub sdp: SdpAnswer,
    /// The most that the browser may send, in bit/s, 0 without a limit; `None` where it sends
    /// nothing.
    pub received_bitrate: Option<u64>,
    /// Further addresses to advertise.
    pub additional: Vec<SocketAddr>,
}

impl Answer {
    /// The answer as text.
    pub fn into_text(self) -> String {
        let text = self.sdp.to_sdp_string();
        match self.received_bitrate {
            Some(limit) => finish(&steer(&text, limit), &self.additional),
            None => finish(&text, &self.additional),
        }
    }
}

/// Puts all sections into one media stream, and advertises further addresses behind those that
/// ICE itself knows.
fn finish(answer: &str, additional: &[SocketAddr]) -> String {
    let lines: Vec<&str> = answer.lines().collect();
    let last_candidate = lines
        .iter()
        .rposition(|line| line.starts_with("a=candidate:"));
    let mut text = String::with_capacity(answer.len() + 100 * additional.len());
    for (i, line) in lines.into_iter().enumerate() {
        text.push_str(&in_one_stream(line));
        text.push_str("\r\n");
        if Some(i) == last_candidate {
            for (index, address) in additional.iter().enumerate() {
                text.push_str(&candidate(index, *address));
            }
        }
    }
    text
}

/// The bitrate that libwebrtc begins with, in kbit/s. By itself it begins with 300, and then a
/// camera of 720p is at its full size after 15 seconds or more; with this after 5. On a path that
/// carries less it backs off within a second.
const START_BITRATE: u32 = 2000;

/// Lets a browser begin to send at a better rate; others than libwebrtc pass over the parameter. A
/// limit in bit/s other than 0 caps what it sends of video (RFC 3890 §6.2). Not by `AS` too: a
/// second line of the kind is more than some parsers take, str0m's among them.
fn steer(answer: &str, limit: u64) -> String {
    let start = match u32::try_from(limit / 1000) {
        Ok(limit) if limit > 0 => START_BITRATE.min(limit),
        _ => START_BITRATE,
    };
    let mut text = String::with_capacity(answer.len() + 600);
    let mut is_video = false;
    for line in answer.lines() {
        text.push_str(line);
        if line.starts_with("m=") {
            is_video = line.starts_with("m=video ");
        }
        if line.starts_with("c=") && is_video && limit > 0 {
            text.push_str(&format!("\r\nb=TIAS:{limit}"));
        }
        if line.starts_with("a=fmtp:") && line.contains("profile-level-id=") {
            text.push_str(&format!(";x-google-start-bitrate={start}"));
        }
        text.push_str("\r\n");
        let vp8 = line.strip_suffix(" VP8/90000");
        if let Some(pt) = vp8.and_then(|line| line.strip_prefix("a=rtpmap:")) {
            text.push_str(&format!("a=fmtp:{pt} x-google-start-bitrate={start}\r\n"));
        }
    }
    text
}

fn in_one_stream(line: &str) -> String {
    if line.starts_with("a=msid-semantic:") {
        return format!("a=msid-semantic: WMS {STREAM}");
    }
    let of_section = line.starts_with("a=msid:");
    let of_ssrc = line.starts_with("a=ssrc:") && line.contains(" msid:");
    match line.split_once("msid:") {
        Some((before, stream_and_track)) if of_section || of_ssrc => {
            let track = stream_and_track.split(' ').nth(1).unwrap_or(STREAM);
            format!("{before}msid:{STREAM} {track}")
        }
        _ => line.to_owned(),
    }
}

/// A host candidate of less priority than the local ones (RFC 8445 §5.1.2.1).
fn candidate(index: usize, address: SocketAddr) -> String {
    let preference = 1000_u32.saturating_sub(index as u32);
    let priority = (126 << 24) | (preference << 8) | 255;
    format!(
        "a=candidate:nat{index} 1 udp {priority} {} {} typ host\r\n",
        address.ip(),
        address.port()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "v=0\r\na=msid-semantic: WMS aaa bbb\r\nm=video 9 x 96\r\n\
        a=candidate:1 1 udp 9 192.0.2.1 4501 typ host\r\na=end-of-candidates\r\na=msid:aaa v\r\n\
        a=ssrc:1 cname:x\r\na=ssrc:1 msid:aaa v\r\nm=audio 9 x 111\r\na=msid:bbb a\r\n";

    #[test]
    fn further_addresses_follow_the_local_ones() {
        let text = finish(ANSWER, &[([203, 0, 113, 5], 4501).into()]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[4].starts_with("a=candidate:nat0 1 udp "));
        assert!(lines[4].ends_with(" 203.0.113.5 4501 typ host"));
        assert_eq!(lines[5], "a=end-of-candidates");
    }

    #[test]
    fn the_start_bitrate_is_told_for_each_video_codec() {
        let text = steer(
            "a=rtpmap:96 VP8/90000\r\na=fmtp:97 apt=96\r\na=rtpmap:102 H264/90000\r\n\
             a=fmtp:102 profile-level-id=42e034\r\na=fmtp:111 useinbandfec=1\r\n",
            0,
        );
        assert_eq!(
            text,
            "a=rtpmap:96 VP8/90000\r\na=fmtp:96 x-google-start-bitrate=2000\r\n\
             a=fmtp:97 apt=96\r\na=rtpmap:102 H264/90000\r\n\
             a=fmtp:102 profile-level-id=42e034;x-google-start-bitrate=2000\r\n\
             a=fmtp:111 useinbandfec=1\r\n"
        );
    }

    #[test]
    fn all_sections_are_in_one_stream() {
        let text = finish(ANSWER, &[]);
        assert_eq!(
            text.replace("icey", "aaa"),
            ANSWER.replace(" aaa bbb", " aaa").replace("bbb", "aaa")
        );
        assert!(text.contains("a=msid:icey v\r\n") && text.contains("a=msid:icey a\r\n"));
        assert!(text.contains("a=ssrc:1 msid:icey v\r\n"));
    }
}

//! ICE candidates of the remote side, as text (RFC 8839 §5.1).

use std::net::IpAddr;

use str0m::Candidate;

use crate::error::EngineError;

/// The longest candidate line taken. Real ones are below 200 bytes.
const MAX_CANDIDATE_BYTES: usize = 512;

/// Reads a candidate, with or without `a=` and `candidate:` before it.
///
/// `None` for one that is of no use here: mDNS names, which only a browser's own network
/// resolves and which peer-reflexive candidates make unnecessary; TCP; a second component, which
/// BUNDLE with rtcp-mux has not; and the empty end-of-candidates.
pub fn parse(text: &str) -> Result<Option<Candidate>, EngineError> {
    let line = text.trim();
    let line = line.strip_prefix("a=").unwrap_or(line);
    if line.is_empty() || line == "end-of-candidates" {
        return Ok(None);
    }
    let body = line.strip_prefix("candidate:").unwrap_or(line);
    if body.is_empty() {
        return Ok(None);
    }
    let refuse = |why: &str| EngineError::Candidate {
        message: format!("not an ICE candidate: {why}"),
        candidate: text.chars().take(200).collect(),
    };
    if body.len() > MAX_CANDIDATE_BYTES {
        return Err(refuse("too long"));
    }
    let fields: Vec<&str> = body.split_ascii_whitespace().collect();
    let [_, component, transport, _, address, _, "typ", _, ..] = fields.as_slice() else {
        return Err(refuse("fields are missing"));
    };
    if transport.eq_ignore_ascii_case("tcp") || *component == "2" || address.ends_with(".local") {
        return Ok(None);
    }
    if !transport.eq_ignore_ascii_case("udp") {
        return Err(refuse("the transport is neither udp nor tcp"));
    }
    let Ok(ip) = address.parse::<IpAddr>() else {
        return Err(refuse("the address is no IP address"));
    };
    let candidate = Candidate::from_sdp_string(&format!("candidate:{body}"))
        .map_err(|_| refuse("a field has no valid value"))?;
    if ip.is_unspecified() || ip.is_multicast() || candidate.addr().port() == 0 {
        return Ok(None);
    }
    Ok(Some(candidate))
}

/// Whether a candidate has an mDNS name in place of its address (RFC 8828 §5).
pub fn is_hidden(text: &str) -> bool {
    let address = text.split_ascii_whitespace().nth(4);
    address.is_some_and(|address| address.ends_with(".local"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str =
        "candidate:1 1 udp 2130706431 192.0.2.7 50000 typ host generation 0 ufrag abcd";

    #[test]
    fn a_candidate_is_read_with_any_prefix() {
        for text in [
            HOST.to_owned(),
            format!("a={HOST}\r\n"),
            HOST.replace("candidate:", ""),
        ] {
            let candidate = parse(&text).expect("a candidate").expect("a useful one");
            assert_eq!(candidate.addr().to_string(), "192.0.2.7:50000");
        }
    }

    #[test]
    fn useless_candidates_are_passed_over() {
        for text in [
            "",
            "a=end-of-candidates",
            "candidate:",
            "candidate:1 1 udp 1 0a1b2c3d-1234.local 50000 typ host",
            "candidate:1 1 tcp 1 192.0.2.7 9 typ host tcptype active",
            "candidate:1 2 udp 1 192.0.2.7 50001 typ host",
            "candidate:1 1 udp 1 224.0.0.1 50001 typ host",
            "candidate:1 1 udp 1 0.0.0.0 50001 typ host",
            "candidate:1 1 udp 1 192.0.2.7 0 typ host",
        ] {
            assert_eq!(parse(text), Ok(None), "{text}");
            assert_eq!(is_hidden(text), text.contains(".local"), "{text}");
        }
    }

    #[test]
    fn what_is_no_candidate_is_refused_with_the_evidence() {
        for text in [
            "hello",
            "candidate:1 1 udp x 192.0.2.7 1 typ host",
            "candidate:1 1 udp 1 nowhere 1 typ host",
            "candidate:1 1 sctp 1 192.0.2.7 1 typ host",
            "candidate:1 1 udp 1 192.0.2.7 99999 typ host",
        ] {
            match parse(text) {
                Err(EngineError::Candidate { candidate, .. }) => assert_eq!(candidate, text),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(parse(&"x".repeat(10_000)).is_err());
    }
}

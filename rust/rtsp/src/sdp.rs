//! Codec parameters out of an SDP (RFC 8866): what retina reads, and does not tell.

/// The `a=fmtp:` values of an SDP's sections, in order.
pub struct FormatParameters<'a> {
    sections: std::vec::IntoIter<Section<'a>>,
}

struct Section<'a> {
    media: &'a str,
    payload_type: &'a str,
    value: Option<&'a str>,
}

impl<'a> FormatParameters<'a> {
    /// Reads an SDP; what is not UTF-8 ends it.
    pub fn read(sdp: &'a [u8]) -> Self {
        let text = match std::str::from_utf8(sdp) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&sdp[..error.valid_up_to()]).unwrap_or_default(),
        };
        let mut sections: Vec<Section> = Vec::new();
        for line in text.lines().map(str::trim_end) {
            if let Some(section) = line.strip_prefix("m=") {
                let mut words = section.split_ascii_whitespace();
                sections.push(Section {
                    media: words.next().unwrap_or_default(),
                    payload_type: words.nth(2).unwrap_or_default(),
                    value: None,
                });
            } else if let Some(format) = line.strip_prefix("a=fmtp:")
                && let Some(section) = sections.last_mut()
                && let Some((payload_type, value)) = format.split_once(' ')
                && payload_type == section.payload_type
            {
                section.value = Some(value);
            }
        }
        Self {
            sections: sections.into_iter(),
        }
    }

    /// Those of the next section of this kind and payload type. Sections that retina leaves out are
    /// passed over.
    pub fn next_of(&mut self, media: &str, payload_type: u8) -> Option<&'a str> {
        let wanted = payload_type.to_string();
        self.sections
            .find(|section| section.media == media && section.payload_type == wanted)
            .and_then(|section| section.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_section_has_its_own_parameters() {
        let sdp = b"v=0\r\nm=video 0 RTP/AVP 96\r\na=fmtp:96 packetization-mode=1\r\n\
            m=audio 0 UNKNOWN 96\r\na=fmtp:96 odd\r\nm=audio 0 RTP/AVP 97 98\r\n\
            a=fmtp:98 other\r\na=fmtp:97 config=1190\r\nm=audio 0 RTP/AVP 0\r\n";
        let mut all = FormatParameters::read(sdp);
        assert_eq!(all.next_of("video", 96), Some("packetization-mode=1"));
        assert_eq!(all.next_of("audio", 97), Some("config=1190"));
        assert_eq!(all.next_of("audio", 0), None);
        assert_eq!(all.next_of("audio", 0), None);
    }

    #[test]
    fn nonsense_has_none() {
        for sdp in [&b""[..], b"m=", b"a=fmtp:96 x", b"m=video\xff 0 RTP/AVP 96"] {
            assert_eq!(FormatParameters::read(sdp).next_of("video", 96), None);
        }
    }
}

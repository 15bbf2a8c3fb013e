//! RTCP between us and a viewer: sender reports to it, and what it answers.

use std::time::Duration;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;
const EXTENDED_REPORT: u8 = 207;

/// The blocks of extended reports (RFC 3611 §4.4, §4.5).
const REFERENCE_TIME: u8 = 4;
const LAST_REFERENCE_TIMES: u8 = 5;

const VERSION: u8 = 0b1000_0000;
const PADDED: u8 = 0b0010_0000;

/// The numbers that one message may ask for; more are ignored.
const MAX_MISSING: usize = 1000;

/// What a sender report says of one of our streams (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    pub ssrc: u32,
    /// Since an origin that all streams of a viewer share.
    pub wallclock: Duration,
    pub timestamp: u32,
    pub packets: u32,
    pub bytes: u32,
}

/// What a viewer says.
#[derive(Debug, Clone, PartialEq)]
pub enum Feedback {
    /// How one of our streams arrives.
    Received {
        ssrc: u32,
        /// The share lost since the report before, 0..1.
        loss: f32,
        /// Packets lost since the start; less than none where some came twice.
        lost: i32,
        /// The highest sequence number received, past 16 bits.
        highest: u32,
    },
    /// Numbers of packets that are missing (RFC 4585 §6.2.1).
    Missing { ssrc: u32, numbers: Vec<u16> },
    /// A keyframe is needed (RFC 4585 §6.3.1, RFC 5104 §4.3.1).
    Keyframe { ssrc: u32 },
    /// The receiver's clock, to measure the round trip by (RFC 3611 §4.4): the middle of its NTP
    /// timestamp.
    ReferenceTime { ssrc: u32, ntp: u32 },
    /// What the path carries, in bit/s (draft-alvestrand-rmcat-remb-03).
    Bitrate(f64),
}

/// Whether a datagram of media is RTCP (RFC 5761 §4).
pub fn is_rtcp(datagram: &[u8]) -> bool {
    datagram
        .get(1)
        .is_some_and(|kind| (192..=223).contains(kind))
}

/// A compound packet: sender reports, and the name that ties the streams together.
pub fn write_reports(reports: &[SenderInfo], name: &str) -> Vec<u8> {
    let mut packet = Vec::with_capacity(200);
    for report in reports {
        packet.extend_from_slice(&[VERSION, SENDER_REPORT, 0, 6]);
        packet.extend_from_slice(&report.ssrc.to_be_bytes());
        packet.extend_from_slice(&ntp(report.wallclock).to_be_bytes());
        packet.extend_from_slice(&report.timestamp.to_be_bytes());
        packet.extend_from_slice(&report.packets.to_be_bytes());
        packet.extend_from_slice(&report.bytes.to_be_bytes());
    }
    let start = packet.len();
    packet.extend_from_slice(&[VERSION | reports.len() as u8, DESCRIPTION, 0, 0]);
    let name = &name.as_bytes()[..name.len().min(255)];
    for report in reports {
        packet.extend_from_slice(&report.ssrc.to_be_bytes());
        packet.extend_from_slice(&[1, name.len() as u8]);
        packet.extend_from_slice(name);
        // One zero at least ends the items, and more fill up the word.
        packet.resize((packet.len() / 4 + 1) * 4, 0);
    }
    let words = ((packet.len() - start) / 4 - 1) as u16;
    packet[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
    packet
}

/// A viewer's clock as it has told it, and how long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReferenceTime {
    pub ssrc: u32,
    pub ntp: u32,
    pub age: Duration,
}

/// Adds what a viewer measures the round trip by to a compound packet (RFC 3611 §4.5): libwebrtc and
/// str0m ask for a lost packet again once the answer could have been there.
pub fn write_reference_time(packet: &mut Vec<u8>, from: u32, time: ReferenceTime) {
    packet.extend_from_slice(&[VERSION, EXTENDED_REPORT, 0, 5]);
    packet.extend_from_slice(&from.to_be_bytes());
    packet.extend_from_slice(&[LAST_REFERENCE_TIMES, 0, 0, 3]);
    packet.extend_from_slice(&time.ssrc.to_be_bytes());
    packet.extend_from_slice(&time.ntp.to_be_bytes());
    let delay = time.age.as_nanos() * 65_536 / 1_000_000_000;
    packet.extend_from_slice(&u32::try_from(delay).unwrap_or(u32::MAX).to_be_bytes());
}

/// A compound packet that ends streams (RFC 3550 §6.6): reports, as each has to begin with one, the
/// name, and the goodbye.
pub fn write_goodbye(reports: &[SenderInfo], name: &str) -> Vec<u8> {
    let mut packet = write_reports(reports, name);
    packet.extend_from_slice(&[
        VERSION | reports.len() as u8,
        GOODBYE,
        0,
        reports.len() as u8,
    ]);
    for report in reports {
        packet.extend_from_slice(&report.ssrc.to_be_bytes());
    }
    packet
}

/// 32 bits of seconds and 32 of their fraction.
fn ntp(time: Duration) -> u64 {
    let fraction = (u64::from(time.subsec_nanos()) << 32) / 1_000_000_000;
    (time.as_secs() << 32) | fraction
}

/// Reads a compound packet; what is broken or unknown in it is left out.
pub fn read(mut packet: &[u8]) -> Vec<Feedback> {
    let mut found = Vec::new();
    while let [first, kind, high, low, ..] = *packet {
        let length = (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
        let Some((one, rest)) = packet.split_at_checked(length) else {
            break;
        };
        packet = rest;
        if first & 0b1100_0000 != VERSION {
            break;
        }
        let padding = match one.last() {
            Some(padding) if first & PADDED != 0 => usize::from(*padding),
            _ => 0,
        };
        let Some(body) = one.get(4..length.saturating_sub(padding)) else {
            break;
        };
        let count = first & 0b0001_1111;
        match (kind, count) {
            (SENDER_REPORT, _) => {
                read_blocks(body.get(24..).unwrap_or_default(), count, &mut found)
            }
            (RECEIVER_REPORT, _) => {
                read_blocks(body.get(4..).unwrap_or_default(), count, &mut found);
            }
            (TRANSPORT_FEEDBACK, 1) => read_missing(body, &mut found),
            (PAYLOAD_FEEDBACK, 1) => {
                found.extend(word(body, 4).map(|ssrc| Feedback::Keyframe { ssrc }));
            }
            // FIR: the stream it is about stands in its entries.
            (PAYLOAD_FEEDBACK, 4) => {
                found.extend(word(body, 8).map(|ssrc| Feedback::Keyframe { ssrc }));
            }
            (PAYLOAD_FEEDBACK, 15) => found.extend(read_bitrate(body)),
            (EXTENDED_REPORT, _) => found.extend(read_reference_time(body)),
            _ => {}
        }
    }
    found
}

fn word(body: &[u8], at: usize) -> Option<u32> {
    let bytes = body.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*bytes))
}

fn read_blocks(blocks: &[u8], count: u8, found: &mut Vec<Feedback>) {
    for block in blocks.chunks_exact(24).take(count.into()) {
        if let Some(ssrc) = word(block, 0) {
            found.push(Feedback::Received {
                ssrc,
                loss: f32::from(block[4]) / 256.0,
                // 24 bits with a sign.
                lost: i32::from_be_bytes([block[5], block[6], block[7], 0]) >> 8,
                highest: u32::from_be_bytes([block[8], block[9], block[10], block[11]]),
            });
        }
    }
}

fn read_missing(body: &[u8], found: &mut Vec<Feedback>) {
    let (Some(ssrc), Some(entries)) = (word(body, 4), body.get(8..)) else {
        return;
    };
    let mut numbers = Vec::new();
    for entry in entries.chunks_exact(4) {
        let first = u16::from_be_bytes([entry[0], entry[1]]);
        let after = u16::from_be_bytes([entry[2], entry[3]]);
        numbers.push(first);
        let bits = (0..16_u16).filter(|bit| after & (1 << bit) != 0);
        numbers.extend(bits.map(|bit| first.wrapping_add(bit + 1)));
        if numbers.len() >= MAX_MISSING {
            break;
        }
    }
    found.push(Feedback::Missing { ssrc, numbers });
}

fn read_reference_time(body: &[u8]) -> Option<Feedback> {
    let ssrc = word(body, 0)?;
    let mut blocks = body.get(4..)?;
    while let [kind, _, high, low, ..] = *blocks {
        let length = (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
        let (block, rest) = blocks.split_at_checked(length)?;
        if kind == REFERENCE_TIME {
            return word(block, 6).map(|ntp| Feedback::ReferenceTime { ssrc, ntp });
        }
        blocks = rest;
    }
    None
}

fn read_bitrate(body: &[u8]) -> Option<Feedback> {
    if body.get(8..12)? != b"REMB" {
        return None;
    }
    let value = word(body, 12)?;
    let exponent = (value >> 18) & 0b11_1111;
    let mantissa = value & 0x3_ffff;
    Some(Feedback::Bitrate(
        f64::from(mantissa) * 2_f64.powi(exponent as i32),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_the_layout_of_rfc_3550() {
        let report = SenderInfo {
            ssrc: 7,
            wallclock: Duration::from_millis(3500),
            timestamp: 90_000,
            packets: 5,
            bytes: 6000,
        };
        let packet = write_reports(&[report, SenderInfo { ssrc: 8, ..report }], "ab");
        assert_eq!(packet.len() % 4, 0);
        assert_eq!(packet[..8], [0x80, 200, 0, 6, 0, 0, 0, 7]);
        assert_eq!(packet[8..16], [0, 0, 0, 3, 0x80, 0, 0, 0], "3.5 s");
        assert_eq!(
            packet[16..28],
            [0, 1, 0x5f, 0x90, 0, 0, 0, 5, 0, 0, 0x17, 0x70]
        );
        assert_eq!(packet[28..36], [0x80, 200, 0, 6, 0, 0, 0, 8]);
        let names = [
            &[0x82, 202, 0, 6][..],
            &[0, 0, 0, 7, 1, 2, b'a', b'b', 0, 0, 0, 0],
            &[0, 0, 0, 8, 1, 2, b'a', b'b', 0, 0, 0, 0],
        ];
        assert_eq!(packet[56..], names.concat());
    }

    #[test]
    fn a_goodbye_names_each_stream() {
        let report = SenderInfo {
            ssrc: 7,
            wallclock: Duration::ZERO,
            timestamp: 0,
            packets: 1,
            bytes: 1,
        };
        let packet = write_goodbye(&[report, SenderInfo { ssrc: 8, ..report }], "ab");
        let end = [0x82, 203, 0, 2, 0, 0, 0, 7, 0, 0, 0, 8];
        assert_eq!(packet[packet.len() - 12..], end);
        assert!(read(&packet).is_empty());
    }

    #[test]
    fn a_reference_time_is_read_and_answered() {
        let other = [7, 0, 0, 1, 9, 9, 9, 9];
        let time = [4, 0, 0, 2, 0, 1, 2, 3, 4, 5, 6, 7];
        let head = [0x80, 207, 0, 6, 0, 0, 0, 9];
        let report = [&head[..], &other, &time].concat();
        let found = read(&report);
        let ntp = 0x0203_0405;
        assert_eq!(found, [Feedback::ReferenceTime { ssrc: 9, ntp }]);
        let mut packet = vec![];
        let age = Duration::from_millis(500);
        write_reference_time(&mut packet, 1, ReferenceTime { ssrc: 9, ntp, age });
        let head = [0x80, 207, 0, 5, 0, 0, 0, 1, 5, 0, 0, 3];
        let body = [0, 0, 0, 9, 2, 3, 4, 5, 0, 0, 0x80, 0];
        assert_eq!(packet, [head, body].concat());
    }

    #[test]
    fn what_browsers_send_is_read() {
        let receiver: Vec<u8> = [
            0x81, 201, 0, 7, 0, 0, 0, 1, 0, 0, 0, 9, 64, 0xff, 0xff, 0xfe, 0, 1, 0, 5,
        ]
        .into_iter()
        .chain([0; 12])
        .collect();
        let nack = [0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 9, 0xff, 0xff, 0x80, 1];
        let pli = [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 9];
        let fir = [
            0x84, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 1, 0, 0, 0,
        ];
        let remb = [
            0x8f,
            206,
            0,
            5,
            0,
            0,
            0,
            1,
            0,
            0,
            0,
            0,
            b'R',
            b'E',
            b'M',
            b'B',
            1,
            0b0000_1011,
            0,
            3,
            0,
            0,
            0,
            9,
        ];
        let other = [0x80, 204, 0, 1, 1, 2, 3, 4];
        let all = [&receiver[..], &nack, &pli, &other, &fir, &remb].concat();
        let found = read(&all);
        assert_eq!(
            found,
            [
                Feedback::Received {
                    ssrc: 9,
                    loss: 0.25,
                    lost: -2,
                    highest: 0x1_0005,
                },
                Feedback::Missing {
                    ssrc: 9,
                    numbers: vec![0xffff, 0, 15]
                },
                Feedback::Keyframe { ssrc: 9 },
                Feedback::Keyframe { ssrc: 9 },
                Feedback::Bitrate(f64::from(0x3_0003) * 4.0),
            ]
        );
        for end in 0..all.len() {
            assert!(read(&all[..end]).len() < found.len());
        }
    }

    #[test]
    fn nothing_that_is_sent_harms() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..50_000 {
            let mut packet: Vec<u8> = (0..random.usize(..80)).map(|_| random.u8(..)).collect();
            for (at, values) in [
                (0, [0x81, 0x84, 0x8f, 0xa1, 0x9f]),
                (1, [200, 201, 207, 205, 206]),
                (2, [0; 5]),
                (3, [0, 1, 5, 6, 19]),
            ] {
                if let Some(byte) = packet.get_mut(at) {
                    *byte = values[random.usize(..5)];
                }
            }
            for feedback in read(&packet) {
                if let Feedback::Missing { numbers, .. } = feedback {
                    assert!(numbers.len() < MAX_MISSING + 17);
                }
            }
        }
    }
}

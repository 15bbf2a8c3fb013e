//! What a browser sends: its RTP packets become frames in an inbox, or packets for viewers.
//!
//! ```text
//!              extends numbers    gaps             whole frames     bounded   owner
//! Publisher ─▶ Ingress ─┬─▶ FrameSink: ReorderBuffer ─▶ Depacketizer ─▶ Writer ─▶ Inbox
//! which stream?         └─▶ PacketSink ─ RtpPacket ─▶ Core::forward ─▶ viewers
//!                           epochs, capture time
//! ```
//!
//! [`ingress::Ingress`] is one stream, and the same for both; it does not look into the payload. A
//! payload that is forwarded is shared by all viewers, and forwarded when it comes, a late one
//! too: a gap in the publisher's numbers stays one in the viewers' until the packet is there.
//!
//! Facts about the receiving side of str0m 0.25 (`streams/receive.rs`, `streams/register_nack.rs`,
//! `session.rs`) that this folder relies on or works around:
//!
//! * `RtpPacket` comes at most once for a sequence number, decrypted and authenticated, and
//!   resent packets (RTX) with the number, SSRC and payload type of the original. At most one
//!   waits, so str0m is polled after every datagram. The number is extended per SSRC.
//! * It asks for a missing packet each 33 ms at most, five times at most, a round trip and 5 ms
//!   apart (100 ms until the round trip is known), and only for the newest 100 numbers. An older
//!   packet that comes all the same is dropped. So the second that is granted to a gap is only
//!   used up below 100 packets a second; at 2 Mb/s a packet can be repaired for half a second,
//!   which is five tries up to a round trip of 100 ms, and two at 200 ms.
//! * It never asks where the SDP names an SSRC without one for resends; that is undone at the
//!   first packet of a stream.
//! * Its extended RTP time jumps by half a cycle where a stream pauses and goes on with an older
//!   packet, and it extends sender reports apart from packets.
//!   [`timestamp::TimestampUnwrapper`] extends both anew.
//! * It takes RTP for every section that it knows, whatever the direction. What is not received
//!   is sorted out in `Publisher::admit`.
//! * It remembers every SSRC that an authenticated packet came from, and every `a=ssrc`, for
//!   ever. [`ssrc_limit::SsrcLimit`] and the prepared offer bound them.
//! * It passes over an RTCP BYE, which browsers send in mid-call, too.
//! * What it counts of NACKs comes with its statistics, each second.

pub mod bitrate_limit;
pub mod capture_clock;
pub mod codecs;
pub mod depacketize;
pub mod frame;
pub mod frames;
pub mod inbox;
pub mod ingress;
pub mod keyframe_requester;
pub mod options;
pub mod output;
pub mod packets;
pub mod reorder;
pub mod sender_report;
pub mod ssrc_limit;
pub mod timestamp;

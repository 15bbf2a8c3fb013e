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
//! What of str0m this relies on or works around stands at the top of `core/connection.rs`.

pub mod bitrate_limit;
pub mod capture_clock;
pub mod codecs;
pub mod depacketize;
pub mod frame;
pub mod frame_sink;
pub mod inbox;
pub mod ingress;
pub mod keyframe_requester;
pub mod options;
pub mod output;
pub mod packet_sink;
pub mod reorder;
pub mod sender_report;
pub mod ssrc_limit;
pub mod timestamp;

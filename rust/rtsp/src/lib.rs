//! Receives a live RTSP stream (RFC 2326) as access units, each the moment its last packet is here.
//!
//! RTSP itself, and how packets become access units, is retina's, the client of Moonfire NVR.
//! [`Source`] runs it in a thread of its own and hands what comes to [`Sink`]s there and then, and to
//! whoever pulls copies. FFmpeg's demuxer does the same with a parser that waits for the next picture
//! to know where one ends, which costs a whole picture of delay.
//!
//! What is refused as [`RtspError::Unsupported`] may be tried with FFmpeg. A panic in retina, whatever
//! a camera sent, ends that one stream.

mod clock;
mod depacketize;
mod description;
mod error;
mod frame;
mod options;
mod outlet;
mod sdp;
mod session;
mod source;
mod sync;

pub use description::{AudioDescription, Description, VideoDescription};
pub use error::RtspError;
pub use frame::{Frame, Kind};
pub use options::{Options, Transport};
pub use outlet::{Counters, Sink, Wanted};
pub use source::{Pulled, Source};

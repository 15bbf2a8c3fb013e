//! Receives a live SRT stream (draft-sharabayko-srt) into a pipe, whose other end FFmpeg reads.
//!
//! PyAV's FFmpeg has no SRT. So that no packet passes through Python all the same, [`Receiver`]
//! connects in a thread of its own and writes the payload, usually MPEG-TS, into an OS pipe. The
//! pipe is the only queue of ours and is bounded: what does not fit is dropped and counted, as
//! the source is live. The stream ends with EOF, and [`Receiver::error`] says why.
//!
//! A panic in the SRT stack, whatever a remote sent, ends that one stream.

mod error;
mod options;
mod receiver;

pub use error::SrtError;
pub use options::{Options, Role};
pub use receiver::Receiver;

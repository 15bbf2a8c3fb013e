//! The packet engine: ICE, DTLS, SRTP, RTP and RTCP for every peer on one UDP port.
//!
//! Two layers, and nothing of one leaks into the other:
//!
//! * [`core`] is sans-IO. It never opens a socket and never reads a clock: datagrams, encoded
//!   frames and `now` go in; datagrams, events and the next deadline come out. Tests run hours
//!   of simulated network in milliseconds.
//! * [`io`] owns the socket, the thread and the queues, and is what a program uses: [`Engine`],
//!   [`Peer`], [`Track`].
//!
//! Nothing that a peer sends may panic. Should a bug do so all the same, the panic is caught,
//! counted in [`Stats::panics`], and closes that one peer.

pub mod core;
pub mod error;
pub mod event;
pub mod id;
pub mod io;
pub mod stats;

pub use crate::core::media::MediaKind;
pub use crate::core::options::{Estimation, PeerOptions};
pub use crate::core::receive::frame::{Codec, ReceivedFrame};
pub use crate::core::receive::options::{Delivery, ReceiverOptions};
pub use crate::core::receive::sender_report::SenderReport;
pub use crate::core::sdp::offer::MAX_SDP_BYTES;
pub use error::EngineError;
pub use event::Event;
pub use id::{PeerId, TrackId};
pub use io::{Engine, EngineConfig, MonotonicClock, Peer, Track};
pub use stats::{PeerStats, Stats};

//! Packets from a browser that sends to those that watch it, without a look at the pictures.
//!
//! ```text
//! str0m ─ RtpPacket ─▶ Source ─ Arrived ─▶ Core::forward ─▶ Sender::place ─▶ str0m of each viewer
//!                      numbers, capture    routes, meter    the viewer's
//!                      time, keyframes                      own numbers
//! ```
//!
//! A payload is shared by all viewers. A packet is forwarded when it comes, late ones too: a hole
//! in the source's numbers stays one in the viewers' until the packet is there.

mod clock;
pub mod meter;
mod negotiate;
pub mod routes;
mod source;
mod start;
mod stream;

use std::sync::Arc;
use std::time::Instant;

use str0m::media::Rid;

pub use self::routes::Routing;
pub use self::source::Source;
pub use self::start::Start;
use super::PeerId;
use super::track::MediaKind;

/// A run of packets whose numbers belong together: one SSRC, without a jump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch {
    pub source: PeerId,
    pub number: u64,
}

/// Which stream of which source a packet is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    pub source: PeerId,
    pub kind: MediaKind,
    /// The simulcast layer.
    pub layer: Option<Rid>,
    /// It is the only layer, or the first.
    pub is_default: bool,
}

/// A packet on its way to viewers.
#[derive(Debug, Clone)]
pub struct Arrived {
    pub origin: Origin,
    pub epoch: Epoch,
    /// Past 16 bits.
    pub sequence: u64,
    /// Past 32 bits.
    pub timestamp: i64,
    /// When that moment of media was taken, as far as that can be known.
    pub captured: Instant,
    pub marker: bool,
    pub start: Start,
    pub payload: Arc<[u8]>,
}

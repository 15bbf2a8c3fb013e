//! What a publisher is made with.

/// What becomes of the packets that a publisher sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delivery {
    /// They are assembled to frames.
    #[default]
    Frames,
    /// They are forwarded; with simulcast, if the browser offers it.
    Packets { simulcast: bool },
}

/// The options of a publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReceiverOptions {
    pub delivery: Delivery,
    /// The most that the browser may send, in bit/s; 0 leaves it to the path.
    pub max_bitrate: u64,
}

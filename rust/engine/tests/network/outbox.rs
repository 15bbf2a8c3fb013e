//! Where the core sends to.

use icey_engine::core::context::{Datagram, Outbound};

/// Collects what the core sends.
#[derive(Default)]
pub struct Outbox(pub Vec<Datagram>);

impl Outbound for Outbox {
    fn send(&mut self, datagram: Datagram) {
        self.0.push(datagram);
    }
}

/// Throws everything away.
pub struct Nowhere;

impl Outbound for Nowhere {
    fn send(&mut self, _: Datagram) {}
}

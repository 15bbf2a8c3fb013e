//! Packets of publishers on their way to viewers.

pub mod packet;
pub mod router;

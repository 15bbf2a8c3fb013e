//! The way of packets to viewers, past str0m.

pub mod egress;
pub mod keys;
pub mod packet;
pub mod probe;
pub mod router;
pub mod rtcp;
pub mod rtx_cache;
pub mod srtp;

//! A TURN server without sockets and clocks: RFC 8656 over RFC 8489.
//!
//! [`Server`] is the whole of it. What came from a client goes into [`Server::receive`], what came
//! to a relayed address into [`Server::receive_from_peer`], always with the time; both say at once
//! what becomes of a payload that is to be passed on. Everything else that is to be done – answers
//! to requests, sockets to open and to close – waits in [`Server::poll`], **which must be called
//! until it gives `None` after each call of a `&mut self` method.**
//!
//! ```text
//!              FiveTuple, bytes                                RelayId, peer, bytes
//!   client ──▶ receive ──▶ Option<ToPeer>      peer ──▶ receive_from_peer ──▶ Option<ToClient>
//!                 │                                                              
//!                 └▶ poll: Send, OpenRelay, CloseRelay, ReleaseReserved
//! ```
//!
//! A payload is never copied here: [`ToPeer`] is a range of the bytes that were given, [`ToClient`]
//! is a head (and for TCP a padding) to be put around them. So a caller can keep a batch of
//! datagrams in the buffers they were received into, and send it from there.
//!
//! What a stranger can do is bounded: before a request has proved that its sender knows a credential,
//! nothing is remembered about him. Nonces are signed, not stored.
//!
//! # Why the messages are read by code of ours
//!
//! `stun-types` 2.0.4 was read for this. It ties MESSAGE-INTEGRITY-SHA256 to a SHA-256 key, where
//! PASSWORD-ALGORITHM chooses the key apart from the integrity (RFC 8489 §9.2.4); refuses a
//! PASSWORD-ALGORITHMS with an entry it does not know; reads attributes behind the length in the
//! header; holds a lock and allocates for each message. TURN's attributes are in another crate,
//! which brings an agent of its own. What is needed of a STUN message is [`message`]; the
//! cryptography under it is not ours.

mod allocation;
mod bucket;
pub mod client;
mod config;
pub mod credentials;
mod five_tuple;
pub mod framing;
pub mod integrity;
pub mod message;
mod nonce;
mod output;
mod policy;
mod server;
mod stats;
mod table;

pub use config::Config;
pub use five_tuple::{FiveTuple, Transport};
pub use framing::MAX_DATAGRAM;
pub use output::{Family, Output, PortRequest, RelayError, RelayId, Route, ToClient, ToPeer};
pub use server::Server;
pub use stats::{Refusal, Stats, Traffic};

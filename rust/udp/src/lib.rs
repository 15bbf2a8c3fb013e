//! UDP for the engine and the TURN server: sockets that know at which of their addresses a datagram
//! arrived, batches both ways, and what a thread around such a socket needs.
//!
//! | file | what |
//! |---|---|
//! | `socket` | opens a socket |
//! | `receive` | reads batches (recvmmsg(2)) |
//! | `send` | queues and writes batches (sendmmsg(2), UDP segmentation) |
//! | `wait`, `wake`, `thread` | a thread that waits for a socket, and how another one wakes and joins it |
//! | `interfaces`, `address` | the addresses of this machine, and addresses as the kernel has them |
//! | `short_cut`, `lane`, `media` | the way between the engine and the TURN server of one process |
//! | `error` | why a socket or a thread could not be opened |
//!
//! # Why the batches are ours
//!
//! `quinn-udp` 0.6 sends one message a system call, and forbids the kernel to fragment, which a TURN
//! server must not (RFC 8656 §15); `nix` gives all messages of a call the same control messages,
//! where ours differ in source address and segment size. ARCHITECTURE.md has the numbers.

mod address;
mod error;
mod interfaces;
mod lane;
mod media;
mod receive;
mod send;
mod short_cut;
mod socket;
mod thread;
mod wait;
mod wake;

pub use address::{canonical, parse_ip};
pub use error::OpenError;
pub use interfaces::{all_addresses, local_addresses};
pub use lane::RelayedBatch;
pub use media::MediaAddresses;
pub use receive::{PEER_BYTES, ReceiveBuffers, ReceivedDatagram};
pub use send::{Flushed, SendLimits, SendQueue};
pub use short_cut::{EngineEnd, Handover, ShortCut, TurnEnd};
pub use socket::{Socket, set_option};
pub use thread::IoThread;
pub use wait::{Readiness, wait};
pub use wake::Wake;

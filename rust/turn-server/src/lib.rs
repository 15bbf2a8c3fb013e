//! The TURN server as a program uses it: sockets, TLS and a thread around `icey-turn`, and the
//! short cut to the engine of the same process.
//!
//! | file | what |
//! |---|---|
//! | `server`, `config`, `stats` | the server's handle |
//! | `thread` | waits and reads |
//! | `exchange` | passes on what was read, and does what the protocol asks for |
//! | `watch` | which sockets the thread waits for |
//! | `udp_port`, `relay`, `relay_ports` | UDP: a socket and its queue; relayed addresses and their ports |
//! | `listener`, `connection`, `connections`, `tls` | TCP and TLS |
//! | `probe` | a client, for the self-test |

mod config;
mod connection;
mod connections;
mod exchange;
mod listener;
mod probe;
mod relay;
mod relay_ports;
mod server;
mod stats;
mod thread;
mod tls;
mod udp_port;
mod watch;

pub use config::{TlsConfig, TurnConfig};
pub use icey_turn::{Config as ProtocolConfig, Transport as TurnTransport};
pub use probe::{Probe, ProbeConfig, ProbeError, ProbeStep, probe as probe_turn};
pub use server::TurnServer;
pub use stats::TurnStats;

//! The server: what comes in, what goes out, and when.
//!
//! | file | what |
//! |---|---|
//! | `state` | what the server knows, what comes in, and what goes out |
//! | `authentication` | who sent a request: challenges, nonces, credentials |
//! | `allocating` | Allocate and Refresh, relays opened and ended |
//! | `peers` | CreatePermission and ChannelBind |
//! | `relaying` | payloads, both ways |

mod allocating;
mod authentication;
mod peers;
mod relaying;
mod state;

pub use self::state::Server;

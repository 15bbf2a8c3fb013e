//! The whole TURN server agrees with a simple model of it, whatever clients and peers do in whatever order.
//!
//! The input is a row of steps, as `rust/turn/tests/world/model.rs` says; among them are messages of any bytes, and
//! requests of any attributes under good credentials.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../rust/turn/tests/world/mod.rs"]
mod world;

fuzz_target!(|data: &[u8]| world::model::run(data));

//! Any bytes do no harm: read as a STUN message, cut as a stream, received by a TURN server and by a client.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../rust/turn/tests/world/mod.rs"]
mod world;

fuzz_target!(|data: &[u8]| world::bytes::run(data));

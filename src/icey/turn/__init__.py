"""The TURN server beside the engine: credentials, life and self-test. Its protocol is in Rust."""

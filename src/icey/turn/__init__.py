"""The TURN server: its credentials, its life, its self-test. The protocol is in Rust."""

//! The server agrees with a simple model of it, whatever its clients do and in whatever order.

mod world;

use proptest::prelude::*;
use world::model;

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Answers, payloads, ends and counts are those of the model after each of up to 120 steps.
    #[test]
    fn the_model_holds(steps in prop::collection::vec(prop::array::uniform6(any::<u8>()), 0..120)) {
        model::run(&steps.concat());
    }

    /// The same, where all is about few clients, users and peers, so that they meet.
    #[test]
    fn the_model_holds_in_a_narrow_place(steps in prop::collection::vec(step(), 0..200)) {
        model::run(&steps.concat());
    }
}

/// Steps that are predicted, of two clients, two users and a few peers; little time passes.
fn step() -> impl Strategy<Value = [u8; 6]> {
    (0u8..12, 0u8..2, 0u8..2, 0u8..16, 0u8..4, 0u8..8).prop_map(|(kind, client, user, a, b, c)| {
        [if kind == 10 { 5 } else { kind }, client * 3, user, a, b, c]
    })
}

//! An SDP offer of any content is answered or refused.

#![no_main]

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use icey_engine::core::options::Local;
use icey_engine::core::receive::inbox::Writer;
use icey_engine::core::sdp::offer::prepare;
use icey_engine::core::Core;
use icey_engine::core::context::{Datagram, Outbound};
use icey_engine::core::wallclock::Wallclock;
use icey_engine::stats::Counters;
use icey_engine::{Delivery, EngineError, Estimation, PeerOptions, ReceiverOptions};
use libfuzzer_sys::fuzz_target;

struct Nowhere;

impl Outbound for Nowhere {
    fn send(&mut self, _: Datagram) {}
}

fn local() -> Local {
    static LOCAL: OnceLock<Local> = OnceLock::new();
    LOCAL
        .get_or_init(|| Local {
            certificate: str0m::crypto::from_feature_flags()
                .dtls_provider
                .generate_certificate()
                .expect("aws-lc-rs makes certificates"),
            addresses: vec![([192, 0, 2, 1], 4501).into()],
            additional: vec![],
            wallclock: Wallclock::new(Instant::now(), SystemTime::now()),
        })
        .clone()
}

fuzz_target!(|data: &[u8]| {
    let Ok(sdp) = std::str::from_utf8(data) else {
        return;
    };
    let (now, counters) = (Instant::now(), Arc::<Counters>::default());
    let mut core = Core::new(local(), counters.clone());
    core.create_peer(2, None, Some((Writer::new(Arc::default()), ReceiverOptions::default())), now);
    let forwarding = ReceiverOptions {
        delivery: Delivery::Packets { simulcast: true },
        max_bitrate: 1,
    };
    core.create_peer(3, None, Some((Writer::new(Arc::default()), forwarding)), now);
    core.create_peer(
        1,
        Some(PeerOptions {
            estimation: Estimation::Remb,
            max_bitrate: 1,
            start_bitrate: 1,
        }),
        None,
        now,
    );
    // A peer that sends, one that receives and one that forwards, and twice each: the second is a renegotiation if
    // the first was accepted.
    for peer in [1, 1, 2, 2, 3, 3] {
        let wanted = core.wanted(peer).expect("a peer");
        let answer = prepare(sdp, wanted)
            .and_then(|offer| core.accept_offer(peer, offer, now, &mut Nowhere));
        match answer {
            Ok(answer) => drop(answer.into_text()),
            Err(EngineError::Offer { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(counters.panics.load(Ordering::Relaxed), 0, "a caught panic");
});

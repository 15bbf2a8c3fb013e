//! Datagrams of any content, from a viewer's own address and from a stranger's, do no harm.
//!
//! The input is a row of datagrams, each behind a byte that says how long it is (in units of 8
//! bytes, the lowest bit chooses the sender), so that the fuzzer can build exchanges.

#![no_main]

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use icey_engine::core::options::Local;
use icey_engine::core::Core;
use icey_engine::core::context::{Datagram, Outbound};
use icey_engine::core::sdp::offer::prepare;
use icey_engine::core::wallclock::Wallclock;
use icey_engine::stats::Counters;
use icey_engine::{Estimation, PeerOptions};
use libfuzzer_sys::fuzz_target;
use str0m::config::DtlsCert;

struct Nowhere;

impl Outbound for Nowhere {
    fn send(&mut self, _: Datagram) {}
}

const OFFER: &str = include_str!("../../rust/engine/tests/offers/chromium.sdp");

fuzz_target!(|data: &[u8]| {
    let (mut now, counters) = (Instant::now(), Arc::<Counters>::default());
    static CERTIFICATE: OnceLock<DtlsCert> = OnceLock::new();
    let certificate = CERTIFICATE
        .get_or_init(|| {
            str0m::crypto::from_feature_flags()
                .dtls_provider
                .generate_certificate()
                .expect("aws-lc-rs makes certificates")
        })
        .clone();
    let server = ([192, 0, 2, 1], 4501).into();
    let local = Local {
        certificate,
        addresses: vec![server],
        additional: vec![],
        wallclock: Wallclock::new(Instant::now(), SystemTime::now()),
    };
    let mut core = Core::new(local, counters.clone());
    core.create_peer(
        1,
        Some(PeerOptions {
            estimation: Estimation::Twcc,
            max_bitrate: 1 << 20,
            start_bitrate: 1 << 20,
        }),
        None,
        now,
    );
    let offer = prepare(OFFER, core.wanted(1).expect("a peer")).expect("Chromium's offer is read");
    core.accept_offer(1, offer, now, &mut Nowhere)
        .expect("Chromium's offer is answered");
    let senders = [([192, 0, 2, 9], 5000).into(), ([198, 51, 100, 7], 7).into()];
    let mut rest = data;
    while let Some((head, after)) = rest.split_first() {
        let length = (usize::from(head >> 1) * 8).min(after.len());
        let (datagram, next) = after.split_at(length);
        core.receive(
            now,
            server,
            senders[usize::from(head & 1)],
            datagram,
            &mut Nowhere,
        );
        now += Duration::from_millis(50);
        core.expire(now, &mut Nowhere);
        rest = next;
    }
    assert_eq!(counters.panics.load(Ordering::Relaxed), 0, "a caught panic");
});

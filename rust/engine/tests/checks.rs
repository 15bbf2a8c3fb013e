//! What an engine can be made to send to addresses that never answered, by calls with candidates.

mod network;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use icey_engine::core::context::{Datagram, Outbound};
use icey_engine::core::ice::candidate;
use icey_engine::core::sdp::offer::prepare;
use icey_engine::{Estimation, PeerOptions};
use network::{CLEAN, Network};

const OFFER: &str = include_str!("offers/chromium.sdp");
const CALLS: u64 = 200;
const CANDIDATES: u64 = 32;

const OPTIONS: PeerOptions = PeerOptions {
    estimation: Estimation::Remb,
    max_bitrate: 2_000_000,
    start_bitrate: 2_000_000,
};

/// Counts what is sent to whom.
#[derive(Default)]
struct Targets(HashMap<SocketAddr, u64>);

impl Outbound for Targets {
    fn send(&mut self, datagram: Datagram) {
        *self.0.entry(datagram.remote).or_default() += 1;
    }
}

/// Calls without any browser behind them, each with candidates of its own and one of all.
fn attack(network: &mut Network, targets: &mut Targets) {
    for call in 0..CALLS {
        let (id, now) = (10_000 + call, network.now);
        network.core.create_peer(id, Some(OPTIONS), None, now);
        let wanted = network.core.wanted(id).expect("a peer");
        let offer = prepare(OFFER, wanted).expect("an offer");
        let answer = network.core.accept_offer(id, offer, now, targets);
        assert!(answer.is_ok());
        for n in 0..CANDIDATES {
            let host = if n == 0 { 7 } else { 8 + call % 200 };
            let text = format!("candidate:1 1 udp {n} 192.0.2.{host} {} typ host", 1000 + n);
            let candidate = candidate::parse(&text).expect("one").expect("of use");
            network.core.add_candidate(id, candidate, now, targets);
        }
    }
}

#[test]
fn calls_make_no_reflector() {
    let mut network = Network::new(17);
    let mut targets = Targets::default();
    attack(&mut network, &mut targets);
    let start = network.now;
    // Who never connects is given up, and then nothing is due.
    while let Some(next) = network.core.next_deadline()
        && network.now < start + Duration::from_secs(30)
    {
        network.now = network.now.max(next);
        network.core.expire(network.now, &mut targets);
    }
    let sent: u64 = targets.0.values().sum();
    assert!(sent > 1000, "{sent}: honest checks are sent");
    assert!(sent <= 30 * 200 + 1, "{sent}: one each 5 ms");
    let mut by_host: HashMap<_, u64> = HashMap::new();
    for (target, count) in &targets.0 {
        *by_host.entry(target.ip()).or_default() += count;
    }
    let most = by_host.values().max();
    assert!(most <= Some(&100), "{most:?} to one address");
    assert!(network.counters.checks_refused.load(Ordering::Relaxed) > 0);
}

#[test]
fn a_browser_comes_up_beside_a_reflector_as_fast_as_alone() {
    let took = |is_attacked: bool| {
        let mut network = Network::new(18);
        if is_attacked {
            attack(&mut network, &mut Targets::default());
        }
        let began = network.elapsed();
        network.connect(CLEAN, Estimation::Remb);
        network.elapsed() - began
    };
    let (alone, beside) = (took(false), took(true));
    assert!(
        beside <= alone + Duration::from_millis(20),
        "{beside:?} in place of {alone:?}"
    );
}

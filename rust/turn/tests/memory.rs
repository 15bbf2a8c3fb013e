//! What strangers cost: nothing.

mod world;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use icey_turn::message::{Builder, Class, attribute, method};
use icey_turn::{Refusal, Transport};
use world::{World, client, config, nonce, plain};

/// Counts the bytes in use.
struct Counting;

static USED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        USED.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A hundred thousand spoofed sources, each with a challenge, a good nonce and a guess, leave not one byte behind.
#[test]
fn spoofed_sources() {
    let mut world = World::new(config());
    let mut attack = |number: u32| {
        let ip = std::net::Ipv4Addr::from(0x0500_0000 + number);
        let from = client(Transport::Udp, &format!("{ip}:{}", 1024 + number % 60_000));
        let _ = world.receive(from, &plain(method::BINDING, [1; 12]));
        let _ = world.receive(from, &plain(method::ALLOCATE, [2; 12]));
        let answers = world.take(from);
        let guess = Builder::new(Class::Request, method::ALLOCATE, [3; 12])
            .attribute(attribute::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
            .attribute(attribute::USERNAME, b"1900000000:guess")
            .attribute(attribute::REALM, b"icey")
            .attribute(attribute::NONCE, &nonce(&answers[1]))
            .attribute(attribute::MESSAGE_INTEGRITY, &[0; 20]);
        let _ = world.receive(from, &guess.finish());
        let _ = world.receive(from, &[0x40, 0, 0, 1, 0]);
        world.take(from);
    };
    (0..1000).for_each(&mut attack);
    let before = USED.load(Ordering::Relaxed);
    (1000..100_000).for_each(&mut attack);
    let after = USED.load(Ordering::Relaxed);
    // Some room for what the test harness does beside.
    assert!(after <= before + 4096, "{before} bytes became {after}");
    for refusal in [Refusal::Challenged, Refusal::Forged, Refusal::NoChannel] {
        assert_eq!(world.refused(refusal), 100_000);
    }
    assert_eq!(world.server.stats().allocations_total, 0);
    assert_eq!(world.server.next_timeout(), None);
}

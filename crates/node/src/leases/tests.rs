//! Facts about fill leases.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use ringhold_store::budget::{EngineConfig, Geometry};
use ringhold_store::hash::HashSeed;
use ringhold_types::time::Instant;

use super::*;

/// Counts how often it is woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn those_who_wait_are_woken_and_one_too_many_asks_again_soon() {
    let config = EngineConfig { limit: 64 << 20, cores: 1, value_len_max: None };
    let mut leases = Leases::new(Budget::new(&Geometry::new(&config).expect("it can be divided")));
    let now = Now { instant: Instant(1), unix_micros: 1_800_000_000_000_000 };
    let place = |name: &[u8]| (NamespaceId::DEFAULT, HashSeed::new(7).key(name));
    let within = Duration::from_secs(5);
    let end = now.unix().after(within);
    for key in [place(b"a"), place(b"b")] {
        assert!(matches!(leases.claim(key, now, within, None), Claim::Granted(_)));
    }
    let bells: Vec<_> = (0..=WAITING_MAX).map(|_| Arc::new(Bell::default())).collect();
    let (last, first) = bells.split_last().expect("there are some");
    for (number, bell) in first.iter().enumerate() {
        let key = place(if number % 2 == 0 { b"a" } else { b"b" });
        let waker = Waker::from(Arc::clone(bell));
        // Who asks twice is woken once.
        assert_eq!(leases.wait(key, now, &waker), Some(end));
        assert_eq!(leases.wait(key, now, &waker), Some(end));
    }
    let waker = Waker::from(Arc::clone(last));
    assert_eq!(leases.wait(place(b"a"), now, &waker), Some(now.unix().after(RETRY)));
    leases.end(NamespaceId::DEFAULT, place(b"a").1.hash);
    let woken = |bells: &[Arc<Bell>]| -> usize {
        bells.iter().map(|bell| bell.0.load(Ordering::Relaxed)).sum()
    };
    assert_eq!(woken(first), WAITING_MAX / 2);
    assert_eq!(woken(std::slice::from_ref(last)), 0);
    // There is room again.
    assert_eq!(leases.wait(place(b"b"), now, &waker), Some(end));
    leases.end_namespace(NamespaceId::DEFAULT);
    assert_eq!(woken(&bells), WAITING_MAX + 1);
    assert_eq!(leases.waiting, 0);
}

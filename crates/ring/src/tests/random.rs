//! x
extern crate std;
use super::cluster::{Cluster, member};
use ringhold_types::prng::Prng;
#[test]
fn scratch() {
    let mut prng = Prng::new(1);
    for (zones, weights, r) in [
        (1, 1, 2),
        (3, 1, 2),
        (3, 1, 3),
        (3, 50, 3),
        (2, 1, 3),
        (4, 400, 2),
        (30, 9000, 2),
        (1, 9000, 3),
    ] {
        let mut c = Cluster::new(16384, r);
        for i in 0..1000u64 {
            let z = prng.below(zones).min(prng.below(zones));
            let w = 100 + prng.below(weights) as u16;
            c.members.push(member(&alloc::format!("n{i}"), w, &alloc::format!("{z}")));
        }
        let mut times = alloc::vec![];
        let t = std::time::Instant::now();
        let p = c.place(&[]);
        times.push(t.elapsed().as_millis());
        if std::env::var("CHECK").is_ok() {
            c.check(&p);
        }
        c.owners = p.owners;
        let mut worst = (0.0f64, 0.0f64, 0u64, 0u64);
        for k in 0..8 {
            let mut d = c.clone();
            if k % 2 == 0 {
                d.members[k * 13].is_eligible = false;
            } else {
                d.members.push(member(
                    &alloc::format!("new{k}"),
                    100 + prng.below(weights) as u16,
                    &alloc::format!("{}", prng.below(zones)),
                ));
            }
            let t = std::time::Instant::now();
            let p = d.place(&[]);
            times.push(t.elapsed().as_millis());
            if std::env::var("CHECK").is_ok() {
                d.check(&p);
            }
            worst.0 = worst.0.max(p.copies.made as f64 / p.copies.min as f64);
            worst.1 = worst.1.max(p.primaries.made as f64 / p.primaries.min as f64);
            worst.2 = worst.2.max(p.copies.made - p.copies.min);
            worst.3 = worst.3.max(p.primaries.made - p.primaries.min);
            c = d;
            c.owners = p.owners;
        }
        std::println!("zones {zones} weights {weights} r {r}: {times:?} ms, {worst:?}");
    }
}

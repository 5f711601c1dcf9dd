//! x
extern crate std;
use super::cluster::{Cluster, member};
#[test]
fn scratch() {
    let mut c = Cluster::new(16384, 2);
    for (n, z) in [("f", "a"), ("b", "b"), ("e", "c"), ("a", "d"), ("c", "e")] {
        let p = c.add(member(n, 100, z));
        std::println!("add {n} {:?} {:?}", p.copies, p.primaries);
        let n = c.members.len();
        let mut pairs = alloc::vec![alloc::vec![0; n]; n];
        for o in &c.owners {
            if o.len() > 1 {
                pairs[o[0].index()][o[1].index()] += 1;
            }
        }
        for p in &pairs {
            std::println!("   {p:?}");
        }
        if n > 2 {
            for i in 0..n {
                let mut l = c.clone();
                let p = l.remove(i);
                std::println!(" rm {i} {:?} {:?}", p.copies, p.primaries);
                let mut pairs = alloc::vec![alloc::vec![0; n]; n];
                for o in &l.owners {
                    if o.len() > 1 {
                        pairs[o[0].index()][o[1].index()] += 1;
                    }
                }
                for p in &pairs {
                    std::println!("           {p:?}");
                }
            }
        }
    }
}

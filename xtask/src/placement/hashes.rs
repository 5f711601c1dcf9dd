//! Three well-known ways to place keys on nodes, as they were published, over one mixing function.
//!
//! Sources: ketama (R. Jones, last.fm 2007; the continuum of libmemcached: 160 points a node, there from MD5); jump hashing (Lamping, Veach, arXiv 1406.2294, 2014, figure 1); rendezvous
//! hashing (Thaler, Ravishankar, "A Name-Based Mapping Scheme for Rendezvous", 1996, and IEEE/ACM Transactions on Networking 6, 1998).

use ringhold_types::prng::Prng;

/// Points of a node in ketama.
const KETAMA_POINTS: u64 = 160;

/// A way to place keys on nodes.
pub(super) trait Hash {
    /// Whether a look-up visits every node.
    const IS_LINEAR: bool = false;
    /// For these nodes.
    fn new(names: &[String]) -> Self;
    /// The node of a key, as an index into the names.
    fn node_of(&self, key: u64) -> usize;
    /// Which of `nodes` nodes leaves when one does.
    fn leaver(_nodes: usize) -> usize {
        0
    }
}

/// Points on a circle; a key belongs to the next one.
pub(super) struct Ketama(Vec<(u64, usize)>);

impl Hash for Ketama {
    fn new(names: &[String]) -> Self {
        let mut points = Vec::new();
        for (idx, name) in names.iter().enumerate() {
            let mut prng = Prng::new(of_name(name));
            points.extend((0..KETAMA_POINTS).map(|_| (prng.next_u64(), idx)));
        }
        points.sort_unstable();
        Self(points)
    }

    fn node_of(&self, key: u64) -> usize {
        let position = mixed(key);
        let next = self.0.partition_point(|point| point.0 < position);
        self.0.get(next).or_else(|| self.0.first()).map_or(0, |point| point.1)
    }
}

/// A number of nodes; only the last one can leave.
pub(super) struct Jump(u64);

impl Hash for Jump {
    fn new(names: &[String]) -> Self {
        Self(names.len() as u64)
    }

    fn node_of(&self, key: u64) -> usize {
        let (mut key, mut node, mut next) = (mixed(key), 0, 0);
        while next < self.0 {
            node = next;
            key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
            let scale = (1u64 << 31) as f64 / ((key >> 33) + 1) as f64;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "as published: positive, and far beyond the number of nodes at most"
            )]
            let jumped = ((node + 1) as f64 * scale) as u64;
            next = jumped;
        }
        usize::try_from(node).unwrap_or(0)
    }

    fn leaver(nodes: usize) -> usize {
        nodes.saturating_sub(1)
    }
}

/// The hash of each node; a key belongs to the node that together with it hashes highest.
pub(super) struct Rendezvous(Vec<u64>);

impl Hash for Rendezvous {
    const IS_LINEAR: bool = true;

    fn new(names: &[String]) -> Self {
        Self(names.iter().map(|name| of_name(name)).collect())
    }

    fn node_of(&self, key: u64) -> usize {
        let key = mixed(key);
        let best = self.0.iter().enumerate().max_by_key(|(_, hash)| mixed(key ^ **hash));
        best.map_or(0, |(idx, _)| idx)
    }
}

/// The first output of the generator for this seed.
fn mixed(seed: u64) -> u64 {
    Prng::new(seed).next_u64()
}

fn of_name(name: &str) -> u64 {
    name.bytes().fold(0, |hash, byte| mixed(hash ^ u64::from(byte)))
}

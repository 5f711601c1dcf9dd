//! Evening out what single moves cannot: along chains of nodes, each of which hands one slot to the next.
//!
//! The last step of placement, and a rare one. A node has too much, another too little, and no slot of the first may go to the second. Then a slot
//! goes to a third, which hands another on, and so on: an augmenting path (Ford and Fulkerson 1956). They are found as Dinic (1970) does it: one search breadth first
//! says how far each node is from those that have too much, then many walks along growing distance use that up, and so again while chains are left.

use alloc::vec::Vec;

use crate::owners::NodeIdx;

/// The most rounds of one search: with the at most 1024 nodes, far more than any case needs. What is left uneven then stays so.
const ROUNDS_MAX: usize = 4096;

/// Something that nodes can hand to each other, slot by slot.
pub(crate) trait Exchange {
    /// The slots that each node could hand on.
    fn slots_by_node(&self) -> Vec<Vec<usize>>;
    /// How much the node has too much.
    fn surplus(&self, node: NodeIdx) -> u64;
    /// How much more the node should have.
    fn lack(&self, node: NodeIdx) -> u64;
    /// Whether `from` may hand `slot` to `to`.
    fn may_pass(&self, slot: usize, from: NodeIdx, to: NodeIdx) -> bool;
    /// Whether that costs nothing: it undoes a move, or moves again what moves anyway.
    fn is_free(&self, slot: usize, from: NodeIdx, to: NodeIdx) -> bool;
    /// Hands it over.
    fn pass(&mut self, slot: usize, from: NodeIdx, to: NodeIdx);
    /// Appends nodes that `from` could hand one of its `slots` to at this cost, of those that `is_wanted` says yes to, perhaps repeated; it may stop after `limit`.
    fn takers(
        &self,
        cost: Cost,
        from_slots: (NodeIdx, &[usize]),
        is_wanted: &dyn Fn(NodeIdx) -> bool,
        limit: usize,
        found: &mut Vec<NodeIdx>,
    );

    /// The nodes that have too much.
    fn sources(&self, nodes: usize) -> Vec<NodeIdx> {
        (0..nodes).map(NodeIdx::at).filter(|&node| self.surplus(node) > 0).collect()
    }
}

/// Which moves may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cost {
    /// Only those that cost nothing.
    Free,
    /// All of them.
    Any,
}

/// Hands slots on until nobody has too much, or nothing more can be done.
pub(crate) fn even_out(exchange: &mut impl Exchange, nodes: usize, cost: Cost) {
    for _ in 0..ROUNDS_MAX {
        let sources = exchange.sources(nodes);
        if sources.is_empty() || (0..nodes).all(|node| exchange.lack(NodeIdx::at(node)) == 0) {
            return;
        }
        let slots = exchange.slots_by_node();
        let Some(mut search) = Search::run(exchange, cost, &slots, &sources) else { return };
        let mut passed = 0;
        for source in sources {
            while exchange.surplus(source) > 0
                && let Some(chain) = search.chain(exchange, source)
            {
                let count = search.use_chain(exchange, &chain);
                search.is_dead[source.index()] |= count == 0;
                passed += count;
            }
        }
        if passed == 0 {
            return;
        }
    }
}

/// What one breadth-first search found, and what the walks after it used up.
struct Search<'a> {
    cost: Cost,
    /// The slots of each node when the search began; what has left since is refused by `may_pass`.
    slots: &'a [Vec<usize>],
    /// How many links each node is away from the nearest that has too much.
    levels: Vec<Option<usize>>,
    /// The level of the nearest nodes that have too little.
    last: usize,
    /// Nodes from which no walk leads on.
    is_dead: Vec<bool>,
}

impl<'a> Search<'a> {
    /// `None` when nobody who has too little can be reached.
    fn run(
        exchange: &impl Exchange,
        cost: Cost,
        slots: &'a [Vec<usize>],
        sources: &[NodeIdx],
    ) -> Option<Self> {
        let mut levels = alloc::vec![None; slots.len()];
        sources.iter().for_each(|source| levels[source.index()] = Some(0));
        let (mut level, mut last, mut found) = (sources.to_vec(), 0, Vec::new());
        while !level.iter().any(|&node| exchange.lack(node) > 0) {
            last += 1;
            let mut next = Vec::new();
            for &node in &level {
                found.clear();
                let is_new = |taker: NodeIdx| levels[taker.index()].is_none();
                let own = (node, slots[node.index()].as_slice());
                exchange.takers(cost, own, &is_new, usize::MAX, &mut found);
                for &taker in &found {
                    if levels[taker.index()].replace(last).is_none() {
                        next.push(taker);
                    }
                }
            }
            if next.is_empty() {
                return None;
            }
            level = next;
        }
        Some(Self { cost, slots, levels, last, is_dead: alloc::vec![false; slots.len()] })
    }

    /// A way from `source` to a node that has too little, both included.
    fn chain(&mut self, exchange: &impl Exchange, source: NodeIdx) -> Option<Vec<NodeIdx>> {
        let mut chain = alloc::vec![source];
        let mut found = Vec::new();
        while chain.len() <= self.last {
            let &node = chain.last()?;
            let level = chain.len();
            let is_wanted = |taker: NodeIdx| {
                self.levels[taker.index()] == Some(level)
                    && !self.is_dead[taker.index()]
                    && (level < self.last || exchange.lack(taker) > 0)
            };
            found.clear();
            if !self.is_dead[node.index()] {
                let own = (node, self.slots[node.index()].as_slice());
                exchange.takers(self.cost, own, &is_wanted, 1, &mut found);
            }
            if let Some(&taker) = found.first() {
                chain.push(taker);
            } else {
                self.is_dead[node.index()] = true;
                chain.pop();
            }
        }
        Some(chain)
    }

    /// Passes as many slots as possible along the chain; says how many its first node got rid of.
    fn use_chain(&self, exchange: &mut impl Exchange, chain: &[NodeIdx]) -> u64 {
        let (Some(&source), Some(&sink)) = (chain.first(), chain.last()) else { return 0 };
        let mut count = exchange.surplus(source).min(exchange.lack(sink));
        // From the far end, so that nobody hands on what it does not have yet.
        let links = || chain.windows(2).rev().map(|link| (link[0], link[1]));
        for (from, to) in links() {
            let own = self.slots[from.index()].iter();
            let usable = own.filter(|&&slot| is_usable(exchange, self.cost, (slot, from, to)));
            count = count.min(usable.take(usize::try_from(count).unwrap_or(0)).count() as u64);
        }
        for link in links() {
            count = pass_some(exchange, self.cost, &self.slots[link.0.index()], link, count);
        }
        count
    }
}

fn is_usable(
    exchange: &impl Exchange,
    cost: Cost,
    (slot, from, to): (usize, NodeIdx, NodeIdx),
) -> bool {
    exchange.may_pass(slot, from, to) && (cost == Cost::Any || exchange.is_free(slot, from, to))
}

/// Passes up to `count` of `slots`, free ones first; says how many.
fn pass_some(
    exchange: &mut impl Exchange,
    cost: Cost,
    slots: &[usize],
    (from, to): (NodeIdx, NodeIdx),
    count: u64,
) -> u64 {
    let mut passed = 0;
    for is_free in [true, false] {
        for &slot in slots {
            if passed == count {
                return passed;
            }
            if is_usable(exchange, cost, (slot, from, to))
                && exchange.is_free(slot, from, to) == is_free
            {
                exchange.pass(slot, from, to);
                passed += 1;
            }
        }
    }
    passed
}

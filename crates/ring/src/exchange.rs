//! Evening out what single moves cannot: along chains of nodes, each of which hands one slot to the next.
//!
//! The last step of placement, and a rare one. A node has too much, another too little, and no slot of the first may go to the second. Then a slot
//! goes to a third, which hands another on, and so on: an augmenting path (Ford and Fulkerson 1956) found breadth first, so that chains are as short as can be
//! (Edmonds and Karp 1972). Each round searches once from all nodes that have too much and uses every chain it found.

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
    /// Calls `found` for nodes that `slot` of `from` could go to, perhaps more often than once; `is_wanted` says which still matter.
    fn takers(
        &self,
        slots: &[usize],
        from: NodeIdx,
        is_wanted: &dyn Fn(NodeIdx) -> bool,
        is_allowed: &dyn Fn(usize, NodeIdx) -> bool,
        found: &mut Vec<NodeIdx>,
    );
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
pub(crate) fn even_out(exchange: &mut impl Exchange, cost: Cost) {
    for _ in 0..ROUNDS_MAX {
        let slots = exchange.slots_by_node();
        let search = Search::run(exchange, cost, &slots);
        let mut passed = 0;
        for &sink in &search.sinks {
            passed += search.use_chain(exchange, cost, &slots, sink);
        }
        if passed == 0 {
            return;
        }
    }
}

/// What one breadth-first search found.
struct Search {
    /// The node from which each was reached; itself for those where the search began.
    parents: Vec<Option<NodeIdx>>,
    /// The nearest nodes that should have more.
    sinks: Vec<NodeIdx>,
}

impl Search {
    fn run(exchange: &impl Exchange, cost: Cost, slots: &[Vec<usize>]) -> Self {
        let nodes = || (0..slots.len()).map(NodeIdx::at);
        let mut parents: Vec<Option<NodeIdx>> =
            nodes().map(|node| (exchange.surplus(node) > 0).then_some(node)).collect();
        let mut level: Vec<NodeIdx> =
            nodes().filter(|node| parents[node.index()].is_some()).collect();
        let mut sinks = Vec::new();
        let mut found = Vec::new();
        while sinks.is_empty() && !level.is_empty() {
            let mut next = Vec::new();
            for &node in &level {
                found.clear();
                let is_new = |taker: NodeIdx| parents[taker.index()].is_none();
                let is_allowed = |slot, taker| is_usable(exchange, cost, (slot, node, taker));
                let own = &slots[node.index()];
                exchange.takers(own, node, &is_new, &is_allowed, &mut found);
                for &taker in &found {
                    if parents[taker.index()].is_none() {
                        parents[taker.index()] = Some(node);
                        next.push(taker);
                    }
                }
            }
            sinks.extend(next.iter().copied().filter(|&taker| exchange.lack(taker) > 0));
            level = next;
        }
        Self { parents, sinks }
    }

    /// Passes as many slots as possible along the chain that ends in `sink`; says how many arrived there.
    fn use_chain(
        &self,
        exchange: &mut impl Exchange,
        cost: Cost,
        slots: &[Vec<usize>],
        sink: NodeIdx,
    ) -> u64 {
        let mut links = Vec::new();
        let mut node = sink;
        while let Some(parent) = self.parents[node.index()].filter(|&parent| parent != node) {
            links.push((parent, node));
            node = parent;
        }
        let mut count = exchange.surplus(node).min(exchange.lack(sink));
        for &(from, to) in &links {
            let usable = slots[from.index()]
                .iter()
                .filter(|&&slot| is_usable(exchange, cost, (slot, from, to)));
            count = count.min(usable.take(usize::try_from(count).unwrap_or(0)).count() as u64);
        }
        // From the far end, so that nobody hands on what it does not have yet.
        for (from, to) in links {
            count = pass_some(exchange, cost, &slots[from.index()], (from, to), count);
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

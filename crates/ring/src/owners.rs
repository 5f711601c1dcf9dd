//! A slot's owners, in order: a short list without allocation.

use core::fmt;
use core::ops::Deref;

use ringhold_types::limits::REPLICAS_MAX;

/// The most nodes that one list holds: while a slot moves it has old and new owners at once.
pub const OWNERS_MAX: usize = 2 * REPLICAS_MAX as usize;

/// A node, as its index in the list of nodes that came with the call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeIdx(pub u16);

impl NodeIdx {
    /// Its position in a slice.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The node at a position, which is below `NODES_MAX`.
    pub(crate) fn at(index: usize) -> Self {
        Self(u16::try_from(index).unwrap_or(u16::MAX))
    }
}

/// Up to [`OWNERS_MAX`] different nodes in order; of wanted owners the first is the primary.
#[derive(Clone, Copy, Default)]
pub struct Owners {
    nodes: [NodeIdx; OWNERS_MAX],
    len: u8,
}

impl Owners {
    /// Nobody.
    pub const NONE: Self = Self { nodes: [NodeIdx(0); OWNERS_MAX], len: 0 };

    /// The first node: of wanted owners the primary.
    #[inline]
    #[must_use]
    pub fn primary(&self) -> Option<NodeIdx> {
        self.first().copied()
    }

    /// Appends `node`; does nothing and says false if it is there or the list is full.
    pub fn push(&mut self, node: NodeIdx) -> bool {
        let len = usize::from(self.len);
        if len == OWNERS_MAX || self.contains(&node) {
            return false;
        }
        self.nodes[len] = node;
        self.len += 1;
        true
    }

    /// Takes `node` out, the order of the others kept; says whether it was there.
    pub fn remove(&mut self, node: NodeIdx) -> bool {
        let Some(idx) = self.iter().position(|&one| one == node) else { return false };
        self.nodes.copy_within(idx + 1..usize::from(self.len), idx);
        self.len -= 1;
        true
    }

    /// Puts `new` where `old` was, if it was there.
    pub(crate) fn replace(&mut self, old: NodeIdx, new: NodeIdx) {
        if let Some(idx) = self.iter().position(|&one| one == old) {
            self.nodes[idx] = new;
        }
    }

    /// The same list with `node`, which is in it, first.
    pub(crate) fn led_by(&self, node: NodeIdx) -> Self {
        let others = self.iter().copied().filter(|&one| one != node);
        core::iter::once(node).chain(others).collect()
    }
}

impl Deref for Owners {
    type Target = [NodeIdx];

    #[inline]
    fn deref(&self) -> &[NodeIdx] {
        self.nodes.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

/// Repeated nodes, and those beyond [`OWNERS_MAX`], are left out.
impl FromIterator<NodeIdx> for Owners {
    fn from_iter<I: IntoIterator<Item = NodeIdx>>(nodes: I) -> Self {
        let mut owners = Self::NONE;
        for node in nodes {
            owners.push(node);
        }
        owners
    }
}

impl PartialEq for Owners {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Owners {}

impl fmt::Debug for Owners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|node| node.0)).finish()
    }
}

//! The map: which nodes there are, and for each slot who holds it and who orders its operations.
//!
//! It is the state of the metadata log: a function of the commands in the order of their indices, equal on every node at
//! equal [`Map::idx`]. Nodes publish it to their shards whole; versions share what neither has changed, and slots of equal
//! history share their configuration (`table`), so a new version costs little.
//!
//! Invariants, of every slot: no member twice in `isr`, none in `isr` and `filling`; `ver` ≤ `idx`; a primary that serves
//! is in `isr`. Epoch, generation and ver never decrease; within one log a slot's configurations of equal ver are equal.

mod table;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrayvec::ArrayVec;
use ringhold_types::id::{Epoch, Generation, Incarnation, MapIdx, Member, NamespaceId, NodeId};
use ringhold_types::limits::{DATABASES, NAMESPACES_MAX, NODES_MAX, REPLICAS_MAX};
use ringhold_types::slot::{SLOTS, Slot};

use crate::codec::{Decode, Encode, Malformed, Reader, encode_list, encoded_enum, encoded_struct};
use crate::node::{Announcement, NodeName, NodeRecord, NodeState};
use crate::slots::SlotSet;
use table::Table;

/// The most members of an in-sync set: the copies that are kept, and those that take their places while slots move.
pub const ISR_MAX: usize = 12;
/// The most members that are being filled with one slot at a time.
pub const FILLING_MAX: usize = 4;
/// The longest name of a namespace, in bytes.
pub const NAMESPACE_NAME_LEN_MAX: usize = 128;

/// One of these is drawn for a cluster by its first node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u128);

/// A member that is being given a slot's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Filling {
    /// Who.
    pub member: Member,
    /// The `ver` that began it: what a transfer, its data and its end name.
    pub stint: MapIdx,
}

encoded_struct!(Filling { member, stint });

/// Who holds a slot.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Config {
    /// The index that last changed it.
    pub ver: MapIdx,
    /// Grows with every change of the primary.
    pub epoch: Epoch,
    /// Grows with every reset to empty.
    pub generation: Generation,
    /// Whether the previous primary had stopped serving when this one was named.
    pub is_clean: bool,
    /// Who orders its operations; `None` only before the slot's first reset.
    pub primary: Option<Member>,
    /// The in-sync set: who holds every acknowledged write.
    pub isr: ArrayVec<Member, ISR_MAX>,
    /// Who is being filled.
    pub filling: ArrayVec<Filling, FILLING_MAX>,
}

encoded_struct!(Config { ver, epoch, generation, is_clean, primary, isr, filling });

impl Config {
    /// The stint of `member`, when it is being filled.
    #[must_use]
    pub fn stint_of(&self, member: Member) -> Option<MapIdx> {
        self.filling.iter().find(|filling| filling.member == member).map(|filling| filling.stint)
    }
}

/// Properties of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The copies of each slot, primary included: 1 to [`REPLICAS_MAX`].
    pub replicas: u8,
    /// Writes are refused while a slot has fewer in-sync copies: 1 to `replicas`.
    pub insync_min: u8,
    /// Whether a slot whose every copy is dead comes back empty without an operator.
    pub is_auto_reset: bool,
    /// The voters: 1, 3 or 5; 0: by the number of nodes.
    pub voters: u8,
    /// What a node sends for transfers at most, in bytes a second.
    pub transfer_rate: u64,
}

encoded_struct!(Settings { replicas, insync_min, is_auto_reset, voters, transfer_rate });

impl Settings {
    /// Of a cluster that was told nothing.
    pub const STANDARD: Self = Self {
        replicas: 2,
        insync_min: 1,
        is_auto_reset: true,
        voters: 0,
        transfer_rate: 64 << 20,
    };

    /// Whether each is in its range.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        (1..=REPLICAS_MAX).contains(&self.replicas)
            && (1..=self.replicas).contains(&self.insync_min)
            && matches!(self.voters, 0 | 1 | 3 | 5)
            && self.transfer_rate > 0
    }
}

/// When a write of a namespace is acknowledged, and what a read needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AckMode {
    /// When every in-sync copy has it; reads need read leases.
    #[default]
    Strict,
    /// At once; a crash may lose the last few milliseconds.
    Relaxed,
    /// As strict, and reads are confirmed by messages instead of leases.
    Confirm,
}

encoded_enum!(AckMode, "ack mode" { 0 => Strict, 1 => Relaxed, 2 => Confirm });

/// A namespace in the map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceRecord {
    /// Its name; one record has it.
    pub name: Arc<str>,
    /// When its writes are acknowledged.
    pub ack: AckMode,
    /// The time to live of entries that are written without one, in milliseconds.
    pub default_ttl_ms: Option<u64>,
    /// What it may take on each node, in bytes.
    pub quota: Option<u64>,
    /// Whether its entries may be evicted.
    pub is_evicted: bool,
}

encoded_struct!(NamespaceRecord { name, ack, default_ttl_ms, quota, is_evicted });

const _: () = assert!(
    ISR_MAX >= REPLICAS_MAX as usize + FILLING_MAX,
    "copies that come and go fit beside those that are kept"
);

/// The state of the metadata log at one index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// The index of the log that it reflects.
    pub idx: MapIdx,
    /// Which cluster it is of.
    pub cluster: ClusterId,
    /// Grows when an operator makes one node the only voter.
    pub cluster_incarnation: u32,
    /// The seed of every node's tables of keys.
    pub hash_seed: u64,
    /// Properties of the cluster.
    pub settings: Settings,
    pub(crate) nodes: Arc<BTreeMap<NodeId, NodeRecord>>,
    pub(crate) node_next: NodeId,
    pub(crate) namespaces: Arc<BTreeMap<NamespaceId, NamespaceRecord>>,
    pub(crate) namespace_next: NamespaceId,
    table: Table,
}

/// The identity of a new cluster.
#[derive(Clone, Copy, Debug)]
pub struct Founding {
    /// Its id.
    pub cluster: ClusterId,
    /// The seed of its tables of keys.
    pub hash_seed: u64,
    /// Its properties.
    pub settings: Settings,
}

/// The number of the first node of a cluster.
pub const FOUNDER: Member = Member { node: NodeId(1), incarnation: Incarnation(1) };

impl Map {
    /// The map of a cluster of one node, which is the primary of every slot: index 1.
    #[must_use]
    pub fn founded(founding: Founding, name: NodeName, announced: Announcement) -> Self {
        let idx = MapIdx(1);
        let config = Config {
            ver: idx,
            epoch: Epoch(1),
            generation: Generation(1),
            is_clean: true,
            primary: Some(FOUNDER),
            isr: [FOUNDER].into_iter().collect(),
            filling: ArrayVec::new(),
        };
        let record = NodeRecord {
            name,
            incarnation: FOUNDER.incarnation,
            is_alive: true,
            state: NodeState::Active,
            announced,
        };
        Self {
            idx,
            cluster: founding.cluster,
            cluster_incarnation: 1,
            hash_seed: founding.hash_seed,
            settings: founding.settings,
            nodes: Arc::new(BTreeMap::from([(FOUNDER.node, record)])),
            node_next: NodeId(FOUNDER.node.0 + 1),
            namespaces: Arc::default(),
            namespace_next: NamespaceId(DATABASES),
            table: Table::of(config),
        }
    }

    /// The map before anything of the cluster is known: index 0, no nodes, no holder of any slot.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            idx: MapIdx(0),
            cluster: ClusterId(0),
            cluster_incarnation: 0,
            hash_seed: 0,
            settings: Settings::STANDARD,
            nodes: Arc::default(),
            node_next: FOUNDER.node,
            namespaces: Arc::default(),
            namespace_next: NamespaceId(DATABASES),
            table: Table::of(Config::default()),
        }
    }

    /// Who holds `slot`.
    #[inline]
    #[must_use]
    pub fn slot(&self, slot: Slot) -> &Config {
        self.table.get(slot)
    }

    /// The configurations that slots have, each with the number of slots that have it. Two of them may be equal.
    pub fn configs(&self) -> impl Iterator<Item = (&Config, u16)> {
        self.table.configs()
    }

    /// The slots for whose configuration `is_it` holds.
    pub fn slots_where(&self, is_it: impl Fn(&Config) -> bool) -> SlotSet {
        self.table.slots_where(is_it)
    }

    /// Does `change`, a function of the configuration alone, to each slot of `slots` that has not changed since `as_of`; it says whether it
    /// did anything.
    pub(crate) fn change_slots(
        &mut self,
        (slots, as_of): (&SlotSet, MapIdx),
        mut change: impl FnMut(&mut Config, MapIdx) -> bool,
    ) {
        let idx = self.idx;
        self.table.change(slots.iter(), |config| {
            let is_changed = config.ver <= as_of && change(config, idx);
            if is_changed {
                config.ver = idx;
            }
            is_changed
        });
    }

    /// The slots whose configuration is another one in `older`, in ascending order.
    pub fn changed_since<'m>(&'m self, older: &'m Self) -> impl Iterator<Item = Slot> + 'm {
        self.changed_of_shard(older, (0, 0))
    }

    /// As [`Map::changed_since`], of every 2^`log2`-th slot from `first` on alone: those of a shard.
    pub fn changed_of_shard<'m>(
        &'m self,
        older: &'m Self,
        (first, log2): (usize, u32),
    ) -> impl Iterator<Item = Slot> + 'm {
        let log = |map: &Self| (map.cluster, map.cluster_incarnation);
        self.table.changed(&older.table, (first, log2), log(self) == log(older))
    }

    /// The nodes, in the order of their numbers.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &NodeRecord)> {
        self.nodes.iter().map(|(&id, record)| (id, record))
    }

    /// The node of this number.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&NodeRecord> {
        self.nodes.get(&id)
    }

    /// The node of this name.
    #[must_use]
    pub fn named(&self, name: &NodeName) -> Option<(NodeId, &NodeRecord)> {
        self.nodes().find(|(_, record)| record.name == *name)
    }

    /// The namespaces that were made, in the order of their numbers; the sixteen databases are not among them.
    pub fn namespaces(&self) -> impl Iterator<Item = (NamespaceId, &NamespaceRecord)> {
        self.namespaces.iter().map(|(&id, record)| (id, record))
    }

    /// Whether this incarnation is its node's last and not declared dead.
    #[must_use]
    pub fn is_alive(&self, member: Member) -> bool {
        self.node(member.node)
            .is_some_and(|node| node.is_alive && node.incarnation == member.incarnation)
    }

    /// Whether a newer process registered under the member's name: its memory is gone for certain.
    #[must_use]
    pub fn is_proven_dead(&self, member: Member) -> bool {
        self.node(member.node).is_some_and(|node| node.incarnation > member.incarnation)
    }

    /// The members that are alive, in the order of their nodes.
    pub fn members(&self) -> impl Iterator<Item = Member> {
        self.nodes().filter(|(_, record)| record.is_alive).map(|(id, record)| record.member(id))
    }

    /// Checks what must always hold.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn check_invariants(&self) {
        self.table.check_invariants();
        for slot in Slot::all() {
            let config = self.slot(slot);
            assert!(config.ver <= self.idx, "a configuration is not newer than its map");
            for (at, member) in config.isr.iter().enumerate() {
                assert!(!config.isr[..at].contains(member), "no member is in sync twice");
                assert!(config.stint_of(*member).is_none(), "who is in sync is not being filled");
            }
        }
        let mut names: Vec<_> = self.nodes.values().map(|node| &node.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "a name is one node's");
    }
}

impl<const CAP: usize, T: Encode> Encode for ArrayVec<T, CAP> {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_list(self.iter(), out);
    }
}

impl<const CAP: usize, T: Decode> Decode for ArrayVec<T, CAP> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut list = Self::new();
        for _ in 0..reader.count()? {
            list.try_push(T::decode(reader)?)
                .map_err(|_| Malformed::OutOfRange { what: "length of a list" })?;
        }
        Ok(list)
    }
}

impl Encode for Map {
    fn encode(&self, out: &mut Vec<u8>) {
        self.idx.encode(out);
        self.cluster.0.encode(out);
        self.cluster_incarnation.encode(out);
        self.hash_seed.encode(out);
        self.settings.encode(out);
        (self.nodes.len() as u64).encode(out);
        self.nodes.iter().for_each(|(id, record)| {
            id.encode(out);
            record.encode(out);
        });
        self.node_next.encode(out);
        (self.namespaces.len() as u64).encode(out);
        self.namespaces.iter().for_each(|(id, record)| {
            id.encode(out);
            record.encode(out);
        });
        self.namespace_next.encode(out);
        // Runs of equal configurations: a new cluster's map is a few dozen bytes.
        let mut slots = Slot::all().map(|slot| self.slot(slot)).peekable();
        while let Some(config) = slots.next() {
            let mut count = 1u64;
            while slots.next_if(|next| *next == config).is_some() {
                count += 1;
            }
            count.encode(out);
            config.encode(out);
        }
    }
}

impl Decode for Map {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut map = Self::unknown();
        map.idx = Decode::decode(reader)?;
        map.cluster = ClusterId(u128::decode(reader)?);
        map.cluster_incarnation = u32::decode(reader)?;
        map.hash_seed = u64::decode(reader)?;
        map.settings = Settings::decode(reader)?;
        map.nodes = Arc::new(decode_table(reader, NODES_MAX)?);
        map.node_next = Decode::decode(reader)?;
        map.namespaces = Arc::new(decode_table(reader, NAMESPACES_MAX)?);
        map.namespace_next = Decode::decode(reader)?;
        let (mut first, slots) = (0, usize::from(SLOTS));
        let mut runs = Vec::new();
        while first < slots {
            let count = usize::try_from(u64::decode(reader)?).unwrap_or(usize::MAX);
            if count == 0 || count > slots - first {
                return Err(Malformed::OutOfRange { what: "run of slots" });
            }
            runs.push((count, Config::decode(reader)?));
            first += count;
        }
        map.table = Table::of_runs(runs);
        Ok(map)
    }
}

fn decode_table<K: Decode + Ord, V: Decode>(
    reader: &mut Reader<'_>,
    len_max: usize,
) -> Result<BTreeMap<K, V>, Malformed> {
    let count = reader.count()?;
    if count > len_max {
        return Err(Malformed::OutOfRange { what: "length of a table" });
    }
    (0..count).map(|_| Ok((K::decode(reader)?, V::decode(reader)?))).collect()
}

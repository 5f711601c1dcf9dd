//! A whole simulated node: the shipped core, peer connections and shards, and the disk for the metadata log.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ringhold_cluster::map::{ClusterId, Founding, Map, Settings};
use ringhold_cluster::meta::Durability;
use ringhold_cluster::meta::disk::{self, Expected, Header};
use ringhold_cluster::meta::membership::RaftId;
use ringhold_cluster::meta::output::Persist;
use ringhold_cluster::node::{Announcement, NodeName};
use ringhold_cluster::replication::{Proposals, Replicas, Role};
use ringhold_cluster::view::{Leases, View};
use ringhold_node::core::{Core, Identity, Input as CoreInput, Output as CoreOutput};
use ringhold_node::peers::{PeerOut, Peers};
use ringhold_types::id::{MapIdx, Member};
use ringhold_types::prng::Prng;
use ringhold_types::slot::Slot;
use ringhold_types::time::Now;

use crate::cluster::cell::{Cell, Reply};
use crate::cluster::memory::Memory;
use crate::cluster::slot_of;
use crate::machine::{
    Address, Birth, ConnId, DiskId, Framing, HostId, Input, Machine, Output, Outputs,
};
use crate::registers::message::{Request, next_message};
use crate::registers::node::PORT_CLIENT;

/// Where nodes talk to each other.
const PORT_PEER: u16 = 1;
/// Bytes of transfers that a shard sends in a tick.
const TRANSFER_LEN: usize = 16 * 1024;
/// The secret of the keys' hashes.
const HASH_SEED: u64 = 1;
const LOG: &str = "meta";

/// The machine.
#[derive(Debug)]
pub struct Node {
    core: Core,
    peers: Peers,
    cells: Vec<Cell>,
    view_idx: MapIdx,
    me: Option<Member>,
    header: Header,
    clients: BTreeMap<ConnId, Vec<u8>>,
    syncs: u64,
    is_over: bool,
    /// What the core wanted before the machine was first stepped.
    first: Vec<CoreOutput>,
}

impl Node {
    /// The process of a host; hosts `0..hosts` are nodes, and the first process of the first host founds the cluster.
    #[must_use]
    pub fn new(birth: &Birth<'_>, hosts: u32) -> Self {
        let mut prng = Prng::new(birth.seed);
        let nonce = u128::from(prng.next_u64()) << 64 | u128::from(prng.next_u64());
        let file = birth.disk.read(LOG).unwrap_or_default();
        let recovered = disk::recover(file, Expected::default()).ok();
        let raft_id =
            recovered.as_ref().map_or_else(|| RaftId(prng.next_u64() | 1), |it| it.header.raft_id);
        let identity = Identity {
            name: NodeName::new(&format!("n{}", birth.host.0)).expect("a name"),
            announced: Announcement::of(nonce, raft_id.0, &birth.host.0.to_string()),
            seed: prng.next_u64(),
            durability: Durability::Disk,
        };
        let settings = Settings { replicas: 2, ..Settings::STANDARD };
        let founding = Founding { cluster: ClusterId(1), hash_seed: HASH_SEED, settings };
        let mut first = Vec::new();
        let now = ringhold_types::time::Instant(0);
        let core = match &recovered {
            Some(recovered) => Core::recover(now, identity, recovered, &mut first),
            None if birth.host.0 == 0 && birth.incarnation == 0 => {
                Core::found(now, identity, founding, &mut first)
            }
            None => Core::join(now, identity),
        };
        let others = (0..hosts).filter(|&host| host != birth.host.0);
        let seeds = others.map(|host| Arc::from(format!("{host}"))).collect();
        let view = Arc::new(View {
            map: Arc::new(Map::unknown()),
            me: Member::default(),
            leases: Arc::new(Leases::default()),
        });
        let memory = Memory::new(HASH_SEED);
        let shards = memory.geometry.shards;
        let replicas = |shard| Replicas::new(Arc::clone(&view), shard, shards);
        let cells = (0..shards).map(|shard| Cell::new(shard, &memory, replicas(shard))).collect();
        Self {
            core,
            peers: Peers::new((nonce, raft_id), seeds, 0),
            cells,
            view_idx: MapIdx(0),
            me: None,
            header: Header { raft_id, cluster: ClusterId(1), nonce },
            clients: BTreeMap::new(),
            syncs: 0,
            is_over: false,
            first,
        }
    }

    /// Its part of the cluster.
    #[must_use]
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// What it is to a slot.
    #[must_use]
    pub fn role(&self, slot: Slot) -> Role {
        self.cells[self.shard_of(slot)].replicas().role(slot)
    }

    fn shard_of(&self, slot: Slot) -> usize {
        slot.index() % self.cells.len()
    }

    /// A copy that failed a check, and which.
    #[must_use]
    pub fn voided(&self) -> Option<(Slot, &'static str)> {
        self.cells.iter().find_map(|cell| cell.void)
    }

    /// Checks what must always hold.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn check_invariants(&self) {
        for cell in &self.cells {
            cell.replicas().check_invariants();
            cell.shard.check_invariants();
        }
    }

    /// Steps the core with an input, and does everything that comes of it.
    fn with_core(&mut self, now: Now, input: CoreInput, out: &mut Outputs) {
        let mut wanted = Vec::new();
        self.core.step(now.instant, input, &mut wanted);
        self.carry_out(now, wanted, out);
    }

    fn carry_out(&mut self, now: Now, wanted: Vec<CoreOutput>, out: &mut Outputs) {
        let mut queue = VecDeque::from(wanted);
        while let Some(output) = queue.pop_front() {
            match output {
                CoreOutput::Send { to, control } => {
                    let map = Arc::clone(self.core.map());
                    let mut peer = Vec::new();
                    self.peers.send_control(now.instant, (to, &control), &map, &mut peer);
                    self.on_peers(now, peer, out);
                }
                CoreOutput::Publish { view } => {
                    out.cover("cluster.publish");
                    self.view_idx = view.map.idx;
                    self.me = Some(view.me);
                    let mut peer = Vec::new();
                    self.peers.set_map(self.me, &view.map, &mut peer);
                    self.on_peers(now, peer, out);
                    for shard in 0..self.cells.len() {
                        self.with_cell(now, shard, out, |cell, _| {
                            cell.shard.set_view(now, Arc::clone(&view));
                        });
                    }
                    let mut more = Vec::new();
                    let applied = CoreInput::Applied { idx: self.view_idx };
                    self.core.step(now.instant, applied, &mut more);
                    queue.extend(more);
                }
                CoreOutput::Wish { wish } => {
                    for slot in wish.batch.slots.iter() {
                        let shard = self.shard_of(slot);
                        let cell = &mut self.cells[shard];
                        let ver = cell.replicas().view().map.slot(slot).ver;
                        if ver <= wish.batch.as_of {
                            cell.shard.want(slot, ver, wish.want);
                        }
                    }
                }
                CoreOutput::Dial { member } => {
                    let map = Arc::clone(self.core.map());
                    let mut peer = Vec::new();
                    self.peers.probe(now.instant, member, &map, &mut peer);
                    self.on_peers(now, peer, out);
                }
                CoreOutput::Persist { persist } => {
                    self.syncs += 1;
                    let id = DiskId(self.syncs);
                    match persist {
                        Persist::Append(saved) => {
                            let mut bytes = out.buffer();
                            disk::append(&saved, &mut bytes);
                            out.push(Output::Append { file: LOG, bytes });
                            out.push(Output::Sync { file: LOG, id });
                        }
                        Persist::Replace(saved) => {
                            let bytes = disk::file(&self.header, &saved);
                            out.push(Output::Replace { file: LOG, bytes, id });
                        }
                    }
                }
                CoreOutput::Superseded | CoreOutput::NameTaken => {
                    self.is_over = true;
                    out.push(Output::Exit);
                }
                CoreOutput::Misbehaved { from } => {
                    out.cover("cluster.misbehaved");
                    out.note(|| format!("{from:?} misbehaved"));
                }
            }
        }
    }

    /// Steps one shard, and sends what it wants sent.
    fn with_cell(
        &mut self,
        now: Now,
        shard: usize,
        out: &mut Outputs,
        step: impl FnOnce(&mut Cell, &mut Vec<Reply>),
    ) {
        let (mut messages, mut replies) = (Vec::new(), Vec::new());
        let cell = &mut self.cells[shard];
        let expired = cell.shard.removed().expired;
        step(cell, &mut replies);
        loop {
            cell.shard.flush(now);
            let outbox = cell.shard.take_outbox();
            messages.extend(outbox.messages);
            if outbox.events.is_empty() {
                break;
            }
            // What is released or can be tried again may cause more.
            cell.settle(now, outbox.events, &mut replies);
        }
        if cell.shard.removed().expired > expired {
            out.cover("cluster.expired");
        }
        let map = Arc::clone(self.core.map());
        let mut peer = Vec::new();
        self.peers.send_data(now.instant, &messages, &map, &mut peer);
        self.on_peers(now, peer, out);
        for (conn, response) in replies {
            if response.status == crate::registers::message::Status::InDoubt {
                out.cover("cluster.in-doubt");
            }
            if self.clients.contains_key(&conn) {
                let mut bytes = out.buffer();
                response.encode(&mut bytes);
                out.send(conn, bytes);
            }
        }
    }

    fn on_peers(&mut self, now: Now, wanted: Vec<PeerOut>, out: &mut Outputs) {
        let mut wanted = wanted.into_iter().peekable();
        while let Some(output) = wanted.next() {
            match output {
                PeerOut::Connect { connection, address } => {
                    let host = HostId(address.parse().expect("an address is a host"));
                    out.connect(conn(connection), Address { host, port: PORT_PEER });
                }
                PeerOut::Send { connection, frame } => out.send(conn(connection), frame),
                PeerOut::Close { connection } => out.push(Output::Close(conn(connection))),
                PeerOut::Control { from, control } => {
                    self.with_core(now, CoreInput::Received { from, control }, out);
                }
                PeerOut::Data { from, message } => {
                    self.with_core(now, CoreInput::Heard { from }, out);
                    // The messages of a frame, shard by shard.
                    let mut shards = vec![Vec::new(); self.cells.len()];
                    shards[self.shard_of(message.slot)].push(message);
                    let is_next = |output: &PeerOut| matches!(output, PeerOut::Data { from: other, .. } if *other == from);
                    while let Some(PeerOut::Data { message, .. }) = wanted.next_if(is_next) {
                        shards[self.shard_of(message.slot)].push(message);
                    }
                    for (shard, messages) in shards.into_iter().enumerate() {
                        if messages.is_empty() {
                            continue;
                        }
                        self.with_cell(now, shard, out, |cell, _| {
                            for message in messages {
                                cell.shard.receive(now, from, message);
                            }
                        });
                    }
                }
                PeerOut::Refused { member } => {
                    self.with_core(now, CoreInput::Refused { member }, out);
                }
                PeerOut::Reopened { member } => {
                    for shard in 0..self.cells.len() {
                        self.with_cell(now, shard, out, |cell, _| {
                            cell.shard.reconnected(now, member);
                        });
                    }
                }
                PeerOut::Dialled { member, outcome } => {
                    self.with_core(now, CoreInput::Dialled { member, outcome }, out);
                }
            }
        }
    }

    fn tick(&mut self, now: Now, out: &mut Outputs) {
        self.with_core(now, CoreInput::Tick, out);
        let mut proposals = Proposals::new();
        for shard in 0..self.cells.len() {
            self.with_cell(now, shard, out, |cell, replies| {
                let mut len = TRANSFER_LEN;
                cell.shard.tick_copies(now, &mut len);
                cell.reclaim(now);
                cell.retry(now, replies);
                cell.shard.propose(now, &mut proposals);
            });
        }
        if !proposals.is_empty() {
            let as_of = self.view_idx;
            self.with_core(now, CoreInput::Propose { proposals, as_of }, out);
        }
        let map = Arc::clone(self.core.map());
        let mut peer = Vec::new();
        self.peers.tick(now.instant, &map, &mut peer);
        self.on_peers(now, peer, out);
    }
}

impl Machine for Node {
    fn step(&mut self, now: Now, input: Input<'_>, out: &mut Outputs) {
        if self.is_over {
            return;
        }
        let mut peer = Vec::new();
        match input {
            Input::Start => {
                out.push(Output::Listen { port: PORT_PEER, framing: Framing::Frames });
                out.push(Output::Listen { port: PORT_CLIENT, framing: Framing::Stream });
                let first = std::mem::take(&mut self.first);
                self.carry_out(now, first, out);
            }
            Input::Tick => self.tick(now, out),
            Input::Opened(id) => self.peers.opened(now.instant, number(id), &mut peer),
            Input::Refused(id) => self.peers.refused(now.instant, number(id), &mut peer),
            Input::Accepted { conn, port: PORT_CLIENT, .. } => {
                self.clients.insert(conn, Vec::new());
            }
            Input::Accepted { conn, .. } => self.peers.accepted(number(conn)),
            Input::Closed(id) => {
                if self.clients.remove(&id).is_none() {
                    let map = Arc::clone(self.core.map());
                    self.peers.closed(now.instant, number(id), &map, &mut peer);
                }
            }
            Input::Received { conn, bytes } => match self.clients.get_mut(&conn) {
                None => self.peers.received(now.instant, number(conn), bytes, &mut peer),
                Some(stream) => {
                    stream.extend_from_slice(bytes);
                    let mut requests = Vec::new();
                    while let Some(message) = next_message(stream) {
                        requests.push(Request::decode(&message));
                    }
                    for request in requests {
                        let shard = self.shard_of(slot_of(request.command.key()));
                        self.with_cell(now, shard, out, |cell, replies| {
                            cell.request(now, (conn, request), replies);
                        });
                    }
                }
            },
            Input::Synced(_) => self.with_core(now, CoreInput::Persisted, out),
            Input::DiskFailed(_) | Input::Contents { .. } => {
                // A voter that cannot write cannot vote: its process ends.
                self.is_over = true;
                out.push(Output::Exit);
            }
        }
        self.on_peers(now, peer, out);
    }
}

fn conn(connection: u64) -> ConnId {
    ConnId(u32::try_from(connection).expect("few connections in a run"))
}

fn number(conn: ConnId) -> u64 {
    u64::from(conn.0)
}

//! A whole simulated node: the shipped core and peer connections, shards of this crate's own store, and the disk for the
//! metadata log.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ringhold_cluster::map::{ClusterId, Founding, Map, Settings};
use ringhold_cluster::meta::Durability;
use ringhold_cluster::meta::disk::{self, Expected, Header};
use ringhold_cluster::meta::membership::RaftId;
use ringhold_cluster::meta::output::Persist;
use ringhold_cluster::node::{Announcement, NodeName};
use ringhold_cluster::replication::{Outbox, Proposals, Replicas, Role};
use ringhold_cluster::view::{Leases, View};
use ringhold_node::core::{Core, Identity, Input as CoreInput, Output as CoreOutput};
use ringhold_node::peers::{PeerOut, Peers};
use ringhold_types::id::{MapIdx, Member};
use ringhold_types::prng::Prng;
use ringhold_types::slot::Slot;
use ringhold_types::time::Now;

use crate::cluster::cell::{Cell, Reply};
use crate::machine::{
    Address, Birth, ConnId, DiskId, Framing, HostId, Input, Machine, Output, Outputs,
};
use crate::registers::message::{Request, next_message};
use crate::registers::node::PORT_CLIENT;

/// Where nodes talk to each other.
const PORT_PEER: u16 = 1;
const SHARDS: usize = 8;
/// Bytes of transfers that a shard sends in a tick.
const TRANSFER_LEN: usize = 4096;
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
        let founding = Founding { cluster: ClusterId(1), hash_seed: 1, settings };
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
        let cells = (0..SHARDS)
            .map(|shard| Cell::new(Replicas::new(Arc::clone(&view), shard, SHARDS)))
            .collect();
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
        self.cells[slot.index() % SHARDS].replicas.role(slot)
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
        self.cells.iter().for_each(|cell| cell.replicas.check_invariants());
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
                    for shard in 0..SHARDS {
                        self.with_cell(now, shard, out, |cell, outbox, _| {
                            let view = Arc::clone(&view);
                            cell.replicas.set_view(now.instant, view, &mut cell.store, outbox);
                        });
                    }
                    let mut more = Vec::new();
                    let applied = CoreInput::Applied { idx: self.view_idx };
                    self.core.step(now.instant, applied, &mut more);
                    queue.extend(more);
                }
                CoreOutput::Wish { wish } => {
                    for slot in wish.batch.slots.iter() {
                        let cell = &mut self.cells[slot.index() % SHARDS];
                        let ver = cell.replicas.view().map.slot(slot).ver;
                        if ver <= wish.batch.as_of {
                            cell.replicas.want(slot, ver, wish.want);
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
        step: impl FnOnce(&mut Cell, &mut Outbox, &mut Vec<Reply>),
    ) {
        let (mut outbox, mut replies) = (Outbox::default(), Vec::new());
        let cell = &mut self.cells[shard];
        step(cell, &mut outbox, &mut replies);
        cell.settle(now, &mut outbox, &mut replies);
        cell.replicas.flush(now.instant, &mut outbox);
        // What the flush released by itself.
        cell.settle(now, &mut outbox, &mut replies);
        cell.replicas.flush(now.instant, &mut outbox);
        let map = Arc::clone(self.core.map());
        let mut peer = Vec::new();
        for (to, message) in outbox.messages {
            self.peers.send_data(now.instant, (to, &message), &map, &mut peer);
        }
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
        for output in wanted {
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
                    let shard = message.slot.index() % SHARDS;
                    self.with_cell(now, shard, out, |cell, outbox, _| {
                        let at = (from, message);
                        cell.replicas.receive(now.instant, at, &mut cell.store, outbox);
                    });
                }
                PeerOut::Refused { member } => {
                    self.with_core(now, CoreInput::Refused { member }, out);
                }
                PeerOut::Reopened { member } => {
                    for shard in 0..SHARDS {
                        self.with_cell(now, shard, out, |cell, outbox, _| {
                            cell.replicas.reconnected(now.instant, member, outbox);
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
        for shard in 0..SHARDS {
            self.with_cell(now, shard, out, |cell, outbox, replies| {
                let mut len = TRANSFER_LEN;
                cell.replicas.tick(now.instant, &mut len, &mut cell.store, outbox);
                cell.retry(now, outbox, replies);
                cell.replicas.propose(now.instant, &mut proposals);
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
                        let shard = shard_of(&request);
                        self.with_cell(now, shard, out, |cell, outbox, replies| {
                            cell.request(now, (conn, request), outbox, replies);
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

fn shard_of(request: &Request) -> usize {
    use crate::registers::message::Command;

    let key = match &request.command {
        Command::Get(key) | Command::Delete(key) | Command::Incr(key) | Command::Cas(key, ..) => {
            *key
        }
        Command::Set(pairs) => pairs.first().map_or(0, |pair| pair.0),
    };
    crate::cluster::slot_of(key).index() % SHARDS
}

fn conn(connection: u64) -> ConnId {
    ConnId(u32::try_from(connection).expect("few connections in a run"))
}

fn number(conn: ConnId) -> u64 {
    u64::from(conn.0)
}

//! The connections to other nodes: dialled when there is something to say, dialled again when they break, and bound to
//! the two members that they are between.
//!
//! A node says things on the connections that it dialled and hears things on those it accepted; only strangers (a process
//! that is no member yet) are answered on the connection on which they asked. To each member there are two connections,
//! one for what concerns the nodes and one for what concerns slots, so that a large value never delays a heartbeat. The
//! first frame of a connection says who dials whom; a process that is somebody else closes it, so nothing is delivered
//! to another incarnation.
//!
//! Bounds: a connection that is not open keeps [`QUEUE_MAX`] frames; more are dropped, as a network would. What is said
//! between nodes is said again while it matters.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ringhold_cluster::codec::{Decode, Encode, Malformed, Reader};
use ringhold_cluster::control::Control;
use ringhold_cluster::map::{ClusterId, Map};
use ringhold_cluster::message::Message;
use ringhold_cluster::meta::membership::RaftId;
use ringhold_types::id::Member;
use ringhold_types::time::{Duration, Instant};

use crate::core::{Dialled, Sender, To};

/// The version of the frames.
pub const PEER_VERSION: u8 = 1;
/// The most frames that wait for a connection to open.
pub const QUEUE_MAX: usize = 1024;
/// A frame of several messages has at most so many bytes.
const FRAME_FULL_LEN: usize = 32 << 10;
/// After a dial that failed the next one waits so long.
const RETRY: Duration = Duration::from_millis(50);
/// A process that was dialled to see who it is has so long to answer.
const PROBE: Duration = Duration::from_secs(1);

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    /// What concerns the nodes.
    Control,
    /// What concerns slots.
    Data,
    /// To see which process is there.
    Probe,
    /// What concerns the metadata log.
    Raft,
}

ringhold_cluster::encoded_enum!(Lane, "connection" { 0 => Control, 1 => Data, 2 => Probe, 3 => Raft });

/// The first frame of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hello {
    version: u8,
    /// 0 while it is not known.
    cluster: u128,
    from: Option<Member>,
    to: Option<Member>,
    /// Of the metadata log's lane: which part dials which.
    from_voter: RaftId,
    to_voter: RaftId,
    lane: Lane,
}

ringhold_cluster::encoded_struct!(Hello { version, cluster, from, to, from_voter, to_voter, lane });

/// What a connection is to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Member(Member, Lane),
    Voter(RaftId),
    Seed(usize),
    Probe(Member),
}

#[derive(Debug)]
struct Link {
    address: Arc<str>,
    connection: Option<u64>,
    is_open: bool,
    /// It was open and broke: what was on its way is lost.
    was_lost: bool,
    opened_at: Instant,
    retry_at: Instant,
    queue: VecDeque<Vec<u8>>,
}

impl Link {
    fn new(address: Arc<str>, queue: VecDeque<Vec<u8>>) -> Self {
        let (opened_at, retry_at) = (Instant(0), Instant(0));
        Self {
            address,
            connection: None,
            is_open: false,
            was_lost: false,
            opened_at,
            retry_at,
            queue,
        }
    }
}

/// What the connections want done, and what came over them.
#[derive(Debug)]
pub enum PeerOut {
    /// To be dialled.
    Connect {
        /// The connection's number from now on.
        connection: u64,
        /// Where.
        address: Arc<str>,
    },
    /// To be sent.
    Send {
        /// On which connection.
        connection: u64,
        /// One frame.
        frame: Vec<u8>,
    },
    /// To be closed.
    Close {
        /// Which connection.
        connection: u64,
    },
    /// Somebody said something that concerns the nodes.
    Control {
        /// Who.
        from: Sender,
        /// What.
        control: Control,
    },
    /// A member said something about a slot.
    Data {
        /// Who.
        from: Member,
        /// What.
        message: Message,
    },
    /// The process of a member is gone.
    Refused {
        /// The member.
        member: Member,
    },
    /// The connection for slots to a member broke and is open again: what was on its way is lost.
    Reopened {
        /// The member.
        member: Member,
    },
    /// A dial that was asked for has ended.
    Dialled {
        /// The member whose address was dialled.
        member: Member,
        /// How.
        outcome: Dialled,
    },
}

/// The connections of one node. Numbers of accepted connections are the caller's, below `dialled_from`; those of dialled
/// ones are given here, from there on.
#[derive(Debug)]
pub struct Peers {
    me: Option<Member>,
    nonce: u128,
    raft_id: RaftId,
    cluster: ClusterId,
    seeds: Vec<Arc<str>>,
    links: BTreeMap<Target, Link>,
    dialled: BTreeMap<u64, Target>,
    accepted: BTreeMap<u64, Option<Accepted>>,
    probes: BTreeMap<Member, Instant>,
    next: u64,
}

/// A connection that said who it is.
#[derive(Clone, Copy, Debug)]
struct Accepted {
    from: Sender,
    lane: Lane,
}

impl Peers {
    /// Of a process that drew `nonce`, has the part `raft_id` of the metadata log or none, and was told to join at `seeds`. Connections that it dials have numbers from
    /// `dialled_from` on.
    #[must_use]
    pub fn new((nonce, raft_id): (u128, RaftId), seeds: Vec<Arc<str>>, dialled_from: u64) -> Self {
        Self {
            me: None,
            nonce,
            raft_id,
            cluster: ClusterId(0),
            seeds,
            links: BTreeMap::new(),
            dialled: BTreeMap::new(),
            accepted: BTreeMap::new(),
            probes: BTreeMap::new(),
            next: dialled_from,
        }
    }

    /// Says who this process is and who the others are. Connections to members that are gone are closed; so is every
    /// one that was dialled before this process was a member.
    pub fn set_map(&mut self, me: Option<Member>, map: &Map, out: &mut Vec<PeerOut>) {
        let is_new = self.me != me;
        self.me = me;
        self.cluster = map.cluster;
        let is_over = |target: &Target| match *target {
            Target::Member(member, _) => is_new || !map.is_alive(member),
            Target::Seed(_) => me.is_some(),
            Target::Probe(_) | Target::Voter(_) => false,
        };
        let over: Vec<Target> =
            self.links.keys().filter(|target| is_over(target)).copied().collect();
        for target in over {
            if let Some(connection) = self.links.remove(&target).and_then(|link| link.connection) {
                self.dialled.remove(&connection);
                out.push(PeerOut::Close { connection });
            }
        }
    }

    /// Sends what concerns the nodes. `map` says where members are.
    pub fn send_control(
        &mut self,
        now: Instant,
        (to, control): (To, &Control),
        map: &Map,
        out: &mut Vec<PeerOut>,
    ) {
        let frame = control.to_bytes();
        match to {
            To::Member(member) => {
                self.send(now, Target::Member(member, Lane::Control), map, frame, out);
            }
            To::Seeds => {
                for seed in 0..self.seeds.len() {
                    self.send(now, Target::Seed(seed), map, frame.clone(), out);
                }
            }
            To::Voter(id) => self.send(now, Target::Voter(id), map, frame, out),
            To::Stranger(connection) => out.push(PeerOut::Send { connection, frame }),
        }
    }

    /// Sends what concerns slots, to each member in the order of `messages`: in as few frames as hold it, since a change
    /// of the map has thousands of slots say something at once.
    pub fn send_data(
        &mut self,
        now: Instant,
        messages: &[(Member, Message)],
        map: &Map,
        out: &mut Vec<PeerOut>,
    ) {
        let mut frames: Vec<(Member, Vec<u8>)> = Vec::new();
        for (to, message) in messages {
            match frames.iter_mut().find(|(member, _)| member == to) {
                Some((_, frame)) => {
                    let bytes = message.to_bytes();
                    if frame.len() + bytes.len() > FRAME_FULL_LEN {
                        let full = std::mem::replace(frame, bytes);
                        self.send(now, Target::Member(*to, Lane::Data), map, full, out);
                    } else {
                        frame.extend_from_slice(&bytes);
                    }
                }
                None => frames.push((*to, message.to_bytes())),
            }
        }
        for (to, frame) in frames {
            self.send(now, Target::Member(to, Lane::Data), map, frame, out);
        }
    }

    /// Dials the registered address of a member on a connection of its own, to see whose process is there.
    pub fn probe(&mut self, now: Instant, member: Member, map: &Map, out: &mut Vec<PeerOut>) {
        if self.probes.insert(member, now).is_none() {
            self.links.remove(&Target::Probe(member));
            self.dial(now, Target::Probe(member), map, out);
        }
    }

    fn send(
        &mut self,
        now: Instant,
        target: Target,
        map: &Map,
        frame: Vec<u8>,
        out: &mut Vec<PeerOut>,
    ) {
        match self.links.get_mut(&target) {
            Some(Link { connection: Some(connection), is_open: true, .. }) => {
                out.push(PeerOut::Send { connection: *connection, frame });
                return;
            }
            Some(link) if link.queue.len() < QUEUE_MAX => link.queue.push_back(frame),
            Some(_) => {}
            None => {
                let Some(address) = self.address_of(target, map) else { return };
                let queue = VecDeque::from([frame]);
                self.links.insert(target, Link::new(address, queue));
            }
        }
        self.dial(now, target, map, out);
    }

    fn address_of(&self, target: Target, map: &Map) -> Option<Arc<str>> {
        match target {
            Target::Seed(seed) => self.seeds.get(seed).cloned(),
            Target::Member(member, _) | Target::Probe(member) => {
                map.node(member.node)?.announced.peer.0.first().cloned()
            }
            Target::Voter(id) => {
                let mut nodes = map.nodes().map(|(_, record)| &record.announced);
                nodes.find(|announced| announced.raft_id == id.0)?.peer.0.first().cloned()
            }
        }
    }

    /// Dials, unless that is under way or failed a moment ago.
    fn dial(&mut self, now: Instant, target: Target, map: &Map, out: &mut Vec<PeerOut>) {
        if !self.links.contains_key(&target) {
            let Some(address) = self.address_of(target, map) else { return };
            self.links.insert(target, Link::new(address, VecDeque::new()));
        }
        let connection = self.next;
        let Some(link) = self.links.get_mut(&target) else { return };
        if link.connection.is_some() || now < link.retry_at {
            return;
        }
        self.next += 1;
        link.connection = Some(connection);
        self.dialled.insert(connection, target);
        let address = Arc::clone(&link.address);
        out.push(PeerOut::Connect { connection, address });
    }

    /// Does what time brings; to be called every 10 ms.
    pub fn tick(&mut self, now: Instant, map: &Map, out: &mut Vec<PeerOut>) {
        let waiting: Vec<Target> = self
            .links
            .iter()
            .filter(|(_, link)| link.connection.is_none() && !link.queue.is_empty())
            .map(|(target, _)| *target)
            .collect();
        waiting.into_iter().for_each(|target| self.dial(now, target, map, out));
        let late: Vec<Member> = self
            .probes
            .iter()
            .filter(|(_, since)| now.since(**since) >= PROBE)
            .map(|(member, _)| *member)
            .collect();
        late.into_iter().for_each(|member| self.end_probe(member, Dialled::Silent, out));
    }

    fn end_probe(&mut self, member: Member, outcome: Dialled, out: &mut Vec<PeerOut>) {
        if let Some(link) = self.links.remove(&Target::Probe(member))
            && let Some(connection) = link.connection
            && self.dialled.remove(&connection).is_some()
        {
            out.push(PeerOut::Close { connection });
        }
        if self.probes.remove(&member).is_some() {
            out.push(PeerOut::Dialled { member, outcome });
        }
    }

    /// A connection that was dialled is open.
    pub fn opened(&mut self, now: Instant, connection: u64, out: &mut Vec<PeerOut>) {
        let Some(&target) = self.dialled.get(&connection) else {
            return out.push(PeerOut::Close { connection });
        };
        let (to, lane) = match target {
            Target::Member(member, lane) => (Some(member), lane),
            Target::Seed(_) => (None, Lane::Control),
            Target::Probe(_) => (None, Lane::Probe),
            Target::Voter(_) => (None, Lane::Raft),
        };
        let to_voter = if let Target::Voter(id) = target { id } else { RaftId(0) };
        let hello = Hello {
            version: PEER_VERSION,
            cluster: self.cluster.0,
            from: self.me,
            to,
            from_voter: self.raft_id,
            to_voter,
            lane,
        };
        out.push(PeerOut::Send { connection, frame: hello.to_bytes() });
        let Some(link) = self.links.get_mut(&target) else { return };
        link.is_open = true;
        link.opened_at = now;
        let was_lost = std::mem::take(&mut link.was_lost);
        for frame in std::mem::take(&mut link.queue) {
            out.push(PeerOut::Send { connection, frame });
        }
        if was_lost && let Target::Member(member, Lane::Data) = target {
            out.push(PeerOut::Reopened { member });
        }
    }

    /// A connection that was dialled was refused: nothing listens there.
    pub fn refused(&mut self, now: Instant, connection: u64, out: &mut Vec<PeerOut>) {
        let Some(target) = self.dialled.remove(&connection) else { return };
        match target {
            Target::Member(member, _) => out.push(PeerOut::Refused { member }),
            Target::Probe(member) => return self.end_probe(member, Dialled::Refused, out),
            Target::Seed(_) | Target::Voter(_) => {}
        }
        if let Some(link) = self.links.get_mut(&target) {
            link.connection = None;
            link.retry_at = now.after(RETRY);
            link.queue.clear();
        }
    }

    /// A connection has ended, by the other side, by a reset, or because it never opened.
    pub fn closed(&mut self, now: Instant, connection: u64, map: &Map, out: &mut Vec<PeerOut>) {
        self.accepted.remove(&connection);
        let Some(target) = self.dialled.remove(&connection) else { return };
        if let Target::Probe(member) = target {
            return self.end_probe(member, Dialled::Silent, out);
        }
        let Some(link) = self.links.get_mut(&target) else { return };
        link.connection = None;
        let was_open = std::mem::take(&mut link.is_open);
        link.was_lost |= was_open;
        if was_open && now.since(link.opened_at) >= RETRY {
            // Once at once: whether that is refused tells a dead process from a broken connection.
            self.dial(now, target, map, out);
        } else {
            link.retry_at = now.after(RETRY);
        }
    }

    /// Somebody dialled this node.
    pub fn accepted(&mut self, connection: u64) {
        self.accepted.insert(connection, None);
    }

    /// A frame came. What makes no sense ends its connection.
    pub fn received(
        &mut self,
        now: Instant,
        connection: u64,
        frame: &[u8],
        out: &mut Vec<PeerOut>,
    ) {
        let outcome = match self.dialled.get(&connection) {
            Some(&target) => self.on_answer(now, (connection, target), frame, out),
            None => self.on_frame(connection, frame, out),
        };
        if outcome.is_err() {
            self.accepted.remove(&connection);
            out.push(PeerOut::Close { connection });
        }
    }

    /// A frame on a connection that was dialled.
    fn on_answer(
        &mut self,
        now: Instant,
        (connection, target): (u64, Target),
        frame: &[u8],
        out: &mut Vec<PeerOut>,
    ) -> Result<(), Malformed> {
        if let Target::Probe(member) = target {
            let nonce = u128::from_bytes(frame)?;
            self.end_probe(member, Dialled::Answered { nonce }, out);
            return Ok(());
        }
        let control = Control::from_bytes(frame)?;
        if let Some(link) = self.links.get_mut(&target) {
            link.retry_at = now;
        }
        out.push(PeerOut::Control { from: Sender::Stranger(connection), control });
        Ok(())
    }

    /// A frame on a connection that was accepted.
    fn on_frame(
        &mut self,
        connection: u64,
        frame: &[u8],
        out: &mut Vec<PeerOut>,
    ) -> Result<(), Malformed> {
        match self.accepted.get(&connection) {
            Some(Some(Accepted { from, lane: Lane::Control | Lane::Raft })) => {
                let control = Control::from_bytes(frame)?;
                out.push(PeerOut::Control { from: *from, control });
                Ok(())
            }
            Some(Some(Accepted { from: Sender::Member(from), lane: Lane::Data })) => {
                let mut reader = Reader::new(frame);
                loop {
                    let message = Message::decode(&mut reader)?;
                    out.push(PeerOut::Data { from: *from, message });
                    if reader.is_empty() {
                        return Ok(());
                    }
                }
            }
            Some(Some(_)) => Err(Malformed::OutOfRange { what: "frame" }),
            Some(None) => self.on_hello(connection, frame, out),
            // It was closed from here, and this was on its way.
            None => Ok(()),
        }
    }

    fn on_hello(
        &mut self,
        connection: u64,
        frame: &[u8],
        out: &mut Vec<PeerOut>,
    ) -> Result<(), Malformed> {
        let mut reader = Reader::new(frame);
        let hello = Hello::decode(&mut reader)?;
        let is_ours = hello.cluster == 0 || self.cluster.0 == 0 || hello.cluster == self.cluster.0;
        let is_me = match hello.lane {
            Lane::Raft => hello.to_voter == self.raft_id && hello.from_voter != RaftId(0),
            Lane::Control | Lane::Data | Lane::Probe => hello.to.is_none() || hello.to == self.me,
        };
        if hello.version != PEER_VERSION || !is_ours || !is_me {
            return Err(Malformed::OutOfRange { what: "greeting" });
        }
        if hello.lane == Lane::Probe {
            out.push(PeerOut::Send { connection, frame: self.nonce.to_bytes() });
        }
        let from = match (hello.lane, hello.from) {
            (Lane::Raft, _) => Sender::Voter(hello.from_voter),
            (_, Some(member)) => Sender::Member(member),
            (_, None) => Sender::Stranger(connection),
        };
        self.accepted.insert(connection, Some(Accepted { from, lane: hello.lane }));
        Ok(())
    }
}

//! What nodes say to each other beside the operations of slots: heartbeats, the map, and what is asked of its leader.

use std::sync::Arc;

use ringhold_types::id::{MapIdx, Member};

use crate::codec::{Decode, Encode, Malformed, Reader, encoded_enum};
use crate::command::{Batch, Command};
use crate::heartbeat::Beat;
use crate::map::Map;
use crate::meta::follow::Committed;
use crate::meta::message::MetaMessage;
use crate::replication::Want;

/// A message between two nodes that concerns no single slot.
#[derive(Clone, Debug, PartialEq)]
pub enum Control {
    /// A heartbeat or its answer.
    Beat {
        /// Which.
        beat: Beat,
    },
    /// To the metadata leader: the sender is there. (`MetaHb`)
    MetaBeat {
        /// Its number.
        id: u64,
        /// Whom the sender suspects.
        suspects: Vec<Member>,
        /// The sender's map index: what it lacks is sent.
        have: MapIdx,
    },
    /// The leader's answer, given after a quorum confirmed that it leads.
    MetaAnswer {
        /// The number of what it answers.
        id: u64,
        /// Its term.
        term: u64,
    },
    /// Who leads the metadata?
    WhoLeads,
    /// This member does, as far as the sender knows.
    LeaderIs {
        /// Its term.
        term: u64,
        /// The member.
        leader: Member,
    },
    /// The sender's map is of this index: what comes after it is wanted.
    MapAsk {
        /// The index; 0: it has none.
        have: MapIdx,
    },
    /// Committed entries, each the one after the one before.
    MapEntries {
        /// The entries.
        entries: Vec<Committed>,
    },
    /// A whole map.
    MapWhole {
        /// The map.
        map: Arc<Map>,
    },
    /// To the leader: a command to propose.
    Propose {
        /// The command.
        command: Command,
        /// Whom the sender suspects, when that is why.
        accused: Option<Member>,
    },
    /// From the leader to a primary: what it wants of some slots.
    Wish {
        /// What.
        want: Want,
        /// Of which slots, in which map.
        batch: Batch,
    },
    /// A message of the metadata log.
    Raft {
        /// The message.
        message: Box<MetaMessage>,
    },
    /// To a process that wants to register: another live process has its name.
    NameTaken,
}

encoded_enum!(Control, "message" {
    1 => Beat { beat },
    2 => MetaBeat { id, suspects, have },
    3 => MetaAnswer { id, term },
    4 => WhoLeads,
    5 => LeaderIs { term, leader },
    6 => MapAsk { have },
    7 => MapEntries { entries },
    8 => MapWhole { map },
    9 => Propose { command, accused },
    10 => Wish { want, batch },
    11 => Raft { message },
    12 => NameTaken,
});

impl Encode for Arc<Map> {
    fn encode(&self, out: &mut Vec<u8>) {
        (**self).encode(out);
    }
}

impl Decode for Arc<Map> {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Map::decode(reader).map(Self::new)
    }
}

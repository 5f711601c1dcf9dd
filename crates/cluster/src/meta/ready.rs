//! From what the crate `raft` has ready to what the caller is to do, in the order that safety needs: a leader's messages;
//! snapshot, entries and vote to the disk; what depends on them; apply; advance.

use std::sync::Arc;

use raft::eraftpb::{Entry, Message};
use raft::{Ready, StateRole};
use ringhold_types::id::MapIdx;

use super::disk::{Hard, Saved};
use super::entry::{LogEntry, Payload, SavedMap, change_to_raft};
use super::follow::{Committed, commands};
use super::membership::{Change, Membership, RaftId};
use super::message::{MetaMessage, ReadContext};
use super::output::{Applied, MetaOut, Persist, ReadIndex};
use super::{Durability, MetaLog};

/// The file is written anew after so many bytes were appended to it.
const FILE_APPENDED_LEN_MAX: usize = 8 << 20;

/// What waits for the disk.
#[derive(Debug)]
pub(super) struct Pending {
    ready: Ready,
    /// Messages that depend on the records.
    held: Vec<Message>,
    hard: (u64, u64, u64),
}

impl MetaLog {
    /// Hands out what is there to do. Every call that takes an input does it by itself; it is to be called once after
    /// [`MetaLog::found`], [`MetaLog::join`] and [`MetaLog::recover`].
    ///
    /// # Panics
    ///
    /// While records are being written.
    pub fn ready(&mut self, out: &mut MetaOut) {
        self.assert_idle();
        while self.raw.has_ready() {
            let mut ready = self.raw.ready();
            let mut at_once = ready.take_messages();
            let mut held = ready.take_persisted_messages();
            let hard = self.hard();
            if self.durability == Durability::Disk && ready.must_sync() {
                // A single voter leads in the very step that makes its term: no message names a term that a crash
                // would forget.
                if (hard.0, hard.1) != (self.persisted_hard.0, self.persisted_hard.1) {
                    held.append(&mut at_once);
                }
                send(at_once, out);
                out.persist = Some(self.persist(&ready));
                self.pending = Some(Pending { ready, held, hard });
                break;
            }
            send(at_once, out);
            send(held, out);
            self.finish(ready, out);
        }
        self.draw_timeout();
    }

    /// The disk has what [`MetaOut::persist`] said. What depends on it is handed out, and perhaps more to write.
    ///
    /// # Panics
    ///
    /// When nothing was being written.
    pub fn persisted(&mut self, out: &mut MetaOut) {
        let Pending { ready, held, hard } = self.pending.take().expect("something was written");
        self.persisted_hard = hard;
        send(held, out);
        self.finish(ready, out);
        self.ready(out);
    }

    fn hard(&self) -> (u64, u64, u64) {
        let hard = self.raw.raft.hard_state();
        (hard.term, hard.vote, hard.commit)
    }

    /// The records of a ready. A commit index that alone has changed waits for the next ones.
    fn persist(&mut self, ready: &Ready) -> Persist {
        let entries: Vec<LogEntry> = ready.entries().iter().map(LogEntry::from_raft).collect();
        let hard = Hard::from_raft(&self.raw.raft.hard_state());
        let received =
            (!ready.snapshot().is_empty()).then(|| SavedMap::from_raft(ready.snapshot().clone()));
        let len: usize = entries.iter().map(|entry| entry.payload.len() + 32).sum();
        self.appended_len += len;
        let is_due = self.is_rewrite_due || self.appended_len > FILE_APPENDED_LEN_MAX;
        if received.is_none() && !is_due {
            return Persist::Append(Saved { map: None, entries, hard });
        }
        self.is_rewrite_due = false;
        self.appended_len = 0;
        if received.is_some() {
            return Persist::Replace(Saved { map: received, entries, hard });
        }
        let first = entries.first().map_or(u64::MAX, |entry| entry.idx);
        let kept = self.store().unapplied().take_while(|entry| entry.idx < first);
        let entries = kept.collect::<Vec<_>>().into_iter().chain(entries).collect();
        Persist::Replace(Saved { map: self.store().saved(), entries, hard })
    }

    /// A ready whose records are kept: takes it into the log, applies, advances.
    fn finish(&mut self, mut ready: Ready, out: &mut MetaOut) {
        if !ready.snapshot().is_empty() {
            let saved = SavedMap::from_raft(ready.snapshot().clone());
            let map = self.received.take().expect("a snapshot is of the message that was stepped");
            self.raw.mut_store().install(&saved, map);
            self.history.clear();
            out.is_map_replaced = true;
            out.membership = Some(saved.membership);
        }
        self.raw.mut_store().append(ready.take_entries());
        if let Some(hard) = ready.hs() {
            self.raw.mut_store().hard = hard.clone();
        }
        for read in ready.take_read_states() {
            let context = ReadContext::from_raft(&read.request_ctx).map(|read| read.context);
            out.reads.extend(context.map(|context| ReadIndex { context, idx: MapIdx(read.index) }));
        }
        self.apply(ready.take_committed_entries(), out);
        let mut light = self.raw.advance(ready);
        if let Some(commit) = light.commit_index() {
            self.raw.mut_store().hard.commit = commit;
        }
        send(light.take_messages(), out);
        self.apply(light.take_committed_entries(), out);
        self.raw.advance_apply();
        self.raw.mut_store().compact();
    }

    fn apply(&mut self, entries: Vec<Entry>, out: &mut MetaOut) {
        for entry in entries {
            let LogEntry { idx, term, payload } = LogEntry::from_raft(&entry);
            let bytes = payload.commands();
            let commands = commands(&bytes).expect("an entry is checked before it is in the log");
            let committed = Committed { idx: MapIdx(idx), term, bytes };
            let map = &mut self.raw.mut_store().map;
            Arc::make_mut(map).apply(committed.idx, term, &commands);
            if let Payload::Membership { changes } = payload {
                self.change_members(&changes, out);
            }
            self.history.push(committed.clone());
            out.applied.push(Applied { committed, commands });
        }
    }

    fn change_members(&mut self, changes: &[Change], out: &mut MetaOut) {
        // A change that cannot be made is none, on every node alike.
        if !self.membership().has_room_for(changes) {
            return;
        }
        let outcome = self.raw.apply_conf_change(&change_to_raft(changes));
        let Ok(state) = outcome else { return };
        let membership = Membership::from_raft(&state);
        self.raw.mut_store().membership.clone_from(&membership);
        if !membership.is_voter(self.raft_id) && self.raw.raft.state == StateRole::Leader {
            // An earlier leader's change took the vote from this one. The crate would go on leading, beside the one
            // whom the members elect, and takes the record of its own progress for granted.
            let term = self.raw.raft.term;
            self.raw.raft.become_follower(term, raft::INVALID_ID);
            self.raw.raft.msgs.clear();
        }
        out.membership = Some(membership);
    }
}

/// Hands messages out; kinds that do not travel are dropped.
fn send(messages: Vec<Message>, out: &mut MetaOut) {
    let messages = messages.into_iter().filter_map(MetaMessage::from_raft);
    out.send.extend(messages.map(|message| (message.to, message)));
}

const _: () = assert!(RaftId(raft::INVALID_ID).0 == 0, "0 is nobody");

//! Becoming a member: finding the cluster, registering, and what the leader does about a name that is in use (section 4,
//! `Register`).

use ringhold_cluster::command::Command;
use ringhold_cluster::control::Control;
use ringhold_types::time::Instant;

use super::{ASK_EVERY, Core, Output, To, last_incarnation, send};

impl Core {
    /// Asks the seeds for the map and the leader, and the leader for a place in the map, until this process is in it.
    pub(super) fn try_to_register(&mut self, now: Instant, out: &mut Vec<Output>) {
        if now.since(self.asked_leader_at) < ASK_EVERY {
            return;
        }
        self.asked_leader_at = now;
        let have = self.map.idx;
        send(To::Seeds, Control::MapAsk { have }, out);
        send(To::Seeds, Control::WhoLeads, out);
        for member in self.map.members().collect::<Vec<_>>() {
            send(To::Member(member), Control::MapAsk { have }, out);
            send(To::Member(member), Control::WhoLeads, out);
        }
        if self.map.idx.0 == 0 {
            return;
        }
        let command = Command::Register {
            name: self.identity.name.clone(),
            after: last_incarnation(&self.map, &self.identity.name),
            announced: Box::new(self.identity.announced.clone()),
        };
        if self.log.as_ref().is_some_and(|log| log.is_established()) {
            // A voter that came back leads before it is a member again: it holds the disk of its predecessor, which is the
            // proof that that one is gone.
            self.keep_command(command);
        } else if let Some(leader) = self.leader() {
            let control = Control::Propose { command, accused: None };
            send(To::Member(leader), control, out);
        }
    }
}

//! Requests to disks.

use crate::disk::DiskFaults;
use crate::host::Delivery;
use crate::machine::{DiskId, HostId};
use crate::time::{Moment, nanos};
use crate::world::{DiskWork, Event, World};

impl World {
    /// Sets what is wrong with a host's disk.
    pub fn set_disk_faults(&mut self, host: HostId, faults: DiskFaults) {
        self.note(|| format!("{host} has {faults:?}"));
        self.hosts[host.idx()].disk.faults = faults;
    }

    pub(super) fn append(&mut self, host: HostId, file: &'static str, bytes: Vec<u8>) {
        let one = &mut self.hosts[host.idx()];
        one.disk.append(file, &bytes, &mut one.prng);
        self.outputs.give_back(bytes);
    }

    pub(super) fn sync(&mut self, host: HostId, file: &'static str, id: DiskId) {
        let mark = self.hosts[host.idx()].disk.sync_started(file);
        self.disk_begins(host, DiskWork::Sync { mark, id });
    }

    pub(super) fn replace(&mut self, host: HostId, file: &'static str, bytes: Vec<u8>, id: DiskId) {
        self.hosts[host.idx()].disk.replace_started(file, bytes);
        self.disk_begins(host, DiskWork::Replace { file, id });
    }

    pub(super) fn read(&mut self, host: HostId, file: &'static str, id: DiskId) {
        self.disk_begins(host, DiskWork::Read { file, id });
    }

    fn disk_begins(&mut self, host: HostId, work: DiskWork) {
        let profile = self.profile;
        let one = &mut self.hosts[host.idx()];
        let spread = nanos(profile.sync_max.saturating_sub(profile.sync_min));
        let base = profile.sync_min + core::time::Duration::from_nanos(one.prng.below(1 + spread));
        let time = nanos(one.disk.sync_time(base));
        let at = Moment(one.disk_free.max(self.now).0 + time);
        one.disk_free = at;
        let life = one.life;
        self.queue.push(at, Event::Disk { host, life, work });
    }

    pub(super) fn disk_done(&mut self, host: HostId, life: u32, work: &DiskWork) {
        let one = &mut self.hosts[host.idx()];
        if one.life != life {
            return;
        }
        let (is_done, id) = match *work {
            DiskWork::Sync { mark, id } => (one.disk.sync_ended(mark), id),
            DiskWork::Replace { file, id } => (one.disk.replace_ended(file), id),
            DiskWork::Read { file, id } => {
                if let Ok(bytes) = one.disk.read(file) {
                    let bytes = bytes.to_vec();
                    self.deliver(host, Delivery::Contents { id, bytes });
                    return;
                }
                (false, id)
            }
        };
        let answer = if is_done { Delivery::Synced(id) } else { Delivery::DiskFailed(id) };
        self.deliver(host, answer);
    }
}

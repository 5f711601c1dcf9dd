//! A host's disk: named files that keep what was synced, and of the rest what they like.
//!
//! - **Append** goes to the page cache: a reader sees it, a crash need not have kept it.
//! - **Sync** makes durable what was appended before it was asked for; it takes time.
//! - **Crash of the process**: the page cache stays, but what the process had handed to its writing thread may
//!   not have been written: any prefix of the unsynced bytes is kept.
//! - **Crash of the host**: durable bytes are kept; of the others any prefix, and after it possibly a torn tail (bytes
//!   of the right place with wrong contents).
//! - **Replace** is atomic: after a crash the file is the old or the new one.
//! - **Full**: an append is cut short, and the file is *broken*: every sync of it fails until it is replaced or
//!   the process starts anew. What the cut append left is there for the next life to find.
//! - **Slow**: a sync takes a hundred times as long. **Unreadable**: reads fail.
//!
//! Left out: bits that rot in durable data.

use std::collections::BTreeMap;

use ringhold_types::prng::Prng;
use ringhold_types::time::Duration;

/// One file.
#[derive(Clone, Debug, Default)]
struct File {
    /// Everything a reader sees.
    bytes: Vec<u8>,
    /// How many of them survive a crash for sure.
    durable_len: usize,
    /// An append was cut short.
    is_broken: bool,
    /// A replacement that is under way: it may be the file after a crash.
    replacement: Option<Vec<u8>>,
}

/// What is wrong with a disk.
#[expect(clippy::struct_excessive_bools, reason = "each may be wrong without the others")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskFaults {
    /// No byte more can be written.
    pub is_full: bool,
    /// Syncs take [`SLOW_FACTOR`] times as long.
    pub is_slow: bool,
    /// Reads fail.
    pub is_unreadable: bool,
}

/// How much longer a sync takes on a slow disk.
pub const SLOW_FACTOR: u32 = 100;

/// A read failed: the device answered with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadFailed;

/// A host's files.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    files: BTreeMap<&'static str, File>,
    /// What is wrong with it now.
    pub faults: DiskFaults,
}

/// A sync under way: what it will have made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncMark {
    file: &'static str,
    len: usize,
}

impl Disk {
    /// A file's bytes, durable or not; empty if there is no such file.
    ///
    /// # Errors
    ///
    /// [`ReadFailed`] while the disk is unreadable.
    pub fn read(&self, file: &str) -> Result<&[u8], ReadFailed> {
        if self.faults.is_unreadable {
            return Err(ReadFailed);
        }
        Ok(self.files.get(file).map_or(&[], |file| &file.bytes))
    }

    /// Appends; on a full disk a prefix, and the file is broken.
    pub fn append(&mut self, file: &'static str, bytes: &[u8], prng: &mut Prng) {
        let entry = self.files.entry(file).or_default();
        if entry.is_broken {
            return;
        }
        if self.faults.is_full {
            entry.is_broken = true;
            let kept = below_or_at(prng, bytes.len().saturating_sub(1));
            entry.bytes.extend_from_slice(&bytes[..kept]);
            return;
        }
        entry.bytes.extend_from_slice(bytes);
    }

    /// Begins a sync: notes what it covers.
    #[must_use]
    pub fn sync_started(&mut self, file: &'static str) -> SyncMark {
        let len = self.files.entry(file).or_default().bytes.len();
        SyncMark { file, len }
    }

    /// Ends a sync; false if it failed.
    #[must_use]
    pub fn sync_ended(&mut self, mark: SyncMark) -> bool {
        let entry = self.files.entry(mark.file).or_default();
        if entry.is_broken {
            return false;
        }
        entry.durable_len = entry.durable_len.max(mark.len.min(entry.bytes.len()));
        true
    }

    /// Begins a replacement; it takes the place of one that is under way.
    pub fn replace_started(&mut self, file: &'static str, bytes: Vec<u8>) {
        self.files.entry(file).or_default().replacement = Some(bytes);
    }

    /// Ends a replacement; false if the disk is full. Appends made since it began are lost with the old file.
    #[must_use]
    pub fn replace_ended(&mut self, file: &'static str) -> bool {
        let entry = self.files.entry(file).or_default();
        let Some(bytes) = entry.replacement.take() else { return false };
        if self.faults.is_full {
            return false;
        }
        let durable_len = bytes.len();
        *entry = File { bytes, durable_len, is_broken: false, replacement: None };
        true
    }

    /// The process died: any prefix of what was not synced is kept.
    pub fn process_died(&mut self, prng: &mut Prng) {
        for file in self.files.values_mut() {
            file.settle_replacement(prng);
            if prng.chance(1, 2) {
                file.cut(prng);
            }
        }
    }

    /// The host died: as [`Self::process_died`], and the tail may be torn.
    pub fn host_died(&mut self, prng: &mut Prng) {
        for file in self.files.values_mut() {
            file.settle_replacement(prng);
            let written = file.bytes.len();
            file.cut(prng);
            let torn = below_or_at(prng, (written - file.bytes.len()).min(64));
            if prng.chance(1, 3) {
                for _ in 0..torn {
                    file.bytes.push(prng.next_u64().to_le_bytes()[0]);
                }
            }
            // What is found after a crash of the host was read from the device: it is durable.
            file.durable_len = file.bytes.len();
        }
    }

    /// Time of one sync: `base` when the disk is well.
    #[must_use]
    pub fn sync_time(&self, base: Duration) -> Duration {
        if self.faults.is_slow { base * SLOW_FACTOR } else { base }
    }
}

impl File {
    fn settle_replacement(&mut self, prng: &mut Prng) {
        self.is_broken = false;
        if let Some(bytes) = self.replacement.take()
            && prng.chance(1, 2)
        {
            self.durable_len = bytes.len();
            self.bytes = bytes;
        }
    }

    /// Keeps what is durable and any prefix of the rest.
    fn cut(&mut self, prng: &mut Prng) {
        let kept = below_or_at(prng, self.bytes.len() - self.durable_len);
        self.bytes.truncate(self.durable_len + kept);
    }
}

/// A random number from 0 to `max`, both included.
fn below_or_at(prng: &mut Prng, max: usize) -> usize {
    usize::try_from(prng.below(max as u64 + 1)).unwrap_or(max)
}

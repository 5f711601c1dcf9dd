//! The bytes of a voter's log on its disk.
//!
//! A file is [`MAGIC`], the version (two bytes, little-endian), and frames; a frame is [`MARK`], the length of its payload,
//! the CRC32C of length and payload (four bytes each, little-endian), and the payload. The first frame is the [`Header`]:
//! whose log it is. Each further one is a [`Saved`]: what one fsync made durable, and the only thing that a crash can tear.
//!
//! How the caller writes: [`super::output::Persist::Append`] is [`append`]ed and fsynced. [`super::output::Persist::Replace`] is a whole
//! [`file()`]: written to another name in the same directory, fsynced, renamed over the old one, and the directory fsynced;
//! a crash leaves the old file or the new one. A process that starts reads the file ([`recover`]) and replaces it at once
//! by one with its own nonce ([`super::MetaLog::saved`]), which also cuts a torn tail off. It holds a lock on the directory
//! meanwhile and as long as it lives.
//!
//! A last frame that is torn was never acknowledged, and is left out, unless what is left ends below the commit index
//! that the file itself names. Anything else (a damaged frame that valid ones follow, entries that do not fit together,
//! another voter's or cluster's file) is a [`DiskError`]: a voter that has forgotten what it promised must not vote.

use std::fmt;
use std::sync::Arc;

use raft::eraftpb::HardState;

use super::check::{NUMBER_MAX, check_entry, map_of};
use super::entry::{LogEntry, SavedMap};
use super::membership::RaftId;
use crate::codec::{Decode, Encode, Malformed, encoded_struct};
use crate::map::{ClusterId, Map};

/// The first bytes of a file.
pub const MAGIC: &[u8; 8] = b"RINGMETA";
/// The version of the format that is written, and the only one that is read.
pub const VERSION: u16 = 1;
/// The first bytes of a frame.
pub const MARK: &[u8; 4] = b"\xF5rm1";
/// The longest payload of a frame, in bytes; more is damage. A map, and as much as a leader may have uncommitted.
pub const FRAME_LEN_MAX: usize = 128 << 20;
const FRAME_HEAD_LEN: usize = 12;
const FILE_HEAD_LEN: usize = MAGIC.len() + 2;

/// Whose log a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The voter.
    pub raft_id: RaftId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Drawn by the process that wrote the file: its successor proves with it that this one is gone.
    pub nonce: u128,
}

impl Encode for ClusterId {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

impl Decode for ClusterId {
    fn decode(reader: &mut crate::codec::Reader<'_>) -> Result<Self, Malformed> {
        u128::decode(reader).map(Self)
    }
}

encoded_struct!(Header { raft_id, cluster, nonce });

/// A voter's promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hard {
    /// Its term.
    pub term: u64,
    /// Whom it gave its vote in that term; 0: nobody.
    pub vote: RaftId,
    /// What it knew to be committed.
    pub commit: u64,
}

encoded_struct!(Hard { term, vote, commit });

impl Hard {
    pub(super) fn from_raft(hard: &HardState) -> Self {
        Self { term: hard.term, vote: RaftId(hard.vote), commit: hard.commit }
    }

    pub(super) fn to_raft(self) -> HardState {
        HardState {
            term: self.term,
            vote: self.vote.0,
            commit: self.commit,
            ..HardState::default()
        }
    }
}

/// What is made durable at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// The map that the log begins with; in the first frame after the header alone.
    pub map: Option<SavedMap>,
    /// Entries; one at the index of an older one replaces it and all that follow.
    pub entries: Vec<LogEntry>,
    /// The promises, as of now.
    pub hard: Hard,
}

encoded_struct!(Saved { map, entries, hard });

/// What a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Whose it is.
    pub header: Header,
    /// All of it.
    pub saved: Saved,
    /// The map that its log begins with.
    pub map: Option<Arc<Map>>,
    /// The bytes that count, from the start of the file; what follows is a torn tail.
    pub len: usize,
}

/// Whose file it should be. `None`: whosever it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected {
    /// The voter.
    pub raft_id: Option<RaftId>,
    /// The cluster.
    pub cluster: Option<ClusterId>,
}

/// Why a file cannot be used. Trying again does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskError {
    /// Where in the file, in bytes from its start.
    pub offset: usize,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not begin as one.
    NotALog,
    /// It is of another version.
    Version {
        /// Which one.
        found: u16,
    },
    /// It is another voter's.
    RaftId {
        /// Whose.
        found: RaftId,
    },
    /// It is another cluster's.
    Cluster {
        /// Whose.
        found: ClusterId,
    },
    /// A frame is damaged, and valid ones follow it.
    Damaged,
    /// A frame is whole, and does not say what a frame says.
    Malformed(Malformed),
    /// A frame does not fit those before it.
    Incoherent {
        /// What does not fit.
        what: &'static str,
    },
    /// The end is torn off, and with it what the file says is committed.
    CommitLost {
        /// The last index that is left.
        last: u64,
        /// What is committed.
        commit: u64,
    },
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: ", self.offset)?;
        match self.fault {
            Fault::NotALog => f.write_str("this is no metadata log")?,
            Fault::Version { found } => {
                write!(f, "format version {found}, while this program knows {VERSION}")?;
            }
            Fault::RaftId { found } => write!(f, "the log of voter {found}")?,
            Fault::Cluster { found } => write!(f, "the log of cluster {:032x}", found.0)?,
            Fault::Damaged => f.write_str("damaged, and valid records follow")?,
            Fault::Malformed(cause) => write!(f, "{cause}")?,
            Fault::Incoherent { what } => write!(f, "{what}")?,
            Fault::CommitLost { last, commit } => {
                write!(f, "the log ends at {last}, but {commit} is committed")?;
            }
        }
        f.write_str(
            "; this voter cannot continue from it. Restore the file, or start with --rejoin-empty \
             to come back as a new voter",
        )
    }
}

impl std::error::Error for DiskError {}

/// The bytes of a whole file.
#[must_use]
pub fn file(header: &Header, saved: &Saved) -> Vec<u8> {
    let mut out = file_head(header);
    append(saved, &mut out);
    out
}

pub(super) fn file_head(header: &Header) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    frame(header, &mut out);
    out
}

/// Appends the bytes that go to the end of a file.
pub fn append(saved: &Saved, out: &mut Vec<u8>) {
    frame(saved, out);
}

pub(super) fn frame(payload: &impl Encode, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(MARK);
    out.extend_from_slice(&[0; FRAME_HEAD_LEN - MARK.len()]);
    payload.encode(out);
    let len = out.len() - start - FRAME_HEAD_LEN;
    assert!(len <= FRAME_LEN_MAX, "what is uncommitted is bounded");
    let len = u32::try_from(len).expect("a frame's bound fits").to_le_bytes();
    let crc = crc32c::crc32c_append(crc32c::crc32c(&len), &out[start + FRAME_HEAD_LEN..]);
    out[start + 4..start + 8].copy_from_slice(&len);
    out[start + 8..start + FRAME_HEAD_LEN].copy_from_slice(&crc.to_le_bytes());
}

/// The payload of the frame that `bytes` begin with.
fn payload(bytes: &[u8]) -> Option<&[u8]> {
    let (mark, rest) = bytes.split_first_chunk::<4>()?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let wanted = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    let payload = rest.get(..wanted).filter(|_| mark == MARK && wanted <= FRAME_LEN_MAX)?;
    let found = crc32c::crc32c_append(crc32c::crc32c(len), payload);
    (found == u32::from_le_bytes(*crc)).then_some(payload)
}

/// Whether a valid frame begins anywhere in `bytes`.
fn has_frame(bytes: &[u8]) -> bool {
    let mut marks = bytes.windows(MARK.len()).enumerate().filter(|(_, window)| window == MARK);
    marks.any(|(at, _)| bytes.get(at..).and_then(payload).is_some())
}

/// Reads a file.
///
/// # Errors
///
/// [`DiskError`]: it cannot be used; where, and why.
pub fn recover(bytes: &[u8], expected: Expected) -> Result<Recovered, DiskError> {
    let at = |offset| move |fault| DiskError { offset, fault };
    let not_a_log = at(0)(Fault::NotALog);
    let rest = bytes.strip_prefix(MAGIC.as_slice()).ok_or(not_a_log)?;
    let (version, rest) = rest.split_first_chunk().ok_or(not_a_log)?;
    let found = u16::from_le_bytes(*version);
    if found != VERSION {
        return Err(at(MAGIC.len())(Fault::Version { found }));
    }
    let mut offset = FILE_HEAD_LEN;
    // The head is written before the file has its name: it cannot be torn.
    let head = payload(rest).ok_or_else(|| at(offset)(Fault::NotALog))?;
    let header = Header::from_bytes(head).map_err(Fault::Malformed).map_err(at(offset))?;
    check_header(&header, expected).map_err(at(offset))?;
    offset += FRAME_HEAD_LEN + head.len();
    let (mut saved, mut map): (Option<Saved>, _) = (None, None);
    while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
        let Some(frame) = payload(rest) else {
            if has_frame(&rest[1..]) {
                return Err(at(offset)(Fault::Damaged));
            }
            break;
        };
        let next = Saved::from_bytes(frame).map_err(Fault::Malformed).map_err(at(offset))?;
        match &mut saved {
            Some(saved) => add(saved, next).map_err(at(offset))?,
            None => {
                let (first, its_map) = begin(&header, next).map_err(at(offset))?;
                (saved, map) = (Some(first), its_map);
            }
        }
        offset += FRAME_HEAD_LEN + frame.len();
    }
    // As the head, the first record comes with the name.
    let saved = saved.ok_or_else(|| at(offset)(Fault::NotALog))?;
    let (last, commit) = (last_of(&saved), saved.hard.commit);
    if commit > last {
        return Err(at(offset)(Fault::CommitLost { last, commit }));
    }
    Ok(Recovered { header, saved, map, len: offset })
}

fn check_header(header: &Header, expected: Expected) -> Result<(), Fault> {
    if header.raft_id.0 == 0 {
        return Err(Fault::Incoherent { what: "0 is no voter" });
    }
    if expected.raft_id.is_some_and(|id| id != header.raft_id) {
        return Err(Fault::RaftId { found: header.raft_id });
    }
    if expected.cluster.is_some_and(|cluster| cluster != header.cluster) {
        return Err(Fault::Cluster { found: header.cluster });
    }
    Ok(())
}

/// The index and term before the first entry.
fn base_of(saved: &Saved) -> (u64, u64) {
    saved.map.as_ref().map_or((0, 0), |map| (map.idx, map.term))
}

fn last_of(saved: &Saved) -> u64 {
    saved.entries.last().map_or_else(|| base_of(saved).0, |entry| entry.idx)
}

/// The first record of a file.
fn begin(header: &Header, mut first: Saved) -> Result<(Saved, Option<Arc<Map>>), Fault> {
    let mut begun = None;
    if let Some(map) = &first.map {
        let what = "no map at the beginning";
        let decoded = map_of(map).ok_or(Fault::Incoherent { what })?;
        if decoded.cluster != header.cluster {
            return Err(Fault::Cluster { found: decoded.cluster });
        }
        if !map.membership.is_coherent() || map.term == 0 {
            return Err(Fault::Incoherent { what: "members that cannot be" });
        }
        if first.hard.commit < map.idx {
            return Err(Fault::Incoherent { what: "a map of what is not committed" });
        }
        begun = Some(Arc::new(decoded));
    }
    let entries = std::mem::take(&mut first.entries);
    let hard = std::mem::take(&mut first.hard);
    if let Some(map) = &first.map {
        (first.hard.commit, first.hard.term) = (map.idx, map.term);
    }
    add(&mut first, Saved { map: None, entries, hard })?;
    Ok((first, begun))
}

/// A further record.
fn add(saved: &mut Saved, next: Saved) -> Result<(), Fault> {
    let incoherent = |what| Err(Fault::Incoherent { what });
    if next.map.is_some() {
        return incoherent("a map in the middle");
    }
    let has_changed_vote = next.hard.term == saved.hard.term
        && saved.hard.vote != RaftId(0)
        && next.hard.vote != saved.hard.vote;
    let is_older = next.hard.term < saved.hard.term || next.hard.commit < saved.hard.commit;
    if is_older || has_changed_vote {
        return incoherent("a promise is taken back");
    }
    if next.hard.term > NUMBER_MAX {
        return incoherent("a term that no election reaches");
    }
    if saved.map.is_none() && !next.entries.is_empty() {
        return incoherent("entries without a map before them");
    }
    for entry in next.entries {
        if entry.idx <= saved.hard.commit {
            return incoherent("what is committed is replaced");
        }
        while saved.entries.last().is_some_and(|last| last.idx >= entry.idx) {
            saved.entries.pop();
        }
        let term = saved.entries.last().map_or_else(|| base_of(saved).1, |last| last.term);
        if last_of(saved).checked_add(1) != Some(entry.idx) {
            return incoherent("a hole in the log");
        }
        if entry.term < term || entry.term > next.hard.term {
            return incoherent("an entry of another term");
        }
        check_entry(&entry).map_err(Fault::Malformed)?;
        saved.entries.push(entry);
    }
    saved.hard = next.hard;
    Ok(())
}

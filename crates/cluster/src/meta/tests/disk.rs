//! Files: what a crash leaves is used, what only damage leaves is refused.

use super::world::{CLUSTER, command, file_of, founded_map, header};
use crate::codec::Encode;
use crate::map::ClusterId;
use crate::meta::disk::{
    DiskError, Expected, Fault, Hard, Header, MAGIC, MARK, Recovered, Saved, append, file, recover,
};
use crate::meta::entry::{LogEntry, Payload, SavedMap};
use crate::meta::membership::{Membership, RaftId};
use crate::meta::output::{MetaOut, Persist};
use crate::meta::{Durability, MetaLog};

const ANY: Expected = Expected { raft_id: None, cluster: None };

fn saved_map() -> SavedMap {
    let map = founded_map().to_bytes().into();
    SavedMap { idx: 1, term: 1, membership: Membership::of_one(RaftId(1)), map }
}

fn entry(idx: u64, term: u64) -> LogEntry {
    let bytes = vec![command(idx)].to_bytes().into();
    LogEntry { idx, term, payload: Payload::Commands { bytes } }
}

fn hard(term: u64, commit: u64) -> Hard {
    Hard { term, vote: RaftId(1), commit }
}

fn first() -> Saved {
    Saved { map: Some(saved_map()), entries: vec![entry(2, 2)], hard: hard(2, 1) }
}

fn more(entries: &[(u64, u64)], hard: Hard) -> Saved {
    let entries = entries.iter().map(|&(idx, term)| entry(idx, term)).collect();
    Saved { map: None, entries, hard }
}

/// A file of these records, and where each ends.
fn with(records: &[Saved]) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = file_of(&first());
    let mut ends = vec![bytes.len()];
    for record in records {
        append(record, &mut bytes);
        ends.push(bytes.len());
    }
    (bytes, ends)
}

fn fault(bytes: &[u8]) -> Fault {
    recover(bytes, ANY).expect_err("it is refused").fault
}

#[test]
fn file_says_what_was_written() {
    let records = [more(&[(3, 2), (4, 2)], hard(2, 2)), more(&[(4, 3), (5, 3)], hard(3, 3))];
    let (bytes, _) = with(&records);
    let recovered = recover(&bytes, ANY).expect("a good file");
    let entries = vec![entry(2, 2), entry(3, 2), entry(4, 3), entry(5, 3)];
    let saved = Saved { map: Some(saved_map()), entries, hard: hard(3, 3) };
    let map = Some(std::sync::Arc::new(founded_map()));
    let expected = Recovered { header: header(RaftId(1)), saved, map, len: bytes.len() };
    assert_eq!(recovered, expected);
    assert_eq!(
        recover(&file(&expected.header, &expected.saved), ANY).map(|again| again.saved),
        Ok(expected.saved)
    );
}

#[test]
fn torn_tail_is_cut_wherever_it_is_torn() {
    let (bytes, ends) = with(&[more(&[(3, 2)], hard(2, 2)), more(&[(4, 2), (5, 2)], hard(2, 3))]);
    for end in ends[0]..bytes.len() {
        let recovered = recover(&bytes[..end], ANY).expect("a torn tail is cut");
        let whole = ends.iter().filter(|&&at| at <= end).max().expect("one record is whole");
        assert_eq!(recovered.len, *whole);
    }
    // Blocks that never reached the disk read as zeros.
    let mut zeros = bytes;
    zeros[ends[1] + 5..].fill(0);
    assert_eq!(recover(&zeros, ANY).map(|recovered| recovered.len), Ok(ends[1]));
}

#[test]
fn damage_before_valid_records_is_refused() {
    let (bytes, ends) = with(&[more(&[(3, 2)], hard(2, 2)), more(&[(4, 2)], hard(2, 3))]);
    for at in ends[0]..ends[1] {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            let error = recover(&damaged, ANY).expect_err("it is refused");
            assert_eq!(error, DiskError { offset: ends[0], fault: Fault::Damaged });
        }
    }
}

#[test]
fn every_flipped_bit_of_the_head_is_refused() {
    let (bytes, ends) = with(&[]);
    let head = file(&header(RaftId(1)), &first()).len() - (ends[0] - MAGIC.len() - 2);
    assert_eq!(head, MAGIC.len() + 2);
    for at in 0..ends[0] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert!(recover(&damaged, ANY).is_err(), "byte {at}");
    }
}

#[test]
fn cut_below_the_commit_is_refused() {
    // The last record's entries are lost with it, though an earlier one says that they are committed: not by a crash.
    let records = [more(&[(3, 2)], hard(2, 3)), more(&[], hard(2, 4))];
    assert_eq!(fault(&with(&records).0), Fault::CommitLost { last: 3, commit: 4 });
    let message = recover(&with(&records).0, ANY).expect_err("it is refused").to_string();
    assert!(message.contains("--rejoin-empty") && message.contains("at byte"), "{message}");
}

#[test]
fn other_files_are_refused_by_name() {
    let (bytes, _) = with(&[]);
    let expected = Expected { raft_id: Some(RaftId(2)), cluster: None };
    let found = recover(&bytes, expected).map_err(|error| error.fault);
    assert_eq!(found, Err(Fault::RaftId { found: RaftId(1) }));
    let expected = Expected { raft_id: Some(RaftId(1)), cluster: Some(ClusterId(2)) };
    let found = recover(&bytes, expected).map_err(|error| error.fault);
    assert_eq!(found, Err(Fault::Cluster { found: CLUSTER }));
    let mut newer = bytes.clone();
    newer[MAGIC.len()] = 2;
    assert_eq!(fault(&newer), Fault::Version { found: 2 });
    for bytes in [&b""[..], b"hello", &bytes[..12], &bytes[..MAGIC.len() + 2]] {
        assert_eq!(fault(bytes), Fault::NotALog);
    }
    let other = Header { cluster: ClusterId(3), ..header(RaftId(1)) };
    assert_eq!(fault(&file(&other, &first())), Fault::Cluster { found: CLUSTER });
    let nobody = Header { raft_id: RaftId(0), ..header(RaftId(1)) };
    assert_eq!(fault(&file(&nobody, &first())), Fault::Incoherent { what: "0 is no voter" });
}

#[test]
fn records_that_do_not_fit_are_refused() {
    let cases = [
        (first(), "a map in the middle"),
        (more(&[(4, 2)], hard(2, 1)), "a hole in the log"),
        (more(&[(3, 1)], hard(2, 1)), "an entry of another term"),
        (more(&[(3, 3)], hard(2, 1)), "an entry of another term"),
        (more(&[(1, 2)], hard(2, 1)), "what is committed is replaced"),
        (more(&[], hard(u64::MAX, 1)), "a term that no election reaches"),
        (more(&[], hard(1, 1)), "a promise is taken back"),
        (more(&[], hard(2, 0)), "a promise is taken back"),
        (more(&[], Hard { vote: RaftId(2), ..hard(2, 1) }), "a promise is taken back"),
    ];
    for (record, what) in cases {
        assert_eq!(fault(&with(&[record]).0), Fault::Incoherent { what });
    }
    let bad = |change: fn(&mut Saved)| {
        let mut saved = first();
        change(&mut saved);
        fault(&file_of(&saved))
    };
    let what = "entries without a map before them";
    assert_eq!(bad(|saved| saved.map = None), Fault::Incoherent { what });
    let what = "no map at the beginning";
    let no_map = |saved: &mut Saved| saved.map = Some(SavedMap { idx: 2, ..saved_map() });
    assert_eq!(bad(no_map), Fault::Incoherent { what });
    let what = "members that cannot be";
    let no_members = |saved: &mut Saved| {
        saved.map = Some(SavedMap { membership: Membership::default(), ..saved_map() });
    };
    assert_eq!(bad(no_members), Fault::Incoherent { what });
    let what = "a map of what is not committed";
    assert_eq!(bad(|saved| saved.hard.commit = 0), Fault::Incoherent { what });
    let garbage = |saved: &mut Saved| {
        saved.entries[0].payload = Payload::Commands { bytes: vec![9, 9].into() };
    };
    assert!(matches!(bad(garbage), Fault::Malformed(_)));
}

#[test]
fn promise_without_a_log_is_kept() {
    let saved = Saved { hard: Hard { term: 7, vote: RaftId(3), commit: 0 }, ..Saved::default() };
    let recovered = recover(&file_of(&saved), ANY).expect("a joiner's file");
    let log = MetaLog::recover(1, &recovered);
    assert_eq!((log.term(), log.map().idx.0), (7, 0));
    log.check_invariants();
}

#[test]
fn marks_inside_entries_are_no_records() {
    let name = format!("{}{}", "x", String::from_utf8_lossy(&MARK[1..]));
    assert!(name.len() > 3);
    let mut payload = MARK.to_vec();
    payload.extend_from_slice(&[0; 40]);
    let (mut bytes, ends) = with(&[]);
    bytes.extend_from_slice(&payload);
    assert_eq!(recover(&bytes, ANY).map(|recovered| recovered.len), Ok(ends[0]));
}

#[test]
fn file_stays_bounded_under_many_entries() {
    let mut log = MetaLog::found(RaftId(1), 1, Durability::Disk, founded_map());
    let (mut out, mut bytes) = (MetaOut::default(), Vec::new());
    let (mut len_max, mut replaced) = (0, 0);
    log.ready(&mut out);
    // A name that is too long changes nothing, but it is in the log.
    let record = crate::map::NamespaceRecord {
        name: "x".repeat(100_000).into(),
        ack: crate::map::AckMode::Strict,
        default_ttl_ms: None,
        quota: None,
        is_evicted: true,
    };
    let command = crate::command::Command::PutNamespace { record };
    for _ in 0..400 {
        while let Some(persist) = out.persist.take() {
            match persist {
                Persist::Append(saved) => append(&saved, &mut bytes),
                Persist::Replace(saved) => {
                    bytes = file(&header(RaftId(1)), &saved);
                    replaced += 1;
                }
            }
            len_max = len_max.max(bytes.len());
            log.persisted(&mut out);
        }
        out = MetaOut::default();
        log.propose(std::slice::from_ref(&command), &mut out).expect("it leads");
    }
    assert!(replaced > 3, "{replaced}");
    assert!(len_max < 10 << 20, "{len_max}");
    log.persisted(&mut MetaOut::default());
    log.check_invariants();
}

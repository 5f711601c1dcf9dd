//! `POST …:fill-lease`: a value, or the right to make it.

use ringhold_store::entry::Lookup;
use ringhold_types::time::Now;
use ringhold_wire::http::decode::Request;

use super::answer::Answer;
use crate::cells::{Access, Cells};
use crate::leases::Claim;
use crate::shard_cell::{Key, ShardCell};

/// 200 with a fresh value, or with a stale one that another is renewing; 201 to who fills; 202 to who waits.
pub(super) fn fill_lease<C: Cells>(
    request: &Request<'_>,
    key: Key<'_>,
    access: &mut Access<'_, C>,
    now: Now,
    answer: &mut Answer<'_>,
) {
    if access.read(key.at.slot, |cell| answer_with(cell, key, now, answer, false)) {
        return;
    }
    access.write(key.at.slot, |cell, _| {
        // Another may have filled it since the read.
        if answer_with(cell, key, now, answer, false) {
            return;
        }
        match cell.claim_lease(key, now, request.fill_within, request.ttl) {
            Claim::Granted(number) => {
                answer.is_hit = Some(false);
                let is_stale = matches!(cell.peek(key, now), Lookup::Hit(_));
                let status = if is_stale { "ringhold; fwd=stale" } else { "ringhold; fwd=miss" };
                let mut head = answer.head(201);
                head.number("ringhold-fill-lease", number);
                head.field("cache-status", status.as_bytes()).number("content-length", 0).end();
            }
            Claim::Held(_) if answer_with(cell, key, now, answer, true) => {}
            Claim::Held(_) => {
                answer.is_hit = Some(false);
                let mut head = answer.head(202);
                head.field("retry-after", b"1");
                head.field("cache-status", b"ringhold; fwd=miss; collapsed");
                head.number("content-length", 0).end();
            }
            Claim::NoRoom => answer.simple_problem(
                503,
                "too-many-leases",
                "there is no room for one fill lease more, try again",
            ),
        }
    });
}

/// Answers with the value if there is one that is fresh, or stale where that is good enough; whether there was.
fn answer_with(
    cell: &ShardCell,
    key: Key<'_>,
    now: Now,
    answer: &mut Answer<'_>,
    may_be_stale: bool,
) -> bool {
    let Lookup::Hit(entry) = cell.lookup(key, now) else { return false };
    if !may_be_stale && entry.deadlines().is_stale(now.unix()) {
        return false;
    }
    answer.is_hit = Some(true);
    answer.value(&entry, now);
    true
}

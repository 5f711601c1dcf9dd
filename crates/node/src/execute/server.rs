//! Commands about the server that need no more than a line.
#![expect(clippy::unnecessary_wraps, reason = "all commands have one signature")]

use std::sync::atomic::Ordering;

use ringhold_types::time::Duration;

use super::{Call, Done, Failure};
use crate::cells::Cells;
use crate::number;
use crate::session::resp::Wait;

/// `TIME`: seconds since 1970, and microseconds of the present one.
pub(super) fn time<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let micros = call.now.unix_micros;
    let mut reply = call.reply();
    reply.array(2);
    reply.bulk((micros / 1_000_000).to_string().as_bytes());
    reply.bulk((micros % 1_000_000).to_string().as_bytes());
    Ok(())
}

/// `ROLE`: any node takes writes of any key, so each is a primary to its clients.
pub(super) fn role<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let mut reply = call.reply();
    reply.array(3);
    reply.bulk(b"master");
    reply.integer(0);
    reply.array(0);
    Ok(())
}

/// `WAIT replicas timeout`: a node alone has no other that could have the connection's writes, so who asks for one waits for
/// as long as it said, for ever with 0. Not in a transaction, whose shards are held.
pub(super) fn wait<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    let replicas = call.integer(1)?;
    let millis = number::parse_i64(call.args.get(2)).ok_or(Failure::BAD_TIMEOUT)?;
    let millis = u64::try_from(millis).map_err(|_| Failure::NEGATIVE_TIMEOUT)?;
    let may_wait =
        !call.access.is_holding() && !call.node.process.is_draining.load(Ordering::Relaxed);
    if replicas <= 0 || !may_wait {
        call.reply().integer(0);
        return Ok(());
    }
    let until = (millis > 0).then(|| call.now.instant.after(Duration::from_millis(millis)));
    call.session.begin_wait(Wait { until, is_answered: true });
    Ok(())
}

//! Commands about the server that need no more than a line.
#![expect(clippy::unnecessary_wraps, reason = "all commands have one signature")]

use super::{Call, Done, Failure};
use crate::cells::Cells;
use crate::number;

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

/// `WAIT replicas timeout`: a write is answered only when every node that must have it has it; a node alone has no
/// other, so the answer is 0 at once.
pub(super) fn wait<C: Cells>(call: &mut Call<'_, '_, C>) -> Done {
    call.integer(1)?;
    if number::parse_i64(call.args.get(2)).ok_or(Failure::BAD_TIMEOUT)? < 0 {
        return Err(Failure::NEGATIVE_TIMEOUT);
    }
    call.reply().integer(0);
    Ok(())
}

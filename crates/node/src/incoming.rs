//! Large values on their way from a client into the store's pages.
//!
//! A value of [`STREAMED_LEN_MIN`] bytes and more that is not all there when a turn ends is given its pages at once
//! ([`ShardCell::begin_large`](crate::shard_cell::ShardCell::begin_large)), and the connection is read straight into
//! them from then on: the value is never gathered in a buffer, and it is charged to the store while it comes in. Of its
//! request the connection keeps the part before the value, with a value of no bytes in its place, so that it can be
//! decoded like any other once the rest has arrived. When there is no room for the value, its bytes are dropped as they
//! come and the request is answered with the reason. A command with several values receives them one after another; one
//! that finds no room while others are under way is gathered like a short one, since its own may be what it would wait for.
//!
//! The body of a request that a worker does not read itself is received by [`Body`], whether its length is known or not.

use ringhold_store::entry::UpdateError;
use ringhold_store::hash::KeyHash;
use ringhold_store::large::LargeWriter;
use ringhold_types::id::NamespaceId;
use ringhold_types::time::Now;
use ringhold_wire::resp::table::CommandId;

use crate::args::LargeArg;
use crate::cells::{Cells, with_room};
use crate::shard_cell::Key;

/// The shortest value that is received into pages, in bytes.
pub const STREAMED_LEN_MIN: usize = 64 * 1024;

/// The longest part of a request before a value that is received into pages, in bytes. It is copied once per value: a client
/// may not have much copied by sending little.
pub(crate) const BEFORE_LEN_MAX: usize = 256 * 1024;

/// A value that is being received, and those of the same command before it.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// The values before it, which are whole.
    before: Vec<LargeArg>,
    /// Which argument of its command it is; 0 for the body of an HTTP request.
    arg: usize,
    /// Its pages, or why there are none.
    pages: Result<LargeWriter, UpdateError>,
    /// Its length, in bytes.
    len: usize,
    /// The bytes that have not arrived.
    remaining: usize,
}

impl Incoming {
    /// Makes room for a value of `len` bytes of `key`.
    pub(crate) fn begin<C: Cells>(
        cells: &C,
        key: Key<'_>,
        arg: usize,
        len: usize,
        now: Now,
    ) -> Self {
        let mut cell = cells.write(cells.shard_of(key.at.slot));
        let pages =
            with_room(cells, &mut cell, now, |cell| cell.begin_large(key.namespace, len, now));
        Self { before: Vec::new(), arg, pages, len, remaining: len }
    }

    /// Whether it could be received once others are.
    pub(crate) fn is_crowded_out(&self) -> bool {
        matches!(self.pages, Err(UpdateError::Full { retry: true }))
    }

    /// The same value, behind those that have come of its command.
    pub(crate) fn after(self, before: Self) -> Self {
        Self { before: before.into_args(), ..self }
    }

    /// A value of `len` bytes that is dropped as it comes: its sender may not write.
    pub(crate) fn dropped(arg: usize, len: usize) -> Self {
        let pages = Err(UpdateError::Full { retry: false });
        Self { before: Vec::new(), arg, pages, len, remaining: len }
    }

    /// The bytes that have arrived.
    pub(crate) fn received_len(&self) -> usize {
        let len_of = |arg: &LargeArg| arg.writer.as_ref().map_or(0, LargeWriter::len);
        self.before.iter().map(len_of).sum::<usize>() + self.len - self.remaining
    }

    /// Whether all of it has arrived.
    pub(crate) fn is_whole(&self) -> bool {
        self.remaining == 0
    }

    /// Where its next bytes belong; `None` when they are dropped, or all are there.
    pub(crate) fn spare(&mut self) -> Option<&mut [u8]> {
        let remaining = self.remaining;
        let spare = self.pages.as_mut().ok().filter(|_| remaining > 0)?.spare();
        let len = spare.len().min(remaining);
        Some(&mut spare[..len])
    }

    /// Notes that `len` bytes were put where [`Incoming::spare`] said.
    pub(crate) fn advance(&mut self, len: usize) {
        if let Ok(pages) = &mut self.pages {
            pages.advance(len);
            self.remaining -= len;
        }
    }

    /// Takes what belongs to it from the front of `bytes`; how many that were.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> usize {
        let len = self.remaining.min(bytes.len());
        if let Ok(pages) = &mut self.pages {
            pages.write(&bytes[..len]);
        }
        self.remaining -= len;
        len
    }

    /// The values as arguments, in their order.
    pub(crate) fn into_args(self) -> Vec<LargeArg> {
        let mut args = self.before;
        args.push(match self.pages {
            Ok(pages) => LargeArg { idx: self.arg, writer: Some(pages), refusal: None },
            Err(error) => LargeArg { idx: self.arg, writer: None, refusal: Some(error) },
        });
        args
    }
}

/// Which argument is the key of argument `arg`, if that is a value which the command can take in pages.
pub(crate) const fn key_of_value(id: CommandId, arg: usize) -> Option<usize> {
    match (id, arg) {
        (CommandId::Set | CommandId::SetNx | CommandId::GetSet, 2)
        | (CommandId::SetEx | CommandId::PSetEx, 3) => Some(1),
        (CommandId::MSet | CommandId::MSetNx, 2..) if arg.is_multiple_of(2) => Some(arg - 1),
        _ => None,
    }
}

/// Whether a command may bring several values that are received into pages.
pub(crate) const fn has_many_values(id: CommandId) -> bool {
    matches!(id, CommandId::MSet | CommandId::MSetNx)
}

/// The body of a `PUT` that comes by another way than a worker's, on its way into the store's pages.
///
/// Memory is charged to the store page by page as bytes come, or at once when the length is known; dropping it gives all
/// back. What finds no room is dropped, and [`Session::http_with`](crate::session::Session::http_with) answers with the
/// reason.
#[derive(Debug)]
pub struct Body {
    namespace: NamespaceId,
    at: KeyHash,
    pages: Result<LargeWriter, UpdateError>,
    filled: usize,
}

impl Body {
    /// The body of a request on `key`; `len`: its length in bytes, if that is known.
    pub fn begin<C: Cells>(cells: &C, key: Key<'_>, len: Option<usize>, now: Now) -> Self {
        let Key { namespace, at, .. } = key;
        let mut cell = cells.write(cells.shard_of(at.slot));
        let pages = with_room(cells, &mut cell, now, |cell| {
            cell.begin_large(namespace, len.unwrap_or(0), now)
        });
        Self { namespace, at, pages, filled: 0 }
    }

    /// Takes the next bytes. False when there is no room for them: the request can be answered, whatever else comes.
    #[must_use]
    pub fn write<C: Cells>(&mut self, cells: &C, bytes: &[u8], now: Now) -> bool {
        let len = self.filled.saturating_add(bytes.len());
        let Ok(pages) = &mut self.pages else { return false };
        if len > pages.len() {
            let mut cell = cells.write(cells.shard_of(self.at.slot));
            let grown = with_room(cells, &mut cell, now, |cell| {
                cell.grow_large(self.namespace, pages, len, now)
            });
            if let Err(error) = grown {
                self.pages = Err(error);
                return false;
            }
        }
        pages.write(bytes);
        self.filled = len;
        true
    }

    /// The bytes that it took.
    #[must_use]
    pub fn len(&self) -> usize {
        self.filled
    }

    /// Whether it took none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// The body as a value that has come.
    pub(crate) fn into_incoming(mut self) -> Incoming {
        if let Ok(pages) = &mut self.pages {
            pages.truncate();
        }
        Incoming { before: Vec::new(), arg: 0, pages: self.pages, len: self.filled, remaining: 0 }
    }
}

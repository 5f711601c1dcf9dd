//! A large value on its way from a client into the store's pages.
//!
//! A value of [`STREAMED_LEN_MIN`] bytes and more that is not all there when a turn ends is given its pages at once
//! ([`ShardCell::begin_large`](crate::shard_cell::ShardCell::begin_large)), and the connection is read straight into
//! them from then on: the value is never gathered in a buffer, and it is charged to the store while it comes in. Of its
//! request the connection keeps the part before the value, with a value of no bytes in its place, so that it can be
//! decoded like any other once the rest has arrived. When there is no room for the value, its bytes are dropped as they
//! come and the request is answered with the reason.

use ringhold_store::entry::UpdateError;
use ringhold_store::large::LargeWriter;
use ringhold_types::time::Now;
use ringhold_wire::resp::table::CommandId;

use crate::args::LargeArg;
use crate::cells::{Cells, with_room};
use crate::shard_cell::Key;

/// The shortest value that is received into pages, in bytes.
pub(crate) const STREAMED_LEN_MIN: usize = 64 * 1024;

/// A value that is being received.
#[derive(Debug)]
pub(crate) struct Incoming {
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
        Self { arg, pages, len, remaining: len }
    }

    /// A value of `len` bytes that is dropped as it comes: its sender may not write.
    pub(crate) fn dropped(arg: usize, len: usize) -> Self {
        Self { arg, pages: Err(UpdateError::Full { retry: false }), len, remaining: len }
    }

    /// The bytes that have arrived.
    pub(crate) fn received_len(&self) -> usize {
        self.len - self.remaining
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

    /// The value as an argument.
    pub(crate) fn into_arg(self) -> LargeArg {
        match self.pages {
            Ok(pages) => LargeArg { idx: self.arg, writer: Some(pages), refusal: None },
            Err(error) => LargeArg { idx: self.arg, writer: None, refusal: Some(error) },
        }
    }
}

/// Whether argument `arg` of a command is a value that the command can take in pages.
pub(crate) const fn takes_pages(id: CommandId, arg: usize) -> bool {
    matches!(
        (id, arg),
        (CommandId::Set | CommandId::SetNx | CommandId::GetSet, 2)
            | (CommandId::SetEx | CommandId::PSetEx, 3)
    )
}

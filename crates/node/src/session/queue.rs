//! The commands that wait for `EXEC`.

use std::ops::Range;

use ringhold_wire::resp::table::CommandId;

use crate::args::Args;

/// The most bytes that the commands of one transaction may have, arguments and their bookkeeping.
pub(crate) const QUEUE_LEN_MAX: usize = 64 * 1024 * 1024;

/// What the bookkeeping of an argument takes beside its bytes, and of a command beside its arguments, with what vectors
/// have to spare.
const ARG_LEN: usize = 32;
const COMMAND_LEN: usize = 48;

/// The commands of an open transaction.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    bytes: Vec<u8>,
    /// The arguments of all commands, as ranges of `bytes`.
    args: Vec<Range<usize>>,
    /// Each command and its arguments, as a range of `args`.
    commands: Vec<(CommandId, Range<usize>)>,
    /// Whether a command could not be queued: `EXEC` will refuse.
    pub(crate) is_broken: bool,
}

impl Queue {
    /// Adds a command; false when the transaction would be too long.
    #[must_use]
    pub(crate) fn push(&mut self, id: CommandId, args: Args<'_>) -> bool {
        let more: usize = (0..args.len()).map(|idx| args.get(idx).len() + ARG_LEN).sum();
        if self.held_len() + more + COMMAND_LEN > QUEUE_LEN_MAX {
            return false;
        }
        let first = self.args.len();
        for idx in 0..args.len() {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(args.get(idx));
            self.args.push(start..self.bytes.len());
        }
        self.commands.push((id, first..self.args.len()));
        true
    }

    /// The bytes that it takes.
    pub(crate) fn held_len(&self) -> usize {
        self.bytes.len() + ARG_LEN * self.args.len() + COMMAND_LEN * self.commands.len()
    }

    /// How many commands wait.
    pub(crate) fn len(&self) -> usize {
        self.commands.len()
    }

    /// The commands in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (CommandId, Args<'_>)> {
        self.commands.iter().map(|(id, range)| {
            (*id, Args { input: &self.bytes, ranges: &self.args[range.clone()] })
        })
    }
}

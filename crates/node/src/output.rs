//! What is to be sent: bytes, and large values by reference in between.

use std::sync::Arc;

use ringhold_store::large::Large;

/// The memory that an empty output keeps, in bytes.
const KEPT_LEN_MAX: usize = 4 * 1024 * 1024;

/// Answers of one turn, in order. Large values are not copied: an [`Insert`] says where one belongs.
#[derive(Debug, Default)]
pub struct Output {
    /// Everything but the large values.
    pub bytes: Vec<u8>,
    /// The large values, in ascending order of their places.
    pub inserts: Vec<Insert>,
}

/// A large value that belongs between two bytes of an [`Output`].
#[derive(Clone, Debug)]
pub struct Insert {
    /// It follows this many bytes of [`Output::bytes`].
    pub at: usize,
    /// The value; its pages stay charged to the store until the last reader lets go.
    pub value: Arc<Large>,
    /// Where in the value the part to be sent begins, in bytes.
    pub start: usize,
    /// How many bytes of it are sent.
    pub len: usize,
}

impl Output {
    /// Forgets everything and keeps the memory, up to a usual turn's.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_LEN_MAX);
        self.inserts.clear();
    }

    /// Adds `len` bytes of a large value from `start` on, to be sent after what stands here now.
    pub fn insert(&mut self, value: &Arc<Large>, start: usize, len: usize) {
        self.inserts.push(Insert { at: self.bytes.len(), value: Arc::clone(value), start, len });
    }

    /// Takes back all that was added after the output had `bytes_len` bytes and `inserts_len` inserts.
    pub fn truncate(&mut self, bytes_len: usize, inserts_len: usize) {
        self.bytes.truncate(bytes_len);
        self.inserts.truncate(inserts_len);
    }
}

//! The connections of a worker by their number; a number is used again after its connection is gone.

use ringhold_node::session::Session;
use ringhold_node::turn::Sessions;

use super::connection::Connection;

/// The connections of a worker.
#[derive(Default)]
pub(super) struct Connections {
    slab: Vec<Option<Box<Connection>>>,
    free: Vec<usize>,
}

impl Sessions for Connections {
    #[inline]
    fn session(&mut self, idx: usize) -> Option<&mut Session> {
        self.slab.get_mut(idx)?.as_mut().map(|connection| &mut connection.session)
    }
}

impl Connections {
    #[inline]
    pub(super) fn get(&mut self, idx: usize) -> Option<&mut Connection> {
        self.slab.get_mut(idx)?.as_deref_mut()
    }

    pub(super) fn insert(&mut self, connection: Connection) -> usize {
        match self.free.pop() {
            Some(idx) => {
                self.slab[idx] = Some(Box::new(connection));
                idx
            }
            None => {
                self.slab.push(Some(Box::new(connection)));
                self.slab.len() - 1
            }
        }
    }

    pub(super) fn remove(&mut self, idx: usize) -> Option<Box<Connection>> {
        let gone = self.slab.get_mut(idx)?.take()?;
        self.free.push(idx);
        Some(gone)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.slab.len() - self.free.len()
    }

    /// No connection has this number or a greater one.
    pub(super) fn end(&self) -> usize {
        self.slab.len()
    }
}

//! The event queue: what happens next, by (time, sequence).
//!
//! The heap holds keys of 24 bytes only; the events wait in a slab beside it and are moved once in and once out.
//! Two events of one moment happen in the order in which they were put in, so a run is repeatable.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::Moment;

/// Events in the order of their time; those of one moment in the order of [`Queue::push`].
#[derive(Debug)]
pub struct Queue<E> {
    heap: BinaryHeap<Reverse<(Moment, u64, usize)>>,
    slab: Vec<Option<E>>,
    free: Vec<usize>,
    pushed: u64,
}

impl<E> Queue<E> {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self { heap: BinaryHeap::new(), slab: Vec::new(), free: Vec::new(), pushed: 0 }
    }

    /// Puts in an event that happens at `at`. O(log n).
    pub fn push(&mut self, at: Moment, event: E) {
        let place = self.free.pop().unwrap_or(self.slab.len());
        if place == self.slab.len() {
            self.slab.push(Some(event));
        } else {
            self.slab[place] = Some(event);
        }
        self.heap.push(Reverse((at, self.pushed, place)));
        self.pushed += 1;
    }

    /// Takes out the next event, if it happens before or at `end`. O(log n).
    pub fn pop_until(&mut self, end: Moment) -> Option<(Moment, E)> {
        let &Reverse((at, _, place)) = self.heap.peek()?;
        if at > end {
            return None;
        }
        self.heap.pop();
        self.free.push(place);
        let event = self.slab[place].take().expect("a key of the heap has its event");
        Some((at, event))
    }

    /// Events that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self::new()
    }
}

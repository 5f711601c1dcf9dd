//! Operations that take longer than a request should: each has a number under which its progress is read.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use ringhold_types::id::NamespaceId;
use ringhold_types::slot::SLOTS;
use ringhold_types::time::Now;
use serde_json::{Value, json};

use super::json::bytes_json;

/// How many operations are remembered.
const KEPT: usize = 100;
/// How many may go on at a time.
const RUNNING_MAX: usize = 16;

const RUNNING: u8 = 0;
const DONE: u8 = 1;
const CANCELLED: u8 = 2;

/// The deletion of the keys of a namespace, or of those with a prefix.
#[derive(Debug)]
pub(super) struct Operation {
    id: u64,
    pub(super) namespace: NamespaceId,
    namespace_name: String,
    pub(super) prefix: Vec<u8>,
    started: Now,
    pub(super) slots_done: AtomicU16,
    pub(super) deleted: AtomicU64,
    state: AtomicU8,
    ended_ms: AtomicU64,
    is_cancelled: AtomicBool,
}

impl Operation {
    /// Where it is read.
    pub(super) fn location(&self) -> String {
        format!("/v1/cluster/operations/{}", self.id)
    }

    /// Whether somebody wants it to end.
    pub(super) fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Relaxed)
    }

    /// Notes its end.
    pub(super) fn end(&self, now: Now) {
        let is_over = self.slots_done.load(Relaxed) >= SLOTS;
        self.ended_ms.store(now.unix().as_millis(), Relaxed);
        self.state.store(if is_over { DONE } else { CANCELLED }, Relaxed);
    }

    fn is_running(&self) -> bool {
        self.state.load(Relaxed) == RUNNING
    }

    /// Its progress.
    pub(super) fn json(&self, now: Now) -> Value {
        let started_ms = self.started.unix().as_millis();
        let (state, until_ms) = match self.state.load(Relaxed) {
            RUNNING => ("running", now.unix().as_millis()),
            DONE => ("done", self.ended_ms.load(Relaxed)),
            _ => ("cancelled", self.ended_ms.load(Relaxed)),
        };
        let elapsed_ms = until_ms.saturating_sub(started_ms);
        let (done, total) = (u64::from(self.slots_done.load(Relaxed)), u64::from(SLOTS));
        let remaining_ms = (done > 0).then(|| elapsed_ms * (total - done) / done);
        json!({
            "id": self.id.to_string(),
            "kind": "clear",
            "namespace": self.namespace_name,
            "prefix": bytes_json("value", &self.prefix),
            "state": state,
            "slots_done": done,
            "slots_total": total,
            "deleted": self.deleted.load(Relaxed),
            "started_ms": started_ms,
            "elapsed_ms": elapsed_ms,
            "remaining_ms": if state == "running" { remaining_ms } else { None },
        })
    }
}

/// The operations of a node.
#[derive(Debug, Default)]
pub(super) struct Operations {
    rows: Mutex<VecDeque<Arc<Operation>>>,
    last: AtomicU64,
}

impl Operations {
    /// Begins a deletion; `None` when too many go on.
    pub(super) fn begin(
        &self,
        namespace: (NamespaceId, String),
        prefix: Vec<u8>,
        now: Now,
    ) -> Option<Arc<Operation>> {
        let mut rows = self.rows.lock();
        if rows.iter().filter(|row| row.is_running()).count() >= RUNNING_MAX {
            return None;
        }
        if rows.len() >= KEPT
            && let Some(at) = rows.iter().position(|row| !row.is_running())
        {
            rows.remove(at);
        }
        let operation = Arc::new(Operation {
            id: self.last.fetch_add(1, Relaxed) + 1,
            namespace: namespace.0,
            namespace_name: namespace.1,
            prefix,
            started: now,
            slots_done: AtomicU16::new(0),
            deleted: AtomicU64::new(0),
            state: AtomicU8::new(RUNNING),
            ended_ms: AtomicU64::new(0),
            is_cancelled: AtomicBool::new(false),
        });
        rows.push_back(Arc::clone(&operation));
        Some(operation)
    }

    /// All that are remembered, the newest last.
    pub(super) fn json(&self, now: Now) -> Value {
        let rows: Vec<Value> = self.rows.lock().iter().map(|row| row.json(now)).collect();
        json!({ "operations": rows })
    }

    /// The operation of this number.
    pub(super) fn get(&self, id: &str) -> Option<Arc<Operation>> {
        let id: u64 = id.parse().ok()?;
        self.rows.lock().iter().find(|row| row.id == id).cloned()
    }

    /// Has an operation end at its next step; false when it has ended already.
    pub(super) fn cancel(operation: &Operation) -> bool {
        operation.is_cancelled.store(true, Relaxed);
        operation.is_running()
    }
}

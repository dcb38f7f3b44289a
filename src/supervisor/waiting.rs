//! Waiting for one worker of which nobody holds the handle, by its number.

use std::sync::Arc;
use std::time::Duration;

use super::current;
use super::kind::WorkerId;
use super::registry::{Core, Entry};
use super::waits::waiting_for_worker;
use super::worker::Worker;
use super::Supervisor;
use crate::sync::Instant;

impl Supervisor {
    /// Whether this is `other`, or nested in it, at whatever depth.
    ///
    /// ```
    /// use sundown::Supervisor;
    ///
    /// let outer = Supervisor::new();
    /// let inner = outer.child("inner");
    /// assert!(inner.is_within(&outer) && outer.is_within(&outer));
    /// assert!(!outer.is_within(&inner));
    /// ```
    pub fn is_within(&self, other: &Supervisor) -> bool {
        self.core.is_within(&other.core)
    }

    /// Blocks until the worker with this number, registered here or in a nested supervisor, is gone; at most for `timeout`. True
    /// if there is no such worker (any more). It is neither told to stop nor taken from whoever holds its handle.
    ///
    /// For what [`workers`](Supervisor::workers) lists. A worker that waits for itself gets false at once.
    pub fn wait_for_worker(&self, id: WorkerId, timeout: Duration) -> bool {
        if current::worker().is_some_and(|(_, worker)| worker.id == id) {
            return false;
        }
        match find(&self.core, id) {
            // A limit that does not fit into an Instant is none.
            Some(worker) => {
                let _waiting = waiting_for_worker(id);
                worker.join_until(Instant::now().checked_add(timeout))
            }
            None => true,
        }
    }
}

/// The worker, if it is not gone. One registry's lock at a time.
fn find(core: &Core, id: WorkerId) -> Option<Arc<Worker>> {
    let mut cores: Vec<Arc<Core>> = Vec::new();
    let look = |core: &Core, cores: &mut Vec<Arc<Core>>| {
        if !core.is_ours() {
            return None;
        }
        let registry = core.registry.lock();
        let told = registry.told.iter().map(|told| &told.entry);
        let left = registry.left_behind.values();
        for entry in left.chain(told).chain(registry.untold.values()) {
            match entry {
                Entry::Worker(worker) if worker.id == id => return Some(Arc::clone(worker)),
                Entry::Child(child) => cores.extend(child.core.upgrade()),
                Entry::Worker(_) | Entry::Hook(_) => {}
            }
        }
        None
    };
    let mut found = look(core, &mut cores);
    while found.is_none() {
        let Some(core) = cores.pop() else { break };
        found = look(&core, &mut cores);
    }
    found
}

//! Who waits for whom: what a worker or a callback waits for is noted just before it blocks, and taken back when it goes on.
//!
//! So that a circle of waits can be named when a shutdown hangs in it. One list for the process, behind a leaf lock, which only
//! those who are about to block ever take: a wait that returns at once costs nothing.

use std::sync::Arc;

use parking_lot::Mutex;

use super::current;
use super::kind::WorkerId;
use super::registry::Core;

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Waiter {
    /// This worker's thread.
    Worker(WorkerId),
    /// The callback of this entry, on whichever thread it runs.
    Callback(WorkerId),
}

/// What is waited for.
#[derive(Clone)]
pub(crate) enum Target {
    /// The end of this worker, or of something that it does.
    Worker(WorkerId),
    /// Something that one of these workers does or will do; none if that is not known. Asked when somebody looks, with no lock held.
    AnyOf(Arc<dyn Fn() -> Vec<WorkerId> + Send + Sync>),
    /// The end of this supervisor's shutdown.
    Shutdown(Arc<Core>),
}

/// A wait that is noted as long as this is kept: its place among them.
#[derive(Debug)]
#[must_use = "the wait is noted as long as this is kept"]
pub(crate) struct Waiting(usize);

struct Waits {
    /// Places, of which those that are free are `None`: noting a wait allocates nothing most of the time.
    noted: Vec<Option<(Waiter, Target)>>,
    /// The free places.
    free: Vec<usize>,
}

static WAITS: Mutex<Waits> = parking_lot::const_mutex(Waits {
    noted: Vec::new(),
    free: Vec::new(),
});

/// Notes that this thread is about to wait for the end of this worker. `None` if it is nobody that we know.
pub(crate) fn waiting_for_worker(id: WorkerId) -> Option<Waiting> {
    note(|| Target::Worker(id))
}

/// Notes that this thread is about to wait for something that one of the workers which `whom` names does. `None` if it is nobody that
/// we know.
pub(crate) fn waiting_for_any(
    whom: impl Fn() -> Vec<WorkerId> + Send + Sync + 'static,
) -> Option<Waiting> {
    note(|| Target::AnyOf(Arc::new(whom)))
}

/// Notes that this thread is about to wait for the end of this shutdown.
pub(crate) fn waiting_for_shutdown(core: &Arc<Core>) -> Option<Waiting> {
    note(|| Target::Shutdown(Arc::clone(core)))
}

fn note(target: impl FnOnce() -> Target) -> Option<Waiting> {
    let waiter = current::waiter()?;
    let wait = Some((waiter, target()));
    let mut waits = WAITS.lock();
    let place = match waits.free.pop() {
        Some(place) => {
            waits.noted[place] = wait;
            place
        }
        None => {
            waits.noted.push(wait);
            waits.noted.len() - 1
        }
    };
    Some(Waiting(place))
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waits = WAITS.lock();
        let over = waits.noted[self.0].take();
        waits.free.push(self.0);
        drop(waits);
        drop(over); // with the lock free
    }
}

/// Every wait that is noted just now.
pub(crate) fn all() -> Vec<(Waiter, Target)> {
    WAITS.lock().noted.iter().flatten().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::Supervisor;

    #[test]
    fn a_wait_is_noted_as_long_as_it_lasts() {
        let supervisor = Supervisor::new();
        let worker = supervisor.spawn(|| {
            let me = current::waiter();
            let mine = || all().into_iter().filter(|wait| Some(wait.0) == me).count();
            let noted = waiting_for_any(Vec::new).expect("a worker is known");
            let while_it_waits = mine();
            drop(noted);
            (while_it_waits, mine())
        });
        assert_eq!(worker.join().unwrap(), (1, 0));
    }
}

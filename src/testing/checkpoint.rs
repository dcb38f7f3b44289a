//! Checkpoints: where a program says how far it is, and a rehearsal asks for the shutdown.
//!
//! A rehearsal is known by its supervisor: whoever passes a checkpoint belongs to the rehearsal in whose supervisor, or below
//! it, it is a worker. So several can be under way at once, and threads of nobody's disturb none.

use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::{Cause, Supervisor};

/// How many rehearsals are under way. Written with the lock of `UNDER_WAY` held.
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// The runs that are under way. A leaf lock: nothing is called with it held.
static UNDER_WAY: RwLock<Vec<Arc<Passing>>> = parking_lot::const_rwlock(Vec::new());

/// Says that the program has come to this point, where a shutdown may well come: before a file is renamed, after a connection is
/// accepted, between two steps that belong together. In a [rehearsal](super::rehearse) the shutdown is requested right here, on
/// this thread, in one of the runs; the program goes on, as it would when a signal comes just now.
///
/// Costs one atomic load and a branch when nothing is rehearsed, so it may stay in the program for good. A checkpoint is known by
/// its name, wherever it stands.
///
/// Only workers take part: what a thread of `std::thread` passes is not noticed.
///
/// ```
/// use sundown::testing::checkpoint;
///
/// fn save(text: &str) -> std::io::Result<()> {
/// #   let folder = std::env::temp_dir();
///     let (draft, file) = (folder.join("sundown-doc.new"), folder.join("sundown-doc.txt"));
///     std::fs::write(&draft, text)?;
///     checkpoint("draft written");
///     std::fs::rename(draft, file)
/// }
/// # save("all of it").unwrap();
/// ```
#[inline]
#[track_caller]
pub fn checkpoint(name: &'static str) {
    // Relaxed: a worker of a rehearsal has been started, by whatever detours, after the rehearsal had been counted, and what has
    // begun before need not see it.
    if COUNT.load(Ordering::Relaxed) != 0 {
        pass(name, Location::caller());
    }
}

#[cold]
fn pass(name: &'static str, location: &'static Location<'static>) {
    let current = Supervisor::current();
    let passing = {
        let under_way = UNDER_WAY.read();
        let ours = under_way
            .iter()
            .find(|passing| current.is_within(&passing.supervisor));
        ours.cloned()
    };
    if let Some(passing) = passing {
        passing.pass(Checkpoint { name, location });
    }
}

/// A place in a program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checkpoint {
    pub(super) name: &'static str,
    /// Where it was first passed.
    pub(super) location: &'static Location<'static>,
}

/// One run of a program that is rehearsed.
pub(super) struct Passing {
    supervisor: Supervisor,
    /// Where the shutdown is to be requested, and with which cause.
    target: Option<(&'static str, Cause)>,
    /// Set when the target has been passed, before a shutdown was requested by anybody else.
    reached: AtomicBool,
    /// What has been passed before a shutdown was requested, in this order, each once.
    passed: Mutex<Vec<Checkpoint>>,
}

impl Passing {
    fn pass(&self, checkpoint: Checkpoint) {
        if self.supervisor.is_shutting_down() {
            return; // what comes now is the way out, and a request would change nothing
        }
        {
            let mut passed = self.passed.lock();
            if passed.iter().all(|known| known.name != checkpoint.name) {
                passed.push(checkpoint);
            }
        }
        if let Some((name, cause)) = &self.target {
            if *name == checkpoint.name && self.supervisor.request_shutdown(cause.clone()) {
                // Release: pairs with the Acquire in `reached`; the driver may look while this thread still runs.
                self.reached.store(true, Ordering::Release);
            }
        }
    }
}

/// Keeps a run under way: checkpoints that its workers pass are noticed.
pub(super) struct UnderWay(Arc<Passing>);

impl UnderWay {
    pub(super) fn new(supervisor: &Supervisor, target: Option<(&'static str, Cause)>) -> UnderWay {
        let passing = Arc::new(Passing {
            supervisor: supervisor.clone(),
            target,
            reached: AtomicBool::new(false),
            passed: Mutex::default(),
        });
        let mut under_way = UNDER_WAY.write();
        under_way.push(Arc::clone(&passing));
        COUNT.store(under_way.len(), Ordering::Relaxed);
        drop(under_way);
        UnderWay(passing)
    }

    /// Whether the shutdown was requested at the target.
    pub(super) fn reached(&self) -> bool {
        self.0.reached.load(Ordering::Acquire)
    }

    /// What was passed before the shutdown was requested, in this order.
    pub(super) fn passed(&self) -> Vec<Checkpoint> {
        self.0.passed.lock().clone()
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut under_way = UNDER_WAY.write();
        let at = under_way
            .iter()
            .position(|passing| Arc::ptr_eq(passing, &self.0));
        let removed = at.map(|at| under_way.swap_remove(at));
        COUNT.store(under_way.len(), Ordering::Relaxed);
        drop(under_way);
        drop(removed); // with the lock free
    }
}

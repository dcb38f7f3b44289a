//! Who runs on this thread: a worker, a callback of a supervisor, or nobody that we know.
//!
//! A worker's seat is the first thread-local with a destructor that its thread touches. Thread-locals are destroyed in
//! the reverse order, so when the seat is dropped every other destructor of the thread is through.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use parking_lot::RwLock;

use super::extension::extension;
use super::kind::WorkerId;
use super::registry::{main_id, Core};
use super::waits::Waiter;
use super::worker::Worker;
use crate::stop::StopToken;
use crate::sync::atomic::AtomicBool;
use crate::sync::thread::ThreadId;
use crate::sync::{thread, thread_local, Instant};
use crate::sys::{self, ThreadIdent};

thread_local! {
    static SEAT: RefCell<Option<Seat>> = const { RefCell::new(None) };
    /// Has no destructor, so it can still be read when the thread is leaving the process.
    static MAIN: Cell<Main> = const { Cell::new(Main::Unknown) };
}

/// Whether a thread is `main`. Asking the system costs two calls, so the answer is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Main {
    Unknown,
    Yes,
    No,
}

/// What a thread is doing for a supervisor.
struct Seat(Who);

/// For whom, and what.
struct Who {
    core: Arc<Core>,
    role: Role,
}

/// Threads that were adopted. They have no seat: they were running before we knew of them. A lock for readers, so that one who looks while
/// another thread forks leaves a child that can look as well.
static ADOPTED: RwLock<Vec<AdoptedThread>> = RwLock::new(Vec::new());
/// How many there are, for a look without the lock. Written under it.
static ADOPTED_COUNT: AtomicUsize = AtomicUsize::new(0);

struct AdoptedThread {
    ident: ThreadIdent,
    id: ThreadId,
    core: Arc<Core>,
    worker: Arc<Worker>,
}

enum Role {
    /// The thread is this worker.
    Worker(Arc<Worker>),
    /// The thread runs callbacks for a shutdown of this supervisor.
    Callback(Turn),
}

/// What a callback can learn about its own time.
#[derive(Clone)]
pub(crate) struct Turn {
    /// When it began.
    pub(crate) since: Instant,
    /// Set when the thread that runs it is left behind.
    pub(crate) abandoned: Arc<AtomicBool>,
    /// Whose it is, if it is an entry's.
    entry: Option<WorkerId>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Role::Worker(worker) = &self.0.role {
            self.0.core.leave(worker);
        }
    }
}

/// Marks a thread as `worker`, as long as what this gives is kept: at the longest until the thread has been joined.
pub(crate) fn adopt(
    (ident, id): (ThreadIdent, ThreadId),
    core: &Arc<Core>,
    worker: &Arc<Worker>,
) -> Adopted {
    let mut adopted = ADOPTED.write();
    adopted.push(AdoptedThread {
        ident,
        id,
        core: Arc::clone(core),
        worker: Arc::clone(worker),
    });
    // Relaxed: a thread that was adopted before it asks has learned of that from its adopter, which orders this.
    ADOPTED_COUNT.store(adopted.len(), Ordering::Relaxed);
    Adopted(worker.id)
}

/// Keeps a thread marked as an adopted worker.
pub(crate) struct Adopted(WorkerId);

impl Drop for Adopted {
    fn drop(&mut self) {
        let mut adopted = ADOPTED.write();
        let at = adopted.iter().position(|thread| thread.worker.id == self.0);
        let removed = at.map(|at| adopted.swap_remove(at));
        ADOPTED_COUNT.store(adopted.len(), Ordering::Relaxed);
        drop(adopted);
        drop(removed); // with the lock free
    }
}

/// Marks this thread as `worker` for the rest of its life.
pub(crate) fn sit_as_worker(core: Arc<Core>, worker: Arc<Worker>) {
    worker.trace.runs_here();
    let role = Role::Worker(worker);
    SEAT.with(|seat| *seat.borrow_mut() = Some(Seat(Who { core, role })));
}

/// Runs `callbacks` with this thread marked as running callbacks for `core`; each of them says [`next_turn`] first.
pub(crate) fn as_helper<R>(
    core: &Arc<Core>,
    abandoned: &Arc<AtomicBool>,
    callbacks: impl FnOnce() -> R,
) -> R {
    let turn = Turn {
        since: Instant::now(),
        abandoned: Arc::clone(abandoned),
        entry: None,
    };
    let seat = Seat(Who {
        core: Arc::clone(core),
        role: Role::Callback(turn),
    });
    let before = SEAT.try_with(|place| place.borrow_mut().replace(seat));
    let result = callbacks(); // which catch the panics of what they run
    if let Ok(before) = before {
        let ours = SEAT.try_with(|place| std::mem::replace(&mut *place.borrow_mut(), before));
        drop(ours);
    }
    result
}

/// The next callback of this helper begins: that of `entry`, if it is an entry's.
pub(crate) fn next_turn(now: Instant, entry: Option<WorkerId>) {
    // Past its thread-locals no thread runs callbacks.
    let _ = SEAT.try_with(|place| {
        if let Some(Seat(Who {
            role: Role::Callback(turn),
            ..
        })) = &mut *place.borrow_mut()
        {
            turn.since = now;
            turn.entry = entry;
        }
    });
}

/// The supervisor that this thread works for.
pub(crate) fn core() -> Option<Arc<Core>> {
    look(|seat| Arc::clone(&seat.core))
}

/// The supervisor and the record of the worker that this thread is.
pub(crate) fn worker() -> Option<(Arc<Core>, Arc<Worker>)> {
    look(|seat| match &seat.role {
        Role::Worker(worker) => Some((Arc::clone(&seat.core), Arc::clone(worker))),
        Role::Callback(_) => None,
    })
    .flatten()
}

/// The token of the worker that this thread is.
pub(crate) fn token() -> Option<StopToken> {
    let (core, worker) = worker()?;
    Some(worker.token(|| Some(extension(&core, &worker))))
}

/// Gives the record of the worker that this thread is to `with`. `None` if it is none.
pub(crate) fn with_worker<R>(with: impl FnOnce(&Worker) -> R) -> Option<R> {
    look(|seat| match &seat.role {
        Role::Worker(worker) => Some(with(worker)),
        Role::Callback(_) => None,
    })
    .flatten()
}

/// The supervisor for which this thread runs a callback, and what is known of its time.
pub(crate) fn callback() -> Option<(Arc<Core>, Turn)> {
    look(|seat| match &seat.role {
        Role::Callback(turn) => Some((Arc::clone(&seat.core), turn.clone())),
        Role::Worker(_) => None,
    })
    .flatten()
}

/// Who this thread is to those who wait for one another. `main` is one of them: a shutdown may wait for it.
pub(crate) fn waiter() -> Option<Waiter> {
    let seated = look(|seat| match &seat.role {
        Role::Worker(worker) => Some(Waiter::Worker(worker.id)),
        Role::Callback(turn) => turn.entry.map(Waiter::Callback),
    });
    seated.unwrap_or_else(|| is_main().then(|| Waiter::Worker(main_id())))
}

/// Whether this thread runs a callback in the shutdown of `core` or of something within it, so that waiting for that
/// shutdown would be waiting for itself.
pub(crate) fn is_callback_within(core: &Core) -> bool {
    look(|seat| matches!(seat.role, Role::Callback(_)) && seat.core.is_within(core))
        .unwrap_or(false)
}

/// Gives what this thread does for a supervisor to `with`. In a forked child the parent's threads are nobody.
fn look<R>(with: impl FnOnce(&Who) -> R) -> Option<R> {
    let mut with = Some(with);
    let mut take = |who: &Who| match who.core.is_ours() {
        true => with.take().map(|with| with(who)),
        false => None,
    };
    // The thread may be past its thread-locals.
    let seated = SEAT.try_with(|seat| seat.borrow().as_ref().and_then(|seat| take(&seat.0)));
    match seated {
        Ok(Some(result)) => Some(result),
        _ if ADOPTED_COUNT.load(Ordering::Relaxed) == 0 => None,
        seated => take(&adopted(seated.is_ok())?),
    }
}

/// What this thread is, if it was adopted.
///
/// The system gives a thread's identity to another one as soon as the first has been joined, which is a moment before we forget
/// it. std's identities are never given twice, so they decide as long as the thread is `alive`, which means that it has its
/// thread-locals.
fn adopted(alive: bool) -> Option<Who> {
    let adopted = ADOPTED.read();
    let this = adopted.iter().find(|thread| thread.ident.is_current())?;
    if alive && thread::current().id() != this.id {
        return None;
    }
    Some(Who {
        core: Arc::clone(&this.core),
        role: Role::Worker(Arc::clone(&this.worker)),
    })
}

/// This thread installs the supervisor: it is `main`; or it is so no longer.
pub(crate) fn set_main(main: bool) {
    MAIN.with(|cell| cell.set(if main { Main::Yes } else { Main::Unknown }));
}

/// Whether this thread is `main`: the one that installed a supervisor, or the process's first thread.
pub(crate) fn is_main() -> bool {
    MAIN.with(|cell| {
        if cell.get() == Main::Unknown {
            let first = sys::is_first_thread();
            cell.set(if first { Main::Yes } else { Main::No });
        }
        cell.get() == Main::Yes
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::supervisor::Supervisor;

    #[test]
    fn an_adopted_thread_is_known_until_it_has_been_joined_and_no_other_is_forgotten() {
        let known = |id: WorkerId| ADOPTED.read().iter().any(|thread| thread.worker.id == id);
        let supervisor = Supervisor::new();
        let adopt = |name: &str| {
            let (release, held) = mpsc::channel::<()>();
            let thread = thread::Builder::new();
            let thread = thread.spawn(move || held.recv().is_err()).unwrap();
            let end = release.clone();
            (supervisor.adopt(name, thread, move || drop(end)), release)
        };
        let (first, of_first) = adopt("first");
        let (second, of_second) = adopt("second");
        let ids = [first.id(), second.id()];
        assert!(ids.into_iter().all(known));
        first.terminate();
        drop(of_first);
        assert!(first.join().unwrap());
        assert_eq!(ids.map(known), [false, true]);
        second.terminate();
        drop(of_second);
        assert!(second.join().unwrap());
        assert!(!ids.into_iter().any(known));
    }
}

//! Who runs on this thread: a worker, a callback of a supervisor, or nobody that we know.
//!
//! A worker's seat is the first thread-local with a destructor that its thread touches. Thread-locals are destroyed in
//! the reverse order, so when the seat is dropped every other destructor of the thread is through.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::registry::Core;
use super::walk::Turn;
use super::worker::Worker;
use crate::sys;

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
struct Seat {
    core: Arc<Core>,
    role: Role,
}

enum Role {
    /// The thread is this worker.
    Worker(Arc<Worker>),
    /// The thread runs a callback for a shutdown of this supervisor.
    Callback(Turn),
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Role::Worker(worker) = &self.role {
            self.core.leave(worker);
        }
    }
}

/// Marks this thread as `worker` for the rest of its life.
pub(crate) fn sit_as_worker(core: Arc<Core>, worker: Arc<Worker>) {
    let role = Role::Worker(worker);
    SEAT.with(|seat| *seat.borrow_mut() = Some(Seat { core, role }));
}

/// Runs `callback` with this thread marked as running a callback for `core`.
pub(crate) fn as_callback<R>(core: &Arc<Core>, turn: &Turn, callback: impl FnOnce() -> R) -> R {
    let seat = Seat {
        core: Arc::clone(core),
        role: Role::Callback(turn.clone()),
    };
    let before = SEAT.try_with(|place| place.borrow_mut().replace(seat));
    let result = callback(); // catches the panics of what it runs
    if let Ok(before) = before {
        let ours = SEAT.try_with(|place| std::mem::replace(&mut *place.borrow_mut(), before));
        drop(ours);
    }
    result
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

/// The supervisor for which this thread runs a callback, and what is known of its time.
pub(crate) fn callback() -> Option<(Arc<Core>, Turn)> {
    look(|seat| match &seat.role {
        Role::Callback(turn) => Some((Arc::clone(&seat.core), turn.clone())),
        Role::Worker(_) => None,
    })
    .flatten()
}

/// Whether this thread runs a callback in the shutdown of `core` or of something within it, so that waiting for that
/// shutdown would be waiting for itself.
pub(crate) fn is_callback_within(core: &Core) -> bool {
    look(|seat| matches!(seat.role, Role::Callback(_)) && seat.core.is_within(core))
        .unwrap_or(false)
}

fn look<R>(with: impl FnOnce(&Seat) -> R) -> Option<R> {
    // No seat, or the thread is past its thread-locals: nobody.
    // In a forked child the parent's seat is nobody's.
    SEAT.try_with(|seat| {
        seat.borrow()
            .as_ref()
            .filter(|seat| seat.core.is_ours())
            .map(with)
    })
    .ok()
    .flatten()
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

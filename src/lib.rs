#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]
#![cfg_attr(shuttle, allow(dead_code, unused_imports, clippy::drop_non_drop))] // what only adapters use

#[cfg(feature = "tokio")]
pub mod background;
mod base;
#[cfg(not(shuttle))]
pub mod diagnose;
pub mod events;
#[cfg(not(shuttle))]
mod exit;
pub mod pool;
#[cfg(all(unix, feature = "process"))]
pub mod process;
#[cfg(not(shuttle))]
pub mod ready;
#[cfg(not(shuttle))]
pub mod restart;
mod seams;
#[cfg(not(shuttle))]
mod status;
mod stop;
mod supervisor;
mod sync;
#[allow(unsafe_code)]
mod sys;
#[cfg(all(unix, feature = "systemd"))]
pub mod systemd;
mod task;
pub mod terminate;
#[cfg(not(shuttle))]
pub mod testing;
pub mod thread;
#[cfg(not(shuttle))]
pub mod timeline;

#[cfg(not(shuttle))]
pub use diagnose::activity;
#[cfg(not(shuttle))]
pub use exit::{exit, init, Guard, InstallError};
pub use pool::Pool;
pub use stop::{Never, StopCallback, StopReason, StopSource, StopToken, Stopped};
pub use supervisor::{
    CallbackFault, Cause, EntryKind, EntryReport, ExitStyle, Hook, Order, Outcome, ShutdownReport,
    Supervisor, SupervisorBuilder, WorkerId, WorkerInfo,
};
pub use task::{Cancel, Cancelled, Task, TaskError};
pub use terminate::Terminate;
pub use thread::spawn;

/// What a model says of its own execution.
#[cfg(shuttle)]
pub mod model {
    pub use crate::pool::model::Share;
    pub use crate::sync::model::{begin, pass, spawns_may_fail, Instant, Time};

    /// How many records of workers and hooks a supervisor keeps.
    pub fn records(supervisor: &crate::Supervisor) -> usize {
        let registry = supervisor.core.registry.lock();
        registry.untold.len() + registry.told.len() + registry.left_behind.len()
    }
}

/// Registers a hook that runs in its turn while workers are told to stop. See [`Supervisor::on_shutdown`].
#[track_caller]
pub fn on_shutdown(name: impl Into<String>, hook: impl FnOnce() + Send + 'static) -> Hook {
    Supervisor::current().on_shutdown(name, hook)
}

/// Registers a hook that runs when all workers have been joined or given up. See [`Supervisor::on_exit`].
#[track_caller]
pub fn on_exit(name: impl Into<String>, hook: impl FnOnce() + Send + 'static) -> Hook {
    Supervisor::current().on_exit(name, hook)
}

/// Asks for a shutdown of the current worker's supervisor, else of the global one. See
/// [`Supervisor::request_shutdown`].
pub fn request_shutdown(cause: Cause) -> bool {
    Supervisor::current().request_shutdown(cause)
}

/// Whether a shutdown has been requested of the current worker's supervisor, else of the global one.
pub fn is_shutting_down() -> bool {
    Supervisor::current().is_shutting_down()
}

/// Blocks until a shutdown is requested of the current worker's supervisor, else of the global one, and says why. See
/// [`Supervisor::wait_for_shutdown`].
pub fn wait_for_shutdown() -> Cause {
    Supervisor::current().wait_for_shutdown()
}

/// Shuts down the current worker's supervisor, else the global one, and waits for the end. See [`Supervisor::shutdown`].
pub fn shutdown() -> ShutdownReport {
    Supervisor::current().shutdown()
}

/// What happens from now on in the current worker's supervisor, else in the global one. See [`Supervisor::subscribe`].
pub fn subscribe(capacity: usize) -> crossbeam_channel::Receiver<events::Event> {
    Supervisor::current().subscribe(capacity)
}

/// The workers of the current worker's supervisor, else of the global one. See [`Supervisor::workers`].
pub fn workers() -> Vec<WorkerInfo> {
    Supervisor::current().workers()
}

/// The token of the worker that this thread is; on any other thread that of the global supervisor, which stops when a shutdown is
/// requested.
pub fn stop_token() -> StopToken {
    supervisor::current::token().unwrap_or_else(|| Supervisor::current().stop_token())
}

/// By when the code that runs on this thread must be done: a callback or hook within its own limit, a worker that has been told
/// to stop within its grace, any other thread within the deadline of a shutdown that is under way. `None` if there is no limit
/// (yet).
pub fn deadline() -> Option<sync::Instant> {
    use supervisor::current;
    if let Some((core, turn)) = current::callback() {
        return core.registry.lock().telling_limit(turn.since);
    }
    match current::worker() {
        Some((_, worker)) => worker.deadline(),
        None => Supervisor::current().core.registry.lock().deadline,
    }
}

/// Says something about the worker that this thread is, for its entry in the report: see [`EntryReport::note`]. The last one
/// counts. On any other thread it does nothing.
///
/// ```
/// use sundown::Supervisor;
///
/// let supervisor = Supervisor::new();
/// let _copier = supervisor.worker().spawn_with(|stop| {
///     stop.wait();
///     sundown::note("copied 3 of 5 files");
/// })?;
/// let report = supervisor.shutdown();
/// assert_eq!(report.entries()[0].note(), Some("copied 3 of 5 files"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn note(text: impl Into<String>) {
    leave_note(text.into(), false);
}

/// As [`note`](note()), of something that went wrong: the report is not clean then.
pub fn note_fault(text: impl Into<String>) {
    leave_note(text.into(), true);
}

fn leave_note(text: String, fault: bool) {
    if let Some((_, worker)) = supervisor::current::worker() {
        let text = text.into();
        worker.set_note(supervisor::Note { text, fault });
    }
}

/// Whether the callback or hook that runs on this thread has been given up: its time is over, nobody waits for it any more, and the
/// process may end at any moment. False on any other thread.
pub fn is_abandoned() -> bool {
    // Relaxed: it orders nothing.
    supervisor::current::callback()
        .is_some_and(|(_, turn)| turn.abandoned.load(std::sync::atomic::Ordering::Relaxed))
}

/// The pages under `docs/` whose examples are tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../docs/why.md")]
    mod why {}
    #[doc = include_str!("../docs/first-ten-minutes.md")]
    mod first_ten_minutes {}
    #[cfg(feature = "tokio")]
    #[doc = include_str!("../docs/async.md")]
    mod r#async {}
    #[doc = include_str!("../docs/stopping.md")]
    mod stopping {}
    #[doc = include_str!("../docs/order.md")]
    mod order {}
    #[doc = include_str!("../docs/deadlines.md")]
    mod deadlines {}
    #[doc = include_str!("../docs/signals.md")]
    mod signals {}
    #[doc = include_str!("../docs/migrating.md")]
    mod migrating {}
    #[cfg(all(unix, feature = "process"))]
    #[doc = include_str!("../docs/pools-and-processes.md")]
    mod pools_and_processes {}
    #[doc = include_str!("../docs/testing-your-program.md")]
    mod testing_your_program {}
}

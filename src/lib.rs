#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

mod exit;
mod stop;
mod supervisor;
#[allow(unsafe_code)]
mod sys;
mod terminate;
pub mod thread;

pub use exit::{exit, init, Guard, InstallError};
pub use stop::{StopSource, StopToken, Stopped};
pub use supervisor::{
    CallbackFault, Cause, EntryKind, EntryReport, ExitStyle, Hook, Order, Outcome, ShutdownReport,
    Supervisor, SupervisorBuilder, WorkerId, WorkerInfo,
};
pub use terminate::Terminate;
pub use thread::spawn;

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

/// The workers of the current worker's supervisor, else of the global one. See [`Supervisor::workers`].
pub fn workers() -> Vec<WorkerInfo> {
    Supervisor::current().workers()
}

/// The token of the worker that this thread is; on any other thread that of the global supervisor, which stops when a shutdown is
/// requested.
pub fn stop_token() -> StopToken {
    match supervisor::current::worker() {
        Some((_, worker)) => worker.token(),
        None => Supervisor::current().stop_token(),
    }
}

//! What `main` holds: dropping it shuts down.

use std::panic::{RefUnwindSafe, UnwindSafe};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::install;
use super::signal::Signals;
use crate::supervisor::registry::{Core, Message};
use crate::supervisor::worker::Worker;
use crate::supervisor::{current, Cause, Job, ShutdownReport};
use crate::sync::atomic::AtomicBool;
use crate::sys::NativeThread;
use crate::terminate::Terminate;

/// Keep it in `main`: when it is dropped (at the end of `main`, or by a panic that unwinds `main`), everything is shut down.
///
/// Dropping it also puts back the signal handlers that were there before, and allows another installation. (Not for long if it was not
/// `main` that began the shutdown: then the process ends when the deadline is over, with whatever was started meanwhile.)
///
/// ```no_run
/// use std::net::TcpListener;
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let guard = sundown::init()?;
///     let listener = TcpListener::bind("127.0.0.1:8080")?;
///     guard.on_terminate(listener.try_clone()?); // how this `main`, which sits in `accept`, is told
///     while let Ok((_stream, _peer)) = listener.accept() {
///         // serve it
///     }
///     Ok(()) // the guard is dropped, and shuts everything down
/// }
/// ```
#[must_use = "dropping the guard shuts everything down: keep it, `let _guard = sundown::init()?`"]
#[derive(Debug)]
pub struct Guard {
    pub(super) parts: Option<Parts>,
}

/// What an installation consists of.
pub(super) struct Parts {
    pub(super) core: Arc<Core>,
    /// `main`'s own record.
    pub(super) main: Arc<Worker>,
    /// The coordinator thread.
    pub(super) coordinator: JoinHandle<()>,
    /// The handlers to put back.
    pub(super) signals: Option<Signals>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts")
            .field("signals", &self.signals)
            .finish_non_exhaustive()
    }
}

impl Guard {
    /// Shuts down now, and gives the exit code for `main` to return: 128 + n after a signal, 1 when a critical worker failed,
    /// else 0. After a signal the process will end as that signal would have ended it, unless `ExitStyle::Code` was asked for.
    pub fn finish(mut self) -> ExitCode {
        let report = self.shut_down(Cause::Returned);
        ExitCode::from(report.map_or(0, |report| report.exit_code()))
    }

    /// How a `main` that blocks is told to leave: registers a callback that runs when a shutdown begins, after every worker
    /// has been told. From then on `main` has until the deadline to leave; without this (or a call of `wait_for_shutdown`,
    /// `is_shutting_down` or `stop_token`) it is not waited for.
    ///
    /// Runs on a helper thread of the supervisor. If `main` has been told already it runs at once, here. Of several, each runs, newest
    /// first.
    pub fn on_terminate(&self, callback: impl Terminate) {
        if let Some(parts) = &self.parts {
            parts.core.main_can_hear();
            let job: Job = Box::new(move || callback.terminate());
            parts.main.callback.add(job);
            if parts.main.told().is_some() {
                let abandoned = AtomicBool::new(false); // nobody watches
                parts.main.finish_telling(Instant::now(), &abandoned);
            }
        }
    }

    fn shut_down(&mut self, cause: Cause) -> Option<ShutdownReport> {
        let Parts {
            core,
            coordinator,
            mut signals,
            ..
        } = self.parts.take()?;
        if !core.is_ours() {
            return None; // a forked child
        }
        core.main_leaves();
        let report = core.shutdown_for_exit(cause, None, true);
        if let (Some(signals), Cause::Signal(_)) = (&mut signals, report.cause()) {
            signals.process_ends();
        }
        // Only now: until here a second Ctrl-C had to be told apart from a first one.
        drop(signals);
        current::set_main(false);
        install::uninstalled();
        if core.registry.lock().by_leaver {
            let sender = core.registry.lock().coordinator.take();
            if let Some(sender) = sender {
                // It fails only if the thread has ended already.
                sender.send(Message::Done);
            }
            // It has nothing left to do but to return; if the machine is so busy that it does not, it does so later.
            let limit = Instant::now() + Duration::from_secs(1);
            // What is not through by then is detached.
            drop(NativeThread::of(coordinator).join_until(Some(limit)));
        }
        Some(report)
    }
}

// As for `Supervisor`.
impl UnwindSafe for Guard {}
impl RefUnwindSafe for Guard {}

impl Drop for Guard {
    fn drop(&mut self) {
        let cause = match std::thread::panicking() {
            true => Cause::Panicked,
            false => Cause::Returned,
        };
        self.shut_down(cause);
    }
}

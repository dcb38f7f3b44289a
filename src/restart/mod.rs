//! Workers that are started again when they fail.
//!
//! Such a worker is one supervised thread that calls its function again and again: it keeps its number, its name and its place in the
//! order of the shutdown. A [`Restart`] says after which ends it does so, how often, and after which pause; a [`Strategy`] says
//! who is started again with it.
//!
//! ```
//! use std::time::Duration;
//! use sundown::restart::Restart;
//! use sundown::thread;
//!
//! let mut attempts = 0;
//! let worker = thread::Builder::new()
//!     .name("client".into())
//!     .restart(Restart::on_failure().backoff(Duration::from_millis(1), Duration::from_millis(5)))
//!     .spawn_loop(move |_stop| {
//!         attempts += 1;
//!         if attempts < 3 { Err("connection refused") } else { Ok(attempts) }
//!     })?;
//! assert_eq!(worker.join().unwrap(), Ok(3));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! | guaranteed | not guaranteed |
//! |---|---|
//! | A worker that was told to stop is not started again, whatever its function returns; a pause ends at once. | A function that does not listen to its token is not interrupted. |
//! | No worker is started again once a shutdown of its supervisor has been requested; its last failure is in the report. | |
//! | Each restart is an [`Event`](crate::events::Event), is logged, and is counted in the report. | What the function captured stays as the failure left it: set up anew in the function what a panic may have broken. |
//! | The terminate callback runs at most once, at the worker's end. | It does not run between two runs: what one run blocks on, that run tells with [`StopToken::on_stop`]. |
//! | Siblings end their runs, newest first, before any is started again, oldest first. | Thread-locals live as long as the thread does, so they are not destroyed between two runs. |

mod failure;
mod history;
mod siblings;
mod turns;

use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe, Location};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::Level;

pub use crate::base::restart::{Restart, RestartError};
pub use crate::supervisor::Strategy;
pub use failure::MayFail;

use crate::base::panics::{describe_panic, drop_quietly};
use crate::base::restart::When;
use crate::stop::StopToken;
use crate::supervisor::registry::Core;
use crate::supervisor::worker::{End, Worker};
use crate::supervisor::{current, EntryKind, EventKind, Supervisor, SupervisorBuilder};
use crate::thread::{Builder, JoinHandle, Value};
use history::{History, Verdict};
use siblings::{NoTurn, Place};

impl Builder {
    /// When the worker is started again: for [`spawn_loop`](Builder::spawn_loop). Default: [`Restart::on_failure`].
    pub fn restart(mut self, policy: Restart) -> Builder {
        self.restart = Some(policy);
        self
    }

    /// Starts a thread that calls `f`, and calls it again as its [`Restart`] says. See [`restart`](crate::restart).
    ///
    /// `f` gets the stop token of its run, which stops when the worker is told to stop, and also when this run is to end for the
    /// sake of a sibling ([`Strategy`]). It is a child of the worker's own, which is what [`stop_token`](crate::stop_token) gives: its
    /// reason is [`StopReason::Restart`](crate::StopReason::Restart), or else the worker's as that of a parent.
    ///
    /// The handle's value is that of the last run; a [`time_limit`](Builder::time_limit) and [`critical`](Builder::critical) concern
    /// the worker, not one run.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Builder::spawn); and [`RestartError`], as the source of an error of kind `InvalidInput`, if the settings
    /// contradict each other.
    ///
    /// # Panics
    ///
    /// As [`spawn`](Builder::spawn).
    #[track_caller]
    pub fn spawn_loop<F, R>(mut self, f: F) -> io::Result<JoinHandle<R>>
    where
        F: FnMut(&StopToken) -> R + Send + 'static,
        R: MayFail + Send + 'static,
    {
        let policy = self.restart.take().unwrap_or_default();
        policy
            .check()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let value = Arc::new(Value::new());
        let slot = Arc::clone(&value);
        let location = Location::caller();
        let (core, worker, thread) = self.start_job(EntryKind::Worker, location, move |_| {
            let (end, result) = run_until_through(f, policy);
            slot.put(result);
            (end, slot)
        })?;
        Ok(JoinHandle::new(core, worker, value, thread))
    }
}

impl SupervisorBuilder {
    /// Who is started again when a restartable worker fails. Default: [`Strategy::OneForOne`].
    #[must_use]
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.settings.strategy = strategy;
        self
    }
}

impl Supervisor {
    /// Sets who is started again when a restartable worker of this supervisor fails, from now on: for a nested supervisor, which
    /// has no builder. It is not inherited.
    ///
    /// ```
    /// use sundown::{restart::Strategy, Supervisor};
    ///
    /// let supervisor = Supervisor::new();
    /// let database = supervisor.child("database").with_strategy(Strategy::RestForOne);
    /// ```
    #[must_use = "this gives the supervisor back"]
    pub fn with_strategy(self, strategy: Strategy) -> Supervisor {
        self.core.registry.lock().settings.strategy = strategy;
        self
    }
}

/// How one call of the function went.
struct Run<R> {
    result: std::thread::Result<R>,
    /// What went wrong, in words.
    failure: Option<String>,
    began: Instant,
}

impl<R: MayFail> Run<R> {
    fn new(f: &mut impl FnMut(&StopToken) -> R, stop: &StopToken) -> Run<R> {
        let began = Instant::now();
        // The text of an error is users' code too.
        let called = catch_unwind(AssertUnwindSafe(|| {
            let value = f(stop);
            let failure = value.failure();
            (value, failure)
        }));
        let (result, failure) = match called {
            Ok((value, failure)) => (Ok(value), failure),
            Err(payload) => {
                let message = describe_panic(&*payload);
                (Err(payload), Some(message))
            }
        };
        Run {
            result,
            failure,
            began,
        }
    }

    /// How a worker ended whose last run this was. An error after it had been told to stop is no failure.
    fn end(&self, told: bool) -> End {
        match (&self.result, &self.failure) {
            (Err(payload), _) => End::panicked(&**payload),
            (Ok(_), Some(failure)) if !told => End::Failed(failure.as_str().into()),
            (Ok(_), _) => End::Returned,
        }
    }
}

/// What a restartable worker's thread does. Gives how it ended, and the result of the last run.
fn run_until_through<R: MayFail>(
    mut f: impl FnMut(&StopToken) -> R,
    policy: Restart,
) -> (End, std::thread::Result<R>) {
    let (core, worker) = current::worker().expect("this is a worker's thread");
    let (run, end) = match policy.when {
        When::Never => {
            let run = Run::new(&mut f, &crate::stop_token());
            let end = run.end(worker.told().is_some());
            (run, end)
        }
        When::OnFailure | When::Always => run_again_and_again(&mut f, policy, &core, &worker),
    };
    // As with std, what the function captured is dropped before its value is there.
    match catch_unwind(AssertUnwindSafe(|| drop(f))) {
        Ok(()) => (end, run.result),
        Err(payload) => {
            drop_quietly(run.result);
            (End::panicked(&*payload), Err(payload))
        }
    }
}

/// Gives the last run, and how the worker ended with it.
fn run_again_and_again<R: MayFail>(
    f: &mut impl FnMut(&StopToken) -> R,
    policy: Restart,
    core: &Arc<Core>,
    worker: &Arc<Worker>,
) -> (Run<R>, End) {
    let loudly = !policy.quiet;
    let mut history = History::new(policy);
    let place = Place::new(Arc::clone(core), Arc::clone(worker));
    // The first run takes place even if the worker has been told already, as every worker's function is called.
    let mut stop = place.await_turn().unwrap_or_else(|_| crate::stop_token());
    loop {
        let run = Run::new(f, &stop);
        let now = Instant::now();
        let for_sibling = place.ended();
        if place.is_told() {
            if worker.told().is_none() {
                // The shutdown has begun, but not reached it: a failure of its own, which there is no restart after.
                worker.failed(run.failure.clone());
            }
            let end = run.end(true);
            return (run, end);
        }
        let give_up = |failure: &str, run: Run<R>| {
            worker.gives_up(failure.to_owned(), loudly);
            let end = run.end(false);
            (run, end)
        };
        let failure = run.failure.clone();
        if for_sibling {
            // It was told to end its run, so what it returned is no failure; a panic is worth a word.
            let panic = failure.filter(|_| run.result.is_err());
            worker.restarts_after(Duration::ZERO, panic);
        } else {
            match history.judge(run.began, now, failure.is_some()) {
                Verdict::Done => {
                    let end = run.end(false);
                    return (run, end);
                }
                Verdict::GiveUp => return give_up(failure.as_deref().unwrap_or(RETURNED), run),
                Verdict::Again(pause) => {
                    worker.restarts_after(pause, failure);
                    let strategy = core.registry.lock().settings.strategy;
                    match strategy {
                        Strategy::OneForOne => place.pause(pause),
                        several => place.restart(several, pause),
                    }
                }
            }
        }
        match place.await_turn() {
            Ok(next) => stop = next,
            // Its failure has been dealt with: it was to be started again.
            Err(NoTurn::Told) => return (run, End::Returned),
            Err(NoTurn::Stuck(sibling)) => {
                sibling.announce(Level::Warn, || EventKind::Straggler);
                let name = sibling.traits.name.as_deref().unwrap_or("<unnamed>");
                let failure = run.failure.as_deref().unwrap_or(RETURNED);
                let text = format!("{failure}; its sibling {name} does not stop for the restart");
                return give_up(&text, run);
            }
        }
        drop_quietly(run.result);
        worker.restarted();
    }
}

/// What is said of a run that should not have ended, though it did not fail.
const RETURNED: &str = "it returned";

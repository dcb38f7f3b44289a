//! Rehearses a shutdown: runs a program once to see which checkpoints it passes, then once for each, with the shutdown requested
//! right there.
//!
//! Each run has a supervisor of its own, in which the program is the oldest worker. The driver sleeps until the program has ended
//! or a shutdown was requested, by whomever, and then waits for the shutdown's end, which is bounded.

use std::fmt;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{bounded, Sender};

use super::checkpoint::{Checkpoint, UnderWay};
use super::isolated::SIGTERM;
use super::rehearsed::{Rehearsed, Run};
use crate::base::panics::message_of_panic;
use crate::base::text::{Printable, Short};
use crate::{Cause, ShutdownReport, Supervisor, SupervisorBuilder};

/// How long a run may take before its shutdown is requested.
const LIMIT: Duration = Duration::from_secs(60);
/// How often a run is made again in which the program has ended without passing its checkpoint.
const ATTEMPTS: usize = 10;

/// Rehearses the shutdown of a program, and fails the test unless every run ended clean: [`Rehearsal`] with its defaults.
///
/// ```
/// use sundown::{testing, thread};
///
/// // In the program:
/// fn program() {
///     let stop = sundown::stop_token();
///     testing::checkpoint("started");
///     let worker = thread::spawn(|| testing::checkpoint("in the worker"));
///     worker.join().unwrap();
///     if !stop.is_stopped() {
///         testing::checkpoint("worker joined");
///     }
/// }
///
/// // In its tests:
/// let rehearsed = testing::rehearse(program);
/// assert_eq!(rehearsed.runs().len(), 4); // one to see the checkpoints, and one for each
/// ```
///
/// # Panics
///
/// If a run did not end clean, with all of them that did not: at which checkpoint the shutdown came, and what went wrong.
#[track_caller]
pub fn rehearse(program: impl Fn() + Send + Sync + 'static) -> Rehearsed {
    let rehearsed = Rehearsal::new().run(program);
    assert!(rehearsed.is_clean(), "{rehearsed}");
    rehearsed
}

/// How a shutdown is to be rehearsed.
///
/// The program is a closure that can be run again and again, each time from the beginning: what it changes outside (files,
/// sockets) it must cope with. It runs as the oldest worker of a supervisor of its own, as the body of
/// [`isolated`](super::isolated) does, in the place of `main`: `wait_for_shutdown`, `stop_token` and all else work as they do
/// there. When it returns the shutdown begins, if it has not. A run is clean if
///
/// - the program returned, before the deadline, and did not panic;
/// - the report is [clean](ShutdownReport::is_clean): no straggler, no panic, no callback that failed;
/// - the shutdown was indeed requested at its checkpoint;
/// - what [`after_each`](Rehearsal::after_each) looks at is as it should be.
///
/// What it does not show: a shutdown *between* two checkpoints, and all orders in which threads may run. It requests the shutdown
/// the first time that a checkpoint is passed.
///
/// ```
/// use std::time::Duration;
/// use sundown::{testing, Supervisor};
///
/// let rehearsed = testing::Rehearsal::new()
///     .supervisor(Supervisor::builder().deadline(Duration::from_secs(2)))
///     .until("serving") // the program does not end by itself
///     .run(|| {
///         testing::checkpoint("settings read");
///         testing::checkpoint("serving");
///         sundown::wait_for_shutdown();
///     });
/// assert!(rehearsed.is_clean(), "{rehearsed}");
/// ```
#[must_use = "it does nothing until it is run"]
pub struct Rehearsal {
    supervisor: SupervisorBuilder,
    cause: Cause,
    limit: Duration,
    until: Option<&'static str>,
    after_each: Option<Box<AfterEach>>,
}

type AfterEach = dyn Fn(&ShutdownReport);

impl Rehearsal {
    /// With the defaults.
    pub fn new() -> Rehearsal {
        Rehearsal {
            supervisor: Supervisor::builder().name("rehearsal"),
            cause: Cause::Signal(SIGTERM),
            limit: LIMIT,
            until: None,
            after_each: None,
        }
    }

    /// The settings of the supervisor that each run gets: give it those of your `main`. Default: those of [`Supervisor::new`].
    pub fn supervisor(mut self, settings: SupervisorBuilder) -> Rehearsal {
        self.supervisor = settings;
        self
    }

    /// With which cause the shutdown is requested. Default: SIGTERM, simulated.
    pub fn cause(mut self, cause: Cause) -> Rehearsal {
        self.cause = cause;
        self
    }

    /// For a program that does not end by itself: the run that only looks for checkpoints is asked to stop at this one. Those
    /// that come after it are not rehearsed.
    pub fn until(mut self, checkpoint: &'static str) -> Rehearsal {
        self.until = Some(checkpoint);
        self
    }

    /// How long a run may take until it ends or is asked to stop; then it is asked to, and has failed. Default: 60 s.
    pub fn limit(mut self, limit: Duration) -> Rehearsal {
        self.limit = limit;
        self
    }

    /// Runs after each run, on the calling thread, when all of it is over: the place to see that nothing was lost. A panic in it
    /// is a failure of that run. Of several, the last one given counts.
    pub fn after_each(mut self, check: impl Fn(&ShutdownReport) + 'static) -> Rehearsal {
        self.after_each = Some(Box::new(check));
        self
    }

    /// Runs the program once to see which checkpoints it passes, then once for each of them.
    ///
    /// # Panics
    ///
    /// If the system cannot start a thread. What goes wrong in the program is not a panic, but in what comes back.
    pub fn run(self, program: impl Fn() + Send + Sync + 'static) -> Rehearsed {
        let program: Arc<Program> = Arc::new(program);
        let (mut first, passed) = self.once(&program, self.until);
        if let (false, Some(until)) = (first.reached, self.until) {
            first.fail(format!(
                "it ended without passing the checkpoint {until:?} that `until` names"
            ));
        }
        if passed.is_empty() {
            first.fail(
                "it passes no checkpoint: call `sundown::testing::checkpoint(\"...\")` in the program where a shutdown may come",
            );
        }
        let mut runs = vec![first];
        runs.extend(passed.into_iter().map(|place| self.at(&program, place)));
        Rehearsed::new(runs)
    }

    /// The run for one checkpoint. A program may do its work in another order each time, so it gets several attempts.
    fn at(&self, program: &Arc<Program>, checkpoint: Checkpoint) -> Run {
        for _ in 1..ATTEMPTS {
            let (run, _) = self.once(program, Some(checkpoint.name));
            if run.reached || !run.is_clean() {
                return run.at(checkpoint);
            }
        }
        let (mut run, _) = self.once(program, Some(checkpoint.name));
        if !run.reached {
            run.fail(format!(
                "the program ended without passing it, {ATTEMPTS} times: who passes it must be waited for before the program ends"
            ));
        }
        run.at(checkpoint)
    }

    /// One run of the program.
    fn once(&self, program: &Arc<Program>, target: Option<&'static str>) -> (Run, Vec<Checkpoint>) {
        let supervisor = self.supervisor.clone().build();
        let target_and_cause = target.map(|name| (name, self.cause.clone()));
        let under_way = UnderWay::new(&supervisor, target_and_cause);
        // Its end and a request both wake the driver, which needs to be woken once.
        let (event, events) = bounded::<()>(1);
        let ended = Wakes(event.clone());
        let requested = supervisor.stop_token().on_stop(move || drop(Wakes(event)));
        let theirs = Arc::clone(program);
        let worker = supervisor
            .worker()
            .name("program".to_owned())
            .spawn(move || {
                let _ended = ended;
                theirs();
            });
        let worker = worker.expect("failed to start the program");

        let mut failures = Vec::new();
        if events.recv_timeout(self.limit).is_err() {
            failures.push(format!(
                "it did not end within {}, and nobody asked it to: name the checkpoint at which it should be asked with `until`, or give it a longer `limit`",
                Short(self.limit)
            ));
        }
        let report = supervisor.shutdown();
        drop(requested);
        let reached = under_way.reached();
        let passed = under_way.passed();
        drop(under_way);

        match worker.join_timeout(Duration::ZERO) {
            Ok(Ok(())) => {}
            Ok(Err(payload)) => {
                let message = message_of_panic(payload);
                failures.push(format!(
                    "the program panicked: {}",
                    printable_lines(&message)
                ));
            }
            // It is a straggler, of which the report says more.
            Err(_) => {}
        }
        if !report.is_clean() {
            failures.push(report.to_string());
        }
        if let Some(check) = &self.after_each {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| check(&report))) {
                let message = message_of_panic(payload);
                failures.push(format!("the check after it: {}", printable_lines(&message)));
            }
        }
        let run = Run::new(reached, report, failures);
        (run, passed)
    }
}

impl Default for Rehearsal {
    fn default() -> Rehearsal {
        Rehearsal::new()
    }
}

impl fmt::Debug for Rehearsal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rehearsal")
            .field("supervisor", &self.supervisor)
            .field("cause", &self.cause)
            .field("limit", &self.limit)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

/// A message of whoever writes the test, who may use several lines.
fn printable_lines(message: &str) -> String {
    let lines = message.lines().map(|line| Printable(line).to_string());
    lines.collect::<Vec<_>>().join("\n")
}

type Program = dyn Fn() + Send + Sync;

/// Wakes the driver when it is dropped, however the program ends.
struct Wakes(Sender<()>);

impl Drop for Wakes {
    fn drop(&mut self) {
        // Full: the driver is being woken already.
        let _ = self.0.try_send(());
    }
}

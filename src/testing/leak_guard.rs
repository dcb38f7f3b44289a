//! Fails a test when a worker outlives it: compares who runs at the end with who ran at the beginning.

use std::collections::HashSet;
use std::fmt::{self, Write};
use std::panic::Location;
use std::time::{Duration, Instant};

use crate::base::text::{Printable, Short};
use crate::{Supervisor, WorkerId, WorkerInfo};

/// Long enough for a thread that has nothing left to do, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(1);

/// Fails the test if a worker that was started while this existed still runs when it is dropped, and says where each was spawned.
///
/// A worker that is about to end by itself is no leak: it has 1 s, or what [`patience`](LeakGuard::patience) says. Nobody tells
/// it to stop: who starts a worker has to end it. Daemons count too: in a test, they are threads that run on into the next one.
///
/// Use it within [`isolated`](super::isolated), or on a supervisor that only the test uses: in the global supervisor it would see
/// the workers of the tests beside it.
///
/// ```should_panic
/// use std::sync::mpsc;
/// use std::time::Duration;
/// use sundown::{testing, thread};
///
/// testing::isolated(|| {
///     let _no_leaks = testing::LeakGuard::new().patience(Duration::from_millis(10));
///     thread::spawn(sundown::wait_for_shutdown); // nobody ends it
/// }); // panics: 1 worker outlives the leak guard ...
/// ```
#[must_use = "it looks for leaks when it is dropped: keep it, `let _no_leaks = LeakGuard::new();`"]
pub struct LeakGuard {
    supervisor: Supervisor,
    /// Who ran already.
    before: HashSet<WorkerId>,
    patience: Duration,
    /// Whom the user allows.
    allowed: Box<dyn Fn(&WorkerInfo) -> bool + Send + Sync>,
    /// Where it was made.
    location: &'static Location<'static>,
}

impl LeakGuard {
    /// Looks at the workers of the current worker's supervisor (in [`isolated`](super::isolated), that of the test), else of the
    /// global one.
    #[track_caller]
    pub fn new() -> LeakGuard {
        LeakGuard::of(&Supervisor::current())
    }

    /// Looks at the workers of this supervisor, and of those nested in it.
    #[track_caller]
    pub fn of(supervisor: &Supervisor) -> LeakGuard {
        LeakGuard {
            before: supervisor
                .workers()
                .iter()
                .map(|worker| worker.id)
                .collect(),
            supervisor: supervisor.clone(),
            patience: PATIENCE,
            allowed: Box::new(|_| false),
            location: Location::caller(),
        }
    }

    /// How long all workers together get to end by themselves, from when the guard is dropped. Default: 1 s.
    pub fn patience(mut self, patience: Duration) -> LeakGuard {
        self.patience = patience;
        self
    }

    /// Workers that may go on, such as one that lives as long as the process. Of several, the last one given counts.
    /// Asked on the thread that drops the guard, with no lock held.
    ///
    /// ```
    /// # use sundown::testing::LeakGuard;
    /// let _no_leaks = LeakGuard::new().allow(|worker| worker.name.as_deref() == Some("metrics"));
    /// ```
    pub fn allow(
        mut self,
        allowed: impl Fn(&WorkerInfo) -> bool + Send + Sync + 'static,
    ) -> LeakGuard {
        self.allowed = Box::new(allowed);
        self
    }

    /// Who still runs, once all have had their time.
    fn leaked(&self) -> Vec<WorkerInfo> {
        let end = Instant::now().checked_add(self.patience);
        let left = |end: Instant| end.saturating_duration_since(Instant::now());
        loop {
            let mut workers = self.supervisor.workers();
            workers.retain(|worker| !self.before.contains(&worker.id) && !(self.allowed)(worker));
            // Past what an Instant can hold there is no end.
            let left = || end.map_or(Duration::MAX, left);
            if workers.is_empty() || left().is_zero() {
                return workers;
            }
            for worker in &workers {
                self.supervisor.wait_for_worker(worker.id, left());
            }
        }
    }
}

impl Default for LeakGuard {
    #[track_caller]
    fn default() -> LeakGuard {
        LeakGuard::new()
    }
}

impl fmt::Debug for LeakGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeakGuard")
            .field("supervisor", &self.supervisor)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

impl Drop for LeakGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return; // the test has failed for a better reason
        }
        let leaked = self.leaked();
        if !leaked.is_empty() {
            panic!("{}", describe(&leaked, self.location));
        }
    }
}

fn describe(leaked: &[WorkerInfo], guard: &Location<'_>) -> String {
    let mut text = match leaked.len() {
        1 => "1 worker outlives".to_owned(),
        count => format!("{count} workers outlive"),
    };
    text += &format!(" the leak guard of {}:{}:", guard.file(), guard.line());
    for worker in leaked {
        let name = worker.name.as_deref().unwrap_or("<unnamed>");
        let (file, line) = (worker.location.file(), worker.location.line());
        // Writing to a String does not fail.
        let _ = write!(text, "\n  {} ({}", Printable(name), worker.id);
        let _ = write!(
            text,
            "), spawned at {file}:{line} {} ago",
            Short(worker.age)
        );
        let _ = match worker.told {
            Some(told) => write!(text, ", told to stop {} ago", Short(told)),
            None => write!(text, ", nobody has told it to stop"),
        };
    }
    text
}

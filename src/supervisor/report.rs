//! What happened in a shutdown, as a whole and to each entry.

use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::kind::{EntryKind, WorkerId};
use super::straggler::Straggler;
use crate::base::cause::Cause;

/// How an entry ended.
///
/// ```
/// use sundown::{Outcome, Supervisor};
///
/// let supervisor = Supervisor::new();
/// supervisor.worker().spawn_with(|stop| stop.wait())?;
/// assert_eq!(*supervisor.shutdown().entries()[0].outcome(), Outcome::Finished);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Outcome {
    /// It came to its end: a worker was joined, a hook returned.
    Finished,
    /// It panicked, with this message (a payload that is no string is described as such).
    Panicked(String),
    /// It was still running when its time was up.
    Straggler,
    /// It asked for the shutdown and waits for it, so it was not waited for.
    Caller,
    /// A daemon: told to stop, not waited for, still running.
    Daemon,
    /// It returned an error with this text, without having been told to stop, and was not started again.
    Failed(String),
}

/// What went wrong with an entry's callback.
///
/// ```
/// use sundown::{CallbackFault, Supervisor};
///
/// let supervisor = Supervisor::new();
/// supervisor.on_shutdown("broken", || std::panic::resume_unwind(Box::new("no such file")));
/// let report = supervisor.shutdown();
/// assert_eq!(report.entries()[0].callback_fault(), Some(&CallbackFault::Panicked("no such file".into())));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum CallbackFault {
    /// It panicked, with this message.
    Panicked(String),
    /// It did not return within its limit, and was left behind.
    Hung,
}

/// What a worker wants said of itself.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    pub(crate) text: Arc<str>,
    /// Something went wrong.
    pub(crate) fault: bool,
}

/// What happened to one entry.
///
/// ```
/// use sundown::Supervisor;
///
/// let supervisor = Supervisor::new();
/// supervisor.worker().name("ticker".into()).spawn_with(|stop| stop.wait())?;
/// let report = supervisor.shutdown();
/// let entry = &report.entries()[0];
/// assert_eq!(entry.name(), Some("ticker"));
/// println!("{} of {} took {:?}", entry.kind(), entry.location(), entry.waited());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct EntryReport {
    pub(crate) kind: EntryKind,
    pub(crate) id: WorkerId,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) supervisor: Option<Arc<str>>,
    pub(crate) location: &'static Location<'static>,
    pub(crate) outcome: Outcome,
    pub(crate) callback: Option<Duration>,
    pub(crate) told: Duration,
    pub(crate) waited: Duration,
    /// What there is to say of few. Boxed: a report may have a million entries.
    pub(crate) rare: Option<Box<Rare>>,
}

/// What is said of few entries only.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rare {
    pub(crate) fault: Option<CallbackFault>,
    pub(crate) note: Option<Note>,
    pub(crate) extended: Option<Duration>,
    pub(crate) restarts: u32,
    pub(crate) last_failure: Option<String>,
    pub(crate) straggler: Option<Arc<Straggler>>,
}

impl Rare {
    /// Nothing, if there is nothing to say.
    pub(crate) fn boxed(self) -> Option<Box<Rare>> {
        let Rare {
            fault: None,
            note: None,
            extended: None,
            restarts: 0,
            last_failure: None,
            straggler: None,
        } = self
        else {
            return Some(Box::new(self));
        };
        None
    }
}

impl EntryReport {
    /// What it is.
    pub fn kind(&self) -> EntryKind {
        self.kind
    }

    /// Its number.
    pub fn id(&self) -> WorkerId {
        self.id
    }

    /// Its name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The name of the nested supervisor that it belongs to; `None` for what belongs to the one that was shut down.
    pub fn supervisor(&self) -> Option<&str> {
        self.supervisor.as_deref()
    }

    /// Where it was spawned or registered.
    pub fn location(&self) -> &'static Location<'static> {
        self.location
    }

    /// How it ended.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// How long its terminate callback (or the hook) ran; `None` if it had none, or if it did not return.
    pub fn callback(&self) -> Option<Duration> {
        self.callback
    }

    /// What went wrong with its callback, if anything did.
    pub fn callback_fault(&self) -> Option<&CallbackFault> {
        self.rare()?.fault.as_ref()
    }

    /// What it said of itself, with [`note`](crate::note()) or [`note_fault`](crate::note_fault): of a child process, how that ended.
    pub fn note(&self) -> Option<&str> {
        self.rare()?.note.as_ref().map(|note| &*note.text)
    }

    /// When it was told to stop, counted from the beginning of the shutdown.
    pub fn told(&self) -> Duration {
        self.told
    }

    /// How long it went on after it had been told: until it was gone, or until it was given up.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// How much more time it was given than it had, because it asked with [`StopToken::extend`](crate::StopToken::extend); `None` if it
    /// did not ask, or got nothing.
    pub fn extended(&self) -> Option<Duration> {
        self.rare()?.extended
    }

    /// How often it was started again.
    pub fn restarts(&self) -> u32 {
        self.rare().map_or(0, |rare| rare.restarts)
    }

    /// Why it was last started again, or given up: the message of a panic, or the text of an error.
    pub fn last_failure(&self) -> Option<&str> {
        self.rare()?.last_failure.as_deref()
    }

    /// Still running when its time was up: the worker, or its callback.
    pub fn is_straggler(&self) -> bool {
        self.outcome == Outcome::Straggler || self.callback_fault() == Some(&CallbackFault::Hung)
    }

    /// If it was still running when its time was up: where it hung then, and what would help.
    pub fn straggler(&self) -> Option<&Straggler> {
        let straggler = self.rare()?.straggler.as_deref();
        straggler.filter(|_| self.is_straggler())
    }

    /// It said itself that something went wrong.
    pub(crate) fn has_noted_fault(&self) -> bool {
        let note = self.rare().and_then(|rare| rare.note.as_ref());
        note.is_some_and(|note| note.fault)
    }

    fn rare(&self) -> Option<&Rare> {
        self.rare.as_deref()
    }

    /// Nothing went wrong with it.
    pub fn is_clean(&self) -> bool {
        self.callback_fault().is_none()
            && !self.has_noted_fault()
            && matches!(
                self.outcome,
                Outcome::Finished | Outcome::Caller | Outcome::Daemon
            )
    }
}

/// What happened in a shutdown. Everyone who called `shutdown` gets the same one; cloning is cheap.
///
/// Its `Display` is written for an operator: a summary, then a line for each entry, the stuck and the slow first.
///
/// ```
/// use sundown::{Cause, Supervisor};
///
/// let supervisor = Supervisor::new();
/// supervisor.worker().name("ticker".into()).spawn_with(|stop| stop.wait())?;
/// let report = supervisor.shutdown();
/// assert_eq!(*report.cause(), Cause::Requested);
/// assert!(report.is_clean(), "{report}");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ShutdownReport {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    cause: Cause,
    secondary: Vec<Cause>,
    elapsed: Duration,
    complete: bool,
    entries: Vec<EntryReport>,
}

impl ShutdownReport {
    pub(crate) fn new(
        cause: Cause,
        secondary: Vec<Cause>,
        elapsed: Duration,
        complete: bool,
        entries: Vec<EntryReport>,
    ) -> Self {
        ShutdownReport {
            inner: Arc::new(Inner {
                cause,
                secondary,
                elapsed,
                complete,
                entries,
            }),
        }
    }

    /// Of a shutdown that is not ours to carry out, in a forked child.
    pub(crate) fn nothing(cause: Cause) -> Self {
        ShutdownReport::new(cause, Vec::new(), Duration::ZERO, true, Vec::new())
    }

    /// Why the shutdown began.
    pub fn cause(&self) -> &Cause {
        &self.inner.cause
    }

    /// How critical workers failed, and which workers were given up, when the shutdown had been requested already; in the order in
    /// which that happened.
    pub fn secondary(&self) -> &[Cause] {
        &self.inner.secondary
    }

    /// How long it took, from the request to the end of the last `on_exit` hook.
    pub fn elapsed(&self) -> Duration {
        self.inner.elapsed
    }

    /// Every entry, in the order in which they were told to stop, then the `on_exit` hooks in the order in which they ran.
    /// The entries of a nested supervisor follow that of the supervisor itself.
    pub fn entries(&self) -> &[EntryReport] {
        &self.inner.entries
    }

    /// The entries that were still running, or whose callback was, when their time was up.
    pub fn stragglers(&self) -> Vec<&EntryReport> {
        let stuck = self.inner.entries.iter().filter(|e| e.is_straggler());
        stuck.collect()
    }

    /// No straggler, no panic, no callback that failed, no fault that a worker noted, and complete.
    pub fn is_clean(&self) -> bool {
        self.inner.complete && self.inner.entries.iter().all(EntryReport::is_clean)
    }

    /// False if this was taken while the shutdown was still going on, as a callback that asks for it gets.
    pub fn is_complete(&self) -> bool {
        self.inner.complete
    }

    /// The exit code that fits the cause: 128 + n for a signal, 1 when a worker failed, 101 after a panic in `main`, the given code for an exit, else 0.
    pub fn exit_code(&self) -> u8 {
        self.inner.cause.exit_code()
    }
}

//! The record of a straggler: what the supervisor knows of it by itself, and what a look at its threads found out.
//!
//! Nothing of this exists until a shutdown gives somebody up. Then the records are made at the deadline, before the `on_exit` hooks,
//! while the threads still hang where they hang; who looks at the threads is decided in `seams`.

use std::borrow::Cow;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::callback::Callback;
use super::hook::HookRecord;
use super::kind::{EntryKind, WorkerId};
use super::registry::{Core, Entry, Told};
use super::report::CallbackFault;
use super::stuck_thread::StuckThread;
use super::worker::Worker;
use crate::base::sort::sort_by_key;
use crate::seams;
use crate::sync::Instant;

/// How long looking at stragglers may take, for all of a shutdown with what is nested in it.
pub(super) const LOOK_LIMIT: Duration = Duration::from_secs(1);

/// Who did not come to an end in a shutdown, where it hangs, and what would have helped. See [`diagnose`](crate::diagnose).
///
/// Its `Display` is what the report prints of it: a few lines, the last of them the advice.
///
/// ```
/// use std::time::Duration;
/// use sundown::Supervisor;
///
/// let supervisor = Supervisor::builder().deadline(Duration::from_millis(20)).build();
/// let (release, never) = std::sync::mpsc::channel::<()>();
/// supervisor.worker().name("deaf".into()).spawn(move || never.recv())?;
///
/// let report = supervisor.shutdown();
/// let straggler = report.entries()[0].straggler().unwrap();
/// assert_eq!(straggler.name(), Some("deaf"));
/// println!("{straggler}"); // where it hangs, and what would have helped: `straggler.advice()`
/// # drop(release);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Straggler {
    pub(crate) kind: EntryKind,
    pub(crate) id: WorkerId,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) location: &'static Location<'static>,
    pub(crate) age: Option<Duration>,
    pub(crate) told: Option<Duration>,
    pub(crate) callback: CallbackState,
    pub(crate) activity: Option<Cow<'static, str>>,
    pub(crate) cpu: Option<Duration>,
    /// Its thread, as far as it is stuck itself; by the kernel's number.
    pub(crate) os_thread: Option<u32>,
    /// The helper that is stuck in its callback.
    pub(crate) callback_os_thread: Option<u32>,
    pub(crate) thread: Option<StuckThread>,
    pub(crate) callback_thread: Option<StuckThread>,
    pub(crate) cycle: Option<String>,
    pub(crate) advice: Cow<'static, str>,
}

/// How far a terminate callback (or a hook) has come.
///
/// ```
/// use std::time::Duration;
/// use sundown::{diagnose::CallbackState, Supervisor};
///
/// let supervisor = Supervisor::builder().deadline(Duration::from_millis(20)).build();
/// let (release, never) = std::sync::mpsc::channel::<()>();
/// supervisor.worker().name("deaf".into()).spawn(move || never.recv())?;
///
/// let report = supervisor.shutdown();
/// let straggler = report.entries()[0].straggler().unwrap();
/// assert_eq!(*straggler.callback(), CallbackState::None); // it had none: that is why nobody could tell it
/// # drop(release);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallbackState {
    /// There is none.
    None,
    /// It has not been called.
    NotRun,
    /// It is running, within its limit.
    Running,
    /// It ran, for so long.
    Ran(Duration),
    /// It panicked, with this message.
    Panicked(String),
    /// It did not return within its limit, and was left behind.
    Hung,
}

impl Straggler {
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

    /// Where it was spawned or registered.
    pub fn location(&self) -> &'static Location<'static> {
        self.location
    }

    /// How long it had run when the look at it was over; `None` for hooks.
    pub fn age(&self) -> Option<Duration> {
        self.age
    }

    /// How long before that it had been told to stop.
    pub fn told(&self) -> Option<Duration> {
        self.told
    }

    /// What its terminate callback (or the hook) did.
    pub fn callback(&self) -> &CallbackState {
        &self.callback
    }

    /// The label that it set last with [`activity`](crate::activity).
    pub fn activity(&self) -> Option<&str> {
        self.activity.as_deref()
    }

    /// The processor time that it used since it was told, counted from when the shutdown had waited 100 ms for it (or a quarter of
    /// what was left). About as long as the wait itself: it spins. Next to nothing: it is blocked. `None` where the system does not
    /// tell.
    pub fn cpu(&self) -> Option<Duration> {
        self.cpu
    }

    /// Its own thread. `None` for a hook, for a worker that has ended itself, and where the system does not tell.
    pub fn thread(&self) -> Option<&StuckThread> {
        self.thread.as_ref()
    }

    /// The thread that hangs in its callback, or in the hook.
    pub fn callback_thread(&self) -> Option<&StuckThread> {
        self.callback_thread.as_ref()
    }

    /// The circle of waits that it is in: `a → b → a`.
    pub fn cycle(&self) -> Option<&str> {
        self.cycle.as_deref()
    }

    /// One line: what to change so that it ends next time.
    pub fn advice(&self) -> &str {
        &self.advice
    }

    fn of_worker(worker: &Worker, stuck: bool) -> Straggler {
        let callback = CallbackState::of(&worker.callback, worker.token_hangs());
        Straggler {
            kind: worker.traits.kind,
            id: worker.id,
            name: worker.traits.name.clone(),
            location: worker.traits.location,
            age: Some(worker.began.elapsed()),
            told: worker.told().as_ref().map(Instant::elapsed),
            activity: worker.trace.activity(),
            cpu: worker.trace.cpu().filter(|_| stuck),
            os_thread: worker.trace.os_thread().filter(|_| stuck),
            callback_os_thread: (callback == CallbackState::Hung)
                .then(|| worker.callback.left_on())
                .flatten(),
            callback,
            thread: None,
            callback_thread: None,
            cycle: None,
            advice: Cow::Borrowed(""),
        }
    }

    fn of_hook(hook: &HookRecord, told: Instant) -> Straggler {
        Straggler {
            kind: hook.kind,
            id: hook.id,
            name: Some(Arc::clone(&hook.name)),
            location: hook.location,
            age: None,
            told: Some(told.elapsed()),
            callback: CallbackState::of(&hook.callback, false),
            activity: None,
            cpu: None,
            os_thread: None,
            callback_os_thread: hook.callback.left_on(),
            thread: None,
            callback_thread: None,
            cycle: None,
            advice: Cow::Borrowed(""),
        }
    }

    fn of(told: &Told) -> Option<Straggler> {
        match &told.entry {
            Entry::Worker(worker) => {
                let itself = is_stuck(worker) && !worker.is_gone();
                Some(Straggler::of_worker(worker, itself))
            }
            Entry::Hook(hook) => Some(Straggler::of_hook(hook, told.at)),
            Entry::Child(_) => None,
        }
    }
}

/// Whether the report will have it as a straggler, in one way or the other. Cheap: asked of every entry of every shutdown.
fn is_straggler(told: &Told) -> bool {
    match &told.entry {
        Entry::Worker(worker) => {
            is_stuck(worker) || worker.callback.is_hung() || worker.token_hangs()
        }
        Entry::Hook(hook) => hook.callback.is_hung(),
        Entry::Child(_) => false, // its own shutdown looks after those in it
    }
}

fn is_stuck(worker: &Worker) -> bool {
    let left = worker.is_gone() || worker.is_caller() || worker.traits.daemon;
    !left || worker.given_up().is_some()
}

/// The record of this one among these, which are sorted by number.
pub(super) fn straggler_among(
    stragglers: &[Arc<Straggler>],
    id: WorkerId,
) -> Option<Arc<Straggler>> {
    let at = stragglers.binary_search_by_key(&id, |straggler| straggler.id);
    at.ok().map(|at| Arc::clone(&stragglers[at]))
}

impl CallbackState {
    pub(super) fn of(callback: &Callback, token_hangs: bool) -> CallbackState {
        match callback.account() {
            _ if token_hangs => CallbackState::Hung,
            (_, Some(CallbackFault::Hung)) => CallbackState::Hung,
            (_, Some(CallbackFault::Panicked(message))) => CallbackState::Panicked(message),
            (Some(took), None) => CallbackState::Ran(took),
            (None, None) if callback.is_absent() => CallbackState::None,
            (None, None) if callback.is_ready() => CallbackState::NotRun,
            (None, None) => CallbackState::Running,
        }
    }
}

impl Core {
    /// Has a look taken at each straggler that was not looked at yet, for as long as is left for that. The records wait for the
    /// report.
    pub(super) fn look_at_stragglers(self: &Arc<Core>) {
        let told: Vec<Told> = {
            let registry = self.registry.lock();
            let told = registry.told.iter().chain(&registry.exit_hooks_run);
            let known = |told: &Told| straggler_among(&registry.looked_at, told.entry.id());
            let new = told.filter(|told| is_straggler(told) && known(told).is_none());
            new.cloned().collect()
        };
        if told.is_empty() {
            return;
        }
        let stragglers: Vec<_> = told.iter().filter_map(Straggler::of).collect();
        let root = self.root();
        let limit = root.registry.lock().look_limit;
        let began = Instant::now();
        let found = seams::examine(stragglers, limit);
        let took = began.elapsed();
        {
            let mut registry = root.registry.lock();
            registry.look_limit = registry.look_limit.saturating_sub(took);
        }
        let found = found.into_iter().map(|mut found| {
            // With stacks a look may take half a second, which the report counts as well.
            found.age = found.age.map(|age| age + took);
            found.told = found.told.map(|told| told + took);
            Arc::new(found)
        });
        let mut registry = self.registry.lock();
        registry.looked_at.extend(found);
        sort_by_key(&mut registry.looked_at, |found| (found.id.get(), 0));
    }

    /// The supervisor that this one is nested in and that is nested in none itself.
    pub(crate) fn root<'a>(self: &'a Arc<Core>) -> &'a Arc<Core> {
        let mut core = self;
        while let Some(parent) = &core.parent {
            core = parent;
        }
        core
    }
}

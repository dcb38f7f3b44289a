//! The shared state of one supervisor: what is registered, in the order of registration, and how far the shutdown is.
//!
//! # Invariants
//!
//! - Sequence numbers are drawn with the registry's lock held, so the order of the maps is the order of registration.
//! - An entry is in exactly one place: `untold` while it need not stop, `told` from when the shutdown takes it.
//! - The phase only moves Running → Stopping → Closed. Nothing is registered once it is Closed (but `on_exit` hooks, until
//!   they have run).
//!
//! # Lock order
//!
//! One lock for each supervisor. With it held, only the leaf locks of a worker or a callback are taken, never that of another
//! supervisor; nothing of a user's is called or dropped. What is removed is dropped after the lock is free.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::cause::Cause;
use super::hook::HookRecord;
use super::report::{ShutdownReport, WorkerId};
use super::worker::Worker;
use crate::stop::StopSource;
use crate::sys;

/// Inside the 10 s after which `docker stop` sends SIGKILL.
pub(crate) const DEFAULT_DEADLINE: Duration = Duration::from_secs(8);
/// The longest that one callback is waited for.
const CALLBACK_LIMIT: Duration = Duration::from_secs(1);
/// What a callback gets however short the deadline is.
const SHORTEST_CALLBACK_LIMIT: Duration = Duration::from_millis(10);

/// In which order workers are told and joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// All are told, newest first; then all are joined, newest first. Workers stop side by side.
    #[default]
    AllThenJoin,
    /// Each is told and joined before the next older one is told. Slower, for workers that use one another; nested
    /// supervisors give the same between groups.
    OneByOne,
}

/// How the process ends after a signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitStyle {
    /// As the signal would have ended it: its default action is restored and it is raised again, so that shells and service
    /// managers see the truth.
    #[default]
    AsSignal,
    /// With exit code 128 + n.
    Code,
}

/// What a builder decides about a supervisor.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) deadline: Duration,
    pub(crate) grace: Option<Duration>,
    pub(crate) order: Order,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            deadline: DEFAULT_DEADLINE,
            grace: None,
            order: Order::AllThenJoin,
        }
    }
}

impl Settings {
    /// How long one callback may take: 1 s, or a quarter of the deadline if that is less. Never so short that a callback
    /// that does hardly anything counts as hung.
    pub(crate) fn callback_limit(&self) -> Duration {
        CALLBACK_LIMIT
            .min(self.deadline / 4)
            .max(SHORTEST_CALLBACK_LIMIT)
    }
}

/// How far a supervisor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    Running,
    Stopping,
    Closed,
}

/// Anything registered that is told to stop.
#[derive(Clone)]
pub(crate) enum Entry {
    Worker(Arc<Worker>),
    Hook(Arc<HookRecord>),
    Child(Arc<ChildRecord>),
}

/// A nested supervisor, as an entry of its parent.
pub(crate) struct ChildRecord {
    pub(crate) id: WorkerId,
    pub(crate) name: Arc<str>,
    pub(crate) location: &'static Location<'static>,
    /// Weak: a child whose handles, workers and hooks are gone is gone.
    pub(crate) core: Weak<Core>,
}

impl Entry {
    pub(crate) fn id(&self) -> WorkerId {
        match self {
            Entry::Worker(worker) => worker.id,
            Entry::Hook(hook) => hook.id,
            Entry::Child(child) => child.id,
        }
    }
}

/// An entry that has been told to stop.
#[derive(Clone)]
pub(crate) struct Told {
    pub(crate) entry: Entry,
    pub(crate) at: Instant,
    /// A child's own report, when its shutdown is through.
    pub(crate) child: Option<ShutdownReport>,
}

/// The state of one supervisor.
pub(crate) struct Core {
    pub(crate) name: Option<Arc<str>>,
    /// The supervisor that this one is an entry of.
    pub(crate) parent: Option<Arc<Core>>,
    /// The number of the entry in the parent.
    pub(crate) id_in_parent: Option<WorkerId>,
    /// Which process made it: after a fork it is nobody's.
    generation: u32,
    /// A copy of `Registry::phase`, for a look without the lock. Written under the lock only.
    phase: AtomicU8,
    /// Trips when the shutdown is requested. Not the parent of the workers' tokens: those trip in their turn.
    pub(crate) stop: StopSource,
    /// `main` has shown that it can be told to stop.
    pub(crate) main_hears: AtomicBool,
    pub(crate) registry: Mutex<Registry>,
    /// Notified when someone who waits should look again: the phase, `pending`, a late entry, the report.
    pub(crate) changed: Condvar,
}

/// What the lock guards.
pub(crate) struct Registry {
    pub(crate) settings: Settings,
    pub(crate) phase: Phase,
    pub(crate) cause: Option<Cause>,
    /// When the shutdown was requested.
    pub(crate) began: Option<Instant>,
    /// When it ends; `None` while running, or for never.
    pub(crate) deadline: Option<Instant>,
    /// Whoever asked for the shutdown ends the process itself, or is `main` and decides what follows.
    pub(crate) by_leaver: bool,
    /// `main` is on its way out, or some thread is exiting the process.
    pub(crate) leaving: bool,
    /// Not told yet, by sequence number.
    pub(crate) untold: BTreeMap<WorkerId, Entry>,
    /// Told, in that order.
    pub(crate) told: Vec<Told>,
    /// Told workers that are still waited for.
    pub(crate) pending: BTreeSet<WorkerId>,
    /// The ends of the graces of pending workers, soonest first. May name some that are pending no more.
    pub(crate) graces: BTreeSet<(Instant, WorkerId)>,
    /// Workers that were still running when their grace was over, or whose thread would not be joined.
    pub(crate) overdue: BTreeSet<WorkerId>,
    /// The `on_exit` hooks that have not run, by sequence number.
    pub(crate) exit_hooks: BTreeMap<WorkerId, Arc<HookRecord>>,
    /// The `on_exit` hooks that have been started, in that order.
    pub(crate) exit_hooks_run: Vec<Told>,
    /// Somebody carries out the shutdown.
    pub(crate) driven: bool,
    /// Set when it is through.
    pub(crate) report: Option<ShutdownReport>,
    /// How the process ends after a signal, once this supervisor has been installed.
    pub(crate) exit_style: Option<ExitStyle>,
    /// `main`'s record, when this supervisor is installed.
    pub(crate) main: Option<Arc<Worker>>,
    /// How to rouse the coordinator thread of an installed supervisor.
    pub(crate) coordinator: Option<Sender<Message>>,
    /// How many hooks are registered and have not been started or taken back.
    hooks: usize,
    /// Keeps the supervisor alive while it has hooks, which no thread holds.
    keep: Option<Arc<Core>>,
}

/// What the coordinator thread is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// This signal came.
    Signal(i32),
    /// A shutdown was requested.
    Requested,
    /// The guard is gone and `main` goes on: nothing more to coordinate.
    Done,
}

/// Registering failed: the supervisor's shutdown is over.
#[derive(Debug)]
pub(crate) struct Closed;

impl Core {
    pub(crate) fn new(
        name: Option<Arc<str>>,
        settings: Settings,
        parent: Option<(Arc<Core>, WorkerId)>,
    ) -> Core {
        let (parent, id_in_parent) = match parent {
            Some((core, id)) => (Some(core), Some(id)),
            None => (None, None),
        };
        Core {
            name,
            parent,
            id_in_parent,
            generation: sys::fork_generation(),
            phase: AtomicU8::new(Phase::Running as u8),
            stop: StopSource::new(),
            main_hears: AtomicBool::new(false),
            registry: Mutex::new(Registry {
                settings,
                phase: Phase::Running,
                cause: None,
                began: None,
                deadline: None,
                by_leaver: false,
                leaving: false,
                untold: BTreeMap::new(),
                told: Vec::new(),
                pending: BTreeSet::new(),
                graces: BTreeSet::new(),
                overdue: BTreeSet::new(),
                exit_hooks: BTreeMap::new(),
                exit_hooks_run: Vec::new(),
                driven: false,
                report: None,
                exit_style: None,
                main: None,
                coordinator: None,
                hooks: 0,
                keep: None,
            }),
            changed: Condvar::new(),
        }
    }

    /// Whether a shutdown has been requested. One atomic load.
    pub(crate) fn is_stopping(&self) -> bool {
        // Acquire: pairs with the Release in `set_phase`.
        self.phase.load(Ordering::Acquire) != Phase::Running as u8
    }

    /// False in a forked child of the process that made this supervisor: its threads do not exist here, and its locks may be
    /// held for ever.
    pub(crate) fn is_ours(&self) -> bool {
        self.generation == sys::fork_generation()
    }

    pub(crate) fn set_phase(&self, registry: &mut MutexGuard<'_, Registry>, phase: Phase) {
        registry.phase = phase;
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// Draws a number and adds the entry that `make` builds with it. A late one is left for whoever drives the shutdown,
    /// who is roused.
    pub(crate) fn register<T>(
        &self,
        make: impl FnOnce(WorkerId) -> (Entry, T),
    ) -> Result<T, Closed> {
        let mut registry = self.registry.lock();
        if registry.phase == Phase::Closed {
            return Err(Closed);
        }
        let id = next_id();
        let (entry, made) = make(id);
        registry.untold.insert(id, entry);
        let late = registry.phase == Phase::Stopping;
        drop(registry);
        if late {
            self.changed.notify_all();
        }
        Ok(made)
    }

    /// Registers a nested supervisor. `None` unless this one is running.
    pub(crate) fn register_child(
        self: &Arc<Core>,
        name: Arc<str>,
        location: &'static Location<'static>,
    ) -> Option<Arc<Core>> {
        let mut registry = self.registry.lock();
        if registry.phase != Phase::Running {
            return None;
        }
        let id = next_id();
        let parent = Some((Arc::clone(self), id));
        let settings = registry.settings.clone();
        let core = Arc::new(Core::new(Some(Arc::clone(&name)), settings, parent));
        let record = ChildRecord {
            id,
            name,
            location,
            core: Arc::downgrade(&core),
        };
        registry.untold.insert(id, Entry::Child(Arc::new(record)));
        Some(core)
    }

    /// Registers a hook of either kind. An `on_exit` hook is taken until the report is made.
    pub(crate) fn register_hook(
        self: &Arc<Core>,
        make: impl FnOnce(WorkerId) -> HookRecord,
        at_exit: bool,
    ) -> Result<Arc<HookRecord>, Closed> {
        let mut registry = self.registry.lock();
        let over = match at_exit {
            true => registry.report.is_some(),
            false => registry.phase == Phase::Closed,
        };
        if over {
            return Err(Closed);
        }
        let hook = Arc::new(make(next_id()));
        if at_exit {
            registry.exit_hooks.insert(hook.id, Arc::clone(&hook));
        } else {
            registry
                .untold
                .insert(hook.id, Entry::Hook(Arc::clone(&hook)));
        }
        registry.hooks += 1;
        registry.keep.get_or_insert_with(|| Arc::clone(self));
        drop(registry);
        self.changed.notify_all(); // a late one is for whoever drives the shutdown
        Ok(hook)
    }

    /// Forgets a hook that was taken back, or a child that is gone.
    pub(crate) fn unregister(&self, id: WorkerId) {
        let removed; // dropped when the lock is free
        let mut keep = None;
        {
            let mut registry = self.registry.lock();
            let hook = registry.exit_hooks.remove(&id);
            let entry = registry.untold.remove(&id);
            if hook.is_some() || matches!(entry, Some(Entry::Hook(_))) {
                registry.hooks -= 1;
                if registry.hooks == 0 && registry.phase == Phase::Running {
                    keep = registry.keep.take();
                }
            }
            removed = (hook, entry);
        }
        drop((removed, keep));
    }

    /// Forgets a worker whose thread could not be started, wherever the shutdown may have put it meanwhile.
    pub(crate) fn undo_spawn(&self, id: WorkerId) {
        let removed; // dropped when the lock is free
        {
            let mut registry = self.registry.lock();
            let untold = registry.untold.remove(&id);
            registry.pending.remove(&id);
            let told = registry.told.iter().position(|told| told.entry.id() == id);
            removed = (untold, told.map(|at| registry.told.remove(at)));
        }
        self.changed.notify_all();
        drop(removed);
    }

    /// Called by a worker's thread when its code and its thread-locals are through.
    pub(crate) fn leave(&self, worker: &Worker) {
        if !self.is_ours() {
            return;
        }
        if worker.ended().is_none() {
            // Its thread-locals are destroyed though its closure has not ended: it is leaving the process, and what
            // follows (the atexit handler) runs on this very thread.
            self.exclude(worker);
            return;
        }
        worker.set_gone(self.is_stopping().then(Instant::now));
        let removed; // dropped when the lock is free
        let mut rouse = false;
        {
            let mut registry = self.registry.lock();
            if registry.phase == Phase::Running {
                removed = registry.untold.remove(&worker.id);
            } else {
                // The record stays until it has been joined and reported.
                removed = None;
                rouse = registry.pending.remove(&worker.id) && registry.pending.is_empty();
            }
        }
        if rouse {
            self.changed.notify_all();
        }
        drop(removed);
    }

    /// From now on nobody waits for this worker: it waits for the shutdown itself.
    pub(crate) fn exclude(&self, worker: &Worker) {
        let mut registry = self.registry.lock();
        worker.set_caller();
        let rouse = registry.pending.remove(&worker.id);
        drop(registry);
        if rouse {
            self.changed.notify_all();
        }
    }

    /// Begins the shutdown: the first cause wins. True if this was the first. Everyone who waits for it wakes; nothing is
    /// carried out yet. A child gets no longer than what is left of its parent's deadline.
    pub(crate) fn begin(&self, cause: Cause, by_leaver: bool) -> bool {
        if !self.is_ours() {
            return false;
        }
        let parents = self
            .parent
            .as_ref()
            .and_then(|parent| parent.registry.lock().deadline);
        let coordinator;
        {
            let mut registry = self.registry.lock();
            if registry.phase != Phase::Running {
                return false;
            }
            let now = Instant::now();
            registry.cause = Some(cause);
            registry.began = Some(now);
            registry.by_leaver = by_leaver;
            // Past what an Instant can hold, there is no deadline.
            let own = now.checked_add(registry.settings.deadline);
            registry.deadline = [own, parents].into_iter().flatten().min();
            self.set_phase(&mut registry, Phase::Stopping);
            coordinator = registry.coordinator.clone();
        }
        self.changed.notify_all();
        self.stop.stop();
        if let Some(coordinator) = coordinator {
            // It has gone only if the guard has gone, and then whoever called this carries it out.
            let _ = coordinator.send(Message::Requested);
        }
        true
    }

    /// A shutdown that is under way gets no longer than this, and nor does what is nested in it.
    pub(crate) fn tighten(&self, cap: Option<Instant>) {
        let Some(cap) = cap else { return };
        let mut children = Vec::new();
        {
            let mut registry = self.registry.lock();
            if registry.deadline.map_or(false, |deadline| deadline <= cap) {
                return;
            }
            registry.deadline = Some(cap);
            for told in &registry.told {
                if let Entry::Child(child) = &told.entry {
                    children.extend(child.core.upgrade());
                }
            }
        }
        self.changed.notify_all();
        for child in children {
            child.tighten(Some(cap));
        }
    }

    /// Blocks until a shutdown is requested, and says why it was.
    pub(crate) fn wait_for_request(&self) -> Cause {
        let mut registry = self.registry.lock();
        loop {
            if let Some(cause) = &registry.cause {
                return cause.clone();
            }
            self.changed.wait(&mut registry);
        }
    }

    /// `main` is on its own way out (or waits for the shutdown), so nobody waits for it.
    pub(crate) fn main_leaves(&self) {
        let main = {
            let mut registry = self.registry.lock();
            registry.leaving = true;
            registry.main.clone()
        };
        if let Some(main) = main {
            main.set_gone(Some(Instant::now()));
            let (untold, rouse) = {
                let mut registry = self.registry.lock();
                let untold = registry.untold.remove(&main.id);
                (untold, registry.pending.remove(&main.id))
            };
            drop(untold); // with the lock free
            if rouse {
                self.changed.notify_all();
            }
        }
    }

    /// True for this supervisor and each of its ancestors.
    pub(crate) fn is_within(&self, ancestor: &Core) -> bool {
        let mut core = Some(self);
        while let Some(this) = core {
            if std::ptr::eq(this, ancestor) {
                return true;
            }
            core = this.parent.as_deref();
        }
        false
    }

    /// Everything that the shutdown kept is let go. Call it with no lock held.
    pub(crate) fn release(&self) {
        let kept;
        {
            let mut registry = self.registry.lock();
            kept = (
                std::mem::take(&mut registry.told),
                std::mem::take(&mut registry.exit_hooks_run),
                registry.keep.take(),
            );
            registry.graces.clear();
        }
        drop(kept);
    }
}

impl Registry {
    /// A hook has been taken to be run.
    pub(crate) fn hook_started(&mut self) {
        self.hooks -= 1;
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if let (Some(parent), Some(id)) = (&self.parent, self.id_in_parent) {
            if self.is_ours() {
                parent.unregister(id);
            }
        }
    }
}

/// The next sequence number. One counter for the process, so that numbers are unique; drawn under a registry's lock, so
/// that they grow within each registry.
pub(crate) fn next_id() -> WorkerId {
    static NEXT: AtomicU64 = AtomicU64::new(MAIN_ID.get() + 1);
    // Relaxed: the registry's lock orders the numbers of one registry; between registries no order is promised.
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    WorkerId(NonZeroU64::new(id).expect("2^64 registrations do not happen"))
}

/// The number of `main`, which counts as the oldest worker whenever it was that the supervisor was installed.
const MAIN_ID: NonZeroU64 = NonZeroU64::MIN;

/// `main`'s number.
pub(crate) fn main_id() -> WorkerId {
    WorkerId(MAIN_ID)
}

//! The shared state of one supervisor: what is registered, in the order of registration, and how far the shutdown is.
//!
//! # Invariants
//!
//! - Sequence numbers are drawn with the registry's lock held, so their order is the order of registration.
//! - An entry is in exactly one place: `untold` while it need not stop, `told` from when the shutdown takes it.
//! - The phase only moves Running → Stopping → Closed. Nothing is registered once it is Closed (but `on_exit` hooks, until
//!   they have run).
//!
//! # Lock order
//!
//! One lock for each supervisor. With it held, only the leaf locks of a worker or a callback are taken, never that of another
//! supervisor; nothing of a user's is called or dropped. What is removed is dropped after the lock is free.

use std::any::Any;
use std::collections::BinaryHeap;
use std::num::NonZeroU64;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::hook::HookRecord;
use super::kind::WorkerId;
use super::observers::Observers;
use super::pending::Grace;
use super::report::ShutdownReport;
use super::settings::{ExitStyle, Order, Settings};
use super::straggler::{Straggler, LOOK_LIMIT};
use super::worker::Worker;
use crate::base::cause::Cause;
use crate::base::mailbox::Sender;
use crate::base::ordered::Ordered;
use crate::stop::{Stop, StopReason, StopSource, Tripped};
use crate::sync::atomic::{AtomicBool, AtomicU8};
use crate::sync::{Condvar, Instant, Mutex, OnceCell};

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
    /// Set when it is made, or when it is installed.
    pub(crate) name: OnceCell<Arc<str>>,
    /// The supervisor that this one is an entry of.
    pub(crate) parent: Option<Arc<Core>>,
    /// The number of the entry in the parent.
    pub(crate) id_in_parent: Option<WorkerId>,
    /// Which process made it: after a fork it is nobody's.
    pub(super) generation: u32,
    /// A copy of `Registry::phase`, for a look without the lock. Written under the lock only.
    pub(super) phase: AtomicU8,
    /// Trips when the shutdown is requested. Not the parent of the workers' tokens: those trip in their turn.
    pub(crate) stop: StopSource,
    /// `main` has shown that it can be told to stop.
    pub(crate) main_hears: AtomicBool,
    pub(crate) registry: Mutex<Registry>,
    /// Notified when someone who waits should look again: the phase, `pending`, a late entry, the report.
    pub(crate) changed: Condvar,
    /// Who is told what happens here.
    pub(crate) observers: Arc<Observers>,
    /// What an adapter keeps for this supervisor: `restart`, who is started again with whom.
    pub(crate) attached: OnceCell<Arc<dyn Any + Send + Sync>>,
}

/// What the lock guards.
pub(crate) struct Registry {
    pub(crate) settings: Settings,
    pub(crate) phase: Phase,
    pub(crate) cause: Option<Cause>,
    /// How critical workers failed after that, in order.
    pub(crate) secondary: Vec<Cause>,
    /// The supervisor's own token, tripped, with callbacks that may be left to run.
    pub(crate) tripped: Option<Tripped>,
    /// The newest entry when the shutdown was requested: what is newer is late.
    pub(crate) last_in_time: Option<WorkerId>,
    /// Whether the coordinator thread was roused, or is about to be, and so carries the shutdown out.
    pub(crate) coordinated: bool,
    /// When the shutdown was requested.
    pub(crate) began: Option<Instant>,
    /// When it ends; `None` while running, or for never.
    pub(crate) deadline: Option<Instant>,
    /// The deadline without what workers have asked for.
    pub(crate) unextended: Option<Instant>,
    /// The latest that the deadline can be moved to.
    pub(crate) latest: Option<Instant>,
    /// Whoever asked for the shutdown ends the process itself, or is `main` and decides what follows.
    pub(crate) by_leaver: bool,
    /// `main` waits for the request, or did when it came.
    pub(crate) main_waits: bool,
    /// `main` is on its way out, or some thread is exiting the process.
    pub(crate) leaving: bool,
    /// Since when a thread that ends the process flushes what was printed, which may hang: the coordinator watches it.
    pub(crate) flushes_since: Option<Instant>,
    /// The coordinator waits for the process's end, and is to be told when that begins.
    pub(crate) end_is_awaited: bool,
    /// Not told yet, by sequence number.
    pub(crate) untold: Ordered<WorkerId, Entry>,
    /// Told, in that order. Shared, so that a report is made from it without the lock and without copying it: changed with
    /// `make_mut`, which copies only if a report is being made just now.
    pub(crate) told: Arc<Vec<Told>>,
    /// How many of the first of them have been looked at for who is gone, while others were being told.
    pub(super) looked_for_gone: usize,
    /// How many of the told workers are still waited for: those that stand so (`pending.rs`).
    pub(super) pending: usize,
    /// When pending workers are given up that are so before the deadline, soonest first. May name some that are pending no more, or
    /// that were given more time.
    pub(super) graces: BinaryHeap<Grace>,
    /// What a look at the stragglers has found, for the report; by number.
    pub(super) looked_at: Vec<Arc<Straggler>>,
    /// How much longer looking may take, for this supervisor and all that are nested in it.
    pub(crate) look_limit: Duration,
    /// Workers that the shutdown left behind, until they end.
    pub(crate) left_behind: Ordered<WorkerId, Entry>,
    /// Nested supervisors that were made while this one was stopping. They are told at once, and closed last.
    pub(crate) late_children: Vec<Arc<ChildRecord>>,
    /// A nested supervisor that was made late stays open until its parent (or its own `shutdown`) sets this.
    pub(crate) held_open: bool,
    /// The `on_exit` hooks that have not run, by sequence number.
    pub(crate) exit_hooks: Ordered<WorkerId, Arc<HookRecord>>,
    /// No more `on_exit` hooks are taken: the last has been started.
    pub(crate) exit_hooks_over: bool,
    /// When the first `on_exit` hook was started.
    pub(crate) exit_hooks_began: Option<Instant>,
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
    /// How many hooks are registered, as long as no shutdown runs any.
    pub(super) hooks: usize,
    /// Keeps the supervisor alive while it has hooks, which no thread holds.
    pub(super) keep: Option<Arc<Core>>,
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
    /// Who sends this ends the process, but for a flush that may hang (`flushes_since`).
    Ending,
}

/// Registering failed: the supervisor's shutdown is over.
#[derive(Debug)]
pub(crate) struct Closed;

impl Registry {
    pub(super) fn new(settings: Settings, held_open: bool) -> Registry {
        Registry {
            settings,
            phase: Phase::Running,
            cause: None,
            secondary: Vec::new(),
            tripped: None,
            last_in_time: None,
            coordinated: false,
            began: None,
            deadline: None,
            unextended: None,
            latest: None,
            by_leaver: false,
            main_waits: false,
            leaving: false,
            flushes_since: None,
            end_is_awaited: false,
            untold: Ordered::new(),
            told: Arc::default(),
            looked_for_gone: 0,
            pending: 0,
            graces: BinaryHeap::new(),
            looked_at: Vec::new(),
            look_limit: LOOK_LIMIT,
            left_behind: Ordered::new(),
            late_children: Vec::new(),
            held_open,
            exit_hooks: Ordered::new(),
            exit_hooks_over: false,
            exit_hooks_began: None,
            exit_hooks_run: Vec::new(),
            driven: false,
            report: None,
            exit_style: None,
            main: None,
            coordinator: None,
            hooks: 0,
            keep: None,
        }
    }

    /// Whether the next entry may be told: one by one, only when the one before is no longer waited for. Late entries are told
    /// at once, since whoever is waited for may be waiting for them.
    pub(super) fn may_tell(&self) -> bool {
        let one_by_one = self.settings.order == Order::OneByOne && self.pending > 0;
        !one_by_one || self.untold.newest() > self.last_in_time
    }

    /// By when a terminate callback or `on_shutdown` hook that began at `since` is given up.
    pub(crate) fn telling_limit(&self, since: Instant) -> Option<Instant> {
        self.callback_limit(since, self.deadline, self.untold.len())
    }

    /// By when an `on_exit` hook that began at `since` is given up.
    pub(crate) fn exit_hook_limit(&self, since: Instant) -> Option<Instant> {
        let began = self.exit_hooks_began.unwrap_or(since);
        let late = self.deadline.map(|deadline| deadline.max(began));
        self.callback_limit(since, late, self.exit_hooks.len())
    }

    /// One callback's limit, with `more` to come after it. Past `late` all that are left share one such limit, so that each of
    /// them runs and yet the end is near.
    fn callback_limit(
        &self,
        since: Instant,
        late: Option<Instant>,
        more: usize,
    ) -> Option<Instant> {
        let limit = self.settings.callback_limit();
        let own = since.checked_add(limit);
        let Some(late) = late else { return own };
        let Some(last) = late.checked_add(limit) else {
            return own;
        };
        let since = since.max(late);
        let rest = last.saturating_duration_since(since);
        let share = since + rest / u32::try_from(more).unwrap_or(u32::MAX).saturating_add(1);
        Some(own.map_or(share, |own| own.min(share)))
    }

    /// From now on the processor time of all who are waited for is counted.
    pub(super) fn count_cpu(&self) {
        for told in self.told.iter() {
            if let Entry::Worker(worker) = &told.entry {
                if worker.is_pending() {
                    worker.trace.count_cpu();
                }
            }
        }
    }

    /// Past the deadline.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// What a worker is told at `now`, and by when it must be done.
    pub(super) fn stop_for(&self, worker: &Worker, now: Instant) -> Stop {
        let grace = worker.traits.grace.or(self.settings.grace);
        let end = grace.and_then(|grace| now.checked_add(grace));
        let cause = self.cause.clone().unwrap_or(Cause::Requested);
        Stop {
            reason: StopReason::Shutdown(cause),
            deadline: [self.deadline_for(worker, now), end]
                .into_iter()
                .flatten()
                .min(),
        }
    }
}

/// The next sequence number. One counter for the process, so that numbers are unique; drawn under a registry's lock, so
/// that they grow within each registry.
pub(crate) fn next_id() -> WorkerId {
    // 1 is `main`'s.
    static NEXT: AtomicU64 = AtomicU64::new(2);
    // Relaxed: the registry's lock orders the numbers of one registry; between registries no order is promised.
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    WorkerId(NonZeroU64::new(id).expect("2^64 registrations do not happen"))
}

/// The number of `main`, which counts as the oldest worker whenever it was that the supervisor was installed. `next_id` begins after it.
const MAIN_ID: NonZeroU64 = NonZeroU64::MIN;

/// `main`'s number.
pub(crate) fn main_id() -> WorkerId {
    WorkerId(MAIN_ID)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::supervisor::Supervisor;
    use crate::sync::Instant;

    #[test]
    fn callbacks_past_the_deadline_share_one_limit() {
        let ms = Duration::from_millis;
        // A quarter of it is one callback's.
        let supervisor = Supervisor::builder().deadline(ms(3200)).build();
        let registry = supervisor.core.registry.lock();
        let early = Instant::now();
        let late = early + ms(700);
        let limit = |since, more| registry.callback_limit(since, Some(late), more).unwrap();
        assert_eq!(limit(late, 0), late + ms(800));
        assert_eq!(limit(late, 3), late + ms(200));
        assert_eq!(limit(late + ms(400), 1), late + ms(600));
        assert_eq!(limit(late + ms(1000), 7), late + ms(1000));
        // One that begins before it has its own limit, at most until what the last of all have.
        assert_eq!(limit(early, 0), late + ms(100));
        assert_eq!(registry.callback_limit(late, None, 9), Some(late + ms(800)));
    }
}

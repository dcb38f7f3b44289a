//! The core: who is registered, and how everything registered is brought to its end.
//!
//! Read in this order: [`Cause`] and [`ShutdownReport`] say why and what; `callback`, `worker` and `hook` are the records;
//! `registry` holds them in order; `walk` runs callbacks that may hang; `shutdown` goes through the steps; `roots` begins
//! it when the process exits. [`Supervisor`] is the handle on all that.

mod beginning;
mod budget;
mod builder;
mod callback;
pub(crate) mod current;
mod event;
mod extension;
mod hook;
mod hooks;
mod joining;
mod kind;
mod membership;
mod news;
mod observers;
pub(crate) mod on_signal;
mod pending;
pub(crate) mod registry;
mod report;
mod report_entry;
mod report_text;
pub(crate) mod roots;
mod settings;
mod shutdown;
pub(crate) mod straggler;
mod stuck_thread;
mod telling;
mod told;
mod trace;
pub(crate) mod waited;
mod waiting;
pub(crate) mod waits;
mod walk;
pub(crate) mod worker;

use std::borrow::Cow;
use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

pub use crate::base::cause::Cause;
pub use builder::SupervisorBuilder;
pub(crate) use callback::Job;
pub(crate) use event::USUAL;
pub use event::{Event, EventKind};
pub(crate) use extension::extension;
pub use hooks::Hook;
pub use kind::{EntryKind, WorkerId};
pub(crate) use observers::Observer;
pub(crate) use report::Note;
pub use report::{CallbackFault, EntryReport, Outcome, ShutdownReport};
pub use settings::{ExitStyle, Order, Strategy};
pub use straggler::{CallbackState, Straggler};
pub use stuck_thread::{StuckThread, ThreadState};
pub(crate) use telling::{tell_worker, TimeLimit};

use registry::{Core, Entry};
use worker::{Critical, Worker};

use crate::base::sort::sort_by_key;
use crate::stop::StopToken;
use crate::sync::atomic::Ordering;
use crate::sync::Instant;

/// Owns the registry of workers and hooks, and runs the shutdown.
///
/// One supervisor is global: `sundown::thread::spawn` on a thread that is no worker registers with it. Make others for parts
/// of a program that end on their own, or nest them with [`child`](Supervisor::child) for tiers: everything in a newer
/// child is gone before anything older is told to stop.
///
/// Cheap to clone; all clones are the same supervisor. Dropping the last handle stops nothing: what is registered stays so,
/// and is shut down when the process exits.
///
/// ```
/// use sundown::Supervisor;
///
/// let supervisor = Supervisor::new();
/// let worker = supervisor.worker().name("ticker".into()).spawn_with(|stop| stop.wait())?;
/// let report = supervisor.shutdown();
/// assert!(report.is_clean(), "{report}");
/// assert_eq!(report.entries()[0].name(), Some("ticker"));
/// worker.join().unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Supervisor {
    pub(crate) core: Arc<Core>,
}

/// One worker as it stands: what [`Supervisor::workers`] lists.
///
/// ```
/// use sundown::Supervisor;
///
/// let supervisor = Supervisor::new();
/// let ticker = supervisor.worker().name("ticker".into()).spawn_with(|stop| stop.wait())?;
/// let info = &supervisor.workers()[0];
/// assert_eq!((info.id, info.name.as_deref()), (ticker.id(), Some("ticker")));
/// assert!(info.told.is_none() && !info.daemon);
/// # supervisor.shutdown();
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// Its number.
    pub id: WorkerId,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Where it was spawned.
    pub location: &'static Location<'static>,
    /// The name of the supervisor that it belongs to, if that has one.
    pub supervisor: Option<String>,
    /// How long it has been registered.
    pub age: Duration,
    /// How long ago it was told to stop; `None` if it was not.
    pub told: Option<Duration>,
    /// Told to stop, but not waited for.
    pub daemon: bool,
    /// When it ends, the supervisor shuts down.
    pub critical: bool,
    /// How often it has been started again.
    pub restarts: u32,
    /// The kernel's number of its thread, as `top -H` and `gdb` show it; `None` where the system does not tell.
    pub os_id: Option<u32>,
    /// The label that it set last with [`activity`](crate::activity).
    pub activity: Option<Cow<'static, str>>,
    /// How far its terminate callback has come.
    pub callback: CallbackState,
}

impl Supervisor {
    /// A supervisor of its own, with the default settings: a deadline of 8 s and no grace shorter than that.
    pub fn new() -> Supervisor {
        Supervisor::builder().build()
    }

    /// Settings for a new supervisor.
    pub fn builder() -> SupervisorBuilder {
        SupervisorBuilder::new()
    }

    /// The global supervisor, made when it is first asked for.
    pub fn global() -> Supervisor {
        Supervisor {
            core: roots::global(),
        }
    }

    /// The supervisor of the worker that this thread is, else the global one.
    pub fn current() -> Supervisor {
        Supervisor {
            core: current::core().unwrap_or_else(roots::global),
        }
    }

    /// The name it was built with.
    pub fn name(&self) -> Option<&str> {
        self.core.name.get().map(|name| &**name)
    }

    /// A supervisor nested in this one, as an entry of it: it has its whole shutdown in its turn. It inherits deadline, grace and
    /// order, and never gets longer than what is left of its parent's deadline.
    ///
    /// While this supervisor is stopping, a child is told to stop at once, but stays open until nothing else is left here: what
    /// a worker starts in it for its clean-up still runs and is joined. Afterwards the child is closed, like this one: it
    /// starts no threads.
    #[track_caller]
    pub fn child(&self, name: impl Into<String>) -> Supervisor {
        let name = Arc::from(name.into());
        let Some(core) = self.core.register_child(name, Location::caller()) else {
            return self.clone();
        };
        if self.core.is_stopping() {
            // If it was only just requested, this child may have its turn still; being told twice changes nothing.
            core.request(self.core.wait_for_request());
        }
        Supervisor { core }
    }

    /// Asks for a shutdown and returns at once; a thread of the supervisor's own carries it out. True if this was the first
    /// request: its cause is the one that counts.
    ///
    /// If no thread can be started, it is carried out here, before this returns; what a callback or hook requests then, by the next
    /// who waits for it ([`shutdown`](Supervisor::shutdown), the guard, the process's exit).
    pub fn request_shutdown(&self, cause: Cause) -> bool {
        self.core.request(cause)
    }

    /// Whether a shutdown has been requested. One atomic load.
    pub fn is_shutting_down(&self) -> bool {
        self.main_hears();
        self.core.is_stopping()
    }

    /// A token that stops when a shutdown is requested. (A worker's own token stops when its turn comes.)
    pub fn stop_token(&self) -> StopToken {
        self.main_hears();
        self.core.stop.token()
    }

    /// Blocks until a shutdown is requested, and says why. It does not wait for the shutdown's end: return from `main` then,
    /// or call [`shutdown`](Supervisor::shutdown).
    pub fn wait_for_shutdown(&self) -> Cause {
        self.main_hears();
        self.core.wait_for_request()
    }

    /// Asks for a shutdown and waits for its end: at the latest a little after the deadline. Everyone who calls this gets the
    /// same report.
    ///
    /// A worker of this supervisor, or of one nested in it, may call this: it is not waited for. From a callback or hook of
    /// such a shutdown it cannot wait, and returns what has happened so far, with
    /// [`is_complete`](ShutdownReport::is_complete) false.
    ///
    /// Only the caller is left out. A worker that waits for the caller in its turn (it joins it, or the caller is a thread of its
    /// [`scope`](crate::thread::scope)) is waited for like any other, so that it is a straggler at the deadline: such a caller
    /// had better use [`request_shutdown`](Supervisor::request_shutdown) and return.
    pub fn shutdown(&self) -> ShutdownReport {
        self.core.shutdown(Cause::Requested)
    }

    /// The workers that are registered here and in nested supervisors, oldest first.
    pub fn workers(&self) -> Vec<WorkerInfo> {
        let mut workers = Vec::new();
        collect_workers(&self.core, &mut workers);
        sort_by_key(&mut workers, |worker| (worker.id.get(), 0));
        workers
    }

    /// `main` has shown that it can be told, so a shutdown gives it until the deadline to leave.
    fn main_hears(&self) {
        // Relaxed: a look, so that polling costs no more.
        if !self.core.main_hears.load(Ordering::Relaxed) && current::is_main() {
            self.core.main_can_hear();
        }
    }
}

impl WorkerInfo {
    /// What is known of a worker of `core`.
    pub(crate) fn of(worker: &Worker, core: &Core) -> WorkerInfo {
        WorkerInfo {
            id: worker.id,
            name: worker.traits.name.as_deref().map(str::to_owned),
            location: worker.traits.location,
            supervisor: core.name.get().map(|name| name.to_string()),
            age: worker.began.elapsed(),
            told: worker.told().as_ref().map(Instant::elapsed),
            daemon: worker.traits.daemon,
            critical: worker.traits.critical == Critical::Always,
            restarts: worker.restarts().count,
            os_id: worker.trace.os_thread(),
            activity: worker.trace.activity(),
            callback: CallbackState::of(&worker.callback, worker.token_hangs()),
        }
    }
}

/// Adds what is registered with `core` and below it. One registry's lock at a time.
fn collect_workers(core: &Core, into: &mut Vec<WorkerInfo>) {
    if !core.is_ours() {
        return;
    }
    let mut children = Vec::new();
    {
        let registry = core.registry.lock();
        let told = registry.told.iter().map(|told| &told.entry);
        let left = registry.left_behind.values();
        for entry in told.chain(registry.untold.values()).chain(left) {
            match entry {
                Entry::Worker(worker) => {
                    if worker.is_gone() || worker.traits.kind == EntryKind::Main {
                        continue;
                    }
                    into.push(WorkerInfo::of(worker, core));
                }
                Entry::Child(child) => children.extend(child.core.upgrade()),
                Entry::Hook(_) => {}
            }
        }
    }
    for child in children {
        collect_workers(&child, into);
    }
}

// No code of a user's runs with a lock held, so a panic leaves nothing half done; the compiler cannot see that.
impl UnwindSafe for Supervisor {}
impl RefUnwindSafe for Supervisor {}

impl Default for Supervisor {
    fn default() -> Self {
        Supervisor::new()
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("name", &self.name())
            .field("shutting_down", &self.core.is_stopping())
            .finish_non_exhaustive()
    }
}

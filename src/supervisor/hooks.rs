//! Shutdown hooks: callbacks with no thread, registered with a supervisor.

use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::{Arc, Weak};

use super::callback::Job;
use super::hook::HookRecord;
use super::kind::{EntryKind, WorkerId};
use super::registry::{next_id, Core};
use super::Supervisor;
use crate::base::logging;
use crate::base::text::Printable;

/// A registered shutdown hook. Dropping this changes nothing; [`Hook::remove`] takes the hook back.
///
/// ```
/// use sundown::Supervisor;
///
/// let supervisor = Supervisor::new();
/// let hook = supervisor.on_exit("remove the temporary file", || unreachable!("it has been renamed"));
/// assert!(hook.remove()); // the file has its final name now
/// assert!(supervisor.shutdown().is_clean());
/// ```
#[derive(Clone)]
pub struct Hook {
    pub(super) record: Arc<HookRecord>,
    pub(super) core: Weak<Core>,
}

impl Hook {
    /// Takes the hook back, so that it will not run. False if it ran already, is running, or had been taken back; one that
    /// is running is not waited for.
    pub fn remove(self) -> bool {
        // First out of the registry, so that no shutdown reports a hook that is being taken back.
        if let Some(core) = self.core.upgrade() {
            core.unregister(self.record.id);
        }
        self.record.callback.remove()
    }

    /// Its number.
    pub fn id(&self) -> WorkerId {
        self.record.id
    }

    /// The name it was registered with.
    pub fn name(&self) -> &str {
        &self.record.name
    }
}

// As for `Supervisor`.
impl UnwindSafe for Hook {}
impl RefUnwindSafe for Hook {}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook")
            .field("id", &self.record.id)
            .field("name", &self.record.name)
            .finish_non_exhaustive()
    }
}

impl Supervisor {
    /// Registers a callback that runs in its turn while workers are told to stop, before any is joined. It runs on a helper
    /// thread with no lock held, at most once, and is given up after 1 s (a quarter of the deadline if that is less). A panic in it is
    /// caught and reported.
    ///
    /// While the supervisor is stopping, it runs at once; afterwards it never does, which is logged.
    #[track_caller]
    pub fn on_shutdown(
        &self,
        name: impl Into<String>,
        hook: impl FnOnce() + Send + 'static,
    ) -> Hook {
        self.register_hook(EntryKind::OnShutdown, name.into(), Box::new(hook))
    }

    /// Registers a callback that runs when all workers have been joined or given up, newest first: also when there are
    /// stragglers. Otherwise as [`on_shutdown`](Supervisor::on_shutdown).
    ///
    /// Afterwards it never runs, which is logged.
    #[track_caller]
    pub fn on_exit(&self, name: impl Into<String>, hook: impl FnOnce() + Send + 'static) -> Hook {
        self.register_hook(EntryKind::OnExit, name.into(), Box::new(hook))
    }

    #[track_caller]
    fn register_hook(&self, kind: EntryKind, name: String, job: Job) -> Hook {
        let name: Arc<str> = Arc::from(name);
        let location = Location::caller();
        let at_exit = kind == EntryKind::OnExit;
        let mut job = Some(job);
        let made = |id| {
            let job = job.take().unwrap_or_else(|| Box::new(|| ()));
            HookRecord::new(id, kind, Arc::clone(&name), location, job)
        };
        let record = self.core.register_hook(made, at_exit).unwrap_or_else(|_| {
            logging::log(
                log::Level::Warn,
                format_args!(
                    "{} {} came after the shutdown and will not run ({location})",
                    kind.label(),
                    Printable(&name)
                ),
            );
            Arc::new(HookRecord::never(
                next_id(),
                kind,
                Arc::clone(&name),
                location,
            ))
        });
        Hook {
            record,
            core: Arc::downgrade(&self.core),
        }
    }
}

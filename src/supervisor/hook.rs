//! Shutdown hooks: callbacks with no thread.

use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Weak};

use super::callback::{Callback, Job};
use super::registry::{self, Core};
use super::report::{EntryKind, WorkerId};

/// The record of one hook.
pub(crate) struct HookRecord {
    pub(crate) id: WorkerId,
    pub(crate) kind: EntryKind,
    pub(crate) name: Arc<str>,
    pub(crate) location: &'static Location<'static>,
    pub(crate) callback: Callback,
}

impl HookRecord {
    pub(crate) fn new(
        id: WorkerId,
        kind: EntryKind,
        name: Arc<str>,
        location: &'static Location<'static>,
        job: Job,
    ) -> HookRecord {
        HookRecord {
            id,
            kind,
            name,
            location,
            callback: Callback::new(Some(job)),
        }
    }

    /// One that came too late to be registered.
    pub(crate) fn never(
        kind: EntryKind,
        name: Arc<str>,
        location: &'static Location<'static>,
    ) -> HookRecord {
        HookRecord {
            id: registry::next_id(),
            kind,
            name,
            location,
            callback: Callback::new(None),
        }
    }
}

/// A registered shutdown hook. Dropping this changes nothing; [`Hook::remove`] takes the hook back.
#[derive(Clone)]
pub struct Hook {
    pub(super) record: Arc<HookRecord>,
    pub(super) core: Weak<Core>,
}

impl Hook {
    /// Takes the hook back, so that it will not run. False if it ran already, is running, or had been taken back; one that
    /// is running is not waited for.
    pub fn remove(self) -> bool {
        let removed = self.record.callback.remove();
        if let Some(core) = self.core.upgrade() {
            core.unregister(self.record.id);
        }
        removed
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

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook")
            .field("id", &self.record.id)
            .field("name", &self.record.name)
            .finish_non_exhaustive()
    }
}

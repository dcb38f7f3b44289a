//! The record of a shutdown hook: a callback with no thread.

use std::panic::Location;
use std::sync::Arc;

use super::callback::{Callback, Job};
use super::kind::{EntryKind, WorkerId};
use super::waited::Waited;

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

    /// As one who is still waited for.
    pub(crate) fn waited(&self) -> Waited {
        Waited {
            name: Some(Arc::clone(&self.name)),
            location: self.location,
            worker: false,
            told: None,
            os_thread: None,
            activity: None,
        }
    }

    /// One that came too late to be registered.
    pub(crate) fn never(
        id: WorkerId,
        kind: EntryKind,
        name: Arc<str>,
        location: &'static Location<'static>,
    ) -> HookRecord {
        HookRecord {
            id,
            kind,
            name,
            location,
            callback: Callback::new(None),
        }
    }
}

//! Who is told what happens in a supervisor: those who observe it or what it is nested in, and the log.
//!
//! Events are given out where things happen, mostly with the very lock held that makes them happen, so that they are given out in
//! the order in which they did. Hence an observer may neither block nor call anything of a user's.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use log::Level;

use super::event::{Event, EventKind};
use super::kind::WorkerId;
use crate::base::log_queue::{self, About, Line};
use crate::base::logging::listens;
use crate::sync::{Instant, Mutex, OnceCell};

/// Someone who is told. Called with locks held: must not block, take any lock of ours, or call anything of a user's.
pub(crate) trait Observer: Send + Sync {
    /// Takes note. False if it need not be told again.
    fn observe(&self, event: &Event) -> bool;
}

/// The observers of one supervisor.
pub(crate) struct Observers {
    /// Of the supervisor that this one is nested in: they are told as well.
    parent: Option<Arc<Observers>>,
    /// The number of the supervisor in its parent.
    id: Option<WorkerId>,
    /// Its name, for events.
    pub(crate) name: OnceCell<Arc<str>>,
    /// A leaf lock: events are given out under it, so that all observers see them in one order.
    list: Mutex<List>,
}

struct List {
    observers: Vec<Arc<dyn Observer>>,
    /// The supervisor's shutdown is through, and nothing more is told.
    closed: bool,
}

/// How many observers there are in the process: without any, an event costs this one load and a look at the log's level.
static COUNT: AtomicUsize = AtomicUsize::new(0);

impl Observers {
    pub(super) fn new(
        name: Option<Arc<str>>,
        parent: Option<Arc<Observers>>,
        id: Option<WorkerId>,
    ) -> Arc<Observers> {
        Arc::new(Observers {
            parent,
            id,
            name: name.map_or_else(OnceCell::new, OnceCell::with_value),
            list: Mutex::new(List {
                observers: Vec::new(),
                closed: false,
            }),
        })
    }

    /// Adds an observer. It is dropped after the shutdown's end, or at once if that is over.
    pub(crate) fn add(&self, observer: Arc<dyn Observer>) {
        let mut list = self.list.lock();
        if !list.closed {
            list.observers.push(observer);
            // Relaxed: who learns of the new observer some other way has a happens-before; who does not may miss it.
            COUNT.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Something happened to the worker `id`.
    pub(super) fn announce(
        &self,
        level: Level,
        (id, name): (WorkerId, Option<&Arc<str>>),
        kind: impl FnOnce() -> EventKind,
    ) {
        if wanted(level) {
            self.give_out(level, Some(id), name, kind());
        }
    }

    /// Something happened to the supervisor itself.
    pub(super) fn announce_own(&self, level: Level, kind: impl FnOnce() -> EventKind) {
        if wanted(level) {
            self.give_out(level, self.id, self.name.get(), kind());
        }
    }

    fn give_out(
        &self,
        level: Level,
        id: Option<WorkerId>,
        name: Option<&Arc<str>>,
        kind: EventKind,
    ) {
        let mut event = Event {
            kind,
            id,
            name: name.cloned(),
            supervisor: self.name.get().cloned(),
            at: Instant::now(),
            missed: 0,
        };
        if listens(level) {
            log_queue::post(Line {
                level,
                text: event.to_string(),
                about: About {
                    event: Some(event.kind.label()),
                    id: id.map(WorkerId::get),
                    name: event.name.clone(),
                    supervisor: event.supervisor.clone(),
                },
            });
        }
        if COUNT.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut next = Some(self);
        while let Some(observers) = next {
            let mut list = observers.list.lock();
            if !list.observers.is_empty() {
                event.at = Instant::now(); // under the lock, so that no observer sees time go back
                let before = list.observers.len();
                list.observers.retain(|observer| observer.observe(&event));
                COUNT.fetch_sub(before - list.observers.len(), Ordering::Relaxed);
            }
            next = observers.parent.as_deref();
        }
    }

    /// The shutdown is through: who observes only this supervisor has seen all.
    pub(super) fn close(&self) {
        let gone = {
            let mut list = self.list.lock();
            list.closed = true;
            std::mem::take(&mut list.observers)
        };
        COUNT.fetch_sub(gone.len(), Ordering::Relaxed);
    }
}

/// Whether anybody observes, or logs at this level.
pub(super) fn wanted(level: Level) -> bool {
    COUNT.load(Ordering::Relaxed) > 0 || listens(level)
}

impl Drop for Observers {
    fn drop(&mut self) {
        COUNT.fetch_sub(self.list.get_mut().observers.len(), Ordering::Relaxed);
    }
}

//! Who is in a supervisor: registering, leaving, being left out, and letting go.

use std::panic::Location;
use std::sync::Arc;

use super::hook::HookRecord;
use super::kind::{EntryKind, WorkerId};
use super::observers::Observers;
use super::registry::{next_id, ChildRecord, Closed, Core, Entry, Phase, Registry, Told};
use super::settings::{Settings, Strategy};
use super::waited::LOCK_LIMIT;
use super::worker::Worker;
use crate::base::sort::sort_by_key;
use crate::stop::StopSource;
use crate::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use crate::sync::{Condvar, Instant, Mutex, MutexGuard, OnceCell};
use crate::sys;

impl Core {
    pub(crate) fn new(
        name: Option<Arc<str>>,
        settings: Settings,
        parent: Option<(Arc<Core>, WorkerId)>,
        held_open: bool,
    ) -> Core {
        let (parent, id_in_parent) = match parent {
            Some((core, id)) => (Some(core), Some(id)),
            None => (None, None),
        };
        Core {
            observers: Observers::new(
                name.clone(),
                parent.as_ref().map(|parent| Arc::clone(&parent.observers)),
                id_in_parent,
            ),
            attached: OnceCell::new(),
            name: name.map_or_else(OnceCell::new, OnceCell::with_value),
            parent,
            id_in_parent,
            generation: sys::fork_generation(),
            phase: AtomicU8::new(Phase::Running as u8),
            stop: StopSource::new(),
            main_hears: AtomicBool::new(false),
            registry: Mutex::new(Registry::new(settings, held_open)),
            changed: Condvar::new(),
        }
    }

    /// Whether a shutdown has been requested. One atomic load.
    pub(crate) fn is_stopping(&self) -> bool {
        // Acquire: pairs with the Release in `set_phase`.
        self.phase.load(Ordering::Acquire) != Phase::Running as u8
    }

    /// Whether there is a coordinator thread that a request rouses. Without waiting long for the lock, and no if it is not to be had.
    pub(crate) fn is_coordinated(&self) -> bool {
        let registry = self.registry.try_lock_for(LOCK_LIMIT);
        registry.is_some_and(|registry| registry.coordinator.is_some())
    }

    /// Whether the shutdown is through.
    pub(crate) fn is_over(&self) -> bool {
        self.registry.lock().report.is_some()
    }

    /// Whether a shutdown would find nothing to do.
    pub(crate) fn is_idle(&self) -> bool {
        let registry = self.registry.lock();
        registry.phase == Phase::Running
            && registry.untold.is_empty()
            && registry.exit_hooks.is_empty()
            && !self.stop.is_listened_to()
    }

    /// False in a forked child of the process that made this supervisor: its threads do not exist here, and its locks may be
    /// held for ever.
    pub(crate) fn is_ours(&self) -> bool {
        self.generation == sys::fork_generation()
    }

    /// A supervisor that was made late, and so stays open although nothing is left in it, may close now.
    pub(crate) fn close_when_done(&self) {
        let mut registry = self.registry.lock();
        if std::mem::replace(&mut registry.held_open, false) {
            drop(registry);
            self.changed.notify_all();
        }
    }

    pub(crate) fn set_phase(&self, registry: &mut MutexGuard<'_, Registry>, phase: Phase) {
        registry.phase = phase;
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// Draws a number and adds the worker that `make` builds with it. A late one is told to stop at once; its callback is left
    /// for whoever drives the shutdown, who is roused.
    pub(crate) fn register(
        &self,
        make: impl FnOnce(WorkerId) -> Arc<Worker>,
    ) -> Result<Arc<Worker>, Closed> {
        let mut registry = self.registry.lock();
        if registry.phase == Phase::Closed {
            return Err(Closed);
        }
        let worker = make(next_id());
        registry
            .untold
            .insert(worker.id, Entry::Worker(Arc::clone(&worker)));
        let late = registry.phase == Phase::Stopping;
        let stop = late.then(|| registry.stop_for(&worker, Instant::now()));
        drop(registry);
        if let Some(stop) = stop {
            worker.trip(stop);
            self.changed.notify_all();
        }
        Ok(worker)
    }

    /// Registers a nested supervisor. `None` once this one is closed. One that comes late is told at once, and stays open until
    /// nothing else is left here: whoever made it may be about to use it.
    pub(crate) fn register_child(
        self: &Arc<Core>,
        name: Arc<str>,
        location: &'static Location<'static>,
    ) -> Option<Arc<Core>> {
        let mut registry = self.registry.lock();
        if registry.phase == Phase::Closed {
            return None;
        }
        let id = next_id();
        let parent = Some((Arc::clone(self), id));
        let settings = Settings {
            strategy: Strategy::default(),
            ..registry.settings.clone()
        };
        let late = registry.phase == Phase::Stopping;
        let core = Arc::new(Core::new(Some(Arc::clone(&name)), settings, parent, late));
        let record = Arc::new(ChildRecord {
            id,
            name,
            location,
            core: Arc::downgrade(&core),
        });
        if late {
            registry.late_children.push(Arc::clone(&record));
            Arc::make_mut(&mut registry.told).push(Told {
                entry: Entry::Child(record),
                at: Instant::now(),
                child: None,
            });
        } else {
            registry.untold.insert(id, Entry::Child(record));
        }
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
            true => registry.exit_hooks_over || registry.is_late(Instant::now()),
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
            let hook = registry.exit_hooks.remove(id);
            let entry = registry.untold.remove(id);
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
    pub(crate) fn undo_spawn(&self, worker: &Worker) {
        let removed; // dropped when the lock is free
        {
            let mut registry = self.registry.lock();
            let untold = registry.untold.remove(worker.id);
            registry.wait_no_more_for(worker);
            registry.forget_graces_of(worker);
            let mut told = registry.told.iter();
            let told = told.position(|told| told.entry.id() == worker.id);
            let told = told.map(|at| Arc::make_mut(&mut registry.told).remove(at));
            removed = (untold, told);
        }
        self.changed.notify_all();
        drop(removed);
    }

    /// Called by a worker's thread when its code and its thread-locals are through.
    pub(crate) fn leave(&self, worker: &Worker) {
        if !self.is_ours() {
            return;
        }
        if !worker.is_finished() {
            // Its thread-locals are destroyed though its closure has not ended: it is leaving the process, and what
            // follows (the atexit handler) runs on this very thread.
            self.exclude(worker);
            return;
        }
        worker.set_gone(self.is_stopping().then(Instant::now));
        self.settle(worker);
    }

    /// Lets the record of a worker go that is gone, and of which no callback runs: called when either may have come true. Each
    /// caller first does its part and then looks at the other's, so at least one of them sees both.
    pub(crate) fn settle(&self, worker: &Worker) {
        if !worker.is_over() {
            return;
        }
        let removed; // dropped when the lock is free
        let mut rouse = false;
        {
            let mut registry = self.registry.lock();
            if registry.phase == Phase::Running {
                removed = registry.untold.remove(worker.id);
            } else {
                // The record stays until it has been joined and reported.
                removed = registry.left_behind.remove(worker.id);
                rouse = registry.wait_no_more_for(worker) && registry.pending == 0;
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
        let rouse = registry.wait_no_more_for(worker);
        drop(registry);
        if rouse {
            self.changed.notify_all();
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
                let untold = registry.untold.remove(main.id);
                (untold, registry.wait_no_more_for(&main))
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

    /// Everything that the shutdown kept is let go, but for the workers that it left behind. Call it with no lock held.
    pub(crate) fn release(&self) {
        let kept;
        {
            let mut registry = self.registry.lock();
            let told = std::mem::take(&mut registry.told);
            // Under the lock that `leave` takes after it is gone: so none is added after it has left.
            let is_left = |entry: &&Entry| match entry {
                Entry::Worker(worker) => !worker.is_gone() && worker.traits.kind != EntryKind::Main,
                Entry::Hook(_) | Entry::Child(_) => false,
            };
            let entries = told.iter().map(|told| &told.entry);
            let mut left: Vec<&Entry> = entries.filter(is_left).collect();
            sort_by_key(&mut left, |entry| (entry.id().get(), 0));
            for entry in left {
                registry.left_behind.insert(entry.id(), entry.clone());
            }
            kept = (
                std::mem::take(&mut registry.graces),
                told,
                std::mem::take(&mut registry.exit_hooks_run),
                std::mem::take(&mut registry.late_children),
                registry.keep.take(),
                registry.tripped.take(),
            );
        }
        drop(kept);
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

#[cfg(test)]
mod tests {
    use crate::supervisor::Supervisor;

    #[test]
    fn a_nested_supervisor_that_is_gone_leaves_its_parent() {
        let parent = Supervisor::new();
        let left = || parent.core.registry.lock().untold.len();
        let kept = parent.child("kept");
        for _ in 0..10 {
            let passing = parent.child("passing");
            assert_eq!(left(), 2);
            drop(passing);
        }
        assert_eq!(left(), 1);
        // With a hook in it, it stays until that is taken back.
        let hook = kept.on_shutdown("hook", || ());
        drop(kept);
        assert_eq!(left(), 1);
        assert!(hook.remove());
        assert_eq!(left(), 0);
    }
}

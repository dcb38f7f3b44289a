//! The beginning of a shutdown: the first cause wins, everyone who waits for it wakes, and the deadline is set.

use log::Level;

use super::current;
use super::event::{self, EventKind};
use super::registry::{Core, Entry, Message, Phase};
use crate::base::cause::Cause;
use crate::stop::{Stop, StopReason};
use crate::sync::Instant;

impl Core {
    /// Begins the shutdown and rouses the coordinator, if there is one. True if this was the first request.
    pub(crate) fn begin(&self, cause: Cause, by_leaver: bool) -> bool {
        let first = self.begin_unattended(cause, by_leaver);
        if first {
            self.rouse_coordinator();
        }
        first
    }

    /// Begins the shutdown: the first cause wins. True if this was the first. Everyone who waits for it wakes; nothing is
    /// carried out yet, and whoever calls this sees to it that somebody does. A child gets no longer than what is left of its parent's
    /// deadline.
    pub(crate) fn begin_unattended(&self, cause: Cause, by_leaver: bool) -> bool {
        if !self.is_ours() {
            return false;
        }
        // First, since two registries are never held at once; again below, for a parent that begins meanwhile. So a driver that
        // comes as soon as this one is stopping tells nobody a deadline that does not hold.
        let parents = self.parents_deadline();
        {
            let mut registry = self.registry.lock();
            if registry.phase != Phase::Running {
                return false;
            }
            let now = Instant::now();
            registry.cause = Some(cause.clone());
            registry.began = Some(now);
            registry.by_leaver = by_leaver;
            registry.last_in_time = registry.untold.newest();
            // Past what an Instant can hold, there is no deadline.
            let own = now.checked_add(registry.settings.deadline);
            let cap = registry.settings.max_extension;
            registry.latest = own.and_then(|d| d.checked_add(cap));
            registry.deadline = own.into_iter().chain(parents).min();
            registry.unextended = registry.deadline;
            self.set_phase(&mut registry, Phase::Stopping);
            // Trips, and so wakes who waits; the callbacks on it are the driver's first step.
            let stop = Stop {
                reason: StopReason::Shutdown(cause.clone()),
                deadline: registry.deadline,
            };
            // Under the lock: whatever follows from it comes after it.
            let level = match self.parent {
                None => Level::Info,
                Some(_) => event::USUAL,
            };
            self.observers
                .announce_own(level, || EventKind::ShutdownBegan(cause));
            registry.tripped = self.stop.trip(&stop);
            registry.coordinated = registry.coordinator.is_some();
        }
        // After it can be seen that this one is stopping: a parent that sets its deadline later tightens ours itself.
        self.tighten(self.parents_deadline());
        self.changed.notify_all();
        true
    }

    /// A shutdown has begun that the coordinator is to carry out, or to see through.
    pub(crate) fn rouse_coordinator(&self) {
        let coordinator = self.registry.lock().coordinator.clone();
        if let Some(coordinator) = coordinator {
            // Where the guard has taken it away, the guard carries the shutdown out.
            coordinator.send(Message::Requested);
        }
    }

    /// What the coordinator ends the process for, and by when, if it is going to.
    pub(crate) fn end_of_process(&self) -> Option<(Cause, Option<Instant>)> {
        let registry = self.registry.lock();
        let ends = registry.coordinated && !registry.by_leaver;
        let cause = registry.cause.clone().filter(|_| ends)?;
        Some((cause, registry.deadline))
    }

    fn parents_deadline(&self) -> Option<Instant> {
        let parent = self.parent.as_ref()?;
        let registry = parent.registry.lock();
        registry.deadline
    }

    /// A shutdown that is under way gets no longer than this, and nor do those who were told already, and what is nested in it.
    pub(crate) fn tighten(&self, cap: Option<Instant>) {
        let Some(cap) = cap else { return };
        let mut children = Vec::new();
        {
            let mut registry = self.registry.lock();
            if registry.deadline.is_some_and(|deadline| deadline <= cap) {
                return;
            }
            registry.deadline = Some(cap);
            registry.unextended = Some(registry.unextended.map_or(cap, |d| d.min(cap)));
            self.stop.tighten(cap);
            for told in registry.told.iter() {
                match &told.entry {
                    Entry::Child(child) => children.extend(child.core.upgrade()),
                    Entry::Worker(worker) => worker.tighten(cap),
                    Entry::Hook(_) => {}
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
        let main = current::is_main();
        let mut registry = self.registry.lock();
        loop {
            if let Some(cause) = &registry.cause {
                return cause.clone();
            }
            registry.main_waits |= main;
            self.changed.wait(&mut registry);
        }
    }
}

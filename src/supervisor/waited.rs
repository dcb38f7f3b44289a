//! Who is still waited for in a shutdown that is under way: for the status line, for a second signal, and for circles of waits.

use std::borrow::Cow;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::kind::EntryKind;
use super::registry::{Core, Entry, Phase};
use super::waits::Waiter;
use super::worker::Worker;
use crate::sync::atomic::Ordering;
use crate::sync::Instant;

/// How long to wait for a registry's lock: a program that is in trouble must still be able to say so.
pub(super) const LOCK_LIMIT: Duration = Duration::from_millis(100);

/// Somebody who is still waited for.
pub(crate) struct Waited {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) location: &'static Location<'static>,
    /// A worker; else a hook.
    pub(crate) worker: bool,
    /// When it was told to stop, if it was.
    pub(crate) told: Option<Instant>,
    pub(crate) os_thread: Option<u32>,
    pub(crate) activity: Option<Cow<'static, str>>,
}

/// Who is left of a shutdown.
#[derive(Default)]
pub(crate) struct Left {
    pub(crate) waited: Vec<Waited>,
    /// How many there were: workers and hooks, here and in nested supervisors.
    pub(crate) of: usize,
    /// Some registry's lock was not to be had.
    pub(crate) busy: bool,
}

impl Core {
    /// All who are still waited for, here and in nested supervisors, without waiting long for any lock.
    pub(crate) fn left(&self) -> Left {
        let mut left = Left::default();
        self.add_left(&mut left);
        left
    }

    fn add_left(&self, left: &mut Left) {
        let mut children = Vec::new();
        let Some(registry) = self.registry.try_lock_for(LOCK_LIMIT) else {
            left.busy = true;
            return;
        };
        let told = registry.told.iter().chain(&registry.exit_hooks_run);
        let told = told.map(|told| &told.entry);
        for entry in told.rev().chain(registry.untold.values()) {
            match entry {
                Entry::Worker(worker) => {
                    // A `main` that has left is not counted, whether it left before its turn or after.
                    let main_left = worker.traits.kind == EntryKind::Main && worker.is_gone();
                    if worker.traits.daemon || main_left || self.is_deaf_main(worker) {
                        continue;
                    }
                    left.of += 1;
                    if !(worker.is_gone() || worker.is_caller()) {
                        left.waited.push(Waited {
                            name: worker.traits.name.clone(),
                            location: worker.traits.location,
                            worker: true,
                            told: worker.told(),
                            os_thread: worker.trace.os_thread(),
                            activity: worker.trace.activity(),
                        });
                    }
                }
                Entry::Hook(hook) => {
                    left.of += 1;
                    if !hook.callback.is_over() {
                        left.waited.push(hook.waited());
                    }
                }
                Entry::Child(child) => children.extend(child.core.upgrade()),
            }
        }
        for hook in registry.exit_hooks.values() {
            left.of += 1;
            left.waited.push(hook.waited());
        }
        drop(registry);
        for child in children {
            child.add_left(left);
        }
    }

    fn is_deaf_main(&self, worker: &Worker) -> bool {
        let main = worker.traits.kind == EntryKind::Main;
        main && !self.main_hears.load(Ordering::Relaxed)
    }

    /// Whom this supervisor's shutdown waits for: threads, callbacks, and the shutdowns of nested supervisors.
    pub(crate) fn awaited(&self) -> (Vec<Waiter>, Vec<Arc<Core>>) {
        let mut waiters = Vec::new();
        let mut children = Vec::new();
        let registry = self.registry.lock();
        if registry.phase == Phase::Running {
            return (waiters, children);
        }
        for told in registry.told.iter().chain(&registry.exit_hooks_run) {
            match &told.entry {
                Entry::Worker(worker) => {
                    let left = worker.is_gone() || worker.is_caller() || worker.traits.daemon;
                    if !left && !self.is_deaf_main(worker) {
                        waiters.push(Waiter::Worker(worker.id));
                    }
                    if !worker.callback.is_over() {
                        waiters.push(Waiter::Callback(worker.id));
                    }
                }
                Entry::Hook(hook) if hook.callback.is_over() => {}
                Entry::Hook(hook) => waiters.push(Waiter::Callback(hook.id)),
                Entry::Child(child) => children.extend(child.core.upgrade()),
            }
        }
        (waiters, children)
    }

    /// When the shutdown began, and its deadline. `None` if none has begun, or it is over.
    pub(crate) fn under_way(&self) -> Option<(Instant, Option<Instant>)> {
        let registry = self.registry.try_lock_for(LOCK_LIMIT)?;
        let began = registry.began.filter(|_| registry.report.is_none())?;
        Some((began, registry.deadline))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use crate::supervisor::Supervisor;

    #[test]
    fn hooks_count_from_their_registration_to_their_end() {
        let supervisor = Supervisor::new();
        let (seen, all) = mpsc::channel();
        let look = |at_exit: bool| {
            let (core, seen) = (supervisor.core.clone(), seen.clone());
            move || {
                let left = core.left();
                seen.send((at_exit, left.of, left.waited.len(), core.awaited().0.len()))
                    .unwrap();
            }
        };
        supervisor.on_exit("older", look(true));
        supervisor.on_exit("newer", look(true));
        supervisor.on_shutdown("older", look(false));
        supervisor.on_shutdown("newer", look(false));
        let left = supervisor.core.left();
        assert_eq!((left.of, left.waited.len()), (4, 4));
        assert!(supervisor.core.awaited().0.is_empty(), "nobody waits yet");
        supervisor.shutdown();
        drop(supervisor);
        drop(seen);
        // Of four in all, this many are left; and of those that were started, the shutdown waits for the one that runs.
        let seen: Vec<_> = all.iter().collect();
        assert_eq!(
            seen,
            [
                (false, 4, 4, 1),
                (false, 4, 3, 1),
                (true, 4, 2, 1),
                (true, 4, 1, 1)
            ]
        );
    }

    #[test]
    fn who_is_not_waited_for_does_not_count() {
        let supervisor = Supervisor::new();
        let (release, held) = mpsc::channel::<()>();
        let daemon = supervisor.worker().daemon();
        let daemon = daemon.spawn(move || held.recv()).unwrap();
        assert_eq!(supervisor.core.left().of, 0);
        let worker = supervisor.worker().spawn_with(|stop| stop.wait());
        let left = supervisor.core.left();
        assert_eq!((left.of, left.waited.len()), (1, 1));
        assert!(left.waited[0].worker);
        drop((release, daemon, worker));
        supervisor.shutdown();
    }
}

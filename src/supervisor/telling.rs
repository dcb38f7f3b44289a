//! Step 2 of a shutdown: every entry is told to stop, newest first. And step 4, which runs the `on_exit` hooks the same way.
//!
//! Tokens and unparks call nobody, so the driver does that much itself; from the first callback on a helper thread does the rest.

use std::sync::{Arc, Weak};
use std::time::Duration;

use log::Level;

use super::hook::HookRecord;
use super::kind::{EntryKind, WorkerId};
use super::registry::{ChildRecord, Core, Entry, Phase, Told};
use super::walk::{walk, Steps};
use super::worker::Worker;
use crate::base::apart::apart;
use crate::base::cause::Cause;
use crate::base::logging::{self, REPORT_LIMIT};
use crate::base::text::Printable;
use crate::stop::timer::Expire;
use crate::stop::{Stop, StopReason, Tripped};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::Instant;

/// How many are told in one go of whom nothing can hang.
const A_FEW: usize = if cfg!(shuttle) { 2 } else { 64 };

impl Core {
    /// The callbacks on the supervisor's own token, if there are any.
    pub(super) fn own_callbacks(&self) -> Option<Step> {
        let tripped = self.registry.lock().tripped.clone();
        tripped
            .filter(|tripped| !tripped.is_quiet())
            .map(Step::OwnToken)
    }

    /// Tells a few entries, newest first, as long as nothing of them can hang. Gives the first of another kind, booked as told.
    pub(super) fn tell_quiet(&self) -> Option<Step> {
        // Not all: with workers that start workers there may be no end to it, and the caller has something else to do.
        for _ in 0..A_FEW {
            let entry = self.take_untold(Instant::now())?;
            match &entry {
                // Its token is tripped, and this is all that is left; both call nobody.
                Entry::Worker(worker) if !worker.has_callbacks() => worker.unpark(),
                _ => return Some(Step::Entry(entry)),
            }
            self.collect_some();
        }
        None
    }

    /// Carries this out: a callback, and all that comes after it, on a helper, in case one hangs.
    pub(super) fn tell(self: &Arc<Core>, step: Step) {
        match step {
            Step::Entry(Entry::Child(child)) => self.shut_down_child(&child), // which looks after itself
            step => walk(Telling::of(self, List::Untold), Some(step)),
        }
        self.collect_some();
    }

    /// Takes the newest entry that has not been told, and books it as told at `now`. Of a worker, the token is tripped.
    fn take_untold(&self, now: Instant) -> Option<Entry> {
        let mut registry = self.registry.lock();
        if !registry.may_tell() {
            return None;
        }
        let (_, entry) = registry.untold.pop_newest()?;
        if registry.phase == Phase::Stopping && registry.is_late(now) {
            // Else workers that spawn workers would keep us telling them for ever.
            self.set_phase(&mut registry, Phase::Closed);
        }
        let mut stop = None;
        let mut reported = true;
        match &entry {
            Entry::Worker(worker) => {
                stop = Some(registry.stop_for(worker, now));
                // Relaxed: `main` sets it before it waits; one that sets it just now is seen or not. A `main` that cannot hear
                // is told like all others, but neither waited for nor reported.
                let main = worker.traits.kind == EntryKind::Main;
                reported = !main || self.main_hears.load(Ordering::Relaxed);
                // One that is gone may still be being told by `terminate`: that is waited for too.
                let gone = worker.is_gone() && !worker.callback.is_running();
                let left = worker.traits.daemon || gone || worker.is_caller();
                if reported && !left && registry.phase == Phase::Stopping {
                    registry.wait_for(worker);
                    // The whole shutdown's end is watched anyway.
                    let end = stop.as_ref().and_then(|stop| stop.deadline);
                    if let Some(end) = end.filter(|_| end != registry.deadline) {
                        registry.add_grace(worker, end);
                    }
                }
            }
            Entry::Hook(_) | Entry::Child(_) => {}
        }
        if reported {
            Arc::make_mut(&mut registry.told).push(Told {
                entry: entry.clone(),
                at: now,
                child: None,
            });
        }
        drop(registry);
        if let (Entry::Worker(worker), Some(stop)) = (&entry, stop) {
            worker.trip(stop); // calls nobody
        }
        Some(entry)
    }

    /// Runs the `on_exit` hooks, newest first.
    pub(super) fn run_exit_hooks(self: &Arc<Core>) {
        walk(Telling::of(self, List::ExitHooks), None);
    }

    /// Takes the newest `on_exit` hook that has not been run, and books it as run at `now`.
    fn take_exit_hook(&self, now: Instant) -> Option<Entry> {
        let mut registry = self.registry.lock();
        let Some((_, hook)) = registry.exit_hooks.pop_newest() else {
            registry.exit_hooks_over = true;
            return None;
        };
        registry.exit_hooks_began.get_or_insert(now);
        let entry = Entry::Hook(hook);
        registry.exit_hooks_run.push(Told {
            entry: entry.clone(),
            at: now,
            child: None,
        });
        Some(entry)
    }

    /// A nested supervisor's whole shutdown, in its turn.
    pub(super) fn shut_down_child(&self, child: &ChildRecord) {
        let Some(core) = child.core.upgrade() else {
            return;
        };
        let (cause, deadline) = {
            let registry = self.registry.lock();
            (registry.cause.clone(), registry.deadline)
        };
        core.close_when_done();
        if !core.begin(cause.unwrap_or(Cause::Requested), false) {
            core.tighten(deadline); // it was stopping already
        }
        let report = core.drive_or_wait();
        let mut registry = self.registry.lock();
        // The newest told is the last, so this looks at one or two.
        let mut told = Arc::make_mut(&mut registry.told).iter_mut().rev();
        if let Some(told) = told.find(|told| told.entry.id() == child.id) {
            told.child = Some(report);
        }
    }
}

/// One thing to tell that may take long.
#[derive(Clone)]
pub(super) enum Step {
    /// The callbacks on the supervisor's own token.
    OwnToken(Tripped),
    /// An entry, booked as told.
    Entry(Entry),
}

/// What is told by helper threads, as steps.
struct Telling {
    core: Arc<Core>,
    list: List,
}

/// What comes after the first step.
#[derive(Clone, Copy)]
enum List {
    /// The entries that are to be told.
    Untold,
    /// The `on_exit` hooks.
    ExitHooks,
    /// Nothing.
    Empty,
}

impl Telling {
    fn of(core: &Arc<Core>, list: List) -> Telling {
        Telling {
            core: Arc::clone(core),
            list,
        }
    }
}

impl Steps for Telling {
    type Step = Step;

    fn take(&self, now: Instant) -> Option<Step> {
        let entry = match self.list {
            List::Untold => self.core.take_untold(now),
            List::ExitHooks => self.core.take_exit_hook(now),
            List::Empty => None,
        };
        entry.map(Step::Entry)
    }

    fn run(&self, step: &Step, now: Instant, abandoned: &AtomicBool) -> Instant {
        match step {
            Step::OwnToken(tripped) => tripped.run(),
            Step::Entry(Entry::Worker(worker)) => {
                let ended = worker.finish_telling(now, abandoned);
                self.core.settle(worker);
                return ended;
            }
            Step::Entry(Entry::Hook(hook)) => return run_hook(hook, now, abandoned),
            Step::Entry(Entry::Child(child)) => self.core.shut_down_child(child),
        }
        Instant::now()
    }

    fn core(&self) -> &Arc<Core> {
        &self.core
    }

    fn limit(&self, step: &Step, since: Instant) -> Option<Instant> {
        if let Step::Entry(Entry::Child(child)) = step {
            return child.core.upgrade().and_then(|core| child_limit(&core));
        }
        let registry = self.core.registry.lock();
        match self.list {
            List::Untold => registry.telling_limit(since),
            List::ExitHooks => registry.exit_hook_limit(since),
            List::Empty => since.checked_add(registry.settings.callback_limit()),
        }
    }

    fn usual_limit(&self) -> Duration {
        self.core.registry.lock().settings.callback_limit()
    }

    fn entry(step: &Step) -> Option<WorkerId> {
        match step {
            Step::OwnToken(_) => None,
            Step::Entry(entry) => Some(entry.id()),
        }
    }

    fn give_up(&self, step: Step, os_thread: Option<u32>) -> Option<Step> {
        // One of its callbacks hangs; if there are others they still run, on the next helper.
        let more = match &step {
            Step::OwnToken(tripped) => {
                let name = self
                    .core
                    .name
                    .get()
                    .map_or("the supervisor", |name| &**name);
                say_hung("a callback on the stop token of", name);
                !tripped.is_quiet()
            }
            Step::Entry(Entry::Worker(worker)) => {
                give_up_worker(worker, os_thread);
                self.core.settle(worker);
                worker.has_callbacks()
            }
            Step::Entry(Entry::Hook(hook)) => {
                give_up_hook(hook, os_thread);
                hook.callback.is_ready() // it had not begun
            }
            Step::Entry(Entry::Child(_)) => false, // its own report says who hangs in it
        };
        more.then_some(step)
    }
}

/// Tells one worker to stop outside a shutdown, on a helper thread if anything of a user's is to run: with the same limits, and
/// so that a callback that waits for the caller does no lasting harm. Returns when the callbacks have, or were given up.
pub(crate) fn tell_worker(core: &Arc<Core>, worker: &Arc<Worker>, stop: Stop) {
    worker.trip(stop);
    if worker.has_callbacks() {
        let first = Step::Entry(Entry::Worker(Arc::clone(worker)));
        walk(Telling::of(core, List::Empty), Some(first));
    } else {
        worker.unpark(); // which is all that is left
    }
}

/// A worker's time limit, as what the timer fires.
pub(crate) struct TimeLimit {
    pub(crate) core: Weak<Core>,
    pub(crate) worker: Weak<Worker>,
}

impl Expire for TimeLimit {
    fn expire(self: Arc<Self>) {
        let (Some(core), Some(worker)) = (self.core.upgrade(), self.worker.upgrade()) else {
            return;
        };
        worker.trip(Stop::now(StopReason::TimeLimit));
        if worker.has_callbacks() {
            apart(move || tell_worker(&core, &worker, Stop::now(StopReason::TimeLimit)));
        } else {
            worker.unpark();
        }
    }
}

fn give_up_worker(worker: &Worker, os_thread: Option<u32>) {
    worker.callback.hangs_on(os_thread);
    if worker.give_up_telling() {
        let name = worker.traits.name.as_deref().unwrap_or("<unnamed>");
        say_hung("the callback of worker", name);
    }
}

fn run_hook(hook: &HookRecord, now: Instant, abandoned: &AtomicBool) -> Instant {
    let (ended, panic) = hook.callback.run(now, abandoned);
    let Some(message) = panic else { return ended };
    logging::callback_panicked(hook.kind.label(), Some(&hook.name), &message);
    Instant::now()
}

fn give_up_hook(hook: &HookRecord, os_thread: Option<u32>) {
    hook.callback.hangs_on(os_thread);
    if hook.callback.give_up() {
        say_hung("hook", &hook.name);
    }
}

fn say_hung(what: &str, name: &str) {
    let name = Printable(name);
    let text = format!("{what} {name} does not return: going on without it");
    logging::log_bounded(Level::Error, text);
}

/// By when a nested supervisor's shutdown, which bounds itself, must have come back.
fn child_limit(child: &Core) -> Option<Instant> {
    let registry = child.registry.lock();
    let slack = registry.settings.callback_limit() * 2 + REPORT_LIMIT * 2;
    // One that has not begun yet takes the parent's deadline as soon as it does.
    match registry.deadline {
        Some(deadline) => deadline.checked_add(slack),
        None => Instant::now().checked_add(registry.settings.deadline.max(slack)),
    }
}

#[cfg(test)]
mod tests {
    use super::A_FEW;
    use crate::supervisor::{Cause, Supervisor};

    #[test]
    fn with_many_to_tell_there_is_time_for_something_else() {
        let supervisor = Supervisor::new();
        for _ in 0..=A_FEW {
            supervisor.worker().spawn_with(|stop| stop.wait()).unwrap();
        }
        // Nobody carries it out.
        assert!(supervisor.core.begin(Cause::Requested, false));
        assert!(supervisor.core.tell_quiet().is_none());
        assert_eq!(supervisor.core.registry.lock().told.len(), A_FEW);
        let report = supervisor.shutdown();
        assert!(report.is_clean() && report.entries().len() == A_FEW + 1);
    }
}

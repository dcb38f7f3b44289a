//! The shutdown: request, terminate newest first, join newest first, `on_exit` hooks, report.
//!
//! Whoever comes first drives it; everyone else waits for the report. Users' code runs on a helper thread that the driver
//! watches (`walk`), unless there is none to run. All waiting is bounded by the deadline and, past it, by one callback's limit
//! for each of the two kinds of callbacks.

use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::Level;

use super::cause::Cause;
use super::current;
use super::logging;
use super::registry::{Core, Entry, Order, Phase, Registry, Told};
use super::report::{EntryKind, Outcome, Printable, ShutdownReport};
use super::walk::{walk, Steps};
use super::worker::Worker;
use crate::sys;

/// How long the report may take to be logged or printed.
const REPORT_LIMIT: Duration = Duration::from_millis(500);

impl Core {
    /// Asks for a shutdown and returns at once; somebody carries it out. True if this was the first request.
    pub(crate) fn request(self: &Arc<Core>, cause: Cause) -> bool {
        if !self.begin(cause, current::is_main()) {
            return false;
        }
        if self.registry.lock().coordinator.is_none() {
            let core = Arc::clone(self);
            let started = std::thread::Builder::new()
                .name("sundown".into())
                .spawn(move || drop(core.drive_or_wait()));
            if started.is_err() {
                // What was requested happens, if need be on the thread that asked.
                self.shutdown(Cause::Requested);
            }
        }
        true
    }

    /// Asks for a shutdown and waits for it, unless the caller is a callback that the shutdown itself waits for.
    pub(crate) fn shutdown(self: &Arc<Core>, cause: Cause) -> ShutdownReport {
        if !self.is_ours() {
            return ShutdownReport::new(cause, Duration::ZERO, true, Vec::new());
        }
        if current::is_callback_within(self) {
            self.request(cause);
            return self.report_so_far();
        }
        let main = current::is_main();
        self.begin(cause, main);
        if main {
            self.main_leaves();
        }
        self.wait_as_caller()
    }

    /// The same for a thread that is about to end the process by itself.
    pub(crate) fn shutdown_and_leave(
        self: &Arc<Core>,
        cause: Cause,
        cap: Option<Instant>,
    ) -> ShutdownReport {
        if !self.is_ours() {
            return ShutdownReport::new(cause, Duration::ZERO, true, Vec::new());
        }
        self.registry.lock().leaving = true;
        self.begin(cause, true);
        self.tighten(cap);
        if current::is_main() {
            self.main_leaves();
        }
        if current::is_callback_within(self) {
            return self.report_so_far();
        }
        self.wait_as_caller()
    }

    /// Waits for the report; if this thread is one of the workers concerned, nobody waits for it.
    fn wait_as_caller(self: &Arc<Core>) -> ShutdownReport {
        if let Some((core, worker)) = current::worker() {
            if core.is_within(self) {
                core.exclude(&worker);
            }
        }
        self.drive_or_wait()
    }

    /// Carries the requested shutdown out, or waits for whoever does.
    pub(crate) fn drive_or_wait(self: &Arc<Core>) -> ShutdownReport {
        let mut registry = self.registry.lock();
        if !registry.driven {
            registry.driven = true;
            drop(registry);
            return self.drive();
        }
        loop {
            if let Some(report) = &registry.report {
                return report.clone();
            }
            // The driver's own waits are bounded; this is for one whose thread was stopped for good, as std does to a
            // second thread that calls `process::exit`.
            let slack =
                registry.settings.callback_limit() * 2 + REPORT_LIMIT * 2 + Duration::from_secs(1);
            let limit = registry.deadline.and_then(|d| d.checked_add(slack));
            match limit {
                None => self.changed.wait(&mut registry),
                Some(limit) if limit <= Instant::now() => {
                    drop(registry);
                    return self.report_so_far();
                }
                Some(limit) => {
                    self.changed.wait_until(&mut registry, limit);
                }
            }
        }
    }

    /// Steps 2 to 5 of the shutdown.
    fn drive(self: &Arc<Core>) -> ShutdownReport {
        let root = self.parent.is_none();
        if root && logging::listens(Level::Info) {
            let cause = self.wait_for_request();
            logging::log_bounded(
                Level::Info,
                REPORT_LIMIT,
                format!("shutting down after {cause}"),
            );
        }
        loop {
            self.tell_all();
            if self.await_workers() {
                break;
            }
        }
        self.collect();
        walk(ExitHooks(Arc::clone(self)));
        self.conclude()
    }

    // ---- terminate

    /// Tells every entry that is to be told now, newest first.
    fn tell_all(self: &Arc<Core>) {
        // Tokens and unparks call nobody, so this thread can do that much itself; from the first callback on a helper does
        // the rest, in case it hangs.
        while let Some(entry) = self.take_untold(true) {
            self.tell(&entry);
        }
        if self.has_untold() {
            walk(Telling(Arc::clone(self)));
        }
    }

    /// Takes the newest entry that has not been told, and books it as told. With `quiet`, only if telling it runs no
    /// code of a user's on this thread.
    fn take_untold(&self, quiet: bool) -> Option<Entry> {
        let mut registry = self.registry.lock();
        if !registry.may_tell() {
            return None;
        }
        let (_, newest) = registry.untold.iter().next_back()?;
        if quiet && !is_quiet(newest) {
            return None;
        }
        let (id, entry) = registry.untold.pop_last()?;
        let now = Instant::now();
        if registry.phase == Phase::Stopping && registry.deadline.map_or(false, |end| end <= now) {
            // Else workers that spawn workers would keep us telling them for ever.
            self.set_phase(&mut registry, Phase::Closed);
        }
        match &entry {
            Entry::Worker(worker) => {
                let main = worker.traits.kind == EntryKind::Main;
                // Relaxed: `main` sets it before it waits; one that sets it just now is seen or not.
                if main && !self.main_hears.load(Ordering::Relaxed) {
                    return Some(entry); // told like all others, but not waited for and not reported
                }
                let waited_for = !worker.traits.daemon && !worker.is_gone() && !worker.is_caller();
                if waited_for && registry.phase == Phase::Stopping {
                    registry.pending.insert(id);
                    let grace = worker.traits.grace.or(registry.settings.grace);
                    if let Some(end) = grace.and_then(|grace| now.checked_add(grace)) {
                        registry.graces.insert((end, id));
                    }
                }
            }
            Entry::Hook(_) => registry.hook_started(),
            Entry::Child(..) => {}
        }
        registry.told.push(Told {
            entry: entry.clone(),
            at: now,
            child: None,
        });
        Some(entry)
    }

    fn has_untold(&self) -> bool {
        let registry = self.registry.lock();
        registry.may_tell() && !registry.untold.is_empty()
    }

    /// Tells one entry to stop. No lock is held.
    fn tell(self: &Arc<Core>, entry: &Entry) {
        match entry {
            Entry::Worker(worker) => worker.tell(),
            Entry::Hook(hook) => {
                if let Some(message) = hook.callback.run() {
                    logging::callback_panicked(hook.kind, Some(&hook.name), &message);
                }
            }
            Entry::Child(child) => {
                let Some(core) = child.core.upgrade() else {
                    return;
                };
                let (cause, deadline) = {
                    let registry = self.registry.lock();
                    (registry.cause.clone(), registry.deadline)
                };
                if !core.begin(cause.unwrap_or(Cause::Requested), false) {
                    core.tighten(deadline); // it was stopping already
                }
                let report = core.drive_or_wait();
                let mut registry = self.registry.lock();
                // The newest told is the last, so this looks at one or two.
                let mut told = registry.told.iter_mut().rev();
                if let Some(told) = told.find(|told| told.entry.id() == child.id) {
                    told.child = Some(report);
                }
            }
        }
    }

    // ---- join

    /// Waits until there is something to do. True when the supervisor is closed and all that is left is to collect.
    fn await_workers(&self) -> bool {
        let mut registry = self.registry.lock();
        loop {
            if registry.may_tell() && !registry.untold.is_empty() {
                return false;
            }
            let now = Instant::now();
            if registry.pending.is_empty() || registry.phase == Phase::Closed {
                self.set_phase(&mut registry, Phase::Closed);
                return true;
            }
            if registry.deadline.map_or(false, |deadline| deadline <= now) {
                // Nobody registers any more; what is untold is told, and nothing is waited for.
                self.set_phase(&mut registry, Phase::Closed);
                registry.pending.clear();
                continue;
            }
            while let Some(&(end, id)) = registry.graces.iter().next() {
                if end > now {
                    break;
                }
                registry.graces.remove(&(end, id));
                if registry.pending.remove(&id) {
                    registry.overdue.insert(id);
                }
            }
            if registry.pending.is_empty() {
                continue;
            }
            let next = registry.graces.iter().next().map(|&(end, _)| end);
            match [next, registry.deadline].into_iter().flatten().min() {
                Some(limit) => {
                    self.changed.wait_until(&mut registry, limit);
                }
                None => self.changed.wait(&mut registry),
            }
        }
    }

    /// Joins the threads of all who are gone, newest first.
    fn collect(&self) {
        let (gone, limit): (Vec<Arc<Worker>>, _) = {
            let registry = self.registry.lock();
            let workers = registry.told.iter().filter_map(|told| match &told.entry {
                Entry::Worker(worker) if worker.is_gone() => Some(Arc::clone(worker)),
                _ => None,
            });
            (workers.collect(), registry.last_call())
        };
        for worker in gone {
            if !worker.collect(limit) {
                self.registry.lock().overdue.insert(worker.id);
            }
        }
    }

    // ---- report

    /// Makes the report, says what went wrong, and gives it to all who wait.
    fn conclude(self: &Arc<Core>) -> ShutdownReport {
        let report = self.report(true);
        if self.parent.is_none() || !self.parent_is_stopping() {
            say(&report);
        }
        {
            let mut registry = self.registry.lock();
            registry.report = Some(report.clone());
        }
        self.changed.notify_all();
        self.release();
        if let (Some(parent), Some(id)) = (&self.parent, self.id_in_parent) {
            if !parent.is_stopping() {
                parent.unregister(id);
            }
        }
        report
    }

    fn parent_is_stopping(&self) -> bool {
        self.parent
            .as_ref()
            .map_or(false, |parent| parent.is_stopping())
    }

    /// What has happened up to now.
    pub(crate) fn report_so_far(&self) -> ShutdownReport {
        let done = self.registry.lock().report.clone();
        done.unwrap_or_else(|| self.report(false))
    }

    fn report(&self, complete: bool) -> ShutdownReport {
        // Copied out, so that no worker that ends meanwhile waits for it. Child reports are taken with no lock held.
        let (told, hooks, overdue, began, cause) = {
            let registry = self.registry.lock();
            (
                registry.told.clone(),
                registry.exit_hooks_run.clone(),
                registry.overdue.clone(),
                registry.began,
                registry.cause.clone(),
            )
        };
        let began = began.unwrap_or_else(Instant::now);
        let mut entries = Vec::with_capacity(told.len() + hooks.len());
        for told in told.iter().chain(&hooks) {
            let late = overdue.contains(&told.entry.id());
            super::report_entry::push(&mut entries, told, began, late);
        }
        let cause = cause.unwrap_or(Cause::Requested);
        ShutdownReport::new(cause, began.elapsed(), complete, entries)
    }

    /// Names of all who are still waited for, here and in nested supervisors, without waiting for any lock.
    pub(crate) fn waited_for(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut children = Vec::new();
        let patience = Duration::from_millis(100);
        if let Some(registry) = self.registry.try_lock_for(patience) {
            let told = registry.told.iter().map(|told| &told.entry);
            for entry in told.rev().chain(registry.untold.values()) {
                match entry {
                    Entry::Worker(worker) if worker.is_gone() || worker.traits.daemon => {}
                    Entry::Worker(worker) => {
                        let name = worker.traits.name.as_deref().unwrap_or("<unnamed>");
                        names.push(format!("{name} ({})", worker.traits.location));
                    }
                    Entry::Hook(hook) if !hook.callback.is_over() => {
                        names.push(hook.name.to_string())
                    }
                    Entry::Hook(_) => {}
                    Entry::Child(child) => children.extend(child.core.upgrade()),
                }
            }
            for hook in registry.exit_hooks.values() {
                names.push(hook.name.to_string());
            }
        }
        for child in children {
            names.extend(child.waited_for());
        }
        names
    }
}

/// Says what went wrong: through the logger if there is one, else on standard error. A clean report is only logged.
fn say(report: &ShutdownReport) {
    if report.is_clean() {
        if logging::listens(Level::Info) {
            logging::log_bounded(Level::Info, REPORT_LIMIT, report.to_string());
        }
    } else if log::max_level() == log::LevelFilter::Off {
        sys::write_stderr(&format!("sundown: {report}\n"), REPORT_LIMIT);
    } else {
        logging::log_bounded(Level::Error, REPORT_LIMIT, report.to_string());
    }
}

/// Whether telling this entry runs no code of a user's on the teller's thread. A nested supervisor looks after itself.
fn is_quiet(entry: &Entry) -> bool {
    match entry {
        Entry::Worker(worker) => !worker.callback.is_ready(),
        Entry::Hook(_) => false,
        Entry::Child(..) => true,
    }
}

impl Registry {
    /// Whether the next entry may be told: one by one, only when the one before is no longer waited for.
    fn may_tell(&self) -> bool {
        self.settings.order == Order::AllThenJoin || self.pending.is_empty()
    }

    /// When even what runs past the deadline is given up: one callback's limit later.
    fn last_call(&self) -> Option<Instant> {
        self.deadline
            .and_then(|deadline| deadline.checked_add(self.settings.callback_limit()))
    }

    /// By when a callback that began at `since` is given up, with `more` to come after it. Past the deadline all that are
    /// left share one callback's limit, so that each of them runs and yet the end is near.
    fn callback_limit(&self, since: Instant, more: usize) -> Option<Instant> {
        let own = since.checked_add(self.settings.callback_limit());
        let (Some(deadline), Some(last)) = (self.deadline, self.last_call()) else {
            return own;
        };
        let late = since.max(deadline);
        let rest = last.saturating_duration_since(late);
        let share = rest / u32::try_from(more).unwrap_or(u32::MAX).saturating_add(1);
        Some(own.map_or(late + share, |own| own.min(late + share)))
    }
}

/// The entries that are to be told, as steps.
struct Telling(Arc<Core>);

impl Steps for Telling {
    type Step = Entry;

    fn take(&self) -> Option<Entry> {
        self.0.take_untold(false)
    }

    fn run(&self, entry: &Entry) {
        current::as_callback(&self.0, || self.0.tell(entry));
    }

    fn limit(&self, entry: &Entry, since: Instant) -> Option<Instant> {
        if let Entry::Child(child) = entry {
            return child.core.upgrade().and_then(|core| child_limit(&core));
        }
        let registry = self.0.registry.lock();
        registry.callback_limit(since, registry.untold.len())
    }

    fn give_up(&self, entry: &Entry) {
        give_up(entry);
    }
}

/// Marks the callback of an entry as hung, and says so.
fn give_up(entry: &Entry) {
    let (callback, kind, name) = match entry {
        Entry::Worker(worker) => (
            &worker.callback,
            worker.traits.kind,
            worker.traits.name.as_deref(),
        ),
        Entry::Hook(hook) => (&hook.callback, hook.kind, Some(&*hook.name)),
        Entry::Child(_) => return, // its own report says who hangs in it
    };
    if callback.give_up() {
        let name = Printable(name.unwrap_or("<unnamed>"));
        let text = format!(
            "the callback of {} {name} does not return: going on without it",
            kind.label()
        );
        logging::log_bounded(Level::Error, REPORT_LIMIT, text);
    }
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

/// The `on_exit` hooks, as steps.
struct ExitHooks(Arc<Core>);

impl Steps for ExitHooks {
    type Step = Entry;

    fn take(&self) -> Option<Entry> {
        let mut registry = self.0.registry.lock();
        let (_, hook) = registry.exit_hooks.pop_last()?;
        registry.hook_started();
        let entry = Entry::Hook(hook);
        registry.exit_hooks_run.push(Told {
            entry: entry.clone(),
            at: Instant::now(),
            child: None,
        });
        Some(entry)
    }

    fn run(&self, entry: &Entry) {
        current::as_callback(&self.0, || self.0.tell(entry));
    }

    fn limit(&self, _entry: &Entry, since: Instant) -> Option<Instant> {
        let registry = self.0.registry.lock();
        registry.callback_limit(since, registry.exit_hooks.len())
    }

    fn give_up(&self, entry: &Entry) {
        give_up(entry);
    }
}

/// How an entry's worker ended, as far as it has.
pub(crate) fn outcome_of(worker: &Worker, late: bool) -> Outcome {
    use super::worker::End;
    if late {
        return Outcome::Straggler;
    }
    match worker.ended() {
        Some(End::Panicked(message)) if worker.is_gone() => Outcome::Panicked(message),
        _ if worker.is_gone() => Outcome::Finished,
        _ if worker.is_caller() => Outcome::Caller,
        _ if worker.traits.daemon => Outcome::Daemon,
        _ => Outcome::Straggler,
    }
}

//! The shutdown: request, terminate newest first, join newest first, `on_exit` hooks, report.
//!
//! Whoever comes first drives it; everyone else waits for the report. Users' code runs on a helper thread that the driver
//! watches (`walk`), unless there is none to run. All waiting is bounded by the deadline and, past it, by one callback's limit
//! for each of the two kinds of callbacks.

use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::Level;

use super::current;
use super::registry::{Core, Entry, Phase};
use super::report::{EntryKind, ShutdownReport};
use super::telling::ExitHooks;
use super::walk::walk;
use super::worker::Worker;
use crate::base::cause::Cause;
use crate::base::logging::{self, REPORT_LIMIT};
use crate::base::text::Printable;

/// How long the system may take to end threads of which all code is through.
const COLLECT_LIMIT: Duration = Duration::from_secs(1);

impl Core {
    /// Asks for a shutdown and returns at once; somebody carries it out. True if this was the first request.
    pub(crate) fn request(self: &Arc<Core>, cause: Cause) -> bool {
        if !self.begin(cause, current::is_main()) {
            return false;
        }
        if !self.registry.lock().coordinated {
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
        self.close_when_done();
        self.begin(cause, main);
        if main {
            self.main_leaves();
        }
        self.wait_as_caller()
    }

    /// The same for a process that is about to end, with no more time than until `cap`. `leaving`: this thread ends it.
    pub(crate) fn shutdown_for_exit(
        self: &Arc<Core>,
        cause: Cause,
        cap: Option<Instant>,
        leaving: bool,
    ) -> ShutdownReport {
        if !self.is_ours() {
            return ShutdownReport::new(cause, Duration::ZERO, true, Vec::new());
        }
        if leaving {
            self.registry.lock().leaving = true;
        }
        self.begin(cause, leaving);
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
            logging::log_bounded(Level::Info, format!("shutting down after {cause}"));
        }
        self.tell_own_token();
        loop {
            self.tell_all();
            if self.await_workers() {
                break;
            }
        }
        self.collect();
        if self.has_exit_hooks() {
            walk(ExitHooks(Arc::clone(self)), None);
        }
        self.conclude()
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
            if registry.phase == Phase::Closed {
                return true;
            }
            if registry.pending.is_empty() && !registry.held_open {
                if let Some(child) = registry.late_children.pop() {
                    drop(registry);
                    self.shut_down_child(&child);
                    registry = self.registry.lock();
                    continue;
                }
                self.set_phase(&mut registry, Phase::Closed);
                return true;
            }
            if registry.is_late(now) {
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
                    registry.overdue.insert(id, end);
                }
            }
            if registry.pending.is_empty() && !registry.held_open {
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
        let (gone, deadline): (Vec<Arc<Worker>>, _) = {
            let registry = self.registry.lock();
            let workers = registry.told.iter().filter_map(|told| match &told.entry {
                Entry::Worker(worker) if worker.is_gone() => Some(Arc::clone(worker)),
                _ => None,
            });
            (workers.collect(), registry.deadline)
        };
        // They are leaving already: all together get a moment, even when the time is up just now, and no more than a moment.
        let now = Instant::now();
        let limit = deadline.map_or(now, |deadline| deadline.clamp(now, now + COLLECT_LIMIT));
        let limit = limit.max(now + COLLECT_LIMIT / 10);
        for worker in gone {
            if !worker.collect(Some(limit)) {
                let given_up = Instant::now();
                self.registry.lock().overdue.insert(worker.id, given_up);
            }
        }
    }

    /// Whether there are `on_exit` hooks to run. If not, there will be none: the last moment to register one is over.
    fn has_exit_hooks(&self) -> bool {
        let mut registry = self.registry.lock();
        registry.exit_hooks_over = registry.exit_hooks.is_empty();
        !registry.exit_hooks_over
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
            .is_some_and(|parent| parent.is_stopping())
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
            let late = overdue.get(&told.entry.id()).copied();
            super::report_entry::push(&mut entries, told, began, late);
        }
        let cause = cause.unwrap_or(Cause::Requested);
        ShutdownReport::new(cause, began.elapsed(), complete, entries)
    }

    /// Names of all who are still waited for, here and in nested supervisors, without waiting long for any lock.
    pub(crate) fn waited_for(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut children = Vec::new();
        let Some(registry) = self.registry.try_lock_for(Duration::from_millis(100)) else {
            return vec!["(a supervisor that is busy)".to_owned()];
        };
        let told = registry.told.iter().chain(&registry.exit_hooks_run);
        let told = told.map(|told| &told.entry);
        for entry in told.rev().chain(registry.untold.values()) {
            match entry {
                Entry::Worker(worker) => {
                    let main = worker.traits.kind == EntryKind::Main;
                    let deaf = main && !self.main_hears.load(Ordering::Relaxed);
                    if !(worker.is_gone() || worker.is_caller() || worker.traits.daemon || deaf) {
                        let name = worker.traits.name.as_deref().unwrap_or("<unnamed>");
                        names.push(format!("{} ({})", Printable(name), worker.traits.location));
                    }
                }
                Entry::Hook(hook) if !hook.callback.is_over() => {
                    names.push(format!("hook {}", Printable(&hook.name)));
                }
                Entry::Hook(_) => {}
                Entry::Child(child) => children.extend(child.core.upgrade()),
            }
        }
        for hook in registry.exit_hooks.values() {
            names.push(format!("hook {}", Printable(&hook.name)));
        }
        drop(registry);
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
            logging::log_bounded(Level::Info, report.to_string());
        }
    } else if log::max_level() == log::LevelFilter::Off {
        logging::print(&format!("sundown: {report}\n"));
    } else {
        logging::log_bounded(Level::Error, report.to_string());
    }
}

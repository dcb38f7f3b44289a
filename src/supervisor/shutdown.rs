//! The shutdown: request, terminate newest first, join newest first, `on_exit` hooks, report.
//!
//! Whoever comes first drives it; everyone else waits for the report. Users' code runs on a helper thread that the driver
//! watches (`walk`), unless there is none to run. All waiting is bounded by the deadline and, past it, by one callback's limit
//! for each of the two kinds of callbacks.

use std::sync::Arc;
use std::time::Duration;

use log::Level;

use super::current;
use super::event::{self, EventKind};
use super::registry::{Core, Entry, Phase, Told};
use super::report::ShutdownReport;
use super::straggler::straggler_among;
use super::waits::waiting_for_shutdown;
use super::worker::Worker;
use crate::base::apart::on_thread;
use crate::base::cause::Cause;
use crate::base::log_queue;
use crate::base::logging::{self, REPORT_LIMIT};
use crate::seams::Status;
use crate::sync::Instant;
use crate::sys::NativeThread;

/// What the system has past the deadline to end threads of which all code is through, all together.
const COLLECT_MOMENT: Duration = Duration::from_millis(100);
/// How many are looked at in one go, after as many others have been told.
const BATCH: usize = if cfg!(shuttle) { 2 } else { 64 };
/// How long the workers are waited for before their processor time is counted: most are gone by then, and cost nothing.
const COUNT_CPU_AFTER: Duration = Duration::from_millis(100);

impl Core {
    /// Asks for a shutdown and returns at once; somebody carries it out. True if this was the first request.
    pub(crate) fn request(self: &Arc<Core>, cause: Cause) -> bool {
        if !self.begin(cause, current::is_main()) {
            return false;
        }
        if !self.registry.lock().coordinated {
            let core = Arc::clone(self);
            let started = on_thread("sundown", move || drop(core.drive_or_wait()));
            if started.is_err() {
                // What was requested happens, if need be on the thread that asked. A callback cannot wait for itself: what it
                // asked for is left to the next who waits.
                self.shutdown(Cause::Requested);
            }
        }
        true
    }

    /// Asks for a shutdown and waits for it, unless the caller is a callback that the shutdown itself waits for.
    pub(crate) fn shutdown(self: &Arc<Core>, cause: Cause) -> ShutdownReport {
        if !self.is_ours() {
            return ShutdownReport::nothing(cause);
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
            return ShutdownReport::nothing(cause);
        }
        if leaving {
            self.registry.lock().leaving = true;
        }
        self.begin(cause, leaving);
        self.tighten_for_exit(cap);
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
        let _waiting = waiting_for_shutdown(self);
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
        log_queue::flush(); // that it has begun is said before anyone is told
        let mut own = self.own_callbacks();
        let mut status = None;
        loop {
            let next = own.take().or_else(|| self.tell_quiet());
            // Before anything that may take long, and not sooner: those who were just told stop meanwhile.
            status.get_or_insert_with(|| Status::of(self));
            match next {
                Some(step) => self.tell(step),
                None if self.await_workers() => break,
                None => {}
            }
        }
        self.collect();
        self.look_at_stragglers();
        if self.has_exit_hooks() {
            self.run_exit_hooks();
            self.look_at_stragglers(); // a hook may hang as well
        }
        drop(status);
        self.conclude()
    }

    // ---- join

    /// Waits until there is something to do. True when the supervisor is closed and all that is left is to collect.
    fn await_workers(&self) -> bool {
        let mut registry = self.registry.lock();
        let began = Instant::now();
        let left = registry
            .deadline
            .map(|end| end.saturating_duration_since(began) / 4);
        let mut count_cpu_at =
            Some(began + left.map_or(COUNT_CPU_AFTER, |left| left.min(COUNT_CPU_AFTER)));
        loop {
            if registry.may_tell() && !registry.untold.is_empty() {
                return false;
            }
            let now = Instant::now();
            if registry.phase == Phase::Closed {
                return true;
            }
            if registry.pending == 0 && !registry.held_open {
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
                registry.give_up_all();
                continue;
            }
            registry.end_graces(now);
            if registry.pending == 0 && !registry.held_open {
                continue;
            }
            if count_cpu_at.is_some_and(|at| at <= now) {
                count_cpu_at = None;
                registry.count_cpu();
            }
            let limits = [registry.next_grace(), registry.deadline, count_cpu_at];
            match limits.into_iter().flatten().min() {
                Some(limit) => {
                    self.changed.wait_until(&mut registry, limit);
                }
                None => self.changed.wait(&mut registry),
            }
        }
    }

    /// Joins those that are gone of the next few that were told a while ago: called each time that the driver has told one. Telling wakes a
    /// thread, which the system runs to its end on another processor; with all joins at the end, that processor has nothing to do
    /// meanwhile. Not past the deadline, when nothing counts but that the others are told.
    pub(super) fn collect_some(&self) {
        if !NativeThread::HAS_LIMIT {
            return; // what a C library does at one thread's end would hold up telling the others
        }
        let now;
        let gone = {
            let mut registry = self.registry.lock();
            let first = registry.looked_for_gone;
            if registry.told.len() < first + 2 * BATCH {
                return;
            }
            now = Instant::now();
            if registry.is_late(now) {
                return;
            }
            registry.looked_for_gone = first + BATCH;
            gone_among(&registry.told[first..first + BATCH])
        };
        for worker in gone {
            worker.collect(Some(now)); // one that the system has not ended yet is joined in the end
        }
    }

    /// Joins the threads of all who are gone, newest first.
    fn collect(&self) {
        let (gone, deadline): (Vec<Arc<Worker>>, _) = {
            let registry = self.registry.lock();
            (gone_among(&registry.told), registry.deadline)
        };
        // Until the deadline, like all waiting: on a machine that is busy the system may need a while, and who did all it should is no
        // straggler. They are leaving already, so they get a moment even when the time is up just now.
        let moment = Instant::now() + COLLECT_MOMENT;
        let limit = deadline.map(|deadline| deadline.max(moment));
        for worker in gone {
            if !worker.collect(limit) {
                worker.give_up(Instant::now());
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

    /// Makes the report, says what went wrong (on standard error if no logger is installed), and gives it to all who wait.
    fn conclude(self: &Arc<Core>) -> ShutdownReport {
        let report = self.report(true);
        let level = match report.is_clean() {
            _ if self.parent_is_stopping() => event::USUAL, // whose report includes this one
            true => Level::Info,
            false => Level::Error,
        };
        self.registry.lock().announce_stragglers_of(&report);
        self.observers
            .announce_own(level, || EventKind::ShutdownEnded(report.clone()));
        self.observers.close();
        if level == Level::Error && log::max_level() == log::LevelFilter::Off {
            logging::print(&format!("sundown: {report}\n"));
        }
        log_queue::flush();
        // Before anyone has the report: who has it finds that the parent knows this one no more.
        if let (Some(parent), Some(id)) = (&self.parent, self.id_in_parent) {
            if !parent.is_stopping() {
                parent.unregister(id);
            }
        }
        self.registry.lock().report = Some(report.clone());
        self.changed.notify_all();
        self.release();
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
        let (told, hooks, looked_at, began, cause, mut secondary) = {
            let registry = self.registry.lock();
            (
                Arc::clone(&registry.told),
                registry.exit_hooks_run.clone(),
                registry.looked_at.clone(),
                registry.began,
                registry.cause.clone(),
                registry.secondary.clone(),
            )
        };
        let began = began.unwrap_or_else(Instant::now);
        let mut entries = Vec::with_capacity(told.len() + hooks.len());
        for told in told.iter().chain(&hooks) {
            let straggler = straggler_among(&looked_at, told.entry.id());
            super::report_entry::push(&mut entries, told, began, straggler);
            if let Some(child) = &told.child {
                secondary.extend_from_slice(child.secondary());
            }
        }
        let cause = cause.unwrap_or(Cause::Requested);
        ShutdownReport::new(cause, secondary, began.elapsed(), complete, entries)
    }
}

/// Those whose threads can be joined.
fn gone_among(told: &[Told]) -> Vec<Arc<Worker>> {
    let workers = told.iter().filter_map(|told| match &told.entry {
        Entry::Worker(worker) if worker.is_gone() => Some(Arc::clone(worker)),
        _ => None,
    });
    workers.collect()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::supervisor::joining::Native;
    use crate::supervisor::settings::Order;
    use crate::supervisor::Supervisor;
    use crate::sync::thread;

    const WORKERS: usize = 256;

    #[test]
    fn those_told_long_ago_are_joined_before_the_last_has_left() {
        if !NativeThread::HAS_LIMIT {
            return;
        }
        // So those that are looked at have left long ago.
        let supervisor = Supervisor::builder().order(Order::OneByOne);
        let supervisor = supervisor.deadline(Duration::from_secs(10)).build();
        // Nothing is ever sent: it ends when the other end is gone, also if this fails.
        let (key, lock) = channel::<()>();
        supervisor.spawn(move || lock.recv().is_err());
        for _ in 1..WORKERS {
            supervisor.worker().spawn_with(|stop| stop.wait()).unwrap();
        }
        assert!(supervisor.request_shutdown(Cause::Requested));
        let joined = || {
            let registry = supervisor.core.registry.lock();
            assert_eq!(registry.phase, Phase::Stopping, "joined in the end only");
            let gone = gone_among(&registry.told).into_iter();
            gone.filter(|worker| matches!(worker.progress.lock().native, Native::Joined))
                .count()
        };
        // Nobody tells that some have been joined.
        while joined() < WORKERS / 2 {
            thread::yield_now();
        }
        drop(key);
        assert!(supervisor.shutdown().is_clean());
    }
}

//! Step 2 of a shutdown: every entry is told to stop, newest first. And step 4, which runs the `on_exit` hooks the same way.
//!
//! Tokens and unparks call nobody, so the driver does that much itself; from the first callback on a helper thread does the rest.

use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Instant;

use log::Level;

use super::cause::Cause;
use super::current;
use super::logging::{self, REPORT_LIMIT};
use super::registry::{Core, Entry, Phase, Told};
use super::report::EntryKind;
use super::text::Printable;
use super::walk::{walk, Steps};

impl Core {
    /// Tells every entry that is to be told now, newest first.
    pub(super) fn tell_all(self: &Arc<Core>) {
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
        if registry.phase == Phase::Stopping && registry.deadline.is_some_and(|end| end <= now) {
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
}

/// Whether telling this entry runs no code of a user's on the teller's thread. A nested supervisor looks after itself.
fn is_quiet(entry: &Entry) -> bool {
    match entry {
        Entry::Worker(worker) => !worker.callback.is_ready(),
        Entry::Hook(_) => false,
        Entry::Child(..) => true,
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
    let (hangs, kind, name) = match entry {
        Entry::Worker(worker) => (
            worker.callback_hangs(),
            worker.traits.kind,
            worker.traits.name.as_deref(),
        ),
        Entry::Hook(hook) => (hook.callback.give_up(), hook.kind, Some(&*hook.name)),
        Entry::Child(_) => return, // its own report says who hangs in it
    };
    if hangs {
        let name = Printable(name.unwrap_or("<unnamed>"));
        let kind = kind.label();
        let text = format!("the callback of {kind} {name} does not return: going on without it");
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
pub(super) struct ExitHooks(pub(super) Arc<Core>);

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

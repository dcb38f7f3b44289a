//! The global supervisor, every other one that is nested in none, and what happens to them when the process exits.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Once, Weak};
use std::time::Duration;

use once_cell::sync::Lazy;
use parking_lot::{Mutex, RwLock};

use super::registry::{Core, Message, Phase};
use super::settings::{ExitStyle, Settings};
use crate::base::apart::bounded;
use crate::base::cause::Cause;
use crate::base::log_queue;
use crate::base::logging;
use crate::base::mailbox::Sender;
use crate::base::panics::message_of_panic;
use crate::sync::Instant;
use crate::sys;

/// How long flushing what was printed may take.
pub(crate) const FLUSH_LIMIT: Duration = Duration::from_millis(200);

/// The global supervisor. Replaced by the next installation once its shutdown is over. A lock for readers: in a forked child one of them
/// may be left over, and harms no other.
static GLOBAL: RwLock<Option<Arc<Core>>> = RwLock::new(None);

/// Every supervisor that is nested in none, oldest first.
static ROOTS: Lazy<Mutex<Vec<Weak<Core>>>> = Lazy::new(|| Mutex::new(Vec::new()));

/// The global supervisor, made if there is none yet. In a forked child the parent's is none.
pub(crate) fn global() -> Arc<Core> {
    if let Some(core) = &*GLOBAL.read() {
        if core.is_ours() {
            return Arc::clone(core);
        }
    }
    let mut global = GLOBAL.write();
    match &*global {
        Some(core) if core.is_ours() => Arc::clone(core),
        _ => {
            let core = new_root(None, Settings::default());
            *global = Some(Arc::clone(&core));
            core
        }
    }
}

/// The global supervisor to install: the present one while it is running, else a new one, which is not global yet. `Err` while
/// its shutdown is under way.
pub(crate) fn candidate(name: Option<Arc<str>>, settings: Settings) -> Result<Arc<Core>, Phase> {
    let global = GLOBAL.read().clone();
    if let Some(core) = global.filter(|core| core.is_ours()) {
        let registry = core.registry.lock();
        match registry.phase {
            Phase::Running => return Ok(Arc::clone(&core)),
            // Closed is not enough: its `on_exit` hooks may still run.
            phase if registry.report.is_none() => return Err(phase),
            _ => {}
        }
    }
    Ok(new_root(name, settings))
}

/// Makes a candidate the global supervisor.
pub(crate) fn make_global(core: &Arc<Core>) {
    let before = GLOBAL.write().replace(Arc::clone(core));
    drop(before);
}

/// Every supervisor that is nested in none, newest first.
pub(crate) fn all() -> Vec<Arc<Core>> {
    let roots = ROOTS.lock();
    let ours = roots.iter().rev().filter_map(Weak::upgrade);
    ours.filter(|core| core.is_ours()).collect()
}

/// A supervisor that is nested in none. It is shut down when the process exits.
pub(crate) fn new_root(name: Option<Arc<str>>, settings: Settings) -> Arc<Core> {
    static ARM: Once = Once::new();
    ARM.call_once(|| {
        if !sys::at_exit(at_exit) {
            // Not logged: the caller holds a lock, and a logger may call anything.
            logging::print("sundown: no atexit handler could be registered: without a guard nothing is shut down\n");
        }
    });
    let core = Arc::new(Core::new(name, settings, None, false));
    let mut roots = ROOTS.lock();
    if roots.len() == roots.capacity() {
        // Before it grows, so that this costs little however many come and go.
        roots.retain(|root| root.strong_count() > 0);
    }
    roots.push(Arc::downgrade(&core));
    core
}

/// Shuts down every root that has something registered, newest first, at the latest until `cap`; without one, until the longest
/// of their deadlines is over, counted from now.
pub(crate) fn shut_down_all(cause: &Cause, cap: Option<Instant>) {
    shut_down_each(cause, cap, false);
}

/// The same on a thread that ends the process after it, for this cause. If the process ends already for another, that is what all are
/// told, and the time that there is: the same from here as from the coordinator, whoever comes first.
pub(crate) fn shut_down_and_leave(cause: Cause) {
    let global = GLOBAL.try_read().and_then(|global| global.clone());
    let ours = global.filter(|core| core.is_ours()); // in a forked child its lock may be held for ever
    let end = ours.and_then(|core| core.end_of_process());
    let (cause, cap) = end.unwrap_or((cause, None));
    shut_down_each(&cause, cap, true);
}

fn shut_down_each(cause: &Cause, cap: Option<Instant>, leaving: bool) {
    let longest = |roots: &[Arc<Core>]| {
        let deadline = |core: &Arc<Core>| core.registry.lock().settings.deadline;
        let longest = roots.iter().map(deadline).max()?;
        Instant::now().checked_add(longest)
    };
    let mut roots = all();
    let mut cap = cap.or_else(|| longest(&roots));
    let mut done: Vec<Arc<Core>> = Vec::new();
    // A worker may make a supervisor for its clean-up, so this looks again.
    while !roots.is_empty() {
        for core in &roots {
            if !core.is_idle() {
                core.shutdown_for_exit(cause.clone(), cap, leaving);
                // If one was given more time, all have it.
                let own = core.registry.lock().deadline;
                cap = cap.map(|cap| own.map_or(cap, |own| cap.max(own)));
            }
        }
        done.append(&mut roots);
        if cap.is_some_and(|cap| cap <= Instant::now()) {
            return;
        }
        roots = all();
        roots.retain(|root| !root.is_idle() && !done.iter().any(|core| Arc::ptr_eq(core, root)));
    }
}

/// What the C library calls when the process exits, on the thread that exits, whose thread-locals are gone.
fn at_exit(status: Option<i32>) {
    // A panic must not reach the C library.
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| leave(status))) {
        message_of_panic(payload);
    }
}

fn leave(status: Option<i32>) {
    let first = sys::is_first_thread();
    let global = GLOBAL.try_read().and_then(|global| global.clone());
    if let Some(core) = &global {
        if !core.is_ours() {
            return; // a forked child
        }
        if first {
            core.main_leaves();
        }
    }
    // The C library cannot tell a return from main from a call of exit in it: the code has to do.
    shut_down_and_leave(match status {
        None | Some(0) if first => Cause::Returned,
        Some(101) if first => Cause::Panicked,
        status => Cause::Exit(status.unwrap_or(0)),
    });
    log_queue::flush();
    let Some(core) = global else { return };
    if let Some((signal, style)) = last_flush(&core) {
        end_by(signal, style);
    }
}

/// Flushes what was printed through C, if the process is to end by a signal. Gives that signal, and how it is to end.
fn last_flush(core: &Core) -> Option<(i32, ExitStyle)> {
    let (style, signal, watched, told);
    {
        let mut registry = core.registry.lock();
        style = registry.exit_style?;
        let Some(Cause::Signal(cause)) = registry.cause else {
            return None;
        };
        signal = cause;
        // Where who requested the shutdown ends the process itself, the coordinator does not stay to the end.
        let stays = !registry.by_leaver;
        let watcher = registry.coordinator.clone().filter(|_| stays);
        watched = watcher.as_ref().is_some_and(Sender::has_receiver);
        // A coordinator that comes to the end after this finds it: under the lock, so that it does or is told.
        registry.flushes_since = watched.then(Instant::now);
        told = watcher.filter(|_| registry.end_is_awaited);
    }
    if let Some(coordinator) = told {
        coordinator.send(Message::Ending);
    }
    // The coordinator ends the process if this takes too long, so no thread has to be started for it.
    match watched {
        true => sys::flush_c_streams(),
        false => drop(bounded(FLUSH_LIMIT, sys::flush_c_streams)),
    }
    Some((signal, style))
}

/// Ends the process as its style asks for after a signal.
pub(crate) fn end_after_signal(signal: i32, style: ExitStyle) -> ! {
    // Bounded: a thread that sits in a C stream's read holds that stream's lock.
    bounded(FLUSH_LIMIT, sys::flush_c_streams);
    end_by(signal, style)
}

/// The same, with nothing flushed.
pub(crate) fn end_by(signal: i32, style: ExitStyle) -> ! {
    match style {
        ExitStyle::AsSignal => sys::die_of(signal),
        ExitStyle::Code => sys::exit_now(i32::from(Cause::Signal(signal).exit_code())),
    }
}

//! When a shutdown hangs: who, where and why.
//!
//! A worker (or a callback) that is still running when its time is up gets a [`Straggler`] record, made at the deadline while it
//! hangs where it hangs: its spawn site, how long it has run, what its callback did, the label that it set with [`activity`], the
//! processor time that it used since it was told; on Linux the system call it is in and what that works on; and a line of advice. The
//! report prints it, and [`EntryReport::straggler`](crate::EntryReport::straggler) gives it to the program. Nothing of this costs
//! anything before there is a straggler, but for a number noted when a thread starts.
//!
//! Who waits for whom is known too, for the joins, shutdowns and tasks of this library, and for what [`waiting_for`] notes: if
//! stragglers wait for one another in a circle, the record [names it](Straggler::cycle). A wait with a time limit counts like any other.
//! What cannot be known is passed over in silence: whoever holds a lock, the other end of a channel, what a future awaits.
//!
//! With the feature `stacks` (Linux on x86-64; elsewhere it changes nothing) the record has the thread's frames as well. A thread that is
//! blocked is not disturbed for that: the kernel tells where it is, and its stack is read from outside. Only one that runs gets a
//! signal, whose handler copies its registers and a part of its stack, and does nothing else. (On other processors the kernel does not
//! tell enough: a 64-bit ARM has the way back from where it blocks in a register, of which `/proc` says nothing.)
//!
//! Looking takes a millisecond or so, and stacks take up to 500 ms. It is done on threads of its own and ends after a second in all,
//! whatever hangs: what was not learned by then is left out.
//!
//! To see what all workers are doing while nothing is wrong, see [`Supervisor::dump`](crate::Supervisor::dump).
//!
//! ```
//! use std::time::Duration;
//! use sundown::Supervisor;
//!
//! let supervisor = Supervisor::builder().deadline(Duration::from_millis(50)).build();
//! supervisor.worker().name("sleeper".into()).spawn(|| std::thread::sleep(Duration::from_secs(3600)))?;
//! let report = supervisor.shutdown();
//! let straggler = report.stragglers()[0].straggler().unwrap();
//! # #[cfg(target_os = "linux")]
//! assert_eq!(straggler.advice(), "use `StopToken::sleep` in place of `thread::sleep`");
//! # Ok::<(), std::io::Error>(())
//! ```

mod advice;
mod cycles;
mod descriptor;
mod dump;
mod kernel;
mod on_signal;
#[cfg(all(feature = "stacks", target_os = "linux", target_arch = "x86_64"))]
mod stacks;
mod subject;
mod syscalls;
mod text;
mod waiting;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

pub use crate::supervisor::{CallbackState, Straggler, StuckThread, ThreadState};
pub use waiting::{current_worker, waiting_for, waiting_for_any, Waiting};

use crate::base::apart::{bounded, start};
use crate::base::text::Printable;
use crate::supervisor::registry::main_id;
use crate::supervisor::waits::Waiter;
use crate::supervisor::worker::Worker;
use crate::supervisor::{current, roots, Supervisor, WorkerId};
use cycles::Graph;
use kernel::{Kernel, Look};

/// What of the time for looking is kept for asking the kernel, which is quick unless the machine is very busy. The rest is for stacks.
#[cfg(all(feature = "stacks", target_os = "linux", target_arch = "x86_64"))]
const KERNEL_LIMIT: Duration = Duration::from_millis(500);
/// How long to wait for what was learned.
const LOCK_LIMIT: Duration = Duration::from_millis(100);

/// Says what this worker does from now on, for those who ask: a straggler's record, the status line, a dump. Empty for nothing.
///
/// Cheap enough for every request: a literal is stored as it is, under a lock that nobody else wants (some 30 ns). A label that is
/// made up costs what it costs to make. On a thread that is neither a worker nor an installed supervisor's `main` this does nothing.
///
/// ```
/// use sundown::{activity, thread};
///
/// let worker = thread::spawn(|| {
///     activity("reading the index");
///     // ...
///     activity(format!("writing segment {}", 7));
/// });
/// worker.join().unwrap();
/// ```
pub fn activity(label: impl Into<Cow<'static, str>>) {
    let mut label = Some(label.into());
    let mut set = |worker: &Worker| {
        if let Some(label) = label.take() {
            worker.trace.set_activity(label);
        }
    };
    if current::with_worker(&mut set).is_none() && current::is_main() {
        let main = Supervisor::global().core.registry.lock().main.clone();
        if let Some(main) = main {
            set(&main);
        }
    }
}

/// Looks at each straggler, for at most `limit` in all; what has not been learned by then stays out of the records.
pub(crate) fn examine(stragglers: Vec<Straggler>, limit: Duration) -> Vec<Straggler> {
    let began = Instant::now();
    let records = Arc::new(Mutex::new(stragglers.clone()));
    let theirs = Arc::clone(&records);
    // On a thread of its own: whatever is touched below may belong to what hangs.
    bounded(limit, move || fill_in(&theirs, began + limit));
    let theirs = Arc::clone(&records);
    // This asks users' code, so it holds up nothing else; and if no thread can be had, it is not done.
    let circles = start(move || fill_in_circles(&theirs));
    #[cfg(all(feature = "stacks", target_os = "linux", target_arch = "x86_64"))]
    {
        let ends = began + limit.saturating_sub(KERNEL_LIMIT);
        let theirs = Arc::clone(&records);
        if let Some(stacks) = start(move || stacks::fill_in(&theirs, ends)) {
            stacks.wait(ends.saturating_duration_since(Instant::now()));
        }
    }
    if let Some(circles) = circles {
        circles.wait(limit.saturating_sub(began.elapsed()));
    }
    // The other thread holds this for no longer than it takes to store; unless it is stopped in that moment.
    let learned = records
        .try_lock_for(LOCK_LIMIT)
        .map(|records| records.clone());
    let mut records = learned.unwrap_or(stragglers);
    for record in &mut records {
        if record.advice.is_empty() {
            record.advice = advice::advice(record, None, None);
        }
    }
    records
}

/// Fills in what can be learned. The lock is held for no longer than it takes to store.
fn fill_in(records: &Mutex<Vec<Straggler>>, ends: Instant) {
    let before = records.lock().clone();
    let kernel = Kernel::default();
    for (at, straggler) in before.iter().enumerate() {
        if ends <= Instant::now() {
            return;
        }
        let own = straggler.os_thread.map(|thread| kernel.look(thread));
        let callback = straggler
            .callback_os_thread
            .map(|thread| kernel.look(thread));
        let blocked = |look: &Option<Look>| look.as_ref().map(|look| look.blocked);
        let advice = advice::advice(straggler, blocked(&own), blocked(&callback));
        let mut records = records.lock();
        let record = &mut records[at];
        record.thread = own.map(|look| look.thread);
        record.callback_thread = callback.map(|look| look.thread);
        // Late, for want of a processor, it must not take the place of what is better.
        if record.cycle.is_none() {
            record.advice = advice;
        }
    }
}

/// Names the circles of waits among them.
fn fill_in_circles(records: &Mutex<Vec<Straggler>>) {
    let before = records.lock().clone();
    let graph = Graph::now();
    for (at, straggler) in before.iter().enumerate() {
        let waiters = [Waiter::Worker(straggler.id), Waiter::Callback(straggler.id)];
        let mut cycles = waiters.into_iter();
        let cycle = cycles.find_map(|one| graph.cycle_of(one, |id| name_of(&before, id)));
        if cycle.is_some() {
            let mut records = records.lock();
            records[at].cycle = cycle;
            records[at].advice = Cow::Borrowed(advice::FOR_A_CIRCLE);
        }
    }
}

/// What a worker is called: a straggler, or somebody else who is waited for or waits.
fn name_of(stragglers: &[Straggler], id: WorkerId) -> Option<String> {
    let found = stragglers.iter().find(|straggler| straggler.id == id);
    let name = match found {
        Some(straggler) => straggler.name().map(str::to_owned),
        None if id == main_id() => Some("main".to_owned()),
        None => {
            let roots = roots::all().into_iter().map(|core| Supervisor { core });
            let mut workers = roots.flat_map(|root| root.workers());
            workers.find(|worker| worker.id == id)?.name
        }
    };
    name.map(|name| Printable(&name).to_string())
}

/// What a thread does, in a few words. `None` if the kernel does not tell.
pub(crate) fn in_short(thread: u32) -> Option<String> {
    let look = Kernel::default().look(thread);
    match (look.thread.syscall, look.thread.state) {
        (Some(call), _) => Some(format!("in {call}")),
        (None, Some(state)) => Some(state.to_string()),
        (None, None) => None,
    }
}

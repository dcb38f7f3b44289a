//! What a loop and its handles share: an inbox of jobs that any thread fills and the loop empties, and a list of the tasks that
//! are not over, so that an end can wait for them and let go of those who wait.
//!
//! # Invariants
//!
//! - A task is in `tasks` from when it is handed over until it is over; so the loop is idle exactly when that is empty.
//! - Once `open` is false it stays so, and nothing is added any more. It turns false when the loop is through with its drain, and
//!   at the latest a moment after the drain, also when the loop is blocked.

use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use slab::Slab;
use tokio::runtime::Handle;

use crate::{diagnose, StopCallback, StopSource, StopToken, WorkerId};

/// How long a loop gets after its drain to drop what is left, before those who wait for it are let go: it is blocked, then.
const MOMENT: Duration = Duration::from_millis(100);

/// A task as its loop sees it.
pub(super) trait Listed: Send + Sync {
    /// It is on the loop's list under this key, which is what takes it off again. Called once, with the inbox's lock held.
    fn set_key(&self, key: usize);

    /// That key.
    fn key(&self) -> usize;

    /// It will not be carried out to its end: whoever waits is told so.
    fn abandon(&self);
}

/// Runs on the loop's thread, once.
pub(super) type Start = Box<dyn FnOnce() + Send>;

/// What a loop and its handles share.
pub(super) struct Shared {
    /// Tells it from all other loops.
    number: usize,
    /// Whose thread it runs on, for who looks why a shutdown hangs.
    worker: Option<WorkerId>,
    /// A leaf lock: jobs run, and wakers are woken, with it free.
    inbox: Mutex<Inbox>,
    /// Stopped when the loop's worker is told to stop, and when the main task ends.
    stop: StopSource,
    /// `None` under a runner.
    runtime: Option<Handle>,
    /// As it was set; the end may cut it.
    drain: Duration,
    /// Set once the end has begun.
    clock: OnceLock<Clock>,
    /// What the clock does; kept for its registration only.
    alarms: OnceLock<[StopCallback; 2]>,
}

struct Inbox {
    /// Takes work.
    open: bool,
    /// The beginnings that the loop has not seen yet.
    queue: Vec<Start>,
    /// Those that are not over.
    tasks: Slab<Arc<dyn Listed>>,
    /// Wakes the loop. `None` while it is awake already, or about to be.
    waker: Option<Waker>,
    /// The loop wants to know when `tasks` is empty.
    draining: bool,
}

/// Times the end. Nothing of it runs on the loop, which may be blocked.
struct Clock {
    /// The drain is over.
    over: StopSource,
    /// The loop should have ended.
    blocked: StopSource,
}

/// The numbers of loops; zero is none.
static NUMBERS: AtomicUsize = AtomicUsize::new(1);

thread_local! {
    /// The number of the loop that this thread runs. It has no destructor, so it can be read at any time.
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

impl Shared {
    /// A loop of the worker with this token, that runs on this thread.
    pub(super) fn new(token: &StopToken, runtime: Option<Handle>, drain: Duration) -> Arc<Shared> {
        // Relaxed: only that no two are the same counts.
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        CURRENT.with(|current| current.set(number));
        Arc::new(Shared {
            number,
            worker: diagnose::current_worker(),
            inbox: Mutex::new(Inbox {
                open: true,
                queue: Vec::new(),
                tasks: Slab::new(),
                waker: None,
                draining: false,
            }),
            stop: token.child(),
            runtime,
            drain,
            clock: OnceLock::new(),
            alarms: OnceLock::new(),
        })
    }

    /// Whether this is the loop's own thread, also below whatever runs on it.
    pub(super) fn is_current(&self) -> bool {
        CURRENT.with(Cell::get) == self.number
    }

    pub(super) fn worker(&self) -> Option<WorkerId> {
        self.worker
    }

    pub(super) fn stop(&self) -> &StopSource {
        &self.stop
    }

    pub(super) fn runtime(&self) -> Option<&Handle> {
        self.runtime.as_ref()
    }

    // ---- handing over

    /// Has the loop run `start`, the beginning of `task`. If it takes no more work, the task is over with this.
    pub(super) fn submit(&self, task: Arc<dyn Listed>, start: Start) {
        let mut inbox = self.inbox.lock();
        if !inbox.open {
            drop(inbox);
            drop(start);
            task.abandon();
            return;
        }
        let entry = inbox.tasks.vacant_entry();
        task.set_key(entry.key());
        entry.insert(task);
        inbox.queue.push(start);
        let waker = inbox.waker.take();
        drop(inbox);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The task with this key is over.
    pub(super) fn leave(&self, key: usize) {
        let mut inbox = self.inbox.lock();
        // It is not there any more if somebody has let go of it.
        let task = inbox.tasks.try_remove(key);
        let waker = match inbox.draining && inbox.tasks.is_empty() {
            true => inbox.waker.take(),
            false => None,
        };
        drop(inbox);
        drop(task);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Has the loop look whether it should stop.
    fn wake(&self) {
        let waker = self.inbox.lock().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    // ---- the loop's side

    /// Runs what has been handed over, all that is there. True once the loop should end; else `waker` is woken when there is more
    /// to do. `batch` is empty before and after: what it has room for is used again.
    pub(super) fn turn(self: &Arc<Shared>, waker: &Waker, batch: &mut Vec<Start>) -> bool {
        // A waker is a runner's: cloned and dropped with the lock free.
        let waker = waker.clone();
        let old = {
            let mut inbox = self.inbox.lock();
            std::mem::swap(&mut inbox.queue, batch);
            inbox.waker.replace(waker)
        };
        drop(old);
        for start in batch.drain(..) {
            quietly(start);
        }
        // Looked at after the waker is left: who stops it later wakes us (`wake` takes the same lock).
        self.stop.is_stopped() && (self.is_drained() || self.start_drain().is_stopped())
    }

    /// Whether no task is left. If so, the loop takes no more.
    fn is_drained(&self) -> bool {
        let mut inbox = self.inbox.lock();
        // Under the lock that `leave` and `submit` take: from here on the former wakes us, the latter is refused.
        inbox.draining = true;
        inbox.open &= !inbox.tasks.is_empty();
        !inbox.open
    }

    /// What is to happen on the stop, whether the loop can hear it or is blocked: the drain begins, and the loop is woken. To be kept
    /// as long as the loop runs.
    pub(super) fn when_stopped(self: &Arc<Shared>) -> StopCallback {
        self.on(&self.stop, |shared| {
            shared.start_drain();
            shared.wake();
        })
    }

    /// The end has begun: gives what trips when the drain is over.
    fn start_drain<'a>(self: &'a Arc<Shared>) -> &'a StopSource {
        let mut first = false;
        let clock = self.clock.get_or_init(|| {
            first = true;
            self.new_clock()
        });
        if first {
            // Not inside the initialisation, since what is over by now is called at once.
            let wake = self.on(&clock.over, |shared| shared.wake());
            let let_go = self.on(&clock.blocked, |shared| shared.let_go());
            // Only the first comes here.
            let _ = self.alarms.set([wake, let_go]);
        }
        &clock.over
    }

    fn new_clock(&self) -> Clock {
        let (mut drain, mut moment) = (self.drain, MOMENT);
        if let Some(deadline) = self.stop.token().deadline() {
            // A drain as long as the grace would make the loop a straggler by nothing but draining.
            let left = deadline.saturating_duration_since(Instant::now());
            drain = drain.min(left / 4 * 3);
            moment = moment.min(left / 8);
        }
        let after = |time| StopSource::new().token().child_with_timeout(time);
        Clock {
            over: after(drain),
            blocked: after(drain.saturating_add(moment)),
        }
    }

    /// Calls `then` when this source stops, unless the loop is gone by then.
    fn on(self: &Arc<Shared>, source: &StopSource, then: fn(&Arc<Shared>)) -> StopCallback {
        let shared = Arc::downgrade(self);
        source.token().on_stop(move || {
            if let Some(shared) = shared.upgrade() {
                then(&shared);
            }
        })
    }

    /// The loop has ended: refuses work, drops what never began, and lets go of all who wait.
    pub(super) fn close(&self) {
        let (queue, waker) = {
            let mut inbox = self.inbox.lock();
            inbox.open = false;
            (std::mem::take(&mut inbox.queue), inbox.waker.take())
        };
        for start in queue {
            quietly(|| drop(start));
        }
        drop(waker);
        self.let_go();
    }

    /// Refuses work from now on, and lets go of all who wait. What they waited for is dropped by the loop, once it can.
    fn let_go(&self) {
        let tasks: Vec<_> = {
            let mut inbox = self.inbox.lock();
            inbox.open = false;
            // They stay on the list: if the loop ends meanwhile, it must not be through before the last of them is over.
            let tasks = inbox.tasks.iter();
            tasks.map(|(_key, task)| Arc::clone(task)).collect()
        };
        for task in tasks {
            task.abandon();
            self.leave(task.key());
            quietly(|| drop(task));
        }
    }
}

/// Runs or drops what a user gave us. Its panic is none of the loop's; the hook has said it.
fn quietly(job: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(job)) {
        // The payload's own destructor may panic too.
        std::mem::forget(payload);
    }
}

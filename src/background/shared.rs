//! What a loop and its handles share: an inbox of jobs that any thread fills and the loop empties, and a list of the tasks that
//! are not over, so that an end can wait for them and let go of those who wait.
//!
//! # Invariants
//!
//! - A task is in `tasks` from when it is handed over until it is over; so the loop is idle exactly when that is empty.
//! - Once `open` is false it stays so, and nothing is added any more. It turns false when the loop is through with its drain, and
//!   at the latest a moment after the drain, also when the loop is blocked.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, OnceLock, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::{StopCallback, StopSource, StopToken};

/// How long a loop gets after its drain to drop what is left, before those who wait for it are let go: it is blocked, then.
const MOMENT: Duration = Duration::from_millis(100);

/// A task as the end of its loop sees it.
pub(super) trait Abandon: Send + Sync {
    /// It will not be carried out to its end: whoever waits is told so.
    fn abandon(&self);
}

/// Runs on the loop's thread, once.
pub(super) type Start = Box<dyn FnOnce() + Send>;

/// What a loop and its handles share.
pub(super) struct Shared {
    /// A leaf lock: jobs run, and wakers are woken, with it free.
    inbox: Mutex<Inbox>,
    /// Stopped when the loop's worker is told to stop, and when the main task ends.
    stop: StopSource,
    /// `None` under a runner.
    runtime: Option<Handle>,
    drain: Duration,
    /// Set once the end has begun.
    clock: OnceLock<Clock>,
}

struct Inbox {
    open: bool,
    queue: Vec<Start>,
    /// By the address of each, which nobody else has while it is here.
    tasks: BTreeMap<usize, Arc<dyn Abandon>>,
    /// Wakes the loop. `None` while it is awake already, or about to be.
    waker: Option<Waker>,
    /// The loop wants to know when `tasks` is empty.
    draining: bool,
}

/// Times the end. Nothing of it runs on the loop, which may be blocked.
struct Clock {
    /// Trips when the drain is over.
    over: StopSource,
    /// Lets go of those who wait for a loop that is blocked. Kept for its registration only.
    _blocked: (StopSource, StopCallback),
}

thread_local! {
    /// The address of the loop that this thread runs. It has no destructor, so it can be read at any time.
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

impl Shared {
    /// A loop of the worker with this token, that runs on this thread.
    pub(super) fn new(token: &StopToken, runtime: Option<Handle>, drain: Duration) -> Arc<Shared> {
        let shared = Arc::new(Shared {
            inbox: Mutex::new(Inbox {
                open: true,
                queue: Vec::new(),
                tasks: BTreeMap::new(),
                waker: None,
                draining: false,
            }),
            stop: token.child(),
            runtime,
            drain,
            clock: OnceLock::new(),
        });
        CURRENT.with(|current| current.set(shared.address()));
        shared
    }

    fn address(&self) -> usize {
        self as *const Shared as usize
    }

    /// Whether this is the loop's own thread, also below whatever runs on it.
    pub(super) fn is_current(&self) -> bool {
        CURRENT.with(Cell::get) == self.address()
    }

    pub(super) fn stop(&self) -> &StopSource {
        &self.stop
    }

    pub(super) fn runtime(&self) -> Option<&Handle> {
        self.runtime.as_ref()
    }

    // ---- handing over

    /// Has the loop run `start`, the beginning of `task`. If it takes no more work, the task is over with this.
    pub(super) fn submit<A: Abandon + 'static>(&self, task: &Arc<A>, start: Start) {
        let mut inbox = self.inbox.lock();
        if !inbox.open {
            drop(inbox);
            drop(start);
            task.abandon();
            return;
        }
        let erased: Arc<dyn Abandon> = Arc::<A>::clone(task);
        inbox.tasks.insert(key(&**task), erased);
        inbox.queue.push(start);
        let waker = inbox.waker.take();
        drop(inbox);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// A task is over.
    pub(super) fn leave<A>(&self, task: &A) {
        let mut inbox = self.inbox.lock();
        let left = inbox.tasks.remove(&key(task));
        let waker = match inbox.draining && inbox.tasks.is_empty() {
            true => inbox.waker.take(),
            false => None,
        };
        drop(inbox);
        drop(left);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    // ---- the loop's side

    /// Runs what has been handed over. `waker` is woken when there is more.
    pub(super) fn deliver(&self, waker: &Waker) {
        // A waker is a runner's: cloned and dropped with the lock free.
        let waker = waker.clone();
        let (queue, old) = {
            let mut inbox = self.inbox.lock();
            (std::mem::take(&mut inbox.queue), inbox.waker.replace(waker))
        };
        drop(old);
        for start in queue {
            quietly(start);
        }
    }

    /// Whether no task is left. If so, the loop takes no more.
    pub(super) fn is_drained(&self) -> bool {
        let mut inbox = self.inbox.lock();
        // Under the lock that `leave` and `submit` take: from here on the former wakes us, the latter is refused.
        inbox.draining = true;
        inbox.open &= !inbox.tasks.is_empty();
        !inbox.open
    }

    /// The end has begun: a token that trips when the drain is over. Called by the loop, and by whoever tells it, since the loop
    /// may be blocked.
    pub(super) fn start_drain(self: &Arc<Shared>) -> StopToken {
        let clock = self.clock.get_or_init(|| {
            let (mut drain, mut moment) = (self.drain, MOMENT);
            if let Some(deadline) = self.stop.token().deadline() {
                // A drain as long as the grace would make the loop a straggler by nothing but draining.
                let left = deadline.saturating_duration_since(Instant::now());
                drain = drain.min(left / 4 * 3);
                moment = moment.min(left / 8);
            }
            let after = |time| StopSource::new().token().child_with_timeout(time);
            let over = after(drain);
            let blocked = after(drain.saturating_add(moment));
            let this: Weak<Shared> = Arc::downgrade(self);
            let let_go = blocked.token().on_stop(move || {
                if let Some(shared) = this.upgrade() {
                    shared.abandon_all();
                }
            });
            Clock {
                over,
                _blocked: (blocked, let_go),
            }
        });
        clock.over.token()
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
        self.abandon_all();
    }

    /// Refuses work from now on, and lets go of all who wait. What they waited for is dropped by the loop, once it can.
    fn abandon_all(&self) {
        let tasks = {
            let mut inbox = self.inbox.lock();
            inbox.open = false;
            std::mem::take(&mut inbox.tasks)
        };
        for (_, task) in tasks {
            task.abandon();
            quietly(|| drop(task));
        }
    }
}

/// Where a task is, which tells it from all others as long as it is there.
fn key<A>(task: &A) -> usize {
    task as *const A as usize
}

/// Runs or drops what a user gave us. Its panic is none of the loop's; the hook has said it.
fn quietly(job: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(job)) {
        // The payload's own destructor may panic too.
        std::mem::forget(payload);
    }
}

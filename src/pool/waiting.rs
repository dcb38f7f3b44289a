//! Waiting inside a job: why a pool whose jobs wait for one another never stands still.
//!
//! A thread of a pool that has to wait does one of three things. If what it waits for has not begun, it *runs it itself*, at
//! once. Else it *lends* its place: while it is blocked another thread works in its stead, so the pool goes on with as many as
//! before. And if what it waits for waits for it in its turn, it *fails*, with [`Cancelled::Circular`].
//!
//! # Why this cannot deadlock
//!
//! Only what is waited for is ever run on top of a waiting job, so a job under another on one stack does wait for it: the order
//! on a stack is that of the waits, and adds no dependency to those that the program has. (A worker that ran any queued job
//! meanwhile would add some: two jobs, each held up by what was run on top of it, can wait for one another though nobody wrote
//! that.) What is queued is reached by somebody, since as many threads work as the pool has workers. So the pool stands
//! still only if jobs wait in a circle. All waits without a limit are edges of one graph, looked at under one lock when an edge is
//! added, so whoever would close a circle is told. (A limited wait ends by itself.)
//!
//! # What it costs
//!
//! A wait for a job that has not begun: an edge, and the stack of that job on top of this one, at most [`MAX_DEPTH`] deep. A
//! wait for one that runs elsewhere: a thread, unless a spare one is idle. Spare threads leave when there are more than waits.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::crew::Crew;
use crate::diagnose::current_worker;
use crate::sync::thread_local;
use crate::task::Cancelled;
use crate::StopToken;

/// How many jobs may wait for one another on one stack; beyond it each takes another thread.
const MAX_DEPTH: u32 = 16;

thread_local! {
    /// The pool that this thread works for.
    static CREW: RefCell<Option<Arc<Crew>>> = const { RefCell::new(None) };
    /// The job that runs on this thread, and how many wait for it further down; 0 for none.
    static JOB: Cell<(usize, u32)> = const { Cell::new((0, 0)) };
    /// The number of the worker that this thread is, if it works for a pool; else 0.
    static OWN_ID: Cell<u64> = const { Cell::new(0) };
}

/// Which job waits for which, over all pools, without a limit. A leaf lock.
static WAITS: Mutex<BTreeMap<usize, usize>> = Mutex::new(BTreeMap::new());

/// This thread works for `crew`, until what this gives is dropped.
pub(super) fn sit(crew: &Arc<Crew>) -> Sitting {
    CREW.with(|seat| *seat.borrow_mut() = Some(Arc::clone(crew)));
    OWN_ID.with(|id| id.set(current_worker().map_or(0, |own| own.0.get())));
    Sitting
}

/// The number of the worker of a pool that this thread is; 0 if it is none.
pub(super) fn own_id() -> u64 {
    OWN_ID.with(Cell::get)
}

/// Keeps a thread in its seat.
pub(super) struct Sitting;

impl Drop for Sitting {
    fn drop(&mut self) {
        drop(CREW.with(RefCell::take));
    }
}

/// The place of this thread in its pool, if it is a worker of one and can wait as such.
pub(super) fn seat() -> Option<Seat> {
    // A thread past its thread-locals waits like any other.
    let crew = CREW.try_with(|seat| seat.borrow().clone()).ok()??;
    let (job, depth) = JOB.with(Cell::get);
    Some(Seat { crew, job, depth })
}

/// Blocks in `wait`; on a thread of a pool, another thread takes its place meanwhile.
pub(super) fn block<R>(wait: impl FnOnce() -> R) -> R {
    match seat() {
        Some(seat) => seat.lend(wait),
        None => wait(),
    }
}

/// A worker of a pool, about to wait.
pub(super) struct Seat {
    crew: Arc<Crew>,
    /// The job that waits; 0 if it is none (a destructor that the worker runs).
    job: usize,
    depth: u32,
}

impl Seat {
    /// Whether a job of this pool may be run on top of the one that waits.
    pub(super) fn may_run(&self, pool: u64) -> bool {
        self.crew.number == pool && self.depth < MAX_DEPTH
    }

    /// The token that stops all jobs of the pool.
    pub(super) fn jobs(&self) -> &StopToken {
        &self.crew.jobs_token
    }

    pub(super) fn lend<R>(&self, wait: impl FnOnce() -> R) -> R {
        let _lent = Crew::lend(&self.crew);
        wait()
    }
}

/// A job runs on this thread, until this is dropped.
pub(super) struct Running {
    before: (usize, u32),
}

impl Running {
    pub(super) fn enter(job: usize) -> Running {
        let before = JOB.with(|now| {
            let before = now.get();
            let depth = if before.0 == 0 { 0 } else { before.1 + 1 };
            now.replace((job, depth))
        });
        Running { before }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        JOB.with(|now| now.set(self.before));
    }
}

/// One job waits for another, until this is dropped.
pub(super) struct Edge {
    waiter: usize,
}

impl Edge {
    /// Fails if the other waits for this one already, itself or through others.
    pub(super) fn add(seat: &Seat, awaited: usize) -> Result<Edge, Cancelled> {
        let mut waits = WAITS.lock();
        let mut next = Some(&awaited);
        while let Some(job) = next {
            if *job == seat.job {
                return Err(Cancelled::Circular);
            }
            next = waits.get(job);
        }
        if seat.job != 0 {
            waits.insert(seat.job, awaited);
        }
        Ok(Edge { waiter: seat.job })
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        WAITS.lock().remove(&self.waiter);
    }
}

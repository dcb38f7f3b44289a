//! One job: the closure, its progress, and what a cancel reaches it by while it runs, in one allocation.
//!
//! Its [`Task`](crate::Task) holds that as [`Work`], the queue a share in it as [`Queued`]. Whoever *begins* it
//! ([`Progress::begin`], which gives the closure once) owns the closure: a worker, a cancel, or the end of the pool.

use std::num::NonZeroU64;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

use super::{crew, waiting};
use crate::base::panics::drop_quietly;
use crate::diagnose::{waiting_for_any, Waiting};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Instant, OnceCell};
use crate::sys::{Erased, Runnable};
use crate::task::{Cancelled, Note, Progress, TaskError, Work};
use crate::{StopSource, StopToken, WorkerId};

/// A closure as a job runs it: with a token of its own or without.
pub(super) trait Call<T>: Send {
    /// What a cancel reaches it by while it runs.
    type Stop: Default + Send + Sync;

    /// Runs it. `pool` is the token that stops all jobs of the pool.
    fn call(self, stop: &Self::Stop, pool: &StopToken) -> T;

    /// It is asked to stop.
    fn ask(stop: &Self::Stop);
}

/// A job that cannot hear.
pub(super) struct Plain<F>(pub(super) F);

impl<T, F: FnOnce() -> T + Send> Call<T> for Plain<F> {
    type Stop = ();

    fn call(self, (): &(), _pool: &StopToken) -> T {
        (self.0)()
    }

    fn ask((): &()) {}
}

/// A job with a token, which is made when it begins.
pub(super) struct WithToken<F>(pub(super) F);

impl<T, F: FnOnce(StopToken) -> T + Send> Call<T> for WithToken<F> {
    type Stop = OnceCell<StopSource>;

    fn call(self, stop: &Self::Stop, pool: &StopToken) -> T {
        (self.0)(stop.get_or_init(|| pool.child()).token())
    }

    fn ask(stop: &Self::Stop) {
        // Before the job has made it: then it finds this one, stopped.
        stop.get_or_init(StopSource::new).stop();
    }
}

pub(super) struct Job<T, C: Call<T>> {
    /// With the closure, until the job begins.
    progress: Progress<T, Option<C>>,
    stop: C::Stop,
    /// The number of its pool.
    pool: u64,
    /// The number of the worker that runs it, once it runs; else 0.
    runner: AtomicU64,
}

impl<T, C: Call<T>> Job<T, C> {
    pub(super) fn new(call: C, pool: u64) -> Job<T, C> {
        Job {
            progress: Progress::new(call),
            stop: C::Stop::default(),
            pool,
            runner: AtomicU64::new(0),
        }
    }

    /// The closure of a job that never begins.
    pub(super) fn take_call(&self) -> Option<C> {
        self.progress.take_start()
    }
}

impl<T: Send, C: Call<T>> Job<T, C> {
    /// Runs it, unless somebody has begun it before. True if it ran.
    fn run(&self, pool: &StopToken) -> bool {
        let Some(call) = self.progress.begin() else {
            return false;
        };
        // Relaxed: only for who looks why a shutdown hangs.
        self.runner.store(waiting::own_id(), Ordering::Relaxed);
        let _running = waiting::Running::enter(self.key());
        let result = catch_unwind(AssertUnwindSafe(|| call.call(&self.stop, pool)));
        self.progress.finish(result.map_err(TaskError::Panicked));
        true
    }

    /// It will not be run: cancels it, unless somebody has begun it.
    pub(super) fn refuse(&self) {
        if let Some(call) = self.progress.begin() {
            self.progress.finish(Err(Cancelled::Ended.into()));
            drop_quietly(call); // whatever its captures' destructors do
        }
    }

    /// Who keeps those waiting who wait for it: whoever runs it, or else all who could begin it. Nobody, once it is over.
    fn workers(&self) -> Vec<WorkerId> {
        if self.progress.is_over() {
            return Vec::new();
        }
        match NonZeroU64::new(self.runner.load(Ordering::Relaxed)) {
            Some(runner) => vec![WorkerId(runner)],
            None => crew::workers_of(self.pool),
        }
    }

    /// What tells it from all others while it lives.
    fn key(&self) -> usize {
        std::ptr::addr_of!(self.progress) as usize
    }
}

impl<T, C> Work<T> for Job<T, C>
where
    T: Send + 'static,
    C: Call<T> + 'static,
{
    fn progress(&self) -> &Progress<T> {
        &self.progress
    }

    fn prevented(&self) {
        drop_quietly(self.take_call()); // as above
    }

    fn requested(&self) {
        C::ask(&self.stop);
    }

    fn note(self: Arc<Self>) -> Waiting {
        let job = Arc::downgrade(&self);
        waiting_for_any(move || job.upgrade().map_or_else(Vec::new, |job| job.workers()))
    }

    fn await_over(&self, limit: Option<Instant>, note: Note<'_>) -> Result<bool, Cancelled> {
        let Some(seat) = waiting::seat() else {
            let _noted = note();
            return Ok(self.progress.await_over(limit)); // no worker of a pool waits here
        };
        // A wait with a limit ends by itself, and must not be held up by the job that it waits for.
        let _edge = match limit {
            None => Some(waiting::Edge::add(&seat, self.key())?),
            Some(_) => None,
        };
        if limit.is_none() && seat.may_run(self.pool) && self.run(seat.jobs()) {
            return Ok(true);
        }
        let _noted = note();
        Ok(seat.lend(|| self.progress.await_over(limit)))
    }
}

/// A job in the queue, which holds pairs of pointers: with eight bytes more for each, an empty job costs a fifth more.
pub(super) type Queued = Erased<StopToken>;

/// The queue's share in a job that has a task.
impl<T: Send, C: Call<T>> Runnable<StopToken> for Arc<Job<T, C>> {
    fn run(self, pool: &StopToken) {
        Job::run(&self, pool);
        // The value of a job that nobody waits for goes here, with whatever its destructor does.
        drop_quietly(self);
    }

    fn refuse(self) {
        Job::refuse(&self);
        drop_quietly(self);
    }
}

/// A job that nobody waits for.
pub(super) struct Detached<F>(pub(super) F);

impl<F: FnOnce() + Send> Runnable<StopToken> for Box<Detached<F>> {
    fn run(self, _pool: &StopToken) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(self.0)) {
            drop_quietly(payload); // the panic was printed when it happened
        }
    }

    fn refuse(self) {
        drop_quietly(self);
    }
}

//! A value that something else works on: what pools and background loops give back for what they are handed.
//!
//! Whoever works on it implements [`Work`] around a [`Progress`], which holds what the work begins with, its outcome and those who
//! wait for it, all behind one lock. The handle only looks, waits and asks; nothing of a user's is called or dropped with the lock
//! held.

mod error;
mod progress;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

pub use error::{Cancelled, TaskError};
pub(crate) use progress::Progress;

use crate::diagnose::Waiting;
use crate::sync::Instant;

/// The handle on a job of a pool or on a task of a background loop.
///
/// Wait for it on a thread, or `await` it. Dropping it detaches the work, which goes on; [`cancel`](Task::cancel) is what
/// stops it.
///
/// ```
/// use std::time::Duration;
/// use sundown::Pool;
///
/// let pool = Pool::builder().workers(1).build()?;
/// let task = pool.submit(|| 6 * 7);
/// if task.wait_timeout(Duration::ZERO).is_none() {
///     assert_eq!(task.wait()?, 42); // it had gone on meanwhile
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping it detaches the work: wait for it, or drop it on purpose"]
pub struct Task<T> {
    work: Arc<dyn Work<T>>,
}

/// What [`Task::cancel`] did.
///
/// ```
/// use sundown::{Cancel, Pool};
///
/// let pool = Pool::builder().workers(1).build()?;
/// let busy = pool.submit_with(|stop| stop.wait());
/// let queued = pool.submit(|| 1);
/// assert_eq!(queued.cancel(), Cancel::Prevented);
/// busy.cancel(); // it may or may not have begun
/// assert!(queued.wait().is_err());
/// assert_eq!(queued.cancel(), Cancel::TooLate);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// It had not begun, and never will.
    Prevented,
    /// It has begun, and was asked to stop: a job by its own token, a future by being dropped where it waits. It ends when it
    /// heeds that.
    Requested,
    /// It was over already.
    TooLate,
}

/// What works on a task, as its handle sees it.
pub(crate) trait Work<T>: Send + Sync {
    /// Where the outcome is put.
    fn progress(&self) -> &Progress<T>;

    /// It was cancelled before it began: lets go of what it would have needed. Called with no lock held, once.
    fn prevented(&self);

    /// It is asked to stop while it runs. Called with no lock held, each time that somebody cancels.
    fn requested(&self);

    /// Notes that this thread is about to block until it is over: for a report that says who waits for whom.
    fn note(self: Arc<Self>) -> Waiting;

    /// Blocks until it is over, at most until `limit`. True if it is. Called when it was not over a moment ago; the place for what
    /// a thread that must not just block does instead. `note` is to be called just before it blocks.
    fn await_over(&self, limit: Option<Instant>, note: Note<'_>) -> Result<bool, Cancelled>;
}

/// Notes that this thread is about to block, as long as what it gives is kept.
pub(crate) type Note<'a> = &'a dyn Fn() -> Waiting;

impl<T> Task<T> {
    pub(crate) fn new(work: Arc<dyn Work<T>>) -> Task<T> {
        Task { work }
    }

    /// Blocks until it is over: its value, or why there is none. The outcome is given out once.
    ///
    /// # Errors
    ///
    /// See [`TaskError`]. A panic of the work is an error here, with its payload, and not a panic.
    pub fn wait(&self) -> Result<T, TaskError> {
        let progress = self.work.progress();
        if let Some(outcome) = progress.try_take() {
            return outcome;
        }
        self.await_over(None)?;
        progress.take()
    }

    /// Blocks until it is over, at most for `timeout`. `None` if it is not: then it goes on, and can be waited for again.
    ///
    /// # Errors
    ///
    /// As [`wait`](Task::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Result<T, TaskError>> {
        let progress = self.work.progress();
        if let Some(outcome) = progress.try_take() {
            return Some(outcome);
        }
        match self.await_over(Instant::now().checked_add(timeout)) {
            Ok(true) => Some(progress.take()),
            Ok(false) => None,
            Err(why) => Some(Err(why.into())),
        }
    }

    fn await_over(&self, limit: Option<Instant>) -> Result<bool, Cancelled> {
        let note = || Arc::clone(&self.work).note();
        self.work.await_over(limit, &note)
    }

    /// Whether it is over: whether [`wait`](Task::wait) would return at once.
    pub fn is_finished(&self) -> bool {
        self.work.progress().is_over()
    }

    /// Keeps it from beginning, or asks it to stop if it has begun. The answer says which; waiting for its end is up to the
    /// caller.
    pub fn cancel(&self) -> Cancel {
        match self.work.progress().cancel() {
            Cancel::Prevented => {
                self.work.prevented();
                Cancel::Prevented
            }
            Cancel::Requested => {
                self.work.requested();
                Cancel::Requested
            }
            Cancel::TooLate => Cancel::TooLate,
        }
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.work.progress().poll(context.waker())
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

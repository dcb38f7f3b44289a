//! A pool: a fixed set of supervised workers that carry out jobs, each of which can be cancelled.
//!
//! Jobs wait in a bounded queue. [`Pool::submit`] gives a [`Task`] for each, whose [`cancel`](Task::cancel) says what it did: kept
//! the job from beginning, asked a running one to stop, or came too late.
//!
//! # What holds
//!
//! - A job that panics takes neither its thread nor the pool along; the payload comes out of [`Task::wait`].
//! - Jobs may wait for jobs of their own pool, and submit to it. A thread that waits inside a job runs what it waits for, or has
//!   another thread take its place; jobs that wait for one another in a circle get [`Cancelled::Circular`](crate::Cancelled).
//! - The pool is one entry of its supervisor: told, drained and joined in its turn, so its jobs can rely on all that is older. Until
//!   then it takes jobs, also in the middle of a shutdown.
//! - Every task comes to an end: what a pool does not run any more is cancelled.
//!
//! # What does not
//!
//! - A running job that neither asks its token nor returns goes on, like any thread; what must be stoppable by force belongs in a
//!   process.
//! - A job that waits in other ways (on a channel, say) for a job that is queued behind it holds its worker meanwhile.

mod builder;
mod crew;
mod error;
mod iter;
mod job;
#[cfg(shuttle)]
pub(crate) mod model;
mod waiting;

pub use builder::Builder;
pub use error::TrySubmitError;
pub use iter::{AsCompleted, Map};

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use crate::sync::Instant;
use crate::task::{Cancelled, Task};
use crate::{ShutdownReport, StopToken};
use crew::Crew;
use job::{Call, Detached, Job, Plain, Queued, WithToken};

/// What becomes of the jobs that have not begun when a pool ends.
///
/// ```
/// use sundown::pool::{Pending, Pool};
///
/// let pool = Pool::builder().workers(1).pending(Pending::Drain).build()?;
/// let task = pool.submit(|| "saved");
/// drop(pool); // carries out what is queued
/// assert_eq!(task.wait()?, "saved");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pending {
    /// They are carried out, as far as the time goes: until the workers' grace or the deadline. The rest is cancelled.
    Drain,
    /// They are cancelled, and the tokens of those that run are tripped.
    #[default]
    Cancel,
}

/// A fixed set of supervised workers, with a queue of jobs.
///
/// All methods take `&self`: share it in an `Arc`, or in a `static`. Dropping it shuts it down as its supervisor would: see
/// [`shutdown`](Pool::shutdown).
///
/// ```
/// use sundown::{Cancel, Pool};
///
/// let pool = Pool::builder().workers(2).build()?;
/// let sum = pool.submit(|| (1..=100).sum::<u32>());
/// let endless = pool.submit_with(|stop| stop.wait());
/// assert_eq!(sum.wait()?, 5050);
/// assert_ne!(endless.cancel(), Cancel::TooLate);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Pool {
    crew: Arc<Crew>,
}

// As for `Supervisor`: jobs run with no lock held, so a panic leaves nothing half done.
impl UnwindSafe for Pool {}
impl RefUnwindSafe for Pool {}

impl Pool {
    /// Settings for a new pool.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Hands in a job. Blocks while the queue is full; inside a job of a pool, another thread takes the worker's place meanwhile.
    ///
    /// Once the pool has been told to stop the job is cancelled: its task says [`Cancelled::Ended`](crate::Cancelled).
    pub fn submit<F, T>(&self, job: F) -> Task<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.hand_in(Plain(job))
    }

    /// Hands in a job with a token of its own, which [`Task::cancel`] trips while it runs, and so does the end of the pool with
    /// [`Pending::Cancel`]. Blocks like [`submit`](Pool::submit).
    ///
    /// ```
    /// use sundown::{Cancel, Pool};
    ///
    /// let pool = Pool::builder().workers(1).build()?;
    /// let (began, begun) = crossbeam_channel::bounded(1);
    /// let job = pool.submit_with(move |stop| {
    ///     began.send(()).unwrap();
    ///     stop.wait(); // or ask `stop.is_stopped()` between pieces of work
    ///     "stopped"
    /// });
    /// begun.recv()?;
    /// assert_eq!(job.cancel(), Cancel::Requested);
    /// assert_eq!(job.wait()?, "stopped");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn submit_with<F, T>(&self, job: F) -> Task<T>
    where
        F: FnOnce(StopToken) -> T + Send + 'static,
        T: Send + 'static,
    {
        self.hand_in(WithToken(job))
    }

    /// Hands in a job that nobody will wait for or cancel: the cheapest way. Blocks like [`submit`](Pool::submit). Its panic is printed
    /// by the panic hook, and does no harm.
    ///
    /// # Errors
    ///
    /// If the pool has been told to stop: then the job is dropped. (One that is pending when the pool ends may be dropped as
    /// well, at the latest with the pool.)
    pub fn execute<F>(&self, job: F) -> Result<(), Cancelled>
    where
        F: FnOnce() + Send + 'static,
    {
        let queued = self.crew.enqueue(Queued::new(Box::new(Detached(job))));
        queued.map_err(|_job| Cancelled::Ended)
    }

    /// Hands in a job if there is room for it; never blocks.
    ///
    /// # Errors
    ///
    /// The job itself, if the queue is full or the pool has been told to stop.
    pub fn try_submit<F, T>(&self, job: F) -> Result<Task<T>, TrySubmitError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.try_hand_in(Plain(job))
            .map_err(|error| error.map(|job| job.0))
    }

    /// As [`try_submit`](Pool::try_submit), for a job with a token of its own.
    ///
    /// # Errors
    ///
    /// As [`try_submit`](Pool::try_submit).
    pub fn try_submit_with<F, T>(&self, job: F) -> Result<Task<T>, TrySubmitError<F>>
    where
        F: FnOnce(StopToken) -> T + Send + 'static,
        T: Send + 'static,
    {
        self.try_hand_in(WithToken(job))
            .map_err(|error| error.map(|job| job.0))
    }

    /// How many jobs wait in the queue. One that was cancelled keeps its place, and is counted, until a worker comes across it.
    pub fn pending(&self) -> usize {
        self.crew.queue.len()
    }

    /// How many jobs run at a time.
    pub fn workers(&self) -> usize {
        self.crew.size
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.crew.name
    }

    /// Ends the pool and waits for its workers, at most until the deadline of its supervisor; a worker that is still running
    /// then is a straggler in the report. Called again, it gives the same report; `Cancel` after `Drain` cancels what is left.
    ///
    /// A job of the pool may call this: its own worker is not waited for.
    pub fn shutdown(&self, pending: Pending) -> ShutdownReport {
        self.crew.shutdown(pending)
    }

    /// Takes no more jobs, and waits for those that it has, at most for `timeout`.
    ///
    /// # Errors
    ///
    /// The pool itself, if it is not through by then: it goes on with what it has, and can be joined again or shut down.
    pub fn join_timeout(self, timeout: Duration) -> Result<(), Pool> {
        self.crew.end(Pending::Drain);
        let limit = Instant::now().checked_add(timeout);
        match self.crew.join_until(limit) {
            true => Ok(()),
            false => Err(self),
        }
    }

    fn hand_in<T, C>(&self, call: C) -> Task<T>
    where
        C: Call<T> + 'static,
        T: Send + 'static,
    {
        let job = Arc::new(Job::new(call, self.crew.number));
        let queued = self.crew.enqueue(Queued::new(Arc::clone(&job)));
        if queued.is_err() || self.crew.has_ended_since() {
            job.refuse(); // unless it has begun
        }
        Task::new(job)
    }

    fn try_hand_in<T, C>(&self, call: C) -> Result<Task<T>, TrySubmitError<C>>
    where
        C: Call<T> + 'static,
        T: Send + 'static,
    {
        if !self.crew.is_open() {
            return Err(TrySubmitError::Ended(call));
        }
        let job = Arc::new(Job::new(call, self.crew.number));
        let share = Queued::new(Arc::clone(&job));
        if self.crew.sender.try_send(share).is_ok() {
            if self.crew.has_ended_since() {
                job.refuse(); // unless it has begun
            }
            return Ok(Task::new(job));
        }
        let call = job.take_call();
        Err(TrySubmitError::Full(
            call.expect("nobody else knew this job"),
        ))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.crew.shutdown(self.crew.pending());
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("name", &self.name())
            .field("workers", &self.workers())
            .field("pending", &self.pending())
            .finish_non_exhaustive()
    }
}

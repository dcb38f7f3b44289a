//! Async work behind a synchronous API: a worker that runs an event loop (feature `tokio`).
//!
//! [`BackgroundThread`] is for libraries that offer a synchronous API over an async implementation, and for programs that want a
//! little async in the background. Their users close nothing and just leave; here the request to stop is one more event for the
//! loop, so it is always heard, and what runs on the loop ends in good order on every way out of the process.
//!
//! ```
//! use std::time::Duration;
//! use sundown::background::BackgroundThread;
//!
//! let background = BackgroundThread::builder().name("client").start()?;
//! // A synchronous caller, an async callee.
//! let answer = background.block_on(async {
//!     tokio::time::sleep(Duration::from_millis(1)).await;
//!     42
//! })?;
//! assert_eq!(answer, 42);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How a loop ends
//!
//! A loop ends when it is told to stop (by a shutdown in its turn, or by [`BackgroundThread::terminate`]), or when its
//! [main task](BackgroundBuilder::task) ends. Either way:
//!
//! 1. [`EventLoop::stop_token`] trips. Tasks have the [drain](BackgroundBuilder::drain) to end by themselves, async clean-up
//!    included; what they spawn for it is carried out too.
//! 2. When none is left, or the drain is over, what is left is dropped where it waits. Whoever waits for it gets
//!    [`Cancelled::Ended`].
//! 3. The runtime is dropped, which ends what was spawned past us (`tokio::spawn`) and waits for `spawn_blocking` (also
//!    for a read of tokio's standard input, which nothing ends: read that on a worker of its own, see
//!    [`terminate::stdin`](crate::terminate::stdin)); then the worker is through.
//!
//! From 2 on the loop refuses work: the [`Task`](crate::Task) that comes back is over at once, with `Cancelled::Ended`.
//!
//! | guaranteed | not guaranteed |
//! |---|---|
//! | The loop hears that it should stop, also when it is idle. | A task that blocks the loop (`std::thread::sleep` in async code) keeps it from hearing anything. Those who wait are let go all the same, a moment after the drain; the worker is a straggler, which the report names. |
//! | Whatever is handed over runs on the loop's own thread, also on a runtime with several. | What runs there with `tokio::spawn` is dropped with the runtime, not drained. |
//! | No wait for a loop deadlocks on its own thread: it is an error, [`Cancelled::OwnThread`]. | Two loops whose tasks block on each other wait for each other. |
//! | A task that is over has been dropped, and so has all that it held. | One that was cancelled before it began is dropped when the loop comes to it; what a loop was blocked by past its drain, when that returns. |
//!
//! More, with examples: `docs/async.md`.

mod builder;
mod event_loop;
mod job;
mod shared;

pub use builder::{BackgroundBuilder, LoopFuture};
pub use event_loop::EventLoop;

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use crate::thread::{self, JoinHandle, Thread};
use crate::{Cancelled, TaskError, WorkerId};

/// The handle on a supervised worker that runs an event loop.
///
/// Work is handed over through what it dereferences to, an [`EventLoop`], which can be cloned and passed around. Dropping the
/// handle detaches the loop, as with [`JoinHandle`]: it goes on until it is told to stop, on the way out at the latest.
///
/// ```
/// use sundown::background::BackgroundThread;
///
/// let background = BackgroundThread::builder().start()?;
/// let sum = background.spawn(async { 1 + 2 });
/// assert_eq!(sum.wait()?, 3);
///
/// background.terminate();
/// background.join()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct BackgroundThread<T = ()> {
    events: EventLoop,
    /// `None` if the main task was dropped unfinished.
    thread: JoinHandle<Option<T>>,
}

impl BackgroundThread {
    /// Settings for a new loop: no main task, a current-thread tokio runtime, a drain of 1 s.
    pub fn builder() -> BackgroundBuilder {
        BackgroundBuilder::new()
    }
}

impl<T> BackgroundThread<T> {
    /// Tells the loop to stop, and returns at once: see [how a loop ends](self#how-a-loop-ends). [`join`](Self::join) waits for
    /// that.
    pub fn terminate(&self) {
        self.thread.terminate();
    }

    /// Waits for the loop's end: the value of its main task. It does not tell the loop to stop.
    ///
    /// # Errors
    ///
    /// [`TaskError::Panicked`] if the main task panicked; [`TaskError::Cancelled`] if it was dropped unfinished, or if this is the
    /// loop's own thread, which would wait for itself.
    pub fn join(self) -> Result<T, TaskError> {
        if self.events.is_current() {
            return Err(Cancelled::OwnThread.into());
        }
        outcome(self.thread.join())
    }

    /// As [`join`](Self::join), at most for `timeout`.
    ///
    /// # Errors
    ///
    /// The handle itself, if the loop has not ended by then (or if this is its own thread).
    pub fn join_timeout(self, timeout: Duration) -> Result<Result<T, TaskError>, Self> {
        let events = self.events;
        match self.thread.join_timeout(timeout) {
            Ok(ended) => Ok(outcome(ended)),
            Err(thread) => Err(BackgroundThread { events, thread }),
        }
    }

    /// Whether the loop has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// The worker's number: the same as in reports and in `workers()`.
    pub fn id(&self) -> WorkerId {
        self.thread.id()
    }

    /// The underlying thread.
    pub fn thread(&self) -> &Thread {
        self.thread.thread()
    }
}

/// What a join says, from how the thread ended.
fn outcome<T>(ended: thread::Result<Option<T>>) -> Result<T, TaskError> {
    match ended {
        Ok(Some(value)) => Ok(value),
        Ok(None) => Err(Cancelled::Ended.into()),
        Err(payload) => Err(TaskError::Panicked(payload)),
    }
}

impl<T> Deref for BackgroundThread<T> {
    type Target = EventLoop;

    fn deref(&self) -> &EventLoop {
        &self.events
    }
}

impl<T> fmt::Debug for BackgroundThread<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackgroundThread")
            .field("name", &self.thread().name())
            .field("finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

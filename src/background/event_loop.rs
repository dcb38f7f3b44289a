//! The handle on a loop: what any thread may ask of it.

use std::fmt;
use std::future::{poll_fn, Future};
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::runtime::Handle;

use super::job;
use super::shared::Shared;
use crate::{Cancelled, StopToken, Stopped, Task, TaskError};

/// A running event loop: hand it work from any thread.
///
/// Every [`BackgroundThread`](super::BackgroundThread) is one, and its main task gets one as `ctx`. Cheap to clone; all clones are
/// the same loop. Keeping one does not keep the loop alive: a loop that has ended refuses work, and the [`Task`] that comes back
/// is over at once, with [`Cancelled::Ended`].
///
/// All that is handed over runs on the loop's thread, one piece at a time: between two await points it has the thread to itself. It
/// must not block there, for nothing else on the loop runs meanwhile. Panics are caught, and come out of [`Task::wait`].
///
/// ```
/// use sundown::background::{BackgroundThread, EventLoop};
///
/// fn double(events: &EventLoop, n: u32) -> sundown::Task<u32> {
///     events.spawn(async move { 2 * n })
/// }
///
/// let background = BackgroundThread::builder().start()?;
/// assert_eq!(double(&background, 21).wait()?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct EventLoop {
    pub(super) shared: Arc<Shared>,
}

impl EventLoop {
    /// Runs a future on the loop.
    ///
    /// What needs its runtime from the start, as tokio's timers and sockets do, is made inside an `async` block: `async {
    /// sleep(d).await }` and not `sleep(d)`, which would be made on the calling thread.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sundown::background::BackgroundThread;
    ///
    /// let background = BackgroundThread::builder().start()?;
    /// let task = background.spawn(std::future::pending::<()>());
    /// assert!(task.wait_timeout(Duration::from_millis(5)).is_none(), "it goes on");
    /// task.cancel(); // drops the future where it waits
    /// assert!(task.wait().unwrap_err().is_cancelled());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_local(move || future)
    }

    /// Runs a future that is not `Send`: `make` makes it on the loop's thread, and there it stays.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use sundown::background::BackgroundThread;
    ///
    /// let background = BackgroundThread::builder().start()?;
    /// let task = background.spawn_local(|| {
    ///     let shared = Rc::new(7);
    ///     async move { *shared }
    /// });
    /// assert_eq!(task.wait()?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn_local<F, Fut>(&self, make: F) -> Task<Fut::Output>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future + 'static,
        Fut::Output: Send + 'static,
    {
        job::spawn_local(&self.shared, make)
    }

    /// Calls a plain function on the loop's thread: for what is bound to that thread, or must come between two tasks. Once it has
    /// begun, nothing interrupts it. Calls run in the order in which they were handed over; a future that was handed over before one
    /// may still be waiting for its first turn.
    ///
    /// ```
    /// use sundown::background::BackgroundThread;
    ///
    /// let background = BackgroundThread::builder().name("loop").start()?;
    /// let name = background.call(|| std::thread::current().name().map(str::to_owned));
    /// assert_eq!(name.wait()?.as_deref(), Some("loop"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn call<F, T>(&self, f: F) -> Task<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        job::call(&self.shared, f)
    }

    /// Runs a future on the loop and blocks this thread until it is over: the bridge from synchronous code.
    ///
    /// This thread may be any but the loop's own: also one that runs another loop or runtime, which is held up then.
    ///
    /// # Errors
    ///
    /// [`Cancelled::Ended`] if the loop ends before the future does; [`Cancelled::OwnThread`] on the loop's own thread, also inside a
    /// task or below a nested runtime: `await` it there.
    ///
    /// # Panics
    ///
    /// If the future panics, with its payload.
    pub fn block_on<F>(&self, future: F) -> Result<F::Output, Cancelled>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        if self.is_current() {
            return Err(Cancelled::OwnThread);
        }
        match self.spawn(future).wait() {
            Ok(value) => Ok(value),
            Err(TaskError::Cancelled(why)) => Err(why),
            Err(TaskError::Panicked(payload)) => resume_unwind(payload),
            Err(TaskError::Taken) => unreachable!("nobody else waits for this task"),
        }
    }

    /// The tokio runtime of the loop, for libraries that ask for one; `None` under a
    /// [runner](super::BackgroundBuilder::runner).
    ///
    /// What is spawned with it is no task of ours: it is not drained, but dropped with the runtime.
    pub fn handle(&self) -> Option<&Handle> {
        self.shared.runtime()
    }

    /// Stops when the loop should: when its worker is told to, and when its main task has ended. Tasks have the drain from then on.
    pub fn stop_token(&self) -> StopToken {
        self.shared.stop().token()
    }

    /// Awaits a future until the loop should stop: what a task does in its loop, to clean up afterwards. The future is dropped then,
    /// where it waits; it is asked only as long as the loop should not stop.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sundown::background::BackgroundThread;
    ///
    /// let background = BackgroundThread::builder()
    ///     .task(|ctx| async move {
    ///         let mut ticks = 0;
    ///         while ctx.until_stopped(tokio::time::sleep(Duration::from_millis(1))).await.is_ok() {
    ///             ticks += 1;
    ///         }
    ///         // Told to stop: the drain is for what has to be done here.
    ///         ticks
    ///     })
    ///     .start()?;
    /// background.terminate();
    /// let _ticks: u32 = background.join()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Stopped`], once the loop should stop.
    pub async fn until_stopped<F: Future>(&self, future: F) -> Result<F::Output, Stopped> {
        let mut stopped = pin!(self.stop_token().stopped());
        let mut future = pin!(future);
        poll_fn(|context| {
            if stopped.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(Stopped));
            }
            future.as_mut().poll(context).map(Ok)
        })
        .await
    }

    /// Whether this is the loop's own thread, which must not wait for the loop.
    pub fn is_current(&self) -> bool {
        self.shared.is_current()
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop")
            .field("stopping", &self.shared.stop().is_stopped())
            .finish_non_exhaustive()
    }
}

//! A value that something else works on: what pools and background loops give back for what they are handed.
//!
//! Whoever works on it implements [`Work`] around a [`Progress`], which holds what the work begins with, its outcome and those who
//! wait for it, all behind one lock. The handle only looks, waits and asks; nothing of a user's is called or dropped with the lock
//! held.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::sync::{Condvar, Instant, Mutex, MutexGuard};

use crate::diagnose::Waiting;

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

/// Why there is no value: the error of [`Task::wait`].
///
/// ```
/// use sundown::{Pool, TaskError};
///
/// let pool = Pool::builder().workers(1).build()?;
/// let task = pool.submit(|| -> u32 { std::panic::resume_unwind(Box::new("out of cheese")) });
/// match task.wait() {
///     Err(TaskError::Panicked(payload)) => assert_eq!(payload.downcast_ref(), Some(&"out of cheese")),
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[non_exhaustive]
pub enum TaskError {
    /// It was not carried out to its end.
    Cancelled(Cancelled),
    /// It panicked, with this payload.
    Panicked(Box<dyn Any + Send>),
    /// An earlier wait has taken the outcome.
    Taken,
}

/// Why work was not carried out to its end, or (the last two) why it cannot be waited for here.
///
/// ```
/// use sundown::pool::{Pending, Pool};
/// use sundown::{Cancelled, TaskError};
///
/// let pool = Pool::builder().workers(1).build()?;
/// pool.shutdown(Pending::Cancel);
/// let refused = pool.submit(|| 1).wait();
/// assert!(matches!(refused, Err(TaskError::Cancelled(Cancelled::Ended))));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cancelled {
    /// Somebody called [`Task::cancel`].
    OnRequest,
    /// What was to carry it out was told to stop, or has ended.
    Ended,
    /// It would have to be carried out by the thread that waits for it, which would wait for ever.
    OwnThread,
    /// It waits, itself or through others, for the very job that waits for it.
    Circular,
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

/// How far the work is, what it begins with, its outcome, and who waits for it. Who only looks, waits or cancels need not know what
/// it begins with: `Progress<T, Option<S>>` serves as a `Progress<T>`.
pub(crate) struct Progress<T, S: ?Sized = dyn Send> {
    /// Notified when the work is over, if anybody waits.
    changed: Condvar,
    /// A leaf lock.
    state: Mutex<State<T, S>>,
}

struct State<T, S: ?Sized> {
    phase: Phase,
    /// There from when the work is over until somebody takes it.
    outcome: Option<Result<T, TaskError>>,
    /// How many threads wait: without any, nobody is notified.
    waiters: u32,
    /// Of who awaits the handle, which there is one of.
    waker: Option<Waker>,
    /// What the work begins with: there until it begins or, if it was cancelled before, until whoever works on it lets go of it.
    start: S,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting,
    Running,
    Over,
}

impl<T, S> Progress<T, Option<S>> {
    pub(crate) fn new(start: S) -> Progress<T, Option<S>> {
        Progress {
            changed: Condvar::new(),
            state: Mutex::new(State {
                phase: Phase::Waiting,
                outcome: None,
                waiters: 0,
                waker: None,
                start: Some(start),
            }),
        }
    }

    /// The work begins, with what this gives. `None` if it must not: it was cancelled, or has begun.
    pub(crate) fn begin(&self) -> Option<S> {
        let mut state = self.state.lock();
        if state.phase != Phase::Waiting {
            return None;
        }
        state.phase = Phase::Running;
        state.start.take()
    }

    /// What work that was cancelled before it began would have begun with.
    pub(crate) fn take_start(&self) -> Option<S> {
        self.state.lock().start.take()
    }
}

impl<T, S: ?Sized> Progress<T, S> {
    /// The work is over. Only the first outcome counts; another is dropped, with no lock held.
    pub(crate) fn finish(&self, outcome: Result<T, TaskError>) {
        let mut state = self.state.lock();
        if state.phase == Phase::Over {
            drop(state);
            drop(outcome);
            return;
        }
        state.phase = Phase::Over;
        state.outcome = Some(outcome);
        self.tell(state);
    }

    /// Keeps it from beginning, if it has not begun.
    fn cancel(&self) -> Cancel {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Waiting => {
                state.phase = Phase::Over;
                state.outcome = Some(Err(TaskError::Cancelled(Cancelled::OnRequest)));
                self.tell(state);
                Cancel::Prevented
            }
            Phase::Running => Cancel::Requested,
            Phase::Over => Cancel::TooLate,
        }
    }

    /// It is over: wakes all who wait, after the lock is free.
    fn tell(&self, mut state: MutexGuard<'_, State<T, S>>) {
        let (waiters, waker) = (state.waiters, state.waker.take());
        drop(state);
        if waiters > 0 {
            self.changed.notify_all();
        }
        if let Some(waker) = waker {
            // A waker is a user's, and may panic; whoever worked on this must not suffer from that.
            drop(catch_unwind(AssertUnwindSafe(|| waker.wake())));
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state.lock().phase == Phase::Over
    }

    /// Blocks until it is over, at most until `limit`. True if it is.
    pub(crate) fn await_over(&self, limit: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        // Counted under the lock that `finish` takes: it sees us, or we see that it is over.
        state.waiters += 1;
        while state.phase != Phase::Over {
            match limit {
                None => self.changed.wait(&mut state),
                Some(limit) => {
                    if self.changed.wait_until(&mut state, limit).timed_out() {
                        break;
                    }
                }
            }
        }
        state.waiters -= 1;
        state.phase == Phase::Over
    }

    /// The outcome of work that is over, for the first who asks.
    fn take(&self) -> Result<T, TaskError> {
        self.state.lock().take_outcome()
    }

    /// The outcome, if the work is over.
    fn try_take(&self) -> Option<Result<T, TaskError>> {
        let mut state = self.state.lock();
        (state.phase == Phase::Over).then(|| state.take_outcome())
    }

    fn poll(&self, waker: &Waker) -> Poll<Result<T, TaskError>> {
        // A waker is a user's: cloned and dropped with the lock free.
        let waker = waker.clone();
        let old;
        {
            let mut state = self.state.lock();
            if state.phase == Phase::Over {
                return Poll::Ready(state.take_outcome());
            }
            old = state.waker.replace(waker);
        }
        drop(old);
        Poll::Pending
    }
}

impl<T, S: ?Sized> State<T, S> {
    fn take_outcome(&mut self) -> Result<T, TaskError> {
        self.outcome.take().unwrap_or(Err(TaskError::Taken))
    }
}

impl TaskError {
    /// Whether it was not carried out to its end.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, TaskError::Cancelled(_))
    }

    /// The payload, if it panicked.
    pub fn into_panic(self) -> Option<Box<dyn Any + Send>> {
        match self {
            TaskError::Panicked(payload) => Some(payload),
            _ => None,
        }
    }
}

impl fmt::Debug for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskError::Cancelled(why) => f.debug_tuple("Cancelled").field(why).finish(),
            TaskError::Panicked(payload) => f
                .debug_tuple("Panicked")
                .field(&message(&**payload))
                .finish(),
            TaskError::Taken => f.write_str("Taken"),
        }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskError::Cancelled(why) => why.fmt(f),
            TaskError::Panicked(payload) => {
                // Quoted, and with control characters escaped: the message is anybody's.
                write!(f, "the task panicked: {:?}", message(&**payload))
            }
            TaskError::Taken => {
                f.write_str("the task's value was given out already, to an earlier wait")
            }
        }
    }
}

/// The text of a panic's payload.
fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a payload that is no string")
}

impl Error for TaskError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            TaskError::Cancelled(why) => Some(why),
            _ => None,
        }
    }
}

impl From<Cancelled> for TaskError {
    fn from(why: Cancelled) -> TaskError {
        TaskError::Cancelled(why)
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cancelled::OnRequest => "the task was cancelled",
            Cancelled::Ended => "the task was cancelled: what it was to run on has ended, or was told to",
            Cancelled::OwnThread => {
                "the task would have to run on the very thread that waits for it: await it there, or wait on another thread"
            }
            Cancelled::Circular => {
                "the task cannot be waited for here: it waits, itself or through others, for the job that would wait for it"
            }
        })
    }
}

impl Error for Cancelled {}

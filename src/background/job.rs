//! One task of a loop: what its handle sees and what the loop carries out.
//!
//! An [`Ending`] travels with the work. However the work ends (a value, a panic, dropped at an await point, never begun), the
//! ending is dropped with it, and that is when the task is over.

use std::future::{poll_fn, Future};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::task::AbortHandle;

use super::shared::{Abandon, Shared};
use crate::task::{Progress, Task, TaskError, Work};
use crate::Cancelled;

/// One task of a loop.
struct Job<T> {
    shared: Arc<Shared>,
    progress: Progress<T>,
    /// A leaf lock.
    stopping: Mutex<Stopping>,
}

/// How a job is stopped while it runs.
#[derive(Default)]
struct Stopping {
    /// Somebody asked for it.
    asked: bool,
    /// Has its future dropped. There from when the future has been made until it is over.
    abort: Option<AbortHandle>,
}

/// Hands over a plain callable.
pub(super) fn call<T, F>(shared: &Arc<Shared>, f: F) -> Task<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    hand_over(shared, move |mut ending| {
        ending.outcome = Some(caught(f));
    })
}

/// Hands over a future, which `make` makes on the loop's thread.
pub(super) fn spawn_local<T, F, Fut>(shared: &Arc<Shared>, make: F) -> Task<T>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = T> + 'static,
    T: Send + 'static,
{
    hand_over(shared, move |mut ending| {
        let future = match caught(make) {
            Ok(future) => future,
            Err(panicked) => {
                ending.outcome = Some(Err(panicked));
                return;
            }
        };
        let job = Arc::clone(&ending.job);
        let running = tokio::task::spawn_local(async move {
            // Moved in first and so dropped last: the task is over when its future is gone.
            let mut ending = ending;
            ending.outcome = Some(run(future).await);
        });
        job.has_begun(running.abort_handle());
    })
}

/// Has the loop call `begin`, unless the task is cancelled before.
fn hand_over<T, B>(shared: &Arc<Shared>, begin: B) -> Task<T>
where
    B: FnOnce(Ending<T>) + Send + 'static,
    T: Send + 'static,
{
    let job = Arc::new(Job {
        shared: Arc::clone(shared),
        progress: Progress::new(),
        stopping: Mutex::new(Stopping::default()),
    });
    let theirs = Arc::clone(&job);
    let start = move || {
        if theirs.progress.begin() {
            begin(Ending {
                job: theirs,
                outcome: None,
            });
        }
    };
    shared.submit(&job, Box::new(start));
    Task::new(job)
}

/// Runs a future to its end, and drops it, with its panic caught.
async fn run<T>(future: impl Future<Output = T>) -> Result<T, TaskError> {
    let mut future = pin!(to_its_end(future));
    poll_fn(|context| match caught(|| future.as_mut().poll(context)) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Err(panicked) => Poll::Ready(Err(panicked)),
    })
    .await
}

/// The future is dropped in here as soon as it is ready, where a panic of its destructor is caught as well.
async fn to_its_end<T>(future: impl Future<Output = T>) -> T {
    future.await
}

/// Calls what a user gave us.
fn caught<R>(f: impl FnOnce() -> R) -> Result<R, TaskError> {
    catch_unwind(AssertUnwindSafe(f)).map_err(TaskError::Panicked)
}

impl<T> Job<T> {
    /// Its future has been made, and can be dropped by this from now on.
    fn has_begun(&self, abort: AbortHandle) {
        let mut stopping = self.stopping.lock();
        if stopping.asked {
            drop(stopping);
            abort.abort();
        } else {
            stopping.abort = Some(abort);
        }
    }

    /// Why it is over without an outcome.
    fn cancelled(&self) -> TaskError {
        match self.stopping.lock().asked {
            true => Cancelled::OnRequest.into(),
            false => Cancelled::Ended.into(),
        }
    }
}

impl<T: Send> Work<T> for Job<T> {
    fn progress(&self) -> &Progress<T> {
        &self.progress
    }

    fn prevented(&self) {
        self.shared.leave(self);
    }

    fn requested(&self) {
        let abort = {
            let mut stopping = self.stopping.lock();
            stopping.asked = true;
            stopping.abort.clone()
        };
        if let Some(abort) = abort {
            abort.abort();
        }
    }

    fn await_over(&self, limit: Option<Instant>) -> Result<bool, Cancelled> {
        if self.shared.is_current() && !self.progress.is_over() {
            return Err(Cancelled::OwnThread);
        }
        Ok(self.progress.await_over(limit))
    }
}

impl<T: Send> Abandon for Job<T> {
    fn abandon(&self) {
        self.progress.finish(Err(self.cancelled()));
    }
}

/// Travels with the work; when it is dropped, the task is over.
struct Ending<T: Send> {
    job: Arc<Job<T>>,
    /// `None` as long as the work has not come to its end by itself.
    outcome: Option<Result<T, TaskError>>,
}

impl<T: Send> Drop for Ending<T> {
    fn drop(&mut self) {
        // A handle that is kept must not keep the memory of a future that is gone.
        let abort = self.job.stopping.lock().abort.take();
        drop(abort);
        let outcome = self.outcome.take();
        let outcome = outcome.unwrap_or_else(|| Err(self.job.cancelled()));
        self.job.progress.finish(outcome);
        self.job.shared.leave(&*self.job);
    }
}

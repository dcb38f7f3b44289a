//! One task of a loop: what its handle sees and what the loop carries out.
//!
//! An [`Ending`] travels with the work. However the work ends (a value, a panic, dropped at an await point, never begun), the
//! ending is dropped with it, and that is when the task is over.

use std::future::Future;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use parking_lot::Mutex;
use pin_project_lite::pin_project;
use tokio::task::JoinHandle;

use super::shared::{Listed, Shared};
use crate::diagnose::{waiting_for_any, Waiting};
use crate::task::{Note, Progress, Task, TaskError, Work};
use crate::Cancelled;

/// One task of a loop.
struct Job<T> {
    shared: Arc<Shared>,
    /// Where it is on the loop's list. Relaxed: who reads it got the job from `submit`, through the inbox's lock or its return.
    key: AtomicUsize,
    /// What its handle waits for.
    progress: Progress<T, Option<()>>,
    /// A leaf lock.
    stopping: Mutex<Stopping>,
}

/// How a job is stopped while it runs.
#[derive(Default)]
struct Stopping {
    /// Somebody asked for it.
    asked: bool,
    /// Has its future dropped. There from when the future has been made until it is over, or somebody asks.
    running: Option<JoinHandle<()>>,
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
        let running = tokio::task::spawn_local(Running {
            future: Some(future),
            ending,
        });
        job.has_begun(running);
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
        key: AtomicUsize::new(0),
        progress: Progress::new(()),
        stopping: Mutex::new(Stopping::default()),
    });
    let (theirs, listed) = (Arc::clone(&job), Arc::clone(&job));
    let start = move || {
        if theirs.progress.begin().is_some() {
            begin(Ending {
                job: theirs,
                outcome: None,
            });
        }
    };
    shared.submit(listed, Box::new(start));
    Task::new(job)
}

pin_project! {
    /// A task's future, and what ends the task when it is gone.
    struct Running<F, T: Send> {
        // `None` once it is through.
        #[pin]
        future: Option<F>,
        // Dropped after the future: the task is over when its future is gone.
        ending: Ending<T>,
    }
}

impl<F: Future<Output = T>, T: Send> Future for Running<F, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let polled = caught(|| {
            let Some(future) = this.future.as_mut().as_pin_mut() else {
                return Poll::Pending; // nobody polls it again
            };
            let polled = future.poll(context);
            if polled.is_ready() {
                this.future.set(None); // here, where a panic of its destructor is caught
            }
            polled
        });
        this.ending.outcome = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(value)) => Some(Ok(value)),
            Err(panicked) => Some(Err(panicked)),
        };
        Poll::Ready(())
    }
}

/// Calls what a user gave us.
fn caught<R>(f: impl FnOnce() -> R) -> Result<R, TaskError> {
    catch_unwind(AssertUnwindSafe(f)).map_err(TaskError::Panicked)
}

impl<T> Job<T> {
    /// Its future has been made, and can be dropped by this from now on.
    fn has_begun(&self, running: JoinHandle<()>) {
        let mut stopping = self.stopping.lock();
        if stopping.asked {
            drop(stopping);
            running.abort();
        } else {
            stopping.running = Some(running);
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

impl<T: Send + 'static> Work<T> for Job<T> {
    fn progress(&self) -> &Progress<T> {
        &self.progress
    }

    fn prevented(&self) {
        self.shared.leave(self.key());
    }

    fn requested(&self) {
        let running = {
            let mut stopping = self.stopping.lock();
            stopping.asked = true;
            stopping.running.take()
        };
        if let Some(running) = running {
            running.abort();
        }
    }

    fn note(self: Arc<Self>) -> Waiting {
        let job = Arc::downgrade(&self);
        waiting_for_any(move || {
            // What is over keeps nobody waiting, whatever its loop does next.
            let job = job.upgrade().filter(|job| !job.progress.is_over());
            job.and_then(|job| job.shared.worker())
                .into_iter()
                .collect()
        })
    }

    fn await_over(&self, limit: Option<Instant>, note: Note<'_>) -> Result<bool, Cancelled> {
        if self.shared.is_current() {
            return Err(Cancelled::OwnThread);
        }
        // The loop was mostly woken a moment ago. If it shares our core, a short task is over when this returns: that saves us
        // going to sleep and it waking us, a sixth of the round trip. Else it costs one system call.
        std::thread::yield_now();
        if self.progress.is_over() {
            return Ok(true);
        }
        let _noted = note();
        Ok(self.progress.await_over(limit))
    }
}

impl<T: Send> Listed for Job<T> {
    fn set_key(&self, key: usize) {
        self.key.store(key, Ordering::Relaxed);
    }

    fn key(&self) -> usize {
        self.key.load(Ordering::Relaxed)
    }

    fn abandon(&self) {
        self.progress.finish(Err(self.cancelled()));
    }
}

/// Travels with the work; when it is dropped, the task is over.
struct Ending<T: Send> {
    /// The task that it ends.
    job: Arc<Job<T>>,
    /// `None` as long as the work has not come to its end by itself.
    outcome: Option<Result<T, TaskError>>,
}

impl<T: Send> Drop for Ending<T> {
    fn drop(&mut self) {
        // A handle that is kept must not keep the memory of a future that is gone.
        let running = self.job.stopping.lock().running.take();
        drop(running);
        let outcome = self.outcome.take();
        let outcome = outcome.unwrap_or_else(|| Err(self.job.cancelled()));
        self.job.progress.finish(outcome);
        self.job.shared.leave(self.job.key());
    }
}

//! The handle on a worker: join it, tell it to stop, or both when dropped.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Result, Thread};
use crate::base::logging;
use crate::base::text::Printable;
use crate::stop::{Stop, StopReason};
use crate::supervisor::registry::Core;
use crate::supervisor::tell_worker;
use crate::supervisor::waits::{waiting_for_worker, Waiting};
use crate::supervisor::worker::Worker;
use crate::supervisor::{current, WorkerId};
use crate::sync::{Instant, Mutex};
use crate::sys::ThreadIdent;

/// Where a worker's value is put.
pub(crate) struct Value<T>(Mutex<Option<Result<T>>>);

impl<T> Value<T> {
    pub(crate) fn new() -> Value<T> {
        Value(Mutex::new(None))
    }

    pub(crate) fn put(&self, value: Result<T>) {
        *self.0.lock() = Some(value);
    }
}

/// A [`Value`] to take from: a trait object, so that the handle is `Send` and `Sync` whatever `T` is, as std's is.
pub(crate) trait Slot<T>: Send + Sync {
    /// Takes the value; `None` if the thread has not put it there.
    fn take(&self) -> Option<Result<T>>;
}

impl<T: Send> Slot<T> for Value<T> {
    fn take(&self) -> Option<Result<T>> {
        self.0.lock().take()
    }
}

/// The handle on a supervised thread: `std::thread::JoinHandle`, and what stops the thread.
///
/// Dropping it detaches the thread, as std's does; the supervisor still knows it.
///
/// ```
/// use sundown::thread;
///
/// let worker = thread::Builder::new().spawn_with(|stop| {
///     stop.wait();
///     "through"
/// })?;
/// assert!(!worker.is_finished());
/// worker.terminate(); // asks, and returns
/// assert_eq!(worker.join().unwrap(), "through"); // waits
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct JoinHandle<T> {
    core: Arc<Core>,
    worker: Arc<Worker>,
    value: Arc<dyn Slot<T>>,
    /// The thread to show.
    thread: Thread,
}

impl<T> JoinHandle<T> {
    pub(crate) fn new(
        core: Arc<Core>,
        worker: Arc<Worker>,
        value: Arc<dyn Slot<T>>,
        thread: Thread,
    ) -> JoinHandle<T> {
        JoinHandle {
            core,
            worker,
            value,
            thread,
        }
    }

    /// Has the adopted thread `ident` known as this worker.
    pub(super) fn mark_adopted(&self, ident: ThreadIdent) -> current::Adopted {
        current::adopt((ident, self.thread.id()), &self.core, &self.worker)
    }

    /// The underlying thread, as in std.
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// Its number: the same as in reports and in `workers()`.
    pub fn id(&self) -> WorkerId {
        self.worker.id
    }

    /// Waits for the thread to end, as std does: its value, or the payload of its panic.
    ///
    /// # Errors
    ///
    /// The payload of the thread's panic.
    ///
    /// # Panics
    ///
    /// As std's where the system cannot join: when a thread joins itself.
    pub fn join(self) -> Result<T> {
        if self.is_current() {
            panic!("failed to join thread: it is this thread, which would wait for itself");
        }
        let _waiting = self.waiting();
        self.worker.join();
        self.take_value()
    }

    /// Waits for the thread to end, at most for `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sundown::thread;
    ///
    /// let worker = thread::Builder::new().spawn_with(|stop| stop.wait())?;
    /// // How to cancel after a timeout: wait so long, then tell it to stop.
    /// if let Err(worker) = worker.join_timeout(Duration::from_millis(5)) {
    ///     worker.terminate();
    ///     worker.join().unwrap();
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The handle itself, if the thread has not ended by then (or if it is this thread).
    pub fn join_timeout(self, timeout: Duration) -> std::result::Result<Result<T>, Self> {
        self.join_until(Instant::now().checked_add(timeout))
    }

    /// The same, until `limit`; `None` waits without end.
    pub(crate) fn join_until(self, limit: Option<Instant>) -> std::result::Result<Result<T>, Self> {
        if self.is_current() || !self.core.is_ours() {
            return Err(self);
        }
        let waiting = self.waiting();
        let joined = self.worker.join_until(limit);
        drop(waiting);
        if !joined {
            return Err(self);
        }
        Ok(self.take_value())
    }

    /// Whether the thread's function has returned, as in std.
    pub fn is_finished(&self) -> bool {
        self.worker.is_finished()
    }

    /// Tells it to stop: trips its token, runs its terminate callback unless that has run or is running, unparks it. Call
    /// [`join`](JoinHandle::join) to wait for its end. Of a worker that has ended nothing is asked.
    ///
    /// Callbacks run on a helper thread, as in a shutdown, and within the same limit: this returns when they have returned, and
    /// goes on without one that hangs.
    pub fn terminate(&self) {
        if !self.worker.is_finished() && self.core.is_ours() {
            let grace = self.worker.traits.grace;
            let stop = Stop {
                reason: StopReason::Terminated,
                deadline: grace.and_then(|grace| Instant::now().checked_add(grace)),
            };
            tell_worker(&self.core, &self.worker, stop);
        }
    }

    /// A guard that tells the worker to stop and joins it when it is dropped.
    pub fn into_guard(self) -> JoinGuard<T> {
        JoinGuard { handle: Some(self) }
    }

    /// Notes whom this thread waits for, if it is going to wait at all.
    fn waiting(&self) -> Option<Waiting> {
        match self.worker.is_finished() {
            true => None,
            false => waiting_for_worker(self.worker.id),
        }
    }

    fn is_current(&self) -> bool {
        current::with_worker(|worker| std::ptr::eq(worker, &*self.worker)).unwrap_or(false)
    }

    fn take_value(&self) -> Result<T> {
        self.value
            .take()
            .expect("a thread that has been joined has put its value")
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").finish_non_exhaustive()
    }
}

/// Tells its worker to stop and joins it when dropped: what a scope does, for a worker that may outlive the scope's frame.
///
/// The wait on dropping is bounded by the worker's grace, else by the supervisor's deadline: a drop may happen while a panic
/// unwinds. A worker that is still running then is logged, and left to the supervisor.
///
/// ```
/// use sundown::thread;
///
/// {
///     let _poller = thread::Builder::new().spawn_with(|stop| stop.wait())?.into_guard();
///     // ... works as long as the poller is needed ...
/// } // told to stop, and joined
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "dropping the guard stops the worker"]
pub struct JoinGuard<T> {
    /// `None` only once it has been taken out.
    handle: Option<JoinHandle<T>>,
}

impl<T> JoinGuard<T> {
    /// Tells the worker to stop, and waits for its value however long that takes.
    ///
    /// # Errors
    ///
    /// The payload of the thread's panic.
    ///
    /// # Panics
    ///
    /// As [`JoinHandle::join`].
    pub fn join(self) -> Result<T> {
        let handle = self.into_handle();
        handle.terminate();
        handle.join()
    }

    /// The handle, with which nothing happens on dropping.
    pub fn into_handle(mut self) -> JoinHandle<T> {
        self.handle.take().expect("only this and drop take it out")
    }
}

impl<T> std::ops::Deref for JoinGuard<T> {
    type Target = JoinHandle<T>;

    fn deref(&self) -> &JoinHandle<T> {
        self.handle
            .as_ref()
            .expect("only drop and into_handle take it out")
    }
}

impl<T> fmt::Debug for JoinGuard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinGuard").finish_non_exhaustive()
    }
}

impl<T> Drop for JoinGuard<T> {
    fn drop(&mut self) {
        let Some(handle) = self.handle.take() else {
            return;
        };
        if !handle.core.is_ours() {
            return; // a forked child, where the thread does not exist
        }
        handle.terminate();
        let limit = {
            let registry = handle.core.registry.lock();
            // In a shutdown nobody gets longer than what is left of it.
            let left = match registry.deadline {
                Some(end) => end.saturating_duration_since(Instant::now()),
                None => registry.settings.deadline,
            };
            let grace = handle.worker.traits.grace.or(registry.settings.grace);
            grace.map_or(left, |grace| grace.min(left))
        };
        let name = handle.worker.traits.name.clone();
        let location = handle.worker.traits.location;
        if handle.join_timeout(limit).is_err() {
            let name = name.as_deref().unwrap_or("<unnamed>");
            let text = format!(
                "worker {} ({location}) still runs after its guard told it to stop",
                Printable(name)
            );
            logging::log_bounded(log::Level::Error, text); // a drop may be on the way out
        }
    }
}

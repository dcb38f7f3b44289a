//! Noting a wait, for whoever has threads wait for what workers do: so that a report can name the circle that a wait is part of.

use crate::supervisor::waits::{self, Waiter};
use crate::supervisor::{current, WorkerId};

/// A wait that is noted, until this is dropped. See [`waiting_for`].
#[derive(Debug)]
#[must_use = "the wait is noted as long as this is kept"]
pub struct Waiting {
    /// `None` on a thread that nobody supervises.
    _noted: Option<waits::Waiting>,
}

/// Notes that this thread is about to block until `worker` has ended or has done something, as long as what this gives is kept.
///
/// If workers (or their callbacks, or `main`) wait for one another in a circle when a shutdown's time is up, its report
/// [names it](super::Straggler::cycle). Joins, shutdowns, pools and background loops of this library note their waits by themselves;
/// this is for queues, latches and the like of your own. Call it when you are going to block and not before: it takes a lock for
/// an instant (some 50 ns), and a note on a thread that does not wait would make a report lie. On a thread that is no worker's, no
/// callback's and not `main`, it does nothing, since nobody can wait for such a thread.
///
/// ```
/// use std::sync::mpsc;
/// use sundown::{diagnose, Supervisor};
///
/// let supervisor = Supervisor::new();
/// let (request, requests) = mpsc::channel::<mpsc::Sender<u32>>();
/// let server = supervisor.worker().spawn(move || {
///     for answer in requests {
///         answer.send(7).unwrap();
///     }
/// })?;
/// let server = server.id();
/// let client = supervisor.worker().spawn(move || {
///     let (answer, answered) = mpsc::channel();
///     request.send(answer).unwrap();
///     let _waiting = diagnose::waiting_for(server);
///     answered.recv().unwrap()
/// })?;
/// assert_eq!(client.join().unwrap(), 7);
/// # supervisor.shutdown();
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn waiting_for(worker: WorkerId) -> Waiting {
    Waiting {
        _noted: waits::waiting_for_worker(worker),
    }
}

/// As [`waiting_for`], where any one of several workers will do: a job in the queue of a crew. It is part of a circle only if each of
/// them is.
///
/// `workers` is called when somebody looks, on a thread of its own: it must not wait for anything. None means that it is not
/// known who could end the wait; then nothing is said of it.
pub fn waiting_for_any(workers: impl Fn() -> Vec<WorkerId> + Send + Sync + 'static) -> Waiting {
    Waiting {
        _noted: waits::waiting_for_any(workers),
    }
}

/// The number of the worker that this thread is: what a queue keeps of who works on a job, for [`waiting_for`]. `main` has a number
/// too. `None` on any other thread, and in callbacks.
pub fn current_worker() -> Option<WorkerId> {
    match current::waiter()? {
        Waiter::Worker(id) => Some(id),
        Waiter::Callback(_) => None,
    }
}

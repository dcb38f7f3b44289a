//! Work on a thread of its own, when it must not hold up the thread that asks for it.
//!
//! A job is boxed: else std's part of starting a thread would be compiled once for each.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::sync::thread::JoinHandle;
use crate::sync::{thread, Condvar, Instant, Mutex};

type Job = Box<dyn FnOnce() + Send>;

/// Starts a thread of ours.
pub(crate) fn on_thread(
    name: &str,
    job: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let job: Job = Box::new(job);
    thread::Builder::new().name(name.to_owned()).spawn(job)
}

/// Runs `job` on a thread of its own; here, if none can be had.
pub(crate) fn apart(job: impl FnOnce() + Send + 'static) {
    run_apart(Box::new(job));
}

fn run_apart(job: Job) {
    let job = Arc::new(Mutex::new(Some(job)));
    let theirs = Arc::clone(&job);
    let run = |job: &Mutex<Option<Job>>| {
        let job = job.lock().take();
        if let Some(job) = job {
            job();
        }
    };
    if on_thread("sundown-apart", move || run(&theirs)).is_err() {
        run(&job);
    }
}

/// Runs `job` on a thread of its own and waits at most `limit`; here, if no thread can be had. True if it came to its end in time.
pub(crate) fn bounded(limit: Duration, job: impl FnOnce() + Send + 'static) -> bool {
    let (job, started) = watched(Box::new(job));
    run_apart(job);
    started.wait(limit)
}

/// Runs `job` on a thread of its own, and not at all if none can be had.
pub(crate) fn start(job: impl FnOnce() + Send + 'static) -> Option<Started> {
    let (job, started) = watched(Box::new(job));
    on_thread("sundown-apart", job).ok().map(|_| started)
}

/// A job on a thread of its own. Dropping this lets it go on.
pub(crate) struct Started(Arc<End>);

/// The end of a job.
#[derive(Default)]
struct End {
    over: Mutex<bool>,
    /// Notified when it is over.
    changed: Condvar,
}

/// Kept by the job, and dropped when it is through: whether it returned or panicked, or was never run.
struct Ends(Arc<End>);

impl Drop for Ends {
    fn drop(&mut self) {
        *self.0.over.lock() = true;
        self.0.changed.notify_all();
    }
}

/// The job, and how to wait for its end.
fn watched(job: Job) -> (Job, Started) {
    let end = Arc::new(End::default());
    let ends = Ends(Arc::clone(&end));
    let job = Box::new(move || {
        job();
        drop(ends);
    });
    (job, Started(end))
}

impl Started {
    /// Waits until it is through, at most for `limit`. True if it is.
    pub(crate) fn wait(&self, limit: Duration) -> bool {
        // A limit that does not fit into an Instant is none.
        let limit = Instant::now().checked_add(limit);
        let mut over = self.0.over.lock();
        while !*over {
            match limit {
                None => self.0.changed.wait(&mut over),
                Some(limit) if limit <= Instant::now() => return false,
                Some(limit) => {
                    self.0.changed.wait_until(&mut over, limit);
                }
            }
        }
        true
    }
}

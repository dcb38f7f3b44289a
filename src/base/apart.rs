//! Work on a thread of its own, when it must not hold up the thread that asks for it.

use std::sync::Arc;
use std::time::Duration;

use crate::sync::{mpsc, thread, Mutex};

/// Runs `job` on a thread of its own; here, if none can be had.
pub(crate) fn apart(job: impl FnOnce() + Send + 'static) {
    let job = Arc::new(Mutex::new(Some(job)));
    let theirs = Arc::clone(&job);
    let take = |job: &Mutex<Option<_>>| job.lock().take();
    let started = thread::Builder::new()
        .name("sundown-apart".into())
        .spawn(move || {
            if let Some(job) = take(&theirs) {
                job();
            }
        });
    if started.is_err() {
        let job = job.lock().take();
        if let Some(job) = job {
            job();
        }
    }
}

/// Runs `job` on a thread of its own and waits at most `limit`; here, if no thread can be had. True if it came to its end in time.
pub(crate) fn bounded(limit: Duration, job: impl FnOnce() + Send + 'static) -> bool {
    let (done, ended) = mpsc::channel();
    apart(move || {
        job();
        drop(done);
    });
    Started(ended).wait(limit)
}

/// A job on a thread of its own. Dropping this lets it go on.
pub(crate) struct Started(mpsc::Receiver<()>);

/// Runs `job` on a thread of its own, and not at all if none can be had.
pub(crate) fn start(job: impl FnOnce() + Send + 'static) -> Option<Started> {
    let (done, ended) = mpsc::channel();
    let thread = std::thread::Builder::new().name("sundown-apart".into());
    let started = thread.spawn(move || {
        job();
        drop(done);
    });
    started.is_ok().then_some(Started(ended))
}

impl Started {
    /// Waits until it is through, at most for `limit`. True if it is.
    pub(crate) fn wait(&self, limit: Duration) -> bool {
        // The sender is dropped when the job is through, whether it returned or panicked.
        self.0.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Disconnected)
    }
}

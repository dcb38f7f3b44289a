//! What makes one worker stop: the terminate callback.

/// A way to make a worker stop: closes what it reads from, drops a sender, sets a flag.
///
/// Every `FnOnce() + Send` is one:
///
/// ```
/// use std::sync::mpsc;
/// use sundown::thread;
///
/// let (jobs, queue) = mpsc::channel::<u32>();
/// let worker = thread::Builder::new()
///     .on_terminate(move || drop(jobs)) // the loop below ends when no sender is left
///     .spawn(move || queue.iter().sum::<u32>())?;
/// worker.terminate();
/// assert_eq!(worker.join().unwrap(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// A terminate callback runs at most once, with no lock of the library held: on a helper thread in a shutdown, on the calling
/// thread for [`JoinHandle::terminate`](crate::thread::JoinHandle::terminate). In a shutdown it has 1 s (a quarter of the
/// deadline if that is less); one that hangs is left behind and reported. A panic is caught and reported.
pub trait Terminate: Send + 'static {
    /// Tells the worker to stop. It asks and returns: the join comes later.
    fn terminate(self);
}

impl<F: FnOnce() + Send + 'static> Terminate for F {
    fn terminate(self) {
        self();
    }
}

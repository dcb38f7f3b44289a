//! `Builder::spawn_unchecked`, which std has since Rust 1.82.

use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe, Location};
use std::sync::Arc;

use crate::supervisor::worker::{End, Worker};
use crate::supervisor::EntryKind;
use crate::thread::{Builder, JoinHandle, Slot, Value};

/// What the thread runs, and what is dropped afterwards.
type Job<'a> = Box<dyn FnOnce(&Worker) -> (End, Box<dyn Send + 'a>) + Send + 'a>;
/// The same, as the thread is given it.
type StaticJob = Box<dyn FnOnce(&Worker) -> (End, Box<dyn Send>) + Send>;

impl Builder {
    /// Starts a supervised thread that may borrow, as std's `spawn_unchecked` does.
    ///
    /// # Safety
    ///
    /// As std's: the caller has to ensure that the thread does not outlive anything that its closure or its value borrows, by
    /// joining it in time.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Builder::spawn).
    ///
    /// # Panics
    ///
    /// As [`spawn`](Builder::spawn).
    #[track_caller]
    pub unsafe fn spawn_unchecked<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        let value = Arc::new(Value::new());
        let slot = Arc::clone(&value);
        let job: Job<'_> = Box::new(move |_| {
            let result = catch_unwind(AssertUnwindSafe(f));
            let how = End::of(&result);
            slot.put(result);
            (how, Box::new(slot))
        });
        // SAFETY: only lifetimes change. The caller promises that the thread is joined before what `f` and `T` borrow is
        // gone, and the job is used up and dropped on that thread.
        let job: StaticJob = unsafe { std::mem::transmute(job) };
        let (core, worker, thread) = self.start_job(EntryKind::Worker, Location::caller(), job)?;
        let value: Arc<dyn Slot<T> + '_> = value;
        // SAFETY: only the lifetime changes; the handle can give the value out only as a `T`, which keeps its own lifetime.
        let value: Arc<dyn Slot<T>> = unsafe { std::mem::transmute(value) };
        Ok(JoinHandle::new(core, worker, value, thread))
    }
}

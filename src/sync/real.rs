//! The real ones: std's, parking_lot's and once_cell's, re-exported and nothing else.

pub(crate) use std::sync::mpsc;
pub(crate) use std::thread_local;
pub(crate) use std::time::Instant;

pub(crate) use once_cell::sync::{Lazy, OnceCell};
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};

/// std's own, where theirs are the better ones.
pub(crate) mod of_std {
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
}

pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::{
        fence, AtomicBool, AtomicU32, AtomicU64, AtomicU8, Ordering,
    };
}

pub(crate) mod thread {
    use std::io;

    pub(crate) use std::thread::{scope, Builder, JoinHandle, Scope};
    // What `thread` gives on to users.
    pub use std::thread::{
        available_parallelism, current, panicking, park, park_timeout, sleep, yield_now,
        AccessError, LocalKey, Result, ScopedJoinHandle, Thread, ThreadId,
    };
    #[allow(deprecated)] // a drop-in keeps what std keeps
    pub use std::thread::{park_timeout_ms, sleep_ms};

    /// Starts a thread that goes on as long as the process does.
    pub(crate) fn spawn_for_good(name: &str, f: fn()) -> io::Result<()> {
        // Boxed, as in `base::apart`.
        let f: Box<dyn FnOnce() + Send> = Box::new(f);
        Builder::new().name(name.into()).spawn(f).map(drop)
    }
}

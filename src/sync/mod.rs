//! What threads meet through: locks, condition variables, atomics, threads, and the clock that they wait by.
//!
//! The core has them from here, so that a model checker can put its own in their place. These are the real ones, re-exported and
//! nothing else. A static behind a lock under which nothing else happens (the roots, who waits for whom, the log's lines) belongs
//! to the process and to no model, and uses the real ones by itself.

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
    pub(crate) use std::thread::{scope, Builder, JoinHandle, Scope};
    // What `thread` gives on to users.
    pub use std::thread::{
        available_parallelism, current, panicking, park, park_timeout, sleep, yield_now,
        AccessError, LocalKey, Result, ScopedJoinHandle, Thread, ThreadId,
    };
    #[allow(deprecated)] // a drop-in keeps what std keeps
    pub use std::thread::{park_timeout_ms, sleep_ms};
}

//! The drop-in for `std::thread`: change the import and every thread is supervised.
//!
//! ```
//! use sundown::thread; // was: use std::thread;
//!
//! let worker = thread::spawn(|| 6 * 7);
//! assert_eq!(worker.join().unwrap(), 42);
//! ```
//!
//! [`spawn`], [`Builder`] and [`JoinHandle`] have the names and signatures of std's, and do what std's do. What is new is the end:
//! a thread that is still running when the process exits is told to stop and joined, in reverse order of creation.
//! Threads of a [`scope`] are told to stop by a shutdown too, and joined by their scope. Everything else is std's own,
//! re-exported.

mod builder;
mod join_handle;
mod scope;
mod start;

pub use builder::{spawn, Builder};
pub use join_handle::{JoinGuard, JoinHandle};
pub(crate) use join_handle::{Slot, Value};
pub use scope::{scope, Scope};

pub use crate::sync::thread::{
    available_parallelism, current, panicking, park, park_timeout, sleep, yield_now, AccessError,
    LocalKey, Result, ScopedJoinHandle, Thread, ThreadId,
};
#[allow(deprecated)] // a drop-in keeps what std keeps
pub use crate::sync::thread::{park_timeout_ms, sleep_ms};

//! The system as models have it: their threads are none of the system's, and what they do stays in the process.

use std::time::Duration;

use crate::sync::thread::{self, JoinHandle, ThreadId};
use crate::sync::Instant;

/// The right to join one thread.
pub(crate) struct NativeThread(JoinHandle<()>);

impl NativeThread {
    pub(crate) const HAS_LIMIT: bool = true;

    pub(crate) fn of(thread: JoinHandle<()>) -> NativeThread {
        NativeThread(thread)
    }

    pub(crate) fn join(self) {
        // The thread's closure catches every panic, so there is no payload to lose.
        drop(self.0.join());
    }

    pub(crate) fn join_until(self, limit: Option<Instant>) -> Result<(), NativeThread> {
        match limit {
            Some(limit) if !thread::ends_before(&self.0, limit) => Err(self),
            _ => {
                self.join();
                Ok(())
            }
        }
    }
}

/// Which thread this is.
#[derive(Clone, Copy)]
pub(crate) struct ThreadIdent(ThreadId);

impl ThreadIdent {
    pub(crate) fn of<T>(thread: &JoinHandle<T>) -> ThreadIdent {
        ThreadIdent(thread.thread().id())
    }

    /// Whether it is the thread that asks.
    pub(crate) fn is_current(self) -> bool {
        thread::current().id() == self.0
    }
}

pub(crate) fn os_thread() -> Option<u32> {
    None
}

pub(crate) fn os_thread_of<T>(_thread: &JoinHandle<T>) -> Option<u32> {
    None
}

pub(crate) fn cpu_time(_thread: u32) -> Option<Duration> {
    None
}

/// No thread of a model is `main`.
pub(crate) fn is_first_thread() -> bool {
    false
}

/// The end of the process is no part of a model.
pub(crate) fn at_exit(_handler: fn(Option<i32>)) -> bool {
    true
}

/// Nobody reads what millions of executions have to say.
pub(crate) fn write_stderr(_text: &str, _limit: Duration) -> bool {
    true
}

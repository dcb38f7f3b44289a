//! What a worker leaves behind for those who ask what it is doing: its thread's number, its label, its processor time.
//!
//! Written by the worker itself at the price of a store each, and read only when somebody looks.

use std::borrow::Cow;
use std::time::Duration;

use parking_lot::Mutex;

use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sys;

/// What is known of a worker's thread, beyond how far it has come.
#[derive(Default)]
pub(crate) struct Trace {
    /// The kernel's number of its thread; 0 as long as that is not known.
    os_thread: AtomicU32,
    /// What it said last that it does; empty for nothing. A leaf lock, which only its own thread writes under.
    activity: Mutex<Cow<'static, str>>,
    /// The processor time in nanoseconds that it had used when somebody first had to wait for it; 0 before that.
    cpu_before: AtomicU64,
}

impl Trace {
    /// This is its thread.
    pub(crate) fn runs_here(&self) {
        self.runs_on(sys::os_thread());
    }

    pub(crate) fn runs_on(&self, thread: Option<u32>) {
        // Relaxed: a number for lookers, which orders nothing.
        self.os_thread.store(thread.unwrap_or(0), Ordering::Relaxed);
    }

    pub(crate) fn os_thread(&self) -> Option<u32> {
        Some(self.os_thread.load(Ordering::Relaxed)).filter(|&number| number != 0)
    }

    /// Sets the label.
    pub(crate) fn set_activity(&self, label: Cow<'static, str>) {
        let old = std::mem::replace(&mut *self.activity.lock(), label);
        drop(old); // with the lock free
    }

    pub(crate) fn activity(&self) -> Option<Cow<'static, str>> {
        let label = self.activity.lock().clone();
        Some(label).filter(|label| !label.is_empty())
    }

    /// Somebody waits for it: from now on its processor time is counted.
    pub(crate) fn count_cpu(&self) {
        if self.cpu_before.load(Ordering::Relaxed) == 0 {
            if let Some(used) = self.os_thread().and_then(sys::cpu_time) {
                // Relaxed: as above. Two who begin at once count from the same moment.
                let nanos = u64::try_from(used.as_nanos()).unwrap_or(u64::MAX);
                self.cpu_before.store(nanos.max(1), Ordering::Relaxed);
            }
        }
    }

    /// The processor time used since then. `None` if nobody counted, or the thread is gone.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        let before = match self.cpu_before.load(Ordering::Relaxed) {
            0 => return None,
            nanos => Duration::from_nanos(nanos),
        };
        Some(sys::cpu_time(self.os_thread()?)?.saturating_sub(before))
    }
}

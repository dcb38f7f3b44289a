//! Joining a worker's thread, which one caller does and all others wait for; with a limit, which std's join has not.

use std::time::Duration;

use super::worker::Worker;
use crate::sync::Instant;
use crate::sys::NativeThread;

/// The right to join a thread, which exists once.
pub(super) enum Native {
    /// The thread is not started yet, or somebody else joins it.
    Absent,
    /// Free to take.
    Attached(NativeThread),
    /// Somebody is joining it just now.
    Taken,
    /// It has been joined.
    Joined,
}

impl Worker {
    /// Joins the thread however long it takes, as std does: one wait, in the system's own join.
    pub(crate) fn join(&self) {
        let mut progress = self.progress.lock();
        loop {
            match std::mem::replace(&mut progress.native, Native::Taken) {
                Native::Attached(thread) => {
                    drop(progress);
                    thread.join();
                    self.set_native(Native::Joined);
                    return;
                }
                Native::Taken => self.changed.wait(&mut progress),
                over => {
                    progress.native = over;
                    return;
                }
            }
        }
    }

    /// Waits until it is gone, then joins the thread. False if that was not to be had until `limit`; nothing has changed
    /// then. `None` waits without end.
    pub(crate) fn join_until(&self, limit: Option<Instant>) -> bool {
        {
            let mut progress = self.progress.lock();
            while progress.gone.is_none() {
                match limit {
                    None => self.changed.wait(&mut progress),
                    Some(limit) => {
                        let late = self.changed.wait_until(&mut progress, limit).timed_out();
                        if late && progress.gone.is_none() {
                            return false;
                        }
                    }
                }
            }
        }
        // It is leaving already: it gets a moment, even when the time is up just now.
        let moment = Instant::now() + Duration::from_millis(100);
        self.collect(limit.map(|limit| limit.max(moment)))
    }

    /// Joins a thread that is gone. All that is left for it is the system's own work, so this takes microseconds; `limit`
    /// is for what C libraries do at a thread's end. False if even that hangs; the thread can be joined later.
    pub(crate) fn collect(&self, limit: Option<Instant>) -> bool {
        let mut progress = self.progress.lock();
        loop {
            match std::mem::replace(&mut progress.native, Native::Taken) {
                Native::Attached(thread) => {
                    drop(progress);
                    let left = thread.join_until(limit);
                    let joined = left.is_ok();
                    self.set_native(left.map_or_else(Native::Attached, |()| Native::Joined));
                    return joined;
                }
                Native::Taken => {
                    let late = match limit {
                        None => {
                            self.changed.wait(&mut progress);
                            false
                        }
                        Some(limit) => self.changed.wait_until(&mut progress, limit).timed_out(),
                    };
                    if late && matches!(progress.native, Native::Taken) {
                        return false;
                    }
                }
                over => {
                    progress.native = over;
                    return true;
                }
            }
        }
    }

    fn set_native(&self, native: Native) {
        self.progress.lock().native = native;
        self.changed.notify_all();
    }
}

//! A flag that is set once, and a condition variable for those who wait for it.
//!
//! The flag is an atomic beside the lock, so that polling costs one load; it is only set with the lock held, so that a
//! waiter that has looked at it under the lock cannot miss the wake-up.

use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// The stopping side: whoever holds it can trip the token.
///
/// Dropping a source stops nothing. Every worker has a source of its own inside the library; make one yourself for work
/// that you want to stop by hand.
///
/// ```
/// use sundown::StopSource;
///
/// let source = StopSource::new();
/// let token = source.token();
/// assert!(!token.is_stopped());
/// assert!(source.stop(), "the first to stop it");
/// assert!(!source.stop(), "it was stopped already");
/// assert!(token.is_stopped());
/// ```
#[derive(Clone)]
pub struct StopSource {
    shared: Arc<Shared>,
}

/// The listening side: what a worker polls, waits on or sleeps on to learn that it should stop.
///
/// Cheap to clone. Once stopped it stays so.
///
/// ```
/// use std::time::Duration;
/// use sundown::{thread, StopToken};
///
/// let worker = thread::Builder::new().spawn_with(|stop: StopToken| {
///     let mut ticks = 0;
///     while stop.sleep(Duration::from_millis(1)).is_ok() {
///         ticks += 1;
///     }
///     ticks
/// })?;
/// worker.terminate();
/// worker.join().unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct StopToken {
    shared: Arc<Shared>,
}

/// What source and tokens share.
struct Shared {
    /// Set once, under `lock`.
    stopped: AtomicBool,
    /// Guards the change of `stopped`. Nothing is called with it held.
    lock: Mutex<()>,
    /// Notified when `stopped` becomes true.
    changed: Condvar,
}

/// The error of [`StopToken::check`] and [`StopToken::sleep`]: the holder was told to stop. Use it with `?`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("told to stop")
    }
}

impl Error for Stopped {}

impl From<Stopped> for std::io::Error {
    fn from(stopped: Stopped) -> Self {
        std::io::Error::new(std::io::ErrorKind::Interrupted, stopped)
    }
}

impl StopSource {
    /// A new source, not stopped.
    pub fn new() -> StopSource {
        StopSource {
            shared: Arc::new(Shared {
                stopped: AtomicBool::new(false),
                lock: Mutex::new(()),
                changed: Condvar::new(),
            }),
        }
    }

    /// A token that this source stops.
    pub fn token(&self) -> StopToken {
        StopToken {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Stops every token of this source and wakes all who wait. True for the first call, false for each later one.
    pub fn stop(&self) -> bool {
        {
            let _lock = self.shared.lock.lock();
            // Release: pairs with the Acquire in `is_stopped`, so that what the stopper wrote before is seen.
            if self.shared.stopped.swap(true, Ordering::Release) {
                return false;
            }
        }
        // After the lock is free: a waiter woken under it would only go back to sleep for it.
        self.shared.changed.notify_all();
        true
    }

    /// Whether it has been stopped.
    pub fn is_stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::Acquire)
    }
}

impl Default for StopSource {
    fn default() -> Self {
        StopSource::new()
    }
}

impl StopToken {
    /// Whether the holder should stop. One atomic load.
    #[inline]
    pub fn is_stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::Acquire)
    }

    /// `Err(Stopped)` once the holder should stop: `stop.check()?` in a loop that computes.
    #[inline]
    pub fn check(&self) -> Result<(), Stopped> {
        if self.is_stopped() {
            Err(Stopped)
        } else {
            Ok(())
        }
    }

    /// Blocks until stopped.
    pub fn wait(&self) {
        if self.is_stopped() {
            return;
        }
        let mut lock = self.shared.lock.lock();
        while !self.is_stopped() {
            self.shared.changed.wait(&mut lock);
        }
    }

    /// Blocks until stopped, at most for `timeout`. True if stopped. A timeout of `Duration::MAX` never ends.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        if self.is_stopped() || timeout.is_zero() {
            return self.is_stopped();
        }
        let Some(until) = Instant::now().checked_add(timeout) else {
            self.wait();
            return true;
        };
        let mut lock = self.shared.lock.lock();
        while !self.is_stopped() {
            if self.shared.changed.wait_until(&mut lock, until).timed_out() {
                return self.is_stopped();
            }
        }
        true
    }

    /// Sleeps for `duration`, and is woken with `Err(Stopped)` when told to stop: what a worker uses in place of
    /// [`std::thread::sleep`].
    pub fn sleep(&self, duration: Duration) -> Result<(), Stopped> {
        if self.wait_timeout(duration) {
            Err(Stopped)
        } else {
            Ok(())
        }
    }
}

impl fmt::Debug for StopSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopSource")
            .field("stopped", &self.is_stopped())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for StopToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopToken")
            .field("stopped", &self.is_stopped())
            .finish_non_exhaustive()
    }
}

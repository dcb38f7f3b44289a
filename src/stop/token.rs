//! The two handles on a stop: the source trips it, the token listens.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;

use super::callback::{StopCallback, StoppedFuture};
use super::reason::{Stop, StopReason};
use super::shared::{Extend, Never, Shared};
use super::tripped::{run_caught, Tripped};
use crate::sync::Instant;

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

/// The listening side: what a worker polls, waits on, sleeps on or selects on to learn that it should stop.
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

/// The error of [`StopToken::check`] and [`StopToken::sleep`]: the holder was told to stop. Use it with `?`.
///
/// ```
/// use sundown::{StopSource, StopToken, Stopped};
///
/// fn work(stop: &StopToken) -> Result<u32, Stopped> {
///     let mut done = 0;
///     while done < 3 {
///         stop.check()?;
///         done += 1;
///     }
///     Ok(done)
/// }
///
/// let source = StopSource::new();
/// assert_eq!(work(&source.token()), Ok(3));
/// source.stop();
/// assert_eq!(work(&source.token()), Err(Stopped));
/// ```
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
            shared: Shared::new(),
        }
    }

    /// A token that this source stops.
    pub fn token(&self) -> StopToken {
        StopToken {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Stops every token of this source and of its children: wakes all who wait, then runs the callbacks on this thread, newest
    /// first, and wakes the futures. True for the first call, false for each later one.
    ///
    /// A callback that panics is caught and logged; one that blocks, blocks this call.
    pub fn stop(&self) -> bool {
        match self.trip(&Stop::now(StopReason::Source)) {
            Some(tripped) => {
                tripped.run();
                true
            }
            None => false,
        }
    }

    /// Whether it has been stopped.
    pub fn is_stopped(&self) -> bool {
        self.shared.is_stopped()
    }

    /// Whether a stop would run anything of a user's, or stop a child.
    pub(crate) fn is_listened_to(&self) -> bool {
        self.shared.is_listened_to()
    }

    /// Sets the flag and wakes who waits, but runs no callback yet. `None` if it was stopped already.
    pub(crate) fn trip(&self, stop: &Stop) -> Option<Tripped> {
        self.shared.trip(stop)
    }

    /// Who was told to stop has until this to do so, if that is sooner than what it was told.
    pub(crate) fn tighten(&self, deadline: Instant) {
        self.shared.tighten(deadline);
    }

    /// Who was told to stop by a certain time has until this, if that is later.
    pub(crate) fn prolong(&self, deadline: Instant) {
        self.shared.prolong(deadline);
    }

    /// What its tokens ask for more time.
    pub(crate) fn set_extend(&self, extend: Arc<dyn Extend>) {
        self.shared.set_extend(extend);
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
        self.shared.is_stopped()
    }

    /// `Err(Stopped)` once the holder should stop: `stop.check()?` in a loop that computes. One atomic load.
    ///
    /// # Errors
    ///
    /// [`Stopped`], once stopped.
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
        if !self.is_stopped() {
            self.shared.wait_until(None);
        }
    }

    /// Blocks until stopped, at most for `timeout`. True if stopped. A timeout of `Duration::MAX` never ends.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.is_stopped() || self.shared.wait_until(Instant::now().checked_add(timeout))
    }

    /// Sleeps for `duration`, and is woken when told to stop: what a worker uses in place of [`std::thread::sleep`].
    ///
    /// # Errors
    ///
    /// [`Stopped`], if stopped before the time was up.
    pub fn sleep(&self, duration: Duration) -> Result<(), Stopped> {
        if self.wait_timeout(duration) {
            Err(Stopped)
        } else {
            Ok(())
        }
    }

    /// A channel that never carries anything and disconnects on the stop: for `crossbeam_channel::select!`.
    ///
    /// ```
    /// use crossbeam_channel::{select, unbounded};
    /// use sundown::thread;
    ///
    /// let (jobs, queue) = unbounded::<u32>();
    /// let worker = thread::Builder::new().spawn_with(move |stop| {
    ///     let mut sum = 0;
    ///     loop {
    ///         select! {
    ///             recv(queue) -> job => match job {
    ///                 Ok(job) => sum += job,
    ///                 Err(_) => return sum,
    ///             },
    ///             recv(stop.channel()) -> _ => return sum,
    ///         }
    ///     }
    /// })?;
    /// jobs.send(1)?;
    /// worker.terminate();
    /// assert!(worker.join().unwrap() <= 1); // select! is fair: either arm may have come first
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn channel(&self) -> &Receiver<Never> {
        self.shared.channel()
    }

    /// Registers a callback to run on the stop: on the thread that stops the token, which in a shutdown is a helper thread, with no
    /// lock held. If the token is stopped already it runs at once, here. Newest first, each at most once, panics caught and
    /// logged.
    ///
    /// Dropping the [`StopCallback`] unregisters it, and waits if it is running on another thread.
    pub fn on_stop(&self, callback: impl FnOnce() + Send + 'static) -> StopCallback {
        match self.shared.add_callback(Box::new(callback)) {
            Ok(key) => StopCallback::new(Some((Arc::clone(&self.shared), key))),
            Err(callback) => {
                run_caught(callback);
                StopCallback::new(None)
            }
        }
    }

    /// Why it was stopped; `None` while it is not.
    pub fn reason(&self) -> Option<StopReason> {
        self.shared.stop_of().map(|stop| stop.reason)
    }

    /// By when the holder must be done, once it has been told: the end of its grace, or of the whole shutdown. `None` while
    /// it has not been told, or if there is no limit.
    pub fn deadline(&self) -> Option<Instant> {
        self.shared.stop_of().and_then(|stop| stop.deadline)
    }

    /// Says that the worker that was told to stop needs this long from now on, and gives by when it must be done then: what
    /// [`deadline`](StopToken::deadline) gives.
    ///
    /// It counts only past the limit that holds already: with 5 s left, asking for 3 s changes nothing, and asking for 10 s
    /// gives 5 s more. Asking again does not add up, so a worker may ask for a little at every step of its work. Its own grace is put off
    /// as far as the deadline; past the deadline it gets what
    /// [`SupervisorBuilder::max_extension`](crate::SupervisorBuilder::max_extension) allows, here and in every supervisor that this one is nested
    /// in. Others get no more time by that, except those who come late. What it got is in the report
    /// ([`EntryReport::extended`](crate::EntryReport::extended)).
    ///
    /// A worker's token (and a child of it) asks for that worker, from whichever thread; a supervisor's own token asks for `main`, if it
    /// is installed. Nothing happens before the shutdown, for who is not waited for any more, and with a token of your own.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sundown::Supervisor;
    ///
    /// let supervisor = Supervisor::builder()
    ///     .deadline(Duration::from_millis(10))
    ///     .max_extension(Duration::from_secs(60))
    ///     .build();
    /// supervisor.worker().spawn_with(|stop| {
    ///     stop.wait();
    ///     stop.extend(Duration::from_secs(30)); // the last backup takes a while
    ///     std::thread::sleep(Duration::from_millis(20));
    /// })?;
    /// assert!(supervisor.shutdown().is_clean());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn extend(&self, by: Duration) -> Option<Instant> {
        self.shared.extend(by);
        self.deadline()
    }

    /// A source that is stopped with this token, and can be stopped on its own. Stopping a child never stops its parent.
    pub fn child(&self) -> StopSource {
        StopSource {
            shared: self.shared.child(),
        }
    }

    /// As [`child`](StopToken::child), stopped at the latest when `timeout` is over. Nothing polls: one thread, shared by all
    /// deadlines, fires it. `Duration::MAX` never ends; at zero it is stopped when this returns.
    pub fn child_with_timeout(&self, timeout: Duration) -> StopSource {
        let child = self.child();
        if timeout.is_zero() {
            // A new token has no callbacks.
            drop(child.trip(&Stop::now(StopReason::TimeLimit)));
        } else if let Some(at) = Instant::now().checked_add(timeout) {
            child.shared.stop_at(at);
        }
        child
    }

    /// A future that is ready on the stop. It needs no runtime, and may be dropped at any time.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + Sync + Unpin + 'static {
        StoppedFuture::new(Arc::clone(&self.shared))
    }
}

// No code of a user's runs with a lock held, so a panic leaves nothing half done; the compiler cannot see that.
impl UnwindSafe for StopSource {}
impl RefUnwindSafe for StopSource {}
impl UnwindSafe for StopToken {}
impl RefUnwindSafe for StopToken {}

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

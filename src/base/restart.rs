//! When a worker is started again: the settings, which a builder holds. What follows from them is decided in `restart`.

use std::error::Error;
use std::fmt;
use std::time::Duration;

/// When a worker is started again, how often, and after which pause. Given to
/// [`Builder::restart`](crate::thread::Builder::restart); checked when the worker is spawned.
///
/// A *failure* is a panic or an `Err`. Unless set otherwise, there are at most 5 restarts within 30 s, with pauses that grow from
/// 100 ms to 10 s; past that the worker is given up, and its supervisor shuts down.
///
/// ```
/// use std::time::Duration;
/// use sundown::restart::Restart;
///
/// let policy = Restart::on_failure()
///     .limit(10, Duration::from_secs(60))
///     .backoff(Duration::from_millis(50), Duration::from_secs(5));
/// assert!(policy.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it does nothing until it is given to `Builder::restart`"]
pub struct Restart {
    pub(crate) when: When,
    /// At most so many restarts...
    pub(crate) limit: u32,
    /// ... within so long.
    pub(crate) within: Duration,
    /// The pause before the first restart, and the longest.
    pub(crate) first: Duration,
    pub(crate) max: Duration,
    /// Past the limit only the worker ends.
    pub(crate) quiet: bool,
}

/// After which ends of a run there is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Never,
    OnFailure,
    Always,
}

impl Restart {
    /// It is never started again: it runs once.
    pub fn never() -> Restart {
        Restart::new(When::Never)
    }

    /// It is started again when it panics or returns an `Err`; when it returns `Ok` (or `()`) it is through.
    pub fn on_failure() -> Restart {
        Restart::new(When::OnFailure)
    }

    /// It is started again whenever it ends, until it is told to stop.
    pub fn always() -> Restart {
        Restart::new(When::Always)
    }

    fn new(when: When) -> Restart {
        Restart {
            when,
            limit: 5,
            within: Duration::from_secs(30),
            first: Duration::from_millis(100),
            max: Duration::from_secs(10),
            quiet: false,
        }
    }

    /// At most `restarts` of them within any such time: a sliding window on a monotonic clock. When one more would be needed, the
    /// worker is given up. Default: 5 within 30 s; `u32::MAX` is no limit.
    pub fn limit(mut self, restarts: u32, within: Duration) -> Restart {
        self.limit = restarts;
        self.within = within;
        self
    }

    /// The pause before a restart: `first`, then twice as long each time, up to `max`. Of that, between half and the whole, at
    /// random, so that workers that failed together do not come back together. A run that lasts as long as the window of
    /// [`limit`](Restart::limit) starts again from `first`. Default: from 100 ms to 10 s; two zeros are no pause at all.
    pub fn backoff(mut self, first: Duration, max: Duration) -> Restart {
        self.first = first;
        self.max = max;
        self
    }

    /// When the limit is passed, only this worker ends, and its supervisor goes on. Default: the supervisor shuts down, with
    /// [`Cause::GaveUp`](crate::Cause::GaveUp).
    pub fn give_up_quietly(mut self) -> Restart {
        self.quiet = true;
        self
    }

    /// Whether the settings make sense together. Spawning checks this too, before anything is started.
    ///
    /// # Errors
    ///
    /// The first contradiction found.
    pub fn check(&self) -> Result<(), RestartError> {
        if self.limit == 0 {
            return Err(RestartError::LimitZero);
        }
        if self.within.is_zero() {
            return Err(RestartError::WindowZero);
        }
        if self.first > self.max {
            return Err(RestartError::FirstOverMax {
                first: self.first,
                max: self.max,
            });
        }
        Ok(())
    }
}

impl Default for Restart {
    /// [`Restart::on_failure`].
    fn default() -> Restart {
        Restart::on_failure()
    }
}

/// Settings of a [`Restart`] that contradict each other.
///
/// ```
/// use std::time::Duration;
/// use sundown::restart::{Restart, RestartError};
///
/// let policy = Restart::on_failure().limit(0, Duration::from_secs(60));
/// assert_eq!(policy.check(), Err(RestartError::LimitZero));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestartError {
    /// `limit(0, …)`.
    LimitZero,
    /// `limit(…, Duration::ZERO)`.
    WindowZero,
    /// `backoff(first, max)` with `first > max`.
    #[non_exhaustive]
    FirstOverMax {
        /// The first pause.
        first: Duration,
        /// The longest.
        max: Duration,
    },
}

impl fmt::Display for RestartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestartError::LimitZero => f.write_str(
                "a limit of 0 restarts contradicts a policy that restarts: use Restart::never(), or allow at least 1",
            ),
            RestartError::WindowZero => f.write_str(
                "a limit within no time is never reached: give `limit` the time within which restarts are counted",
            ),
            RestartError::FirstOverMax { first, max } => write!(
                f,
                "the first pause ({first:?}) is longer than the longest ({max:?}): swap the arguments of `backoff`"
            ),
        }
    }
}

impl Error for RestartError {}

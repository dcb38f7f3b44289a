//! Why a token was stopped, and what its holders may still do.

use std::fmt;

use crate::base::cause::Cause;
use crate::sync::Instant;

/// Why a token was stopped. The first reason stays.
///
/// ```
/// use sundown::{thread, StopReason};
///
/// let worker = thread::Builder::new().spawn_with(|stop| {
///     stop.wait();
///     stop.reason()
/// })?;
/// worker.terminate();
/// assert_eq!(worker.join().unwrap(), Some(StopReason::Terminated));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// A shutdown reached the worker, or was requested of the supervisor; with its cause.
    Shutdown(Cause),
    /// Somebody called `terminate()` on the worker's handle, or dropped its guard.
    Terminated,
    /// Its time was up: `Builder::time_limit`, `StopToken::child_with_timeout`.
    TimeLimit,
    /// The token that it is a child of was stopped, for this reason.
    Parent(Box<StopReason>),
    /// Its own [`StopSource`](crate::StopSource) was stopped.
    Source,
    /// A sibling failed, and with it this worker is started again: only its present run is to end. See
    /// [`Strategy`](crate::restart::Strategy).
    Restart,
}

impl StopReason {
    /// The reason for a child, which is one level deep however deep the child is.
    pub(super) fn for_child(&self) -> StopReason {
        match self {
            StopReason::Parent(_) => self.clone(),
            own => StopReason::Parent(Box::new(own.clone())),
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopReason::Shutdown(cause) => write!(f, "a shutdown after {cause}"),
            StopReason::Terminated => f.write_str("a call of terminate"),
            StopReason::TimeLimit => f.write_str("its time limit"),
            StopReason::Parent(reason) => write!(f, "its parent's stop, by {reason}"),
            StopReason::Source => f.write_str("its own source"),
            StopReason::Restart => f.write_str("the restart of a sibling"),
        }
    }
}

/// A stop as it was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    pub(crate) reason: StopReason,
    /// By when the holder must be done.
    pub(crate) deadline: Option<Instant>,
}

impl Stop {
    pub(crate) fn now(reason: StopReason) -> Stop {
        Stop {
            reason,
            deadline: None,
        }
    }
}

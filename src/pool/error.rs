//! Why a job was not taken: with the job, so that nothing is lost.

use std::error::Error;
use std::fmt;

/// The error of [`Pool::try_submit`](super::Pool::try_submit), with the job.
///
/// ```
/// use sundown::pool::{Pending, Pool, TrySubmitError};
///
/// let pool = Pool::builder().workers(1).build()?;
/// pool.shutdown(Pending::Cancel);
/// match pool.try_submit(|| 42) {
///     Err(TrySubmitError::Ended(job)) => assert_eq!(job(), 42), // the job is given back
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrySubmitError<F> {
    /// There is no room in the queue just now.
    Full(F),
    /// The pool has been told to stop, and takes no more jobs.
    Ended(F),
}

impl<F> TrySubmitError<F> {
    /// The job.
    pub fn into_job(self) -> F {
        match self {
            TrySubmitError::Full(job) | TrySubmitError::Ended(job) => job,
        }
    }

    pub(super) fn map<G>(self, change: impl FnOnce(F) -> G) -> TrySubmitError<G> {
        match self {
            TrySubmitError::Full(job) => TrySubmitError::Full(change(job)),
            TrySubmitError::Ended(job) => TrySubmitError::Ended(change(job)),
        }
    }
}

impl<F> fmt::Debug for TrySubmitError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySubmitError::Full(_) => "Full(..)",
            TrySubmitError::Ended(_) => "Ended(..)",
        })
    }
}

impl<F> fmt::Display for TrySubmitError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySubmitError::Full(_) => {
                "the pool's queue is full: try again later, or use `submit`, which waits for room"
            }
            TrySubmitError::Ended(_) => "the pool has been told to stop, and takes no more jobs",
        })
    }
}

impl<F> Error for TrySubmitError<F> {}

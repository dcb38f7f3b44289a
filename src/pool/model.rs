//! Jobs of no pool, for models: what runs, refuses and cancels them are the model's own threads.

use std::sync::Arc;

use super::job::{Job, Runnable, WithToken};
use crate::{StopSource, StopToken, Task};

/// The share that a queue has of a job.
#[derive(Clone)]
pub struct Share {
    job: Arc<dyn Runnable>,
    pool: StopToken,
}

impl Share {
    /// A job that is handed in: what a queue gets, and what the caller gets.
    pub fn of<T, F>(job: F) -> (Share, Task<T>)
    where
        T: Send + 'static,
        F: FnOnce(StopToken) -> T + Send + 'static,
    {
        let job = Arc::new(Job::new(WithToken(job), 0));
        let share = Share {
            job: Arc::<Job<T, WithToken<F>>>::clone(&job),
            pool: StopSource::new().token(),
        };
        (share, Task::new(job))
    }

    /// A worker takes it. True if it ran.
    pub fn run(&self) -> bool {
        self.job.run(&self.pool)
    }

    /// The pool has ended.
    pub fn refuse(&self) {
        self.job.refuse();
    }
}

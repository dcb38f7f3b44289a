//! Jobs of no pool, for models: what runs, refuses and cancels them are the model's own threads.

use std::sync::Arc;

use super::job::{Job, Queued, WithToken};
use crate::{StopSource, StopToken, Task};

/// The share that a queue has of a job. A clone stands for whoever else may come to run it.
#[derive(Clone)]
pub struct Share {
    queued: Arc<dyn Fn() -> Queued + Send + Sync>,
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
        let ours = Arc::clone(&job);
        let share = Share {
            queued: Arc::new(move || Queued::new(Arc::clone(&ours))),
            pool: StopSource::new().token(),
        };
        (share, Task::new(job))
    }

    /// A worker takes it.
    pub fn run(self) {
        (self.queued)().run(&self.pool);
    }

    /// The pool has ended.
    pub fn refuse(self) {
        (self.queued)().refuse();
    }
}

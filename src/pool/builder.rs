//! Settings for a new pool.

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::crew::{Crew, Plan};
use super::{Pending, Pool};
use crate::Supervisor;

/// How many jobs the queue holds if nobody says otherwise.
const DEFAULT_QUEUE: usize = 1024;

/// Settings for a new [`Pool`].
///
/// ```
/// use std::time::Duration;
/// use sundown::pool::{Pending, Pool};
///
/// let pool = Pool::builder()
///     .name("resize")
///     .workers(4)
///     .queue(100)
///     .pending(Pending::Drain)
///     .grace(Duration::from_secs(2))
///     .build()?;
/// # drop(pool);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a builder starts no thread until `build` is called"]
pub struct Builder {
    supervisor: Option<Supervisor>,
    name: String,
    workers: Option<usize>,
    /// `None`: without bound.
    queue: Option<usize>,
    pending: Pending,
    grace: Option<Duration>,
    stack_size: Option<usize>,
}

impl Builder {
    pub(super) fn new() -> Builder {
        Builder {
            supervisor: None,
            name: "pool".to_owned(),
            workers: None,
            queue: Some(DEFAULT_QUEUE),
            pending: Pending::default(),
            grace: None,
            stack_size: None,
        }
    }

    /// The supervisor that the pool is an entry of. Default: that of the calling worker, else the global one.
    pub fn supervisor(mut self, supervisor: &Supervisor) -> Builder {
        self.supervisor = Some(supervisor.clone());
        self
    }

    /// Its name, in reports and (with a number) of its threads; it must not contain NUL. Default: `pool`.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = name.into();
        self
    }

    /// How many jobs run at a time; at least 1. Default: what the machine can run at a time
    /// ([`available_parallelism`](std::thread::available_parallelism)).
    pub fn workers(mut self, count: usize) -> Builder {
        self.workers = Some(count);
        self
    }

    /// How many jobs may wait to begin before [`Pool::submit`] blocks. Default: 1024. With 0 a job is handed straight to a worker that
    /// is free: `submit` blocks until there is one, and `try_submit` says full when there is none.
    pub fn queue(mut self, capacity: usize) -> Builder {
        self.queue = Some(capacity);
        self
    }

    /// Lets any number of jobs wait, so that [`Pool::submit`] never blocks: memory is the bound then.
    pub fn unbounded(mut self) -> Builder {
        self.queue = None;
        self
    }

    /// What becomes of pending jobs when a shutdown reaches the pool, or when it is dropped. Default: [`Pending::Cancel`].
    pub fn pending(mut self, pending: Pending) -> Builder {
        self.pending = pending;
        self
    }

    /// How long a worker gets to end its job (and, if that was asked for, to drain the queue) once it has been told. Default: the
    /// supervisor's, which is until the deadline.
    pub fn grace(mut self, grace: Duration) -> Builder {
        self.grace = Some(grace);
        self
    }

    /// The size of each worker's stack in bytes. Default: std's.
    pub fn stack_size(mut self, size: usize) -> Builder {
        self.stack_size = Some(size);
        self
    }

    /// Starts the workers.
    ///
    /// # Errors
    ///
    /// If `workers` is 0, since such a pool would never carry out anything; if the name contains NUL; if the system cannot
    /// create the threads (none is left behind then); and once the supervisor's shutdown is over.
    #[track_caller]
    pub fn build(self) -> io::Result<Pool> {
        let size = match self.workers {
            Some(0) => {
                return invalid(
                    "a pool of 0 workers would never run a job: ask for 1 or more, or leave `workers` out",
                )
            }
            Some(count) => count,
            None => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        };
        if self.name.contains('\0') {
            return invalid(
                "the name of a pool must not contain NUL: its threads are named after it",
            );
        }
        let parent = self.supervisor.unwrap_or_else(Supervisor::current);
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let crew = Crew::new(Plan {
            // Relaxed: all that matters is that each is another.
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            supervisor: parent.child(&*self.name),
            name: self.name,
            stack_size: self.stack_size,
            grace: self.grace,
            pending: self.pending,
            size,
            queue: match self.queue {
                Some(capacity) => crossbeam_channel::bounded(capacity),
                None => crossbeam_channel::unbounded(),
            },
        });
        // Dropped when a worker cannot be started, it takes those that were along.
        let pool = Pool { crew };
        pool.crew.start()?;
        Ok(pool)
    }
}

fn invalid<T>(text: &str) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

//! The results of many jobs, in order or as they come. Jobs are handed in as results are taken, a window ahead, so an iterator
//! without an end is as good as any.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{catch_unwind, AssertUnwindSafe};

use crossbeam_channel::{unbounded, Receiver, Sender};

use super::{waiting, Pool};
use crate::task::{Cancelled, Task, TaskError};

impl Pool {
    /// Carries out an iterator of jobs; gives their results in the order of the jobs.
    ///
    /// A few jobs per worker are handed in at once and the others as results are taken. Dropping the iterator cancels what
    /// has not begun.
    ///
    /// ```
    /// use sundown::Pool;
    ///
    /// let pool = Pool::builder().build()?;
    /// let squares = pool.map((1..=4).map(|n| move || n * n));
    /// assert_eq!(squares.collect::<Result<Vec<u32>, _>>()?, [1, 4, 9, 16]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn map<I, F, T>(&self, jobs: I) -> Map<'_, I::IntoIter, T>
    where
        I: IntoIterator<Item = F>,
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let mut map = Map {
            pool: self,
            jobs: jobs.into_iter(),
            tasks: VecDeque::new(),
        };
        map.fill();
        map
    }

    /// As [`map`](Pool::map), with the results in the order in which they come.
    ///
    /// ```
    /// use sundown::Pool;
    ///
    /// let pool = Pool::builder().build()?;
    /// let mut squares = Vec::new();
    /// for square in pool.as_completed((1..=4).map(|n| move || n * n)) {
    ///     squares.push(square?);
    /// }
    /// squares.sort();
    /// assert_eq!(squares, [1, 4, 9, 16]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn as_completed<I, F, T>(&self, jobs: I) -> AsCompleted<'_, I::IntoIter, T>
    where
        I: IntoIterator<Item = F>,
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (sink, results) = unbounded();
        let mut completed = AsCompleted {
            pool: self,
            jobs: jobs.into_iter(),
            tasks: VecDeque::new(),
            owed: 0,
            sink,
            results,
        };
        completed.fill();
        completed
    }

    /// How many jobs are handed in ahead of the results: enough that no worker runs dry while one result is looked at, and no more
    /// than there is room for.
    fn window(&self) -> usize {
        let workers = self.workers();
        let ahead = workers.saturating_mul(3);
        let room = self.crew.queue.capacity().unwrap_or(ahead);
        workers.saturating_add(ahead.min(room))
    }
}

/// Results in the order of the jobs: see [`Pool::map`].
///
/// ```
/// use sundown::Pool;
///
/// let pool = Pool::builder().workers(2).build()?;
/// let squares: Result<Vec<u32>, _> = pool.map((1..=4).map(|n| move || n * n)).collect();
/// assert_eq!(squares?, [1, 4, 9, 16]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "jobs are handed in as results are taken"]
pub struct Map<'a, I, T> {
    pool: &'a Pool,
    jobs: I,
    /// Handed in, oldest first.
    tasks: VecDeque<Task<T>>,
}

impl<I, F, T> Map<'_, I, T>
where
    I: Iterator<Item = F>,
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    fn fill(&mut self) {
        while self.tasks.len() < self.pool.window() {
            let Some(job) = self.jobs.next() else { return };
            self.tasks.push_back(self.pool.submit(job));
        }
    }
}

impl<I, F, T> Iterator for Map<'_, I, T>
where
    I: Iterator<Item = F>,
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    type Item = Result<T, TaskError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.fill();
        let task = self.tasks.pop_front()?;
        Some(task.wait())
    }
}

impl<I, T> Drop for Map<'_, I, T> {
    fn drop(&mut self) {
        cancel(&self.tasks);
    }
}

/// Results as they come: see [`Pool::as_completed`].
///
/// ```
/// use sundown::Pool;
///
/// let pool = Pool::builder().workers(2).build()?;
/// let lengths: Result<Vec<usize>, _> = pool.as_completed(["a", "bc"].map(|word| move || word.len())).collect();
/// assert_eq!(lengths?.iter().sum::<usize>(), 3); // in whatever order
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "jobs are handed in as results are taken"]
pub struct AsCompleted<'a, I, T> {
    pool: &'a Pool,
    jobs: I,
    /// Handed in, oldest first; those in front that are over are dropped as results are taken.
    tasks: VecDeque<Task<()>>,
    /// How many results are to come.
    owed: usize,
    sink: Sender<Result<T, TaskError>>,
    results: Receiver<Result<T, TaskError>>,
}

impl<I, F, T> AsCompleted<'_, I, T>
where
    I: Iterator<Item = F>,
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    fn fill(&mut self) {
        while self.owed < self.pool.window() {
            let Some(job) = self.jobs.next() else { return };
            let delivery = Delivery(Some(self.sink.clone()));
            self.owed += 1;
            self.tasks.push_back(self.pool.submit(move || {
                let result = catch_unwind(AssertUnwindSafe(job));
                delivery.make(result.map_err(TaskError::Panicked));
            }));
        }
    }
}

impl<I, F, T> Iterator for AsCompleted<'_, I, T>
where
    I: Iterator<Item = F>,
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    type Item = Result<T, TaskError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.fill();
        if self.owed == 0 {
            return None;
        }
        // We hold a sender, so it is never disconnected; each job that is owed delivers, run or not.
        let result = match self.results.try_recv() {
            Ok(result) => result,
            Err(_) => waiting::block(|| self.results.recv()).ok()?,
        };
        self.owed -= 1;
        while self.tasks.front().is_some_and(Task::is_finished) {
            drop(self.tasks.pop_front());
        }
        Some(result)
    }
}

impl<I, T> Drop for AsCompleted<'_, I, T> {
    fn drop(&mut self) {
        cancel(&self.tasks);
    }
}

/// The newest first, so that none of them begins because an older one was kept from it.
fn cancel<T>(tasks: &VecDeque<Task<T>>) {
    for task in tasks.iter().rev() {
        task.cancel();
    }
}

/// Delivers one result: that of the job, or, when the job is dropped without having run, that it was cancelled.
struct Delivery<T>(Option<Sender<Result<T, TaskError>>>);

impl<T> Delivery<T> {
    fn make(mut self, result: Result<T, TaskError>) {
        if let Some(sink) = self.0.take() {
            // Nobody is there to take it if the iterator has been dropped.
            let _ = sink.send(result);
        }
    }
}

impl<T> Drop for Delivery<T> {
    fn drop(&mut self) {
        if let Some(sink) = self.0.take() {
            let _ = sink.send(Err(TaskError::Cancelled(Cancelled::Ended))); // as above
        }
    }
}

impl<I, T> fmt::Debug for Map<'_, I, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("handed_in", &self.tasks.len())
            .finish_non_exhaustive()
    }
}

impl<I, T> fmt::Debug for AsCompleted<'_, I, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted")
            .field("owed", &self.owed)
            .finish_non_exhaustive()
    }
}

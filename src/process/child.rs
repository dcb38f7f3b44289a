//! The handle on a child process.

use std::fmt;
use std::io;
use std::process::{ChildStderr, ChildStdin, ChildStdout, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::builder::Run;
use super::unit::{Pipes, Unit};
use crate::thread::JoinHandle;
use crate::WorkerId;

/// The handle on a supervised child process. All methods take `&self`: one thread may wait while another tells it to end.
///
/// Dropping it detaches the child, which the supervisor still knows.
///
/// ```
/// use std::process::Command;
/// use std::time::Duration;
/// use sundown::process;
///
/// let mut sleep = Command::new("sleep");
/// sleep.arg("100");
/// let child = process::Builder::new("sleep", sleep).spawn()?;
/// assert!(child.wait_timeout(Duration::ZERO)?.is_none());
/// child.terminate();
/// assert!(!child.wait()?.success());
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Child {
    unit: Arc<Unit>,
    worker: JoinHandle<Run>,
    /// The present run, and our ends of its pipes until they are taken. There from the start.
    pipes: Arc<Mutex<Option<Pipes>>>,
}

impl Child {
    pub(super) fn new(
        unit: Arc<Unit>,
        worker: JoinHandle<Run>,
        pipes: Arc<Mutex<Option<Pipes>>>,
    ) -> Child {
        Child {
            unit,
            worker,
            pipes,
        }
    }

    /// Its process id; also that of its group, if it leads one. Once it has ended the number may be another process's.
    pub fn id(&self) -> u32 {
        self.pipes.lock().as_ref().map_or(0, |pipes| pipes.id)
    }

    /// The number of its worker: the same as in reports and in `workers()`.
    pub fn worker_id(&self) -> WorkerId {
        self.worker.id()
    }

    /// The writing end of its standard input, if that is piped and has not been taken.
    pub fn take_stdin(&self) -> Option<ChildStdin> {
        self.pipes.lock().as_mut()?.stdin.take()
    }

    /// The reading end of its standard output, if that is piped and has not been taken. Read it while the child runs: one that
    /// fills a pipe which nobody reads blocks (and can still be terminated).
    pub fn take_stdout(&self) -> Option<ChildStdout> {
        self.pipes.lock().as_mut()?.stdout.take()
    }

    /// The reading end of its standard error, as for [`take_stdout`](Child::take_stdout).
    pub fn take_stderr(&self) -> Option<ChildStderr> {
        self.pipes.lock().as_mut()?.stderr.take()
    }

    /// Blocks until the child has ended and been reaped; gives the same status each time. Its standard input is closed first, unless it
    /// has been taken: as std does, so that a child which reads to the end of it ends.
    ///
    /// # Errors
    ///
    /// If the system cannot say how it ended, because something else in this process has reaped it.
    pub fn wait(&self) -> io::Result<ExitStatus> {
        drop(self.take_stdin());
        loop {
            if let Some(status) = self.unit.wait_until(None)? {
                return Ok(status);
            }
        }
    }

    /// Waits for its end, at most for `timeout`. `None` if it goes on. Closes nothing.
    ///
    /// # Errors
    ///
    /// As [`wait`](Child::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> io::Result<Option<ExitStatus>> {
        let limit = Instant::now().checked_add(timeout);
        self.unit.wait_until(limit)
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    ///
    /// As [`wait`](Child::wait).
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        self.unit.wait_until(Some(Instant::now()))
    }

    /// Asks it to end, as a shutdown does: SIGTERM to its group, SIGKILL when its grace is over. Returns at once; of a child that has
    /// ended nothing is asked.
    pub fn terminate(&self) {
        self.worker.terminate();
    }

    /// Kills it and its group, with no grace (SIGKILL). A child that has been reaped is not signalled.
    ///
    /// # Errors
    ///
    /// If the system does not let us: the child has changed its user.
    pub fn kill(&self) -> io::Result<()> {
        self.unit.kill()
    }

    /// Whether it had to be killed: it was told to end, and its grace was over before it, and all that it had started, had ended.
    pub fn was_forced(&self) -> bool {
        self.unit.was_forced()
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

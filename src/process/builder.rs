//! Settings for a child process, and the worker that starts it and waits for it.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{bounded, Sender};
use parking_lot::Mutex;

use super::child::Child;
use super::unit::{Pipes, Unit};
use crate::restart::{MayFail, Restart};
use crate::{StopToken, Supervisor};

/// How much longer than its child a worker gets: to kill it, to reap it and to say so.
const WORKER_EXTRA: Duration = Duration::from_secs(1);

/// Settings for a child process.
///
/// ```
/// use std::process::{Command, Stdio};
/// use std::time::Duration;
/// use sundown::process;
///
/// let mut command = Command::new("true");
/// command.stdin(Stdio::null());
/// let child = process::Builder::new("true", command).grace(Duration::from_secs(2)).spawn()?;
/// assert!(child.wait()?.success());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a builder starts nothing until `spawn` is called"]
pub struct Builder {
    supervisor: Option<Supervisor>,
    name: String,
    command: Command,
    grace: Option<Duration>,
    group: bool,
    restart: Option<Restart>,
    #[cfg(target_os = "linux")]
    die_with_parent: bool,
}

impl Builder {
    /// Settings for a child that `command` starts. The name is for reports, and of the thread that waits for it.
    pub fn new(name: impl Into<String>, command: Command) -> Builder {
        Builder {
            supervisor: None,
            name: name.into(),
            command,
            grace: None,
            group: true,
            restart: None,
            #[cfg(target_os = "linux")]
            die_with_parent: false,
        }
    }

    /// The supervisor that it is a worker of. Default: that of the calling worker, else the global one.
    pub fn supervisor(mut self, supervisor: &Supervisor) -> Builder {
        self.supervisor = Some(supervisor.clone());
        self
    }

    /// How long it gets from SIGTERM to SIGKILL. Default: 5 s. In a shutdown never longer than until shortly before the deadline (or
    /// the end of the supervisor's grace, if there is one and this is not set).
    pub fn grace(mut self, grace: Duration) -> Builder {
        self.grace = Some(grace);
        self
    }

    /// Whether it leads a process group of its own, which is signalled as a whole. Default: true. In our group Ctrl-C in a terminal
    /// reaches it at once, before its turn, and only the child itself is ever signalled by us.
    pub fn group(mut self, own: bool) -> Builder {
        self.group = own;
        self
    }

    /// When it is started again: a failure is any end but exit code 0. Default: never.
    ///
    /// It stays one worker, with one number and one place in the order; [`Child::id`] and the pipes are those of the present run,
    /// [`Child::wait`] waits for the last. One that was told to end is not started again; one that was [killed](Child::kill) is, if
    /// its policy says so. If it cannot be started the first time, [`spawn`](Builder::spawn) says so and it is not tried again.
    pub fn restart(mut self, policy: Restart) -> Builder {
        self.restart = Some(policy);
        self
    }

    /// Has the kernel kill it when this process is gone, however that comes about (`PR_SET_PDEATHSIG`). Only the child itself: what
    /// it has started goes on.
    ///
    /// The kernel binds this to the *thread* that starts the child, not to the process, so that a child dies early when it was
    /// started on a thread that ends. Here that thread is the child's own worker, which stays until the child has been reaped. The
    /// kernel takes the wish back when the child runs a set-user-id program.
    #[cfg(target_os = "linux")]
    pub fn die_with_parent(mut self) -> Builder {
        self.die_with_parent = true;
        self
    }

    /// Starts the child, and the worker that waits for it.
    ///
    /// # Errors
    ///
    /// As [`Command::spawn`], for instance if there is no such program; if the name contains NUL, or the settings for restarts contradict each
    /// other (kind `InvalidInput`); if the system cannot create the
    /// worker's thread; and once the supervisor's shutdown is over. Nothing is left behind then.
    #[track_caller]
    pub fn spawn(self) -> io::Result<Child> {
        if self.name.contains('\0') {
            let text =
                "the name of a child must not contain NUL: its worker's thread is named after it";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let mut command = self.command;
        if self.group {
            command.process_group(0);
        }
        #[cfg(target_os = "linux")]
        if self.die_with_parent {
            crate::sys::die_with_this_thread(&mut command);
        }
        let supervisor = self.supervisor.unwrap_or_else(Supervisor::current);
        let unit = Arc::new(Unit::new(self.name.clone(), self.group, self.grace));
        let mut worker = supervisor.worker().name(self.name);
        if let Some(grace) = self.grace {
            worker = worker.grace(grace.saturating_add(WORKER_EXTRA));
        }
        let told = Arc::clone(&unit);
        let (start, started) = bounded(1);
        let pipes = Arc::new(Mutex::new(None));
        let mut runs = Runs {
            unit: Arc::clone(&unit),
            command: Some(command),
            pipes: Arc::clone(&pipes),
            asker: Some(start),
            again: self.restart.is_some(),
            last: None,
        };
        let worker = worker
            .on_terminate(move || told.terminate())
            .restart(self.restart.unwrap_or_else(Restart::never))
            .spawn_loop(move |stop| runs.run(stop))?;
        let gone = || io::Error::new(io::ErrorKind::Other, "the worker of the child has panicked");
        match started.recv().map_err(|_| gone()).and_then(|began| began) {
            Ok(()) => Ok(Child::new(unit, worker, pipes)),
            Err(error) => {
                worker.terminate(); // so that it is not started again
                                    // It has nothing left to do. Its own panic was printed when it happened.
                drop(worker.join());
                Err(error)
            }
        }
    }
}

/// The child's runs, one after the other, on its worker's thread: the kernel binds `die_with_parent` to it.
struct Runs {
    unit: Arc<Unit>,
    /// `None` once it is needed no more: with it go our ends of the pipes that the child was given.
    command: Option<Command>,
    /// Our ends of the pipes of the present run.
    pipes: Arc<Mutex<Option<Pipes>>>,
    /// Who waits to hear that the first run has begun.
    asker: Option<Sender<io::Result<()>>>,
    /// It may be started again.
    again: bool,
    /// How the last run ended.
    last: Option<io::Result<ExitStatus>>,
}

impl Runs {
    fn run(&mut self, stop: &StopToken) -> Run {
        let Some(command) = &mut self.command else {
            return Run(None); // it could not be started the first time
        };
        let pipes = self.unit.start(command, stop.clone());
        if !self.again || (pipes.is_err() && self.asker.is_some()) {
            self.command = None;
        }
        let id = match pipes {
            Ok(pipes) => {
                let id = pipes.id;
                let before = self.pipes.lock().replace(pipes);
                drop(before); // with the lock free
                self.answer(Ok(()));
                id
            }
            Err(error) => {
                let text = format!("cannot be started: {error}");
                if self.asker.is_some() {
                    self.answer(Err(error));
                    return Run(None);
                }
                self.last = Some(Err(error));
                return Run(Some(text));
            }
        };
        let ended = self.unit.wait_and_reap(id);
        let failure = match &ended {
            _ if !self.again => None,
            Ok(status) if status.success() => None,
            Ok(status) => Some(status.to_string()),
            Err(error) => Some(format!("how it ended is not known: {error}")),
        };
        self.last = Some(ended);
        Run(failure)
    }

    fn answer(&mut self, began: io::Result<()>) {
        if let Some(asker) = self.asker.take() {
            let _ = asker.send(began); // whoever asked waits for it
        }
    }
}

impl Drop for Runs {
    /// The worker calls this no more: the last run was the last.
    fn drop(&mut self) {
        let never = || Err(io::ErrorKind::NotFound.into());
        self.unit.end(self.last.take().unwrap_or_else(never));
    }
}

/// How one run went: why it failed, if it did and may be started again for that.
#[derive(Debug)]
pub(super) struct Run(Option<String>);

impl MayFail for Run {
    fn failure(&self) -> Option<String> {
        self.0.clone()
    }
}

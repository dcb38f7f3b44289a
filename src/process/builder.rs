//! Settings for a child process, and the worker that starts it and waits for it.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::bounded;

use super::child::Child;
use super::unit::Unit;
use crate::Supervisor;

/// How much longer than its child a worker gets: to kill it, to reap it and to say so.
const WORKER_EXTRA: Duration = Duration::from_secs(1);

/// Settings for a child process.
#[derive(Debug)]
#[must_use = "a builder starts nothing until `spawn` is called"]
pub struct Builder {
    supervisor: Option<Supervisor>,
    name: String,
    command: Command,
    grace: Option<Duration>,
    group: bool,
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
    /// As [`Command::spawn`], for instance if there is no such program; if the name contains NUL; if the system cannot create the
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
        let (told, ours) = (Arc::clone(&unit), Arc::clone(&unit));
        let (start, started) = bounded(1);
        let worker = worker
            .on_terminate(move || told.terminate())
            .spawn_with(move |stop| {
                // The worker starts its child itself: the kernel binds `die_with_parent` to this thread.
                let began = unit.start(&mut command, stop);
                let runs = began.is_ok();
                drop(command); // and with it our ends of the pipes that it was given
                let _ = start.send(began); // whoever asked waits for it
                if runs {
                    unit.wait_and_reap();
                }
            })?;
        let gone = || io::Error::new(io::ErrorKind::Other, "the worker of the child has panicked");
        match started.recv().map_err(|_| gone()).and_then(|began| began) {
            Ok(pipes) => Ok(Child::new(ours, worker, pipes)),
            Err(error) => {
                // It has nothing left to do. Its own panic was printed when it happened.
                drop(worker.join());
                Err(error)
            }
        }
    }
}

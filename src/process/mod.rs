//! Child processes as workers: for work that must be stoppable by force.
//!
//! A thread can only be asked to stop. A process can be ended: a child that is told gets SIGTERM, and when its grace is over
//! SIGKILL, with its whole process group. Each child has a worker that waits for it, so it is told and waited for in its turn like
//! any other, and the report says how it ended.
//!
//! ```
//! use std::process::Command;
//! use std::time::Duration;
//! use sundown::{process, Supervisor};
//!
//! let supervisor = Supervisor::new();
//! let mut command = Command::new("sleep");
//! command.arg("1000");
//! let child = process::Builder::new("sleeper", command)
//!     .supervisor(&supervisor)
//!     .grace(Duration::from_secs(2))
//!     .spawn()?;
//! let report = supervisor.shutdown();
//! assert_eq!(report.entries()[0].note(), Some("signal: 15 (SIGTERM)"));
//! assert!(!child.wait()?.success());
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What holds
//!
//! - The child leads a process group of its own, so that Ctrl-C in a terminal reaches us and we stop it in its turn.
//! - Every signal is sent before the child has been reaped: none ever meets a stranger that got its number.
//! - When the child has ended, so has what it left behind in its group, before [`Child::wait`] returns. If the child ended by
//!   itself that is killed at once, as in a container; if it was told, the rest has its grace too (on Linux; elsewhere nothing
//!   says who is left in a group, and the rest is killed as soon as the child has ended).
//! - SIGKILL comes before the deadline of a shutdown, so that there is time to reap.
//!
//! # What does not
//!
//! - What a child starts in a session or group of its own (`setsid`, as daemons do) is out of reach.
//! - On the ways out that let no code run (SIGKILL, `abort`, a second Ctrl-C) nobody tells the children. On Linux
//!   [`Builder::die_with_parent`] has the kernel do it.
//! - A child in a group of its own is a background job of the terminal: one that reads the terminal is stopped by the system
//!   (SIGTTIN). Give it `Stdio::null()` or a pipe.
//! - A program that ignores SIGCHLD has the system reap all its children, and cannot wait for any: [`Child::wait`] is an error then.

mod builder;
mod child;
mod group;
mod unit;

pub use builder::Builder;
pub use child::Child;

use std::io;
use std::process::Command;

use crate::Supervisor;

impl Supervisor {
    /// Starts a child process as a worker of this supervisor. See [`process::Builder`](Builder) for settings.
    ///
    /// ```
    /// use std::io::Read;
    /// use std::process::{Command, Stdio};
    /// use sundown::Supervisor;
    ///
    /// let mut command = Command::new("echo");
    /// command.arg("hello").stdout(Stdio::piped());
    /// let child = Supervisor::new().spawn_process("greeter", command)?;
    /// let mut said = String::new();
    /// child.take_stdout().unwrap().read_to_string(&mut said)?;
    /// assert_eq!(said, "hello\n");
    /// assert!(child.wait()?.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Builder::spawn`].
    #[track_caller]
    pub fn spawn_process(&self, name: impl Into<String>, command: Command) -> io::Result<Child> {
        Builder::new(name, command).supervisor(self).spawn()
    }
}

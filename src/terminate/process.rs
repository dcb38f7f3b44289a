//! Child processes: a worker that waits for one, or that reads from one.

use std::io;
#[cfg(unix)]
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::process::Child;
#[cfg(unix)]
use std::process::ExitStatus;
#[cfg(unix)]
use std::sync::Arc;

#[cfg(unix)]
use parking_lot::Mutex;

use super::Terminate;
use crate::base::apart::apart;

/// Asks the child to end (SIGTERM on Unix, a kill elsewhere) and reaps it when it has: for a worker that reads the child's output,
/// which ends with it. A child that has ended already is no error.
///
/// ```
/// # #[cfg(unix)] {
/// use std::io::Read;
/// use std::process::{Command, Stdio};
/// use sundown::thread;
///
/// let mut child = Command::new("sleep").arg("1000").stdout(Stdio::piped()).spawn()?;
/// let mut output = child.stdout.take().unwrap();
/// let worker = thread::Builder::new()
///     .on_terminate(child)
///     .spawn(move || output.read(&mut [0; 64]))?;
/// worker.terminate();
/// assert_eq!(worker.join().unwrap()?, 0);
/// # }
/// # Ok::<(), std::io::Error>(())
/// ```
impl Terminate for Child {
    fn terminate(mut self) {
        match self.try_wait() {
            Ok(Some(_)) => return,
            Ok(None) => {}
            Err(error) => return report(error),
        }
        // Not reaped, and nobody else can, so the number is still the child's.
        #[cfg(unix)]
        let asked = crate::sys::send_sigterm(self.id());
        #[cfg(not(unix))]
        let asked = self.kill();
        if let Err(error) = asked {
            report(error);
        }
        apart(move || {
            if let Err(error) = self.wait() {
                report(error);
            }
        });
    }
}

/// Splits a child into what a worker waits with and what ends it: [`ChildWaiter::wait`] blocks, and [`ChildSignal`] sends SIGTERM
/// meanwhile. The child is never signalled after it has been reaped.
///
/// ```
/// use std::process::Command;
/// use sundown::{terminate, thread};
///
/// let (mut waiter, signal) = terminate::child(Command::new("sleep").arg("1000").spawn()?);
/// let worker = thread::Builder::new().on_terminate(signal).spawn(move || waiter.wait())?;
/// worker.terminate();
/// assert!(!worker.join().unwrap()?.success());
/// # Ok::<(), std::io::Error>(())
/// ```
#[cfg(unix)]
pub fn child(child: Child) -> (ChildWaiter, ChildSignal) {
    let id = child.id();
    let child = Arc::new(Mutex::new(Shared {
        child,
        reaped: false,
    }));
    let signal = ChildSignal {
        child: Arc::clone(&child),
    };
    (ChildWaiter { id, child }, signal)
}

/// What the two halves share.
#[cfg(unix)]
#[derive(Debug)]
struct Shared {
    child: Child,
    /// Its number may be another process's by now. Only the waiter reaps.
    reaped: bool,
}

/// The waiting half of a [`child`].
///
/// ```
/// use std::process::Command;
/// use sundown::{terminate, thread};
///
/// let (mut waiter, signal): (terminate::ChildWaiter, _) = terminate::child(Command::new("sleep").arg("100").spawn()?);
/// let worker = thread::Builder::new().on_terminate(signal).spawn(move || waiter.wait())?;
/// worker.terminate();
/// assert!(!worker.join().unwrap()?.success());
/// # Ok::<(), std::io::Error>(())
/// ```
#[cfg(unix)]
#[derive(Debug)]
pub struct ChildWaiter {
    id: u32,
    /// Held to reap and to signal, never while waiting.
    child: Arc<Mutex<Shared>>,
}

/// The terminate callback of a [`child`].
///
/// ```
/// use std::process::Command;
/// use sundown::{terminate, thread};
///
/// let (mut waiter, signal): (_, terminate::ChildSignal) = terminate::child(Command::new("sleep").arg("100").spawn()?);
/// let worker = thread::Builder::new().on_terminate(signal).spawn(move || waiter.wait())?;
/// worker.terminate();
/// assert!(!worker.join().unwrap()?.success());
/// # Ok::<(), std::io::Error>(())
/// ```
#[cfg(unix)]
#[derive(Debug)]
pub struct ChildSignal {
    child: Arc<Mutex<Shared>>,
}

// No code of a user's runs with the lock held, so a panic leaves nothing half done; the compiler cannot see that.
#[cfg(unix)]
impl UnwindSafe for ChildWaiter {}
#[cfg(unix)]
impl RefUnwindSafe for ChildWaiter {}
#[cfg(unix)]
impl UnwindSafe for ChildSignal {}
#[cfg(unix)]
impl RefUnwindSafe for ChildSignal {}

#[cfg(unix)]
impl ChildWaiter {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Blocks until the child has ended, and reaps it. Afterwards it gives the same status again.
    ///
    /// # Errors
    ///
    /// As [`Child::wait`]: if SIGCHLD is ignored, the system reaps the child when it ends, and its status is lost.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        if !self.child.lock().reaped {
            // Waits without reaping, so that the number stays the child's until we reap it under the lock.
            if let Err(error) = crate::sys::wait_for_exit(self.id) {
                // It is no child of ours any more (SIGCHLD is ignored, or somebody else has reaped it): its number is another's.
                self.child.lock().reaped = true;
                return Err(error);
            }
        }
        let mut shared = self.child.lock();
        let status = shared.child.wait()?;
        shared.reaped = true;
        Ok(status)
    }
}

#[cfg(unix)]
impl Terminate for ChildSignal {
    fn terminate(self) {
        let shared = self.child.lock();
        if !shared.reaped {
            if let Err(error) = crate::sys::send_sigterm(shared.child.id()) {
                report(error);
            }
        }
    }
}

fn report(error: io::Error) {
    crate::base::logging::log(
        log::Level::Warn,
        format_args!("a child process could not be told to stop: {error}"),
    );
}

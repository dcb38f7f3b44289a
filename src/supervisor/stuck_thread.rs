//! What a look at the thread of a straggler has found.

use std::borrow::Cow;

/// What the kernel says of a thread.
///
/// ```
/// use std::time::Duration;
/// use sundown::{diagnose::ThreadState, Supervisor};
///
/// let supervisor = Supervisor::builder().deadline(Duration::from_millis(20)).build();
/// let (release, never) = std::sync::mpsc::channel::<()>();
/// supervisor.worker().name("deaf".into()).spawn(move || never.recv())?;
///
/// let report = supervisor.shutdown();
/// let straggler = report.entries()[0].straggler().unwrap();
/// let state = straggler.thread().and_then(|thread| thread.state()); // `None` where the kernel does not tell
/// assert!(matches!(state, Some(ThreadState::Sleeping) | None));
/// # drop(release);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ThreadState {
    /// On a processor, or ready for one.
    Running,
    /// Waiting, in a way that a signal would interrupt.
    Sleeping,
    /// Waiting in the kernel, mostly for a disk, in a way that nothing interrupts.
    DiskSleep,
    /// Stopped by a debugger or another tracer.
    Stopped,
    /// It has ended, or is about to.
    Ended,
}

/// One thread, seen where it hangs.
///
/// ```
/// use std::time::Duration;
/// use sundown::Supervisor;
///
/// let supervisor = Supervisor::builder().deadline(Duration::from_millis(20)).build();
/// let (release, never) = std::sync::mpsc::channel::<()>();
/// supervisor.worker().name("deaf".into()).spawn(move || never.recv())?;
///
/// let report = supervisor.shutdown();
/// let straggler = report.entries()[0].straggler().unwrap();
/// if let Some(thread) = straggler.thread() {
///     println!("thread {} is in {:?} on {:?}", thread.os_id(), thread.syscall(), thread.object());
/// }
/// # drop(release);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct StuckThread {
    pub(crate) os_id: u32,
    pub(crate) state: Option<ThreadState>,
    pub(crate) syscall: Option<Cow<'static, str>>,
    pub(crate) object: Option<String>,
    pub(crate) held_by: Option<String>,
    pub(crate) unknown: Option<String>,
    pub(crate) stack: Vec<String>,
}

impl StuckThread {
    /// The kernel's number of it, as `top -H`, `gdb` and `/proc` show it.
    pub fn os_id(&self) -> u32 {
        self.os_id
    }

    /// What the kernel says of it; `None` where the kernel does not tell.
    pub fn state(&self) -> Option<ThreadState> {
        self.state
    }

    /// The system call that it is in, by name. `None` if it is in none, or where the kernel does not tell.
    pub fn syscall(&self) -> Option<&str> {
        self.syscall.as_deref()
    }

    /// What that call works on: `tcp 127.0.0.1:8080 listening`, `pipe`, `/var/log/x`, `thread 4711 (writer)`.
    pub fn object(&self) -> Option<&str> {
        self.object.as_deref()
    }

    /// Who holds it, if it is stopped: `process 4711 (gdb)`.
    pub fn held_by(&self) -> Option<&str> {
        self.held_by.as_deref()
    }

    /// Why nothing, or not all, could be learned of it.
    pub fn unknown(&self) -> Option<&str> {
        self.unknown.as_deref()
    }

    /// Its frames, innermost first, as text. Empty without the feature `stacks`, and where they could not be had in time.
    pub fn stack(&self) -> &[String] {
        &self.stack
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stuck_thread_tells_what_was_found() {
        let thread = StuckThread {
            os_id: 7,
            state: Some(ThreadState::Sleeping),
            syscall: Some("futex".into()),
            object: Some("a lock".into()),
            held_by: Some("process 8 (gdb)".into()),
            unknown: Some("no time".into()),
            stack: vec!["main".into()],
        };
        assert_eq!(thread.os_id(), 7);
        assert_eq!(thread.state(), Some(ThreadState::Sleeping));
        assert_eq!(thread.syscall(), Some("futex"));
        assert_eq!(thread.object(), Some("a lock"));
        assert_eq!(thread.held_by(), Some("process 8 (gdb)"));
        assert_eq!(thread.unknown(), Some("no time"));
        assert_eq!(thread.stack(), ["main"]);
    }
}

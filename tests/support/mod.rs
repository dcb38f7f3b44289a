//! What the test files of the core share: a journal of what happened in which order, gates that hold a worker until the
//! test lets it go, and child processes with a hard limit.

// Each test file uses a part of this, and none exports it.
#![allow(dead_code, unreachable_pub)]

#[cfg(target_os = "linux")]
pub mod held;
#[cfg(unix)]
pub mod process;
#[cfg(unix)]
pub mod terminal;

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::{bounded, Receiver, Sender};

/// Long enough for any step on a machine that is very busy; reaching it is a failure.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What happened, in the order in which it did.
#[derive(Clone, Default)]
pub struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    pub fn new() -> Journal {
        Journal::default()
    }

    pub fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    /// A callback that notes `what`.
    pub fn noter(&self, what: impl Into<String>) -> impl FnOnce() + Send + 'static {
        let (journal, what) = (self.clone(), what.into());
        move || journal.note(what)
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// The lines that begin with `prefix`.
    pub fn starting(&self, prefix: &str) -> Vec<String> {
        let mut lines = self.lines();
        lines.retain(|line| line.starts_with(prefix));
        lines
    }

    /// Where `what` stands; it must be there.
    pub fn position(&self, what: &str) -> usize {
        let lines = self.lines();
        let found = lines.iter().position(|line| line == what);
        found.unwrap_or_else(|| panic!("{what:?} is not in {lines:?}"))
    }
}

/// Holds whoever passes it until it is opened, or dropped: so no test leaves a thread behind.
pub struct Gate {
    key: Option<Sender<()>>,
    lock: Receiver<()>,
}

impl Gate {
    pub fn new() -> Gate {
        let (key, lock) = bounded(0);
        Gate {
            key: Some(key),
            lock,
        }
    }

    /// Blocks until the gate is open.
    pub fn passer(&self) -> impl Fn() + Send + Clone + 'static {
        let lock = self.lock.clone();
        move || {
            // Nothing is ever sent: this returns when the key is gone.
            let _ = lock.recv();
        }
    }

    pub fn open(&mut self) {
        self.key = None;
    }
}

/// The reading and the writing end of a new pipe.
#[cfg(unix)]
pub fn pipe() -> (std::fs::File, std::fs::File) {
    use std::os::fd::{FromRawFd, OwnedFd};
    let mut ends = [0; 2];
    // SAFETY: pipe(2) writes two descriptors, which nobody else owns.
    unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
        let own = |fd| std::fs::File::from(OwnedFd::from_raw_fd(fd));
        (own(ends[0]), own(ends[1]))
    }
}

/// What a test unwinds with when the machine was too busy for what it looks at: see [`patiently`].
struct NoTime(String);

/// The look at stragglers has a second in all, whatever else the machine does, and leaves out what it has not learned by then. Then
/// there is nothing to check, and the test that runs in [`patiently`] begins again.
pub fn no_time(what: impl Into<String>) -> ! {
    std::panic::resume_unwind(Box::new(NoTime(what.into())))
}

/// Runs a test, again and again as long as it says [`no_time`].
pub fn patiently(test: impl Fn()) {
    let limit = Instant::now() + PATIENCE * 3;
    loop {
        let Err(payload) = catch_unwind(AssertUnwindSafe(&test)) else {
            return;
        };
        match payload.downcast::<NoTime>() {
            Ok(no_time) if limit < Instant::now() => panic!("no time, ever: {}", no_time.0),
            Ok(_) => {}
            Err(failure) => std::panic::resume_unwind(failure),
        }
    }
}

/// Runs `job` and says how long it took.
pub fn timed<T>(job: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let value = job();
    (value, began.elapsed())
}

/// Runs `job` on a thread of its own and fails the test if it has not come back in time, where it would hang otherwise.
pub fn in_time<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, ended) = bounded(1);
    let thread = std::thread::spawn(move || {
        let _ = done.send(job());
    });
    match ended.recv_timeout(PATIENCE) {
        Ok(value) => value,
        Err(crossbeam_channel::RecvTimeoutError::Timeout) => panic!("it hangs"),
        Err(crossbeam_channel::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(payload) => std::panic::resume_unwind(payload),
            Ok(()) => unreachable!("it sends, or it panics"),
        },
    }
}

//! Settings for a new thread.

use std::fmt;
use std::io;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::join_handle::JoinHandle;
use crate::base::restart::Restart;
use crate::stop::StopToken;
use crate::supervisor::registry::Core;
use crate::supervisor::worker::Critical;
use crate::supervisor::{current, EntryKind, Job, Supervisor};
use crate::sync::thread;
use crate::terminate::Terminate;

/// Spawns a supervised thread: `std::thread::spawn`, told to stop and joined at the end.
///
/// It belongs to the supervisor of the worker that calls this, else to the global one.
///
/// # Panics
///
/// If the system cannot create the thread, or if the supervisor's shutdown is over. [`Builder::spawn`] returns an error
/// instead.
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Builder::new().spawn(f).expect("failed to spawn thread")
}

/// How long a worker may take to be ready.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Settings for a new thread: those of `std::thread::Builder`, and what is to happen at its end.
///
/// ```
/// use std::time::Duration;
/// use sundown::thread;
///
/// let worker = thread::Builder::new()
///     .name("flusher".into())
///     .grace(Duration::from_secs(2))
///     .spawn_with(|stop| while stop.sleep(Duration::from_millis(10)).is_ok() {})?;
/// worker.terminate();
/// worker.join().unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a builder starts no thread until `spawn` is called"]
pub struct Builder {
    /// The supervisor to register with; `None`: that of the calling worker, else the global one.
    pub(super) core: Option<Arc<Core>>,
    pub(super) name: Option<String>,
    pub(super) stack_size: Option<usize>,
    /// A std mutex for nothing but `Sync`, which std's builder is.
    pub(super) callback: Mutex<Option<Job>>,
    pub(super) grace: Option<Duration>,
    pub(super) time_limit: Option<Duration>,
    pub(super) daemon: bool,
    pub(super) critical: Critical,
    /// When it is started again: for `spawn_loop`.
    pub(crate) restart: Option<Restart>,
    /// How long it may take to be ready: for `spawn_ready`.
    pub(crate) start_timeout: Duration,
    /// The thread that this one only waits for.
    pub(super) adopted: Option<thread::Thread>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("stack_size", &self.stack_size)
            .field("grace", &self.grace)
            .field("daemon", &self.daemon)
            .field("critical", &self.critical)
            .field("restart", &self.restart)
            .finish_non_exhaustive()
    }
}

// As std's builder is. A builder that a panic has passed by is only settings.
impl UnwindSafe for Builder {}
impl RefUnwindSafe for Builder {}

impl Default for Builder {
    fn default() -> Self {
        Builder::new()
    }
}

impl Builder {
    /// Settings for a thread of the current worker's supervisor, else of the global one.
    pub fn new() -> Builder {
        Builder {
            core: None,
            name: None,
            stack_size: None,
            callback: Mutex::new(None),
            grace: None,
            time_limit: None,
            daemon: false,
            critical: Critical::No,
            restart: None,
            start_timeout: START_TIMEOUT,
            adopted: None,
        }
    }

    /// Names the thread, as std does; reports use the name too. It must not contain NUL.
    pub fn name(mut self, name: String) -> Builder {
        self.name = Some(name);
        self
    }

    /// The size of its stack in bytes, as in std.
    pub fn stack_size(mut self, size: usize) -> Builder {
        self.stack_size = Some(size);
        self
    }

    /// What makes it stop when a token cannot: runs at most once, when a shutdown reaches it, its time limit is over, or somebody
    /// calls [`JoinHandle::terminate`]. On which thread, and for how long, says [`Terminate`]. Of several, the last one given counts.
    pub fn on_terminate(mut self, callback: impl Terminate) -> Builder {
        self.callback = Mutex::new(Some(Box::new(move || callback.terminate())));
        self
    }

    /// How long it gets from being told to stop, before it counts as a straggler. Default: the supervisor's, which is until
    /// the deadline.
    pub fn grace(mut self, grace: Duration) -> Builder {
        self.grace = Some(grace);
        self
    }

    /// Tells it to stop after so long: trips its token, runs its terminate callback, unparks it. How a task is cancelled after a
    /// timeout:
    ///
    /// ```
    /// use std::time::Duration;
    /// use sundown::thread;
    ///
    /// let task = thread::Builder::new()
    ///     .time_limit(Duration::from_millis(5))
    ///     .spawn_with(|stop| stop.wait())?; // works until it is told
    /// task.join().unwrap();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// A task that does not listen goes on: Rust threads cannot be killed. Wait for it with
    /// [`join_timeout`](JoinHandle::join_timeout), and leave it to the shutdown's report. For work that must be stoppable by force,
    /// use a process.
    pub fn time_limit(mut self, limit: Duration) -> Builder {
        self.time_limit = Some(limit);
        self
    }

    /// It is told to stop, but not waited for.
    pub fn daemon(mut self) -> Builder {
        self.daemon = true;
        self
    }

    /// When it ends, however it does, its supervisor shuts down.
    pub fn critical(mut self) -> Builder {
        self.critical = Critical::Always;
        self
    }

    /// When it panics, its supervisor shuts down. Of critical workers the first to end decides the cause; the failures of the
    /// others are in [`ShutdownReport::secondary`](crate::ShutdownReport::secondary).
    pub fn critical_on_panic(mut self) -> Builder {
        self.critical = self.critical.max(Critical::OnPanic);
        self
    }

    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// As std's if the system cannot create it; and once the supervisor's shutdown is over.
    ///
    /// # Panics
    ///
    /// As std's if the name contains NUL.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let caller = Location::caller();
        self.start(EntryKind::Worker, caller, move |_| f())
    }

    /// Starts the thread with its stop token: the simplest way to have one.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Builder::spawn).
    ///
    /// # Panics
    ///
    /// As [`spawn`](Builder::spawn).
    #[track_caller]
    pub fn spawn_with<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce(StopToken) -> T + Send + 'static,
        T: Send + 'static,
    {
        let caller = Location::caller();
        self.start(EntryKind::Worker, caller, move |worker| {
            // In a forked child a thread of the parent's supervisor is nobody's.
            f(current::token().unwrap_or_else(|| worker.token(|| None)))
        })
    }
}

impl Supervisor {
    /// Spawns a thread of this supervisor.
    ///
    /// # Panics
    ///
    /// As [`thread::spawn`](spawn); [`worker`](Supervisor::worker) with [`Builder::spawn`] returns an error instead.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.worker().spawn(f).expect("failed to spawn thread")
    }

    /// Settings for a new thread of this supervisor.
    pub fn worker(&self) -> Builder {
        Builder {
            core: Some(Arc::clone(&self.core)),
            ..Builder::new()
        }
    }

    /// Takes a thread that was spawned elsewhere under supervision: it is told to stop by `terminate` (and unparked), waited for,
    /// and reported like any other. Its value and its panic come out of the handle that this returns.
    ///
    /// The thread is a worker from then on: what it spawns belongs to this supervisor, and when it calls `shutdown` or
    /// `process::exit` it is not waited for. It costs another thread, which waits for it, since std cannot join with a time limit.
    ///
    /// # Panics
    ///
    /// As [`spawn`](Supervisor::spawn). The adopted thread is detached then, and goes on.
    #[track_caller]
    pub fn adopt<T: Send + 'static>(
        &self,
        name: impl Into<String>,
        thread: thread::JoinHandle<T>,
        terminate: impl Terminate,
    ) -> JoinHandle<T> {
        self.worker()
            .name(name.into())
            .on_terminate(terminate)
            .adopt(thread)
            .expect("failed to spawn the thread that waits for an adopted one")
    }
}

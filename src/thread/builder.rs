//! Spawning: registers the worker, starts the thread, and undoes the first if the second fails.

use std::fmt;
use std::io;
use std::panic::{
    catch_unwind, resume_unwind, AssertUnwindSafe, Location, RefUnwindSafe, UnwindSafe,
};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::join_handle::{JoinHandle, Value};
use crate::base::panics::drop_quietly;
use crate::stop::timer::{self, Expire};
use crate::stop::StopToken;
use crate::supervisor::registry::Core;
use crate::supervisor::worker::{End, Traits, Worker};
use crate::supervisor::{current, roots, Cause, EntryKind, Job, Supervisor, TimeLimit, WorkerId};
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
    core: Option<Arc<Core>>,
    name: Option<String>,
    stack_size: Option<usize>,
    /// A std mutex for nothing but `Sync`, which std's builder is.
    callback: Mutex<Option<Job>>,
    grace: Option<Duration>,
    time_limit: Option<Duration>,
    daemon: bool,
    critical: bool,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("stack_size", &self.stack_size)
            .field("grace", &self.grace)
            .field("daemon", &self.daemon)
            .field("critical", &self.critical)
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
            critical: false,
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

    /// What makes it stop when a token cannot: runs at most once, when a shutdown reaches it or somebody calls
    /// [`JoinHandle::terminate`]. Of several, the last one given counts.
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
        self.critical = true;
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
        self.start(EntryKind::Worker, caller, move |worker| f(worker.token()))
    }

    /// Starts a thread in a [`scope`](super::scope), as std's does. A shutdown tells it to stop and waits for it; its scope joins
    /// it.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Builder::spawn).
    ///
    /// # Panics
    ///
    /// As [`spawn`](Builder::spawn).
    #[track_caller]
    pub fn spawn_scoped<'scope, 'env, F, T>(
        self,
        scope: &'scope super::Scope<'scope, 'env>,
        f: F,
    ) -> io::Result<super::ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let time_limit = self.time_limit;
        let (builder, core, traits, callback) = self.parts(EntryKind::Scoped, Location::caller());
        let worker = register(&core, traits, callback)?;
        let started = Undo::new(&core, worker.id);
        let (theirs, home) = (Arc::clone(&worker), Arc::clone(&core));
        let handle = builder.spawn_scoped(scope.std(), move || {
            current::sit_as_worker(Arc::clone(&home), Arc::clone(&theirs));
            match catch_unwind(AssertUnwindSafe(f)) {
                Ok(value) => {
                    end(&home, &theirs, End::Returned);
                    value
                }
                Err(payload) => {
                    end(&home, &theirs, End::panicked(&*payload));
                    // The scope must see the panic, and the join must see its payload; no hook runs again.
                    resume_unwind(payload)
                }
            }
        })?;
        started.succeeded();
        worker.attach_thread(handle.thread().clone());
        limit_time(&core, &worker, time_limit);
        Ok(handle)
    }

    /// Takes a thread that was spawned elsewhere under supervision. See [`Supervisor::adopt`].
    #[track_caller]
    pub(crate) fn adopt<T: Send + 'static>(
        self,
        thread: std::thread::JoinHandle<T>,
    ) -> io::Result<JoinHandle<T>> {
        let shown = thread.thread().clone();
        let caller = Location::caller();
        let handle = self.start(EntryKind::Adopted, caller, move |_| match thread.join() {
            Ok(value) => value,
            Err(payload) => resume_unwind(payload),
        })?;
        Ok(handle.of_adopted(shown))
    }

    /// Registers, starts, attaches.
    fn start<F, T>(
        self,
        kind: EntryKind,
        location: &'static Location<'static>,
        f: F,
    ) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce(&Worker) -> T + Send + 'static,
        T: Send + 'static,
    {
        let value = Arc::new(Value::new());
        let slot = Arc::clone(&value);
        let (core, worker) = self.start_job(kind, location, move |worker| {
            let result = catch_unwind(AssertUnwindSafe(|| f(worker)));
            let how = End::of(&result);
            slot.put(result);
            (how, slot)
        })?;
        Ok(JoinHandle::new(core, worker, value))
    }

    /// The same for a job that says how it ended, and what is to be dropped once that is booked.
    pub(crate) fn start_job<J, D>(
        self,
        kind: EntryKind,
        location: &'static Location<'static>,
        job: J,
    ) -> io::Result<(Arc<Core>, Arc<Worker>)>
    where
        J: FnOnce(&Worker) -> (End, D) + Send + 'static,
    {
        let time_limit = self.time_limit;
        let (builder, core, traits, callback) = self.parts(kind, location);
        let worker = register(&core, traits, callback)?;
        let started = Undo::new(&core, worker.id);
        let (theirs, home) = (Arc::clone(&worker), Arc::clone(&core));
        let thread = builder.spawn(move || {
            current::sit_as_worker(Arc::clone(&home), Arc::clone(&theirs));
            let (how, rest) = job(&theirs);
            end(&home, &theirs, how);
            // If nobody has the handle any more this drops the value, as std does here; its destructor may panic.
            drop_quietly(rest);
        })?;
        started.succeeded();
        worker.attach(thread);
        limit_time(&core, &worker, time_limit);
        Ok((core, worker))
    }

    /// Takes the settings apart.
    fn parts(
        self,
        kind: EntryKind,
        location: &'static Location<'static>,
    ) -> (std::thread::Builder, Arc<Core>, Traits, Option<Job>) {
        let core = self
            .core
            .or_else(current::core)
            .unwrap_or_else(roots::global);
        let traits = Traits {
            kind,
            name: self.name.as_deref().map(Arc::from),
            location,
            grace: self.grace,
            daemon: self.daemon,
            critical: self.critical,
        };
        let mut builder = std::thread::Builder::new();
        // std panics at a NUL. An adopted thread has its name already: this one is for reports.
        let unfit = |name: &String| kind == EntryKind::Adopted && name.contains('\0');
        if let Some(name) = self.name.filter(|name| !unfit(name)) {
            builder = builder.name(name);
        }
        if let Some(size) = self.stack_size {
            builder = builder.stack_size(size);
        }
        // A lock that nobody ever holds is not poisoned.
        let callback = self
            .callback
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        (builder, core, traits, callback)
    }
}

fn register(core: &Arc<Core>, traits: Traits, callback: Option<Job>) -> io::Result<Arc<Worker>> {
    core.register(|id| Arc::new(Worker::new(id, traits, callback)))
        .map_err(|_| {
            io::Error::new(
                io::ErrorKind::Other,
                "the supervisor's shutdown is over: it starts no more threads",
            )
        })
}

/// The closure has ended: books how, and if that ends the supervisor, asks for its shutdown.
fn end(core: &Arc<Core>, worker: &Worker, how: End) {
    let panicked = matches!(how, End::Panicked(_));
    worker.end(how);
    if !core.is_stopping() {
        // Nobody will tell it any more. What its callback holds goes here, not after the thread's own destructors. In a
        // shutdown every callback runs, whether its worker is still there or not.
        worker.callback.remove();
    }
    if worker.traits.critical {
        let name = worker.traits.name.as_deref().map(str::to_owned);
        core.request(Cause::WorkerEnded { name, panicked });
    }
}

/// Sets the timer for a time limit.
fn limit_time(core: &Arc<Core>, worker: &Arc<Worker>, limit: Option<Duration>) {
    // Past what an Instant can hold there is no limit.
    if let Some(at) = limit.and_then(|limit| worker.began.checked_add(limit)) {
        let limit: Arc<dyn Expire> = Arc::new(TimeLimit {
            core: Arc::downgrade(core),
            worker: Arc::downgrade(worker),
        });
        worker.keep_timer(timer::at(at, Arc::downgrade(&limit)), limit);
    }
}

/// Takes the registration back when the thread could not be started, by an error or by a panic.
struct Undo<'a> {
    core: &'a Core,
    id: WorkerId,
}

impl<'a> Undo<'a> {
    fn new(core: &'a Core, id: WorkerId) -> Undo<'a> {
        Undo { core, id }
    }

    fn succeeded(self) {
        std::mem::forget(self);
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        self.core.undo_spawn(self.id);
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
    /// It costs a thread that waits for it, since std cannot join with a time limit.
    ///
    /// # Panics
    ///
    /// As [`spawn`](Supervisor::spawn). The adopted thread is detached then, and goes on.
    #[track_caller]
    pub fn adopt<T: Send + 'static>(
        &self,
        name: impl Into<String>,
        thread: std::thread::JoinHandle<T>,
        terminate: impl Terminate,
    ) -> JoinHandle<T> {
        let shown = thread.thread().clone();
        self.worker()
            .name(name.into())
            // In this order, like any worker: the callback first, so that what it sets is seen by who is unparked. A tuple
            // unparks also after a panic.
            .on_terminate((terminate, shown))
            .adopt(thread)
            .expect("failed to spawn the thread that waits for an adopted one")
    }
}

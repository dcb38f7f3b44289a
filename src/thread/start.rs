//! The mechanism of spawning: registers the worker, starts the thread, and undoes the first if the second fails.

use std::io;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe, Location};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::join_handle::{JoinHandle, Value};
use super::{Builder, Thread};
use crate::base::log_queue;
use crate::base::panics::drop_quietly;
use crate::base::restart::When;
use crate::stop::timer::{self, Expire};
use crate::supervisor::registry::Core;
use crate::supervisor::worker::{End, Traits, Worker};
use crate::supervisor::{current, roots, EntryKind, Job, TimeLimit};
use crate::sync::{mpsc, thread};
use crate::sys::{os_thread_of, ThreadIdent};

impl Builder {
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
        self.check_runs_once()?;
        let time_limit = self.time_limit;
        let (builder, core, record) = self.parts(EntryKind::Scoped, Location::caller());
        let worker = record.register(&core)?;
        let started = Undo::new(&core, &worker);
        let (theirs, home) = (Arc::clone(&worker), Arc::clone(&core));
        let handle = builder.spawn_scoped(scope.std(), move || {
            current::sit_as_worker(Arc::clone(&home), Arc::clone(&theirs));
            theirs.announce_started();
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
        mut self,
        thread: thread::JoinHandle<T>,
    ) -> io::Result<JoinHandle<T>> {
        let caller = Location::caller();
        let ident = ThreadIdent::of(&thread);
        let os_thread = os_thread_of(&thread);
        self.adopted = Some(thread.thread().clone());
        let (mark, marked) = mpsc::channel::<current::Adopted>();
        let handle = self.start(EntryKind::Adopted, caller, move |worker| {
            worker.trace.runs_on(os_thread);
            let result = thread.join();
            // It comes at once, if it is not there already: sent below, as soon as this thread had been started.
            drop(marked.recv());
            result.unwrap_or_else(|payload| resume_unwind(payload))
        })?;
        // Fails only when nobody receives, which is when the watcher has ended; it does not before this.
        let _ = mark.send(handle.mark_adopted(ident));
        Ok(handle)
    }

    /// Registers, starts, attaches.
    pub(super) fn start<F, T>(
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
        let (core, worker, thread) = self.start_job(kind, location, move |worker| {
            let result = catch_unwind(AssertUnwindSafe(|| f(worker)));
            let how = End::of(&result);
            slot.put(result);
            (how, slot)
        })?;
        Ok(JoinHandle::new(core, worker, value, thread))
    }

    /// The same for a job that says how it ended, and what is to be dropped once that is booked.
    pub(crate) fn start_job<J, D>(
        self,
        kind: EntryKind,
        location: &'static Location<'static>,
        job: J,
    ) -> io::Result<(Arc<Core>, Arc<Worker>, Thread)>
    where
        J: FnOnce(&Worker) -> (End, D) + Send + 'static,
    {
        self.check_runs_once()?;
        let time_limit = self.time_limit;
        let (builder, core, record) = self.parts(kind, location);
        let worker = record.register(&core)?;
        let started = Undo::new(&core, &worker);
        let (theirs, home) = (Arc::clone(&worker), Arc::clone(&core));
        let thread = builder.spawn(move || {
            current::sit_as_worker(Arc::clone(&home), Arc::clone(&theirs));
            theirs.announce_started();
            let (how, rest) = job(&theirs);
            end(&home, &theirs, how);
            // If nobody has the handle any more this drops the value, as std does here; its destructor may panic.
            drop_quietly(rest);
        })?;
        started.succeeded();
        let thread = worker.attach(thread);
        limit_time(&core, &worker, time_limit);
        Ok((core, worker, thread))
    }

    /// A function that can be called only once cannot be started again. (`spawn_loop` takes its policy out before this.)
    fn check_runs_once(&self) -> io::Result<()> {
        match &self.restart {
            Some(policy) if policy.when != When::Never => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a worker with a restart policy is spawned with `spawn_loop`, whose function can be called again",
            )),
            _ => Ok(()),
        }
    }

    /// Takes the settings apart.
    fn parts(
        self,
        kind: EntryKind,
        location: &'static Location<'static>,
    ) -> (thread::Builder, Arc<Core>, Record) {
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
        let mut builder = thread::Builder::new();
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
        let record = Record {
            traits,
            callback,
            adopted: self.adopted,
        };
        (builder, core, record)
    }
}

/// What a worker's record is made of.
struct Record {
    traits: Traits,
    callback: Option<Job>,
    /// The thread that the worker is, if it is not the one that will be started.
    adopted: Option<Thread>,
}

impl Record {
    fn register(self, core: &Core) -> io::Result<Arc<Worker>> {
        let Record {
            traits,
            callback,
            adopted,
        } = self;
        core.register(|id| Arc::new(Worker::new(id, traits, callback, adopted, &core.observers)))
            .map_err(|_| {
                io::Error::new(
                    io::ErrorKind::Other,
                    "the supervisor's shutdown is over: it starts no more threads",
                )
            })
    }
}

/// The closure has ended: books how, and if that ends the supervisor, asks for its shutdown.
fn end(core: &Arc<Core>, worker: &Worker, how: End) {
    let failed = !matches!(how, End::Returned);
    let (told, fatal) = worker.end(how);
    if !told && !core.is_stopping() {
        // Nobody will tell it any more. What its callback holds goes here, not after the thread's own destructors. Once it has
        // been told, and in a shutdown, the callback runs whether its worker is still there or not.
        worker.callback.remove();
    }
    if let Some(cause) = fatal {
        if !core.request(cause.clone()) && failed {
            core.registry.lock().secondary.push(cause);
        }
    }
    // Whoever joins it finds in the log how it ended.
    log_queue::flush();
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
    worker: &'a Worker,
}

impl<'a> Undo<'a> {
    fn new(core: &'a Core, worker: &'a Worker) -> Undo<'a> {
        Undo { core, worker }
    }

    fn succeeded(self) {
        std::mem::forget(self);
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        self.core.undo_spawn(self.worker);
    }
}

//! Workers that say when they are ready, and services that start one after another.
//!
//! The worker gets a [`Ready`] to say so with; who spawns it waits until it has, or has ended, or has taken too long.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender};

use crate::base::panics::{describe_panic, drop_quietly};
use crate::base::text::{Printable, Short};
use crate::stop::StopToken;
use crate::supervisor::worker::Worker;
use crate::supervisor::{current, EventKind};
use crate::thread::{Builder, JoinGuard, JoinHandle};

/// How a worker that was spawned with [`spawn_ready`](Builder::spawn_ready) says that it is ready. Dropping it says nothing: the spawner
/// goes on waiting for the worker's end.
///
/// ```
/// use sundown::thread;
///
/// let (worker, port) = thread::Builder::new().spawn_ready(|ready, stop| {
///     ready.ok(8080); // the spawner goes on with this
///     stop.wait();
/// })?;
/// assert_eq!(port, 8080);
/// worker.terminate();
/// worker.join().unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "the spawner waits until `ok` is called"]
pub struct Ready<R> {
    value: Sender<R>,
    /// Whose it is, on whatever thread it is used.
    worker: Arc<Worker>,
}

impl<R> Ready<R> {
    /// The worker is ready: `value` is what its spawner gets.
    pub fn ok(self, value: R) {
        // Services are few, and an operator wants to see them come up.
        self.worker.announce(log::Level::Info, || EventKind::Ready);
        // It fails when the spawner has lost patience. Then the worker has been told to stop, and the value is dropped here.
        let _ = self.value.send(value);
    }
}

impl<R> fmt::Debug for Ready<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready").finish_non_exhaustive()
    }
}

/// Why [`spawn_ready`](Builder::spawn_ready) has no worker that is ready.
///
/// ```
/// use sundown::ready::StartError;
/// use sundown::thread;
///
/// let started = thread::Builder::new().spawn_ready(|_ready: sundown::ready::Ready<()>, _stop| "no such file");
/// assert!(matches!(started, Err(StartError::Ended("no such file"))));
/// ```
#[non_exhaustive]
pub enum StartError<T> {
    /// The thread could not be started.
    Spawn(io::Error),
    /// The worker's function returned before it was ready, with this value: its own error, if it returns a `Result`.
    Ended(T),
    /// The worker panicked before it was ready, with this payload.
    Panicked(Box<dyn Any + Send>),
    /// The worker was neither ready nor through in this time. It has been told to stop; its handle is given back.
    #[non_exhaustive]
    TimedOut {
        /// The worker.
        worker: JoinHandle<T>,
        /// How long it was waited for.
        timeout: Duration,
    },
}

impl<T> fmt::Debug for StartError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Spawn(error) => f.debug_tuple("Spawn").field(error).finish(),
            StartError::Ended(_) => f.write_str("Ended(..)"),
            StartError::Panicked(payload) => {
                let message = describe_panic(&**payload);
                f.debug_tuple("Panicked").field(&message).finish()
            }
            StartError::TimedOut { timeout, .. } => f
                .debug_struct("TimedOut")
                .field("timeout", timeout)
                .finish_non_exhaustive(),
        }
    }
}

impl<T> fmt::Display for StartError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Spawn(error) => write!(f, "cannot start the worker's thread: {error}"),
            StartError::Ended(_) => f.write_str("the worker returned before it was ready"),
            StartError::Panicked(payload) => {
                let message = describe_panic(&**payload);
                write!(f, "the worker panicked before it was ready: {}", Printable(&message))
            }
            StartError::TimedOut { timeout, .. } => write!(
                f,
                "the worker was not ready within {}, and was told to stop: find out what it waits for, or allow more with `start_timeout`",
                Short(*timeout)
            ),
        }
    }
}

impl<T> Error for StartError<T> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            StartError::Spawn(error) => Some(error),
            _ => None,
        }
    }
}

impl<T, E> StartError<Result<T, E>> {
    /// The worker's own error, if it returned one before it was ready.
    ///
    /// # Errors
    ///
    /// This error itself, if the reason is another.
    pub fn into_own_error(self) -> Result<E, Self> {
        match self {
            StartError::Ended(Err(error)) => Ok(error),
            other => Err(other),
        }
    }
}

impl Builder {
    /// How long [`spawn_ready`](Builder::spawn_ready) waits for the worker to be ready. Default: 30 s; `Duration::MAX` waits for ever.
    pub fn start_timeout(mut self, timeout: Duration) -> Builder {
        self.start_timeout = timeout;
        self
    }

    /// Starts the thread, and returns when it has called [`Ready::ok`]: with its handle, and what it gave.
    ///
    /// ```
    /// use std::net::TcpListener;
    /// use sundown::thread;
    ///
    /// let (server, address) = thread::Builder::new().name("server".into()).spawn_ready(|ready, stop| {
    ///     let listener = TcpListener::bind("127.0.0.1:0")?;
    ///     ready.ok(listener.local_addr()?); // from here on, clients get through
    ///     stop.wait();
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// assert_ne!(address.port(), 0);
    /// server.terminate();
    /// server.join().unwrap()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// See [`StartError`]: the thread could not be started, the worker ended first, or the [`start_timeout`](Builder::start_timeout)
    /// passed; the worker has been told to stop then.
    ///
    /// # Panics
    ///
    /// As [`spawn`](Builder::spawn).
    #[track_caller]
    pub fn spawn_ready<F, T, R>(self, f: F) -> Result<(JoinHandle<T>, R), StartError<T>>
    where
        F: FnOnce(Ready<R>, StopToken) -> T + Send + 'static,
        T: Send + 'static,
        R: Send + 'static,
    {
        let timeout = self.start_timeout;
        let limit = Instant::now().checked_add(timeout);
        let (value, ready) = crossbeam_channel::bounded(1);
        let worker = self
            .spawn_with(move |stop| {
                let (_, worker) = current::worker().expect("this is a worker's thread");
                f(Ready { value, worker }, stop)
            })
            .map_err(StartError::Spawn)?;
        let received = match limit {
            Some(limit) => ready.recv_deadline(limit),
            None => ready.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        let worker = match received {
            Ok(value) => return Ok((worker, value)),
            // It will never be ready: what is left is to wait for its end.
            Err(RecvTimeoutError::Disconnected) => match worker.join_until(limit) {
                Ok(Ok(value)) => return Err(StartError::Ended(value)),
                Ok(Err(payload)) => return Err(StartError::Panicked(payload)),
                Err(worker) => worker,
            },
            Err(RecvTimeoutError::Timeout) => worker,
        };
        worker.terminate();
        Err(StartError::TimedOut { worker, timeout })
    }
}

/// Services that start one after another, each when the one before is ready. If one fails, those before it are ended again, newest
/// first: that is what dropping this does, each told to stop and joined before the next older one is told.
///
/// ```
/// use sundown::ready::Services;
/// use sundown::Supervisor;
///
/// fn start(supervisor: &Supervisor) -> Result<Services, Box<dyn std::error::Error>> {
///     let mut services = Services::new();
///     let storage = supervisor.worker().name("storage".into());
///     let path = services.start(storage, |ready, stop| {
///         ready.ok("/var/lib/example");
///         stop.wait();
///     })?; // an error here or below ends what has been started
///     let index = supervisor.worker().name("index".into());
///     services.start(index, move |ready, stop| {
///         ready.ok(path.len());
///         stop.wait();
///     })?;
///     Ok(services)
/// }
///
/// let supervisor = Supervisor::new();
/// start(&supervisor)?.keep(); // from here on they end with their supervisor
/// assert!(supervisor.shutdown().is_clean());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping it ends the services"]
#[derive(Default)]
pub struct Services {
    /// Oldest first.
    started: Vec<Box<dyn Service>>,
}

/// A guard that ends its worker when dropped, whatever the worker's value is.
trait Service: Send {
    /// Lets the worker live on.
    fn keep(self: Box<Self>);
}

impl<T: Send + 'static> Service for JoinGuard<T> {
    fn keep(self: Box<Self>) {
        drop(self.into_handle());
    }
}

impl Services {
    /// None so far.
    pub fn new() -> Services {
        Services::default()
    }

    /// Starts the next one as [`spawn_ready`](Builder::spawn_ready) does, and gives what it is ready with.
    ///
    /// # Errors
    ///
    /// As [`spawn_ready`](Builder::spawn_ready). Those before it run on until this is dropped, which `?` sees to.
    #[track_caller]
    pub fn start<F, T, R>(&mut self, builder: Builder, f: F) -> Result<R, StartError<T>>
    where
        F: FnOnce(Ready<R>, StopToken) -> T + Send + 'static,
        T: Send + 'static,
        R: Send + 'static,
    {
        let (worker, value) = builder.spawn_ready(f)?;
        self.started.push(Box::new(worker.into_guard()));
        Ok(value)
    }

    /// All have been started: they are left to their supervisors.
    pub fn keep(mut self) {
        std::mem::take(&mut self.started)
            .into_iter()
            .for_each(|service| service.keep());
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        while let Some(service) = self.started.pop() {
            drop_quietly(service); // the worker's value may have a destructor that panics
        }
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services")
            .field("started", &self.started.len())
            .finish()
    }
}

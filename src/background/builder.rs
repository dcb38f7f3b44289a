//! Settings for a new loop, and its thread: builds the executor, runs the loop on it, and says how it ended.

use std::fmt;
use std::future::{poll_fn, Future};
use std::io;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::mpsc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use super::shared::Shared;
use super::{BackgroundThread, EventLoop};
use crate::thread;
use crate::{StopSource, StopToken, Supervisor, TaskError};

/// A loop as an executor runs it: see [`BackgroundBuilder::runner`].
///
/// ```
/// use sundown::background::{BackgroundThread, LoopFuture};
/// use tokio::runtime::Builder;
///
/// fn run(event_loop: LoopFuture) {
///     // Any executor's `block_on` does; with tokio's own there is no need for a runner.
///     Builder::new_current_thread().build().expect("a runtime").block_on(event_loop)
/// }
///
/// let background = BackgroundThread::builder().runner(run).start()?;
/// assert_eq!(background.block_on(async { 42 })?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type LoopFuture = Pin<Box<dyn Future<Output = ()>>>;

/// Makes the main task, on the loop's thread.
type MakeMain<T> = Box<dyn FnOnce(EventLoop) -> Pin<Box<dyn Future<Output = T>>> + Send>;

/// What the loop's value comes from.
enum Main<T> {
    /// There is no main task; this is the value.
    None(T),
    /// It is the main task's.
    Task(MakeMain<T>),
}

/// Settings for a new event loop. [`start`](BackgroundBuilder::start) starts it.
///
/// ```
/// use std::time::Duration;
/// use sundown::background::BackgroundThread;
///
/// let background = BackgroundThread::builder()
///     .name("client")
///     .drain(Duration::from_millis(200)) // so long tasks have to end by themselves
///     .start()?;
/// assert_eq!(background.block_on(async { 42 })?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a builder starts nothing until `start` is called"]
pub struct BackgroundBuilder<T = ()> {
    supervisor: Option<Supervisor>,
    name: Option<String>,
    stack_size: Option<usize>,
    grace: Option<Duration>,
    critical: bool,
    drain: Duration,
    executor: Executor,
    main: Main<T>,
}

/// What runs the loop.
enum Executor {
    /// Builds the runtime.
    Tokio(Box<dyn FnOnce() -> io::Result<Runtime> + Send>),
    /// Runs a future to its end.
    Runner(Box<dyn FnOnce(LoopFuture) + Send>),
}

impl BackgroundBuilder {
    pub(super) fn new() -> BackgroundBuilder {
        BackgroundBuilder {
            supervisor: None,
            name: None,
            stack_size: None,
            grace: None,
            critical: false,
            drain: Duration::from_secs(1),
            executor: Executor::Tokio(Box::new(|| {
                let mut runtime = tokio::runtime::Builder::new_current_thread();
                runtime.enable_all().build()
            })),
            main: Main::None(()),
        }
    }
}

impl<T> BackgroundBuilder<T> {
    /// Whose worker the loop is. Default: the current worker's supervisor, else the global one.
    pub fn supervisor(mut self, supervisor: &Supervisor) -> Self {
        self.supervisor = Some(supervisor.clone());
        self
    }

    /// Names the loop's thread; reports use the name too. It must not contain NUL.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The size of its thread's stack in bytes, as in std.
    pub fn stack_size(mut self, size: usize) -> Self {
        self.stack_size = Some(size);
        self
    }

    /// How long the loop gets from being told to stop, drain included, before it counts as a straggler. Default: the
    /// supervisor's, which is until the deadline.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// How long tasks have to end by themselves once the loop should stop; what is left then is dropped where it waits. Default:
    /// 1 s.
    ///
    /// It takes three quarters at most of the loop's grace and of what is left of the shutdown: the rest is for dropping. Zero drops
    /// everything at once.
    pub fn drain(mut self, drain: Duration) -> Self {
        self.drain = drain;
        self
    }

    /// When the loop ends, however it does, its supervisor shuts down; also when its runtime cannot be built.
    pub fn critical(mut self) -> Self {
        self.critical = true;
        self
    }

    /// What builds the tokio runtime, on the loop's thread. Default: a current-thread one with I/O and time, as far as the
    /// program's tokio has them (its features `net` and `time`).
    ///
    /// What is handed to the loop runs on the loop's thread whatever the runtime; the further threads of a runtime that has some are
    /// for `tokio::spawn` and [`EventLoop::handle`]. Code there must not block, on the loop neither: tokio's own rule.
    ///
    /// ```
    /// use sundown::background::BackgroundThread;
    ///
    /// let background = BackgroundThread::builder()
    ///     .runtime(|| tokio::runtime::Builder::new_current_thread().enable_time().build())
    ///     .start()?;
    /// # drop(background);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn runtime(mut self, build: impl FnOnce() -> io::Result<Runtime> + Send + 'static) -> Self {
        self.executor = Executor::Tokio(Box::new(build));
        self
    }

    /// Runs the loop on any executor: `block_on` gets the loop as a future and runs it to its end, on the loop's thread. For smol:
    /// `.runner(smol::block_on)`.
    ///
    /// If it returns without that, the loop ends there: what was left is dropped, or will be when the future is.
    pub fn runner(mut self, block_on: impl FnOnce(LoopFuture) + Send + 'static) -> Self {
        self.executor = Executor::Runner(Box::new(block_on));
        self
    }

    /// The main task, made and run on the loop's thread. When it ends, so does the loop; its value is what
    /// [`join`](BackgroundThread::join) returns. `ctx` hands further work to the loop and says when to stop.
    pub fn task<U, F, Fut>(self, main: F) -> BackgroundBuilder<U>
    where
        F: FnOnce(EventLoop) -> Fut + Send + 'static,
        Fut: Future<Output = U> + 'static,
    {
        BackgroundBuilder {
            supervisor: self.supervisor,
            name: self.name,
            stack_size: self.stack_size,
            grace: self.grace,
            critical: self.critical,
            drain: self.drain,
            executor: self.executor,
            main: Main::Task(Box::new(move |ctx| Box::pin(main(ctx)))),
        }
    }
}

impl<T: Send + 'static> BackgroundBuilder<T> {
    /// Starts the thread, and returns when the loop takes work. Also on a thread that runs another runtime.
    ///
    /// # Errors
    ///
    /// As [`thread::Builder::spawn`]; and if the runtime cannot be built.
    ///
    /// # Panics
    ///
    /// As std's if the name contains NUL.
    #[track_caller]
    pub fn start(self) -> io::Result<BackgroundThread<T>> {
        let mut worker = match self.supervisor {
            Some(supervisor) => supervisor.worker(),
            None => thread::Builder::new(),
        };
        if let Some(name) = self.name {
            worker = worker.name(name);
        }
        if let Some(size) = self.stack_size {
            worker = worker.stack_size(size);
        }
        if let Some(grace) = self.grace {
            worker = worker.grace(grace);
        }
        if self.critical {
            worker = worker.critical();
        }
        let (drain, executor, main) = (self.drain, self.executor, self.main);
        let (ready, started) = mpsc::channel();
        let thread = worker.spawn_with(move |token| run(&token, drain, executor, main, &ready))?;
        match started.recv() {
            Ok(Ok(events)) => Ok(BackgroundThread { events, thread }),
            Ok(Err(error)) => {
                // It returns at once. Its value is the error that we have.
                let _ = thread.join();
                Err(error)
            }
            Err(mpsc::RecvError) => {
                // Only a panic keeps it from saying anything; the panic hook has said what.
                let _ = thread.join();
                Err(io::Error::new(
                    io::ErrorKind::Other,
                    "the closure that builds the event loop's runtime panicked",
                ))
            }
        }
    }
}

/// The loop's thread. `None` if there is no value of the main task: it was dropped unfinished, or there never was a loop.
fn run<T: Send + 'static>(
    token: &StopToken,
    drain: Duration,
    executor: Executor,
    main: Main<T>,
    ready: &mpsc::Sender<io::Result<EventLoop>>,
) -> Option<T> {
    // Fails only if the starter is gone, which waits for this.
    let say = |what| drop(ready.send(what));
    let (runtime, runner) = match executor {
        Executor::Tokio(build) => match build() {
            Ok(runtime) => (Some(runtime.handle().clone()), tokio_runner(runtime)),
            Err(error) => {
                say(Err(error));
                return None;
            }
        },
        Executor::Runner(runner) => (None, runner),
    };
    let events = EventLoop {
        shared: Shared::new(token, runtime, drain),
    };
    let closing = Closing(Arc::clone(&events.shared));
    let told = events.shared.when_stopped();
    let value = match main {
        Main::None(value) => Ok(value),
        Main::Task(make) => {
            let ctx = events.clone();
            let ends_loop = StopOnDrop(events.shared.stop().clone());
            Err(events.spawn_local(move || {
                let future = make(ctx);
                async move {
                    let _ends_loop = ends_loop;
                    future.await
                }
            }))
        }
    };
    let root = turn_until_end(Closing(Arc::clone(&events.shared)));
    say(Ok(events));
    runner(Box::pin(root));
    // For a runner that has not run the loop to its end.
    drop(closing);
    drop(told);
    match value.or_else(|main| main.wait()) {
        Ok(value) => Some(value),
        Err(TaskError::Panicked(payload)) => resume_unwind(payload),
        Err(TaskError::Cancelled(_) | TaskError::Taken) => None,
    }
}

fn tokio_runner(runtime: Runtime) -> Box<dyn FnOnce(LoopFuture) + Send> {
    // Dropping the runtime ends what was spawned past us, and waits for what blocks.
    Box::new(move |events| runtime.block_on(events))
}

/// The loop itself: runs what is handed over until it should end, and drops what is left.
async fn turn_until_end(closing: Closing) {
    // Dropped before `closing`, so that those who wait are told when what they wait for is gone; and both inside the runtime.
    let tasks = LocalSet::new();
    let mut batch = Vec::new();
    let turns = poll_fn(
        |context| match closing.0.turn(context.waker(), &mut batch) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        },
    );
    tasks.run_until(turns).await;
}

/// Closes the loop when dropped, however that comes.
struct Closing(Arc<Shared>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Has the loop end when the main task does, however that comes.
struct StopOnDrop(StopSource);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl<T> fmt::Debug for BackgroundBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackgroundBuilder")
            .field("name", &self.name)
            .field("grace", &self.grace)
            .field("drain", &self.drain)
            .field("critical", &self.critical)
            .finish_non_exhaustive()
    }
}

//! Makes a supervisor the global one that owns the end of the process.

use std::error::Error;
use std::fmt;
use std::io;
use std::io::Write;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::guard::{Guard, Parts};
use super::outer_grace;
use super::signal::Signals;
use crate::base::apart::{bounded, on_thread};
use crate::base::mailbox::{mailbox, Receiver};
use crate::supervisor::registry::{self, Core, Entry, Message, Phase};
use crate::supervisor::worker::{Critical, Traits, Worker};
use crate::supervisor::{
    current, extension, roots, Cause, EntryKind, ExitStyle, ShutdownReport, Supervisor,
    SupervisorBuilder,
};
use crate::sys;

/// Why [`SupervisorBuilder::install`] did not install.
///
/// ```
/// use sundown::InstallError;
///
/// let guard = sundown::init()?;
/// assert!(matches!(sundown::init(), Err(InstallError::AlreadyInstalled)));
/// # drop(guard);
/// # Ok::<(), InstallError>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum InstallError {
    /// A guard exists already.
    AlreadyInstalled,
    /// The global supervisor is being shut down.
    ShuttingDown,
    /// The program has a handler for this signal already: SIGINT, SIGTERM, or one that `on_signal` was given a handler for.
    HandlerExists(i32),
    /// `on_signal` was given a handler for a signal that can have none: SIGKILL, SIGSTOP, what the system raises for a fault of the
    /// thread itself, a number that is no signal. On Windows, any.
    NoHandlerFor(i32),
    /// `on_signal` was given a handler for this signal, but `signals(false)` leaves all of them to the program.
    SignalsOff(i32),
    /// ctrlc would not install its handler; mostly because the program has set one with ctrlc itself.
    Ctrlc(ctrlc::Error),
    /// This process was forked from one that had installed, so ctrlc's thread does not exist here.
    Forked,
    /// The system would not tell or change what a signal does.
    Signals(io::Error),
    /// The coordinator thread could not be started.
    Thread(io::Error),
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const OWN: &str = "install with `.signals(false)` and call \
                           `sundown::request_shutdown(Cause::Signal(n))` from the handler that is there";
        match self {
            InstallError::AlreadyInstalled => {
                f.write_str("sundown is installed already: keep one guard, in main")
            }
            InstallError::ShuttingDown => f.write_str(
                "the global supervisor is shutting down: install again when that is through",
            ),
            InstallError::HandlerExists(signal) => {
                let name = Cause::Signal(*signal);
                write!(f, "the program has a handler for {name} already: {OWN}")
            }
            InstallError::NoHandlerFor(signal) => {
                let name = Cause::Signal(*signal);
                write!(f, "{name} can have no handler: give `on_signal` another signal")
            }
            InstallError::SignalsOff(signal) => {
                let name = Cause::Signal(*signal);
                write!(
                    f,
                    "`.signals(false)` leaves signals to the program, so `on_signal` cannot have {name}: \
                     leave one of them out"
                )
            }
            InstallError::Forked => write!(
                f,
                "this process was forked from one that had installed sundown: fork before installing, or {OWN}"
            ),
            InstallError::Ctrlc(ctrlc::Error::MultipleHandlers) => {
                write!(f, "the program has set a handler with ctrlc already: {OWN}")
            }
            InstallError::Ctrlc(error) => write!(f, "ctrlc cannot install its handler: {error}"),
            InstallError::Signals(error) => {
                write!(f, "cannot read or change what signals do: {error}")
            }
            InstallError::Thread(error) => {
                write!(f, "cannot start the coordinator thread: {error}")
            }
        }
    }
}

impl Error for InstallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            InstallError::Ctrlc(error) => Some(error),
            InstallError::Signals(error) | InstallError::Thread(error) => Some(error),
            _ => None,
        }
    }
}

impl SupervisorBuilder {
    /// Makes this the global supervisor and has it own the end of the process: Ctrl-C, SIGTERM and SIGHUP ask for a shutdown, and
    /// a shutdown that `main` did not start ends the process when it is through. Call it in `main`, and keep the guard there.
    ///
    /// If the global supervisor is in use already (something was spawned), it takes these settings and keeps its workers. A signal
    /// that is ignored (`nohup`) stays so; a SIGHUP handler of the program's own is left alone.
    ///
    /// Logs a warning if the deadline (with extensions) is longer than what `SUNDOWN_OUTER_GRACE` allows: set it to what comes between the
    /// request to stop and SIGKILL (30, 1min 30s), since nobody tells a process. Without it, in a service of systemd, the
    /// unit's `TimeoutStopSec=` is looked up. Another warning comes when `main` begins to wait, if graces do not fit into the deadline.
    ///
    /// # Errors
    ///
    /// See [`InstallError`]. Nothing is changed then.
    #[track_caller]
    pub fn install(self) -> Result<Guard, InstallError> {
        let location = Location::caller();
        let installing = Installing::begin()?;
        let core = roots::candidate(self.name.clone(), self.settings.clone())
            .map_err(|_| InstallError::ShuttingDown)?;
        let (sender, messages) = mailbox();
        // Until the end everything can be undone: dropping `signals` puts the handlers back, and `Done` ends the thread.
        let signals = match self.signals {
            true => Some(Signals::install(sender.clone(), &core, &self.on_signal)?),
            false => match self.on_signal.first() {
                Some(handler) => return Err(InstallError::SignalsOff(handler.signal)),
                None => None,
            },
        };
        let theirs = Arc::clone(&core);
        let unblocked = signals.as_ref().map(Signals::ours);
        let coordinator = on_thread("sundown", move || {
            // The others may have inherited a mask that blocks them all, and then nobody would ever hear of one.
            unblocked.into_iter().flatten().for_each(sys::unblock);
            coordinate(&theirs, &messages)
        })
        .map_err(InstallError::Thread)?;
        let main = Arc::new(Worker::new(
            registry::main_id(),
            Traits {
                kind: EntryKind::Main,
                name: Some(Arc::from("main")),
                location,
                grace: Some(Duration::MAX), // until the deadline, whatever the workers get
                daemon: false,
                critical: Critical::No,
            },
            None,
            None,
            &core.observers,
        ));
        main.attach_thread(std::thread::current());
        main.trace.runs_here();
        core.stop.set_extend(extension(&core, &main));
        let (deadline, extensions);
        {
            let mut registry = core.registry.lock();
            if registry.phase != Phase::Running {
                sender.send(Message::Done);
                return Err(InstallError::ShuttingDown); // since a moment ago; whoever asked for it carries it out
            }
            (deadline, extensions) = (self.settings.deadline, self.settings.max_extension);
            registry.settings = self.settings;
            registry.exit_style = Some(self.exit_style);
            registry.coordinator = Some(sender);
            registry.main = Some(Arc::clone(&main));
            registry
                .untold
                .insert(main.id, Entry::Worker(Arc::clone(&main)));
        }
        if let Some(name) = self.name {
            // One that was named when it was made keeps that name.
            let _ = core.observers.name.set(Arc::clone(&name));
            let _ = core.name.set(name);
        }
        roots::make_global(&core);
        current::set_main(true);
        outer_grace::check(deadline, extensions);
        installing.succeeded();
        Ok(Guard {
            parts: Some(Parts {
                core,
                main,
                coordinator,
                signals,
            }),
        })
    }
}

/// The generation (see `fork_generation`) of the process in which a guard exists, or one is being made.
static INSTALLED: Mutex<Option<u32>> = parking_lot::const_mutex(None);

/// The right to install, which exists once; given back unless that succeeds.
struct Installing;

impl Installing {
    fn begin() -> Result<Installing, InstallError> {
        let here = Some(sys::fork_generation());
        let mut installed = INSTALLED.lock();
        if *installed == here {
            return Err(InstallError::AlreadyInstalled);
        }
        *installed = here;
        Ok(Installing)
    }

    fn succeeded(self) {
        std::mem::forget(self);
    }
}

impl Drop for Installing {
    fn drop(&mut self) {
        uninstalled();
    }
}

/// The guard is gone: another installation may follow.
pub(super) fn uninstalled() {
    *INSTALLED.lock() = None;
}

/// Installs with the default settings: `let _guard = sundown::init()?;` as the first line of `main`.
///
/// # Errors
///
/// See [`InstallError`].
#[track_caller]
pub fn init() -> Result<Guard, InstallError> {
    Supervisor::builder().install()
}

/// The coordinator thread: waits for a request, carries it out, and ends the process unless somebody else does.
fn coordinate(core: &Arc<Core>, messages: &Receiver<Message>) {
    match messages.receive(None) {
        Some(Message::Signal(signal)) => {
            core.begin(Cause::Signal(signal), false);
        }
        // `Ending` is for one that awaits the end already.
        Some(Message::Requested | Message::Ending) => {}
        Some(Message::Done) | None => return,
    }
    let (by_leaver, deadline, cause) = {
        let registry = core.registry.lock();
        let cause = registry.cause.clone().unwrap_or(Cause::Requested);
        (registry.by_leaver, registry.deadline, cause)
    };
    if by_leaver {
        core.drive_or_wait();
        return;
    }
    // The process ends after this: what is nested in no supervisor goes as well, with no more time than we have.
    roots::shut_down_all(&cause, deadline);
    let report = core.drive_or_wait();
    let leaving = core.registry.lock().leaving;
    let hears = core.main_hears.load(std::sync::atomic::Ordering::Relaxed);
    let mut flushes = true;
    if leaving || hears {
        flushes = !wait_for_the_end(core, messages);
    }
    end_process(core, &report, flushes);
}

/// `main` (or a thread that is exiting) ends the process. Returns at the deadline if that has not happened. True if it was about to,
/// and what it flushes hangs.
fn wait_for_the_end(core: &Core, messages: &Receiver<Message>) -> bool {
    loop {
        let (end, flushes) = {
            let mut registry = core.registry.lock();
            registry.end_is_awaited = true;
            match registry.flushes_since {
                Some(since) => (Some(since + roots::FLUSH_LIMIT), true),
                None => (registry.deadline, false), // it may have been extended
            }
        };
        if end.is_some_and(|end| end <= Instant::now()) {
            return flushes;
        }
        // `Ending` if it begins to flush. Other messages that may still come are of the request, and change nothing.
        messages.receive(end);
    }
}

/// Ends the process from the coordinator thread.
fn end_process(core: &Core, report: &ShutdownReport, flushes: bool) {
    if flushes {
        // What was printed and not flushed: `main` may hold the lock of stdout, so this is bounded too.
        bounded(roots::FLUSH_LIMIT, || {
            // Nobody is left to be told that standard output is gone.
            let _ = std::io::stdout().flush();
        });
    }
    let style = core
        .registry
        .lock()
        .exit_style
        .unwrap_or(ExitStyle::AsSignal);
    if let Cause::Signal(signal) = *report.cause() {
        match flushes {
            true => roots::end_after_signal(signal, style),
            false => roots::end_by(signal, style),
        }
    }
    let code = i32::from(report.exit_code());
    // `process::exit` runs the atexit handlers of others, which may hang, and pauses for ever if another thread is exiting
    // already: then that one ends the process, or this does.
    let watchdog = on_thread("sundown", move || {
        std::thread::sleep(Duration::from_secs(1));
        sys::exit_now(code)
    });
    match watchdog {
        Ok(_) => std::process::exit(code),
        Err(_) => sys::exit_now(code),
    }
}

//! What a shutdown is waiting for, said while it waits: a live line on a terminal, else a line in the log every few seconds.
//!
//! A timer fires one second into the shutdown and starts a thread that says it; a shutdown that is over sooner never has that
//! thread. All writing is that thread's: if the terminal or the logger blocks, the shutdown goes on.

#[cfg(feature = "progress")]
mod bar;
#[cfg(not(feature = "progress"))]
#[path = "plain.rs"]
mod bar;
mod line;

use std::io::IsTerminal;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use log::Level;
use parking_lot::{Condvar, Mutex};

use crate::base::apart::start;
use crate::base::logging::{self, REPORT_LIMIT};
use crate::stop::timer::{self, Expire, TimerKey};
use crate::supervisor::registry::Core;
use crate::supervisor::SupervisorBuilder;
use bar::Bar;
use line::Line;

/// How long a shutdown may take before anybody is told what it waits for.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often the line on a terminal is drawn afresh.
const REDRAW: Duration = Duration::from_millis(250);
/// How often a line is logged.
const LOG_AGAIN: Duration = Duration::from_secs(3);

impl SupervisorBuilder {
    /// Whether a shutdown that takes longer than a second says what it is waiting for: on standard error if that is a terminal, as a
    /// line that is drawn afresh, else in the log every 3 s. Default: true. Turn it off for a program that draws on the terminal
    /// itself.
    ///
    /// Nested supervisors are included in the line of the outermost one.
    #[must_use]
    pub fn status(mut self, status: bool) -> Self {
        self.settings.status = status;
        self
    }
}

/// The status of one shutdown, as long as that goes on. Dropping it takes the line away.
pub(crate) struct Status {
    timer: TimerKey,
    shared: Arc<Shared>,
}

/// What the shutdown and the thread that speaks share.
struct Shared {
    core: Weak<Core>,
    /// On a terminal; else in the log.
    terminal: bool,
    progress: Mutex<Progress>,
    /// Notified when either side has come further.
    changed: Condvar,
}

#[derive(Default)]
struct Progress {
    /// The thread speaks, and may have drawn something.
    speaking: bool,
    /// The shutdown is through.
    over: bool,
    /// What was drawn is gone again.
    silent: bool,
}

impl Status {
    /// Arranges for a status if the shutdown takes long. `None` if there is nobody to tell.
    pub(crate) fn of(core: &Arc<Core>) -> Option<Status> {
        // What is nested is in the line of the outermost one.
        if core.parent.is_some() || !core.registry.lock().settings.status {
            return None;
        }
        let dumb = std::env::var_os("TERM").map_or(true, |term| term == "dumb" || term.is_empty());
        let terminal = !dumb && std::io::stderr().is_terminal();
        if !terminal && !logging::listens(Level::Info) {
            return None;
        }
        let shared = Arc::new(Shared {
            core: Arc::downgrade(core),
            terminal,
            progress: Mutex::new(Progress::default()),
            changed: Condvar::new(),
        });
        let target: Arc<dyn Expire> = shared.clone();
        Some(Status {
            timer: timer::at(Instant::now() + PATIENCE, Arc::downgrade(&target)),
            shared,
        })
    }
}

impl Drop for Status {
    fn drop(&mut self) {
        timer::cancel(self.timer);
        let limit = Instant::now() + REPORT_LIMIT;
        let mut progress = self.shared.progress.lock();
        progress.over = true;
        self.shared.changed.notify_all();
        // What comes next is written where the line is: so that one goes first, unless the terminal does not take it.
        while progress.speaking && !progress.silent {
            if self
                .shared
                .changed
                .wait_until(&mut progress, limit)
                .timed_out()
            {
                return;
            }
        }
    }
}

impl Expire for Shared {
    fn expire(self: Arc<Self>) {
        // This is the thread of all timers: without another there is nobody to speak.
        start(move || {
            {
                let mut progress = self.progress.lock();
                if progress.over {
                    return;
                }
                progress.speaking = true;
            }
            self.speak();
            self.progress.lock().silent = true;
            self.changed.notify_all();
        });
    }
}

impl Shared {
    /// Says what is waited for until the shutdown is through.
    fn speak(&self) {
        let mut bar = Bar::new();
        while let Some(line) = self.core.upgrade().and_then(|core| Line::of(&core)) {
            let again = if self.terminal {
                bar.draw(&line);
                REDRAW
            } else {
                logging::log_bounded(Level::Info, line.text(None));
                LOG_AGAIN
            };
            let next = Instant::now() + again;
            let mut progress = self.progress.lock();
            while !progress.over {
                if self.changed.wait_until(&mut progress, next).timed_out() {
                    break;
                }
            }
            if progress.over {
                break;
            }
        }
        bar.clear();
    }
}

//! Lines for the logger: written down where things happen, and logged in that order by a thread that runs while there are any.
//!
//! Writing down calls nobody, so it may be done with locks held. A logger that blocks (the log may be written by a worker that is
//! gone) holds up only that thread; [`flush`] waits for it, with a limit, where what was said must be out before going on.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::Level;
use parking_lot::{Condvar, Mutex};

use super::logging::{self, listens, print, REPORT_LIMIT};
use crate::sys;

/// One thing to say, and what it is about.
pub(crate) struct Line {
    pub(crate) level: Level,
    pub(crate) text: String,
    pub(crate) about: About,
}

/// The key-values of a line.
#[derive(Default)]
pub(crate) struct About {
    /// What happened, in one word.
    pub(crate) event: Option<&'static str>,
    /// The number of the worker (or nested supervisor) that it happened to.
    pub(crate) id: Option<u64>,
    pub(crate) name: Option<Arc<str>>,
    /// The supervisor that it happened in.
    pub(crate) supervisor: Option<Arc<str>>,
}

/// What waits for the logger. A leaf lock: nothing of a user's is called with it held.
static LINES: Mutex<Lines> = parking_lot::const_mutex(Lines::new());
/// Notified when a line has been logged, and when the lines are taken by someone else.
static SETTLED: Condvar = Condvar::new();
/// How many lines are not settled: lets who has nothing to wait for do without the lock. Written under it.
static OPEN: AtomicUsize = AtomicUsize::new(0);
/// How many lines are kept for a logger that does not keep up; what is more is counted.
const MOST: usize = 10_000;

/// Nobody holds the lock for long, but in a forked child it may be held for ever by a thread that exists only in the parent.
const LOCK_LIMIT: Duration = Duration::from_millis(100);

struct Lines {
    waiting: VecDeque<Line>,
    /// How many lines were ever written down, and how many of them were logged or printed. They leave in order.
    written: u64,
    settled: u64,
    /// In which process (see `fork_generation`) a thread logs them, if one does.
    logged_in: Option<u32>,
    /// The logger did not return within its limit, and has not since: what comes is printed.
    stuck: bool,
    /// Lines for which there was no room.
    lost: u64,
}

impl Lines {
    const fn new() -> Lines {
        Lines {
            waiting: VecDeque::new(),
            written: 0,
            settled: 0,
            logged_in: None,
            stuck: false,
            lost: 0,
        }
    }

    /// In a forked child the lines, and the thread that logs them, are those of the parent.
    fn forget_those_of_a_parent(&mut self) {
        let here = sys::fork_generation();
        if self.logged_in.is_some_and(|generation| generation != here) {
            *self = Lines::new();
            self.settle(0);
        }
    }

    fn settle(&mut self, up_to: u64) {
        self.settled = self.settled.max(up_to);
        let open = usize::try_from(self.written - self.settled).unwrap_or(usize::MAX);
        // Relaxed: who wrote a line down sees its own count; more is not promised.
        OPEN.store(open, Ordering::Relaxed);
    }
}

/// Writes a line down, to be logged at once on another thread. Calls nobody.
pub(crate) fn post(line: Line) {
    if !listens(line.level) {
        return;
    }
    let here = sys::fork_generation();
    let start = {
        let Some(mut lines) = LINES.try_lock_for(LOCK_LIMIT) else {
            return;
        };
        lines.forget_those_of_a_parent();
        if lines.waiting.len() >= MOST {
            lines.lost += 1;
            return;
        }
        lines.waiting.push_back(line);
        lines.written += 1;
        let settled = lines.settled;
        lines.settle(settled);
        lines.logged_in.replace(here).is_none()
    };
    if start {
        // Boxed, as in `base::apart`; a real one also in a model.
        let log_all: Box<dyn FnOnce() + Send> = Box::new(log_all);
        let started = std::thread::Builder::new()
            .name("sundown-log".into())
            .spawn(log_all);
        if started.is_err() {
            // They wait for the next line, or for somebody who flushes.
            LINES.lock().logged_in = None;
            SETTLED.notify_all();
        }
    }
}

/// Logs what waits, until nothing does.
fn log_all() {
    loop {
        let (line, number, lost) = {
            let mut lines = LINES.lock();
            let Some(line) = lines.waiting.pop_front() else {
                lines.logged_in = None;
                return;
            };
            let number = lines.written - lines.waiting.len() as u64;
            (line, number, std::mem::take(&mut lines.lost))
        };
        if lost > 0 {
            logging::log(Level::Warn, format_args!("{}", Lost(lost)));
        }
        logging::log_line(&line);
        let mut lines = LINES.lock();
        lines.stuck = false;
        lines.settle(number);
        drop(lines);
        SETTLED.notify_all();
    }
}

/// Waits until everything that was written down before this has been logged, at most for `REPORT_LIMIT`. If the logger is stuck,
/// what waits for it is printed on standard error instead, and nobody waits for the logger again until it returns.
pub(crate) fn flush() {
    if OPEN.load(Ordering::Relaxed) == 0 {
        return;
    }
    let limit = Instant::now() + REPORT_LIMIT;
    let Some(mut lines) = LINES.try_lock_for(LOCK_LIMIT) else {
        return;
    };
    lines.forget_those_of_a_parent();
    let ours = lines.written;
    let mut late = false;
    while lines.settled < ours && !lines.stuck && !late && lines.logged_in.is_some() {
        late = SETTLED.wait_until(&mut lines, limit).timed_out();
    }
    if lines.settled >= ours {
        return;
    }
    let newly = late && !std::mem::replace(&mut lines.stuck, true);
    let to_logger = !lines.stuck; // no thread could be started
    let rest = std::mem::take(&mut lines.waiting);
    let lost = std::mem::take(&mut lines.lost);
    let all = lines.written;
    lines.settle(all);
    drop(lines);
    SETTLED.notify_all();
    if newly {
        print("sundown: the logger does not return; what follows is printed here\n");
    }
    for line in rest {
        if to_logger {
            logging::log_line(&line);
        } else {
            print(&format!("sundown: {}\n", line.text));
        }
    }
    if lost > 0 {
        print(&format!("sundown: {}\n", Lost(lost)));
    }
}

/// How many lines found no room.
struct Lost(u64);

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lost(lines) = self;
        write!(f, "{lines} lines are missing: the logger did not keep up")
    }
}

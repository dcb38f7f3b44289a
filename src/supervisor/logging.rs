//! What is said through `log`, target `sundown`, at the moment it happens. A logger that panics is not our end.

use std::fmt;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::mpsc;
use std::time::Duration;

use log::Level;

use super::callback::message_of_panic;
use super::report::EntryKind;
use super::text::Printable;

/// The target of everything that the library logs.
const TARGET: &str = "sundown";
/// How long the shutdown waits for the logger, or for standard error, at each thing it has to say.
pub(crate) const REPORT_LIMIT: Duration = Duration::from_millis(500);

/// Whether any logger listens at this level. With none installed the maximum level is `Off`.
pub(crate) fn listens(level: Level) -> bool {
    level <= log::max_level()
}

/// Logs on this thread, whatever the logger does. Only where a logger that blocks holds up no way out.
pub(crate) fn log(level: Level, text: fmt::Arguments<'_>) {
    if !listens(level) {
        return;
    }
    let said = catch_unwind(AssertUnwindSafe(|| {
        log::log!(target: TARGET, level, "{text}");
    }));
    if let Err(payload) = said {
        message_of_panic(payload);
    }
}

/// Logs on a thread of its own and waits at most `limit` for it: the log may be written by a worker that is gone.
pub(crate) fn log_bounded(level: Level, limit: Duration, text: String) {
    if listens(level) {
        bounded(limit, move || log(level, format_args!("{text}")));
    }
}

/// Runs `job` on a thread of its own and waits at most `limit`. Here, if no thread can be had.
pub(crate) fn bounded(limit: Duration, job: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel::<()>();
    let job = std::sync::Arc::new(parking_lot::Mutex::new(Some(job)));
    let theirs = std::sync::Arc::clone(&job);
    let started = std::thread::Builder::new()
        .name("sundown-log".into())
        .spawn(move || {
            let job = theirs.lock().take();
            if let Some(job) = job {
                job();
            }
            drop(done);
        });
    match started {
        // The sender is dropped when the job is through, whether it returned or panicked; else the limit has passed.
        Ok(_) => drop(ended.recv_timeout(limit)),
        Err(_) => {
            let job = job.lock().take();
            if let Some(job) = job {
                job();
            }
        }
    }
}

pub(crate) fn callback_panicked(kind: EntryKind, name: Option<&str>, message: &str) {
    log(
        Level::Error,
        format_args!(
            "the callback of {} {} panicked: {}",
            kind.label(),
            Printable(name.unwrap_or("<unnamed>")),
            Printable(message)
        ),
    );
}

pub(crate) fn stop_callback_panicked(payload: Box<dyn std::any::Any + Send>) {
    let message = message_of_panic(payload);
    let message = Printable(&message);
    log(
        Level::Error,
        format_args!("a callback registered with a stop token panicked: {message}"),
    );
}

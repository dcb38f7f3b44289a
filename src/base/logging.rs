//! What is said through `log`, target `sundown`, at the moment it happens. A logger that panics is not our end.

use std::fmt;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use log::Level;

use super::log_queue::{flush, post, About, Line};
use super::panics::message_of_panic;
use super::text::Printable;
use crate::sys;

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

/// Standard error has not taken what we had to say, within its limit.
static STDERR_STUCK: AtomicBool = AtomicBool::new(false);

/// Logs a line that was written down, on this thread, with its key-values.
pub(super) fn log_line(line: &Line) {
    let Line { level, text, about } = line;
    let said = catch_unwind(AssertUnwindSafe(|| {
        log::log!(
            target: TARGET,
            *level,
            event = about.event, id = about.id, name = about.name.as_deref(), supervisor = about.supervisor.as_deref();
            "{text}"
        );
    }));
    if let Err(payload) = said {
        message_of_panic(payload);
    }
}

/// Logs, and waits for that at most `REPORT_LIMIT`, for the log may be written by a worker that is gone. Once the logger is stuck,
/// what there is to say goes to standard error instead, and nobody waits for the logger again.
pub(crate) fn log_bounded(level: Level, text: String) {
    let about = About::default();
    post(Line { level, text, about });
    flush();
}

/// A line stands on the terminal that the next thing printed is to take the place of.
static LINE_OPEN: AtomicBool = AtomicBool::new(false);
/// To the beginning of the line, and clear it.
const OVER: &str = "\r\x1b[K";

/// Prints a line on a terminal in place of the one that this printed before; an empty one takes that away.
pub(crate) fn print_over(line: &str) {
    // Relaxed: only the order of what appears on a terminal hangs on it, and that is anybody's who writes there.
    if LINE_OPEN.swap(!line.is_empty(), Ordering::Relaxed) || !line.is_empty() {
        print_bounded(&format!("{OVER}{line}"));
    }
}

/// Says that somebody else has drawn a line there that is to be taken away like ours.
#[cfg(feature = "progress")]
pub(crate) fn line_is_open() {
    LINE_OPEN.store(true, Ordering::Relaxed);
}

/// Prints on standard error, bounded: after the first failure it is not waited for again.
pub(crate) fn print(text: &str) {
    match LINE_OPEN.swap(false, Ordering::Relaxed) {
        true => print_bounded(&format!("{OVER}{text}")),
        false => print_bounded(text),
    }
}

fn print_bounded(text: &str) {
    let limit = match STDERR_STUCK.load(Ordering::Relaxed) {
        true => Duration::ZERO,
        false => REPORT_LIMIT,
    };
    if !sys::write_stderr(text, limit) {
        STDERR_STUCK.store(true, Ordering::Relaxed);
    }
}

/// `kind` says what the callback belongs to.
pub(crate) fn callback_panicked(kind: &str, name: Option<&str>, message: &str) {
    log(
        Level::Error,
        format_args!(
            "the callback of {} {} panicked: {}",
            kind,
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

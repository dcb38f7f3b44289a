//! Why a shutdown began.

use std::fmt;

use super::text::Printable;
use crate::sys;

/// Why a shutdown began. The first cause wins; later ones change nothing.
///
/// ```
/// use sundown::{Cause, Supervisor};
///
/// let supervisor = Supervisor::new();
/// assert!(supervisor.request_shutdown(Cause::Signal(15)));
/// assert!(!supervisor.request_shutdown(Cause::Requested)); // there is a cause already
/// let report = supervisor.shutdown();
/// assert_eq!((report.cause(), report.exit_code()), (&Cause::Signal(15), 143));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum Cause {
    /// Somebody asked for it: `shutdown()`, or `request_shutdown` with this cause.
    Requested,
    /// `main` returned, or the guard was dropped.
    Returned,
    /// A panic unwound `main` and with it the guard.
    Panicked,
    /// The process is exiting with this code: `sundown::exit`, `std::process::exit`.
    Exit(i32),
    /// This signal came.
    Signal(i32),
    /// A critical worker ended.
    #[non_exhaustive]
    WorkerEnded {
        /// Its name, if it had one.
        name: Option<String>,
        /// Whether it panicked.
        panicked: bool,
    },
    /// A critical worker returned an error, and is not started again.
    #[non_exhaustive]
    WorkerFailed {
        /// Its name, if it had one.
        name: Option<String>,
        /// The text of the error.
        failure: String,
    },
    /// A worker failed too often, past the limit of its [`Restart`](crate::restart::Restart).
    #[non_exhaustive]
    GaveUp {
        /// Its name, if it had one.
        name: Option<String>,
        /// How often it was started again.
        restarts: u32,
        /// How its last run ended: the message of its panic, or the text of its error.
        failure: String,
    },
}

impl Cause {
    /// The code with which a process ends that has no say of its own: 128 + n for a signal, 1 for a worker that failed, 101 for a
    /// panic in `main`, the given code for an exit, else 0.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Cause::Requested | Cause::Returned => 0,
            Cause::Panicked => 101,
            // The system keeps the low eight bits of a code.
            Cause::Exit(code) => (code & 0xff) as u8,
            Cause::Signal(signal) => 128_i32.saturating_add(*signal).clamp(0, 255) as u8,
            Cause::WorkerEnded { panicked, .. } => u8::from(*panicked),
            Cause::WorkerFailed { .. } | Cause::GaveUp { .. } => 1,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Requested => f.write_str("a request"),
            Cause::Returned => f.write_str("the end of main"),
            Cause::Panicked => f.write_str("a panic in main"),
            Cause::Exit(code) => write!(f, "exit({code})"),
            Cause::Signal(signal) => match sys::signal_name(*signal) {
                Some(name) => f.write_str(name),
                None => write!(f, "signal {signal}"),
            },
            Cause::WorkerEnded { name, panicked } => {
                let how = if *panicked { "panic" } else { "end" };
                match name {
                    Some(name) => write!(f, "the {how} of critical worker {}", Printable(name)),
                    None => write!(f, "the {how} of an unnamed critical worker"),
                }
            }
            Cause::WorkerFailed { name, failure } => {
                match name {
                    Some(name) => write!(f, "the failure of critical worker {}", Printable(name))?,
                    None => f.write_str("the failure of an unnamed critical worker")?,
                }
                write!(f, " ({})", Printable(failure))
            }
            Cause::GaveUp {
                name,
                restarts,
                failure,
            } => {
                let name = name.as_deref().unwrap_or("<unnamed>");
                let s = if *restarts == 1 { "" } else { "s" };
                write!(
                    f,
                    "giving up worker {}, which failed again after {restarts} restart{s} ({})",
                    Printable(name),
                    Printable(failure)
                )
            }
        }
    }
}

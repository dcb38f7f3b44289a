//! What happens to workers and supervisors, as those see it who subscribe, and as it is logged.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use log::Level;

use super::kind::WorkerId;
use super::report::ShutdownReport;
use crate::base::cause::Cause;
use crate::base::text::{Printable, Short};
use crate::stop::StopReason;
use crate::sync::Instant;

/// Something that happened to a worker or a supervisor. See [`Supervisor::subscribe`](crate::Supervisor::subscribe).
///
/// Its `Display` is the line that is logged.
///
/// ```
/// use sundown::Supervisor;
///
/// let supervisor = Supervisor::new();
/// let events = supervisor.subscribe(16);
/// supervisor.worker().name("adder".into()).spawn(|| 1 + 1)?.join().unwrap();
/// let event = events.recv().unwrap();
/// assert_eq!(event.name.as_deref(), Some("adder"));
/// assert!(event.to_string().ends_with("has started"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The number of the worker, or of the nested supervisor; `None` for a supervisor that is nested in none.
    pub id: Option<WorkerId>,
    /// The name of the worker, or of the supervisor, if it has one.
    pub name: Option<Arc<str>>,
    /// The name of the supervisor that it happened in, if that has one.
    pub supervisor: Option<Arc<str>>,
    /// When. Events of one subscription never go back in time.
    pub at: Instant,
    /// How many events this subscriber has missed between the one before and this, because it did not keep up.
    pub missed: u64,
}

/// What happened.
///
/// ```
/// use sundown::events::EventKind;
/// use sundown::Supervisor;
///
/// let supervisor = Supervisor::new();
/// let events = supervisor.subscribe(16);
/// supervisor.shutdown();
/// let kinds: Vec<_> = events.iter().map(|event| event.kind).collect(); // ends with the subscription
/// assert!(matches!(&kinds[..], [EventKind::ShutdownBegan(_), EventKind::ShutdownEnded(_)]));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EventKind {
    /// A worker's thread has been started. The first event of each worker.
    Started,
    /// A worker called [`Ready::ok`](crate::ready::Ready::ok).
    Ready,
    /// A worker was told to stop, for this reason. With [`StopReason::Restart`] only its present run is meant.
    TerminateRequested(StopReason),
    /// A worker's function has returned.
    Finished,
    /// A worker that is not started again returned an `Err` with this text, without having been told to stop.
    Failed(String),
    /// A worker's function has panicked, with this message, and is not started again.
    Panicked(String),
    /// A worker will be started again.
    #[non_exhaustive]
    Restarting {
        /// How often it has been, with this one.
        restarts: u32,
        /// After this long.
        pause: Duration,
        /// How its last run failed; `None` if it did not, or if a sibling is the reason.
        failure: Option<String>,
    },
    /// A worker has failed too often, and is not started again.
    #[non_exhaustive]
    GaveUp {
        /// How often it was started again.
        restarts: u32,
        /// How its last run ended.
        failure: String,
    },
    /// A shutdown of the supervisor was requested.
    ShutdownBegan(Cause),
    /// A worker was still running when its time was up.
    Straggler,
    /// The supervisor's shutdown is through. The last event of a subscription to that supervisor.
    ShutdownEnded(ShutdownReport),
}

impl EventKind {
    /// What the log calls it.
    pub(super) fn label(&self) -> &'static str {
        match self {
            EventKind::Started => "started",
            EventKind::Ready => "ready",
            EventKind::TerminateRequested(_) => "terminate_requested",
            EventKind::Finished => "finished",
            EventKind::Failed(_) => "failed",
            EventKind::Panicked(_) => "panicked",
            EventKind::Restarting { .. } => "restarting",
            EventKind::GaveUp { .. } => "gave_up",
            EventKind::ShutdownBegan(_) => "shutdown_began",
            EventKind::Straggler => "straggler",
            EventKind::ShutdownEnded(_) => "shutdown_ended",
        }
    }
}

/// At which level the events are logged that happen to every worker.
pub(crate) const USUAL: Level = Level::Debug;

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = matches!(
            self.kind,
            EventKind::ShutdownBegan(_) | EventKind::ShutdownEnded(_)
        );
        if !whole || self.id.is_some() {
            f.write_str(if whole { "supervisor " } else { "worker " })?;
            match &self.name {
                Some(name) => write!(f, "{}", Printable(name))?,
                None => f.write_str("<unnamed>")?,
            }
            if let Some(id) = self.id {
                write!(f, " ({id})")?;
            }
            f.write_str(if whole { ": " } else { " " })?;
        }
        match &self.kind {
            EventKind::Started => f.write_str("has started"),
            EventKind::Ready => f.write_str("is ready"),
            EventKind::TerminateRequested(reason) => write!(f, "is told to stop by {reason}"),
            EventKind::Finished => f.write_str("has finished"),
            EventKind::Failed(text) => write!(f, "failed: {}", Printable(text)),
            EventKind::Panicked(message) => write!(f, "panicked: {}", Printable(message)),
            EventKind::Restarting {
                restarts,
                pause,
                failure,
            } => {
                write!(f, "restarts for the {} time", Nth(*restarts))?;
                if !pause.is_zero() {
                    write!(f, " in {}", Short(*pause))?;
                }
                match failure {
                    Some(failure) => write!(f, ": {}", Printable(failure)),
                    None => Ok(()),
                }
            }
            EventKind::GaveUp { restarts, failure } => write!(
                f,
                "is given up after {restarts} restart{}: {}",
                if *restarts == 1 { "" } else { "s" },
                Printable(failure)
            ),
            EventKind::ShutdownBegan(cause) => write!(f, "shutting down after {cause}"),
            EventKind::Straggler => f.write_str("is still running, though its time is up"),
            EventKind::ShutdownEnded(report) => report.fmt(f),
        }
    }
}

/// An ordinal number.
struct Nth(u32);

impl fmt::Display for Nth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ending = match (self.0 % 10, self.0 % 100) {
            (1, n) if n != 11 => "st",
            (2, n) if n != 12 => "nd",
            (3, n) if n != 13 => "rd",
            _ => "th",
        };
        write!(f, "{}{ending}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_counted_as_people_do() {
        for (number, said) in [
            (1, "1st"),
            (2, "2nd"),
            (3, "3rd"),
            (4, "4th"),
            (10, "10th"),
            (11, "11th"),
            (12, "12th"),
            (13, "13th"),
            (21, "21st"),
            (22, "22nd"),
            (23, "23rd"),
            (101, "101st"),
            (111, "111th"),
            (112, "112th"),
            (1013, "1013th"),
        ] {
            assert_eq!(Nth(number).to_string(), said);
        }
    }

    #[test]
    fn each_event_says_who_and_what() {
        let event = |name: Option<&str>, id, kind| Event {
            kind,
            id,
            name: name.map(Arc::from),
            supervisor: None,
            at: Instant::now(),
            missed: 0,
        };
        let id = std::num::NonZeroU64::new(7).map(WorkerId);
        let said = |name, id, kind| event(name, id, kind).to_string();
        assert_eq!(
            said(Some("a"), id, EventKind::Started),
            "worker a (#7) has started"
        );
        assert_eq!(
            said(None, None, EventKind::Ready),
            "worker <unnamed> is ready"
        );
        let began = || EventKind::ShutdownBegan(Cause::Requested);
        assert_eq!(said(None, None, began()), "shutting down after a request");
        // Nested in another.
        assert_eq!(
            said(Some("tier"), id, began()),
            "supervisor tier (#7): shutting down after a request"
        );
        let restarting = |restarts, pause, failure: Option<&str>| EventKind::Restarting {
            restarts,
            pause: Duration::from_secs(pause),
            failure: failure.map(Into::into),
        };
        assert_eq!(
            said(Some("a"), None, restarting(1, 0, None)),
            "worker a restarts for the 1st time"
        );
        assert_eq!(
            said(Some("a"), None, restarting(2, 3, Some("x"))),
            "worker a restarts for the 2nd time in 3.00 s: x"
        );
        let gave_up = |restarts| EventKind::GaveUp {
            restarts,
            failure: "x".into(),
        };
        assert_eq!(
            said(Some("a"), None, gave_up(1)),
            "worker a is given up after 1 restart: x"
        );
        assert_eq!(
            said(Some("a"), None, gave_up(2)),
            "worker a is given up after 2 restarts: x"
        );
    }
}

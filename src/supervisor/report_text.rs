//! The report as an operator reads it: a summary, then a line for each entry, stuck and slow first.

use super::report::{CallbackFault, EntryReport, Outcome, ShutdownReport};
use crate::base::sort::sort_by_key;
use crate::base::text::{Printable, Short};
use std::fmt;

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries();
        let verb = if self.is_complete() {
            "took"
        } else {
            "is still going on after"
        };
        write!(
            f,
            "shutdown after {} {verb} {}",
            self.cause(),
            Short(self.elapsed())
        )?;
        let mut separator = ": ";
        let count = |what: &str| entries.iter().filter(|e| state(e) == what).count();
        let counts = ["stuck", "panicked", "failed", "fine"].map(|what| (what, count(what)));
        for (what, count) in counts {
            if count > 0 {
                write!(f, "{separator}{count} {what}")?;
                separator = ", ";
            }
        }
        for cause in self.secondary() {
            write!(f, "\n  then      {cause}")?;
        }
        let mut sorted: Vec<&EntryReport> = entries.iter().collect();
        // Entries of one rank and one duration stay in the order in which they were told.
        sort_by_key(&mut sorted, |e| (rank(e), u64::MAX - slowness(e)));
        for entry in sorted {
            write!(f, "\n  {}", Line(entry))?;
            if let Some(straggler) = entry.straggler() {
                for line in straggler.to_string().lines() {
                    write!(f, "\n{INDENT}{line}")?;
                }
            }
        }
        Ok(())
    }
}

/// What the summary counts it as.
fn state(entry: &EntryReport) -> &'static str {
    match entry.outcome() {
        _ if entry.is_straggler() => "stuck",
        _ if entry.is_clean() => "fine",
        Outcome::Failed(_) => "failed",
        _ if failed(entry) => "failed",
        _ => "panicked", // it, or its callback
    }
}

/// What went wrong with it is what it noted itself.
fn failed(entry: &EntryReport) -> bool {
    let panicked = matches!(entry.outcome(), Outcome::Panicked(_));
    let noted = entry.has_noted_fault() && !entry.is_straggler();
    noted && !panicked && entry.callback_fault().is_none()
}

/// Where what is said of a straggler begins: under its name.
const INDENT: &str = "            ";

/// What catches the eye first.
fn rank(entry: &EntryReport) -> u64 {
    match (entry.is_straggler(), entry.is_clean()) {
        (true, _) => 0,
        (false, false) => 1,
        (false, true) => 2,
    }
}

/// What an entry cost the shutdown, in hundredths of a second: what took less was no wait to speak of, and stays in order.
fn slowness(entry: &EntryReport) -> u64 {
    let cost = entry.waited().max(entry.callback().unwrap_or_default());
    u64::try_from(cost.as_millis() / 10).unwrap_or(u64::MAX)
}

/// One entry: state in a column, then who it is, then what happened.
struct Line<'a>(&'a EntryReport);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = self.0;
        let state = match entry.outcome() {
            Outcome::Finished if entry.is_straggler() => "STUCK",
            Outcome::Finished if failed(entry) => "FAILED",
            Outcome::Finished => "finished",
            Outcome::Panicked(_) => "PANICKED",
            Outcome::Failed(_) => "FAILED",
            Outcome::Straggler => "STUCK",
            Outcome::Caller => "caller",
            Outcome::Daemon => "daemon",
        };
        write!(f, "{state:<8}  ")?;
        match entry.name() {
            Some(name) => write!(f, "{}", Printable(name))?,
            None => f.write_str("<unnamed>")?,
        }
        let location = entry.location();
        write!(f, " ({} {}", entry.kind().label(), entry.id())?;
        if let Some(supervisor) = entry.supervisor() {
            write!(f, " of {}", Printable(supervisor))?;
        }
        write!(f, ", {}:{})", location.file(), location.line())?;
        match entry.outcome() {
            Outcome::Straggler => write!(
                f,
                ": still running {} after it was told",
                Short(entry.waited())
            )?,
            Outcome::Panicked(message) | Outcome::Failed(message) => {
                write!(f, ": {}", Printable(message))?;
            }
            Outcome::Caller => f.write_str(": waits for this shutdown")?,
            Outcome::Daemon => f.write_str(": left running, as asked")?,
            Outcome::Finished => write!(f, " {} after it was told", Short(entry.waited()))?,
        }
        if let Some(extended) = entry.extended() {
            write!(f, "; had {} more than its limit", Short(extended))?;
        }
        if entry.restarts() > 0 {
            write!(f, "; restarts: {}", entry.restarts())?;
        }
        // What a worker that failed for good last failed with has been said already.
        if let Some(failure) = entry.last_failure().filter(|_| entry.is_clean()) {
            write!(f, "; last failure: {}", Printable(failure))?;
        }
        match (entry.callback_fault(), entry.callback()) {
            (Some(CallbackFault::Hung), _) => f.write_str("; its callback DID NOT RETURN")?,
            (Some(CallbackFault::Panicked(message)), _) => {
                write!(f, "; its callback PANICKED: {}", Printable(message))?;
            }
            (None, Some(took)) => write!(f, "; callback {}", Short(took))?,
            (None, None) => {}
        }
        match entry.note() {
            Some(note) => write!(f, "; {}", Printable(note)),
            None => Ok(()),
        }
    }
}

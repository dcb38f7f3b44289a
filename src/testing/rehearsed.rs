//! What a rehearsal came to: each of its runs, and what went wrong in it.

use std::fmt;
use std::panic::Location;

use super::checkpoint::Checkpoint;
use crate::ShutdownReport;

/// What a rehearsal came to. Its `Display` says which runs did not end clean, and why.
///
/// ```
/// use sundown::testing::{checkpoint, Rehearsal, Rehearsed};
///
/// let rehearsed: Rehearsed = Rehearsal::new().run(|| checkpoint("settings read"));
/// assert!(rehearsed.is_clean(), "{rehearsed}");
/// assert_eq!(rehearsed.runs().len(), 2); // the run that looks for checkpoints, and one for each
/// ```
#[derive(Clone, Debug)]
pub struct Rehearsed {
    runs: Vec<Run>,
}

impl Rehearsed {
    pub(super) fn new(runs: Vec<Run>) -> Rehearsed {
        Rehearsed { runs }
    }

    /// The run that looked for checkpoints, then the run for each of them, in the order in which they were first passed.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Every run ended clean.
    pub fn is_clean(&self) -> bool {
        self.runs.iter().all(Run::is_clean)
    }
}

impl fmt::Display for Rehearsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = self.runs.iter().filter(|run| !run.is_clean());
        let count = self.runs.len();
        match failed.clone().count() {
            0 => write!(f, "the shutdown was rehearsed in {count} runs, all clean")?,
            failed => write!(f, "{failed} of {count} runs did not end clean")?,
        }
        for run in failed {
            write!(f, "\n{run}")?;
        }
        Ok(())
    }
}

/// One run of a program that was rehearsed.
///
/// ```
/// use sundown::testing::{checkpoint, Rehearsal};
///
/// let rehearsed = Rehearsal::new().run(|| checkpoint("settings read"));
/// let run = &rehearsed.runs()[1];
/// assert_eq!(run.checkpoint(), Some("settings read"));
/// assert!(run.report().is_clean() && run.failures().is_empty());
/// ```
#[derive(Clone, Debug)]
pub struct Run {
    /// Where the shutdown came; `None` for the run that looked for checkpoints.
    checkpoint: Option<Checkpoint>,
    /// The shutdown was requested where it should be.
    pub(super) reached: bool,
    report: ShutdownReport,
    failures: Vec<String>,
}

impl Run {
    pub(super) fn new(reached: bool, report: ShutdownReport, failures: Vec<String>) -> Run {
        Run {
            checkpoint: None,
            reached,
            report,
            failures,
        }
    }

    pub(super) fn at(mut self, checkpoint: Checkpoint) -> Run {
        self.checkpoint = Some(checkpoint);
        self
    }

    pub(super) fn fail(&mut self, failure: impl Into<String>) {
        self.failures.push(failure.into());
    }

    /// The checkpoint at which the shutdown was requested; `None` for the run that looked for checkpoints.
    pub fn checkpoint(&self) -> Option<&'static str> {
        self.checkpoint.map(|checkpoint| checkpoint.name)
    }

    /// Where the checkpoint stands (if it stands in several places: the one that was passed first).
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.checkpoint.map(|checkpoint| checkpoint.location)
    }

    /// The report of its shutdown.
    pub fn report(&self) -> &ShutdownReport {
        &self.report
    }

    /// What went wrong, one text for each thing; empty if it ended clean.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Nothing went wrong.
    pub fn is_clean(&self) -> bool {
        self.failures.is_empty()
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.checkpoint {
            None => f.write_str("the run that looked for checkpoints:")?,
            Some(Checkpoint { name, location }) => {
                let (file, line) = (location.file(), location.line());
                write!(f, "the shutdown at {name:?} ({file}:{line}):")?;
            }
        }
        if self.is_clean() {
            f.write_str(" clean")?;
        }
        for failure in &self.failures {
            write!(f, "\n  {}", failure.replace('\n', "\n  "))?;
        }
        Ok(())
    }
}

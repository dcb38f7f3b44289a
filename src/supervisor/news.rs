//! What a worker's observers hear of it.
//!
//! They are told with the record's own lock held, so in the order in which it happened, and of its start first: a worker may be told
//! to stop before its thread has been started, and even that they hear afterwards.

use std::time::Duration;

use log::Level;

use super::event::{EventKind, USUAL};
use super::kind::EntryKind;
use super::observers::wanted;
use super::worker::{End, Progress, Worker};
use crate::base::cause::Cause;

/// What is known of a worker that failed and was, or was to be, started again.
#[derive(Clone, Default)]
pub(crate) struct Restarts {
    /// How often it was started again.
    pub(crate) count: u32,
    /// How its last run failed, if it did.
    pub(crate) last_failure: Option<String>,
    /// It is not started again although it failed, and its supervisor is to shut down.
    gave_up: bool,
}

impl Worker {
    /// Its thread has been started. The thread itself says so before anything else, and its spawner before it goes on: whoever comes
    /// first.
    pub(crate) fn announce_started(&self) {
        // Without the lock if nobody would hear of it; whoever says something of it later says this first.
        if wanted(USUAL) {
            self.announce_start(&mut self.progress.lock());
        }
    }

    pub(super) fn announce_start(&self, progress: &mut Progress) {
        // `main` was started before there were any observers.
        if self.traits.kind == EntryKind::Main || std::mem::replace(&mut progress.announced, true) {
            return;
        }
        self.announce(USUAL, || EventKind::Started);
        self.announce_told(progress);
    }

    /// It has just been told to stop.
    pub(super) fn announce_told(&self, progress: &Progress) {
        if let Some(told) = progress.told.as_ref().filter(|_| progress.announced) {
            self.announce(USUAL, || {
                EventKind::TerminateRequested(told.stop.reason.clone())
            });
        }
    }

    /// Its closure has ended.
    pub(super) fn announce_end(&self, end: &End) {
        match end {
            End::Returned => self.announce(USUAL, || EventKind::Finished),
            End::Failed(text) => {
                self.announce(Level::Error, || EventKind::Failed(text.to_string()))
            }
            End::Panicked(text) => {
                self.announce(Level::Error, || EventKind::Panicked(text.to_string()));
            }
        }
    }

    /// Something else happened to it.
    pub(crate) fn announce(&self, level: Level, kind: impl FnOnce() -> EventKind) {
        let who = (self.id, self.traits.name.as_ref());
        self.observers.announce(level, who, kind);
    }

    // ---- being started again

    /// It will be started again after `pause`. `failure`: how its last run failed, if that is why.
    pub(crate) fn restarts_after(&self, pause: Duration, failure: Option<String>) {
        let mut progress = self.progress.lock();
        let known = &mut progress.rare().restarts;
        let restarts = known.count.saturating_add(1);
        if failure.is_some() {
            known.last_failure.clone_from(&failure);
        }
        let level = if failure.is_some() {
            Level::Warn
        } else {
            USUAL
        };
        self.announce(level, || EventKind::Restarting {
            restarts,
            pause,
            failure,
        });
    }

    /// Its last run failed, if it did, and nothing follows from that any more.
    pub(crate) fn failed(&self, failure: Option<String>) {
        if failure.is_some() {
            let mut progress = self.progress.lock();
            let known = &mut progress.rare().restarts;
            known.last_failure = failure;
        }
    }

    /// It has been.
    pub(crate) fn restarted(&self) {
        let mut progress = self.progress.lock();
        let known = &mut progress.rare().restarts;
        known.count = known.count.saturating_add(1);
    }

    /// It is not started again although it should be. `loudly`: its supervisor shuts down when it has ended.
    pub(crate) fn gives_up(&self, failure: String, loudly: bool) {
        let mut progress = self.progress.lock();
        let known = &mut progress.rare().restarts;
        known.gave_up = loudly;
        let restarts = known.count;
        known.last_failure = Some(failure.clone());
        self.announce(Level::Error, || EventKind::GaveUp { restarts, failure });
    }

    /// What is known of its restarts.
    pub(crate) fn restarts(&self) -> Restarts {
        let progress = self.progress.lock();
        let rare = progress.rare.as_ref();
        rare.map_or_else(Restarts::default, |rare| rare.restarts.clone())
    }

    /// The cause of its supervisor's shutdown, if an end like this is one.
    pub(super) fn fatal_end(&self, progress: &Progress, end: &End) -> Option<Cause> {
        let name = || self.traits.name.as_deref().map(str::to_owned);
        let known = progress.rare.as_ref().map(|rare| &rare.restarts);
        if let Some(known) = known.filter(|known| known.gave_up) {
            return Some(Cause::GaveUp {
                name: name(),
                restarts: known.count,
                failure: known.last_failure.clone().unwrap_or_default(),
            });
        }
        let panicked = matches!(end, End::Panicked(_));
        if !self.traits.critical.is_fatal(panicked) {
            return None;
        }
        Some(match end {
            End::Failed(failure) => Cause::WorkerFailed {
                name: name(),
                failure: failure.to_string(),
            },
            End::Returned | End::Panicked(_) => Cause::WorkerEnded {
                name: name(),
                panicked,
            },
        })
    }
}

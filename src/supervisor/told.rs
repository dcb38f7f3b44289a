//! Telling a worker to stop, in two halves: tripping, which calls nobody, and running what it registered to be called.

use std::sync::Arc;

use super::worker::{Progress, Worker};
use crate::base::logging;
use crate::stop::{Extend, Stop, StopSource, StopToken, Tripped};
use crate::sync::atomic::AtomicBool;
use crate::sync::Instant;

/// How a worker was told to stop.
pub(super) struct Told {
    at: Instant,
    pub(super) stop: Stop,
    /// The tripped token, with callbacks that may be left to run.
    tripped: Option<Tripped>,
    /// A callback of its token did not return within its limit.
    token_hangs: bool,
}

impl Progress {
    /// Of one that has been told.
    fn tighten(&mut self, deadline: Instant) {
        if let Some(told) = &mut self.told {
            let old = told.stop.deadline;
            told.stop.deadline = Some(old.map_or(deadline, |old| old.min(deadline)));
        }
        if let Some(source) = &self.source {
            source.tighten(deadline);
        }
    }
}

impl Worker {
    /// The worker's own token. When it is made, `extend` gives what it asks for more time.
    pub(crate) fn token(&self, extend: impl FnOnce() -> Option<Arc<dyn Extend>>) -> StopToken {
        let mut progress = self.progress.lock();
        let stop = progress.told.as_ref().map(|told| told.stop.clone());
        let source = progress.source.get_or_insert_with(|| {
            let source = StopSource::new();
            if let Some(extend) = extend() {
                source.set_extend(extend);
            }
            source
        });
        if let Some(stop) = stop {
            // Does nothing the second time; a source that is new has no callbacks.
            drop(source.trip(&stop));
        }
        source.token()
    }

    /// It has until then, if that is later than what it was told.
    pub(crate) fn prolong(&self, deadline: Instant) {
        let mut progress = self.progress.lock();
        if let Some(told) = &mut progress.told {
            told.stop.deadline = told.stop.deadline.map(|old| old.max(deadline));
        }
        if let Some(source) = &progress.source {
            source.prolong(deadline);
        }
    }

    /// It must be done by then, if that is sooner than what it was told, or is about to be told by who has left the lock under which
    /// the deadline was read.
    pub(super) fn tighten(&self, deadline: Instant) {
        let mut progress = self.progress.lock();
        match progress.told {
            Some(_) => progress.tighten(deadline),
            None => progress.rare().cap = Some(deadline),
        }
    }

    /// The first half of telling it, which calls nobody: books it as told and trips its token.
    pub(crate) fn trip(&self, mut stop: Stop) {
        let mut progress = self.progress.lock();
        let progress = &mut *progress;
        if progress.told.is_some() {
            // The reason stays; the deadline may have come nearer.
            if let Some(deadline) = stop.deadline {
                progress.tighten(deadline);
            }
            return;
        }
        let cap = progress.rare.as_ref().and_then(|rare| rare.cap);
        stop.deadline = stop.deadline.into_iter().chain(cap).min();
        let source = progress.source.as_ref();
        progress.told = Some(Box::new(Told {
            at: Instant::now(),
            tripped: source.and_then(|source| source.trip(&stop)),
            stop,
            token_hangs: false,
        }));
        self.announce_told(progress);
    }

    /// The tripped token, once told.
    fn tripped(&self) -> Option<Tripped> {
        let progress = self.progress.lock();
        progress.told.as_ref().and_then(|told| told.tripped.clone())
    }

    /// Whether the second half would run anything of a user's.
    pub(crate) fn has_callbacks(&self) -> bool {
        let quiet = |tripped: Tripped| tripped.is_quiet();
        self.callback.is_ready() || !self.tripped().map_or(true, quiet)
    }

    /// The second half: runs what nobody has run yet, then unparks. If something hangs in here, another thread may call this and go
    /// on behind it.
    ///
    /// The unpark comes last: a worker that loops over "is my flag set? else park" would otherwise wake before its callback has
    /// set the flag, park again, and never be woken. If a callback hangs, `give_up_telling` unparks.
    ///
    /// `began` is now; what comes back is when it was through. `abandoned` says that another thread goes on.
    pub(crate) fn finish_telling(&self, mut began: Instant, abandoned: &AtomicBool) -> Instant {
        if let Some(tripped) = self.tripped() {
            tripped.run();
            began = Instant::now();
        }
        let (mut ended, panic) = self.callback.run(began, abandoned);
        if let Some(message) = panic {
            logging::callback_panicked(
                self.traits.kind.label(),
                self.traits.name.as_deref(),
                &message,
            );
            ended = Instant::now();
        }
        self.unpark();
        ended
    }

    /// The time for telling it is up. True if a callback was indeed still running.
    pub(crate) fn give_up_telling(&self) -> bool {
        let token_hangs = self.tripped().is_some_and(|tripped| tripped.is_running());
        if token_hangs {
            if let Some(told) = &mut self.progress.lock().told {
                told.token_hangs = true;
            }
        }
        let hangs = self.callback.give_up();
        self.unpark();
        hangs || token_hangs
    }

    /// Whether nothing of it is left: its thread is through, and no thread is running its terminate callback, or about to.
    pub(crate) fn is_over(&self) -> bool {
        let told = {
            let progress = self.progress.lock();
            if progress.gone.is_none() {
                return false;
            }
            progress.told.is_some()
        };
        // Whoever tells it just after this looks again when it has.
        !self.callback.is_left(told)
    }

    /// Whether a callback of its token was given up.
    pub(crate) fn token_hangs(&self) -> bool {
        let progress = self.progress.lock();
        progress.told.as_ref().is_some_and(|told| told.token_hangs)
    }

    /// By when it must be done, once told.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let progress = self.progress.lock();
        progress.told.as_ref().and_then(|told| told.stop.deadline)
    }

    /// When it was told.
    pub(crate) fn told(&self) -> Option<Instant> {
        self.progress.lock().told.as_ref().map(|told| told.at)
    }

    pub(crate) fn unpark(&self) {
        let thread = self.progress.lock().thread.clone();
        if let Some(thread) = thread {
            thread.unpark();
        }
    }
}

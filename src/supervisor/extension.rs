//! Extensions: a worker that has been told to stop says that it needs longer.
//!
//! Time is counted from the call, so it matters only past the limit that holds already, and asking twice adds nothing. An
//! extension past the deadline moves the deadline, here and in every supervisor that this one is nested in, up to the cap of each;
//! whoever did not ask keeps the limit that it had.

use std::sync::{Arc, Weak};
use std::time::Duration;

use log::Level;

use super::kind::EntryKind;
use super::registry::{Core, Phase, Registry};
use super::worker::Worker;
use super::Supervisor;
use crate::base::logging;
use crate::base::text::{Printable, Short};
use crate::stop::Extend;
use crate::sync::Instant;

/// As good as for ever, and short enough to be added to any `Instant`: a hundred years.
const FAR: Duration = Duration::from_secs(3_153_600_000);

/// What one worker was given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extended {
    /// The limit that it had before it first asked.
    before: Instant,
    /// The one that it has now.
    pub(super) until: Instant,
    /// It was said that it asked for more than it could have.
    said: bool,
}

impl Extended {
    /// How much longer that is.
    pub(super) fn by(&self) -> Duration {
        self.until.saturating_duration_since(self.before)
    }
}

/// How a token reaches the worker whose it is.
struct Extension {
    core: Weak<Core>,
    worker: Weak<Worker>,
}

/// What a token of `worker` asks for more time.
pub(crate) fn extension(core: &Arc<Core>, worker: &Arc<Worker>) -> Arc<dyn Extend> {
    Arc::new(Extension {
        core: Arc::downgrade(core),
        worker: Arc::downgrade(worker),
    })
}

impl Extend for Extension {
    fn extend(&self, by: Duration) {
        if let (Some(core), Some(worker)) = (self.core.upgrade(), self.worker.upgrade()) {
            if core.is_ours() {
                core.extend(&worker, by);
            }
        }
    }
}

impl Supervisor {
    /// Blocks until workers have extended the shutdown by more than `known` past its deadline (see
    /// [`StopToken::extend`](crate::StopToken::extend)), and says by how much in all. `None` once the shutdown is over.
    ///
    /// For whoever passes extensions on, to a service manager for example: begin with zero, and come again with what this gave.
    pub fn wait_for_extension(&self, known: Duration) -> Option<Duration> {
        if !self.core.is_ours() {
            return None; // a forked child: nothing ever happens here
        }
        let mut registry = self.core.registry.lock();
        loop {
            let extended = registry.extended();
            if extended > known {
                return Some(extended);
            }
            if registry.report.is_some() {
                return None;
            }
            // Notified by `extend` and by `conclude`.
            self.core.changed.wait(&mut registry);
        }
    }
}

impl Core {
    /// Gives `worker` until `by` from now, or as much of that as the caps allow, if it is being waited for.
    fn extend(&self, worker: &Arc<Worker>, by: Duration) {
        if !self.registry.lock().waits_for(worker) {
            return;
        }
        let wanted = Instant::now() + by.min(FAR);
        // What we are nested in waits for us only if it is stopping too.
        let above = std::iter::successors(self.parent.as_deref(), |core| core.parent.as_deref());
        let above: Vec<&Core> = above.take_while(|core| core.is_stopping()).collect();
        let caps = above.iter().filter_map(|core| core.registry.lock().latest);
        let own_cap = self.registry.lock().latest;
        let until = caps.chain(own_cap).fold(wanted, Instant::min);
        // From the outside in: nobody gets longer than what it is nested in.
        for core in above.iter().rev() {
            core.registry.lock().move_deadline(until);
            core.changed.notify_all();
        }
        let (more, cut) = self.registry.lock().extend(worker, until, until < wanted);
        // The driver sleeps until a limit that holds no more, and `wait_for_extension` until there is something to say.
        self.changed.notify_all();
        if more && worker.traits.kind == EntryKind::Main {
            self.stop.prolong(until); // what `main` holds is the supervisor's own token
        }
        let name = Printable(worker.traits.name.as_deref().unwrap_or("<unnamed>"));
        // On the thread that asked: a logger that blocks holds up nobody else.
        if more {
            let left = Short(until.saturating_duration_since(Instant::now()));
            logging::log(
                Level::Info,
                format_args!("{name} asked for more time, and has {left}"),
            );
        }
        if cut {
            let lacks = Short(wanted.saturating_duration_since(until));
            logging::log(
                Level::Warn,
                format_args!(
                    "{name} asked for {}, which is {lacks} more than max_extension of the supervisor allows",
                    Short(by)
                ),
            );
        }
    }

    /// The process ends: its deadline without extensions is `cap` at the latest. What workers were given stays theirs.
    pub(super) fn tighten_for_exit(&self, cap: Option<Instant>) {
        let Some(cap) = cap else { return };
        let cap = {
            let mut registry = self.registry.lock();
            let extended = registry.extended();
            registry.unextended = Some(registry.unextended.map_or(cap, |old| old.min(cap)));
            let allowed = cap.checked_add(registry.settings.max_extension);
            registry.latest = [registry.latest, allowed].into_iter().flatten().min();
            cap.checked_add(extended)
        };
        self.tighten(cap);
    }
}

impl Worker {
    /// What it was given, if it has asked for more time.
    pub(super) fn extended(&self) -> Option<Extended> {
        let progress = self.progress.lock();
        progress.rare.as_ref()?.extended.as_deref().copied()
    }

    fn set_extended(&self, extended: Extended) {
        self.progress.lock().rare().extended = Some(Box::new(extended));
    }

    /// Until when this end of its grace has been put off, if it has.
    pub(super) fn put_off(&self, end: Instant) -> Option<Instant> {
        let until = self.extended()?.until;
        Some(until).filter(|until| *until > end)
    }
}

impl Registry {
    /// By how much the deadline has been moved.
    fn extended(&self) -> Duration {
        match (self.deadline, self.unextended) {
            (Some(deadline), Some(unextended)) => deadline.saturating_duration_since(unextended),
            _ => Duration::ZERO,
        }
    }

    /// Whether the shutdown waits for it, or is about to: `main` knows of a shutdown before its turn comes.
    fn waits_for(&self, worker: &Worker) -> bool {
        let main = worker.traits.kind == EntryKind::Main;
        self.phase == Phase::Stopping
            && (worker.is_pending() || main && worker.told().is_none() && !self.leaving)
    }

    /// Books an extension; says whether it changed anything, and whether it is to be said that it was `cut` short.
    fn extend(&mut self, worker: &Arc<Worker>, until: Instant, cut: bool) -> (bool, bool) {
        let before = worker.deadline().or(self.unextended);
        let (Some(before), true) = (before, self.waits_for(worker)) else {
            return (false, false);
        };
        let old = worker.extended().unwrap_or(Extended {
            before,
            until: before,
            said: false,
        });
        let more = until > before.max(old.until);
        worker.set_extended(Extended {
            before: old.before,
            until: if more { until } else { old.until },
            said: old.said || cut,
        });
        if more {
            if old.until == old.before {
                // From now on one of its graces is watched, and put off as often as it asks, when its end comes.
                self.add_grace(worker, until);
            }
            worker.prolong(until);
            self.move_deadline(until);
        }
        (more, cut && !old.said)
    }

    /// The shutdown goes on until then, if that is later: for those who asked, and for those who come late.
    fn move_deadline(&mut self, until: Instant) {
        let Some(deadline) = self.deadline.filter(|deadline| *deadline < until) else {
            return;
        };
        if self.unextended == Some(deadline) {
            // The first time. All who are waited for keep the limit that they had; one that has asked has a later one, which counts.
            self.add_grace_for_all(deadline);
        }
        self.deadline = Some(until);
    }

    /// The end of the time of a worker that is told at `now`, if others do not end sooner: what was the deadline before somebody
    /// asked for more, unless it is over.
    pub(super) fn deadline_for(&self, worker: &Worker, now: Instant) -> Option<Instant> {
        let in_time = Some(worker.id) <= self.last_in_time;
        match self.unextended {
            // A `main` that has asked before its turn has its grace put off when this comes.
            Some(unextended) if in_time && now < unextended => self.unextended,
            _ => self.deadline,
        }
    }
}

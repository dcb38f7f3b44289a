//! The restartable workers of one supervisor, as threads: each runs, or waits for its turn to run again.
//!
//! Who waits is woken through a channel of its own, so that a stop wakes it as well. The rules are those of `turns`; nothing
//! is called, told or dropped with the lock held.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{select, Receiver, Sender};
use parking_lot::Mutex;

use super::turns::{Turn, Turns};
use crate::base::apart::bounded;
use crate::base::logging;
use crate::base::text::Printable;
use crate::stop::{Stop, StopReason, StopSource, StopToken};
use crate::supervisor::registry::Core;
use crate::supervisor::worker::Worker;
use crate::supervisor::{EventKind, Strategy, WorkerId, USUAL};

/// The restartable workers of one supervisor, which keeps this.
#[derive(Default)]
struct Siblings {
    /// Taken with no other lock held; with it held, only a worker's own.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    turns: Turns,
    members: BTreeMap<WorkerId, Member>,
}

struct Member {
    worker: Arc<Worker>,
    /// Stops its present run.
    run: StopSource,
    /// Wakes it where it waits for its turn. Holds one message: that something has changed.
    wake: Sender<()>,
}

/// One worker's place among its siblings, until this is dropped.
pub(super) struct Place {
    core: Arc<Core>,
    worker: Arc<Worker>,
    siblings: Arc<Siblings>,
    woken: Receiver<()>,
}

/// Why a worker that waits is not to run again.
pub(super) enum NoTurn {
    /// It was told to stop, or its supervisor is shutting down.
    Told,
    /// This sibling does not end its run.
    Stuck(Arc<Worker>),
}

impl Place {
    pub(super) fn new(core: Arc<Core>, worker: Arc<Worker>) -> Place {
        let siblings = core
            .attached
            .get_or_init(|| Arc::new(Siblings::default()) as Arc<dyn Any + Send + Sync>);
        let siblings = Arc::clone(siblings)
            .downcast::<Siblings>()
            .expect("only this module attaches anything");
        let (wake, woken) = crossbeam_channel::bounded(1);
        {
            let mut state = siblings.state.lock();
            state.turns.enter(worker.id);
            let member = Member {
                worker: Arc::clone(&worker),
                run: StopSource::new(),
                wake,
            };
            state.members.insert(worker.id, member);
        }
        Place {
            core,
            worker,
            siblings,
            woken,
        }
    }

    /// The worker was told to stop, or will be in a moment.
    pub(super) fn is_told(&self) -> bool {
        self.worker.told().is_some() || self.core.is_stopping()
    }

    /// Waits until this worker may run, and gives the token of that run.
    pub(super) fn await_turn(&self) -> Result<StopToken, NoTurn> {
        loop {
            if self.is_told() {
                return Err(NoTurn::Told);
            }
            let run = crate::stop_token().child();
            let before; // dropped when the lock is free
            let turn = {
                let mut state = self.siblings.state.lock();
                let turn = state.turns.turn(self.worker.id, Instant::now());
                if turn == Turn::Go {
                    let member = state.members.get_mut(&self.worker.id);
                    before = member.map(|member| std::mem::replace(&mut member.run, run.clone()));
                    state.wake_all(); // the next one may be due
                    drop(state);
                    drop(before);
                    return Ok(run.token());
                }
                match turn {
                    Turn::Stuck(id) => Err(state.members.get(&id).map(|m| Arc::clone(&m.worker))),
                    Turn::Wait(until) => Ok(until),
                    Turn::Go => unreachable!("returned above"),
                }
            };
            match turn {
                Ok(until) => self.wait_until(until),
                Err(Some(stuck)) => return Err(NoTurn::Stuck(stuck)),
                Err(None) => {} // it has left since; look again
            }
        }
    }

    /// The run has ended. True if it was told to for a restart that a sibling began.
    pub(super) fn ended(&self) -> bool {
        let mut state = self.siblings.state.lock();
        let told = state.turns.ended(self.worker.id);
        state.wake_all();
        told
    }

    /// Waits for `pause`, or until told to stop.
    pub(super) fn pause(&self, pause: Duration) {
        let until = Instant::now().checked_add(pause);
        while !self.is_told() && until.map_or(true, |until| until > Instant::now()) {
            self.wait_until(until);
        }
    }

    /// Waits until something has changed among the siblings, until told to stop, or until then. May wake for nothing.
    fn wait_until(&self, until: Option<Instant>) {
        let time = until.map_or_else(crossbeam_channel::never, crossbeam_channel::at);
        let (own, all) = (crate::stop_token(), self.core.stop.token());
        select! {
            recv(self.woken) -> _ => {}
            recv(own.channel()) -> _ => {}
            recv(all.channel()) -> _ => {}
            recv(time) -> _ => {}
        }
    }

    /// This worker has failed, and with it all from `from` on are to be started again after `pause`: tells those that run, newest
    /// first, to end their runs. Each gets its grace, or the time that a whole shutdown gets.
    pub(super) fn restart(&self, strategy: Strategy, pause: Duration) {
        let (grace, longest, callback_limit) = {
            let settings = &self.core.registry.lock().settings;
            (settings.grace, settings.deadline, settings.callback_limit())
        };
        let now = Instant::now();
        let limit = |worker: &Worker| {
            let grace = worker.traits.grace.or(grace).unwrap_or(longest);
            now.checked_add(grace)
        };
        let told: Vec<(Arc<Worker>, StopSource)> = {
            let mut state = self.siblings.state.lock();
            let State { turns, members } = &mut *state;
            let from = match strategy {
                Strategy::OneForAll => *members.keys().next().unwrap_or(&self.worker.id),
                Strategy::OneForOne | Strategy::RestForOne => self.worker.id,
            };
            let until = now.checked_add(pause);
            let limit = |id| members.get(&id).and_then(|member| limit(&member.worker));
            let tell = turns.restart(self.worker.id, from, until, limit);
            let tell = tell.iter().filter_map(|id| members.get(id));
            tell.map(|member| (Arc::clone(&member.worker), member.run.clone()))
                .collect()
        };
        for (worker, run) in told {
            if self.core.is_stopping() {
                return; // they are told for good, each in its turn
            }
            worker.announce(USUAL, || EventKind::TerminateRequested(StopReason::Restart));
            let stop = Stop {
                reason: StopReason::Restart,
                deadline: limit(&worker),
            };
            if let Some(tripped) = run.trip(&stop).filter(|tripped| !tripped.is_quiet()) {
                if !bounded(callback_limit, move || tripped.run()) {
                    let name = worker.traits.name.as_deref().unwrap_or("<unnamed>");
                    let text = format!(
                        "a callback on the stop token of worker {} does not return: going on without it",
                        Printable(name)
                    );
                    logging::log_bounded(log::Level::Error, text);
                }
            }
            worker.unpark();
        }
    }
}

impl State {
    /// Wakes all who wait for their turn. Nobody does outside a restart.
    fn wake_all(&self) {
        if self.turns.is_restarting() {
            for member in self.members.values() {
                // Full means that it has a message already.
                let _ = member.wake.try_send(());
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.siblings.state.lock();
        // First to those who wait: with this one gone, there may be no restart any more, and then they may go.
        state.wake_all();
        state.turns.leave(self.worker.id);
        let member = state.members.remove(&self.worker.id);
        drop(state);
        drop(member); // with the lock free
    }
}

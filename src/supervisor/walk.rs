//! Runs a list of steps that may hang, each for a limited time.
//!
//! One helper thread takes step after step; the caller watches. When a step's time is up the helper is left behind with
//! it, and another goes on with the next step. So a list without a hanging step costs one thread, however long it is, and
//! no hand-over for each step. If no thread can be started the caller takes the steps itself.

use std::sync::Arc;
use std::time::Duration;

use super::current;
use super::kind::WorkerId;
use super::registry::Core;
use crate::base::apart::on_thread;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Instant, Mutex};
use crate::sys;

/// A list of steps. Steps are taken one at a time, in order, by one thread after another.
pub(crate) trait Steps: Send + Sync + 'static {
    type Step: Clone + Send + 'static;

    /// Takes the next step off the list, at `now`. Called with the walk's lock held, so it must not block for long.
    fn take(&self, now: Instant) -> Option<Self::Step>;
    /// Carries it out, beginning at `now`, and says when it was through. May hang; does not panic. Once `abandoned` is set,
    /// what has not begun is another helper's.
    fn run(&self, step: &Self::Step, now: Instant, abandoned: &AtomicBool) -> Instant;
    /// Whom the steps are carried out for.
    fn core(&self) -> &Arc<Core>;
    /// By when a step that began at `since` is given up; `None` for never.
    fn limit(&self, step: &Self::Step, since: Instant) -> Option<Instant>;
    /// How long most steps get: the watcher, who is asleep, is woken for a step only if it would oversleep that.
    fn usual_limit(&self) -> Duration;
    /// Whose callbacks it runs, if they are an entry's.
    fn entry(step: &Self::Step) -> Option<WorkerId>;
    /// Its time is up and it is still running, on this thread by the kernel's number. What is left of it, if another helper can go on
    /// with that.
    fn give_up(&self, step: Self::Step, os_thread: Option<u32>) -> Option<Self::Step>;
}

/// What the watcher and the helpers share.
struct Walk<S: Steps> {
    steps: S,
    usual_limit: Duration,
    state: Mutex<State<S::Step>>,
    /// Notified when the list is at its end, and when the watcher would oversleep.
    changed: Condvar,
}

struct State<T> {
    /// Which helper may take steps; one that was left behind finds another number here.
    turn: u64,
    /// Set when the present helper is left behind.
    abandoned: Arc<AtomicBool>,
    /// The present helper, by the kernel's number.
    os_thread: Option<u32>,
    /// What comes before the rest of the list: the step that this began with, then one of which a part hung.
    next: Option<T>,
    /// The step that is being carried out, and since when.
    current: Option<(T, Instant)>,
    /// The list is at its end.
    ended: bool,
    /// When the watcher will look again; `None` if only when it is notified.
    asleep_until: Option<Instant>,
}

/// How long a helper that has been started may take to begin with its first step, on a machine that is very busy.
const START_LIMIT: Duration = Duration::from_secs(1);

/// Carries out all steps, this one first. Returns when the last has returned or was given up.
pub(crate) fn walk<S: Steps>(steps: S, first: Option<S::Step>) {
    let walk = Arc::new(Walk {
        usual_limit: steps.usual_limit(),
        steps,
        state: Mutex::new(State {
            turn: 0,
            abandoned: Arc::default(),
            os_thread: None,
            next: first,
            current: None,
            ended: false,
            asleep_until: None,
        }),
        changed: Condvar::new(),
    });
    let mut turn = 0;
    loop {
        let helper = Arc::clone(&walk);
        if on_thread("sundown", move || helper.help(turn)).is_err() {
            walk.help(turn);
            return;
        }
        if walk.watch() {
            return;
        }
        turn += 1;
    }
}

impl<S: Steps> Walk<S> {
    /// Takes steps as long as it is this helper's turn.
    fn help(&self, turn: u64) {
        let abandoned = {
            let mut state = self.state.lock();
            if state.turn != turn {
                return;
            }
            state.os_thread = sys::os_thread();
            Arc::clone(&state.abandoned)
        };
        current::as_helper(self.steps.core(), &abandoned, || {
            self.take_steps(turn, &abandoned)
        });
    }

    fn take_steps(&self, turn: u64, abandoned: &AtomicBool) {
        let mut now = Instant::now();
        loop {
            let (step, finished) = {
                let mut state = self.state.lock();
                if state.turn != turn {
                    return;
                }
                let next = state.next.take().or_else(|| self.steps.take(now));
                // The step that was carried out is dropped with the lock free.
                let finished = state.current.take();
                let Some(step) = next else {
                    state.ended = true;
                    drop(state);
                    self.changed.notify_all();
                    return;
                };
                state.current = Some((step.clone(), now));
                // The watcher sleeps until a step's limit, or at first until that of this helper's start: for the first step
                // it must know the true limit. A limit that does not fit into an Instant is none.
                let due = match &finished {
                    None => self.steps.limit(&step, now),
                    Some(_) => now.checked_add(self.usual_limit),
                };
                let oversleeps = match (state.asleep_until, due) {
                    (Some(until), Some(due)) => until > due,
                    (None, Some(_)) => true,
                    (_, None) => false,
                };
                if oversleeps {
                    state.asleep_until = due;
                    self.changed.notify_all();
                }
                (step, finished)
            };
            drop(finished);
            current::next_turn(now, S::entry(&step));
            now = self.steps.run(&step, now, abandoned);
            if !self.steps.core().is_ours() {
                return; // the step forked, and returned in the child too: what is left is for the parent
            }
        }
    }

    /// Watches one helper. True when the list is at its end, false when the helper was left behind.
    fn watch(&self) -> bool {
        let started = Instant::now();
        let mut state = self.state.lock();
        loop {
            if state.ended {
                return true;
            }
            let limit = match &state.current {
                Some((step, since)) => self.steps.limit(step, *since),
                None => Some(started + START_LIMIT),
            };
            state.asleep_until = limit;
            let Some(limit) = limit else {
                self.changed.wait(&mut state);
                continue;
            };
            if limit > Instant::now() {
                self.changed.wait_until(&mut state, limit);
                continue;
            }
            state.turn += 1;
            let current = state.current.take();
            let abandoned = std::mem::take(&mut state.abandoned);
            let os_thread = state.os_thread.take();
            drop(state);
            // Relaxed: `Callback::run` looks at it with the lock that `give_up` takes after this.
            abandoned.store(true, Ordering::Relaxed);
            if let Some((step, _)) = current {
                let rest = self.steps.give_up(step, os_thread);
                // Nobody takes steps just now: it is no helper's turn.
                self.state.lock().next = rest;
            }
            return false;
        }
    }
}

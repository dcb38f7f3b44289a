//! How far a task is: the one lock that its handle and whoever works on it meet at.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::task::{Poll, Waker};

use super::{Cancel, Cancelled, TaskError};
use crate::sync::{Condvar, Instant, Mutex, MutexGuard};

/// How far the work is, what it begins with, its outcome, and who waits for it. Who only looks, waits or cancels need not know what
/// it begins with: `Progress<T, Option<S>>` serves as a `Progress<T>`.
pub(crate) struct Progress<T, S: ?Sized = dyn Send> {
    /// Notified when the work is over, if anybody waits.
    changed: Condvar,
    /// A leaf lock.
    state: Mutex<State<T, S>>,
}

struct State<T, S: ?Sized> {
    phase: Phase,
    /// There from when the work is over until somebody takes it.
    outcome: Option<Result<T, TaskError>>,
    /// How many threads wait: without any, nobody is notified.
    waiters: u32,
    /// Of who awaits the handle, which there is one of.
    waker: Option<Waker>,
    /// What the work begins with: there until it begins or, if it was cancelled before, until whoever works on it lets go of it.
    start: S,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting,
    Running,
    Over,
}

impl<T, S> Progress<T, Option<S>> {
    pub(crate) fn new(start: S) -> Progress<T, Option<S>> {
        Progress {
            changed: Condvar::new(),
            state: Mutex::new(State {
                phase: Phase::Waiting,
                outcome: None,
                waiters: 0,
                waker: None,
                start: Some(start),
            }),
        }
    }

    /// The work begins, with what this gives. `None` if it must not: it was cancelled, or has begun.
    pub(crate) fn begin(&self) -> Option<S> {
        let mut state = self.state.lock();
        if state.phase != Phase::Waiting {
            return None;
        }
        state.phase = Phase::Running;
        state.start.take()
    }

    /// What work that was cancelled before it began would have begun with.
    pub(crate) fn take_start(&self) -> Option<S> {
        self.state.lock().start.take()
    }
}

impl<T, S: ?Sized> Progress<T, S> {
    /// The work is over. Only the first outcome counts; another is dropped, with no lock held.
    pub(crate) fn finish(&self, outcome: Result<T, TaskError>) {
        let mut state = self.state.lock();
        if state.phase == Phase::Over {
            drop(state);
            drop(outcome);
            return;
        }
        state.phase = Phase::Over;
        state.outcome = Some(outcome);
        self.tell(state);
    }

    /// Keeps it from beginning, if it has not begun.
    pub(super) fn cancel(&self) -> Cancel {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Waiting => {
                state.phase = Phase::Over;
                state.outcome = Some(Err(TaskError::Cancelled(Cancelled::OnRequest)));
                self.tell(state);
                Cancel::Prevented
            }
            Phase::Running => Cancel::Requested,
            Phase::Over => Cancel::TooLate,
        }
    }

    /// It is over: wakes all who wait, after the lock is free.
    fn tell(&self, mut state: MutexGuard<'_, State<T, S>>) {
        let (waiters, waker) = (state.waiters, state.waker.take());
        drop(state);
        if waiters > 0 {
            self.changed.notify_all();
        }
        if let Some(waker) = waker {
            // A waker is a user's, and may panic; whoever worked on this must not suffer from that.
            drop(catch_unwind(AssertUnwindSafe(|| waker.wake())));
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state.lock().phase == Phase::Over
    }

    /// Blocks until it is over, at most until `limit`. True if it is.
    pub(crate) fn await_over(&self, limit: Option<Instant>) -> bool {
        let mut state = self.state.lock();
        // Counted under the lock that `finish` takes: it sees us, or we see that it is over.
        state.waiters += 1;
        while state.phase != Phase::Over {
            match limit {
                None => self.changed.wait(&mut state),
                Some(limit) => {
                    if self.changed.wait_until(&mut state, limit).timed_out() {
                        break;
                    }
                }
            }
        }
        state.waiters -= 1;
        state.phase == Phase::Over
    }

    /// The outcome of work that is over, for the first who asks.
    pub(super) fn take(&self) -> Result<T, TaskError> {
        self.state.lock().take_outcome()
    }

    /// The outcome, if the work is over.
    pub(super) fn try_take(&self) -> Option<Result<T, TaskError>> {
        let mut state = self.state.lock();
        (state.phase == Phase::Over).then(|| state.take_outcome())
    }

    pub(super) fn poll(&self, waker: &Waker) -> Poll<Result<T, TaskError>> {
        // A waker is a user's: cloned and dropped with the lock free.
        let waker = waker.clone();
        let old;
        {
            let mut state = self.state.lock();
            if state.phase == Phase::Over {
                return Poll::Ready(state.take_outcome());
            }
            old = state.waker.replace(waker);
        }
        drop(old);
        Poll::Pending
    }
}

impl<T, S: ?Sized> State<T, S> {
    fn take_outcome(&mut self) -> Result<T, TaskError> {
        self.outcome.take().unwrap_or(Err(TaskError::Taken))
    }
}

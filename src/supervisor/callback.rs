//! A callback that runs at most once, whoever asks first, with no lock held and its panic caught.

use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::time::Duration;

use super::report::CallbackFault;
use crate::base::panics::{drop_quietly, message_of_panic};
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::sync::{Instant, Mutex};

/// What runs, once.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// One terminate callback or hook.
pub(crate) struct Callback {
    /// A leaf lock: nothing is called and no other lock is taken with it held.
    state: Mutex<State>,
    /// The kernel's number of the helper that was left behind in it (or in a token's callback of the same worker); 0 for none.
    left_on: AtomicU32,
}

enum State {
    /// There never was one, or it was taken back.
    None,
    /// Not yet asked for.
    Ready(Job),
    /// Somebody runs it. `hung` once its limit has passed; `next` came meanwhile.
    Running { hung: bool, next: Option<Job> },
    /// It is through, after so many nanoseconds. A fault is boxed, since most have none and every record has room for it.
    Ran {
        took: u64,
        fault: Option<Box<CallbackFault>>,
    },
}

impl Callback {
    pub(crate) fn new(job: Option<Job>) -> Callback {
        Callback {
            state: Mutex::new(job.map_or(State::None, State::Ready)),
            left_on: AtomicU32::new(0),
        }
    }

    /// Runs it on this thread unless somebody did or does, or this thread has been `abandoned` by who watches it. `began` is now; what
    /// comes back is when it returned (or `began`), and the panic's message, if it panicked. So a list of callbacks takes one look at the clock for each.
    pub(crate) fn run(&self, began: Instant, abandoned: &AtomicBool) -> (Instant, Option<String>) {
        let mut job = {
            let mut state = self.state.lock();
            // Relaxed: who leaves a helper behind sets this before it looks in here, so with this lock, whether the callback has
            // begun. Either it finds it running, or we find ourselves left behind and the callback ready for the next helper.
            if abandoned.load(Ordering::Relaxed) {
                return (began, None);
            }
            let running = State::Running {
                hung: false,
                next: None,
            };
            match std::mem::replace(&mut *state, running) {
                State::Ready(job) => job,
                other => {
                    *state = other;
                    return (began, None);
                }
            }
        };
        let mut panic = None;
        loop {
            let result = catch_unwind(AssertUnwindSafe(job));
            panic = panic.or(result.err().map(message_of_panic));
            let ended = Instant::now();
            let mut state = self.state.lock();
            if let State::Running { hung, next } = &mut *state {
                if let Some(next) = next.take() {
                    drop(state);
                    job = next;
                    continue;
                }
                let fault = match &panic {
                    Some(message) => Some(CallbackFault::Panicked(message.clone())),
                    None => hung.then_some(CallbackFault::Hung),
                };
                let took = ended.saturating_duration_since(began).as_nanos();
                *state = State::Ran {
                    took: u64::try_from(took).unwrap_or(u64::MAX),
                    fault: fault.map(Box::new),
                };
            }
            return (ended, panic);
        }
    }

    /// Notes that its time is up. True if it was indeed still running.
    pub(crate) fn give_up(&self) -> bool {
        match &mut *self.state.lock() {
            State::Running { hung, .. } => {
                *hung = true;
                true
            }
            _ => false,
        }
    }

    /// The helper `thread` is left behind with it, if it still runs.
    pub(crate) fn hangs_on(&self, thread: Option<u32>) {
        // Relaxed: a number for lookers, which orders nothing.
        self.left_on.store(thread.unwrap_or(0), Ordering::Relaxed);
    }

    /// The helper that was left behind with it, by the kernel's number.
    pub(crate) fn left_on(&self) -> Option<u32> {
        Some(self.left_on.load(Ordering::Relaxed)).filter(|&number| number != 0)
    }

    /// Takes it back before it has run. False if it ran, runs, or was taken back already.
    pub(crate) fn remove(&self) -> bool {
        let mut state = self.state.lock();
        if !matches!(*state, State::Ready(_)) {
            return false;
        }
        let job = std::mem::replace(&mut *state, State::None);
        drop(state);
        drop_quietly(job);
        true
    }

    /// Adds one, to run before what is there: newest first. One that comes while another runs, runs after it.
    pub(crate) fn add(&self, job: Job) {
        let mut state = self.state.lock();
        *state = match std::mem::replace(&mut *state, State::None) {
            State::Ready(older) => State::Ready(both(job, older)),
            State::Running { hung, next } => State::Running {
                hung,
                next: Some(match next {
                    Some(older) => both(job, older),
                    None => job,
                }),
            },
            State::None | State::Ran { .. } => State::Ready(job),
        };
    }

    /// Whether running it would run anything.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(*self.state.lock(), State::Ready(_))
    }

    /// Whether it is running and has not been given up; or, if its worker has been `told`, is about to.
    pub(crate) fn is_left(&self, told: bool) -> bool {
        match *self.state.lock() {
            State::Running { hung, .. } => !hung,
            State::Ready(_) => told,
            State::None | State::Ran { .. } => false,
        }
    }

    /// Whether it is running and has not been given up.
    pub(crate) fn is_running(&self) -> bool {
        matches!(*self.state.lock(), State::Running { hung: false, .. })
    }

    /// Whether it was given up while it ran, and has not panicked since.
    pub(crate) fn is_hung(&self) -> bool {
        match &*self.state.lock() {
            State::Running { hung, .. } => *hung,
            State::Ran { fault, .. } => fault.as_deref() == Some(&CallbackFault::Hung),
            State::None | State::Ready(_) => false,
        }
    }

    /// Whether there is none, or it was taken back.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(*self.state.lock(), State::None)
    }

    /// Whether nothing of it is left to be waited for.
    pub(crate) fn is_over(&self) -> bool {
        matches!(*self.state.lock(), State::None | State::Ran { .. })
    }

    /// How long it took, and what went wrong: for the report. One that has not returned has no duration.
    pub(crate) fn account(&self) -> (Option<Duration>, Option<CallbackFault>) {
        match &*self.state.lock() {
            State::None | State::Ready(_) => (None, None),
            State::Running { hung, .. } => (None, hung.then_some(CallbackFault::Hung)),
            State::Ran { took, fault } => {
                (Some(Duration::from_nanos(*took)), fault.as_deref().cloned())
            }
        }
    }
}

/// One job after the other; the second runs even if the first panics, which goes on afterwards.
fn both(first: Job, second: Job) -> Job {
    Box::new(move || {
        let first = catch_unwind(AssertUnwindSafe(first));
        second();
        if let Err(payload) = first {
            resume_unwind(payload);
        }
    })
}

impl Drop for Callback {
    /// One that never ran may have a destructor that panics, and we may be anywhere.
    fn drop(&mut self) {
        drop_quietly(std::mem::replace(self.state.get_mut(), State::None));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn what_never_ran_may_panic_when_it_is_dropped() {
        struct Bomb(mpsc::Sender<()>);
        impl Drop for Bomb {
            fn drop(&mut self) {
                self.0.send(()).unwrap();
                panic!("planned");
            }
        }
        let (sender, dropped) = mpsc::channel();
        let bomb = Bomb(sender);
        let callback = Callback::new(Some(Box::new(move || drop(bomb))));
        drop(callback);
        dropped.recv().unwrap();
    }

    /// What is asked of a callback, in each state that it can be in.
    #[test]
    fn each_state_says_what_it_is() {
        let said = |callback: &Callback| {
            let (told, untold) = (callback.is_left(true), callback.is_left(false));
            [
                callback.is_absent(),
                callback.is_ready(),
                told,
                untold,
                callback.is_running(),
                callback.is_hung(),
                callback.is_over(),
            ]
        };
        let none = Callback::new(None);
        assert_eq!(said(&none), [true, false, false, false, false, false, true]);
        let callback = Callback::new(Some(Box::new(|| ())));
        assert_eq!(
            said(&callback),
            [false, true, true, false, false, false, false]
        );
        assert!(!callback.give_up());
        let (began, no) = (Instant::now(), AtomicBool::new(false));
        let (callback, (seen, hung)) = {
            let callback = std::sync::Arc::new(callback);
            let own = std::sync::Arc::clone(&callback);
            let (send, receive) = mpsc::channel();
            // From within, while it runs; then it is given up.
            assert!(callback.remove());
            callback.add(Box::new(move || {
                let running = said(&own);
                assert!(own.give_up());
                send.send((running, said(&own))).unwrap();
            }));
            callback.run(began, &no);
            (callback, receive.recv().unwrap())
        };
        assert_eq!(seen, [false, false, true, true, true, false, false]);
        assert_eq!(hung, [false, false, false, false, false, true, false]);
        assert_eq!(
            said(&callback),
            [false, false, false, false, false, true, true]
        );
        assert!(!callback.remove());
    }
}

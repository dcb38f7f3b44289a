//! A callback that runs at most once, whoever asks first, with no lock held and its panic caught.

use std::any::Any;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::report::CallbackFault;

/// What runs, once.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// One terminate callback or hook.
pub(crate) struct Callback {
    /// A leaf lock: nothing is called and no other lock is taken with it held.
    state: Mutex<State>,
}

enum State {
    /// There never was one, or it was taken back.
    None,
    /// Not yet asked for.
    Ready(Job),
    /// Somebody runs it. `hung` once its limit has passed.
    Running { hung: bool },
    /// It is through.
    Ran {
        took: Duration,
        fault: Option<CallbackFault>,
    },
}

impl Callback {
    pub(crate) fn new(job: Option<Job>) -> Callback {
        Callback {
            state: Mutex::new(job.map_or(State::None, State::Ready)),
        }
    }

    /// Runs it on this thread unless somebody did or does. Gives back the panic's message, if it panicked.
    pub(crate) fn run(&self) -> Option<String> {
        let job = {
            let mut state = self.state.lock();
            match std::mem::replace(&mut *state, State::Running { hung: false }) {
                State::Ready(job) => job,
                other => {
                    *state = other;
                    return None;
                }
            }
        };
        let began = Instant::now();
        let panic = catch_unwind(AssertUnwindSafe(job))
            .err()
            .map(message_of_panic);
        let took = began.elapsed();
        let mut state = self.state.lock();
        let hung = matches!(*state, State::Running { hung: true });
        let fault = match &panic {
            Some(message) => Some(CallbackFault::Panicked(message.clone())),
            None => hung.then_some(CallbackFault::Hung),
        };
        *state = State::Ran { took, fault };
        panic
    }

    /// Notes that its time is up. True if it was indeed still running.
    pub(crate) fn give_up(&self) -> bool {
        match &mut *self.state.lock() {
            State::Running { hung } => {
                *hung = true;
                true
            }
            _ => false,
        }
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

    /// Adds one, to run before what is there: newest first. After it has run, this one is ready to run in its turn.
    pub(crate) fn add(&self, job: Job) {
        let mut state = self.state.lock();
        *state = match std::mem::replace(&mut *state, State::None) {
            State::Ready(older) => State::Ready(Box::new(move || {
                // The older one runs even if this one panics, which goes on afterwards.
                let newer = catch_unwind(AssertUnwindSafe(job));
                older();
                if let Err(payload) = newer {
                    resume_unwind(payload);
                }
            })),
            _ => State::Ready(job),
        };
    }

    /// Whether running it would run anything.
    pub(crate) fn is_ready(&self) -> bool {
        matches!(*self.state.lock(), State::Ready(_))
    }

    /// Whether nothing of it is left to be waited for.
    pub(crate) fn is_over(&self) -> bool {
        matches!(*self.state.lock(), State::None | State::Ran { .. })
    }

    /// How long it took, and what went wrong: for the report. One that has not returned has no duration; when the shutdown is
    /// `over` that is a fault, whoever runs it.
    pub(crate) fn account(&self, over: bool) -> (Option<Duration>, Option<CallbackFault>) {
        match &*self.state.lock() {
            State::None | State::Ready(_) => (None, None),
            State::Running { hung } => {
                let hangs = *hung || over;
                (None, hangs.then_some(CallbackFault::Hung))
            }
            State::Ran { took, fault } => (Some(*took), fault.clone()),
        }
    }
}

/// Drops what users gave us, whatever their destructors do.
pub(crate) fn drop_quietly<T>(value: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        message_of_panic(payload);
    }
}

/// The text of a panic's payload. The payload itself is dropped, and forgotten if that panics too.
pub(crate) fn message_of_panic(payload: Box<dyn Any + Send>) -> String {
    let message = describe_panic(&*payload);
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
    message
}

/// The text of a panic's payload.
pub(crate) fn describe_panic(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a payload that is no string".to_owned()
    }
}

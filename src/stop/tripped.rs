//! A token that has been stopped: what of it is left to run, and running that.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;

use super::shared::Shared;
use crate::sync::thread::{self, ThreadId};

/// A token that has been tripped, with its descendants: their callbacks can be run, by one thread or by several in turn.
#[derive(Clone)]
#[must_use = "the callbacks have not run yet"]
pub(crate) struct Tripped {
    /// Those with anything to run, if there are any: once a token is tripped nothing is added.
    tokens: Option<Arc<[Arc<Shared>]>>,
}

impl Tripped {
    /// Of `tokens` something of a user's is to be run.
    pub(super) fn of(tokens: Vec<Arc<Shared>>) -> Tripped {
        // Most have none, and an empty list behind an `Arc` is an allocation.
        let tokens = (!tokens.is_empty()).then(|| tokens.into());
        Tripped { tokens }
    }

    /// Runs the callbacks that nobody has run yet and wakes the futures, on this thread.
    pub(crate) fn run(&self) {
        self.tokens().for_each(Shared::run_callbacks);
    }

    /// Whether nothing of a user's is left to run.
    pub(crate) fn is_quiet(&self) -> bool {
        self.tokens().all(|token| token.state().is_quiet())
    }

    /// Whether a callback is running just now.
    pub(crate) fn is_running(&self) -> bool {
        self.tokens().any(|token| !token.state().running.is_empty())
    }

    fn tokens(&self) -> impl Iterator<Item = &Shared> {
        let tokens = self.tokens.iter();
        tokens.flat_map(|tokens| tokens.iter().map(|token| &**token))
    }
}

impl Shared {
    /// Runs what is registered, newest first, each with its panic caught; then wakes the futures.
    fn run_callbacks(&self) {
        let here = thread::current().id();
        loop {
            let (key, callback) = {
                let mut state = self.state();
                let registered = state.registered();
                let newest = registered.and_then(|registered| registered.callbacks.pop_newest());
                let Some((key, callback)) = newest else { break };
                state.running.push((key, here));
                (key, callback)
            };
            let panic = catch_unwind(AssertUnwindSafe(callback)).err();
            self.has_run(key, here);
            // After it counts as over: who unregisters it waits for the callback, not for the logger.
            if let Some(payload) = panic {
                crate::base::logging::stop_callback_panicked(payload);
            }
        }
        // One by one, so that one that blocks leaves the others to whoever goes on behind it.
        loop {
            let (key, waker) = {
                let mut state = self.state();
                let registered = state.registered();
                let oldest = registered.and_then(|registered| registered.wakers.pop_oldest());
                let Some((key, waker)) = oldest else { break };
                state.running.push((key, here));
                (key, waker)
            };
            run_caught(move || waker.wake());
            self.has_run(key, here);
        }
    }

    /// A callback or waker has returned.
    fn has_run(&self, key: u64, here: ThreadId) {
        let mut state = self.state();
        state.running.retain(|running| *running != (key, here));
        self.notify(state); // for who unregisters it and waits
    }
}

/// Runs what a user gave us, whatever it does.
pub(super) fn run_caught(callback: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(callback)) {
        crate::base::logging::stop_callback_panicked(payload);
    }
}

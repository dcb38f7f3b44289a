//! What can be registered with a token: callbacks, wakers of futures, and the channel that disconnects.

use std::task::Waker;

use crossbeam_channel::Receiver;

use super::shared::{Never, Shared};
use crate::sync::thread;

impl Shared {
    /// Registers a callback. Gives it back if the token is stopped.
    pub(super) fn add_callback(
        &self,
        callback: Box<dyn FnOnce() + Send>,
    ) -> Result<u64, Box<dyn FnOnce() + Send>> {
        let mut state = self.state();
        if state.stop.is_some() {
            return Err(callback);
        }
        let key = state.next_key();
        state.registered_or_new().callbacks.insert(key, callback);
        Ok(key)
    }

    /// Unregisters a callback; waits for it if it runs on another thread just now, and for no other.
    pub(super) fn remove_callback(&self, key: u64) {
        let mut state = self.state();
        let registered = state.registered();
        let callback = registered.and_then(|registered| registered.callbacks.remove(key));
        if callback.is_some() {
            drop(state);
            drop(callback);
            return;
        }
        let here = thread::current().id();
        while state
            .running
            .iter()
            .any(|&(k, thread)| k == key && thread != here)
        {
            (state, _) = self.wait_for_change(state, None);
        }
    }

    /// Leaves (or replaces) a waker. False if the token is stopped: then nothing is left.
    pub(super) fn set_waker(&self, key: &mut Option<u64>, waker: &Waker) -> bool {
        // A waker is a user's: cloned and dropped with the lock free.
        let waker = waker.clone();
        let old;
        {
            let mut state = self.state();
            if state.stop.is_some() {
                return false;
            }
            old = match *key {
                // It is there until the stop, or until its future is dropped.
                Some(key) => {
                    let left = state.registered_or_new().wakers.get_mut(key);
                    left.map(|left| std::mem::replace(left, waker))
                }
                None => {
                    let new = *key.insert(state.next_key());
                    state.registered_or_new().wakers.insert(new, waker);
                    None
                }
            };
        }
        drop(old);
        true
    }

    pub(super) fn remove_waker(&self, key: u64) {
        let waker = {
            let mut state = self.state();
            let registered = state.registered();
            registered.and_then(|registered| registered.wakers.remove(key))
        };
        drop(waker); // with the lock free
    }

    /// A channel that disconnects when the token is stopped.
    pub(super) fn channel(&self) -> &Receiver<Never> {
        self.channel.get_or_init(|| {
            let (sender, receiver) = crossbeam_channel::bounded(0);
            let mut state = self.state();
            if state.stop.is_none() {
                state.sender = Some(sender);
            }
            receiver
        })
    }
}

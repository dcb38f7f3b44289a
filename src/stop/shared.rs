//! What a source and its tokens share: a flag, those who wait for it, the callbacks, the children.
//!
//! Stopping has two halves. *Tripping* sets the flag and wakes those who wait; it calls nobody's code. *Running* then runs the
//! callbacks and wakes the futures. They are apart so that a shutdown can trip on any thread and run where a callback
//! that hangs does no harm.
//!
//! # Invariants
//!
//! - `stopped` is true exactly when `state.stop` is set; both change with the lock held, so a waiter that has looked under
//!   the lock cannot miss the wake-up.
//! - A callback is in `callbacks` until somebody takes it out, under the lock, to run or to drop it: so it runs at most once.
//!
//! # Deadlock safety
//!
//! No two tokens' locks are held at once, and nothing of a user's is called or dropped with one held. A parent is walked
//! from a list of its descendants, not by recursion; so is the chain of parents when the last child is dropped.

use std::sync::{Arc, PoisonError, Weak};
use std::task::Waker;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};

use crate::base::apart::apart;
use crate::base::ordered::Ordered;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::of_std::{Condvar, Mutex, MutexGuard};
use crate::sync::thread::ThreadId;
use crate::sync::{Instant, OnceCell};

use super::reason::{Stop, StopReason};
use super::timer::{self, TimerKey};
use super::tripped::Tripped;

/// The message type of a stop token's channel: there is no value of it, so the channel carries none.
///
/// ```
/// use crossbeam_channel::{Receiver, RecvError};
/// use sundown::{Never, StopSource};
///
/// let source = StopSource::new();
/// let token = source.token();
/// source.stop();
/// let stopped: &Receiver<Never> = token.channel();
/// assert_eq!(stopped.recv(), Err(RecvError)); // nothing ever comes; it is disconnected
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Never {}

/// Who can give the holder of a token more time.
pub(crate) trait Extend: Send + Sync {
    /// The holder needs `by` from now.
    fn extend(&self, by: Duration);
}

/// What source and tokens share.
pub(crate) struct Shared {
    stopped: AtomicBool,
    /// std's lock and condition variable: theirs wakes all waiters at once, where parking_lot's hands the lock from one to the next,
    /// which for a thousand waiters takes five times as long.
    state: Mutex<State>,
    /// Notified when it is stopped, and when a callback has returned.
    changed: Condvar,
    /// Made when somebody first asks for it; its sender is in the state.
    pub(super) channel: OnceCell<Receiver<Never>>,
    /// The token that this is a child of, and our key there.
    parent: Option<(Arc<Shared>, u64)>,
    /// Whom its holder asks for more time.
    extend: OnceCell<Arc<dyn Extend>>,
    /// The timer to take back when nobody holds the token any more.
    timer: OnceCell<TimerKey>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) stop: Option<Stop>,
    /// The next key, for callbacks, wakers and children alike.
    next: u64,
    /// There once something was registered. Boxed, since on most tokens nothing is.
    registered: Option<Box<Registered>>,
    /// The callbacks that run just now, each on its thread. Mostly none or one.
    pub(super) running: Vec<(u64, ThreadId)>,
    /// Dropped on the stop, which disconnects the channel.
    pub(super) sender: Option<Sender<Never>>,
    /// Somebody waits for `changed`, or has waited. On Linux std's condition variable calls the kernel for each notification, also when
    /// nobody waits: for ten thousand workers that park elsewhere that was a tenth of their shutdown.
    waited: bool,
}

/// What hangs on a token, by rising key.
pub(super) struct Registered {
    pub(super) callbacks: Ordered<u64, Box<dyn FnOnce() + Send>>,
    pub(super) wakers: Ordered<u64, Waker>,
    children: Ordered<u64, Weak<Shared>>,
}

impl Shared {
    pub(super) fn new() -> Arc<Shared> {
        Arc::new(Shared {
            stopped: AtomicBool::new(false),
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
            channel: OnceCell::new(),
            parent: None,
            extend: OnceCell::new(),
            timer: OnceCell::new(),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that could panic runs with it held, so it is never poisoned.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for `changed` with the lock, at most until `limit`; false if that has passed.
    pub(super) fn wait_for_change<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        limit: Option<Instant>,
    ) -> (MutexGuard<'a, State>, bool) {
        state.waited = true;
        let Some(limit) = limit else {
            let state = self.changed.wait(state);
            return (state.unwrap_or_else(PoisonError::into_inner), true);
        };
        let left = limit.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return (state, false);
        }
        let waited = self.changed.wait_timeout(state, left);
        (waited.unwrap_or_else(PoisonError::into_inner).0, true)
    }

    /// Wakes those who wait for `changed`, after the lock is free: woken under it they would only go back to sleep for it. Who has not
    /// waited yet looks under the lock first, and finds what has changed.
    pub(super) fn notify(&self, state: MutexGuard<'_, State>) {
        let waited = state.waited;
        drop(state);
        if waited {
            self.changed.notify_all();
        }
    }

    /// A token that is stopped with this one.
    pub(super) fn child(self: &Arc<Shared>) -> Arc<Shared> {
        let mut state = self.state();
        let key = state.next_key();
        // A child of a stopped token begins as one: nobody can have registered anything with it.
        let stop = state.stop.as_ref().map(|stop| Stop {
            reason: stop.reason.for_child(),
            deadline: stop.deadline,
        });
        let child = Arc::new(Shared {
            stopped: AtomicBool::new(stop.is_some()),
            state: Mutex::new(State {
                stop,
                ..State::default()
            }),
            changed: Condvar::new(),
            channel: OnceCell::new(),
            parent: Some((Arc::clone(self), key)),
            extend: OnceCell::new(),
            timer: OnceCell::new(),
        });
        // Also when it is stopped: its deadline may still change.
        let children = &mut state.registered_or_new().children;
        children.insert(key, Arc::downgrade(&child));
        child
    }

    /// Has it stopped at `at` by the timer thread.
    pub(super) fn stop_at(self: &Arc<Shared>, at: Instant) {
        let expire: Weak<Shared> = Arc::downgrade(self);
        // Set once: only the maker of a token calls this.
        let _ = self.timer.set(timer::at(at, expire));
    }

    // Acquire: pairs with the Release in `trip_one`, so that what the stopper wrote before is seen.
    #[inline]
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(super) fn stop_of(&self) -> Option<Stop> {
        self.state().stop.clone()
    }

    pub(super) fn set_extend(&self, extend: Arc<dyn Extend>) {
        // Only the maker of a source sets this, once.
        let _ = self.extend.set(extend);
    }

    /// Asks for more time, for whoever this token or the nearest of those that it is a child of belongs to.
    pub(super) fn extend(&self, by: Duration) {
        let parents = std::iter::successors(Some(self), |shared| {
            shared.parent.as_ref().map(|(parent, _)| &**parent)
        });
        if let Some(extend) = parents.into_iter().find_map(|shared| shared.extend.get()) {
            extend.extend(by);
        }
    }

    /// A stopped holder must be done by this, if that is sooner than what it was told; and so must the holders of its children.
    pub(super) fn tighten(&self, deadline: Instant) {
        self.change_deadline(|old| Some(old.map_or(deadline, |old| old.min(deadline))));
    }

    /// A stopped holder that was told a deadline has until this, if that is later; and so have the holders of its children.
    pub(super) fn prolong(&self, deadline: Instant) {
        self.change_deadline(|old| old.map(|old| old.max(deadline)));
    }

    fn change_deadline(&self, change: impl Fn(Option<Instant>) -> Option<Instant>) {
        let mut children = self.change_one_deadline(&change);
        while let Some(child) = children.pop() {
            children.extend(child.change_one_deadline(&change));
        }
    }

    fn change_one_deadline(
        &self,
        change: impl Fn(Option<Instant>) -> Option<Instant>,
    ) -> Vec<Arc<Shared>> {
        let mut state = self.state();
        if let Some(stop) = &mut state.stop {
            stop.deadline = change(stop.deadline);
        }
        // Given out, so that what is dropped is dropped with the lock free.
        state.children().filter_map(Weak::upgrade).collect()
    }

    /// Whether a stop would run anything of a user's, or stop a child.
    pub(super) fn is_listened_to(&self) -> bool {
        let state = self.state();
        !state.is_quiet() || state.children().next().is_some()
    }

    /// Blocks until stopped, at most until `limit`. True if stopped.
    pub(super) fn wait_until(&self, limit: Option<Instant>) -> bool {
        let mut state = self.state();
        let mut in_time = true;
        while in_time && state.stop.is_none() {
            (state, in_time) = self.wait_for_change(state, limit);
        }
        state.stop.is_some()
    }

    // ---- stopping

    /// Trips this token and all its descendants. `None` if it was stopped already.
    pub(super) fn trip(self: &Arc<Shared>, stop: &Stop) -> Option<Tripped> {
        let (mut children, quiet) = self.trip_one(stop)?;
        let mut tokens = Vec::new();
        if !quiet {
            tokens.push(Arc::clone(self));
        }
        if !children.is_empty() {
            let theirs = Stop {
                reason: stop.reason.for_child(),
                deadline: stop.deadline,
            };
            while let Some(child) = children.pop() {
                // One that was stopped on its own has stopped its own children.
                if let Some((more, quiet)) = child.trip_one(&theirs) {
                    children.extend(more);
                    if !quiet {
                        tokens.push(child);
                    }
                }
            }
        }
        Some(Tripped::of(tokens))
    }

    /// Sets the flag and wakes those who wait. Gives the children, and whether nothing of a user's is to be run; `None` if it was
    /// stopped already.
    fn trip_one(&self, stop: &Stop) -> Option<(Vec<Arc<Shared>>, bool)> {
        let mut state = self.state();
        if state.stop.is_some() {
            return None;
        }
        state.stop = Some(stop.clone());
        self.stopped.store(true, Ordering::Release);
        // Upgraded after the lock is free: who drops the last handle on a child takes this lock.
        let children: Vec<Weak<Shared>> = state.children().cloned().collect();
        let sender = state.sender.take();
        let quiet = state.is_quiet();
        self.notify(state);
        drop(sender);
        let children = children.iter().filter_map(Weak::upgrade).collect();
        Some((children, quiet))
    }
}

impl State {
    pub(super) fn next_key(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// What was registered, if anything ever was.
    pub(super) fn registered(&mut self) -> Option<&mut Registered> {
        self.registered.as_deref_mut()
    }

    pub(super) fn registered_or_new(&mut self) -> &mut Registered {
        self.registered.get_or_insert_with(|| {
            Box::new(Registered {
                callbacks: Ordered::new(),
                wakers: Ordered::new(),
                children: Ordered::new(),
            })
        })
    }

    /// Whether nothing of a user's is registered.
    pub(super) fn is_quiet(&self) -> bool {
        let registered = self.registered.as_ref();
        registered.map_or(true, |registered| {
            registered.callbacks.is_empty() && registered.wakers.is_empty()
        })
    }

    fn children(&self) -> impl Iterator<Item = &Weak<Shared>> {
        let registered = self.registered.iter();
        registered.flat_map(|registered| registered.children.values())
    }
}

impl timer::Expire for Shared {
    fn expire(self: Arc<Self>) {
        let Some(tripped) = self.trip(&Stop::now(StopReason::TimeLimit)) else {
            return;
        };
        if tripped.is_quiet() {
            return;
        }
        apart(move || tripped.run());
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(key) = self.timer.take() {
            timer::cancel(key);
        }
        let mut next = self.parent.take();
        while let Some((parent, key)) = next {
            if let Some(registered) = parent.state().registered() {
                registered.children.remove(key);
            }
            // A long chain of parents that only their children held would be dropped by recursion, one frame for each.
            next = Arc::into_inner(parent).and_then(|mut parent| parent.parent.take());
        }
    }
}

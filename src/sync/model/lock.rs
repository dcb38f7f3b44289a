//! Locks and condition variables.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use shuttle::sync as shut;
use shuttle_engine::runtime::execution::ExecutionState;
use shuttle_engine::runtime::task::TaskId;
use shuttle_engine::runtime::thread::switch;

use super::{comes, thread, Instant, Time, TIME};

/// parking_lot's `Mutex`.
#[derive(Debug)]
pub(crate) struct Mutex<T: ?Sized>(shut::Mutex<T>);

/// parking_lot's `MutexGuard`.
pub(crate) struct MutexGuard<'a, T: ?Sized> {
    lock: &'a shut::Mutex<T>,
    /// Absent while a condition variable has it.
    guard: Option<shut::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Mutex<T> {
        Mutex(shut::Mutex::new(value))
    }
}

impl<T: ?Sized> Mutex<T> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard {
            lock: &self.0,
            guard: Some(hold(&self.0)),
        }
    }

    /// In a model every lock is to be had in time.
    pub(crate) fn try_lock_for(&self, _limit: Duration) -> Option<MutexGuard<'_, T>> {
        Some(self.lock())
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn hold<T: ?Sized>(lock: &shut::Mutex<T>) -> shut::MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

const HELD: &str = "only a condition variable takes it, and gives it back";

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.guard.as_ref().expect(HELD)
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.guard.as_mut().expect(HELD)
    }
}

/// parking_lot's `Condvar`.
#[derive(Debug, Default)]
pub(crate) struct Condvar {
    waiting: std::sync::Mutex<Vec<Arc<Waiter>>>,
}

/// Who waits for a condition variable. None of this is a step of the model.
#[derive(Debug)]
struct Waiter {
    task: TaskId,
    notified: std::sync::atomic::AtomicBool,
}

impl Waiter {
    fn is_notified(&self) -> bool {
        // No orderings here: all of this is one thread of the system.
        self.notified.load(Ordering::Relaxed)
    }
}

/// Whether a wait came to its limit.
pub(crate) struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    pub(crate) fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    pub(crate) const fn new() -> Condvar {
        Condvar {
            waiting: std::sync::Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn wait<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>) {
        let waiter = self.enter();
        // Others may run before the lock is free, but not between that and the block.
        guard.guard = None;
        if !waiter.is_notified() {
            ExecutionState::with(|state| state.current_mut().block(false));
            switch();
        }
        guard.guard = Some(hold(guard.lock));
    }

    pub(crate) fn wait_until<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        limit: Instant,
    ) -> WaitTimeoutResult {
        if limit > Instant::now() && TIME.with(Cell::get) == Time::Stands {
            self.wait(guard);
            return WaitTimeoutResult(false);
        }
        // Not blocked, since nothing would wake it at its limit: it looks again and again.
        let waiter = self.enter();
        guard.guard = None;
        let timed_out = loop {
            thread::yield_now();
            if waiter.is_notified() {
                break false;
            }
            if comes(limit) {
                break true;
            }
        };
        self.waiting().retain(|other| !Arc::ptr_eq(other, &waiter));
        guard.guard = Some(hold(guard.lock));
        WaitTimeoutResult(timed_out)
    }

    pub(crate) fn notify_all(&self) {
        switch();
        for waiter in self.waiting().drain(..) {
            waiter.notified.store(true, Ordering::Relaxed);
            // Does nothing to one that is not blocked yet.
            ExecutionState::with(|state| state.get_mut(waiter.task).unblock());
        }
    }

    /// Only the timer's thread waits for one of these.
    pub(crate) fn notify_one(&self) {
        self.notify_all();
    }

    fn enter(&self) -> Arc<Waiter> {
        let waiter = Arc::new(Waiter {
            task: ExecutionState::me(),
            notified: std::sync::atomic::AtomicBool::new(false),
        });
        self.waiting().push(Arc::clone(&waiter));
        waiter
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Waiter>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// std's `Mutex` and `Condvar`: the same, but for how they are called.
pub(crate) mod of_std {
    use std::sync::LockResult;
    use std::time::Duration;

    use super::{Instant, WaitTimeoutResult};

    pub(crate) use super::MutexGuard;

    #[derive(Debug)]
    pub(crate) struct Mutex<T>(super::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Mutex<T> {
            Mutex(super::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
            Ok(self.0.lock())
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct Condvar(super::Condvar);

    impl Condvar {
        pub(crate) const fn new() -> Condvar {
            Condvar(super::Condvar::new())
        }

        pub(crate) fn wait<'a, T>(
            &self,
            mut guard: MutexGuard<'a, T>,
        ) -> LockResult<MutexGuard<'a, T>> {
            self.0.wait(&mut guard);
            Ok(guard)
        }

        pub(crate) fn wait_timeout<'a, T>(
            &self,
            mut guard: MutexGuard<'a, T>,
            timeout: Duration,
        ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
            let limit = Instant::now() + timeout;
            let waited = self.0.wait_until(&mut guard, limit);
            Ok((guard, waited))
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}

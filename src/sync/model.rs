//! Shuttle's threads and locks under the names of the real ones, and a clock that goes only as a model says.
//!
//! Shuttle runs the threads of a model one at a time on one thread of the system, and changes between them wherever they touch
//! something in here. It knows no time, so that is defined here, in one of two ways ([`Time`]).
//!
//! Atomics are sequentially consistent, whatever ordering is asked for: a model says nothing about orderings.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::ops::{Add, Deref, DerefMut};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use shuttle::rand::Rng;
use shuttle::sync as shut;
use shuttle::sync::atomic::AtomicBool;
use shuttle_engine::runtime::execution::ExecutionState;
use shuttle_engine::runtime::task::TaskId;
use shuttle_engine::runtime::thread::switch;

pub(crate) use shuttle::sync::mpsc;

pub(crate) mod atomic {
    pub(crate) use shuttle::sync::atomic::{fence, AtomicBool, AtomicU32, AtomicU64, AtomicU8};
    pub(crate) use std::sync::atomic::Ordering;
}

// ---- time

/// How time goes in a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// It stands still. A wait with a limit is one without, so a wake-up that is missing shows as a deadlock and no deadline
    /// covers it up.
    Stands,
    /// A wait with a limit may come to it at any moment, and the clock shows that limit from then on: as if all threads had been
    /// held up for so long. So every limit is met, and missed, everywhere.
    Passes,
}

/// Of so many times that a wait with a limit is looked at, it comes to its limit once.
const LIMIT_COMES: u32 = 6;

// All threads of a model share one of the system, so these belong to a model.
std::thread_local! {
    static TIME: Cell<Time> = const { Cell::new(Time::Stands) };
    static CLOCK: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    static SPAWNS_FAIL: Cell<bool> = const { Cell::new(false) };
    static STATICS: RefCell<HashMap<usize, &'static (dyn Any + Sync)>> = RefCell::default();
}

/// Begins an execution of a model: the clock and the statics are as at the start of a process. Call it first in each.
pub fn begin(time: Time) {
    TIME.with(|cell| cell.set(time));
    // Far from zero, for those who subtract.
    CLOCK.with(|clock| clock.set(Duration::from_secs(1_000_000)));
    SPAWNS_FAIL.with(|fail| fail.set(false));
    STATICS.with(|statics| statics.borrow_mut().clear());
}

/// Lets the clock go on by so much.
pub fn pass(time: Duration) {
    CLOCK.with(|clock| clock.set(clock.get() + time));
}

/// From now on any thread that is to be started may not be had.
pub fn spawns_may_fail(may: bool) {
    SPAWNS_FAIL.with(|fail| fail.set(may));
}

/// A moment on the model's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(Duration);

impl Instant {
    /// What the clock shows.
    pub fn now() -> Instant {
        Instant(CLOCK.with(Cell::get))
    }

    /// As std's.
    pub fn elapsed(&self) -> Duration {
        Instant::now().saturating_duration_since(*self)
    }

    /// As std's.
    pub fn checked_add(&self, duration: Duration) -> Option<Instant> {
        self.0.checked_add(duration).map(Instant)
    }

    /// As std's.
    pub fn saturating_duration_since(&self, earlier: Instant) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// It has become this late, if it was not later already.
    fn has_come(self) {
        CLOCK.with(|clock| clock.set(clock.get().max(self.0)));
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        Instant(self.0 + duration)
    }
}

// ---- locks

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

fn hold<T: ?Sized>(lock: &shut::Mutex<T>) -> shut::MutexGuard<'_, T> {
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

/// Someone who waits looks at the clock: whether this is the moment, now or by then.
fn comes(limit: Instant) -> bool {
    let passes = TIME.with(Cell::get) == Time::Passes;
    let comes = limit <= Instant::now() || (passes && one_in(LIMIT_COMES));
    if comes {
        limit.has_come();
    }
    comes
}

fn one_in(times: u32) -> bool {
    shuttle::rand::thread_rng().gen_ratio(1, times)
}

// ---- what is made once

/// once_cell's `OnceCell`.
#[derive(Debug)]
pub(crate) struct OnceCell<T> {
    /// Held while it is made.
    making: shut::Mutex<()>,
    /// A look at this is what other threads may come before or after.
    made: AtomicBool,
    value: once_cell::sync::OnceCell<T>,
}

impl<T> OnceCell<T> {
    pub(crate) fn new() -> OnceCell<T> {
        OnceCell {
            making: shut::Mutex::new(()),
            made: AtomicBool::new(false),
            value: once_cell::sync::OnceCell::new(),
        }
    }

    pub(crate) fn with_value(value: T) -> OnceCell<T> {
        OnceCell {
            making: shut::Mutex::new(()),
            made: AtomicBool::new(true),
            value: once_cell::sync::OnceCell::with_value(value),
        }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        match self.made.load(Ordering::Acquire) {
            true => self.value.get(),
            false => None,
        }
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        let making = hold(&self.making);
        let set = self.value.set(value);
        self.made.store(true, Ordering::Release);
        drop(making);
        set
    }

    pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        if self.get().is_none() {
            let making = hold(&self.making);
            if self.value.get().is_none() {
                // Into the cell only when it is made, as others may run meanwhile.
                let value = make();
                self.value.get_or_init(|| value);
                self.made.store(true, Ordering::Release);
            }
            drop(making);
        }
        self.value.get().expect("it has been made")
    }

    pub(crate) fn take(&mut self) -> Option<T> {
        self.value.take()
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> OnceCell<T> {
        OnceCell::new()
    }
}

/// once_cell's `Lazy`, for a static: one for each execution of a model, and never dropped.
pub(crate) struct Lazy<T> {
    make: fn() -> T,
}

impl<T> Lazy<T> {
    pub(crate) const fn new(make: fn() -> T) -> Lazy<T> {
        Lazy { make }
    }
}

impl<T: Any + Sync> Deref for Lazy<T> {
    type Target = T;

    fn deref(&self) -> &T {
        let key = std::ptr::addr_of!(*self) as usize;
        let made = STATICS.with(|statics| {
            let mut statics = statics.borrow_mut();
            *statics
                .entry(key)
                .or_insert_with(|| Box::leak(Box::new((self.make)())))
        });
        (made as &dyn Any).downcast_ref().expect("its own type")
    }
}

// ---- threads

/// A thread-local that is destroyed after all others of its thread. Shuttle destroys the oldest first, std the newest; what
/// matters here is that a seat, which comes first, goes last.
pub struct LocalKey<T: 'static>(shuttle_engine::thread_support::DestroyedLastKey<T>);

impl<T: 'static> LocalKey<T> {
    #[doc(hidden)]
    pub const fn new(init: fn() -> T) -> LocalKey<T> {
        LocalKey(shuttle_engine::thread_support::DestroyedLastKey::new(init))
    }

    /// As std's.
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        self.try_with(f).expect("the thread-local is destroyed")
    }

    /// As std's.
    pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, thread::AccessError> {
        self.0.try_with(f)
    }
}

impl<T> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

/// std's `thread_local!`, as far as it is used here.
macro_rules! model_thread_local {
    ($($(#[$attr:meta])* static $name:ident: $t:ty = const { $init:expr };)*) => {
        $($(#[$attr])* static $name: $crate::sync::model::LocalKey<$t> =
            $crate::sync::model::LocalKey::new(|| $init);)*
    };
}
pub(crate) use model_thread_local as thread_local;

/// std's `thread`.
pub(crate) mod thread {
    use std::io;
    use std::num::NonZeroUsize;
    use std::time::Duration;

    use super::{comes, one_in, ExecutionState, Instant, TaskId, Time, SPAWNS_FAIL, TIME};

    pub use super::LocalKey;
    pub use shuttle::thread::{
        current, panicking, park, yield_now, AccessError, Result, ScopedJoinHandle, Thread,
        ThreadId,
    };
    pub(crate) use shuttle::thread::{scope, JoinHandle, Scope};

    /// std's `Builder`. Shuttle's knows no scopes, and never fails.
    #[derive(Debug)]
    pub(crate) struct Builder(shuttle::thread::Builder);

    impl Builder {
        pub(crate) fn new() -> Builder {
            Builder(shuttle::thread::Builder::new())
        }

        pub(crate) fn name(self, name: String) -> Builder {
            Builder(self.0.name(name))
        }

        /// Models have stacks of one size.
        pub(crate) fn stack_size(self, _size: usize) -> Builder {
            self
        }

        #[track_caller]
        pub(crate) fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
        where
            F: FnOnce() -> T + Send + 'static,
            T: Send + 'static,
        {
            may_fail()?;
            self.0.spawn(f)
        }

        #[track_caller]
        pub(crate) fn spawn_scoped<'scope, F, T>(
            self,
            scope: &'scope Scope<'scope, '_>,
            f: F,
        ) -> io::Result<ScopedJoinHandle<'scope, T>>
        where
            F: FnOnce() -> T + Send + 'scope,
            T: Send + 'scope,
        {
            may_fail()?;
            Ok(scope.spawn(f))
        }
    }

    /// No execution waits for its end.
    pub(crate) fn spawn_for_good(_name: &str, f: fn()) -> io::Result<()> {
        may_fail()?;
        drop(shuttle::future::spawn(async move { f() }));
        Ok(())
    }

    fn may_fail() -> io::Result<()> {
        match SPAWNS_FAIL.with(std::cell::Cell::get) && one_in(2) {
            true => Err(io::Error::from(io::ErrorKind::WouldBlock)),
            false => Ok(()),
        }
    }

    /// Waits for a thread's end, at most until `limit`. True if it has ended.
    pub(crate) fn ends_before<T>(thread: &JoinHandle<T>, limit: Instant) -> bool {
        let id = TaskId::from(usize::from(thread.thread().id()));
        let ended = || ExecutionState::with(|state| state.get(id).finished());
        loop {
            yield_now();
            if ended() {
                return true;
            }
            if comes(limit) {
                return false;
            }
        }
    }

    /// As std's. What has been slept through has passed, if time does.
    pub fn sleep(duration: Duration) {
        let end = Instant::now().checked_add(duration);
        yield_now();
        if let Some(end) = end.filter(|_| TIME.with(std::cell::Cell::get) == Time::Passes) {
            end.has_come();
        }
    }

    /// As std's; it may wake for no reason.
    pub fn park_timeout(duration: Duration) {
        match TIME.with(std::cell::Cell::get) {
            Time::Stands => park(),
            Time::Passes => sleep(duration),
        }
    }

    /// As std's.
    pub fn park_timeout_ms(ms: u32) {
        park_timeout(Duration::from_millis(ms.into()));
    }

    /// As std's.
    pub fn sleep_ms(ms: u32) {
        sleep(Duration::from_millis(ms.into()));
    }

    /// Two, wherever a model runs.
    pub fn available_parallelism() -> io::Result<NonZeroUsize> {
        NonZeroUsize::new(2).ok_or_else(|| io::ErrorKind::Unsupported.into())
    }
}

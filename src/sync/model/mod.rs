//! Shuttle's threads and locks under the names of the real ones, and a clock that goes only as a model says.
//!
//! Shuttle runs the threads of a model one at a time on one thread of the system, and changes between them wherever they touch
//! something in here. It knows no time, so that is defined here, in one of two ways ([`Time`]).
//!
//! Atomics are sequentially consistent, whatever ordering is asked for: a model says nothing about orderings.

mod lock;
mod once;
pub(crate) mod thread;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::Add;
use std::time::Duration;

use shuttle::rand::Rng;

pub(crate) use lock::{of_std, Condvar, Mutex, MutexGuard};
pub(crate) use once::{Lazy, OnceCell};
pub(crate) use shuttle::sync::mpsc;
pub(crate) use thread::thread_local;

pub(crate) mod atomic {
    pub(crate) use shuttle::sync::atomic::{fence, AtomicBool, AtomicU32, AtomicU64, AtomicU8};
    pub(crate) use std::sync::atomic::Ordering;
}

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

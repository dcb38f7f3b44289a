//! One thread for every deadline of a token or a worker, started when the first is set.
//!
//! It fires what has expired and sleeps until the next. It runs no code of a user's itself: callbacks run on a thread of their
//! own (`apart`), so that one that hangs holds up no other deadline.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use crate::sync::{thread, Condvar, Instant, Lazy, Mutex};
use crate::sys;

/// Something that a deadline is set for.
pub(crate) trait Expire: Send + Sync {
    /// Its time is up. Must not block.
    fn expire(self: Arc<Self>);
}

/// Names one deadline, to take it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerKey {
    at: Instant,
    number: u64,
}

struct Timers {
    /// Soonest first. A leaf lock: what is taken out is fired or dropped with the lock free.
    pending: BTreeMap<TimerKey, Weak<dyn Expire>>,
    /// The next key's number, since two deadlines may be at the same time.
    next: u64,
    /// In which process (see `fork_generation`) the thread runs, if it does.
    running_in: Option<u32>,
}

static TIMERS: Lazy<Mutex<Timers>> = Lazy::new(|| {
    Mutex::new(Timers {
        pending: BTreeMap::new(),
        next: 0,
        running_in: None,
    })
});

/// Notified when a deadline is set that comes before all others.
static SOONER: Lazy<Condvar> = Lazy::new(Condvar::new);

/// Fires `target` at `at`, unless it is gone by then or this is taken back.
pub(crate) fn at(at: Instant, target: Weak<dyn Expire>) -> TimerKey {
    let mut timers = TIMERS.lock();
    timers.next += 1;
    let key = TimerKey {
        at,
        number: timers.next,
    };
    timers.pending.insert(key, target);
    let first = timers.pending.keys().next() == Some(&key);
    let here = Some(sys::fork_generation());
    if timers.running_in != here {
        match thread::spawn_for_good("sundown-timer", run) {
            Ok(()) => timers.running_in = here,
            Err(error) => {
                drop(timers);
                crate::base::logging::log(
                    log::Level::Error,
                    format_args!(
                        "cannot start the timer thread, so deadlines do not fire: {error}"
                    ),
                );
                return key;
            }
        }
    }
    drop(timers);
    if first {
        SOONER.notify_one();
    }
    key
}

/// Takes a deadline back.
pub(crate) fn cancel(key: TimerKey) {
    let target = TIMERS.lock().pending.remove(&key);
    drop(target);
}

/// The timer thread. It goes on as long as the process does.
fn run() {
    let mut timers = TIMERS.lock();
    loop {
        match timers.pending.first_key_value().map(|(key, _)| *key) {
            None => SOONER.wait(&mut timers),
            Some(key) if key.at <= Instant::now() => {
                let target = timers.pending.remove(&key);
                drop(timers);
                if let Some(target) = target.and_then(|target| target.upgrade()) {
                    target.expire();
                }
                timers = TIMERS.lock();
            }
            Some(key) => {
                SOONER.wait_until(&mut timers, key.at);
            }
        }
    }
}

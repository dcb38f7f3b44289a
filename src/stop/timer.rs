//! One thread for every deadline of a token or a worker, started when the first is set.
//!
//! It fires what has expired and sleeps until the next. It runs no code of a user's itself: callbacks run on a thread of their
//! own (`apart`), so that one that hangs holds up no other deadline.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};

use crate::base::ordered::Ordered;
use crate::sync::{thread, Condvar, Instant, Lazy, Mutex};
use crate::sys;

/// Something that a deadline is set for.
pub(crate) trait Expire: Send + Sync {
    /// Its time is up. Must not block.
    fn expire(self: Arc<Self>);
}

/// Names one deadline, to take it back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimerKey(u64);

/// What the lock guards. A leaf lock: what is taken out is fired or dropped with the lock free.
struct Timers {
    /// What deadlines were set for, and neither fired nor taken back, by rising number.
    pending: Ordered<u64, Weak<dyn Expire>>,
    /// When they fire, soonest first. Also of some that were taken back: no more than `SLACK` and those that are pending.
    soonest: BinaryHeap<Reverse<(Instant, u64)>>,
    /// The next key's number.
    next: u64,
    /// In which process (see `fork_generation`) the thread runs, if it does.
    running_in: Option<u32>,
}

impl Timers {
    /// What this deadline was set for, if it is pending. It is so no more.
    fn take(&mut self, number: u64) -> Option<Weak<dyn Expire>> {
        let target = self.pending.remove(number);
        // O(1) for each on average: this comes only after as many were taken out as are looked at.
        if self.soonest.len() > 2 * self.pending.len() + SLACK {
            let pending = &mut self.pending;
            let mut is_pending = |number| pending.get_mut(number).is_some();
            self.soonest
                .retain(|Reverse((_, number))| is_pending(*number));
        }
        // What a burst has left behind is given back, but not so much that the next deadline has to ask again.
        if self.soonest.capacity() > 8 * self.soonest.len() + 4 * SLACK {
            self.soonest.shrink_to(2 * self.soonest.len() + SLACK);
        }
        target
    }
}

/// How many deadlines that were taken back are not worth looking for.
const SLACK: usize = 32;

static TIMERS: Lazy<Mutex<Timers>> = Lazy::new(|| {
    Mutex::new(Timers {
        pending: Ordered::new(),
        soonest: BinaryHeap::new(),
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
    let number = timers.next;
    let key = TimerKey(number);
    let sooner = |Reverse(first): &Reverse<(Instant, u64)>| at < first.0;
    let first = timers.soonest.peek().map_or(true, sooner);
    timers.pending.insert(number, target);
    timers.soonest.push(Reverse((at, number)));
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
    let target = TIMERS.lock().take(key.0);
    drop(target); // with the lock free
}

/// The timer thread. It goes on as long as the process does.
fn run() {
    let mut timers = TIMERS.lock();
    loop {
        match timers.soonest.peek().map(|first| first.0) {
            None => SOONER.wait(&mut timers),
            Some((at, number)) if at <= Instant::now() => {
                timers.soonest.pop();
                let target = timers.take(number);
                drop(timers);
                if let Some(target) = target.and_then(|target| target.upgrade()) {
                    target.expire();
                }
                timers = TIMERS.lock();
            }
            Some((at, _)) => {
                SOONER.wait_until(&mut timers, at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    struct Nothing;

    impl Expire for Nothing {
        fn expire(self: Arc<Self>) {}
    }

    #[test]
    fn what_is_taken_back_leaves_nothing_behind() {
        let far = Instant::now() + Duration::from_secs(3600);
        let target = Arc::new(Nothing);
        let set = || {
            let target: Arc<dyn Expire> = Arc::clone(&target) as _;
            at(far, Arc::downgrade(&target))
        };
        let kept: Vec<TimerKey> = (0..100).map(|_| set()).collect();
        for _ in 0..10_000 {
            cancel(set());
        }
        kept.into_iter().for_each(cancel);
        assert_eq!(Arc::weak_count(&target), 0);
        // Other tests have some of their own.
        let timers = TIMERS.lock();
        assert!(timers.soonest.len() <= 2 * timers.pending.len() + SLACK);
        assert!(timers.soonest.capacity() <= 8 * timers.soonest.len() + 4 * SLACK);
    }

    #[test]
    fn what_has_fired_leaves_nothing_behind() {
        let target = Arc::new(Nothing);
        for _ in 0..10_000 {
            let target: Arc<dyn Expire> = Arc::clone(&target) as _;
            at(Instant::now(), Arc::downgrade(&target));
        }
        // Nobody tells that a deadline without a target's own doing has fired.
        let limit = Instant::now() + Duration::from_secs(20);
        while Arc::weak_count(&target) > 0 {
            assert!(Instant::now() < limit, "they do not fire");
            std::thread::sleep(Duration::from_millis(1));
        }
        let timers = TIMERS.lock();
        assert!(timers.soonest.capacity() <= 8 * timers.soonest.len() + 4 * SLACK);
    }

    /// Some of our own, with `pending` deadlines in room for `capacity`.
    fn timers(pending: u64, capacity: usize) -> Timers {
        let mut timers = Timers {
            pending: Ordered::new(),
            soonest: BinaryHeap::with_capacity(capacity),
            next: pending,
            running_in: None,
        };
        let target: Arc<dyn Expire> = Arc::new(Nothing);
        let at = Instant::now();
        for number in 0..pending {
            timers.pending.insert(number, Arc::downgrade(&target));
            timers.soonest.push(Reverse((at, number)));
        }
        timers
    }

    #[test]
    fn what_was_taken_back_is_looked_for_once_there_is_more_of_it_than_is_left() {
        let mut timers = timers(300, 300);
        for number in 0..166 {
            timers.take(number);
            assert_eq!(timers.soonest.len(), 300, "{number}");
        }
        timers.take(166); // 133 are left: twice that, and the slack, is less than 300
        assert_eq!(timers.soonest.len(), 133);
        assert_eq!(timers.pending.len(), 133);
    }

    #[test]
    fn room_is_given_back_if_hardly_any_of_it_is_used() {
        for (used, kept) in [(150, true), (115, true), (109, true), (108, false)] {
            let mut timers = timers(used, 1000);
            assert_eq!(timers.soonest.capacity(), 1000);
            timers.take(u64::MAX); // there is no such
            let capacity = timers.soonest.capacity();
            assert_eq!(capacity == 1000, kept, "{used} in {capacity}");
            assert!(
                capacity >= 2 * used as usize + SLACK,
                "{used} in {capacity}"
            );
        }
    }
}

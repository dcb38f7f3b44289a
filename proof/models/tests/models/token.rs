//! Tokens: the stop against those who wait, register, unregister, listen and descend.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use shuttle::thread;
use sundown::{StopReason, StopSource};

use crate::support::{check, Log, Time};

/// Who waits is woken by the stop. Of several stops one is the first.
///
/// Broken by:
/// - `token-wakes-before-it-is-stopped`, seed 13829643426991903823
/// - `token-forgets-who-waits`, seed 13019895128346070536
/// - `token-looks-before-the-lock`, seed 5495231237243022396
#[test]
fn token_wakes_who_waits() {
    check(Time::Stands, || {
        let source = StopSource::new();
        let token = source.token();
        let waiter = thread::spawn(move || token.wait());
        let other = source.clone();
        let other = thread::spawn(move || other.stop());
        let first = source.stop();
        waiter.join().unwrap();
        assert_ne!(first, other.join().unwrap(), "one of two is the first");
    });
}

/// A wait with a limit gives true only for a token that is stopped, whichever of the two comes first.
///
/// Broken by:
/// - `token-takes-a-limit-for-a-stop`, seed 17445033503702350414
#[test]
fn token_tells_a_stop_from_a_limit() {
    check(Time::Passes, || {
        let source = StopSource::new();
        let token = source.token();
        let waiter = thread::spawn(move || {
            let stopped = token.wait_timeout(Duration::from_secs(1));
            assert!(!stopped || token.is_stopped());
        });
        source.stop();
        assert!(source.token().wait_timeout(Duration::from_secs(1)));
        waiter.join().unwrap();
    });
}

/// A callback that is registered while the token is stopped runs once: by who stops it, or at once by who registers it.
///
/// Broken by:
/// - `token-registers-in-two-steps`, seed 4308765797715414806
#[test]
fn token_callback_runs_once() {
    check(Time::Stands, || {
        let source = StopSource::new();
        let ran = Log::new();
        let registrations: Vec<_> = (0..2)
            .map(|n| {
                let (token, ran) = (source.token(), ran.clone());
                thread::spawn(move || token.on_stop(move || ran.add(n)))
            })
            .collect();
        let other = source.clone();
        let other = thread::spawn(move || other.stop());
        source.stop();
        other.join().unwrap();
        let kept: Vec<_> = registrations
            .into_iter()
            .map(|r| r.join().unwrap())
            .collect();
        let mut ran = ran.all();
        ran.sort();
        assert_eq!(ran, [0, 1]);
        drop(kept);
    });
}

/// Once a callback is unregistered, it does not run and is not running.
///
/// Broken by:
/// - `token-callback-is-not-known-to-run`, seed 13723055527360172451
#[test]
fn token_callback_is_over_once_unregistered() {
    check(Time::Stands, || {
        let source = StopSource::new();
        let log = Log::new();
        let theirs = log.clone();
        let callback = source.token().on_stop(move || {
            theirs.add("begins");
            thread::yield_now();
            theirs.add("ends");
        });
        let stopper = thread::spawn(move || source.stop());
        drop(callback);
        log.add("unregistered");
        stopper.join().unwrap();
        let log = log.all();
        assert_eq!(*log.last().unwrap(), "unregistered", "{log:?}");
        assert_ne!(log.len(), 2, "it runs to its end or not at all: {log:?}");
    });
}

/// A callback may unregister itself, and does not wait for itself.
///
/// Broken by:
/// - `token-unregister-waits-for-itself`, seed 15970991115980998190
#[test]
fn token_callback_unregisters_itself() {
    check(Time::Stands, || {
        let source = StopSource::new();
        let place = Arc::new(Mutex::new(None));
        let own = Arc::clone(&place);
        let callback = source.token().on_stop(move || {
            let own = own.lock().unwrap().take();
            thread::yield_now();
            drop(own);
        });
        *place.lock().unwrap() = Some(callback);
        let stopper = thread::spawn(move || source.stop());
        thread::yield_now();
        let ours = place.lock().unwrap().take();
        drop(ours);
        stopper.join().unwrap();
    });
}

/// Who unregisters a callback waits for that one alone: not for another, which may be waiting for who unregisters.
///
/// Broken by:
/// - `token-unregister-waits-for-all`, seed 17368065858161550356
#[test]
fn token_waits_for_no_other_callback() {
    check(Time::Stands, || {
        let source = StopSource::new();
        let done = StopSource::new();
        let (token, told) = (source.token(), done.token());
        let older = token.on_stop(move || told.wait());
        let newer = token.on_stop(|| ());
        let stopper = thread::spawn(move || source.stop());
        drop(newer);
        done.stop();
        stopper.join().unwrap();
        drop(older);
    });
}

/// A child is stopped with its parent, whenever it was made; for the reason of its parent.
///
/// Broken by:
/// - `token-makes-a-child-in-two-steps`, seed 8884269636863863342
#[test]
fn token_stops_its_children() {
    check(Time::Stands, || {
        let source = StopSource::new();
        let token = source.token();
        let maker = thread::spawn(move || {
            let child = token.child();
            let grandchild = child.token().child();
            grandchild.token().wait();
            child.token().wait();
            child.token().reason()
        });
        let dropped = source.token().child();
        let dropper = thread::spawn(move || drop(dropped));
        source.stop();
        let reason = maker.join().unwrap();
        assert_eq!(
            reason,
            Some(StopReason::Parent(Box::new(StopReason::Source)))
        );
        dropper.join().unwrap();
    });
}

/// The channel of a token disconnects on the stop, whichever of the two comes first.
///
/// Broken by:
/// - `token-channel-in-two-steps`, seed 15758993660872164388
#[test]
fn token_disconnects_its_channel() {
    check(Time::Stands, || {
        let source = StopSource::new();
        let token = source.token();
        let listener = thread::spawn(move || token.channel().clone());
        let token = source.token();
        let other = thread::spawn(move || token.channel().clone());
        source.stop();
        for listener in [listener, other] {
            let state = listener.join().unwrap().try_recv();
            assert_eq!(state, Err(crossbeam_channel::TryRecvError::Disconnected));
        }
    });
}

/// A future that waits for the stop becomes ready.
///
/// Broken by:
/// - `token-waker-in-two-steps`, seed 10605277045222033339
#[test]
fn token_wakes_futures() {
    check(Time::Stands, || {
        let source = StopSource::new();
        let token = source.token();
        let waiter = thread::spawn(move || shuttle::future::block_on(token.stopped()));
        source.stop();
        waiter.join().unwrap();
    });
}

/// A child with a time limit is stopped by it, also if no other limit was set or all were over; its callbacks run once, whoever
/// else stops it meanwhile.
///
/// Broken by:
/// - `timer-is-not-woken`, seed 8510794639362080133
#[test]
fn token_stops_at_its_time_limit() {
    check(Time::Passes, || {
        for _ in 0..2 {
            let parent = StopSource::new();
            let child = parent.token().child_with_timeout(Duration::from_secs(1));
            let ran = Log::new();
            let theirs = ran.clone();
            let over = StopSource::new();
            let is_over = over.token();
            let callback = child.token().on_stop(move || {
                theirs.add(());
                over.stop();
            });
            let (sooner, other) = (child.clone(), child.clone());
            let by_hand = thread::spawn(move || {
                let sooner = sooner.token().child_with_timeout(Duration::from_millis(1));
                sooner.token().wait();
                other.stop();
            });
            is_over.wait();
            by_hand.join().unwrap();
            drop(callback);
            assert_eq!(ran.all().len(), 1);
        }
    });
}

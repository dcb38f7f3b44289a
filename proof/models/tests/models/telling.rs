//! Telling: callbacks that hang, that come back in, and that run where no thread can be had.

use std::sync::Arc;
use std::time::Duration;

use shuttle::thread;
use sundown::model::spawns_may_fail;
use sundown::{Cause, StopSource, Supervisor};

use crate::support::{check, Log, Time};

/// Callbacks are begun newest first, each once, and all of them before the shutdown is through, whichever helper is left behind and
/// where; but for one that is reported as hung, which a helper was left behind with.
///
/// Broken by:
/// - `helper-left-behind-begins-what-it-had`, seed 15503004922396584271
/// - `hook-that-had-not-begun-is-given-up`, seed 9981325559880764158
/// - `helper-left-behind-goes-on`, seed 402049952467279698
#[test]
fn telling_goes_on_behind_one_that_hangs() {
    check(Time::Passes, || {
        let supervisor = Supervisor::new();
        let log = Log::new();
        let release = StopSource::new();
        let note = |name: &'static str| {
            let log = log.clone();
            move || log.add(name)
        };
        supervisor.on_exit("exit", note("exit"));
        supervisor.on_exit("newer exit", note("newer exit"));
        let worker = supervisor
            .worker()
            .name("worker".into())
            .on_terminate(note("worker"));
        let worker = worker.spawn_with(|stop| stop.wait()).unwrap();
        supervisor.on_shutdown("hook", note("hook"));
        let (begins, until) = (note("hangs"), release.token());
        supervisor.on_shutdown("hangs", move || {
            begins();
            until.wait();
        });
        let report = supervisor.shutdown();
        let mut begun = log.all();
        let hung = |name: &str| {
            let entry = report
                .entries()
                .iter()
                .find(|entry| entry.name() == Some(name));
            entry.unwrap().callback_fault().is_some()
        };
        let all = ["hangs", "hook", "worker", "newer exit", "exit"];
        let told: Vec<_> = report
            .entries()
            .iter()
            .filter_map(|entry| entry.name())
            .collect();
        assert_eq!(told, all);
        assert!(hung("hangs"), "{report}");
        let expected: Vec<_> = all.into_iter().filter(|name| !hung(name)).collect();
        begun.retain(|name| !hung(name));
        assert_eq!(begun, expected, "{report}");
        release.stop();
        worker.join().unwrap();
        drop(supervisor); // with the helpers that were left behind
    });
}

/// The same outside a shutdown: a token's callback that hangs leaves the worker's own callback to the next helper.
///
/// Broken by:
/// - `helper-is-never-left-behind`, seed 16893520322229946179
#[test]
fn telling_one_worker_goes_on_behind_a_hang() {
    check(Time::Passes, || {
        let supervisor = Supervisor::new();
        let ran = Log::new();
        let theirs = ran.clone();
        let (release, ready) = (StopSource::new(), StopSource::new());
        let (until, is_ready) = (release.token(), ready.token());
        let worker = supervisor.worker().on_terminate(move || theirs.add(()));
        let worker = worker.spawn_with(move |stop| {
            let hangs = stop.on_stop(move || until.wait());
            ready.stop();
            stop.wait();
            drop(hangs);
        });
        let worker = worker.unwrap();
        is_ready.wait();
        worker.terminate();
        assert_eq!(ran.all().len(), 1);
        release.stop();
        worker.join().unwrap();
    });
}

/// Callbacks run with no lock held: they may call back into everything, as may anybody else meanwhile.
///
/// Broken by:
/// - `callback-runs-under-its-lock`, seed 2518577631020358495
#[test]
fn telling_calls_back_with_no_lock_held() {
    check(Time::Stands, || {
        let supervisor = Supervisor::new();
        let worker = supervisor.worker().spawn_with(|stop| stop.wait()).unwrap();
        let worker = Arc::new(worker);
        let everything = || {
            let (supervisor, worker) = (supervisor.clone(), Arc::clone(&worker));
            move || {
                worker.terminate();
                supervisor.workers();
                supervisor.is_shutting_down();
                supervisor.request_shutdown(Cause::Requested);
                drop(supervisor.stop_token().on_stop(|| ()));
                supervisor.on_shutdown("more", || ()).remove();
                drop(supervisor.worker().spawn(|| ()));
                drop(supervisor.child("more"));
                supervisor.shutdown();
            }
        };
        supervisor.on_shutdown("everything", everything());
        let _kept = supervisor.stop_token().on_stop(everything());
        supervisor
            .worker()
            .on_terminate(everything())
            .spawn_with(|stop| stop.wait())
            .unwrap();
        let outsider = thread::spawn(everything());
        assert_eq!(supervisor.shutdown().stragglers().len(), 0);
        outsider.join().unwrap();
    });
}

/// Where no thread can be had the one that asks does the work: all callbacks run, once and in order.
///
/// Broken by:
/// - `no-thread-no-callbacks`, seed 16259740073724331877
#[test]
fn telling_without_threads() {
    check(Time::Stands, || {
        let supervisor = Supervisor::new();
        let log = Log::new();
        let note = |name: &'static str| {
            let log = log.clone();
            move || log.add(name)
        };
        supervisor.on_exit("exit", note("exit"));
        let worker = supervisor.worker().on_terminate(note("worker"));
        let worker = worker.spawn_with(|stop| stop.wait()).unwrap();
        supervisor.on_shutdown("hook", note("hook"));
        let _kept = supervisor.stop_token().on_stop(note("token"));
        spawns_may_fail(true);
        let other = supervisor.clone();
        let requester = thread::spawn(move || other.request_shutdown(Cause::Requested));
        assert!(supervisor.shutdown().is_clean());
        requester.join().unwrap();
        worker.join().unwrap();
        assert_eq!(log.all(), ["token", "hook", "worker", "exit"]);
    });
}

/// At a deadline that is over from the start nothing is waited for, and nothing is left out.
///
/// Broken by:
/// - `late-entries-are-left-out`, seed 10911197010123819662
#[test]
fn telling_past_the_deadline() {
    check(Time::Passes, || {
        let supervisor = Supervisor::builder().deadline(Duration::ZERO).build();
        let log = Log::new();
        for n in [1, 2] {
            let log = log.clone();
            supervisor
                .worker()
                .on_terminate(move || log.add(n))
                .spawn_with(|stop| stop.wait())
                .unwrap();
        }
        let report = supervisor.shutdown();
        assert_eq!(report.entries().len(), 2);
        assert_eq!(log.all(), [2, 1]);
    });
}

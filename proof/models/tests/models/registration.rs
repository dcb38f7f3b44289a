//! Registering against the close: nothing that was accepted is forgotten.

use std::sync::Arc;

use shuttle::thread;
use sundown::{EntryKind, StopSource, Supervisor};

use crate::support::{check, Log, Time};

/// Numbers are drawn in the order of registration, so what is told newest first is told by falling numbers.
///
/// Broken by:
/// - `number-is-drawn-before-the-lock`, seed 7339020932239933025
#[test]
fn registration_draws_numbers_in_order() {
    check(Time::Stands, || {
        let supervisor = Supervisor::new();
        let spawners = [(); 2].map(|()| {
            let supervisor = supervisor.clone();
            thread::spawn(move || {
                supervisor.worker().spawn_with(|stop| stop.wait()).unwrap();
                supervisor.on_shutdown("hook", || ());
            })
        });
        for spawner in spawners {
            spawner.join().unwrap();
        }
        let report = supervisor.shutdown();
        let told: Vec<_> = report.entries().iter().map(|entry| entry.id()).collect();
        let mut falling = told.clone();
        falling.sort();
        falling.reverse();
        assert_eq!(told, falling);
        assert_eq!(told.len(), 4);
    });
}

/// A worker is refused, or it is told to stop and joined before the shutdown's report: from outside, and by a worker that is
/// told, which is never refused.
///
/// Broken by:
/// - `close-in-two-steps`, PCT seed 1003130448904413663
#[test]
fn registration_of_a_worker_against_the_close() {
    check(Time::Stands, || {
        let supervisor = Supervisor::new();
        let (accepted, log) = (Log::new(), Log::new());
        let spawn = {
            let (supervisor, accepted, log) = (supervisor.clone(), accepted.clone(), log.clone());
            Arc::new(move |name: &'static str| {
                let (ended, told) = (log.clone(), log.clone());
                let worker = supervisor
                    .worker()
                    .on_terminate(move || told.add((name, "told")));
                let worker = worker.spawn_with(move |stop| {
                    stop.wait();
                    ended.add((name, "ended"));
                });
                if worker.is_ok() {
                    accepted.add(name);
                }
            })
        };
        supervisor
            .worker()
            .spawn_with({
                let spawn = Arc::clone(&spawn);
                move |stop| {
                    stop.wait();
                    spawn("flush");
                }
            })
            .unwrap();
        let outsider = thread::spawn(move || {
            spawn("one");
            spawn("two");
        });
        let report = supervisor.shutdown();
        log.add(("all", "reported"));
        outsider.join().unwrap();
        assert!(report.is_clean(), "{report}");
        let (accepted, log) = (accepted.all(), log.all());
        assert!(
            accepted.contains(&"flush"),
            "a worker's last flush may use threads"
        );
        let reported = log
            .iter()
            .position(|what| *what == ("all", "reported"))
            .unwrap();
        for name in &accepted {
            for what in ["told", "ended"] {
                let found = log.iter().filter(|&line| *line == (*name, what)).count();
                assert_eq!(found, 1, "{name} {what}: {log:?}");
                assert!(
                    log[..reported].contains(&(*name, what)),
                    "{name} {what}: {log:?}"
                );
            }
        }
        let told = report
            .entries()
            .iter()
            .filter(|entry| entry.kind() == EntryKind::Worker);
        assert_eq!(told.count(), accepted.len() + 1);
    });
}

/// A worker that comes late is told at once: one that waits for it, and ends with it, waits for nothing else.
///
/// Broken by:
/// - `late-worker-rouses-nobody`, seed 1234464882562491859
#[test]
fn registration_of_a_late_worker_has_it_told() {
    check(Time::Stands, || {
        let supervisor = Supervisor::new();
        let own = supervisor.clone();
        let first = supervisor.worker().spawn_with(move |stop| {
            stop.wait();
            let told = StopSource::new();
            let is_told = told.token();
            let late = own.worker().on_terminate(told);
            late.spawn(move || is_told.wait()).unwrap().join().unwrap();
        });
        assert!(supervisor.shutdown().is_clean());
        first.unwrap().join().unwrap();
    });
}

/// A hook that was accepted has run when the shutdown is through.
///
/// Broken by:
/// - `exit-hooks-close-in-two-steps`, seed 11404161178918588564
#[test]
fn registration_of_hooks_against_the_close() {
    check(Time::Stands, || {
        let supervisor = Supervisor::new();
        let ran = Log::new();
        let registrar = {
            let (supervisor, one, other) = (supervisor.clone(), ran.clone(), ran.clone());
            thread::spawn(move || {
                let shutdown =
                    supervisor.on_shutdown("on_shutdown", move || one.add("on_shutdown"));
                let exit = supervisor.on_exit("on_exit", move || other.add("on_exit"));
                [shutdown, exit]
            })
        };
        let report = supervisor.shutdown();
        let ran_by_then = ran.all();
        for hook in registrar.join().unwrap() {
            let name = hook.name().to_owned();
            let reported = report
                .entries()
                .iter()
                .any(|entry| entry.name() == Some(&name));
            assert_eq!(ran_by_then.contains(&&*name), reported, "{name}: {report}");
            assert!(!hook.remove(), "{name} was accepted, and was forgotten");
        }
        assert_eq!(ran.all(), ran_by_then);
    });
}

/// A hook is taken back or runs, never both, and never neither.
///
/// Broken by:
/// - `callback-taken-back-in-two-steps`, seed 6574961611229961026
#[test]
fn registration_taken_back_against_the_run() {
    check(Time::Stands, || {
        let supervisor = Supervisor::new();
        let ran = Log::new();
        let (one, other) = (ran.clone(), ran.clone());
        let hooks = [
            supervisor.on_shutdown("on_shutdown", move || one.add("on_shutdown")),
            supervisor.on_exit("on_exit", move || other.add("on_exit")),
        ];
        let remover =
            thread::spawn(move || hooks.map(|hook| (hook.name().to_owned(), hook.remove())));
        let report = supervisor.shutdown();
        let removed = remover.join().unwrap();
        assert!(report.is_clean(), "{report}");
        for (name, removed) in removed {
            let times = ran.all().iter().filter(|ran| **ran == name).count();
            assert_eq!(times, usize::from(!removed), "{name}");
        }
    });
}

/// A supervisor that a worker makes for its clean-up can be used, and what is in it is told and joined before the report.
///
/// Broken by:
/// - `late-child-is-not-held-open`, seed 18263023548947988686
#[test]
fn registration_of_a_child_against_the_close() {
    check(Time::Stands, || {
        let supervisor = Supervisor::new();
        let log = Log::new();
        let (parent, theirs) = (supervisor.clone(), log.clone());
        supervisor
            .worker()
            .spawn_with(move |stop| {
                stop.wait();
                let child = parent.child("late");
                let ended = theirs.clone();
                let worker = child.worker().spawn_with(move |stop| {
                    stop.wait();
                    ended.add("ended");
                });
                theirs.add(if worker.is_ok() {
                    "accepted"
                } else {
                    "refused"
                });
            })
            .unwrap();
        let report = supervisor.shutdown();
        log.add("reported");
        assert!(report.is_clean(), "{report}");
        let mut log = log.all();
        assert_eq!(log.pop(), Some("reported"));
        log.sort_unstable();
        assert_eq!(log, ["accepted", "ended"]);
    });
}

/// A nested supervisor that goes while its parent shuts down holds nobody up.
///
/// Broken by:
/// - `child-is-looked-at-under-the-lock`, seed 14270273497746837341
#[test]
fn registration_of_a_child_that_goes() {
    check(Time::Stands, || {
        let supervisor = Supervisor::new();
        let child = supervisor.child("child");
        child.spawn(|| ());
        let dropper = thread::spawn(move || drop(child));
        assert!(supervisor.shutdown().is_clean());
        dropper.join().unwrap();
    });
}

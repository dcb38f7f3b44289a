//! The shutdown as a whole: its beginning, its order, who is waited for, and the report.

use std::time::Duration;

use shuttle::thread;
use sundown::model::pass;
use sundown::{Cause, Order, Outcome, ShutdownReport, Supervisor};

use crate::support::{check, Log, Time};

/// The first request wins, and everyone who waits for one wakes with its cause.
///
/// Broken by:
/// - `request-is-first-in-two-steps`, seed 2398465223228437589
/// - `request-wakes-nobody`, seed 3778694418066900169
#[test]
fn shutdown_has_one_cause() {
    check(Time::Stands, || {
        let supervisor = Supervisor::new();
        let token = supervisor.stop_token();
        // This one ends with nothing else, so the shutdown is held up until it wakes.
        let other = supervisor.clone();
        supervisor.spawn(move || other.wait_for_shutdown());
        let requests = [1, 2].map(|n| {
            let supervisor = supervisor.clone();
            thread::spawn(move || supervisor.request_shutdown(Cause::Exit(n)))
        });
        let other = supervisor.clone();
        let waiter = thread::spawn(move || other.wait_for_shutdown());
        token.wait();
        assert!(supervisor.is_shutting_down());
        let cause = waiter.join().unwrap();
        let firsts: Vec<bool> = requests.map(|r| r.join().unwrap()).into_iter().collect();
        let first = firsts.iter().position(|first| *first).unwrap();
        assert_eq!(
            firsts.iter().filter(|&first| *first).count(),
            1,
            "one request is the first"
        );
        assert_eq!(cause, Cause::Exit(first as i32 + 1));
        assert_eq!(*supervisor.shutdown().cause(), cause);
    });
}

/// What was requested happens, though nobody waits for it.
///
/// Broken by:
/// - `request-is-carried-out-by-nobody`, seed 404939285465159455
#[test]
fn shutdown_is_carried_out_when_requested() {
    check(Time::Stands, || {
        let supervisor = Supervisor::new();
        let worker = supervisor.worker().spawn_with(|stop| stop.wait()).unwrap();
        let requester = thread::spawn(move || supervisor.request_shutdown(Cause::Requested));
        worker.join().unwrap();
        assert!(requester.join().unwrap());
    });
}

fn same(one: &ShutdownReport, other: &ShutdownReport) -> bool {
    one.is_complete() && other.is_complete() && one.to_string() == other.to_string()
}

/// Everyone who calls `shutdown` gets the same report, and everything has happened by then, once.
///
/// Broken by:
/// - `driver-is-chosen-in-two-steps`, seed 5353623833411068649
/// - `report-wakes-nobody`, seed 13844573737130172756
#[test]
fn shutdown_has_one_report() {
    check(Time::Stands, || {
        let supervisor = Supervisor::new();
        let ran = Log::new();
        let theirs = ran.clone();
        supervisor.on_exit("exit", move || theirs.add("exit"));
        supervisor
            .worker()
            .name("worker".into())
            .spawn_with(|stop| stop.wait())
            .unwrap();
        let others = [(); 2].map(|()| {
            let (supervisor, ran) = (supervisor.clone(), ran.clone());
            thread::spawn(move || {
                let report = supervisor.shutdown();
                assert_eq!(ran.all(), ["exit"], "nobody has the report before the end");
                report
            })
        });
        let report = supervisor.shutdown();
        assert_eq!(report.entries().len(), 2);
        assert_eq!(ran.all(), ["exit"]);
        for other in others {
            assert!(same(&report, &other.join().unwrap()));
        }
    });
}

/// Workers that shut an ancestor down are not waited for, whether the shutdown was under way or not, and all of them get the
/// report.
///
/// Broken by:
/// - `exclude-rouses-nobody`, seed 3276922255620277158
/// - `caller-of-an-ancestor-is-waited-for`, seed 10844321791370190449
#[test]
fn shutdown_by_workers_of_the_tree() {
    check(Time::Stands, || {
        let supervisor = Supervisor::new();
        let child = supervisor.child("child");
        let reports = Log::new();
        let caller = |of: &Supervisor, wait: bool| {
            let (root, reports) = (supervisor.clone(), reports.clone());
            of.worker().spawn_with(move |stop| {
                if wait {
                    stop.wait();
                }
                reports.add(root.shutdown());
            })
        };
        let told = caller(&child, true);
        // From the first of these on a shutdown may be under way, or over.
        let callers = [told, caller(&supervisor, false), caller(&child, false)];
        let report = supervisor.shutdown();
        let callers: Vec<_> = callers.into_iter().flatten().collect();
        let called = callers.len();
        for caller in callers {
            caller.join().unwrap();
        }
        let reports = reports.all();
        assert_eq!(reports.len(), called);
        assert!(reports.iter().all(|other| same(&report, other)));
        assert_eq!(report.stragglers().len(), 0, "{report}");
    });
}

/// A worker of a child shuts the child down while the parent is shut down: neither waits for it.
///
/// Broken by:
/// - `report-wakes-nobody`, seed 7764690389926720076
/// - `exclude-rouses-nobody`, PCT seed 8670022298605249335
#[test]
fn shutdown_of_a_child_against_its_parent_s() {
    check(Time::Stands, || {
        let supervisor = Supervisor::new();
        let child = supervisor.child("child");
        let told = Log::new();
        let theirs = told.clone();
        child
            .worker()
            .on_terminate(move || theirs.add(()))
            .spawn_with(|stop| stop.wait())
            .unwrap();
        let own = child.clone();
        child.spawn(move || assert!(own.shutdown().is_complete()));
        let outsider = thread::spawn(move || child.shutdown());
        let report = supervisor.shutdown();
        assert!(report.is_complete());
        assert_eq!(report.stragglers().len(), 0, "{report}");
        assert!(outsider.join().unwrap().is_complete());
        assert_eq!(told.all().len(), 1);
    });
}

/// A callback, or a hook, that shuts down what it is called by gets the report so far and holds nobody up.
///
/// Broken by:
/// - `callback-waits-for-its-own-shutdown`, seed 406225508735612972
#[test]
fn shutdown_by_a_callback() {
    check(Time::Stands, || {
        let supervisor = Supervisor::new();
        let reports = Log::new();
        let caller = || {
            let (supervisor, reports) = (supervisor.clone(), reports.clone());
            move || reports.add(supervisor.shutdown().is_complete())
        };
        supervisor.on_exit("exit", caller());
        supervisor.on_shutdown("hook", caller());
        let worker = supervisor.worker().on_terminate(caller());
        let worker = worker.spawn_with(|stop| stop.wait()).unwrap();
        let teller = thread::spawn(move || worker.terminate());
        assert!(supervisor.shutdown().is_complete());
        teller.join().unwrap();
        assert_eq!(reports.all(), [false; 3]);
    });
}

/// Everything in a newer child is gone before anything older is told.
///
/// Broken by:
/// - `child-is-not-waited-for`, seed 3817377674507178978
#[test]
fn shutdown_has_tiers() {
    check(Time::Stands, || {
        let supervisor = Supervisor::new();
        let log = Log::new();
        let worker = |of: &Supervisor, name: &'static str| {
            let (told, ended) = (log.clone(), log.clone());
            let worker = of.worker().on_terminate(move || told.add((name, "told")));
            worker
                .spawn_with(move |stop| {
                    stop.wait();
                    thread::yield_now();
                    ended.add((name, "ended"));
                })
                .unwrap();
        };
        worker(&supervisor, "older");
        let child = supervisor.child("child");
        worker(&child, "in child");
        worker(&supervisor, "newer");
        assert!(supervisor.shutdown().is_clean());
        let log = log.all();
        let at = |what| log.iter().position(|line| *line == what).unwrap();
        assert!(at(("newer", "told")) < at(("in child", "told")), "{log:?}");
        assert!(at(("in child", "ended")) < at(("older", "told")), "{log:?}");
        assert!(at(("in child", "told")) < at(("older", "told")), "{log:?}");
    });
}

/// `OneByOne`: told and gone, then the next older; also while another worker ends by itself and one comes late.
///
/// Broken by:
/// - `one-by-one-waits-for-nobody`, PCT seed 16303304657196209578
#[test]
fn shutdown_one_by_one() {
    check(Time::Stands, || {
        let supervisor = Supervisor::builder().order(Order::OneByOne).build();
        let log = Log::new();
        let worker = |name: &'static str| {
            let (told, ended) = (log.clone(), log.clone());
            let worker = supervisor
                .worker()
                .on_terminate(move || told.add((name, "told")));
            worker
                .spawn_with(move |stop| {
                    stop.wait();
                    thread::yield_now();
                    ended.add((name, "ended"));
                })
                .unwrap();
        };
        worker("older");
        supervisor.spawn(|| ());
        worker("newer");
        assert!(supervisor.shutdown().is_clean());
        let log = log.all();
        let at = |what| log.iter().position(|line| *line == what).unwrap();
        assert!(at(("newer", "ended")) < at(("older", "told")), "{log:?}");
    });
}

/// A child never gets longer than what is left of its parent's deadline, whichever of the two begins first, and whoever drives it.
///
/// Broken by:
/// - `child-does-not-inherit-the-deadline`, seed 17760101474231031321
/// - `who-was-told-keeps-a-later-deadline`, seed 2478353590685064898
#[test]
fn shutdown_of_a_child_inherits_the_deadline() {
    check(Time::Stands, || {
        let supervisor = Supervisor::builder()
            .deadline(Duration::from_secs(60))
            .build();
        let child = supervisor.child("child");
        let worker = |of: &Supervisor| {
            let worker = of.worker().spawn_with(|stop| {
                stop.wait();
                stop
            });
            worker.unwrap()
        };
        let (in_child, in_parent) = (worker(&child), worker(&supervisor));
        let own = [true, false].map(|late| {
            let child = child.clone();
            thread::spawn(move || {
                if late {
                    pass(Duration::from_secs(30));
                }
                child.shutdown()
            })
        });
        assert!(supervisor.shutdown().is_complete());
        for own in own {
            own.join().unwrap();
        }
        let [in_child, in_parent] = [in_child, in_parent].map(|w| w.join().unwrap().deadline());
        assert!(
            in_child.unwrap() <= in_parent.unwrap(),
            "the child got longer"
        );
    });
}

/// A critical worker that ends has its supervisor shut down, with what is then the cause; two of them make one shutdown.
///
/// Broken by:
/// - `critical-end-asks-for-nothing`, seed 8995524404300788414
#[test]
fn shutdown_by_the_end_of_critical_workers() {
    check(Time::Stands, || {
        let supervisor = Supervisor::new();
        let waits = supervisor.worker().spawn_with(|stop| stop.wait()).unwrap();
        for name in ["one", "two"] {
            // The second may find that the first has shut all down.
            drop(
                supervisor
                    .worker()
                    .name(name.into())
                    .critical()
                    .spawn(|| ()),
            );
        }
        waits.join().unwrap();
        let report = supervisor.shutdown();
        assert!(
            matches!(report.cause(), Cause::WorkerEnded { .. }),
            "{report}"
        );
        assert!(report
            .entries()
            .iter()
            .all(|entry| *entry.outcome() == Outcome::Finished));
    });
}

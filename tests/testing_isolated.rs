//! A private supervisor for each test: what the body starts lands in it, is gone afterwards, and tests do not see each other.

mod support;

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Barrier;
use std::time::Duration;

use sundown::{testing, thread, Cause, Outcome, Supervisor};
use support::{in_time, Gate, Journal};

/// The message of the panic that `job` ends with.
#[track_caller]
fn panic_of<T>(job: impl FnOnce() -> T) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(job)) else {
        panic!("it did not panic");
    };
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => (*payload.downcast::<&str>().unwrap()).to_owned(),
    }
}

#[test]
fn free_functions_act_on_the_supervisor_of_the_test() {
    in_time(|| {
        let journal = Journal::new();
        let (hook, worker) = (journal.noter("hook"), journal.noter("worker"));
        let value = testing::isolated(|| {
            sundown::on_exit("hook", hook);
            thread::spawn(move || {
                assert_eq!(sundown::wait_for_shutdown(), Cause::Requested);
                worker();
            });
            // The body itself, and the worker.
            assert_eq!(sundown::workers().len(), 2);
            7
        });
        assert_eq!(value, 7);
        assert_eq!(journal.lines(), ["worker", "hook"]);
        assert!(!sundown::is_shutting_down(), "the global one is none of it");
        assert!(sundown::workers().is_empty());
    });
}

#[test]
fn tests_side_by_side_do_not_see_each_other() {
    in_time(|| {
        let meet = Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    testing::isolated(|| {
                        thread::spawn(sundown::wait_for_shutdown);
                        meet.wait(); // all have one
                        assert_eq!(sundown::workers().len(), 2);
                        meet.wait(); // all have counted
                        assert!(sundown::request_shutdown(Cause::Requested));
                    });
                });
            }
        });
    });
}

#[test]
fn the_body_is_the_oldest_worker_and_may_shut_down() {
    in_time(|| {
        let supervisor = Supervisor::new();
        let (inner, report) = testing::isolated_in(&supervisor, || {
            thread::spawn(sundown::wait_for_shutdown);
            sundown::shutdown()
        });
        assert!(report.is_clean(), "{report}");
        assert!(std::ptr::eq(inner.entries(), report.entries()));
        let oldest = report.entries().last().unwrap();
        assert_eq!(*oldest.outcome(), Outcome::Caller);
        // In a test its name is that of the test; `in_time` gives this one's thread none.
        assert_eq!(oldest.name(), Some("test"));
    });
}

#[test]
fn the_thread_has_the_name_of_the_test() {
    testing::isolated(|| {
        let name = std::thread::current().name().map(str::to_owned);
        assert_eq!(name.as_deref(), Some("the_thread_has_the_name_of_the_test"));
    });
}

#[test]
fn a_body_that_panics_fails_the_test_with_its_own_panic_and_leaves_nothing() {
    in_time(|| {
        let journal = Journal::new();
        let worker = journal.noter("worker gone");
        let message = panic_of(|| {
            testing::isolated(|| {
                thread::spawn(|| {
                    sundown::wait_for_shutdown();
                    worker();
                });
                panic!("the test's own");
            })
        });
        assert_eq!(message, "the test's own");
        assert_eq!(journal.lines(), ["worker gone"]);
    });
}

#[test]
fn a_shutdown_that_is_not_clean_fails_the_test_and_names_the_worker() {
    in_time(|| {
        let message = panic_of(|| {
            testing::isolated(|| {
                let worker = thread::Builder::new().name("breaks".into());
                let spawned = worker.spawn_with(|stop| {
                    stop.wait();
                    panic!("out of order");
                });
                spawned.unwrap();
            })
        });
        assert!(
            message.contains("breaks") && message.contains("out of order"),
            "{message}"
        );
        assert!(message.contains(file!()), "{message}");
    });
}

#[test]
fn one_with_settings_of_its_own_gives_the_report_whatever_it_says() {
    let gate = Gate::new();
    let supervisor = Supervisor::builder()
        .deadline(Duration::from_millis(100))
        .build();
    let passer = gate.passer();
    let ((), report) = testing::isolated_in(&supervisor, || {
        thread::spawn(passer);
    });
    assert_eq!(report.stragglers().len(), 1);
    assert!(
        report.stragglers()[0].location().file() == file!(),
        "{report}"
    );
}

#[test]
fn a_simulated_signal_is_one_to_all_but_the_system() {
    in_time(|| {
        let supervisor = Supervisor::new();
        let (cause, report) = testing::isolated_in(&supervisor, || {
            let waits = thread::spawn(sundown::wait_for_shutdown);
            assert!(testing::simulate_signal(testing::SIGTERM));
            assert!(
                !testing::simulate_signal(testing::SIGINT),
                "the first counts"
            );
            waits.join().unwrap()
        });
        assert_eq!(cause, Cause::Signal(testing::SIGTERM));
        assert_eq!(*report.cause(), Cause::Signal(testing::SIGTERM));
        assert_eq!(report.exit_code(), 128 + 15);
        assert!(report.is_clean(), "{report}");
    });
}

#[cfg(unix)]
#[test]
fn the_numbers_are_those_of_the_system() {
    let ours = [testing::SIGHUP, testing::SIGINT, testing::SIGTERM];
    assert_eq!(ours, [libc::SIGHUP, libc::SIGINT, libc::SIGTERM]);
}

#[test]
fn a_worker_is_waited_for_by_its_number() {
    let supervisor = Supervisor::new();
    let tier = supervisor.child("tier");
    let (mut gate, others) = (Gate::new(), Gate::new());
    let older = tier.spawn(others.passer());
    let worker = tier.spawn(gate.passer());
    let younger = tier.spawn(others.passer());
    let id = worker.id();
    assert!(!supervisor.wait_for_worker(id, Duration::ZERO));
    assert!(!supervisor.wait_for_worker(id, Duration::from_millis(10)));
    assert!(
        Supervisor::new().wait_for_worker(id, Duration::MAX),
        "it is not one of these"
    );
    gate.open();
    assert!(supervisor.wait_for_worker(id, support::PATIENCE));
    let left: Vec<_> = tier.workers().iter().map(|worker| worker.id).collect();
    assert_eq!(left, [older.id(), younger.id()]);
    worker.join().unwrap(); // the handle still has it
    drop(others);
    older.join().unwrap();
    younger.join().unwrap();

    let ours = supervisor.clone();
    let itself = supervisor.worker().spawn_with(move |_| {
        let own = ours.workers()[0].id;
        ours.wait_for_worker(own, Duration::MAX)
    });
    assert!(
        !in_time(move || itself.unwrap().join().unwrap()),
        "it would wait for ever"
    );
}

#[test]
fn one_that_was_left_behind_is_waited_for_too() {
    let mut gate = Gate::new();
    let supervisor = Supervisor::builder()
        .deadline(Duration::from_millis(50))
        .build();
    let worker = supervisor.spawn(gate.passer());
    supervisor.shutdown();
    assert!(!supervisor.wait_for_worker(worker.id(), Duration::ZERO));
    gate.open();
    assert!(supervisor.wait_for_worker(worker.id(), Duration::MAX));
}

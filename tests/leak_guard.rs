//! The leak guard fails a test when a worker outlives it, names the spawn site, and never when none does.

mod support;

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::Duration;

use sundown::testing::{isolated, isolated_in, LeakGuard};
use sundown::{thread, Supervisor};
use support::{in_time, timed, Gate, PATIENCE};

const MOMENT: Duration = Duration::from_millis(20);

/// The message that the guard fails with; `None` if it does not.
fn verdict(guard: LeakGuard) -> Option<String> {
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(guard)));
    dropped.err().map(|payload| *payload.downcast().unwrap())
}

#[test]
fn a_worker_that_outlives_it_is_named_with_its_spawn_site() {
    let supervisor = Supervisor::new();
    let gate = Gate::new();
    let guard_line = line!() + 1;
    let guard = LeakGuard::of(&supervisor).patience(MOMENT);
    let worker = supervisor.worker().name("poller".into());
    let line = line!() + 1;
    worker.spawn(gate.passer()).unwrap();
    supervisor.child("tier").spawn(gate.passer());
    let message = verdict(guard).unwrap();
    let first = message.lines().next().unwrap();
    assert_eq!(
        first,
        format!(
            "2 workers outlive the leak guard of {}:{guard_line}:",
            file!()
        )
    );
    let about = message
        .lines()
        .find(|line| line.contains("poller"))
        .unwrap();
    assert!(
        about.contains(&format!("spawned at {}:{line}", file!())),
        "{message}"
    );
    assert!(about.contains("nobody has told it to stop"), "{message}");
    assert_eq!(message.lines().count(), 3, "the nested one too: {message}");
}

#[test]
fn the_test_fails_in_the_middle_of_an_isolated_body_too() {
    in_time(|| {
        let supervisor = Supervisor::new();
        let result = catch_unwind(AssertUnwindSafe(|| {
            isolated_in(&supervisor, || {
                let _no_leaks = LeakGuard::new().patience(MOMENT);
                thread::spawn(sundown::wait_for_shutdown);
            })
        }));
        let message = result.unwrap_err().downcast::<String>().unwrap();
        assert!(
            message.starts_with("1 worker outlives the leak guard of "),
            "{message}"
        );
        assert!(supervisor.workers().is_empty(), "and yet nothing is left");
    });
}

#[test]
fn workers_that_end_are_no_leaks_however_they_end() {
    in_time(|| {
        isolated(|| {
            let _no_leaks = LeakGuard::new().patience(PATIENCE);
            thread::spawn(|| ()).join().unwrap();
            thread::spawn(|| ()); // ends by itself, in its own time
            thread::spawn(|| panic!("no leak either"));
            thread::spawn(|| drop(thread::spawn(|| ()))); // and one that comes late
            let told = thread::spawn(|| sundown::stop_token().wait());
            told.terminate();
            thread::scope(|scope| drop(scope.spawn(|| ())));
        });
    });
}

#[test]
fn it_waits_for_the_end_of_a_worker_and_no_longer() {
    let supervisor = Supervisor::new();
    let mut gate = Gate::new();
    let guard = LeakGuard::of(&supervisor).patience(Duration::MAX);
    supervisor.spawn(gate.passer());
    let waits = std::thread::spawn(move || verdict(guard));
    gate.open();
    assert_eq!(in_time(move || waits.join().unwrap()), None);
}

#[test]
fn it_gives_up_when_its_patience_is_over() {
    let supervisor = Supervisor::new();
    let gate = Gate::new();
    let guard = LeakGuard::of(&supervisor).patience(Duration::from_millis(100));
    supervisor.spawn(gate.passer());
    supervisor.spawn(gate.passer());
    let (message, took) = timed(|| verdict(guard));
    assert!(message.is_some());
    assert!(took >= Duration::from_millis(100), "{took:?}");
}

#[test]
fn who_ran_before_is_none_of_its_business() {
    let supervisor = Supervisor::new();
    let gate = Gate::new();
    supervisor.spawn(gate.passer());
    let guard = LeakGuard::of(&supervisor).patience(MOMENT);
    assert_eq!(verdict(guard), None);
    // Nor are the workers of another supervisor.
    let guard = LeakGuard::of(&supervisor).patience(MOMENT);
    Supervisor::new().spawn(gate.passer());
    assert_eq!(verdict(guard), None);
}

#[test]
fn daemons_count_unless_they_are_allowed() {
    let supervisor = Supervisor::new();
    let gate = Gate::new();
    let daemon = || {
        let worker = supervisor.worker().name("metrics".into()).daemon();
        worker.spawn(gate.passer()).unwrap();
    };
    let guard = LeakGuard::of(&supervisor).patience(MOMENT);
    daemon();
    assert!(verdict(guard).unwrap().contains("metrics"));
    let guard = LeakGuard::of(&supervisor).patience(MOMENT);
    let guard = guard.allow(|worker| worker.name.as_deref() == Some("metrics"));
    daemon();
    assert_eq!(verdict(guard), None);
}

#[test]
fn one_that_was_told_and_does_not_listen_is_said_to_have_been_told() {
    let supervisor = Supervisor::new();
    let gate = Gate::new();
    let guard = LeakGuard::of(&supervisor).patience(MOMENT);
    let worker = supervisor.spawn(gate.passer());
    worker.terminate();
    assert!(verdict(guard).unwrap().contains("told to stop "));
}

#[test]
fn a_test_that_fails_by_itself_fails_with_its_own_message() {
    in_time(|| {
        let supervisor = Supervisor::new();
        let gate = Gate::new();
        let failed = catch_unwind(AssertUnwindSafe(|| {
            let _no_leaks = LeakGuard::of(&supervisor);
            supervisor.spawn(gate.passer());
            panic!("its own");
        }));
        assert_eq!(*failed.unwrap_err().downcast::<&str>().unwrap(), "its own");
    });
}

#[test]
fn a_name_cannot_forge_a_line() {
    let supervisor = Supervisor::new();
    let gate = Gate::new();
    let guard = LeakGuard::of(&supervisor).patience(MOMENT);
    let worker = supervisor.worker().name("evil\n\u{1b}[2J".into());
    worker.spawn(gate.passer()).unwrap();
    let message = verdict(guard).unwrap();
    assert_eq!(message.lines().count(), 2, "{message:?}");
    assert!(!message.contains('\u{1b}'), "{message:?}");
}

//! Critical workers: the first to end decides the cause, and the failures of the others are not lost.

mod support;

use std::time::Duration;

use crossbeam_channel::bounded;
use sundown::restart::Restart;
use sundown::{Cause, Supervisor};
use support::{in_time, PATIENCE};

fn ended(cause: &Cause) -> (Option<&str>, bool) {
    match cause {
        Cause::WorkerEnded { name, panicked, .. } => (name.as_deref(), *panicked),
        other => panic!("{other:?}"),
    }
}

#[test]
fn critical_on_panic_means_only_a_panic() {
    let supervisor = Supervisor::new();
    let worker = |name: &str| supervisor.worker().name(name.into()).critical_on_panic();
    worker("returns").spawn(|| ()).unwrap().join().unwrap();
    let failed = worker("fails").restart(Restart::never());
    let failed = failed.spawn_loop(|_| Err::<(), _>("an error is no panic"));
    failed.unwrap().join().unwrap().unwrap_err();
    assert!(!supervisor.is_shutting_down());
    assert!(worker("panics")
        .spawn(|| panic!("oops"))
        .unwrap()
        .join()
        .is_err());
    let waiter = supervisor.clone();
    let cause = in_time(move || waiter.wait_for_shutdown());
    assert_eq!(ended(&cause), (Some("panics"), true));
    assert_eq!(supervisor.shutdown().exit_code(), 1);
}

#[test]
fn critical_and_critical_on_panic_together_are_critical() {
    for both in [
        |s: &Supervisor| s.worker().critical().critical_on_panic(),
        |s: &Supervisor| s.worker().critical_on_panic().critical(),
    ] {
        let supervisor = Supervisor::new();
        both(&supervisor).spawn(|| ()).unwrap().join().unwrap();
        let waiter = supervisor.clone();
        let cause = in_time(move || waiter.wait_for_shutdown());
        assert_eq!(ended(&cause), (None, false));
        assert_eq!(supervisor.shutdown().exit_code(), 0);
    }
}

#[test]
fn a_critical_worker_that_fails_for_good_gives_the_text_and_code_1() {
    let supervisor = Supervisor::new();
    let worker = supervisor.worker().name("db".into()).critical();
    worker
        .restart(Restart::never())
        .spawn_loop(|_| Err::<(), _>("disk full"))
        .unwrap();
    let waiter = supervisor.clone();
    let cause = in_time(move || waiter.wait_for_shutdown());
    assert!(
        matches!(&cause, Cause::WorkerFailed { failure, .. } if failure == "disk full"),
        "{cause:?}"
    );
    assert_eq!(
        cause.to_string(),
        "the failure of critical worker db (disk full)"
    );
    assert_eq!(supervisor.shutdown().exit_code(), 1);
}

#[test]
fn a_critical_worker_is_not_over_while_it_is_started_again() {
    let supervisor = Supervisor::new();
    let mut run = 0;
    let policy = Restart::on_failure().backoff(Duration::ZERO, Duration::ZERO);
    let (done, is_done) = bounded(1);
    supervisor
        .worker()
        .critical()
        .restart(policy)
        .spawn_loop(move |stop| {
            run += 1;
            if run < 4 {
                return Err("again");
            }
            done.send(()).unwrap();
            stop.wait();
            Ok(())
        })
        .unwrap();
    is_done.recv_timeout(PATIENCE).unwrap();
    assert!(!supervisor.is_shutting_down());
    let report = supervisor.shutdown();
    assert_eq!(*report.cause(), Cause::Requested);
    assert!(
        report.secondary().is_empty(),
        "its end was asked for: {report}"
    );
}

#[test]
fn the_first_decides_and_the_others_are_kept_in_order() {
    let supervisor = Supervisor::new();
    let child = supervisor.child("tier");
    // Each panics when the one before it has: told or not, it is in the midst of something.
    let (first, second) = (bounded::<()>(0), bounded::<()>(0));
    let worker = |of: &Supervisor, name: &str| of.worker().name(name.into()).critical();
    let wait = second.1;
    worker(&supervisor, "third")
        .spawn(move || {
            let _ = wait.recv();
            panic!("third");
        })
        .unwrap();
    let (wait, next) = (first.1, second.0);
    let waiter = supervisor.clone();
    worker(&supervisor, "second")
        .spawn(move || {
            let _ = wait.recv();
            waiter.wait_for_shutdown();
            // Dropped by the unwinding, but booked as ended before: the other one has to wait for that.
            std::thread::spawn(move || {
                while waiter
                    .workers()
                    .iter()
                    .any(|info| info.name.as_deref() == Some("second"))
                {
                    std::thread::yield_now();
                }
                drop(next);
            });
            panic!("second");
        })
        .unwrap();
    worker(&child, "not a failure")
        .spawn_with(|stop| stop.wait())
        .unwrap();
    let done = first.0;
    worker(&supervisor, "first")
        .spawn(move || {
            drop(done);
        })
        .unwrap();
    let report = in_time(move || supervisor.shutdown_when_asked());
    assert_eq!(ended(report.cause()), (Some("first"), false));
    let secondary: Vec<_> = report.secondary().iter().map(ended).collect();
    assert_eq!(secondary, [(Some("second"), true), (Some("third"), true)]);
    let text = report.to_string();
    let first_lines: Vec<&str> = text.lines().take(3).collect();
    assert!(
        first_lines[0].starts_with("shutdown after the end of critical worker first took"),
        "{text}"
    );
    assert_eq!(
        first_lines[1],
        "  then      the panic of critical worker second"
    );
    assert_eq!(
        first_lines[2],
        "  then      the panic of critical worker third"
    );
}

#[test]
fn failures_in_a_nested_supervisor_are_in_the_report_of_the_whole() {
    let supervisor = Supervisor::new();
    let child = supervisor.child("tier");
    child
        .worker()
        .name("inner".into())
        .critical()
        .spawn_with(|stop| {
            stop.wait();
            panic!("on its way out");
        })
        .unwrap();
    let report = in_time(move || supervisor.shutdown());
    assert_eq!(*report.cause(), Cause::Requested);
    let secondary: Vec<_> = report.secondary().iter().map(ended).collect();
    assert_eq!(secondary, [(Some("inner"), true)]);
}

trait WhenAsked {
    fn shutdown_when_asked(&self) -> sundown::ShutdownReport;
}

impl WhenAsked for Supervisor {
    /// The report of a shutdown that somebody else asked for.
    fn shutdown_when_asked(&self) -> sundown::ShutdownReport {
        self.wait_for_shutdown();
        self.shutdown()
    }
}

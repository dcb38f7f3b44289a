//! A task can be cancelled after a timeout: told when its time is up, by whatever way it listens.

mod support;

use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use sundown::{Outcome, StopReason, Supervisor};
use support::{in_time, timed, Gate, PATIENCE};

const LIMIT: Duration = Duration::from_millis(50);

/// Each of them when it is told.
fn breed(supervisor: &Supervisor) -> std::io::Result<()> {
    let ours = supervisor.clone();
    let worker = supervisor.worker();
    let worker = worker.on_terminate(move || drop(breed(&ours)));
    worker.spawn_with(|stop| stop.wait()).map(drop)
}

#[test]
fn workers_that_start_workers_do_not_keep_a_shutdown_from_its_end() {
    in_time(|| {
        let deadline = Duration::from_millis(300);
        let supervisor = Supervisor::builder().deadline(deadline).build();
        breed(&supervisor).unwrap();
        let (report, took) = timed(|| supervisor.shutdown());
        assert!(took >= deadline, "{took:?}");
        assert!(took < Duration::from_secs(10), "{took:?}");
        assert!(report.is_complete());
    });
}

#[test]
fn a_time_limit_trips_the_token() {
    in_time(|| {
        let supervisor = Supervisor::new();
        let began = Instant::now();
        let worker = supervisor.worker().time_limit(LIMIT).spawn_with(|stop| {
            stop.wait();
            stop.reason()
        });
        let reason = worker.unwrap().join().unwrap();
        assert_eq!(reason, Some(StopReason::TimeLimit));
        assert!(began.elapsed() >= LIMIT, "not before its time");
    });
}

#[test]
fn a_time_limit_runs_the_callback_once() {
    in_time(|| {
        let supervisor = Supervisor::new();
        let (jobs, queue) = bounded::<()>(0);
        let (ran, runs) = bounded(2);
        let callback = move || {
            ran.send(()).unwrap();
            drop(jobs);
        };
        let worker = supervisor.worker().time_limit(LIMIT).on_terminate(callback);
        let worker = worker.spawn(move || queue.recv()).unwrap();
        runs.recv_timeout(PATIENCE).unwrap();
        worker.terminate();
        worker.join().unwrap().unwrap_err();
        assert!(supervisor.shutdown().is_clean());
        assert!(runs.recv().is_err(), "it ran again");
    });
}

#[test]
fn a_time_limit_unparks() {
    in_time(|| {
        let worker = Supervisor::new().worker().time_limit(LIMIT).spawn(|| {
            let stop = sundown::stop_token();
            while !stop.is_stopped() {
                std::thread::park();
            }
        });
        worker.unwrap().join().unwrap();
    });
}

#[test]
fn one_that_does_not_listen_goes_on_and_is_in_the_report() {
    in_time(|| {
        let gate = Gate::new();
        let passer = gate.passer();
        let deadline = Duration::from_millis(200);
        let supervisor = Supervisor::builder().deadline(deadline).build();
        let (token, tokens) = bounded(1);
        let worker = supervisor
            .worker()
            .time_limit(LIMIT)
            .spawn_with(move |stop| {
                token.send(stop).unwrap();
                passer();
            });
        let stop = tokens.recv_timeout(PATIENCE).unwrap();
        stop.wait(); // it was told
        assert_eq!(stop.reason(), Some(StopReason::TimeLimit));
        let worker = worker.unwrap().join_timeout(LIMIT).unwrap_err();
        assert!(!worker.is_finished());
        let report = supervisor.shutdown();
        assert_eq!(*report.entries()[0].outcome(), Outcome::Straggler);
        drop(gate);
        worker.join().unwrap();
    });
}

#[test]
fn who_is_done_in_time_hears_nothing() {
    in_time(|| {
        let supervisor = Supervisor::new();
        let (ran, runs) = bounded::<()>(1);
        let worker = supervisor.worker().time_limit(LIMIT);
        let worker = worker.on_terminate(move || ran.send(()).unwrap());
        worker.spawn(|| {}).unwrap().join().unwrap();
        // The callback went with the worker: the channel's end says so, and no message.
        assert!(runs.recv_timeout(PATIENCE).is_err());
        assert!(supervisor.shutdown().is_clean());
    });
}

#[test]
fn a_limit_of_zero_tells_at_once_and_one_of_all_time_never_does() {
    in_time(|| {
        let supervisor = Supervisor::new();
        let zero = supervisor.worker().time_limit(Duration::ZERO);
        zero.spawn_with(|stop| stop.wait()).unwrap().join().unwrap();
        let endless = supervisor.worker().time_limit(Duration::MAX);
        let endless = endless.spawn_with(|stop| {
            stop.wait();
            stop.reason()
        });
        let endless = endless.unwrap().join_timeout(LIMIT).unwrap_err();
        endless.terminate();
        let reason = endless.join().unwrap();
        assert_eq!(reason, Some(StopReason::Terminated));
    });
}

#[test]
fn a_callback_that_blocks_holds_up_no_other_limit() {
    in_time(|| {
        let gate = Gate::new();
        let passer = gate.passer();
        let supervisor = Supervisor::new();
        let (began, has_begun) = bounded(0);
        let blocking = supervisor.worker().time_limit(LIMIT).on_terminate(move || {
            began.send(()).unwrap();
            passer();
        });
        // It stays until its callback runs: that of a worker which has ended is dropped.
        let blocking = blocking.spawn(gate.passer()).unwrap();
        has_begun.recv_timeout(PATIENCE).unwrap();
        let other = supervisor.worker().time_limit(LIMIT);
        other
            .spawn_with(|stop| stop.wait())
            .unwrap()
            .join()
            .unwrap();
        drop(gate);
        blocking.join().unwrap();
    });
}

#[test]
fn a_scoped_worker_has_a_limit_too() {
    in_time(|| {
        sundown::thread::scope(|scope| {
            let limited = sundown::thread::Builder::new().time_limit(LIMIT);
            let worker = limited.spawn_scoped(scope, || sundown::stop_token().wait());
            worker.unwrap().join().unwrap();
        });
    });
}

#[test]
fn a_join_that_takes_too_long_is_followed_by_terminate() {
    in_time(|| {
        let worker = Supervisor::new().worker().spawn_with(|stop| {
            stop.wait();
            stop.reason()
        });
        let (joined, took) = timed(|| worker.unwrap().join_timeout(LIMIT));
        assert!(took >= LIMIT, "{took:?}");
        let worker = joined.unwrap_err();
        worker.terminate();
        assert_eq!(worker.join().unwrap(), Some(StopReason::Terminated));
    });
}

#[test]
fn a_join_in_time_gives_the_value() {
    in_time(|| {
        for timeout in [PATIENCE, Duration::MAX] {
            let worker = Supervisor::new().spawn(|| 7);
            assert_eq!(worker.join_timeout(timeout).unwrap().unwrap(), 7);
        }
        let mut gate = Gate::new();
        let worker = Supervisor::new().spawn(gate.passer());
        let worker = worker.join_timeout(Duration::ZERO).unwrap_err();
        gate.open();
        worker.join().unwrap();
    });
}

//! A worker that fails is started again as its policy says, and never once it has been told to stop.

mod support;

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{bounded, unbounded, Receiver};
use sundown::events::{Event, EventKind};
use sundown::restart::{Restart, RestartError};
use sundown::thread::Builder;
use sundown::{Cause, Outcome, StopToken, Supervisor};
use support::{in_time, timed, Journal, PATIENCE};

const HOUR: Duration = Duration::from_secs(3_600);

/// A policy without pauses.
fn at_once(policy: Restart) -> Restart {
    policy.backoff(Duration::ZERO, Duration::ZERO)
}

/// A policy whose first pause never ends, as far as a test can tell.
fn after_an_hour() -> Restart {
    Restart::on_failure().backoff(HOUR, HOUR)
}

fn worker(supervisor: &Supervisor, name: &str) -> Builder {
    supervisor.worker().name(name.into())
}

/// Reads events until one of a worker that `wanted` accepts.
fn await_event(events: &Receiver<Event>, wanted: impl Fn(&EventKind) -> bool) -> Event {
    loop {
        let event = events.recv_timeout(PATIENCE).expect("an event");
        if wanted(&event.kind) {
            return event;
        }
    }
}

#[test]
fn on_failure_an_error_or_a_panic_is_followed_by_another_run_and_a_return_is_not() {
    let supervisor = Supervisor::new();
    let journal = Journal::new();
    let notes = journal.clone();
    let mut run = 0;
    let handle = worker(&supervisor, "client")
        .restart(at_once(Restart::on_failure()))
        .spawn_loop(move |_| {
            run += 1;
            notes.note(format!("run {run}"));
            match run {
                1 => Err("no route"),
                2 => panic!("torn"),
                _ => Ok(run),
            }
        })
        .unwrap();
    assert_eq!(in_time(|| handle.join()).unwrap(), Ok(3));
    assert_eq!(journal.lines(), ["run 1", "run 2", "run 3"]);
    assert!(!supervisor.is_shutting_down());
}

#[test]
fn without_a_policy_a_loop_is_started_again_on_failure() {
    let supervisor = Supervisor::new();
    let mut run = 0;
    let handle = supervisor
        .worker()
        .spawn_loop(move |_| {
            run += 1;
            if run < 2 {
                return Err("not yet");
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(in_time(|| handle.join()).unwrap(), Ok(()));
}

#[test]
fn always_means_also_after_a_return_until_it_is_told() {
    let supervisor = Supervisor::new();
    let (run, runs) = unbounded();
    let handle = worker(&supervisor, "poller")
        .restart(at_once(Restart::always()).limit(u32::MAX, HOUR))
        .spawn_loop(move |_| run.send(()).unwrap())
        .unwrap();
    for _ in 0..5 {
        runs.recv_timeout(PATIENCE).unwrap();
    }
    in_time(move || {
        handle.terminate();
        handle.join().unwrap();
    });
}

#[test]
fn never_means_one_run_and_its_error_is_said() {
    let supervisor = Supervisor::new();
    let events = supervisor.subscribe(64);
    let runs = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&runs);
    let handle = worker(&supervisor, "once")
        .restart(Restart::never())
        .spawn_loop(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>("disk full")
        })
        .unwrap();
    assert_eq!(in_time(|| handle.join()).unwrap(), Err("disk full"));
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    let failed = await_event(&events, |kind| matches!(kind, EventKind::Failed(_)));
    assert!(matches!(failed.kind, EventKind::Failed(text) if text == "disk full"));
}

#[test]
fn past_the_limit_the_supervisor_shuts_down_and_says_who_how_often_and_why() {
    let supervisor = Supervisor::new();
    let (told, bystander_told) = bounded(1);
    worker(&supervisor, "bystander")
        .spawn_with(move |stop| {
            stop.wait();
            told.send(()).unwrap();
        })
        .unwrap();
    let mut run = 0;
    worker(&supervisor, "client")
        .restart(at_once(Restart::on_failure()).limit(3, HOUR))
        .spawn_loop(move |_| {
            run += 1;
            Err::<(), _>(format!("refused {run}"))
        })
        .unwrap();
    bystander_told.recv_timeout(PATIENCE).unwrap();
    let report = in_time(move || supervisor.shutdown());
    let Cause::GaveUp {
        name,
        restarts,
        failure,
        ..
    } = report.cause()
    else {
        panic!("{report}");
    };
    assert_eq!(name.as_deref(), Some("client"));
    assert_eq!(*restarts, 3);
    assert_eq!(failure, "refused 4");
    assert_eq!(report.exit_code(), 1);
    let client = report.entries().iter().find(|e| e.name() == Some("client"));
    let client = client.expect("its record stays until it is reported");
    assert_eq!(*client.outcome(), Outcome::Failed("refused 4".into()));
    assert_eq!(client.restarts(), 3);
    assert!(!report.is_clean());
    let text = report.to_string();
    assert!(
        text.starts_with("shutdown after giving up worker client, which failed again after 3 restarts (refused 4) took"),
        "{text}"
    );
    assert!(text.contains("FAILED    client (worker #"), "{text}");
    assert!(text.contains(": refused 4; restarts: 3"), "{text}");
}

#[test]
fn a_panic_past_the_limit_gives_up_too_and_its_payload_reaches_the_join() {
    let supervisor = Supervisor::new();
    let handle = worker(&supervisor, "client")
        .restart(at_once(Restart::on_failure()).limit(1, HOUR))
        .spawn_loop(|_| -> () { std::panic::panic_any(7_u32) })
        .unwrap();
    let payload = in_time(|| handle.join()).unwrap_err();
    assert_eq!(*payload.downcast::<u32>().unwrap(), 7);
    let cause = in_time(move || supervisor.wait_for_shutdown());
    assert!(
        matches!(cause, Cause::GaveUp { restarts: 1, .. }),
        "{cause:?}"
    );
}

#[test]
fn who_gives_up_quietly_leaves_the_supervisor_alone() {
    let supervisor = Supervisor::new();
    let events = supervisor.subscribe(64);
    let handle = worker(&supervisor, "optional")
        .restart(
            at_once(Restart::on_failure())
                .limit(2, HOUR)
                .give_up_quietly(),
        )
        .spawn_loop(|_| Err::<(), _>("refused"))
        .unwrap();
    assert_eq!(in_time(|| handle.join()).unwrap(), Err("refused"));
    let gave_up = await_event(&events, |kind| matches!(kind, EventKind::GaveUp { .. }));
    assert!(
        matches!(&gave_up.kind, EventKind::GaveUp { restarts: 2, failure, .. } if failure == "refused"),
        "{gave_up:?}"
    );
    assert!(!supervisor.is_shutting_down());
    let report = supervisor.shutdown();
    assert!(report.is_clean(), "{report}");
    assert_eq!(*report.cause(), Cause::Requested);
}

#[test]
fn a_return_too_many_gives_up_as_well() {
    let supervisor = Supervisor::new();
    worker(&supervisor, "poller")
        .restart(at_once(Restart::always()).limit(2, HOUR))
        .spawn_loop(|_| ())
        .unwrap();
    let waiter = supervisor.clone();
    let cause = in_time(move || waiter.wait_for_shutdown());
    assert!(
        matches!(&cause, Cause::GaveUp { restarts: 2, failure, .. } if failure == "it returned"),
        "{cause:?}"
    );
}

#[test]
fn a_shutdown_during_a_pause_ends_it_and_starts_nothing() {
    let supervisor = Supervisor::new();
    let events = supervisor.subscribe(64);
    let runs = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&runs);
    let handle = worker(&supervisor, "client")
        .restart(after_an_hour())
        .spawn_loop(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>("refused")
        })
        .unwrap();
    let pauses = await_event(&events, |kind| matches!(kind, EventKind::Restarting { .. }));
    let EventKind::Restarting {
        restarts,
        pause,
        failure,
        ..
    } = pauses.kind
    else {
        unreachable!("it was just looked at");
    };
    assert_eq!((restarts, failure.as_deref()), (1, Some("refused")));
    assert!(pause >= HOUR / 2 && pause <= HOUR, "{pause:?}");

    let (report, took) = timed(|| supervisor.shutdown());
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert!(report.is_clean(), "{report}");
    let client = &report.entries()[0];
    assert_eq!(client.restarts(), 0, "it never came to that: {report}");
    assert_eq!(client.last_failure(), Some("refused"));
    assert!(
        report.to_string().contains("; last failure: refused"),
        "{report}"
    );
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    assert_eq!(handle.join().unwrap(), Err("refused"));
}

#[test]
fn terminate_and_a_time_limit_end_a_pause_too() {
    let supervisor = Supervisor::new();
    let events = supervisor.subscribe(64);
    let fails = |_: &StopToken| Err::<(), _>("refused");
    let handle = supervisor
        .worker()
        .restart(after_an_hour())
        .spawn_loop(fails);
    let handle = handle.unwrap();
    await_event(&events, |kind| matches!(kind, EventKind::Restarting { .. }));
    in_time(move || {
        handle.terminate();
        assert_eq!(handle.join().unwrap(), Err("refused"));
    });

    let limited = supervisor.worker().time_limit(Duration::from_millis(1));
    let handle = limited.restart(after_an_hour()).spawn_loop(fails).unwrap();
    assert_eq!(in_time(move || handle.join()).unwrap(), Err("refused"));
    assert!(!supervisor.is_shutting_down());
}

#[test]
fn whoever_was_told_is_not_started_again_whatever_it_returns() {
    let supervisor = Supervisor::new();
    let runs = Arc::new(AtomicU32::new(0));
    for ends in ["returns", "fails", "stopped"] {
        let runs = Arc::clone(&runs);
        worker(&supervisor, ends)
            .restart(at_once(Restart::always()))
            .spawn_loop(move |stop| {
                runs.fetch_add(1, Ordering::Relaxed);
                stop.wait();
                match ends {
                    "fails" => Err("flushing failed".to_owned()),
                    "stopped" => stop.check().map_err(|stopped| stopped.to_string()),
                    _ => Ok(()),
                }
            })
            .unwrap();
    }
    let report = in_time(move || supervisor.shutdown());
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.entries().len(), 3);
    assert_eq!(runs.load(Ordering::Relaxed), 3);
}

#[test]
fn a_panic_after_being_told_is_reported_and_not_followed_by_a_run() {
    let supervisor = Supervisor::new();
    worker(&supervisor, "client")
        .restart(at_once(Restart::on_failure()))
        .spawn_loop(|stop| -> () {
            stop.wait();
            panic!("on its way out");
        })
        .unwrap();
    let report = in_time(move || supervisor.shutdown());
    let outcome = report.entries()[0].outcome();
    assert_eq!(*outcome, Outcome::Panicked("on its way out".into()));
    assert_eq!(report.entries()[0].restarts(), 0);
}

#[test]
fn nobody_is_started_again_once_a_shutdown_has_been_requested() {
    let supervisor = Supervisor::new();
    let runs = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&runs);
    let (fail, failing) = bounded::<()>(0);
    let (ended, has_ended) = bounded(1);
    let handle = worker(&supervisor, "old")
        .restart(at_once(Restart::always()))
        .spawn_loop(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            failing.recv().map_err(|_| "lost its peer")
        })
        .unwrap();
    // Newer, so told first; until it is through, the old one has not been told.
    supervisor.on_shutdown("newer", move || {
        drop(fail);
        ended.send(in_time(|| handle.join()).is_ok()).unwrap();
    });
    let report = in_time(move || supervisor.shutdown());
    assert!(has_ended.recv_timeout(PATIENCE).unwrap(), "{report}");
    assert_eq!(runs.load(Ordering::Relaxed), 1);
    assert!(
        report.is_clean(),
        "there would have been a restart: {report}"
    );
    let old = report
        .entries()
        .iter()
        .find(|entry| entry.name() == Some("old"));
    assert_eq!(old.unwrap().last_failure(), Some("lost its peer"));
}

#[test]
fn it_keeps_number_name_thread_and_place() {
    let supervisor = Supervisor::new();
    let journal = Journal::new();
    let (seen, all_seen) = unbounded();
    let (notes, mut run) = (journal.clone(), 0);
    let older = worker(&supervisor, "older")
        .restart(at_once(Restart::on_failure()))
        .on_terminate(journal.noter("older told"))
        .spawn_loop(move |stop| {
            run += 1;
            let here = std::thread::current();
            seen.send((here.id(), here.name().map(str::to_owned)))
                .unwrap();
            if run < 3 {
                return Err("again");
            }
            stop.wait();
            notes.note("older ends");
            Ok(())
        })
        .unwrap();
    let first = all_seen.recv_timeout(PATIENCE).unwrap();
    assert_eq!(first.1.as_deref(), Some("older"));
    for _ in 0..2 {
        assert_eq!(all_seen.recv_timeout(PATIENCE).unwrap(), first);
    }
    let newer = worker(&supervisor, "newer")
        .on_terminate(journal.noter("newer told"))
        .spawn_with(|stop| stop.wait())
        .unwrap();
    assert!(older.id() < newer.id());
    let listed = supervisor.workers();
    let listed = listed.iter().find(|info| info.id == older.id()).unwrap();
    assert_eq!(listed.restarts, 2);

    let id = older.id();
    let report = in_time(move || supervisor.shutdown());
    assert_eq!(journal.starting("newer told"), ["newer told"]);
    assert_eq!(
        journal.starting("older told"),
        ["older told"],
        "once, at its end"
    );
    assert!(journal.position("newer told") < journal.position("older told"));
    let entry = &report.entries()[1];
    assert_eq!((entry.id(), entry.restarts()), (id, 2));
    assert_eq!(entry.last_failure(), Some("again"));
    let text = report.to_string();
    assert!(
        text.contains("; restarts: 2; last failure: again"),
        "{text}"
    );
}

#[test]
fn contradictory_settings_are_refused_before_anything_is_started() {
    let supervisor = Supervisor::new();
    let second = Duration::from_secs(1);
    let refused = |policy: Restart| {
        assert!(policy.check().is_err());
        let spawned = supervisor.worker().restart(policy).spawn_loop(|_| ());
        let error = spawned.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        let source = error
            .get_ref()
            .and_then(|e| e.downcast_ref::<RestartError>());
        (*source.unwrap(), error.to_string())
    };
    let (error, text) = refused(Restart::on_failure().limit(0, second));
    assert_eq!(error, RestartError::LimitZero);
    assert!(text.contains("Restart::never()"), "{text}");
    let (error, text) = refused(Restart::always().limit(3, Duration::ZERO));
    assert_eq!(error, RestartError::WindowZero);
    assert!(text.contains("within no time"), "{text}");
    let (error, text) = refused(Restart::always().backoff(second * 2, second));
    assert!(matches!(error, RestartError::FirstOverMax { .. }));
    assert!(text.contains("2s") && text.contains("1s"), "{text}");
    assert!(supervisor.workers().is_empty());
}

#[test]
fn a_policy_without_a_function_that_can_be_called_again_is_refused() {
    let supervisor = Supervisor::new();
    let policy = || supervisor.worker().restart(Restart::on_failure());
    let error = policy().spawn(|| ()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("spawn_loop"), "{error}");
    assert!(policy().spawn_with(|_| ()).is_err());
    assert!(policy().spawn_ready(|ready, _| ready.ok(())).is_err());
    sundown::thread::scope(|scope| {
        assert!(policy().spawn_scoped(scope, || ()).is_err());
    });
    assert!(supervisor.workers().is_empty());
    // One run is what `never` says.
    let once = supervisor.worker().restart(Restart::never());
    once.spawn(|| ()).unwrap().join().unwrap();
}

#[test]
fn an_error_whose_text_panics_is_a_panic_like_any_other() {
    struct Hostile;
    impl fmt::Display for Hostile {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("no words for it")
        }
    }
    let supervisor = Supervisor::new();
    let handle = worker(&supervisor, "hostile")
        .restart(
            at_once(Restart::on_failure())
                .limit(2, HOUR)
                .give_up_quietly(),
        )
        .spawn_loop(|_| Err::<(), _>(Hostile))
        .unwrap();
    let payload = in_time(|| handle.join()).map(|_| ()).unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"no words for it"));
}

#[test]
fn values_and_captures_whose_destructors_panic_end_only_their_worker() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("the bomb went off");
        }
    }
    impl fmt::Display for Bomb {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a bomb")
        }
    }
    let supervisor = Supervisor::new();
    let policy = || {
        at_once(Restart::on_failure())
            .limit(2, HOUR)
            .give_up_quietly()
    };
    // The values of all runs but the last are dropped between two runs.
    let mut run = 0;
    let handle = supervisor.worker().restart(policy()).spawn_loop(move |_| {
        run += 1;
        match run {
            1 | 2 => Err(Bomb),
            _ => Ok(()),
        }
    });
    assert!(in_time(move || handle.unwrap().join()).unwrap().is_ok());

    // What a function captured is dropped before the join, which gets the panic, as with std.
    let bomb = Bomb;
    let handle = supervisor.worker().restart(policy()).spawn_loop(move |_| {
        let _ = &bomb;
    });
    let payload = in_time(move || handle.unwrap().join()).unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"the bomb went off"));
    assert!(!supervisor.is_shutting_down());
}

#[test]
fn told_before_its_first_run_it_runs_once_with_a_stopped_token() {
    let supervisor = Supervisor::new();
    let (late, runs) = unbounded();
    let inner = supervisor.clone();
    worker(&supervisor, "spawner")
        .spawn_with(move |stop| {
            stop.wait();
            let policy = at_once(Restart::always());
            inner
                .worker()
                .restart(policy)
                .spawn_loop(move |stop| late.send(stop.is_stopped()).unwrap())
                .unwrap();
        })
        .unwrap();
    let report = in_time(move || supervisor.shutdown());
    assert!(report.is_clean(), "{report}");
    assert_eq!(runs.iter().collect::<Vec<bool>>(), [true]);
}

#[test]
fn a_thousand_restarts_leave_nothing_behind() {
    let supervisor = Supervisor::new();
    let mut run = 0;
    let policy = at_once(Restart::on_failure()).limit(u32::MAX, Duration::from_nanos(1));
    let handle = supervisor
        .worker()
        .restart(policy)
        .spawn_loop(move |stop| {
            // Callbacks of a run go with it.
            let _callback = stop.on_stop(|| panic!("nobody stops this run"));
            run += 1;
            if run < 1_000 {
                return Err("again");
            }
            Ok(run)
        })
        .unwrap();
    assert_eq!(in_time(|| handle.join()).unwrap(), Ok(1_000));
    assert!(supervisor.shutdown().is_clean());
}

//! What a supervisor keeps, whom it tells, and when it is through.

mod support;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{bounded, unbounded};
use sundown::diagnose::CallbackState;
use sundown::{thread, Cause, Outcome, StopSource, Stopped, Supervisor};
use support::{in_time, timed, Gate, Journal, PATIENCE};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn names(supervisor: &Supervisor) -> Vec<String> {
    let workers = supervisor.workers().into_iter();
    workers.filter_map(|worker| worker.name).collect()
}

fn obedient(supervisor: &Supervisor, name: &str) -> thread::JoinHandle<()> {
    let worker = supervisor.worker().name(name.into());
    worker.spawn_with(|stop| stop.wait()).unwrap()
}

/// Waits until a condition holds that another thread brings about without saying so.
fn eventually(holds: impl Fn() -> bool + Send + 'static) {
    in_time(move || {
        while !holds() {
            std::thread::yield_now();
        }
    });
}

// ---- adopt

#[test]
fn an_adopted_thread_is_told_waited_for_and_reported() {
    let (key, lock) = bounded::<()>(0);
    let over = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&over);
    let foreign = std::thread::Builder::new().name("their name".into());
    let foreign = foreign.spawn(move || {
        let _ = lock.recv();
        std::thread::sleep(ms(100));
        theirs.store(true, Ordering::SeqCst);
        7
    });
    let foreign = foreign.unwrap();
    let theirs = foreign.thread().id();
    let supervisor = Supervisor::new();
    let handle = supervisor.adopt("our name", foreign, move || drop(key));
    assert_eq!(handle.thread().id(), theirs);
    assert_eq!(handle.thread().name(), Some("their name"));
    assert_eq!(names(&supervisor), ["our name"]);

    let report = supervisor.shutdown();

    assert!(over.load(Ordering::SeqCst));
    assert_eq!(report.entries()[0].name(), Some("our name"));
    assert_eq!(*report.entries()[0].outcome(), Outcome::Finished);
    assert_eq!(handle.join().unwrap(), 7);
}

#[test]
fn an_adopted_thread_is_unparked() {
    let told = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&told);
    let foreign = std::thread::spawn(move || {
        while !theirs.load(Ordering::SeqCst) {
            std::thread::park();
        }
    });
    let supervisor = Supervisor::new();
    // The callback says it, and no more: the unpark that makes it heard is the supervisor's.
    supervisor.adopt("parked", foreign, move || {
        told.store(true, Ordering::SeqCst)
    });
    let report = in_time(move || supervisor.shutdown());
    assert!(report.is_clean(), "{report}");
}

#[test]
fn an_adopted_thread_is_unparked_also_when_its_callback_hangs() {
    let gate = Gate::new();
    let told = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&told);
    let foreign = std::thread::spawn(move || {
        while !theirs.load(Ordering::SeqCst) {
            std::thread::park();
        }
    });
    let supervisor = Supervisor::builder().deadline(ms(2000)).build();
    let hangs = gate.passer();
    let handle = supervisor.adopt("parked", foreign, move || {
        told.store(true, Ordering::SeqCst);
        hangs();
    });
    let report = in_time(move || supervisor.shutdown());
    assert_eq!(*report.entries()[0].outcome(), Outcome::Finished);
    handle.join().unwrap();
}

#[test]
fn an_adopted_thread_is_a_worker_whatever_it_calls() {
    let supervisor = Supervisor::new();
    let (start, started) = bounded::<()>(0);
    let foreign = std::thread::spawn(move || {
        started.recv().unwrap();
        // Whom it spawns belongs to the same supervisor, and so does the token that it finds.
        thread::Builder::new()
            .name("helper".into())
            .spawn_with(|stop| stop.wait())
            .unwrap();
        let token = sundown::stop_token();
        let report = sundown::shutdown();
        (token.is_stopped(), report)
    });
    let handle = supervisor.adopt("adopted", foreign, || ());
    start.send(()).unwrap();

    let (told, report) = in_time(move || handle.join().unwrap());

    assert!(told);
    assert!(report.is_complete() && report.is_clean(), "{report}");
    let outcomes: Vec<_> = report
        .entries()
        .iter()
        .map(|entry| (entry.name().unwrap(), entry.outcome().clone()))
        .collect();
    assert_eq!(
        outcomes,
        [("helper", Outcome::Finished), ("adopted", Outcome::Caller)]
    );
}

#[test]
fn the_panic_of_an_adopted_thread_comes_out_untouched() {
    let foreign = std::thread::spawn(|| std::panic::panic_any(5_u8));
    let supervisor = Supervisor::new();
    let handle: thread::JoinHandle<()> = supervisor.adopt("broken", foreign, || ());
    let payload = in_time(move || handle.join().unwrap_err());
    assert_eq!(*payload.downcast::<u8>().unwrap(), 5);
}

#[test]
fn an_adopted_thread_that_ends_by_itself_is_forgotten() {
    let supervisor = Supervisor::new();
    let handle = supervisor.adopt("brief", std::thread::spawn(|| 3), || ());
    assert_eq!(handle.join().unwrap(), 3);
    assert!(supervisor.workers().is_empty());
    assert!(supervisor.shutdown().entries().is_empty());
}

#[test]
fn an_adopted_thread_with_nul_in_our_name_for_it_is_no_panic() {
    let supervisor = Supervisor::new();
    let handle = supervisor.adopt("a\0b", std::thread::spawn(|| 3), || ());
    assert_eq!(handle.join().unwrap(), 3);
}

// ---- hooks

#[test]
fn a_hook_that_was_removed_does_not_run() {
    let journal = Journal::new();
    let supervisor = Supervisor::new();
    let held = Arc::new(());
    let theirs = Arc::clone(&held);
    let hook = supervisor.on_shutdown("removed", {
        let note = journal.noter("removed");
        move || {
            drop(theirs);
            note();
        }
    });
    let exit = supervisor.on_exit("removed too", journal.noter("removed too"));
    supervisor.on_shutdown("stays", journal.noter("stays"));
    assert_eq!(hook.name(), "removed");
    let copy = hook.clone();
    assert!(hook.remove());
    assert!(!copy.remove(), "once");
    assert!(exit.remove());
    assert_eq!(Arc::strong_count(&held), 1, "what it held is dropped");
    let report = supervisor.shutdown();
    assert_eq!(journal.lines(), ["stays"]);
    assert_eq!(report.entries().len(), 1, "{report}");
}

#[test]
fn dropping_a_hook_s_handle_changes_nothing() {
    let journal = Journal::new();
    let supervisor = Supervisor::new();
    drop(supervisor.on_shutdown("hook", journal.noter("hook")));
    drop(supervisor.on_exit("exit", journal.noter("exit")));
    supervisor.shutdown();
    assert_eq!(journal.lines(), ["hook", "exit"]);
}

#[test]
fn a_hook_that_ran_cannot_be_removed_and_runs_no_second_time() {
    let journal = Journal::new();
    let supervisor = Supervisor::new();
    let hook = supervisor.on_shutdown("hook", journal.noter("hook"));
    supervisor.shutdown();
    assert!(!hook.remove());
    supervisor.shutdown();
    assert_eq!(journal.lines(), ["hook"]);
}

#[test]
fn a_hook_that_comes_too_late_never_runs() {
    let journal = Journal::new();
    let supervisor = Supervisor::new();
    supervisor.shutdown();
    let hook = supervisor.on_shutdown("late", journal.noter("late"));
    let exit = supervisor.on_exit("late", journal.noter("late"));
    assert!(!hook.remove());
    assert!(!exit.remove());
    assert!(supervisor.shutdown().entries().is_empty());
    assert!(journal.lines().is_empty());
}

#[test]
fn hooks_registered_while_stopping_run_in_the_same_shutdown() {
    let journal = Journal::new();
    let supervisor = Supervisor::new();
    let (ours, notes) = (supervisor.clone(), journal.clone());
    supervisor.on_exit("exit", {
        let (ours, notes) = (supervisor.clone(), journal.clone());
        move || {
            notes.note("exit");
            ours.on_exit("exit of exit", notes.noter("exit of exit"));
        }
    });
    supervisor.on_shutdown("hook", move || {
        notes.note("hook");
        ours.on_shutdown("hook of hook", notes.noter("hook of hook"));
        ours.on_exit("exit of hook", notes.noter("exit of hook"));
    });
    let report = supervisor.shutdown();
    assert_eq!(
        journal.lines(),
        [
            "hook",
            "hook of hook",
            "exit of hook",
            "exit",
            "exit of exit"
        ]
    );
    assert!(report.is_clean(), "{report}");
}

#[test]
fn hooks_keep_a_supervisor_alive_that_nobody_holds() {
    let journal = Journal::new();
    let parent = Supervisor::new();
    parent
        .child("tier")
        .on_shutdown("inside", journal.noter("inside"));
    parent.shutdown();
    assert_eq!(journal.lines(), ["inside"]);
}

// ---- children

#[test]
fn a_dropped_child_vanishes() {
    let supervisor = Supervisor::new();
    for _ in 0..1000 {
        drop(supervisor.child("brief"));
    }
    let child = supervisor.child("with a past");
    child.spawn(|| ()).join().unwrap();
    let hook = child.on_shutdown("removed", || ());
    hook.remove();
    drop(child);
    let report = supervisor.shutdown();
    assert!(report.entries().is_empty(), "{report}");
}

#[test]
fn a_child_lives_as_long_as_its_worker() {
    let supervisor = Supervisor::new();
    let worker = obedient(&supervisor.child("tier"), "inside");
    assert_eq!(names(&supervisor), ["inside"]);
    let report = supervisor.shutdown();
    assert_eq!(report.entries().len(), 2, "{report}");
    worker.join().unwrap();
}

#[test]
fn a_child_that_was_shut_down_is_no_entry_any_more() {
    let supervisor = Supervisor::new();
    let child = supervisor.child("tier");
    obedient(&child, "inside");
    assert!(child.shutdown().is_clean());
    let report = supervisor.shutdown();
    assert!(report.entries().is_empty(), "{report}");
}

#[test]
fn who_has_a_child_s_report_finds_the_child_gone() {
    for _ in 0..100 {
        let parent = Supervisor::new();
        let child = parent.child("child");
        child.on_exit("hook", || ());
        // A thread of its own carries it out, so that nothing but the report says when it is through.
        child.request_shutdown(Cause::Requested);
        child.shutdown();
        let report = parent.shutdown();
        assert!(report.entries().is_empty(), "{report}");
    }
}

#[test]
fn a_child_stops_for_itself() {
    let supervisor = Supervisor::new();
    let child = supervisor.child("tier");
    let sibling = supervisor.child("sibling");
    assert_eq!(child.name(), Some("tier"));
    child.request_shutdown(Cause::Requested);
    assert!(child.is_shutting_down());
    assert!(!supervisor.is_shutting_down() && !sibling.is_shutting_down());
    child.shutdown();
    supervisor.spawn(|| ()).join().unwrap();
    sibling.spawn(|| ()).join().unwrap();
}

#[test]
fn a_child_of_a_supervisor_that_is_over_starts_no_threads() {
    let supervisor = Supervisor::new();
    supervisor.shutdown();
    let child = supervisor.child("too late");
    assert!(child.worker().spawn(|| ()).is_err());
    assert!(child.is_shutting_down());
}

#[test]
fn what_a_worker_spawns_stays_in_its_tier() {
    let supervisor = Supervisor::new();
    let child = supervisor.child("tier");
    let gate = Gate::new();
    let pass = gate.passer();
    let (spawned, was_spawned) = bounded(1);
    child.spawn(move || {
        let helper = thread::Builder::new().name("helper".into());
        helper.spawn(pass).unwrap();
        assert!(!sundown::is_shutting_down());
        sundown::on_shutdown("hook of the tier", || ());
        spawned.send(sundown::workers().len()).unwrap();
    });
    let seen = was_spawned.recv_timeout(PATIENCE).unwrap();
    assert_eq!(seen, 2, "the free functions act on its supervisor");
    let helper = child.workers().into_iter().find(|w| w.name.is_some());
    assert_eq!(helper.unwrap().supervisor.as_deref(), Some("tier"));
    drop(gate);
    let report = child.shutdown();
    assert!(report
        .entries()
        .iter()
        .any(|e| e.name() == Some("hook of the tier")));
    assert!(supervisor.shutdown().entries().is_empty());
}

#[test]
fn a_callback_acts_on_its_own_supervisor() {
    let supervisor = Supervisor::builder().name("own").build();
    let (said, says) = bounded(1);
    supervisor.on_shutdown("hook", move || {
        let name = Supervisor::current().name().map(str::to_owned);
        said.send((name, sundown::is_shutting_down())).unwrap();
    });
    supervisor.shutdown();
    assert_eq!(says.recv().unwrap(), (Some("own".into()), true));
}

// ---- workers()

#[test]
fn workers_are_listed_oldest_first_with_those_of_children() {
    let supervisor = Supervisor::builder().name("root").build();
    obedient(&supervisor, "one");
    let child = supervisor.child("tier");
    let gate = Gate::new();
    let special = child.worker().name("two".into()).daemon().critical();
    let (special, line) = (special.spawn(gate.passer()), line!());
    let special = special.unwrap();
    supervisor.on_shutdown("no worker", || ());
    obedient(&supervisor, "three");

    assert_eq!(names(&supervisor), ["one", "two", "three"]);
    assert_eq!(names(&child), ["two"]);
    let workers = supervisor.workers();
    assert!(workers.windows(2).all(|pair| pair[0].id < pair[1].id));
    assert_eq!(workers[0].supervisor.as_deref(), Some("root"));
    let two = &workers[1];
    assert_eq!(two.id, special.id());
    assert_eq!(two.supervisor.as_deref(), Some("tier"));
    assert_eq!((two.location.file(), two.location.line()), (file!(), line));
    assert!(two.daemon && two.critical && two.told.is_none());
    assert!(!workers[0].daemon && !workers[0].critical);
    special.terminate();
    assert!(supervisor.workers()[1].told.is_some());
    supervisor.shutdown();
}

#[test]
fn a_worker_is_listed_until_it_is_joined_and_not_longer() {
    let mut gate = Gate::new();
    let supervisor = Supervisor::new();
    let worker = supervisor.spawn(gate.passer());
    assert_eq!(supervisor.workers().len(), 1);
    gate.open();
    worker.join().unwrap();
    assert!(supervisor.workers().is_empty());
    // Nobody joins this one.
    supervisor.spawn(|| ());
    let seen = supervisor.clone();
    eventually(move || seen.workers().is_empty());
}

// ---- the end

#[test]
fn afterwards_spawning_is_an_error_that_says_so() {
    let supervisor = Supervisor::new();
    supervisor.shutdown();
    let error = supervisor.worker().spawn(|| ()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("shutdown is over"), "{text}");
    assert!(text.contains("no more threads"), "{text}");
    assert!(supervisor.worker().spawn_with(|_| ()).is_err());
    thread::scope(|scope| {
        assert!(supervisor.worker().spawn_scoped(scope, || ()).is_err());
    });
    let panicked = std::panic::catch_unwind(AssertUnwindSafe(|| {
        supervisor.spawn(|| ());
    }));
    let panicked = panicked.unwrap_err();
    let text = panicked.downcast_ref::<String>().unwrap();
    assert!(text.contains("failed to spawn thread"), "as std's: {text}");
    assert!(supervisor.workers().is_empty());
}

#[test]
fn what_a_refused_worker_holds_is_dropped() {
    let supervisor = Supervisor::new();
    supervisor.shutdown();
    let held = Arc::new(());
    let (one, other) = (Arc::clone(&held), Arc::clone(&held));
    let builder = supervisor.worker().on_terminate(move || drop(one));
    assert!(builder.spawn(move || drop(other)).is_err());
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn a_shutdown_of_nothing_is_quick_and_clean() {
    let supervisor = Supervisor::new();
    let (report, took) = timed(|| supervisor.shutdown());
    assert!(report.is_clean() && report.is_complete() && report.entries().is_empty());
    assert!(took < ms(4000), "{took:?}");
}

#[test]
fn all_handles_are_one_supervisor() {
    let supervisor = Supervisor::new();
    let other = supervisor.clone();
    obedient(&other, "worker");
    assert_eq!(names(&supervisor), ["worker"]);
    assert!(!supervisor.is_shutting_down());
    supervisor.shutdown();
    assert!(other.is_shutting_down());
}

#[test]
fn dropping_the_last_handle_stops_nothing() {
    let (key, lock) = bounded::<()>(0);
    let worker = Supervisor::new().spawn(move || lock.recv().is_err());
    let worker = worker.join_timeout(ms(50)).expect_err("it goes on");
    drop(key);
    assert!(worker.join().unwrap());
}

#[test]
fn all_who_wait_for_a_request_are_woken_and_told_why() {
    let supervisor = Supervisor::new();
    let (began, begins) = unbounded();
    let waiters: Vec<_> = (0..10)
        .map(|_| {
            let (ours, began) = (supervisor.clone(), began.clone());
            std::thread::spawn(move || {
                began.send(()).unwrap();
                ours.wait_for_shutdown()
            })
        })
        .collect();
    for _ in 0..10 {
        begins.recv().unwrap();
    }
    assert!(supervisor.request_shutdown(Cause::Signal(1)));
    assert!(
        !supervisor.request_shutdown(Cause::Signal(2)),
        "the first wins"
    );
    for waiter in waiters {
        let cause = in_time(move || waiter.join().unwrap());
        assert_eq!(cause, Cause::Signal(1));
    }
    assert_eq!(*supervisor.shutdown().cause(), Cause::Signal(1));
}

// ---- critical and daemon

#[test]
fn a_critical_worker_that_ends_shuts_its_supervisor_down() {
    let parent = Supervisor::new();
    let supervisor = parent.child("tier");
    let other = obedient(&supervisor, "other");
    let outside = obedient(&parent, "outside");
    let vital = supervisor.worker().name("vital".into()).critical();
    vital.spawn(|| ()).unwrap();
    match supervisor.wait_for_shutdown() {
        Cause::WorkerEnded { name, panicked, .. } => {
            assert_eq!(name.as_deref(), Some("vital"));
            assert!(!panicked);
        }
        other => panic!("{other:?}"),
    }
    in_time(move || other.join().unwrap());
    assert!(!parent.is_shutting_down(), "its own supervisor, no other");
    assert!(!outside.is_finished());
    assert!(parent.shutdown().is_clean());
}

#[test]
fn a_critical_worker_that_panics_shuts_down_and_the_cause_says_so() {
    let supervisor = Supervisor::new();
    let vital = supervisor.worker().critical();
    vital.spawn(|| panic!("expected")).unwrap();
    let cause = supervisor.wait_for_shutdown();
    assert!(
        matches!(
            &cause,
            Cause::WorkerEnded {
                name: None,
                panicked: true,
                ..
            }
        ),
        "{cause:?}"
    );
    let report = supervisor.shutdown();
    assert_eq!(
        *report.entries()[0].outcome(),
        Outcome::Panicked("expected".into())
    );
}

#[test]
fn a_critical_worker_that_is_told_to_stop_is_not_the_cause() {
    let supervisor = Supervisor::new();
    let vital = supervisor.worker().critical();
    vital.spawn_with(|stop| stop.wait()).unwrap();
    let report = supervisor.shutdown();
    assert_eq!(*report.cause(), Cause::Requested);
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_worker_s_record_says_how_far_its_callback_is() {
    in_time(|| {
        let supervisor = Supervisor::new();
        let plain = supervisor.worker().name("plain".into());
        let plain = plain.spawn_with(|stop| stop.wait()).unwrap();
        let mut gate = Gate::new();
        let (pass, stays) = (gate.passer(), gate.passer());
        let (begins, begun) = bounded(0);
        let worker = supervisor.worker().name("worker".into());
        let worker = worker.on_terminate(move || {
            begins.send(()).unwrap();
            pass();
        });
        let worker = worker.spawn(stays).unwrap();
        let states = || -> Vec<CallbackState> {
            let workers = supervisor.workers().into_iter();
            workers.map(|worker| worker.callback).collect()
        };
        assert_eq!(states(), [CallbackState::None, CallbackState::NotRun]);
        thread::scope(|scope| {
            scope.spawn(|| worker.terminate());
            begun.recv().unwrap();
            assert_eq!(states(), [CallbackState::None, CallbackState::Running]);
            gate.open();
        });
        plain.terminate();
    });
}

#[test]
fn a_scoped_worker_that_parks_is_unparked_when_it_is_told() {
    in_time(|| {
        let supervisor = Supervisor::new();
        thread::scope(|scope| {
            let (begins, begun) = bounded(0);
            let parks = move || {
                begins.send(()).unwrap();
                while !sundown::stop_token().is_stopped() {
                    thread::park();
                }
            };
            supervisor.worker().spawn_scoped(scope, parks).unwrap();
            begun.recv().unwrap();
            assert!(supervisor.shutdown().is_clean());
        });
    });
}

#[test]
fn a_scoped_worker_can_be_critical() {
    let supervisor = Supervisor::new();
    thread::scope(|scope| {
        let vital = supervisor.worker().critical();
        vital.spawn_scoped(scope, || ()).unwrap();
    });
    assert!(supervisor.is_shutting_down());
}

#[test]
fn a_daemon_is_told_and_not_waited_for() {
    let gate = Gate::new();
    let (told, was_told) = bounded(1);
    let supervisor = Supervisor::new();
    let daemon = supervisor.worker().daemon();
    let daemon = daemon.on_terminate(move || told.send(()).unwrap());
    daemon.spawn(gate.passer()).unwrap();
    let (report, took) = timed(|| supervisor.shutdown());
    was_told.try_recv().unwrap();
    assert_eq!(*report.entries()[0].outcome(), Outcome::Daemon);
    assert!(took < ms(4000), "{took:?}");
}

#[test]
fn a_daemon_s_token_is_tripped_too() {
    let (stopped, stops) = bounded(1);
    let supervisor = Supervisor::new();
    let daemon = supervisor.worker().daemon();
    daemon
        .spawn_with(move |stop| {
            stop.wait();
            stopped.send(()).unwrap();
        })
        .unwrap();
    assert!(supervisor.shutdown().is_clean());
    stops.recv_timeout(PATIENCE).expect("it was not told");
}

// ---- tokens and unparks

#[test]
fn a_worker_that_is_told_is_unparked() {
    let supervisor = Supervisor::new();
    for _ in 0..20 {
        let worker = supervisor.worker().spawn_with(|stop| {
            while !stop.is_stopped() {
                std::thread::park();
            }
        });
        worker.unwrap();
    }
    let report = in_time(move || supervisor.shutdown());
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_worker_s_token_is_its_own() {
    let supervisor = Supervisor::new();
    let one = obedient(&supervisor, "one");
    let other = obedient(&supervisor, "other");
    one.terminate();
    in_time(move || one.join().unwrap());
    assert!(!other.is_finished());
    assert!(!supervisor.is_shutting_down());
    assert!(!supervisor.stop_token().is_stopped());
    supervisor.shutdown();
}

#[test]
fn the_free_stop_token_is_that_of_the_worker() {
    let supervisor = Supervisor::new();
    let worker = supervisor.spawn(|| sundown::stop_token().wait());
    worker.terminate();
    in_time(move || worker.join().unwrap());
    assert!(!supervisor.is_shutting_down());
    // A token that is first asked for after the worker was told has stopped.
    let mut gate = Gate::new();
    let pass = gate.passer();
    let worker = supervisor.spawn(move || {
        pass();
        sundown::stop_token().is_stopped()
    });
    worker.terminate();
    gate.open();
    assert!(worker.join().unwrap());
}

#[test]
fn the_supervisor_s_token_stops_with_the_request() {
    let supervisor = Supervisor::new();
    let token = supervisor.stop_token();
    assert!(!token.is_stopped());
    assert_eq!(token.check(), Ok(()));
    supervisor.request_shutdown(Cause::Requested);
    assert!(token.is_stopped());
    assert_eq!(token.check(), Err(Stopped));
    in_time(move || token.wait());
    assert!(supervisor.stop_token().is_stopped());
    supervisor.shutdown();
}

#[test]
fn a_worker_s_token_stops_in_its_turn_and_not_before() {
    let supervisor = Supervisor::new();
    let (token, tokens) = bounded(1);
    supervisor
        .worker()
        .spawn_with(move |stop| {
            token.send(stop.clone()).unwrap();
            stop.wait();
        })
        .unwrap();
    let token = tokens.recv().unwrap();
    let (seen, sees) = bounded(1);
    let theirs = token.clone();
    supervisor.on_shutdown("newer", move || seen.send(theirs.is_stopped()).unwrap());
    supervisor.shutdown();
    assert!(!sees.recv().unwrap(), "the newer one comes first");
    assert!(token.is_stopped());
}

#[test]
fn a_thousand_waiters_on_one_token_all_wake() {
    let source = StopSource::new();
    let (waiting, waits) = unbounded();
    let waiters: Vec<_> = (0..1000)
        .map(|at| {
            let (token, waiting) = (source.token(), waiting.clone());
            let waiter = std::thread::Builder::new().stack_size(128 << 10);
            waiter
                .spawn(move || {
                    waiting.send(()).unwrap();
                    match at % 3 {
                        0 => token.wait(),
                        1 => assert!(token.wait_timeout(PATIENCE)),
                        _ => assert_eq!(token.sleep(Duration::MAX), Err(Stopped)),
                    }
                })
                .unwrap()
        })
        .collect();
    for _ in 0..1000 {
        waits.recv().unwrap();
    }
    assert!(source.stop(), "the first");
    assert!(!source.stop());
    in_time(move || waiters.into_iter().for_each(|w| w.join().unwrap()));
}

#[test]
fn dropping_a_source_stops_nothing() {
    let source = StopSource::new();
    let token = source.token();
    drop(source);
    assert!(!token.is_stopped());
    assert!(!token.wait_timeout(ms(10)));
    assert!(!token.wait_timeout(Duration::ZERO));
}

#[test]
fn stopped_says_so_and_becomes_an_io_error() {
    fn work(token: &sundown::StopToken) -> std::io::Result<()> {
        token.check()?;
        Ok(())
    }
    let source = StopSource::new();
    assert!(work(&source.token()).is_ok());
    source.stop();
    let error = work(&source.token()).unwrap_err();
    assert_eq!(error.to_string(), Stopped.to_string());
}

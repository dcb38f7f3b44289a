//! Whatever happens at the same time: every worker has its true outcome, every callback runs once, nothing hangs.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{mpsc, Arc, Barrier, Mutex};
use std::time::Duration;

use crossbeam_channel::{bounded, unbounded};
use sundown::{thread, Cause, Outcome, ShutdownReport, Supervisor};
use support::{in_time, timed, Gate, Journal, PATIENCE};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn outcome(report: &ShutdownReport, name: &str) -> Outcome {
    let found = report.entries().iter().find(|e| e.name() == Some(name));
    let found = found.unwrap_or_else(|| panic!("no {name} in {report}"));
    found.outcome().clone()
}

#[test]
fn workers_that_end_by_themselves_in_the_middle_have_their_true_outcome() {
    for round in 0..20 {
        let supervisor = Supervisor::new();
        let mut gate = Gate::new();
        for number in 0..30 {
            let pass = gate.passer();
            supervisor
                .worker()
                .name(format!("{number}"))
                .on_terminate(|| ()) // so that telling them takes a while
                .spawn(move || {
                    pass();
                    if number % 3 == 0 {
                        panic!("{number}");
                    }
                })
                .unwrap();
        }
        // They are all let go while the shutdown is telling them, at another place in each round.
        let (begin, begins) = bounded::<()>(0);
        let opener = std::thread::spawn(move || {
            let _ = begins.recv();
            for _ in 0..round * 50 {
                std::hint::spin_loop();
            }
            gate.open();
        });
        supervisor.on_shutdown("opens the gate", move || drop(begin));
        let report = supervisor.shutdown();
        opener.join().unwrap();
        for number in 0..30 {
            let name = number.to_string();
            let expected = match number % 3 {
                0 => Outcome::Panicked(name.clone()),
                _ => Outcome::Finished,
            };
            assert_eq!(outcome(&report, &name), expected, "{report}");
        }
        assert!(report.stragglers().is_empty(), "{report}");
    }
}

#[test]
fn of_fifty_requests_exactly_one_is_the_first() {
    let supervisor = Supervisor::new();
    let gate = Barrier::new(50);
    let firsts = AtomicUsize::new(0);
    let winner = Mutex::new(None);
    std::thread::scope(|scope| {
        for number in 0..50 {
            let (supervisor, gate, firsts, winner) = (&supervisor, &gate, &firsts, &winner);
            scope.spawn(move || {
                gate.wait();
                if supervisor.request_shutdown(Cause::Exit(number)) {
                    firsts.fetch_add(1, Ordering::SeqCst);
                    *winner.lock().unwrap() = Some(Cause::Exit(number));
                }
            });
        }
    });
    assert_eq!(firsts.load(Ordering::SeqCst), 1);
    let winner = winner.into_inner().unwrap().unwrap();
    assert_eq!(supervisor.wait_for_shutdown(), winner);
    assert_eq!(*supervisor.shutdown().cause(), winner);
}

#[test]
fn fifty_who_shut_down_get_the_same_report() {
    let supervisor = Supervisor::new();
    for _ in 0..5 {
        let worker = supervisor.worker();
        worker.spawn_with(|stop| stop.wait()).unwrap();
    }
    let gate = Arc::new(Barrier::new(50));
    let callers: Vec<_> = (0..50)
        .map(|_| {
            let (supervisor, gate) = (supervisor.clone(), Arc::clone(&gate));
            std::thread::spawn(move || {
                gate.wait();
                supervisor.shutdown()
            })
        })
        .collect();
    let reports: Vec<_> = in_time(move || {
        let reports = callers.into_iter().map(|caller| caller.join().unwrap());
        reports.collect()
    });
    let later = supervisor.shutdown();
    for report in reports.iter().chain([&later]) {
        assert!(report.is_complete());
        // One and the same: not two that look alike.
        assert!(std::ptr::eq(report.entries(), reports[0].entries()));
        assert_eq!(report.elapsed(), reports[0].elapsed());
    }
    assert_eq!(later.entries().len(), 5);
}

#[test]
fn a_worker_started_in_a_clean_up_is_told_at_once_and_joined() {
    let journal = Journal::new();
    let supervisor = Supervisor::new();
    let notes = journal.clone();
    supervisor
        .worker()
        .name("cleans up".into())
        .spawn_with(move |stop| {
            stop.wait();
            let told = notes.noter("told");
            thread::Builder::new()
                .name("late".into())
                .on_terminate(told)
                .spawn_with(move |stop| {
                    stop.wait();
                    notes.note("flushed");
                })
                .unwrap();
            // Not joined here: that is the supervisor's.
        })
        .unwrap();
    let report = in_time(move || supervisor.shutdown());
    assert_eq!(outcome(&report, "late"), Outcome::Finished);
    assert_eq!(report.entries().len(), 2);
    assert!(report.is_clean(), "{report}");
    let mut lines = journal.lines();
    lines.sort();
    assert_eq!(lines, ["flushed", "told"]);
}

#[test]
fn a_worker_that_joins_its_late_helper_does_not_hang() {
    let supervisor = Supervisor::new();
    supervisor
        .worker()
        .name("cleans up".into())
        .spawn_with(|stop| {
            stop.wait();
            thread::spawn(|| 1).join().unwrap();
            thread::scope(|scope| {
                let helper = thread::Builder::new().spawn_scoped(scope, || 2).unwrap();
                assert_eq!(helper.join().unwrap(), 2);
            });
        })
        .unwrap();
    let report = in_time(move || supervisor.shutdown());
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_chain_of_late_workers_is_joined_to_its_end() {
    fn link(left: u32, journal: Journal) {
        journal.note(left.to_string());
        if left > 0 {
            thread::spawn(move || link(left - 1, journal));
        }
    }
    let journal = Journal::new();
    let notes = journal.clone();
    let supervisor = Supervisor::new();
    let worker = supervisor.worker();
    worker
        .spawn_with(move |stop| {
            stop.wait();
            link(50, notes);
        })
        .unwrap();
    let report = in_time(move || supervisor.shutdown());
    assert_eq!(journal.lines().len(), 51);
    assert_eq!(report.entries().len(), 51);
    assert!(report.is_clean(), "{report}");
}

#[test]
fn one_that_spawns_for_ever_ends_at_the_deadline() {
    let supervisor = Supervisor::builder().deadline(ms(500)).build();
    let (refused, was_refused) = bounded(1);
    supervisor
        .worker()
        .spawn_with(move |stop| {
            stop.wait();
            // Joined each time, so that the machine is not full of threads; each is a late worker all the same.
            let error = loop {
                match thread::Builder::new().spawn(|| ()) {
                    Ok(late) => late.join().unwrap(),
                    Err(error) => break error,
                }
            };
            let _ = refused.send(error.to_string());
        })
        .unwrap();
    let stopping = supervisor.clone();
    let (report, took) = in_time(move || timed(|| stopping.shutdown()));
    assert!(took >= ms(500), "{took:?}");
    assert!(took < ms(6000), "{took:?}");
    assert!(report.is_complete());
    assert!(report.entries().len() > 1, "late ones are in the report");
    let text = was_refused.recv_timeout(PATIENCE).unwrap();
    assert!(text.contains("shutdown is over"), "{text}");
    let error = supervisor.worker().spawn(|| ()).unwrap_err();
    assert!(error.to_string().contains("shutdown is over"), "{error}");
}

#[test]
fn generations_of_workers_that_do_not_wait_for_each_other_end_at_the_deadline() {
    fn next(alive: Arc<AtomicUsize>) {
        alive.fetch_add(1, Ordering::SeqCst);
        // The error is Closed: the end of the line.
        let theirs = Arc::clone(&alive);
        let _ = thread::Builder::new().spawn(move || next(theirs));
    }
    let count = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&count);
    let supervisor = Supervisor::builder().deadline(ms(300)).build();
    let worker = supervisor.worker();
    worker
        .spawn_with(move |stop| {
            stop.wait();
            next(theirs);
        })
        .unwrap();
    let (report, took) = in_time(move || timed(|| supervisor.shutdown()));
    assert!(took >= ms(300), "{took:?}");
    assert!(took < ms(6000), "{took:?}");
    assert!(report.entries().len() > 1 && report.is_complete());
    assert!(count.load(Ordering::SeqCst) > 1);
}

#[test]
fn a_callback_runs_once_for_terminate_and_shutdown_together() {
    let runs = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&runs);
    let supervisor = Supervisor::new();
    let worker = supervisor
        .worker()
        .on_terminate(move || {
            counts.fetch_add(1, Ordering::SeqCst);
        })
        .spawn({
            let token = supervisor.stop_token();
            move || token.wait()
        })
        .unwrap();
    worker.terminate();
    worker.terminate();
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    let report = supervisor.shutdown();
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_callback_runs_once_when_all_ask_at_the_same_time() {
    for _ in 0..50 {
        let runs = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&runs);
        let supervisor = Supervisor::new();
        let worker = supervisor
            .worker()
            .on_terminate(move || {
                counts.fetch_add(1, Ordering::SeqCst);
            })
            .spawn_with(|stop| stop.wait())
            .unwrap();
        let gate = Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    gate.wait();
                    worker.terminate();
                });
            }
            gate.wait();
            supervisor.shutdown();
        });
        // The worker may have ended by its token before a callback was due; never twice.
        assert!(runs.load(Ordering::SeqCst) <= 1);
        let report = supervisor.shutdown();
        assert!(report.is_clean(), "{report}");
    }
}

#[test]
fn a_worker_that_shuts_down_is_not_waited_for() {
    let supervisor = Supervisor::new();
    let ours = supervisor.clone();
    let (reported, reports) = bounded(1);
    supervisor
        .worker()
        .name("other".into())
        .spawn_with(|stop| stop.wait())
        .unwrap();
    supervisor
        .worker()
        .name("caller".into())
        .spawn(move || reported.send(ours.shutdown()).unwrap())
        .unwrap();
    let report = reports.recv_timeout(PATIENCE).expect("it hangs");
    assert_eq!(outcome(&report, "caller"), Outcome::Caller);
    assert_eq!(outcome(&report, "other"), Outcome::Finished);
    assert!(report.is_clean(), "{report}");
    assert!(
        report.elapsed() < ms(4000),
        "half of the deadline: {report}"
    );
}

#[test]
fn two_workers_that_shut_down_do_not_wait_for_each_other() {
    for _ in 0..20 {
        let supervisor = Supervisor::new();
        let gate = Arc::new(Barrier::new(2));
        let (reported, reports) = bounded(2);
        for name in ["one", "two"] {
            let (ours, gate, reported) = (supervisor.clone(), Arc::clone(&gate), reported.clone());
            supervisor
                .worker()
                .name(name.into())
                .spawn(move || {
                    gate.wait();
                    reported.send(ours.shutdown()).unwrap();
                })
                .unwrap();
        }
        let one = reports.recv_timeout(PATIENCE).expect("it hangs");
        let two = reports.recv_timeout(PATIENCE).expect("it hangs");
        assert!(std::ptr::eq(one.entries(), two.entries()));
        assert!(one.stragglers().is_empty(), "{one}");
        assert!(one.elapsed() < ms(4000), "{one}");
        // The second may come only when the first has been through with it: then it simply finished.
        for name in ["one", "two"] {
            let how = outcome(&one, name);
            assert!(
                matches!(how, Outcome::Caller | Outcome::Finished),
                "{how:?}"
            );
        }
    }
}

#[test]
fn a_worker_that_shuts_down_while_main_does_is_not_waited_for() {
    let supervisor = Supervisor::new();
    let ours = supervisor.clone();
    let (reported, reports) = bounded(1);
    supervisor
        .worker()
        .name("joins in".into())
        .spawn_with(move |stop| {
            stop.wait(); // the shutdown is under way
            reported.send(ours.shutdown()).unwrap();
        })
        .unwrap();
    let stopping = supervisor.clone();
    let (report, took) = in_time(move || timed(|| stopping.shutdown()));
    let same = reports.recv_timeout(PATIENCE).expect("it hangs");
    assert!(std::ptr::eq(report.entries(), same.entries()));
    assert_eq!(outcome(&report, "joins in"), Outcome::Caller);
    assert!(took < ms(4000), "{took:?}");
}

#[test]
fn a_worker_of_a_nested_supervisor_that_shuts_down_an_ancestor_is_not_waited_for() {
    for levels in 1..4 {
        let root = Supervisor::new();
        let mut inner = root.clone();
        for level in 0..levels {
            inner = inner.child(format!("tier {level}"));
        }
        let ours = root.clone();
        let (reported, reports) = bounded(1);
        inner
            .worker()
            .name("caller".into())
            .spawn(move || reported.send(ours.shutdown()).unwrap())
            .unwrap();
        let report = reports.recv_timeout(PATIENCE).expect("it hangs");
        assert_eq!(outcome(&report, "caller"), Outcome::Caller, "{report}");
        assert!(report.elapsed() < ms(4000), "{report}");
    }
}

#[test]
fn a_worker_of_a_nested_supervisor_joins_in_when_the_ancestor_is_stopping_already() {
    let root = Supervisor::new();
    let inner = root.child("tier");
    let ours = root.clone();
    let (reported, reports) = bounded(1);
    inner
        .worker()
        .name("joins in".into())
        .spawn_with(move |stop| {
            stop.wait();
            reported.send(ours.shutdown()).unwrap();
        })
        .unwrap();
    let stopping = root.clone();
    let (report, took) = in_time(move || timed(|| stopping.shutdown()));
    reports.recv_timeout(PATIENCE).expect("it hangs");
    assert_eq!(outcome(&report, "joins in"), Outcome::Caller, "{report}");
    assert!(took < ms(4000), "{took:?}");
}

#[test]
fn a_worker_may_shut_down_a_supervisor_that_it_does_not_belong_to() {
    let (one, other) = (Supervisor::new(), Supervisor::new());
    other.worker().spawn_with(|stop| stop.wait()).unwrap();
    let theirs = other.clone();
    let worker = one.spawn(move || theirs.shutdown());
    let report = in_time(move || worker.join().unwrap());
    assert!(report.is_clean() && report.is_complete(), "{report}");
    assert!(!one.is_shutting_down());
}

#[test]
fn a_parent_s_worker_may_shut_down_a_child() {
    let parent = Supervisor::new();
    let child = parent.child("tier");
    let (done, is_done) = bounded(1);
    child
        .worker()
        .name("inside".into())
        .spawn_with(|stop| stop.wait())
        .unwrap();
    let ours = child.clone();
    parent.spawn(move || done.send(ours.shutdown()).unwrap());
    let report = is_done.recv_timeout(PATIENCE).expect("it hangs");
    assert!(report.is_clean() && report.is_complete(), "{report}");
    assert_eq!(report.entries().len(), 1);
}

#[test]
fn a_callback_that_shuts_down_gets_the_report_so_far() {
    let supervisor = Supervisor::new();
    let (seen, sees) = unbounded();
    supervisor.on_exit("at exit", {
        let (ours, seen) = (supervisor.clone(), seen.clone());
        move || seen.send(("at exit", ours.shutdown())).unwrap()
    });
    supervisor
        .worker()
        .name("worker".into())
        .on_terminate({
            let (ours, seen) = (supervisor.clone(), seen.clone());
            move || seen.send(("callback", ours.shutdown())).unwrap()
        })
        .spawn_with(|stop| stop.wait())
        .unwrap();
    supervisor.on_shutdown("hook", {
        let ours = supervisor.clone();
        move || seen.send(("hook", ours.shutdown())).unwrap()
    });
    let stopping = supervisor.clone();
    let (whole, took) = in_time(move || timed(|| stopping.shutdown()));
    assert!(whole.is_clean(), "{whole}");
    assert!(took < ms(4000), "{took:?}");

    let seen: Vec<_> = sees.try_iter().collect();
    let places: Vec<_> = seen.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, ["hook", "callback", "at exit"]);
    for ((place, so_far), entries) in seen.iter().zip([1, 2, 3]) {
        assert!(!so_far.is_complete(), "{place}: {so_far}");
        assert!(!so_far.is_clean());
        assert_eq!(so_far.entries().len(), entries, "{place}: {so_far}");
    }
    assert_eq!(outcome(&seen[2].1, "worker"), Outcome::Finished);
}

#[test]
fn a_callback_of_a_child_that_shuts_down_the_parent_gets_the_report_so_far() {
    let parent = Supervisor::new();
    let child = parent.child("tier");
    let (seen, sees) = bounded(1);
    let theirs = parent.clone();
    child.on_shutdown("hook", move || seen.send(theirs.shutdown()).unwrap());
    let stopping = parent.clone();
    let whole = in_time(move || stopping.shutdown());
    assert!(whole.is_clean(), "{whole}");
    assert!(!sees.recv_timeout(PATIENCE).unwrap().is_complete());
}

#[test]
fn a_callback_of_a_child_s_own_shutdown_may_begin_the_parent_s() {
    let parent = Supervisor::new();
    parent
        .worker()
        .name("outside".into())
        .spawn_with(|stop| stop.wait())
        .unwrap();
    let child = parent.child("tier");
    let (seen, sees) = bounded(1);
    let theirs = parent.clone();
    child.on_shutdown("hook", move || seen.send(theirs.shutdown()).unwrap());
    let stopping = child.clone();
    assert!(in_time(move || stopping.shutdown()).is_clean());
    assert!(!sees.recv_timeout(PATIENCE).unwrap().is_complete());
    // It was requested, so it happens.
    let whole = in_time(move || parent.shutdown());
    assert!(whole.is_clean(), "{whole}");
    assert_eq!(outcome(&whole, "outside"), Outcome::Finished);
}

#[test]
fn a_callback_may_use_everything_of_its_supervisor() {
    let supervisor = Supervisor::new();
    let journal = Journal::new();
    let (ours, notes) = (supervisor.clone(), journal.clone());
    let own_hook = Arc::new(Mutex::new(None::<sundown::Hook>));
    let itself = Arc::clone(&own_hook);
    let hook = supervisor.on_shutdown("does it all", move || {
        assert!(ours.is_shutting_down());
        assert_eq!(ours.wait_for_shutdown(), Cause::Requested);
        assert!(ours.stop_token().is_stopped());
        assert!(!ours.request_shutdown(Cause::Exit(1)));
        ours.workers();
        let hook = itself.lock().unwrap().take().unwrap();
        assert!(!hook.remove(), "it is running");
        ours.on_shutdown("late hook", notes.noter("late hook"));
        ours.on_exit("late exit", notes.noter("late exit"));
        let (ran, has_run) = mpsc::channel();
        let late = ours.spawn(move || ran.send(()).unwrap());
        late.join().unwrap();
        has_run.recv().unwrap();
        let inner = ours.child("late child");
        inner.spawn(notes.noter("late child's worker"));
    });
    *own_hook.lock().unwrap() = Some(hook);
    let report = in_time(move || supervisor.shutdown());
    assert!(report.is_clean(), "{report}");
    let mut lines = journal.lines();
    lines.sort();
    assert_eq!(lines, ["late child's worker", "late exit", "late hook"]);
}

#[test]
fn spawns_that_race_with_the_shutdown_are_joined_or_refused() {
    for _ in 0..10 {
        let supervisor = Supervisor::new();
        let gate = Barrier::new(5);
        let handles = Mutex::new(Vec::new());
        let report = std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    gate.wait();
                    for _ in 0..300 {
                        match supervisor.worker().spawn_with(|stop| stop.wait()) {
                            Ok(worker) => handles.lock().unwrap().push(worker),
                            Err(error) => {
                                assert!(error.to_string().contains("shutdown is over"));
                                return;
                            }
                        }
                    }
                });
            }
            gate.wait();
            supervisor.shutdown()
        });
        let handles = handles.into_inner().unwrap();
        assert!(report.is_clean(), "{report}");
        assert_eq!(report.entries().len(), handles.len());
        assert!(supervisor.workers().is_empty());
        for worker in handles {
            assert!(worker.is_finished());
            worker.join().unwrap();
        }
    }
}

#[test]
fn a_join_that_races_with_the_shutdown_has_the_value() {
    for _ in 0..50 {
        let supervisor = Supervisor::new();
        let workers: Vec<_> = (0..4)
            .map(|number| {
                let worker = supervisor.worker();
                let spawned = worker.spawn_with(move |stop| {
                    stop.wait();
                    number
                });
                spawned.unwrap()
            })
            .collect();
        let joiners: Vec<_> = workers
            .into_iter()
            .enumerate()
            .map(|(at, worker)| {
                std::thread::spawn(move || match at % 2 {
                    0 => worker.join().unwrap(),
                    _ => worker.join_timeout(PATIENCE).unwrap().unwrap(),
                })
            })
            .collect();
        let report = in_time(move || supervisor.shutdown());
        assert!(report.is_clean(), "{report}");
        let values = joiners.into_iter().map(|joiner| joiner.join().unwrap());
        assert_eq!(values.collect::<Vec<_>>(), [0, 1, 2, 3]);
    }
}

#[test]
fn a_child_and_its_parent_may_be_shut_down_at_the_same_time() {
    for _ in 0..50 {
        let parent = Supervisor::new();
        let child = parent.child("tier");
        for at in [&parent, &child] {
            at.worker().spawn_with(|stop| stop.wait()).unwrap();
        }
        let gate = Arc::new(Barrier::new(2));
        let both: Vec<_> = [parent, child]
            .into_iter()
            .map(|supervisor| {
                let gate = Arc::clone(&gate);
                std::thread::spawn(move || {
                    gate.wait();
                    supervisor.shutdown()
                })
            })
            .collect();
        for stopper in both {
            let report = in_time(move || stopper.join().unwrap());
            assert!(report.is_clean(), "{report}");
        }
    }
}

#[test]
fn a_request_is_carried_out_although_nobody_waits() {
    let supervisor = Supervisor::new();
    let (done, is_done) = bounded(1);
    supervisor.on_exit("signal", move || done.send(()).unwrap());
    let worker = supervisor.worker().spawn_with(|stop| stop.wait()).unwrap();
    assert!(supervisor.request_shutdown(Cause::Requested));
    is_done.recv_timeout(PATIENCE).expect("nobody did it");
    worker.join().unwrap();
}

#[test]
fn a_hook_that_is_taken_back_in_a_race_runs_or_was_removed() {
    for _ in 0..100 {
        let supervisor = Supervisor::new();
        let runs = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&runs);
        let hook = supervisor.on_shutdown("hook", move || {
            counts.fetch_add(1, Ordering::SeqCst);
        });
        let gate = Barrier::new(2);
        let removed = std::thread::scope(|scope| {
            let remover = scope.spawn(|| {
                gate.wait();
                hook.remove()
            });
            gate.wait();
            let report = supervisor.shutdown();
            assert!(report.is_clean(), "{report}");
            remover.join().unwrap()
        });
        assert_eq!(runs.load(Ordering::SeqCst), usize::from(!removed));
    }
}

/// Uses the supervisor in its destructor: whoever drops it with a lock held hangs.
struct UsesOnDrop(Supervisor, crossbeam_channel::Sender<()>);

impl Drop for UsesOnDrop {
    fn drop(&mut self) {
        self.0.workers();
        self.0.on_shutdown("from a destructor", || ()).remove();
        self.1.send(()).unwrap();
    }
}

#[test]
fn what_a_callback_holds_is_dropped_with_no_lock_held() {
    let (dropped, drops) = unbounded();
    let supervisor = Supervisor::new();
    let value = || UsesOnDrop(supervisor.clone(), dropped.clone());
    let one_more = |what: &str| {
        let seen = drops.recv_timeout(PATIENCE);
        seen.unwrap_or_else(|_| panic!("{what}: it hangs, or is never dropped"));
    };
    let holding = |value| move || drop(value);

    let hook = supervisor.on_shutdown("removed", holding(value()));
    std::thread::spawn(move || hook.remove());
    one_more("a hook that is removed");

    let worker = supervisor.worker().on_terminate(holding(value()));
    drop(worker.spawn(|| ()).unwrap());
    one_more("the callback of a worker that ends by itself");

    let worker = supervisor.worker().stack_size(1 << 60);
    let worker = worker.on_terminate(holding(value()));
    let theirs = value();
    std::thread::spawn(move || worker.spawn(holding(theirs)).is_err());
    one_more("the callback of a spawn that fails");
    one_more("the closure of a spawn that fails");

    let child = supervisor.child("tier");
    child.on_exit("of a child", holding(value()));
    child.on_shutdown("of a child", holding(value()));
    std::thread::spawn(move || child.shutdown());
    one_more("a hook of a child");
    one_more("another hook of a child");

    supervisor.on_exit("runs", holding(value()));
    supervisor.on_shutdown("runs", holding(value()));
    let theirs = value();
    let worker = supervisor.worker().on_terminate(holding(value()));
    worker
        .spawn_with(move |stop| {
            stop.wait();
            drop(theirs);
        })
        .unwrap();
    let stopping = supervisor.clone();
    let report = in_time(move || stopping.shutdown());
    assert!(report.is_clean(), "{report}");
    for what in ["exit hook", "hook", "callback", "closure"] {
        one_more(what);
    }

    let late = supervisor.clone();
    let theirs = value();
    std::thread::spawn(move || late.on_exit("too late", holding(theirs)));
    one_more("a hook that comes too late");
}

#[test]
fn a_worker_that_waits_for_the_request_hears_it() {
    let supervisor = Supervisor::new();
    let ours = supervisor.clone();
    let worker = supervisor.spawn(move || ours.wait_for_shutdown());
    let other = supervisor.spawn(sundown::wait_for_shutdown);
    let stopping = supervisor.clone();
    let report = in_time(move || stopping.shutdown());
    assert!(report.is_clean(), "{report}");
    assert_eq!(worker.join().unwrap(), Cause::Requested);
    assert_eq!(other.join().unwrap(), Cause::Requested);
}

#[test]
fn an_exit_hook_cannot_start_a_worker_any_more() {
    let supervisor = Supervisor::new();
    let (tried, tries) = bounded(1);
    supervisor.on_exit("tries", move || {
        let refused = thread::Builder::new().spawn(|| ());
        tried.send(refused.is_err()).unwrap();
    });
    let report = in_time(move || supervisor.shutdown());
    assert!(report.is_clean(), "{report}");
    assert!(tries.recv().unwrap());
}

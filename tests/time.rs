//! A shutdown is over at its deadline, each worker gets its grace and no more, and joined means gone.
//!
//! Lower bounds are exact; upper bounds leave room for a machine that is busy with something else.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{bounded, unbounded};
use sundown::{CallbackFault, Outcome, ShutdownReport, StopSource, Supervisor};
use support::{in_time, timed, Gate, Journal, PATIENCE};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn outcome<'a>(report: &'a ShutdownReport, name: &str) -> &'a Outcome {
    entry(report, name).outcome()
}

fn entry<'a>(report: &'a ShutdownReport, name: &str) -> &'a sundown::EntryReport {
    let found = report.entries().iter().find(|e| e.name() == Some(name));
    found.unwrap_or_else(|| panic!("no {name} in {report}"))
}

#[test]
fn one_that_ignores_its_stop_costs_its_grace() {
    let gate = Gate::new();
    let supervisor = Supervisor::new();
    let obedient = |name: &str| {
        let worker = supervisor.worker().name(name.into());
        worker.spawn_with(|stop| stop.wait()).unwrap()
    };
    obedient("A");
    let stuck = supervisor.worker().name("B".into()).grace(ms(1000));
    stuck.spawn(gate.passer()).unwrap();
    obedient("C");

    let (report, took) = timed(|| supervisor.shutdown());

    assert_eq!(*outcome(&report, "A"), Outcome::Finished);
    assert_eq!(*outcome(&report, "B"), Outcome::Straggler);
    assert_eq!(*outcome(&report, "C"), Outcome::Finished);
    assert!(took >= ms(1000), "{took:?}");
    assert!(took < ms(4000), "{took:?}");
    assert!(report.elapsed() >= ms(1000) && report.elapsed() <= took);
    assert!(entry(&report, "B").waited() >= ms(1000));
}

#[test]
fn the_supervisor_s_grace_counts_for_those_with_none_of_their_own() {
    let gate = Gate::new();
    let supervisor = Supervisor::builder().grace(ms(2000)).build();
    for (name, needs) in [("one", 1000), ("another", 1000), ("slow", 60_000)] {
        let gate = gate.passer();
        supervisor
            .worker()
            .name(name.into())
            .spawn_with(move |stop| {
                stop.wait();
                if needs < 2000 {
                    std::thread::sleep(ms(needs));
                } else {
                    gate(); // until the test is over
                }
            })
            .unwrap();
    }
    let (report, took) = timed(|| supervisor.shutdown());
    assert_eq!(*outcome(&report, "one"), Outcome::Finished);
    assert_eq!(*outcome(&report, "another"), Outcome::Finished);
    assert_eq!(*outcome(&report, "slow"), Outcome::Straggler);
    assert!(took >= ms(2000), "{took:?}");
    assert!(took < ms(5000), "{took:?}");
}

#[test]
fn a_worker_s_own_grace_goes_before_the_supervisor_s() {
    let gate = Gate::new();
    let supervisor = Supervisor::builder().grace(ms(20)).build();
    supervisor
        .worker()
        .name("patient".into())
        .grace(ms(20_000))
        .spawn_with(|stop| {
            stop.wait();
            std::thread::sleep(ms(300));
        })
        .unwrap();
    supervisor
        .worker()
        .name("stuck".into())
        .spawn(gate.passer())
        .unwrap();
    let (report, took) = timed(|| supervisor.shutdown());
    assert_eq!(*outcome(&report, "patient"), Outcome::Finished);
    assert_eq!(*outcome(&report, "stuck"), Outcome::Straggler);
    assert!(took >= ms(300), "{took:?}");
    assert!(took < ms(5000), "{took:?}");
}

#[test]
fn grace_begins_when_the_worker_is_told() {
    let supervisor = Supervisor::builder().deadline(ms(20_000)).build();
    supervisor
        .worker()
        .name("late to hear".into())
        .grace(ms(500))
        .spawn_with(|stop| {
            stop.wait();
            std::thread::sleep(ms(50));
        })
        .unwrap();
    // It is told only when this is through, which takes longer than its grace.
    supervisor.on_shutdown("slow", || std::thread::sleep(ms(700)));
    let report = supervisor.shutdown();
    assert_eq!(*outcome(&report, "late to hear"), Outcome::Finished);
    assert!(entry(&report, "late to hear").told() >= ms(700), "{report}");
}

#[test]
fn a_grace_beyond_the_deadline_ends_at_the_deadline() {
    let gate = Gate::new();
    let supervisor = Supervisor::builder().deadline(ms(300)).build();
    for grace in [ms(60_000), Duration::MAX] {
        let worker = supervisor.worker().grace(grace);
        worker.spawn(gate.passer()).unwrap();
    }
    let (report, took) = timed(|| supervisor.shutdown());
    assert_eq!(report.stragglers().len(), 2, "{report}");
    assert!(took >= ms(300), "{took:?}");
    assert!(took < ms(4000), "{took:?}");
}

#[test]
fn no_grace_at_all_means_told_and_not_waited_for() {
    let journal = Journal::new();
    let gate = Gate::new();
    let supervisor = Supervisor::builder().deadline(ms(60_000)).build();
    supervisor
        .worker()
        .grace(Duration::ZERO)
        .on_terminate(journal.noter("told"))
        .spawn(gate.passer())
        .unwrap();
    let (report, took) = timed(|| supervisor.shutdown());
    assert_eq!(journal.lines(), ["told"]);
    assert_eq!(report.stragglers().len(), 1);
    assert!(took < ms(5000), "{took:?}");
}

/// Runs its closure when a thread's thread-locals are destroyed.
struct AtThreadEnd(Option<Box<dyn FnOnce()>>);

impl Drop for AtThreadEnd {
    fn drop(&mut self) {
        if let Some(job) = self.0.take() {
            job();
        }
    }
}

thread_local! {
    static LAST_WORK: std::cell::RefCell<Option<AtThreadEnd>> = const { std::cell::RefCell::new(None) };
}

fn at_thread_end(job: impl FnOnce() + 'static) {
    LAST_WORK.with(|place| *place.borrow_mut() = Some(AtThreadEnd(Some(Box::new(job)))));
}

#[test]
fn a_worker_is_joined_only_when_its_thread_locals_are_destroyed() {
    let destroyed = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&destroyed);
    let supervisor = Supervisor::new();
    supervisor
        .worker()
        .name("flusher".into())
        .spawn_with(move |stop| {
            at_thread_end(move || {
                std::thread::sleep(ms(600));
                theirs.store(true, Ordering::SeqCst);
            });
            stop.wait();
        })
        .unwrap();
    let (report, took) = timed(|| supervisor.shutdown());
    assert!(
        destroyed.load(Ordering::SeqCst),
        "back before the destructor"
    );
    assert_eq!(*outcome(&report, "flusher"), Outcome::Finished);
    assert!(took >= ms(600), "{took:?}");
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_worker_whose_code_is_over_but_not_its_destructors_is_still_waited_for() {
    let destroyed = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&destroyed);
    let (returning, returns) = bounded(1);
    let supervisor = Supervisor::new();
    let worker = supervisor.spawn(move || {
        at_thread_end(move || {
            returning.send(()).unwrap();
            std::thread::sleep(ms(300));
            theirs.store(true, Ordering::SeqCst);
        });
    });
    returns.recv().unwrap();
    assert!(worker.is_finished(), "its function has returned");
    let report = supervisor.shutdown();
    assert!(destroyed.load(Ordering::SeqCst));
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_destructor_that_never_ends_makes_a_straggler_at_the_deadline() {
    let gate = Gate::new();
    let supervisor = Supervisor::builder().deadline(ms(1000)).build();
    let pass = gate.passer();
    supervisor
        .worker()
        .name("endless".into())
        .spawn_with(move |stop| {
            at_thread_end(pass);
            stop.wait();
        })
        .unwrap();
    let (report, took) = timed(|| supervisor.shutdown());
    assert_eq!(*outcome(&report, "endless"), Outcome::Straggler);
    assert!(took >= ms(1000), "{took:?}");
    assert!(took < ms(4000), "{took:?}");
    assert!(report.is_complete());
}

#[test]
fn a_thread_local_of_a_joined_worker_is_gone_for_join_too() {
    let destroyed = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&destroyed);
    let worker = Supervisor::new().spawn(move || {
        at_thread_end(move || {
            std::thread::sleep(ms(200));
            theirs.store(true, Ordering::SeqCst);
        });
    });
    let worker = worker
        .join_timeout(ms(20))
        .expect_err("its destructor still runs");
    worker.join().unwrap();
    assert!(destroyed.load(Ordering::SeqCst));
}

/// Ten callbacks, of which those in `hanging` (1 is the first that is told) never return. Gives which ran.
fn ten_callbacks(deadline: Duration, hanging: &[usize]) -> (Vec<usize>, ShutdownReport, Duration) {
    let gate = Gate::new();
    let (ran, runs) = unbounded();
    let supervisor = Supervisor::builder().deadline(deadline).build();
    for place in (1..=10).rev() {
        let ran = ran.clone();
        let pass = hanging.contains(&place).then(|| gate.passer());
        supervisor
            .worker()
            .on_terminate(move || {
                ran.send(place).unwrap();
                if let Some(pass) = pass {
                    pass();
                }
            })
            .spawn_with(|stop| stop.wait())
            .unwrap();
    }
    let (report, took) = timed(|| supervisor.shutdown());
    // Past the deadline each has a few milliseconds: on a busy machine its thread may begin only after that.
    let mut ran: Vec<_> = (0..10)
        .map_while(|_| runs.recv_timeout(PATIENCE).ok())
        .collect();
    ran.sort_unstable();
    (ran, report, took)
}

#[test]
fn the_other_callbacks_still_run_when_the_deadline_passes_in_one() {
    let all: Vec<_> = (1..=10).collect();
    // A deadline so short that a single callback that hangs uses it up.
    let (ran, report, took) = ten_callbacks(ms(8), &[2]);
    assert_eq!(ran, all);
    assert_eq!(
        report.entries()[1].callback_fault(),
        Some(&CallbackFault::Hung)
    );
    assert!(took < ms(4000), "{took:?}");

    // Five times a quarter of it.
    let (ran, report, took) = ten_callbacks(ms(400), &[2, 3, 4, 5, 6]);
    assert_eq!(ran, all);
    let hung = report.entries().iter();
    let hung = hung.filter(|e| e.callback_fault() == Some(&CallbackFault::Hung));
    assert!(hung.count() >= 4, "{report}"); // the last begins only past the deadline
    assert!(took >= ms(400), "{took:?}");
    assert!(took < ms(5000), "{took:?}");
}

#[test]
fn callbacks_that_all_hang_run_all_the_same_and_the_end_is_near() {
    let (ran, report, took) = ten_callbacks(ms(200), &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    let all: Vec<_> = (1..=10).collect();
    assert_eq!(ran, all);
    // Those that begin only past the deadline, on a busy machine past the report, need not be in this.
    assert!(report.stragglers().len() >= 4, "{report}");
    assert!(took < ms(5000), "{took:?}");
}

#[test]
fn a_callback_gets_one_second_when_the_deadline_is_long() {
    let gate = Gate::new();
    let supervisor = Supervisor::builder().deadline(ms(60_000)).build();
    supervisor.on_shutdown("hangs", gate.passer());
    // Slow, but within its second: no fault.
    supervisor.on_shutdown("slow", || std::thread::sleep(ms(300)));
    let (report, took) = timed(|| supervisor.shutdown());
    assert_eq!(*outcome(&report, "hangs"), Outcome::Straggler);
    assert_eq!(*outcome(&report, "slow"), Outcome::Finished);
    assert!(entry(&report, "slow").callback().unwrap() >= ms(300));
    assert!(took >= ms(1300), "{took:?}");
    assert!(took < ms(6000), "{took:?}");
}

#[test]
fn a_callback_that_hangs_after_a_child_s_turn_is_given_up_in_its_own_time() {
    for deadline in [ms(8000), Duration::MAX] {
        let gate = Gate::new();
        let supervisor = Supervisor::builder().deadline(deadline).build();
        supervisor.on_shutdown("hangs", gate.passer());
        let child = supervisor.child("tier");
        let leaves_late = child.worker().spawn_with(|stop| {
            stop.wait();
            std::thread::sleep(ms(1500)); // longer than any callback gets
        });
        leaves_late.unwrap();
        supervisor.on_shutdown("newest", || ());
        let (report, took) = in_time(move || timed(|| supervisor.shutdown()));
        assert_eq!(*outcome(&report, "hangs"), Outcome::Straggler);
        assert!(took >= ms(2500), "{took:?}");
        assert!(took < ms(6000), "{took:?}");
    }
}

#[test]
fn a_callback_gets_a_quarter_of_a_short_deadline() {
    let gate = Gate::new();
    let journal = Journal::new();
    let supervisor = Supervisor::builder().deadline(ms(400)).build();
    let begun = Instant::now();
    let notes = journal.clone();
    supervisor.on_shutdown("after it", move || {
        notes.note(format!("{}", begun.elapsed().as_millis()));
    });
    supervisor.on_shutdown("hangs", gate.passer());
    supervisor.shutdown();
    let when: u64 = journal.lines()[0].parse().unwrap();
    assert!(when >= 100, "{when} ms");
    assert!(when < 900, "{when} ms");
}

#[test]
fn with_a_deadline_of_zero_all_are_told_and_none_is_waited_for() {
    let journal = Journal::new();
    let gate = Gate::new();
    let supervisor = Supervisor::builder().deadline(Duration::ZERO).build();
    supervisor.on_exit("exit", journal.noter("exit"));
    for name in ["first", "second", "third"] {
        supervisor
            .worker()
            .name(name.into())
            .on_terminate(journal.noter(name))
            .spawn(gate.passer())
            .unwrap();
    }
    let (report, took) = timed(|| supervisor.shutdown());
    assert_eq!(journal.lines(), ["third", "second", "first", "exit"]);
    assert_eq!(report.stragglers().len(), 3, "{report}");
    assert!(report.is_complete());
    assert!(took < ms(4000), "{took:?}");
}

#[test]
fn who_has_finished_is_collected_past_the_deadline_too() {
    let gate = Gate::new();
    let supervisor = Supervisor::builder().deadline(ms(200)).build();
    supervisor
        .worker()
        .name("good".into())
        .spawn_with(|stop| stop.wait())
        .unwrap();
    supervisor
        .worker()
        .name("stuck".into())
        .spawn(gate.passer())
        .unwrap();
    supervisor
        .worker()
        .name("broken".into())
        .spawn_with(|stop| -> () {
            stop.wait();
            // Not `panic!`: with RUST_BACKTRACE its message alone can take longer than this deadline.
            std::panic::resume_unwind(Box::new("on its way out"));
        })
        .unwrap();
    let report = supervisor.shutdown();
    assert_eq!(*outcome(&report, "good"), Outcome::Finished);
    assert_eq!(*outcome(&report, "stuck"), Outcome::Straggler);
    assert_eq!(
        *outcome(&report, "broken"),
        Outcome::Panicked("on its way out".into())
    );
}

#[test]
fn a_deadline_without_end_waits_as_long_as_it_takes() {
    let supervisor = Supervisor::builder()
        .deadline(Duration::MAX)
        .grace(Duration::MAX)
        .build();
    let child = supervisor.child("tier");
    for at in [&supervisor, &child] {
        at.spawn({
            let token = at.stop_token();
            move || {
                token.wait();
                std::thread::sleep(ms(200));
            }
        });
    }
    let report = in_time(move || supervisor.shutdown());
    assert!(report.is_clean(), "{report}");
    assert!(report.elapsed() >= ms(200));
}

#[test]
fn a_callback_that_hangs_is_given_up_without_a_deadline_too() {
    let gate = Gate::new();
    let supervisor = Supervisor::builder().deadline(Duration::MAX).build();
    supervisor.on_shutdown("hangs", gate.passer());
    supervisor.on_exit("hangs too", gate.passer());
    let report = in_time(move || supervisor.shutdown());
    assert_eq!(report.stragglers().len(), 2, "{report}");
}

#[test]
fn a_child_gets_no_longer_than_is_left_of_its_parent_s_deadline() {
    let gate = Gate::new();
    let supervisor = Supervisor::builder().deadline(ms(600)).build();
    let old = supervisor.child("old tier");
    old.worker()
        .name("old".into())
        .spawn(gate.passer())
        .unwrap();
    let new = supervisor.child("new tier");
    new.worker()
        .name("new".into())
        .spawn(gate.passer())
        .unwrap();
    let (report, took) = timed(|| supervisor.shutdown());
    assert_eq!(*outcome(&report, "old"), Outcome::Straggler);
    assert_eq!(*outcome(&report, "new"), Outcome::Straggler);
    assert!(took >= ms(600), "{took:?}");
    assert!(took < ms(4000), "{took:?}");
}

#[test]
fn a_child_that_was_stopping_already_is_cut_to_its_parent_s_deadline() {
    let gate = Gate::new();
    // The child takes the deadline of a supervisor that has all the time; then that one's is short.
    let supervisor = Supervisor::builder().deadline(ms(600)).build();
    let child = supervisor.child("tier");
    child.spawn(gate.passer());
    let (told, was_told) = bounded(1);
    child.on_shutdown("signal", move || told.send(()).unwrap());
    let stopping = child.clone();
    let first = std::thread::spawn(move || stopping.shutdown());
    was_told.recv().unwrap();
    let (report, took) = timed(|| supervisor.shutdown());
    assert!(took < ms(4000), "{took:?}");
    assert_eq!(report.stragglers().len(), 1, "{report}");
    assert_eq!(first.join().unwrap().stragglers().len(), 1);
}

#[test]
fn join_timeout_waits_that_long_and_gives_the_handle_back() {
    let mut gate = Gate::new();
    let worker = Supervisor::new().spawn({
        let pass = gate.passer();
        move || {
            pass();
            7
        }
    });
    let (worker, took) = timed(|| worker.join_timeout(ms(100)).expect_err("it still runs"));
    assert!(took >= ms(100), "{took:?}");
    let (worker, took) = timed(|| worker.join_timeout(Duration::ZERO).expect_err("still"));
    assert!(took < ms(4000), "{took:?}");
    gate.open();
    let value = in_time(move || worker.join_timeout(Duration::MAX).expect("no limit"));
    assert_eq!(value.unwrap(), 7);
}

#[test]
fn a_token_ends_a_sleep_at_once() {
    let source = StopSource::new();
    let token = source.token();
    let (slept, took) = timed(|| token.sleep(ms(50)));
    assert_eq!(slept, Ok(()));
    assert!(took >= ms(50), "{took:?}");

    let (asleep, is_asleep) = bounded(0);
    let sleeper = std::thread::spawn(move || {
        asleep.send(()).unwrap();
        timed(|| token.sleep(Duration::from_secs(3600)))
    });
    is_asleep.recv().unwrap();
    source.stop();
    let (slept, _) = in_time(move || sleeper.join().unwrap());
    assert_eq!(slept, Err(sundown::Stopped));
}

#[test]
fn a_guard_gives_up_its_join_at_the_grace() {
    let gate = Gate::new();
    let supervisor = Supervisor::builder().deadline(ms(60_000)).build();
    let worker = supervisor.worker().grace(ms(200));
    let guard = worker.spawn(gate.passer()).unwrap().into_guard();
    let (_, took) = timed(|| drop(guard));
    assert!(took >= ms(200), "{took:?}");
    assert!(took < ms(4000), "{took:?}");
    assert_eq!(supervisor.workers().len(), 1, "left to the supervisor");
}

#[test]
fn a_guard_dropped_in_a_shutdown_gets_no_longer_than_what_is_left_of_it() {
    let gate = Gate::new();
    let supervisor = Supervisor::builder().deadline(ms(1000)).build();
    let guard = supervisor
        .worker()
        .spawn(gate.passer())
        .unwrap()
        .into_guard();
    let report = supervisor.shutdown();
    assert_eq!(report.stragglers().len(), 1, "{report}");
    let ((), took) = timed(|| drop(guard));
    assert!(took < ms(500), "{took:?}");
}

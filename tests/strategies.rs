//! Restartable workers of one supervisor are started again together, as its strategy says.

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{bounded, unbounded, Receiver, Sender};
use sundown::events::EventKind;
use sundown::restart::{Restart, Strategy};
use sundown::{thread, Cause, StopReason, StopToken, Supervisor};
use support::{in_time, timed, Journal, PATIENCE};

const HOUR: Duration = Duration::from_secs(3_600);

fn at_once() -> Restart {
    Restart::on_failure()
        .backoff(Duration::ZERO, Duration::ZERO)
        .limit(u32::MAX, HOUR)
}

/// Workers that note each beginning and end of a run, and fail when the test says so.
struct Trial {
    supervisor: Supervisor,
    journal: Journal,
    begun: (Sender<&'static str>, Receiver<&'static str>),
}

impl Trial {
    fn new(strategy: Strategy) -> Trial {
        Trial {
            supervisor: Supervisor::new().child("tier").with_strategy(strategy),
            journal: Journal::new(),
            begun: unbounded(),
        }
    }

    /// Starts a worker; it fails for each message sent.
    fn worker(&self, name: &'static str) -> Sender<()> {
        let worker = self.worker_with(name, at_once(), || ());
        self.await_runs(&[name]);
        worker
    }

    fn worker_with(
        &self,
        name: &'static str,
        policy: Restart,
        at_stop: impl Fn() + Send + 'static,
    ) -> Sender<()> {
        let (fail, failing) = unbounded();
        let (journal, begun) = (self.journal.clone(), self.begun.0.clone());
        let worker = self.supervisor.worker().name(name.into()).restart(policy);
        worker
            .spawn_loop(move |stop| {
                journal.note(format!("{name} begins"));
                begun.send(name).unwrap();
                crossbeam_channel::select! {
                    recv(failing) -> _ => {
                        journal.note(format!("{name} fails"));
                        return Err("broken");
                    }
                    recv(stop.channel()) -> _ => {}
                }
                at_stop();
                journal.note(format!("{name} ends"));
                Ok(())
            })
            .unwrap();
        fail
    }

    /// Waits until each of these has begun a run, in any order.
    fn await_runs(&self, names: &[&str]) {
        let mut seen: Vec<&str> = names
            .iter()
            .map(|_| self.begun.1.recv_timeout(PATIENCE).expect("a run"))
            .collect();
        let mut names = names.to_vec();
        seen.sort_unstable();
        names.sort_unstable();
        assert_eq!(seen, names);
    }

    /// The lines since the last call.
    fn news(&self, seen: &mut usize) -> Vec<String> {
        let lines = self.journal.lines();
        let new = lines[*seen..].to_vec();
        *seen = lines.len();
        new
    }
}

/// Every "ends" and "fails" comes before every "begins".
#[track_caller]
fn assert_all_ended_first(lines: &[String]) {
    let begins = lines.iter().position(|line| line.ends_with("begins"));
    let ends = lines.iter().rposition(|line| !line.ends_with("begins"));
    assert!(ends < begins, "{lines:?}");
}

#[test]
fn one_for_one_leaves_the_siblings_alone() {
    let trial = Trial::new(Strategy::default());
    let (_a, b, _c) = (trial.worker("a"), trial.worker("b"), trial.worker("c"));
    let mut seen = 3;
    b.send(()).unwrap();
    trial.await_runs(&["b"]);
    assert_eq!(trial.news(&mut seen), ["b fails", "b begins"]);
    assert!(in_time(move || trial.supervisor.shutdown()).is_clean());
}

#[test]
fn one_for_all_ends_all_before_any_is_started_again() {
    let trial = Trial::new(Strategy::OneForAll);
    let (_a, b, _c) = (trial.worker("a"), trial.worker("b"), trial.worker("c"));
    let mut seen = 3;
    for _ in 0..50 {
        b.send(()).unwrap();
        trial.await_runs(&["a", "b", "c"]);
        let lines = trial.news(&mut seen);
        assert_eq!(lines.len(), 6, "{lines:?}");
        assert_all_ended_first(&lines);
    }
    let report = in_time(move || trial.supervisor.shutdown());
    assert!(report.is_clean(), "{report}");
    assert!(
        report.entries().iter().all(|entry| entry.restarts() == 50),
        "{report}"
    );
}

#[test]
fn rest_for_one_concerns_the_newer_ones() {
    let trial = Trial::new(Strategy::RestForOne);
    let (_a, b, _c) = (trial.worker("a"), trial.worker("b"), trial.worker("c"));
    let mut seen = 3;
    b.send(()).unwrap();
    trial.await_runs(&["b", "c"]);
    let lines = trial.news(&mut seen);
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_all_ended_first(&lines);
    assert_eq!(trial.journal.starting("a "), ["a begins"]);
    in_time(move || trial.supervisor.shutdown());
}

#[test]
fn siblings_are_told_newest_first_and_learn_that_it_is_a_restart() {
    let trial = Trial::new(Strategy::OneForAll);
    let events = trial.supervisor.subscribe(usize::MAX);
    let (a, _b, _c) = (trial.worker("a"), trial.worker("b"), trial.worker("c"));
    a.send(()).unwrap();
    trial.await_runs(&["a", "b", "c"]);
    let told: Vec<String> = events
        .try_iter()
        .filter(|event| {
            matches!(
                event.kind,
                EventKind::TerminateRequested(StopReason::Restart)
            )
        })
        .map(|event| event.name.unwrap().to_string())
        .collect();
    assert_eq!(told, ["c", "b"]);
    in_time(move || trial.supervisor.shutdown());
}

#[test]
fn a_run_is_told_by_its_token_its_callbacks_and_an_unpark() {
    let supervisor = Supervisor::builder().strategy(Strategy::OneForAll).build();
    let (woken, wakes) = unbounded();
    let (run, runs) = unbounded();
    let (parked, waiting) = (woken.clone(), run.clone());
    supervisor
        .worker()
        .restart(at_once())
        .spawn_loop(move |stop| {
            run.send(()).unwrap();
            while !stop.is_stopped() {
                thread::park();
            }
            parked.send(format!("{:?}", stop.reason())).unwrap();
        })
        .unwrap();
    supervisor
        .worker()
        .restart(at_once())
        .spawn_loop(move |stop| {
            let (wake, woke) = bounded::<()>(1);
            let _callback = stop.on_stop(move || wake.send(()).unwrap());
            waiting.send(()).unwrap();
            woke.recv().unwrap();
            woken.send("callback".into()).unwrap();
        })
        .unwrap();
    for _ in 0..2 {
        runs.recv_timeout(PATIENCE).unwrap();
    }
    let mut failed = false;
    supervisor
        .worker()
        .restart(at_once())
        .spawn_loop(move |stop| {
            if !std::mem::replace(&mut failed, true) {
                return Err("broken");
            }
            stop.wait();
            Ok(())
        })
        .unwrap();
    let mut seen = [(); 2].map(|()| wakes.recv_timeout(PATIENCE).unwrap());
    seen.sort_unstable();
    assert_eq!(seen, ["Some(Restart)", "callback"]);
    for _ in 0..2 {
        runs.recv_timeout(PATIENCE).unwrap();
    }
    assert!(in_time(move || supervisor.shutdown()).is_clean());
}

#[test]
fn a_restart_that_fails_half_way_first_ends_what_it_had_started() {
    // `b` fails at once in its first run after the restart, while `c` may not have begun.
    let supervisor = Supervisor::builder().strategy(Strategy::OneForAll).build();
    let journal = Journal::new();
    let (begun, begins) = unbounded();
    let (fail, failing) = bounded::<()>(1);
    for name in ["a", "b", "c"] {
        let (journal, begun, failing) = (journal.clone(), begun.clone(), failing.clone());
        let mut run = 0;
        supervisor
            .worker()
            .name(name.into())
            .restart(at_once())
            .spawn_loop(move |stop| {
                run += 1;
                journal.note(format!("{name} begins"));
                if name == "b" && (2..5).contains(&run) {
                    journal.note("b fails");
                    return Err("not yet");
                }
                begun.send((name, run)).unwrap();
                if name == "b" {
                    crossbeam_channel::select! {
                        recv(failing) -> _ => {
                            journal.note("b fails");
                            return Err("broken");
                        }
                        recv(stop.channel()) -> _ => {}
                    }
                }
                stop.wait();
                journal.note(format!("{name} ends"));
                Ok(())
            })
            .unwrap();
    }
    for _ in 0..3 {
        begins.recv_timeout(PATIENCE).unwrap();
    }
    fail.send(()).unwrap();
    while begins.recv_timeout(PATIENCE).unwrap() != ("b", 5) {}
    let report = in_time(move || supervisor.shutdown());
    assert!(report.is_clean(), "{report}");
    // Nobody runs on between two runs of another: who runs when one begins again has begun since that one's last end.
    let (mut begun, mut ended) = (BTreeMap::new(), BTreeMap::new());
    for (at, line) in journal.lines().into_iter().enumerate() {
        let (name, what) = line.split_once(' ').unwrap();
        let name = name.to_owned();
        if what != "begins" {
            begun.remove(&name);
            ended.insert(name, at);
            continue;
        }
        if let Some(end) = ended.get(&name) {
            assert!(
                begun.values().all(|begin| begin > end),
                "{name} at {at}: {:?}",
                journal.lines()
            );
        }
        begun.insert(name, at);
    }
}

#[test]
fn a_tier_does_not_take_the_strategy_of_what_it_is_in() {
    let outer = Supervisor::new().with_strategy(Strategy::OneForAll);
    let trial = Trial {
        supervisor: outer.child("tier"),
        journal: Journal::new(),
        begun: unbounded(),
    };
    let (_a, b) = (trial.worker("a"), trial.worker("b"));
    let mut seen = 2;
    for _ in 0..3 {
        b.send(()).unwrap();
        trial.await_runs(&["b"]);
        assert_eq!(trial.news(&mut seen), ["b fails", "b begins"]);
    }
    assert!(in_time(move || outer.shutdown()).is_clean());
}

#[test]
fn who_is_not_restartable_is_left_alone() {
    let trial = Trial::new(Strategy::OneForAll);
    let _once = trial.worker_with("once", Restart::never(), || ());
    trial.await_runs(&["once"]);
    let (ended, plain_ended) = bounded(1);
    let plain = trial.supervisor.worker().name("plain".into());
    plain
        .spawn_with(move |stop| {
            stop.wait();
            ended.send(()).unwrap();
        })
        .unwrap();
    let elsewhere = Trial::new(Strategy::OneForAll);
    let _other = elsewhere.worker("other");
    let a = trial.worker("a");
    for _ in 0..10 {
        a.send(()).unwrap();
        trial.await_runs(&["a"]);
    }
    assert!(plain_ended.is_empty());
    assert_eq!(trial.journal.starting("once"), ["once begins"]);
    assert_eq!(elsewhere.journal.lines(), ["other begins"]);
    in_time(move || (trial.supervisor.shutdown(), elsewhere.supervisor.shutdown()));
}

#[test]
fn a_sibling_that_does_not_stop_makes_the_one_that_failed_give_up() {
    let supervisor = Supervisor::builder()
        .strategy(Strategy::OneForAll)
        .deadline(Duration::from_secs(1))
        .build();
    let events = supervisor.subscribe(usize::MAX);
    let (hold, held) = bounded::<()>(0);
    let (run, runs) = bounded(1);
    supervisor
        .worker()
        .name("deaf".into())
        .grace(Duration::from_millis(50))
        .restart(at_once())
        .spawn_loop(move |_| {
            let _ = run.try_send(());
            let _ = held.recv();
        })
        .unwrap();
    runs.recv_timeout(PATIENCE).unwrap();
    supervisor
        .worker()
        .name("client".into())
        .restart(at_once())
        .spawn_loop(|_| Err::<(), _>("refused"))
        .unwrap();
    let waiter = supervisor.clone();
    let cause = in_time(move || waiter.wait_for_shutdown());
    let Cause::GaveUp { name, failure, .. } = &cause else {
        panic!("{cause}");
    };
    assert_eq!(name.as_deref(), Some("client"));
    assert_eq!(
        failure,
        "refused; its sibling deaf does not stop for the restart"
    );
    let straggler = events
        .iter()
        .find(|event| matches!(event.kind, EventKind::Straggler));
    assert_eq!(straggler.unwrap().name.as_deref(), Some("deaf"));
    drop(hold);
    in_time(move || supervisor.shutdown());
}

#[test]
fn a_shutdown_in_the_pause_of_several_starts_none_of_them() {
    let trial = Trial::new(Strategy::OneForAll);
    let policy = Restart::on_failure().backoff(HOUR, HOUR);
    let a = trial.worker_with("a", policy, || ());
    let _b = trial.worker_with("b", at_once(), || ());
    trial.await_runs(&["a", "b"]);
    let (ended, has_ended) = bounded(1);
    let _c = trial.worker_with("c", at_once(), move || ended.send(()).unwrap());
    trial.await_runs(&["c"]);
    a.send(()).unwrap();
    has_ended.recv_timeout(PATIENCE).unwrap();
    let supervisor = trial.supervisor.clone();
    let (report, took) = timed(move || in_time(move || supervisor.shutdown()));
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert!(report.is_clean(), "{report}");
    assert_eq!(
        trial
            .journal
            .lines()
            .iter()
            .filter(|line| line.ends_with("begins"))
            .count(),
        3
    );
}

#[test]
fn one_that_is_told_to_stop_for_good_holds_up_no_sibling() {
    let supervisor = Supervisor::builder().strategy(Strategy::OneForAll).build();
    let (run, runs) = unbounded();
    let (fail, failing) = unbounded::<()>();
    let begun = run.clone();
    let a = supervisor
        .worker()
        .restart(at_once())
        .spawn_loop(move |stop| {
            begun.send("a").unwrap();
            stop.wait();
        });
    let mut first = true;
    let b = supervisor
        .worker()
        .restart(Restart::on_failure().backoff(HOUR, HOUR));
    let b = b.spawn_loop(move |_| {
        run.send("b").unwrap();
        if std::mem::take(&mut first) {
            let _ = failing.recv();
        }
        Err::<(), _>("refused")
    });
    for _ in 0..2 {
        runs.recv_timeout(PATIENCE).unwrap();
    }
    fail.send(()).unwrap(); // both pause for an hour from here on
    let b = b.unwrap();
    in_time(move || {
        b.terminate();
        b.join().unwrap().unwrap_err();
    });
    // With the one that failed gone, the pause is as long as before, and its sibling still listens.
    let a = a.unwrap();
    in_time(move || {
        a.terminate();
        a.join().unwrap();
    });
    assert!(supervisor.shutdown().is_clean());
}

#[test]
fn failures_all_over_the_place_end_in_a_clean_shutdown() {
    for strategy in [Strategy::OneForAll, Strategy::RestForOne] {
        let supervisor = Supervisor::builder().strategy(strategy).build();
        let runs = Arc::new(AtomicU32::new(0));
        let (enough, had_enough) = bounded(1);
        for n in 0..6_u32 {
            let (runs, enough) = (Arc::clone(&runs), enough.clone());
            let mut random = Random(n + 1);
            supervisor
                .worker()
                .restart(at_once())
                .spawn_loop(move |stop| {
                    if runs.fetch_add(1, Ordering::Relaxed) > 600 {
                        let _ = enough.try_send(());
                    }
                    match random.next() % 8 {
                        0 => Err::<(), _>("at once"),
                        1 => panic!("at once"),
                        n => {
                            work(stop, n * 10);
                            Err("later")
                        }
                    }
                })
                .unwrap();
        }
        had_enough.recv_timeout(PATIENCE).unwrap();
        let report = in_time(move || supervisor.shutdown());
        assert!(
            report.is_complete() && report.stragglers().is_empty(),
            "{report}"
        );
        assert_eq!(report.entries().len(), 6);
    }
}

#[test]
fn workers_that_come_fail_and_are_told_to_stop_at_random_hang_nowhere() {
    for strategy in [
        Strategy::OneForOne,
        Strategy::OneForAll,
        Strategy::RestForOne,
    ] {
        let parent = Supervisor::new();
        let supervisor = parent.child("tier").with_strategy(strategy);
        let mut random = Random(strategy as u32 + 7);
        let mut workers = Vec::new();
        for _ in 0..300 {
            match random.next() % 3 {
                0 if !workers.is_empty() => {
                    let at = random.next() as usize % workers.len();
                    let worker: thread::JoinHandle<_> = workers.swap_remove(at);
                    in_time(move || {
                        worker.terminate();
                        let _ = worker.join().unwrap();
                    });
                }
                0 | 1 => {
                    let mut random = Random(random.next());
                    let policy =
                        Restart::always().backoff(Duration::ZERO, Duration::from_micros(500));
                    let worker = supervisor.worker().restart(policy.limit(u32::MAX, HOUR));
                    let worker = worker.spawn_loop(move |stop| {
                        work(stop, random.next() % 100);
                        match random.next() % 2 {
                            0 => Err("broken"),
                            _ => Ok(()),
                        }
                    });
                    workers.push(worker.unwrap());
                }
                _ => thread::yield_now(),
            }
        }
        let report = in_time(move || parent.shutdown());
        assert!(
            report.is_complete() && report.stragglers().is_empty(),
            "{report}"
        );
    }
}

/// Lets others run, so many times, unless told to stop.
fn work(stop: &StopToken, steps: u32) {
    for _ in 0..steps {
        if stop.is_stopped() {
            return;
        }
        thread::yield_now();
    }
}

/// Numbers that look random, the same ones each time.
struct Random(u32);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0 >> 16
    }
}

//! A worker that knows it needs longer says so, and gets it: past its limit, up to the cap, with everyone else as before.

mod support;

use std::time::{Duration, Instant};

use crossbeam_channel::{bounded, Receiver};
use sundown::{Order, Outcome, ShutdownReport, StopToken, Supervisor, SupervisorBuilder};
use support::{in_time, timed, Gate};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Much more than any test needs.
const PLENTY: Duration = Duration::from_secs(60);

fn short(deadline: u64) -> SupervisorBuilder {
    Supervisor::builder().deadline(ms(deadline))
}

/// A worker that asks for `by` when it is told, then goes on for `needs`. Gives the limit that it had, and what it got.
fn slow(
    supervisor: &Supervisor,
    name: &str,
    by: Duration,
    needs: Duration,
) -> Receiver<(Option<Instant>, Option<Instant>)> {
    let (limits, seen) = bounded(1);
    let worker = supervisor.worker().name(name.into());
    worker
        .spawn_with(move |stop| {
            stop.wait();
            let before = stop.deadline();
            let after = stop.extend(by);
            let _ = limits.send((before, after)); // not every test looks
            std::thread::sleep(needs);
        })
        .unwrap();
    seen
}

#[track_caller]
fn outcome<'a>(report: &'a ShutdownReport, name: &str) -> (&'a Outcome, Option<Duration>) {
    let entry = report.entries().iter().find(|e| e.name() == Some(name));
    let entry = entry.unwrap_or_else(|| panic!("no {name} in {report}"));
    (entry.outcome(), entry.extended())
}

/// Blocks for good, or until the test is over.
fn mule(supervisor: &Supervisor, gate: &Gate) {
    let passer = gate.passer();
    supervisor
        .worker()
        .name("mule".into())
        .spawn(passer)
        .unwrap();
}

#[test]
fn a_worker_that_asks_gets_longer_than_the_deadline() {
    in_time(|| {
        let supervisor = short(200).max_extension(PLENTY).build();
        let limits = slow(&supervisor, "slow", PLENTY / 2, ms(500));
        let (report, took) = timed(|| supervisor.shutdown());
        assert!(report.is_clean(), "{report}");
        assert!(took >= ms(500), "{took:?}");
        let (before, after) = limits.recv().unwrap();
        let (before, after) = (before.unwrap(), after.unwrap());
        let (_, extended) = outcome(&report, "slow");
        assert_eq!(extended, Some(after - before));
        // Counted from the call, which came a little after the limit had been set.
        assert!(
            after >= before + PLENTY / 2 - ms(200),
            "{:?}",
            after - before
        );
        assert!(
            report.to_string().contains("more than its limit"),
            "{report}"
        );
    });
}

#[test]
fn it_counts_only_past_the_limit() {
    in_time(|| {
        let supervisor = Supervisor::builder().max_extension(PLENTY).build();
        let limits = slow(&supervisor, "slow", ms(100), ms(10));
        let report = supervisor.shutdown();
        let (before, after) = limits.recv().unwrap();
        assert_eq!(before, after);
        assert_eq!(outcome(&report, "slow"), (&Outcome::Finished, None));
    });
}

#[test]
fn asking_again_does_not_add_up() {
    in_time(|| {
        let supervisor = short(100).max_extension(PLENTY).build();
        let (limits, seen) = bounded(1);
        let worker = supervisor.worker().spawn_with(move |stop| {
            stop.wait();
            for _ in 0..1000 {
                stop.extend(Duration::from_secs(10));
            }
            limits.send((Instant::now(), stop.deadline())).unwrap();
        });
        worker.unwrap();
        assert!(supervisor.shutdown().is_clean());
        let (asked, limit) = seen.recv().unwrap();
        assert!(limit.unwrap() <= asked + Duration::from_secs(10));
    });
}

#[test]
fn a_worker_that_asks_again_and_again_lives_until_it_is_done() {
    in_time(|| {
        let supervisor = short(200).max_extension(PLENTY).build();
        let worker = supervisor.worker().spawn_with(|stop| {
            stop.wait();
            // Each step takes far longer than the deadline was in all, on a slow machine, and less than what is asked for.
            for _ in 0..5 {
                stop.extend(Duration::from_secs(5));
                std::thread::sleep(ms(100));
            }
        });
        worker.unwrap();
        let report = supervisor.shutdown();
        assert!(report.is_clean(), "{report}");
    });
}

#[test]
fn there_is_a_cap() {
    in_time(|| {
        let gate = Gate::new();
        let supervisor = short(100).max_extension(ms(300)).build();
        let passer = gate.passer();
        let (limits, seen) = bounded(1);
        let worker = supervisor.worker().name("greedy".into());
        let began = Instant::now();
        worker
            .spawn_with(move |stop| {
                stop.wait();
                let before = stop.deadline().unwrap();
                let after = stop.extend(Duration::MAX).unwrap();
                limits.send(after - before).unwrap();
                passer();
            })
            .unwrap();
        let report = supervisor.shutdown();
        assert!(began.elapsed() >= ms(400), "it had what is allowed");
        assert_eq!(seen.recv().unwrap(), ms(300));
        assert_eq!(
            outcome(&report, "greedy"),
            (&Outcome::Straggler, Some(ms(300)))
        );
    });
}

#[test]
fn the_default_cap_is_the_deadline() {
    in_time(|| {
        let gate = Gate::new();
        let supervisor = short(100).build();
        let passer = gate.passer();
        let worker = supervisor.worker().name("greedy".into());
        worker
            .spawn_with(move |stop| {
                stop.wait();
                let before = stop.deadline();
                assert_eq!(stop.extend(PLENTY), before);
                passer();
            })
            .unwrap();
        let report = supervisor.shutdown();
        assert_eq!(outcome(&report, "greedy"), (&Outcome::Straggler, None));
    });
}

#[test]
fn a_grace_can_be_put_off_up_to_the_deadline() {
    in_time(|| {
        let supervisor = Supervisor::builder()
            .deadline(PLENTY)
            .grace(ms(100))
            .build();
        let limits = slow(&supervisor, "slow", PLENTY * 2, ms(400));
        let report = supervisor.shutdown();
        assert!(report.is_clean(), "{report}");
        let (before, after) = limits.recv().unwrap();
        let more = after.unwrap() - before.unwrap();
        // To the deadline and no further.
        assert!(
            more > PLENTY - ms(10_000) && more <= PLENTY - ms(100),
            "{more:?}"
        );
        assert_eq!(outcome(&report, "slow"), (&Outcome::Finished, Some(more)));
    });
}

#[test]
fn who_does_not_ask_keeps_the_limit() {
    in_time(|| {
        // Told before the one that asks, and after it.
        for older in [true, false] {
            let gate = Gate::new();
            let supervisor = short(300).max_extension(PLENTY).build();
            if older {
                mule(&supervisor, &gate);
            }
            slow(&supervisor, "slow", PLENTY, ms(1500));
            if !older {
                mule(&supervisor, &gate);
            }
            let report = supervisor.shutdown();
            assert_eq!(outcome(&report, "slow").0, &Outcome::Finished);
            assert_eq!(outcome(&report, "mule"), (&Outcome::Straggler, None));
        }
    });
}

#[test]
fn who_does_not_ask_holds_up_nobody_past_the_deadline() {
    in_time(|| {
        let gate = Gate::new();
        let supervisor = short(300).max_extension(PLENTY).build();
        mule(&supervisor, &gate);
        slow(&supervisor, "slow", PLENTY, ms(50));
        let (report, took) = timed(|| supervisor.shutdown());
        assert_eq!(outcome(&report, "mule").0, &Outcome::Straggler);
        assert!(took >= ms(300) && took < PLENTY / 4, "{took:?}");
    });
}

#[test]
fn two_that_ask_each_have_their_own() {
    in_time(|| {
        let gate = Gate::new();
        let supervisor = short(100).max_extension(PLENTY).build();
        let passer = gate.passer();
        let worker = supervisor.worker().name("short".into());
        worker
            .spawn_with(move |stop| {
                stop.wait();
                stop.extend(ms(400));
                passer();
            })
            .unwrap();
        slow(&supervisor, "long", PLENTY, ms(1000));
        let (report, took) = timed(|| supervisor.shutdown());
        assert!(took >= ms(1000) && took < PLENTY / 4, "{took:?}");
        assert_eq!(outcome(&report, "short").0, &Outcome::Straggler);
        assert_eq!(outcome(&report, "long").0, &Outcome::Finished);
    });
}

#[test]
fn a_thread_that_it_starts_meanwhile_has_the_same_time() {
    in_time(|| {
        let supervisor = short(200).max_extension(PLENTY).build();
        let worker = supervisor.worker().spawn_with(|stop| {
            stop.wait();
            stop.extend(PLENTY);
            std::thread::sleep(ms(300)); // past the deadline
            let flush = sundown::thread::Builder::new().name("flush".into());
            flush.spawn(|| std::thread::sleep(ms(300))).unwrap();
        });
        worker.unwrap();
        let report = supervisor.shutdown();
        assert!(report.is_clean(), "{report}");
        assert_eq!(outcome(&report, "flush").0, &Outcome::Finished);
    });
}

#[test]
fn in_a_nested_supervisor_it_extends_what_is_around_it() {
    in_time(|| {
        let gate = Gate::new();
        let outer = short(300).max_extension(PLENTY).build();
        mule(&outer, &gate); // older: told when the child is through, with what is left
        let middle = outer.child("middle");
        let inner = middle.child("inner");
        slow(&inner, "slow", PLENTY / 2, ms(800));
        let shut = Gate::new();
        let newer = shut.passer();
        outer.worker().name("newer".into()).spawn(newer).unwrap();
        let began = Instant::now();
        let stop = outer.clone();
        std::thread::spawn(move || stop.shutdown());
        // The one that is told when the child is through would have what was asked for: it is let go.
        assert!(outer.wait_for_extension(Duration::ZERO).unwrap() > ms(1000));
        while outer
            .workers()
            .iter()
            .any(|w| w.name.as_deref() == Some("slow"))
        {
            std::thread::sleep(ms(20)); // nothing tells of the end of one worker
        }
        assert!(began.elapsed() >= ms(800));
        drop(gate);
        let report = outer.shutdown();
        assert_eq!(outcome(&report, "slow").0, &Outcome::Finished);
        assert!(outcome(&report, "slow").1.is_some());
        assert_eq!(outcome(&report, "newer"), (&Outcome::Straggler, None));
        assert_eq!(outcome(&report, "mule").0, &Outcome::Finished);
    });
}

#[test]
fn the_cap_of_what_is_around_it_holds_too() {
    in_time(|| {
        let gate = Gate::new();
        let outer = short(200).max_extension(ms(200)).build();
        let inner = outer.child("inner"); // inherits it
        let (tokens, token) = bounded::<StopToken>(1);
        let passer = gate.passer();
        let worker = inner.worker().name("greedy".into());
        worker
            .spawn_with(move |stop| {
                stop.wait();
                stop.extend(PLENTY);
                tokens.send(stop).unwrap();
                passer();
            })
            .unwrap();
        let (report, took) = timed(|| outer.shutdown());
        assert!(took >= ms(400) && took < PLENTY / 4, "{took:?}");
        assert_eq!(outcome(&report, "greedy").0, &Outcome::Straggler);
        assert!(token.recv().unwrap().deadline().unwrap() <= Instant::now());
    });
}

#[test]
fn a_child_of_the_token_asks_for_the_worker() {
    in_time(|| {
        let supervisor = short(100).max_extension(PLENTY).build();
        let worker = supervisor.worker().spawn_with(|stop| {
            let child = stop.child().token().child().token();
            stop.wait();
            let helper = std::thread::spawn(move || child.extend(PLENTY / 2));
            assert_eq!(helper.join().unwrap(), stop.deadline());
            std::thread::sleep(ms(300));
        });
        worker.unwrap();
        let report = supervisor.shutdown();
        assert!(report.is_clean(), "{report}");
    });
}

#[test]
fn one_by_one_the_next_has_its_own_time_after_an_extension() {
    in_time(|| {
        let supervisor = short(300)
            .order(Order::OneByOne)
            .max_extension(PLENTY)
            .build();
        let worker = supervisor.worker().name("older".into());
        worker
            .spawn_with(|stop| {
                stop.wait();
                std::thread::sleep(ms(200));
            })
            .unwrap();
        slow(&supervisor, "newer", PLENTY / 2, ms(500));
        let report = supervisor.shutdown();
        assert!(report.is_clean(), "{report}");
    });
}

#[test]
fn before_the_shutdown_and_for_who_is_not_waited_for_nothing_happens() {
    in_time(|| {
        let gate = Gate::new();
        let supervisor = short(200).max_extension(PLENTY).build();
        let passer = gate.passer();
        let (go, gone) = bounded::<()>(0);
        let daemon = supervisor.worker().name("daemon".into()).daemon();
        daemon
            .spawn_with(move |stop| {
                assert_eq!(stop.extend(PLENTY), None);
                go.send(()).unwrap();
                stop.wait();
                stop.extend(PLENTY);
                passer();
            })
            .unwrap();
        gone.recv().unwrap();
        assert_eq!(sundown::StopSource::new().token().extend(PLENTY), None);
        assert_eq!(supervisor.stop_token().extend(PLENTY), None);
        let (report, took) = timed(|| supervisor.shutdown());
        assert!(took < PLENTY / 4, "{took:?}");
        assert_eq!(outcome(&report, "daemon"), (&Outcome::Daemon, None));
    });
}

#[test]
fn one_by_one_nobody_gets_more_time_before_its_turn() {
    in_time(|| {
        let supervisor = short(5000)
            .max_extension(PLENTY)
            .order(Order::OneByOne)
            .build();
        let (told, newer_is_told) = bounded::<()>(0);
        let (asked, older_has_asked) = bounded::<()>(0);
        let older = supervisor.worker().name("older".into());
        older
            .spawn_with(move |stop| {
                newer_is_told.recv().unwrap();
                assert_eq!(stop.extend(PLENTY), None);
                asked.send(()).unwrap();
                stop.wait();
            })
            .unwrap();
        let newer = supervisor.worker().name("newer".into());
        newer
            .spawn_with(move |stop| {
                stop.wait();
                told.send(()).unwrap();
                older_has_asked.recv().unwrap();
            })
            .unwrap();
        let report = supervisor.shutdown();
        assert!(report.is_clean(), "{report}");
        assert_eq!(outcome(&report, "older"), (&Outcome::Finished, None));
    });
}

#[test]
fn an_extension_is_for_who_asked_and_for_who_comes_late() {
    in_time(|| {
        let supervisor = short(5000)
            .max_extension(PLENTY)
            .order(Order::OneByOne)
            .build();
        let (limit, limits) = bounded(2);
        let (got, given) = bounded(1);
        let theirs = limit.clone();
        let older = supervisor.worker().name("older".into());
        older
            .spawn_with(move |stop| {
                stop.wait();
                theirs.send(stop.deadline().unwrap()).unwrap();
            })
            .unwrap();
        let ours = supervisor.clone();
        let newer = supervisor.worker().name("newer".into());
        newer
            .spawn_with(move |stop| {
                stop.wait();
                got.send(stop.extend(PLENTY).unwrap()).unwrap();
                let late = ours.worker().name("late".into());
                let late = late.spawn_with(move |stop| {
                    stop.wait();
                    limit.send(stop.deadline().unwrap()).unwrap();
                });
                late.unwrap().join().unwrap();
            })
            .unwrap();
        assert!(supervisor.shutdown().is_clean());
        let (extended, late, older) = (given.recv(), limits.recv(), limits.recv());
        assert_eq!(late, extended);
        let original = extended.unwrap() - PLENTY + ms(5000);
        assert!(
            older.unwrap() <= original,
            "it got what another had asked for"
        );
    });
}

#[test]
fn one_that_is_given_up_cannot_come_back() {
    in_time(|| {
        let gate = Gate::new();
        let supervisor = Supervisor::builder()
            .deadline(PLENTY)
            .grace(ms(100))
            .build();
        let passer = gate.passer();
        let (tokens, token) = bounded::<StopToken>(1);
        let worker = supervisor.worker().name("mule".into());
        worker
            .spawn_with(move |stop| {
                tokens.send(stop).unwrap();
                passer();
            })
            .unwrap();
        let token = token.recv().unwrap();
        let report = supervisor.shutdown();
        assert_eq!(outcome(&report, "mule"), (&Outcome::Straggler, None));
        let before = token.deadline();
        assert_eq!(token.extend(PLENTY), before);
    });
}

#[test]
fn extensions_can_be_waited_for_and_the_wait_ends_with_the_shutdown() {
    in_time(|| {
        let supervisor = short(100).max_extension(PLENTY).build();
        let watched = supervisor.clone();
        let watcher = std::thread::spawn(move || {
            let mut seen = Vec::new();
            let mut known = Duration::ZERO;
            while let Some(extended) = watched.wait_for_extension(known) {
                assert!(extended > known);
                seen.push(extended);
                known = extended;
            }
            seen
        });
        slow(&supervisor, "slow", Duration::from_secs(10), ms(200));
        let report = supervisor.shutdown();
        let seen = watcher.join().unwrap();
        assert_eq!(seen.last().copied(), outcome(&report, "slow").1);
        // With nobody who asks there is nothing to see, and no hang.
        let quiet = Supervisor::new();
        quiet.shutdown();
        assert_eq!(quiet.wait_for_extension(Duration::ZERO), None);
    });
}

/// Whatever the process ends by, whoever asked is waited for.
#[cfg(unix)]
mod on_every_way_out {
    use std::process::Command;

    use super::support::process::{production, run, start};

    fn scenario(name: &str) -> Command {
        let mut command = Command::new(production());
        command.arg(name);
        command
    }

    #[test]
    fn a_signal() {
        for name in [
            "extends, and main cannot hear",
            "extends in a supervisor of its own",
        ] {
            let mut running = start(&mut scenario(name));
            running.await_line("ready");
            let ended = running.end_by(libc::SIGTERM);
            ended.assert_signal(libc::SIGTERM);
            ended.assert_order(&["extended worker is done"]);
            assert_eq!(ended.err, "", "{name}");
        }
    }

    #[test]
    fn a_return_and_an_exit() {
        for (name, code) in [
            ("extends, and main has left", 0),
            ("extends, and main exits", 3),
            ("one of two supervisors extends, and main exits", 3),
        ] {
            let ended = run(&mut scenario(name));
            ended.assert_code(code);
            ended.assert_order(&["extended worker is done"]);
            if name.starts_with("one of two") {
                ended.assert_order(&["the older one is done"]);
            }
            assert_eq!(ended.err, "", "{name}");
        }
    }

    #[test]
    fn main_itself() {
        for name in ["main extends", "main extends before its turn"] {
            let mut running = start(&mut scenario(name));
            running.await_line("ready");
            let ended = running.end_by(libc::SIGTERM);
            ended.assert_signal(libc::SIGTERM);
            ended.assert_order(&["main is done"]);
            assert_eq!(ended.err, "", "{name}");
        }
    }
}

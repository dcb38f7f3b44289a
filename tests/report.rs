//! The report has the truth about each entry, and an operator reads the stuck and the slow first.

mod support;

use std::time::Duration;

use crossbeam_channel::bounded;
use sundown::diagnose::CallbackState;
use sundown::events::{Event, EventKind};
use sundown::restart::Restart;
use sundown::{
    CallbackFault, Cause, EntryKind, EntryReport, Outcome, ShutdownReport, Supervisor, WorkerId,
};
use support::{timed, Gate, PATIENCE};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn short() -> Supervisor {
    Supervisor::builder().deadline(ms(200)).build()
}

fn obedient(supervisor: &Supervisor, name: &str) -> WorkerId {
    let worker = supervisor.worker().name(name.into());
    worker.spawn_with(|stop| stop.wait()).unwrap().id()
}

fn entry<'a>(report: &'a ShutdownReport, name: &str) -> &'a EntryReport {
    let found = report.entries().iter().find(|e| e.name() == Some(name));
    found.unwrap_or_else(|| panic!("no {name} in {report}"))
}

/// The line of the report's text about this name.
fn line(text: &str, name: &str) -> usize {
    let found = text.lines().position(|line| line.contains(name));
    found.unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// The report without what follows a straggler: where it hangs, indented further.
fn lines_of_entries(text: &str) -> Vec<&str> {
    let lines = text.lines();
    lines.filter(|line| !line.starts_with("      ")).collect()
}

#[test]
fn each_entry_says_who_it_is_and_how_it_went() {
    let supervisor = Supervisor::new();
    let begun_line = line!() + 1;
    let worker = supervisor
        .worker()
        .name("reader".into())
        .on_terminate(|| std::thread::sleep(ms(30)));
    let id = worker.spawn_with(|stop| stop.wait()).unwrap().id();
    let (report, took) = timed(|| supervisor.shutdown());

    let reader = &report.entries()[0];
    assert_eq!(reader.kind(), EntryKind::Worker);
    assert_eq!(reader.id(), id);
    assert_eq!(reader.name(), Some("reader"));
    assert_eq!(
        reader.supervisor(),
        None,
        "it is in none but the one that reports"
    );
    assert_eq!(reader.location().file(), file!());
    assert!(reader.location().line() > begun_line);
    assert_eq!(*reader.outcome(), Outcome::Finished);
    assert!(reader.callback().unwrap() >= ms(30));
    assert_eq!(reader.callback_fault(), None);
    assert!(reader.told() <= report.elapsed());
    assert!(reader.waited() <= report.elapsed());
    assert!(report.elapsed() >= ms(30) && report.elapsed() <= took);
    assert_eq!(*report.cause(), Cause::Requested);
}

#[test]
fn a_worker_with_no_callback_has_no_time_for_it() {
    let supervisor = Supervisor::new();
    obedient(&supervisor, "reader");
    let report = supervisor.shutdown();
    assert_eq!(report.entries()[0].callback(), None);
    assert_eq!(report.entries()[0].callback_fault(), None);
}

#[test]
fn waited_is_counted_from_being_told() {
    let supervisor = Supervisor::new();
    supervisor
        .worker()
        .name("slow".into())
        .spawn_with(|stop| {
            stop.wait();
            std::thread::sleep(ms(200));
        })
        .unwrap();
    supervisor.on_shutdown("before it", || std::thread::sleep(ms(100)));
    let report = supervisor.shutdown();
    let slow = entry(&report, "slow");
    assert!(slow.told() >= ms(100), "{report}");
    assert!(slow.waited() >= ms(200), "{report}");
    assert!(slow.told() + slow.waited() <= report.elapsed(), "{report}");
}

#[test]
fn a_panic_is_told_with_its_message() {
    let supervisor = Supervisor::new();
    let spawn = |name: &str, how: fn()| {
        let worker = supervisor.worker().name(name.into());
        let spawned = worker.spawn_with(move |stop| {
            stop.wait();
            how();
        });
        spawned.unwrap();
    };
    spawn("literal", || panic!("plain"));
    spawn("formatted", || panic!("number {}", std::hint::black_box(7)));
    spawn("other", || std::panic::panic_any(7));
    let report = supervisor.shutdown();
    let outcome = |name| entry(&report, name).outcome().clone();
    assert_eq!(outcome("literal"), Outcome::Panicked("plain".into()));
    assert_eq!(outcome("formatted"), Outcome::Panicked("number 7".into()));
    let other = outcome("other");
    assert!(
        matches!(&other, Outcome::Panicked(text) if text.contains("no string")),
        "{other:?}"
    );
    assert!(!report.is_clean());
    assert!(report.stragglers().is_empty(), "they are not stuck");
    assert!(report.is_complete());
}

#[test]
fn a_daemon_is_left_running_and_nothing_is_wrong_with_that() {
    let gate = Gate::new();
    let supervisor = Supervisor::new();
    let stuck = supervisor.worker().name("running".into()).daemon();
    stuck.spawn(gate.passer()).unwrap();
    let (report, took) = timed(|| supervisor.shutdown());
    assert_eq!(*entry(&report, "running").outcome(), Outcome::Daemon);
    assert!(
        report.is_clean() && report.stragglers().is_empty(),
        "{report}"
    );
    assert!(took < ms(4000), "{took:?}");
}

#[test]
fn a_caller_is_said_to_be_one() {
    let supervisor = Supervisor::new();
    let (reported, reports) = bounded(1);
    let ours = supervisor.clone();
    let worker = supervisor.worker().name("asks".into());
    worker
        .spawn(move || reported.send(ours.shutdown()).unwrap())
        .unwrap();
    let report = reports.recv_timeout(PATIENCE).unwrap();
    assert_eq!(*entry(&report, "asks").outcome(), Outcome::Caller);
    assert!(report.is_clean(), "{report}");
}

#[test]
fn stragglers_are_the_workers_and_the_callbacks_that_are_stuck() {
    let gate = Gate::new();
    let supervisor = short();
    obedient(&supervisor, "good");
    let stuck = supervisor.worker().name("stuck".into());
    stuck.spawn(gate.passer()).unwrap();
    supervisor
        .worker()
        .name("stuck callback".into())
        .on_terminate(gate.passer())
        .spawn_with(|stop| stop.wait())
        .unwrap();
    supervisor.on_shutdown("stuck hook", gate.passer());
    supervisor.on_exit("stuck exit", gate.passer());
    let report = supervisor.shutdown();

    let mut names: Vec<_> = report
        .stragglers()
        .iter()
        .filter_map(|e| e.name())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["stuck", "stuck callback", "stuck exit", "stuck hook"]
    );
    assert!(!report.is_clean());
    assert!(report.is_complete());
    // The worker did as it was told by its token; only its callback hangs.
    let callback = entry(&report, "stuck callback");
    assert_eq!(*callback.outcome(), Outcome::Finished);
    assert_eq!(callback.callback_fault(), Some(&CallbackFault::Hung));
    assert_eq!(callback.callback(), None, "it has not returned");
    assert_eq!(*entry(&report, "stuck hook").outcome(), Outcome::Straggler);
}

#[test]
fn one_fault_of_any_kind_is_enough_not_to_be_clean() {
    let with = |what: fn(&Supervisor)| {
        let supervisor = short();
        what(&supervisor);
        supervisor.shutdown()
    };
    assert!(with(|_| ()).is_clean(), "nothing at all");
    assert!(with(|s| drop(s.on_exit("fine", || ()))).is_clean());
    assert!(!with(|s| drop(s.on_shutdown("broken", || panic!("broken")))).is_clean());
    assert!(!with(|s| drop(s.on_exit("broken", || panic!("broken")))).is_clean());
    assert!(!with(|s| {
        let worker = s.worker().on_terminate(|| panic!("broken"));
        worker.spawn_with(|stop| stop.wait()).unwrap();
    })
    .is_clean());
    assert!(!with(|s| {
        let inner = s.child("tier");
        inner.on_exit("broken inside", || panic!("broken"));
    })
    .is_clean());
}

#[test]
fn every_kind_of_entry_says_what_it_is() {
    let supervisor = Supervisor::new();
    obedient(&supervisor, "worker");
    let (key, lock) = bounded::<()>(0);
    let foreign = std::thread::spawn(move || lock.recv().is_err());
    supervisor.adopt("adopted", foreign, move || drop(key));
    supervisor.on_shutdown("hook", || ());
    supervisor.on_exit("exit", || ());
    let tier = supervisor.child("tier");
    obedient(&tier, "inside");
    let report = supervisor.shutdown();
    let kinds: Vec<_> = report
        .entries()
        .iter()
        .map(|e| (e.name().unwrap(), e.kind()))
        .collect();
    assert_eq!(
        kinds,
        [
            ("tier", EntryKind::Supervisor),
            ("inside", EntryKind::Worker),
            ("hook", EntryKind::OnShutdown),
            ("adopted", EntryKind::Adopted),
            ("worker", EntryKind::Worker),
            ("exit", EntryKind::OnExit),
        ]
    );
    assert!(report.is_clean(), "{report}");
}

#[test]
fn workers_that_ended_before_are_not_in_it() {
    let supervisor = Supervisor::new();
    supervisor.spawn(|| ()).join().unwrap();
    supervisor.spawn(|| panic!("before")).join().unwrap_err();
    obedient(&supervisor, "living");
    let report = supervisor.shutdown();
    assert_eq!(report.entries().len(), 1, "{report}");
    assert!(report.is_clean());
}

#[test]
fn a_clone_is_the_same_report_and_goes_anywhere() {
    fn anywhere<T: Send + Sync + Clone + 'static>(_: &T) {}
    let supervisor = Supervisor::new();
    obedient(&supervisor, "reader");
    let report = supervisor.shutdown();
    anywhere(&report);
    assert!(std::ptr::eq(report.entries(), report.clone().entries()));
    assert!(std::ptr::eq(
        report.entries(),
        supervisor.shutdown().entries()
    ));
}

#[test]
fn the_exit_code_fits_the_cause() {
    let code = |cause: Cause| {
        let supervisor = Supervisor::new();
        supervisor.request_shutdown(cause);
        supervisor.shutdown().exit_code()
    };
    assert_eq!(code(Cause::Requested), 0);
    assert_eq!(code(Cause::Returned), 0);
    assert_eq!(code(Cause::Panicked), 101);
    assert_eq!(code(Cause::Exit(0)), 0);
    assert_eq!(code(Cause::Exit(7)), 7);
    assert_eq!(code(Cause::Exit(-1)), 255); // as the system has it
    assert_eq!(code(Cause::Exit(256 + 7)), 7);
    assert_eq!(code(Cause::Signal(2)), 130);
    assert_eq!(code(Cause::Signal(15)), 143);
    code(Cause::Signal(i32::MAX)); // no such signal; no panic
    code(Cause::Signal(i32::MIN));
}

#[test]
fn the_exit_code_is_one_when_a_critical_worker_failed() {
    let code = |how: fn()| {
        let supervisor = Supervisor::new();
        supervisor.worker().critical().spawn(how).unwrap();
        supervisor.wait_for_shutdown();
        supervisor.shutdown().exit_code()
    };
    assert_eq!(code(|| ()), 0);
    assert_eq!(code(|| panic!("broken")), 1);
}

#[test]
fn a_report_so_far_is_not_complete() {
    let supervisor = Supervisor::new();
    obedient(&supervisor, "not told yet");
    let (seen, sees) = bounded(1);
    let ours = supervisor.clone();
    supervisor.on_shutdown("asks", move || seen.send(ours.shutdown()).unwrap());
    let whole = supervisor.shutdown();
    let so_far = sees.recv_timeout(PATIENCE).unwrap();
    assert!(!so_far.is_complete() && !so_far.is_clean());
    assert!(so_far.to_string().contains("still going on"), "{so_far}");
    let asks = entry(&so_far, "asks");
    assert_eq!(
        *asks.outcome(),
        Outcome::Straggler,
        "it has not returned yet"
    );
    assert_eq!(asks.callback(), None);
    assert!(whole.is_complete() && whole.is_clean());
    assert_eq!(whole.entries().len(), 2);
}

#[test]
fn the_text_has_the_stuck_first_then_the_broken_then_the_slow() {
    let gate = Gate::new();
    let supervisor = Supervisor::builder().deadline(ms(600)).build();
    // Registered so that neither order of registration nor its reverse is the one wanted.
    let slow = |name: &str, time: u64| {
        let worker = supervisor.worker().name(name.into());
        let spawned = worker.spawn_with(move |stop| {
            stop.wait();
            std::thread::sleep(ms(time));
        });
        spawned.unwrap();
    };
    slow("quick", 0);
    let broken = supervisor.worker().name("broken".into());
    broken
        .spawn_with(|stop| {
            stop.wait();
            panic!("out of order");
        })
        .unwrap();
    slow("slowest", 400);
    let stuck = supervisor.worker().name("stuck".into());
    stuck.spawn(gate.passer()).unwrap();
    slow("slow", 200);

    let report = supervisor.shutdown();
    let text = report.to_string();
    let places = ["stuck", "broken", "slowest", "slow (", "quick"]
        .map(|name| line(&lines_of_entries(&text).join("\n"), &format!("  {name}")));
    assert_eq!(places, [1, 2, 3, 4, 5], "{text}");
    assert_eq!(
        lines_of_entries(&text).len(),
        6,
        "a line each, and a summary: {text}"
    );
    let summary = text.lines().next().unwrap();
    for part in ["a request", "1 stuck", "1 panicked", "3 fine"] {
        assert!(summary.contains(part), "{part}: {text}");
    }
    assert!(text.contains("STUCK"), "{text}");
    assert!(text.contains("out of order"), "{text}");
    assert!(text.contains(file!()), "the spawn site: {text}");
}

#[test]
fn one_that_failed_counts_as_failed() {
    let supervisor = Supervisor::new();
    let fails = supervisor.worker().name("failing".into()).critical();
    fails
        .restart(Restart::never())
        .spawn_loop(|_| Err::<(), _>("the disk is full"))
        .unwrap();
    supervisor.wait_for_shutdown();
    let text = supervisor.shutdown().to_string();
    assert!(
        text.lines().next().unwrap().ends_with(": 1 failed"),
        "{text}"
    );
    let failing = text.lines().nth(1).unwrap();
    assert!(failing.starts_with("  FAILED    failing"), "{text}");
}

#[test]
fn one_that_ended_past_its_grace_is_a_straggler_with_a_record() {
    let supervisor = Supervisor::new();
    let mut gate = Gate::new();
    let late = supervisor.worker().name("late".into()).grace(ms(50));
    let late = late.spawn(gate.passer()).unwrap();
    let keeper = supervisor.worker().name("keeper".into());
    keeper
        .spawn_with(move |stop| {
            stop.wait();
            late.join().unwrap();
        })
        .unwrap();
    let events = supervisor.subscribe(64);
    std::thread::scope(|scope| {
        let report = scope.spawn(|| supervisor.shutdown());
        let straggler = |event: &Event| matches!(event.kind, EventKind::Straggler);
        assert!(events.iter().any(|event| straggler(&event)));
        gate.open();
        let report = report.join().unwrap();
        let late = entry(&report, "late");
        assert!(late.is_straggler(), "{report}");
        let record = late.straggler().unwrap_or_else(|| panic!("{report}"));
        assert!(record.thread().is_none(), "its thread is gone: {report}");
        assert!(entry(&report, "keeper").is_clean(), "{report}");
    });
}

/// In hundredths of a second there was nothing to wait for.
#[test]
fn those_that_were_quick_stand_in_the_order_in_which_they_were_told() {
    support::patiently(|| {
        let supervisor = Supervisor::new();
        for (name, time) in [("oldest", 4), ("older", 2), ("newest", 0)] {
            let worker = supervisor.worker().name(name.into());
            worker
                .spawn_with(move |stop| {
                    stop.wait();
                    std::thread::sleep(ms(time));
                })
                .unwrap();
        }
        let report = supervisor.shutdown();
        if report.entries().iter().any(|e| e.waited() >= ms(10)) {
            support::no_time("to end within a hundredth of a second");
        }
        let text = report.to_string();
        let lines = ["newest", "older", "oldest"].map(|name| line(&text, &format!("  {name} (")));
        assert_eq!(lines, [1, 2, 3], "{text}");
    });
}

#[test]
fn a_callback_on_a_worker_s_token_that_hangs_is_in_its_record() {
    let gate = Gate::new();
    let supervisor = Supervisor::builder().deadline(ms(400)).build();
    let worker = supervisor.worker().name("worker".into());
    let pass = gate.passer();
    let (registered, is_registered) = bounded(0);
    worker
        .spawn_with(move |stop| {
            std::mem::forget(stop.on_stop(pass)); // else it may be taken back before it has begun
            registered.send(()).unwrap();
            stop.wait();
        })
        .unwrap();
    is_registered.recv().unwrap();
    let report = supervisor.shutdown();
    let record = entry(&report, "worker").straggler();
    let record = record.unwrap_or_else(|| panic!("{report}"));
    assert_eq!(record.callback(), &CallbackState::Hung, "{report}");
}

#[test]
fn the_text_says_what_is_wrong_with_a_callback() {
    let gate = Gate::new();
    let supervisor = short();
    supervisor
        .worker()
        .name("hangs".into())
        .on_terminate(gate.passer())
        .spawn_with(|stop| stop.wait())
        .unwrap();
    supervisor
        .worker()
        .name("breaks".into())
        .on_terminate(|| panic!("in the callback"))
        .spawn_with(|stop| stop.wait())
        .unwrap();
    let text = supervisor.shutdown().to_string();
    let about = |name: &str| text.lines().nth(line(&text, name)).unwrap();
    assert!(about("hangs").contains("STUCK"), "{text}");
    assert!(about("breaks").contains("in the callback"), "{text}");
}

#[test]
fn one_that_ended_as_it_should_is_finished_in_the_text() {
    let supervisor = Supervisor::new();
    obedient(&supervisor, "good worker");
    supervisor.on_shutdown("good hook", || ());
    supervisor.on_shutdown("broken hook", || panic!("in the hook"));
    let text = supervisor.shutdown().to_string();
    let summary = text.lines().next().unwrap();
    assert!(summary.ends_with(": 1 panicked, 2 fine"), "{text}");
    let about = |name: &str| text.lines().nth(line(&text, name)).unwrap().trim_start();
    assert!(about("good worker").starts_with("finished  "), "{text}");
    assert!(about("good hook").starts_with("finished  "), "{text}");
    assert!(!text.contains("restarts"), "{text}");
    let broken = about("broken hook");
    assert!(broken.starts_with("PANICKED  "), "{text}");
    assert!(
        broken.contains("its callback PANICKED: in the hook"),
        "{text}"
    );
}

#[test]
fn names_and_messages_cannot_drive_a_terminal_or_forge_a_line() {
    let hostile = "evil\u{1b}[2J\n  finished  innocent\r\u{9b}31m\u{202e}\u{7}\u{2028}";
    let supervisor = Supervisor::new();
    let worker = supervisor.worker().name(hostile.into());
    worker
        .spawn_with(move |stop| {
            stop.wait();
            panic!("{hostile}");
        })
        .unwrap();
    supervisor.on_shutdown(hostile, move || panic!("{hostile}"));
    supervisor.on_exit(hostile, || ());
    let inner = supervisor.child(hostile);
    obedient(&inner, hostile);

    let report = supervisor.shutdown();

    let text = report.to_string();
    assert_eq!(text.lines().count(), 1 + report.entries().len(), "{text:?}");
    let driving = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2028}".contains(c);
    assert!(!text.contains(driving), "{text:?}");
    assert!(text.contains("evil"), "the rest of it is there: {text}");
    // Only the text is changed.
    assert!(report.entries().iter().all(|e| e.name() == Some(hostile)));
}

#[test]
fn the_name_in_a_cause_cannot_drive_a_terminal_either() {
    let supervisor = Supervisor::new();
    let worker = supervisor.worker().name("evil\u{1b}[2J\nname".into());
    worker.critical().spawn(|| ()).unwrap();
    let cause = supervisor.wait_for_shutdown().to_string();
    assert!(!cause.contains(char::is_control), "{cause:?}");
    let text = supervisor.shutdown().to_string();
    assert!(!text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn an_empty_report_is_one_line() {
    let supervisor = Supervisor::new();
    supervisor.request_shutdown(Cause::Signal(15));
    let report = supervisor.shutdown();
    let text = report.to_string();
    assert_eq!(text.lines().count(), 1, "{text}");
    if cfg!(unix) {
        assert!(text.contains("SIGTERM"), "{text}");
    }
    assert!(report.entries().is_empty() && report.is_clean());
}

#[test]
fn a_straggler_of_a_child_is_in_the_whole_report() {
    let gate = Gate::new();
    let supervisor = short();
    let tier = supervisor.child("tier");
    let stuck = tier.worker().name("stuck inside".into());
    stuck.spawn(gate.passer()).unwrap();
    let report = supervisor.shutdown();
    let stragglers: Vec<_> = report
        .stragglers()
        .iter()
        .filter_map(|e| e.name())
        .collect();
    assert_eq!(stragglers, ["stuck inside"], "once, and nobody else");
    assert_eq!(entry(&report, "stuck inside").supervisor(), Some("tier"));
    assert_eq!(entry(&report, "tier").supervisor(), None);
    assert!(!report.is_clean());
    assert_eq!(line(&report.to_string(), "stuck inside"), 1, "{report}");
}

#[test]
fn one_that_ends_after_the_report_changes_it_no_more() {
    let mut gate = Gate::new();
    let supervisor = short();
    let worker = supervisor.worker().name("late".into());
    let worker = worker.spawn(gate.passer()).unwrap();
    let report = supervisor.shutdown();
    gate.open();
    worker.join().unwrap();
    assert_eq!(*entry(&report, "late").outcome(), Outcome::Straggler);
    let again = supervisor.shutdown();
    assert_eq!(*entry(&again, "late").outcome(), Outcome::Straggler);
}

#[test]
fn a_worker_may_leave_a_note_of_which_the_last_counts() {
    let supervisor = short();
    let worker = supervisor.worker().name("copier".into());
    let _copier = worker.spawn_with(|stop| {
        sundown::note("has begun");
        stop.wait();
        sundown::note("copied 3 of 5 files");
    });
    obedient(&supervisor, "silent");
    sundown::note("from a thread that is no worker"); // does nothing
    let report = supervisor.shutdown();
    assert!(report.is_clean(), "{report}");
    assert_eq!(entry(&report, "copier").note(), Some("copied 3 of 5 files"));
    assert_eq!(entry(&report, "silent").note(), None);
    assert!(
        report.to_string().contains("; copied 3 of 5 files"),
        "{report}"
    );
}

#[test]
fn a_fault_that_a_worker_notes_makes_the_report_unclean() {
    let supervisor = short();
    let worker = supervisor.worker().name("copier".into());
    let _copier = worker.spawn_with(|stop| {
        stop.wait();
        sundown::note_fault("the disk is\nfull");
    });
    let report = supervisor.shutdown();
    assert!(
        !report.is_clean() && report.stragglers().is_empty(),
        "{report}"
    );
    assert_eq!(*entry(&report, "copier").outcome(), Outcome::Finished);
    let text = report.to_string();
    assert!(text.contains("1 failed"), "{text}");
    assert!(
        text.contains("FAILED    copier") && text.contains("; the disk is\u{fffd}full"),
        "{text}"
    );
}

#[test]
fn a_straggler_with_a_grace_is_reported_as_waited_for_until_that_was_over() {
    let gate = Gate::new();
    let supervisor = Supervisor::new();
    supervisor.on_exit("slow", || std::thread::sleep(ms(50)));
    let stuck = supervisor.worker().name("stuck".into()).grace(ms(30));
    stuck.spawn(gate.passer()).unwrap();
    let report = supervisor.shutdown();
    // Not until the report was made, after the hook.
    assert_eq!(entry(&report, "stuck").waited(), ms(30), "{report}");
}

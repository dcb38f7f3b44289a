//! Everything is told to stop newest first, tier by tier, and a fault in one callback keeps no other from running.

mod support;

use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use crossbeam_channel::bounded;
use sundown::thread::JoinHandle;
use sundown::{CallbackFault, EntryKind, Order, Outcome, Supervisor};
use support::{in_time, timed, Gate, Journal};

/// A worker that notes when it is told, and that it is over only a while later: so that whoever does not wait for it is
/// caught.
fn slow_to_leave(supervisor: &Supervisor, name: &str, journal: &Journal) -> JoinHandle<()> {
    let (notes, me) = (journal.clone(), name.to_owned());
    let note_told = journal.noter(format!("told {name}"));
    // Not by its token, which trips before the callback runs.
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    supervisor
        .worker()
        .name(name.into())
        .on_terminate(move || {
            note_told();
            drop(stop);
        })
        .spawn(move || {
            let _ = stopped.recv(); // nothing is sent: the sender is dropped
            std::thread::sleep(Duration::from_millis(50));
            notes.note(format!("over {me}"));
        })
        .unwrap()
}

fn names(report: &sundown::ShutdownReport) -> Vec<&str> {
    report.entries().iter().filter_map(|e| e.name()).collect()
}

#[test]
fn callbacks_run_in_exact_reverse_order_of_registration() {
    let supervisor = Supervisor::new();
    let journal = Journal::new();
    let registered = ["delta", "alpha", "echo", "bravo", "charlie"];
    for name in registered {
        supervisor
            .worker()
            .name(name.into())
            .on_terminate(journal.noter(name))
            .spawn_with(|stop| stop.wait())
            .unwrap();
    }
    let report = supervisor.shutdown();
    let mut reversed = registered;
    reversed.reverse();
    assert_eq!(journal.lines(), reversed);
    assert_eq!(names(&report), reversed, "entries stand as they were told");
    assert!(report.is_clean(), "{report}");
}

#[test]
fn numbers_grow_with_registration_whatever_is_registered() {
    let supervisor = Supervisor::new();
    let worker = supervisor.spawn(|| ());
    let hook = supervisor.on_shutdown("hook", || ());
    let at_exit = supervisor.on_exit("exit", || ());
    let last = supervisor.spawn(|| ());
    let ids = [worker.id(), hook.id(), at_exit.id(), last.id()];
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
    supervisor.shutdown();
}

#[test]
fn a_child_is_gone_before_anything_older_is_told() {
    let journal = Journal::new();
    let supervisor = Supervisor::new();
    slow_to_leave(&supervisor, "A", &journal);
    let child = supervisor.child("tier");
    slow_to_leave(&child, "C", &journal);
    slow_to_leave(&child, "D", &journal);
    slow_to_leave(&supervisor, "B", &journal);

    let report = supervisor.shutdown();

    let told = journal.starting("told ");
    assert_eq!(told, ["told B", "told D", "told C", "told A"]);
    let a = journal.position("told A");
    assert!(journal.position("over C") < a, "{:?}", journal.lines());
    assert!(journal.position("over D") < a, "{:?}", journal.lines());
    assert_eq!(names(&report), ["B", "tier", "D", "C", "A"]);
    assert!(report.is_clean(), "{report}");
}

#[test]
fn tiers_nest_to_any_depth() {
    let journal = Journal::new();
    let root = Supervisor::new();
    slow_to_leave(&root, "0", &journal);
    let mut tiers = vec![root.clone()];
    for depth in 1..5 {
        let tier = tiers[depth - 1].child(format!("tier {depth}"));
        slow_to_leave(&tier, &depth.to_string(), &journal);
        tiers.push(tier);
    }
    let report = root.shutdown();
    assert_eq!(
        journal.lines(),
        [
            "told 4", "over 4", "told 3", "over 3", "told 2", "over 2", "told 1", "over 1",
            "told 0", "over 0"
        ]
    );
    assert!(report.is_clean(), "{report}");
}

#[test]
fn the_exit_hooks_of_a_child_run_in_its_turn() {
    let journal = Journal::new();
    let supervisor = Supervisor::new();
    supervisor.on_exit("outer", journal.noter("exit outer"));
    slow_to_leave(&supervisor, "old", &journal);
    let child = supervisor.child("tier");
    child.on_exit("inner", journal.noter("exit inner"));
    slow_to_leave(&child, "inside", &journal);
    supervisor.shutdown();
    assert_eq!(
        journal.lines(),
        [
            "told inside",
            "over inside",
            "exit inner",
            "told old",
            "over old",
            "exit outer"
        ]
    );
}

#[test]
fn a_child_that_was_shut_down_before_is_not_told_again() {
    let journal = Journal::new();
    let supervisor = Supervisor::new();
    let child = supervisor.child("tier");
    slow_to_leave(&child, "inside", &journal);
    slow_to_leave(&supervisor, "outside", &journal);
    assert!(child.shutdown().is_clean());
    assert_eq!(journal.lines(), ["told inside", "over inside"]);
    assert!(!supervisor.is_shutting_down(), "the parent goes on");
    assert!(supervisor.shutdown().is_clean());
    assert_eq!(
        journal.lines(),
        ["told inside", "over inside", "told outside", "over outside"]
    );
}

#[test]
fn one_by_one_each_is_joined_before_the_next_is_told() {
    let journal = Journal::new();
    let supervisor = Supervisor::builder().order(Order::OneByOne).build();
    for name in ["A", "B", "C"] {
        slow_to_leave(&supervisor, name, &journal);
    }
    let report = supervisor.shutdown();
    assert_eq!(
        journal.lines(),
        ["told C", "over C", "told B", "over B", "told A", "over A"]
    );
    assert_eq!(names(&report), ["C", "B", "A"]);
    assert!(report.is_clean(), "{report}");
}

#[test]
fn one_by_one_also_waits_for_those_with_nothing_but_a_token() {
    let journal = Journal::new();
    let supervisor = Supervisor::builder().order(Order::OneByOne).build();
    for name in ["A", "B", "C"] {
        let notes = journal.clone();
        supervisor
            .worker()
            .name(name.into())
            .spawn_with(move |stop| {
                stop.wait();
                notes.note(format!("told {name}"));
                std::thread::sleep(Duration::from_millis(30));
                notes.note(format!("over {name}"));
            })
            .unwrap();
    }
    assert!(supervisor.shutdown().is_clean());
    assert_eq!(
        journal.lines(),
        ["told C", "over C", "told B", "over B", "told A", "over A"]
    );
}

/// Else the one that is waited for would wait for it until the deadline.
#[test]
fn one_by_one_who_comes_late_is_told_at_once() {
    let supervisor = Supervisor::builder().order(Order::OneByOne).build();
    let home = supervisor.clone();
    let worker = supervisor.worker().name("cleans up".into());
    let job = move |stop: sundown::StopToken| {
        stop.wait();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let late = home.worker().name("late".into());
        let late = late.on_terminate(move || drop(end));
        late.spawn(move || ended.recv()).unwrap().join().unwrap()
    };
    let worker = worker.spawn_with(job).unwrap();
    let (report, took) = timed(|| supervisor.shutdown());
    assert!(report.is_clean(), "{report}");
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert!(
        worker.join().unwrap().is_err(),
        "its channel has no sender any more"
    );
}

#[test]
fn one_by_one_goes_on_past_a_straggler_and_a_daemon() {
    let journal = Journal::new();
    let gate = Gate::new();
    let supervisor = Supervisor::builder().order(Order::OneByOne).build();
    slow_to_leave(&supervisor, "oldest", &journal);
    supervisor
        .worker()
        .name("stuck".into())
        .grace(Duration::from_millis(50))
        .on_terminate(journal.noter("told stuck"))
        .spawn(gate.passer())
        .unwrap();
    supervisor
        .worker()
        .name("daemon".into())
        .daemon()
        .on_terminate(journal.noter("told daemon"))
        .spawn(gate.passer())
        .unwrap();
    let report = supervisor.shutdown();
    assert_eq!(
        journal.lines(),
        ["told daemon", "told stuck", "told oldest", "over oldest"]
    );
    let outcomes: Vec<_> = report.entries().iter().map(|e| e.outcome()).collect();
    assert_eq!(
        outcomes,
        [&Outcome::Daemon, &Outcome::Straggler, &Outcome::Finished]
    );
}

#[test]
fn a_child_takes_its_turn_one_by_one_too() {
    let journal = Journal::new();
    let supervisor = Supervisor::builder().order(Order::OneByOne).build();
    slow_to_leave(&supervisor, "A", &journal);
    let child = supervisor.child("tier");
    slow_to_leave(&child, "C", &journal);
    slow_to_leave(&child, "D", &journal);
    slow_to_leave(&supervisor, "B", &journal);
    assert!(supervisor.shutdown().is_clean());
    assert_eq!(
        journal.lines(),
        ["told B", "over B", "told D", "over D", "told C", "over C", "told A", "over A"],
        "the child inherits the order"
    );
}

#[test]
fn shutdown_hooks_run_in_their_turn_and_exit_hooks_after_the_joins() {
    let journal = Journal::new();
    let supervisor = Supervisor::new();
    supervisor.on_exit("exit 1", journal.noter("exit 1"));
    supervisor.on_shutdown("hook 1", journal.noter("hook 1"));
    slow_to_leave(&supervisor, "A", &journal);
    supervisor.on_shutdown("hook 2", journal.noter("hook 2"));
    supervisor.on_exit("exit 2", journal.noter("exit 2"));
    let report = supervisor.shutdown();
    assert_eq!(
        journal.lines(),
        ["hook 2", "told A", "hook 1", "over A", "exit 2", "exit 1"]
    );
    assert_eq!(
        names(&report),
        ["hook 2", "A", "hook 1", "exit 2", "exit 1"]
    );
    let kinds: Vec<_> = report.entries().iter().map(|e| e.kind()).collect();
    assert_eq!(
        kinds,
        [
            EntryKind::OnShutdown,
            EntryKind::Worker,
            EntryKind::OnShutdown,
            EntryKind::OnExit,
            EntryKind::OnExit
        ]
    );
    assert!(report.is_clean(), "{report}");
}

#[test]
fn exit_hooks_run_although_there_are_stragglers() {
    let journal = Journal::new();
    let gate = Gate::new();
    let supervisor = Supervisor::builder()
        .deadline(Duration::from_millis(100))
        .build();
    supervisor.on_exit("first", journal.noter("first"));
    supervisor.on_exit("second", journal.noter("second"));
    supervisor.spawn(gate.passer());
    let report = supervisor.shutdown();
    assert_eq!(journal.lines(), ["second", "first"]);
    assert_eq!(report.stragglers().len(), 1, "{report}");
}

#[test]
fn callbacks_that_panic_or_hang_keep_no_other_from_running() {
    drop(logs().lock().unwrap()); // the logger is there before anything is said
    let journal = Journal::new();
    let gate = Gate::new();
    let supervisor = Supervisor::builder()
        .deadline(Duration::from_secs(2))
        .build();
    let spawn = |name: &str, fault: Box<dyn FnOnce() + Send>| {
        let notes = journal.clone();
        let me = name.to_owned();
        supervisor
            .worker()
            .name(name.into())
            .on_terminate(move || {
                notes.note(me);
                fault();
            })
            .spawn_with(|stop| stop.wait())
            .unwrap()
    };
    spawn("faults-1", Box::new(|| ()));
    spawn("faults-2", Box::new(|| panic!("second is broken")));
    spawn("faults-3", Box::new(|| ()));
    spawn("faults-4", Box::new(gate.passer()));
    spawn("faults-5", Box::new(|| ()));
    spawn(
        "faults-6",
        Box::new(|| std::panic::panic_any(String::from("sixth is broken"))),
    );
    spawn("faults-7", Box::new(|| ()));

    let report = supervisor.shutdown();

    let all = [
        "faults-7", "faults-6", "faults-5", "faults-4", "faults-3", "faults-2", "faults-1",
    ];
    assert_eq!(journal.lines(), all);
    let faults: Vec<_> = report
        .entries()
        .iter()
        .filter_map(|e| Some((e.name()?, e.callback_fault()?.clone())))
        .collect();
    assert_eq!(
        faults,
        [
            (
                "faults-6",
                CallbackFault::Panicked("sixth is broken".into())
            ),
            ("faults-4", CallbackFault::Hung),
            (
                "faults-2",
                CallbackFault::Panicked("second is broken".into())
            ),
        ]
    );
    // The workers themselves have done nothing wrong.
    assert!(report
        .entries()
        .iter()
        .all(|e| *e.outcome() == Outcome::Finished));
    assert!(!report.is_clean());
    assert_eq!(report.stragglers().len(), 1, "the callback that hangs");

    let logged = logs().lock().unwrap().clone();
    for (name, what) in [
        ("faults-2", "second is broken"),
        ("faults-4", "does not return"),
        ("faults-6", "sixth is broken"),
    ] {
        assert!(
            logged
                .iter()
                .any(|line| line.contains(name) && line.contains(what)),
            "{name}: {what} is not in {logged:#?}"
        );
    }
}

#[test]
fn a_callback_on_the_supervisor_s_own_token_that_hangs_leaves_the_others_to_run() {
    in_time(|| {
        let (gate, journal) = (Gate::new(), Journal::new());
        let supervisor = Supervisor::builder()
            .deadline(Duration::from_secs(1))
            .build();
        let worker = supervisor.worker().on_terminate(journal.noter("worker"));
        worker.spawn_with(|stop| stop.wait()).unwrap();
        let token = supervisor.stop_token();
        let _older = token.on_stop(journal.noter("older"));
        let hangs = token.on_stop(gate.passer());
        let _newer = token.on_stop(journal.noter("newer"));
        let report = supervisor.shutdown();
        assert!(report.is_clean(), "{report}");
        assert_eq!(journal.lines(), ["newer", "older", "worker"]);
        drop(gate);
        drop(hangs); // which waits for it
    });
}

#[test]
fn a_hook_that_hangs_or_panics_keeps_no_other_from_running() {
    let journal = Journal::new();
    let gate = Gate::new();
    let supervisor = Supervisor::builder()
        .deadline(Duration::from_secs(1))
        .build();
    supervisor.on_exit("exit 1", journal.noter("exit 1"));
    supervisor.on_exit("exit hangs", gate.passer());
    supervisor.on_exit("exit panics", || panic!("broken"));
    supervisor.on_shutdown("hook 1", journal.noter("hook 1"));
    supervisor.on_shutdown("hook hangs", gate.passer());
    supervisor.on_shutdown("hook panics", || panic!("broken"));
    let report = supervisor.shutdown();
    assert_eq!(journal.lines(), ["hook 1", "exit 1"]);
    let outcome = |name: &str| {
        let mut entries = report.entries().iter();
        entries
            .find(|e| e.name() == Some(name))
            .unwrap()
            .outcome()
            .clone()
    };
    assert_eq!(outcome("hook hangs"), Outcome::Straggler);
    assert_eq!(outcome("exit hangs"), Outcome::Straggler);
    assert_eq!(outcome("hook panics"), Outcome::Panicked("broken".into()));
    assert_eq!(outcome("exit panics"), Outcome::Panicked("broken".into()));
    assert_eq!(outcome("hook 1"), Outcome::Finished);
    assert!(report.is_complete());
}

#[test]
fn an_entry_is_told_only_after_the_callback_of_a_newer_one_has_returned() {
    let journal = Journal::new();
    let supervisor = Supervisor::new();
    let (running, is_running) = bounded(0);
    let (go_on, may_go_on) = bounded::<()>(0);
    supervisor
        .worker()
        .on_terminate(journal.noter("older"))
        .spawn_with(|stop| stop.wait())
        .unwrap();
    let notes = journal.clone();
    supervisor.on_shutdown("newer", move || {
        running.send(()).unwrap();
        may_go_on.recv().unwrap();
        notes.note("newer");
    });
    let stopping = supervisor.clone();
    let stopper = std::thread::spawn(move || stopping.shutdown());
    is_running.recv().unwrap();
    assert!(journal.lines().is_empty());
    go_on.send(()).unwrap();
    assert!(in_time(move || stopper.join().unwrap()).is_clean());
    assert_eq!(journal.lines(), ["newer", "older"]);
}

/// What was logged in this process, by whichever test.
fn logs() -> &'static Mutex<Vec<String>> {
    struct Collect;
    impl log::Log for Collect {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            let line = format!("{} {}", record.target(), record.args());
            LINES.get().unwrap().lock().unwrap().push(line);
        }
        fn flush(&self) {}
    }
    static LINES: OnceLock<Mutex<Vec<String>>> = OnceLock::new();
    LINES.get_or_init(|| {
        log::set_logger(&Collect).expect("the only logger of this program");
        log::set_max_level(log::LevelFilter::Info);
        Mutex::new(Vec::new())
    })
}

//! What each public function makes of input that nobody should give it: an error, or a meaning that is stated here.
//!
//! | input | to | what it gets |
//! |---|---|---|
//! | a name that is empty, huge, or drives a terminal | workers, hooks, supervisors, adopted threads | kept as it is; made harmless where it is shown |
//! | a name with NUL | a worker | std's panic, and nothing is left behind |
//! | a name with NUL | a hook, a supervisor, an adopted thread | kept: it is ours alone |
//! | a deadline, grace or limit of zero | supervisor, worker, `join_timeout`, token | over at once: told, not waited for |
//! | a deadline, grace or limit of `Duration::MAX` | the same | none at all |
//! | a stack of zero or of all the memory there is | a worker | the system's least; an error |
//! | an adopted thread that is over, or that adopts itself | `adopt` | joined at once; a worker like any other, left out where it asks |
//! | a child of a child, however deep; a parent as its own child's child | `child` | a deeper tier; there is no way to say it: `child` makes a new one |
//! | a handle, hook, token or report of another supervisor | whatever takes one | acts on its own supervisor, never on this |
//! | anything, once the supervisor is closed | all | an error or a handle that does nothing, never a hang |
//! | an exit code or signal number that does not exist | `Cause` | shown as it is; the low eight bits, 128 and at most 255 |
//!
//! Spawning with a NUL (`drop_in.rs`), a limit of zero and of all time (`time.rs`, `time_limits.rs`, `tokens.rs`) and names that drive a
//! terminal (`report.rs`) have tests of their own there; here is the rest.

mod support;

use std::panic::catch_unwind;
use std::sync::mpsc;
use std::time::Duration;

use sundown::thread::{self, Builder};
use sundown::{terminate, Cause, Outcome, StopSource, Supervisor, Terminate};
use support::{in_time, timed, Gate, Journal};

const HUGE: usize = 1 << 20;

/// Names that somebody gives by mistake, or on purpose. Without NUL, which threads cannot have.
fn names() -> Vec<String> {
    vec![
        String::new(),
        " ".into(),
        "\n\n\n".into(),
        "\u{1b}[2J\u{1b}]0;owned\u{7}".into(),
        "\u{202e}reversed".into(),
        "worker, finished (worker #1)".into(),
        "{}{:?}{0}%s%n".into(),
        "../../etc/passwd".into(),
        "\u{10ffff}\u{fffd}".into(),
        "x".repeat(HUGE),
        "\u{1f980}".repeat(HUGE / 4),
    ]
}

/// In the text nothing is left that could forge a line or drive a terminal.
fn assert_harmless(text: &str, lines: usize) {
    assert_eq!(text.lines().count(), lines, "{} bytes", text.len());
    let hostile = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!text.contains(hostile), "a control character");
}

// ---- names

#[test]
fn whatever_a_worker_is_called_it_works_and_is_shown_without_harm() {
    for name in names() {
        let supervisor = Supervisor::new();
        let worker = supervisor.worker().name(name.clone());
        let worker = worker.spawn_with(|stop| stop.wait()).unwrap();
        assert_eq!(worker.thread().name(), Some(name.as_str()));
        assert_eq!(supervisor.workers()[0].name.as_ref(), Some(&name));
        let report = supervisor.shutdown();
        assert!(report.is_clean());
        assert_eq!(report.entries()[0].name(), Some(name.as_str()));
        assert_harmless(&report.to_string(), 2);
        worker.join().unwrap();
    }
}

#[test]
fn whatever_hooks_and_supervisors_are_called_they_work_and_are_shown_without_harm() {
    for name in names().into_iter().chain(["nul \0 here".to_owned()]) {
        let journal = Journal::new();
        let supervisor = Supervisor::builder().name(name.clone()).build();
        assert_eq!(supervisor.name(), Some(name.as_str()));
        let child = supervisor.child(name.clone());
        assert_eq!(child.name(), Some(name.as_str()));
        let hook = child.on_shutdown(name.clone(), journal.noter("hook"));
        assert_eq!(hook.name(), name);
        supervisor.on_exit(name.clone(), journal.noter("exit"));
        // One that a worker's report shows as its supervisor.
        drop(child.spawn(|| sundown::stop_token().wait()));
        let report = supervisor.shutdown();
        assert_eq!(journal.lines(), ["hook", "exit"]);
        assert_eq!(report.entries().len(), 4);
        assert_harmless(&report.to_string(), 5);
    }
}

#[test]
fn a_thread_may_be_adopted_under_any_name() {
    for name in names().into_iter().chain(["nul \0 here".to_owned()]) {
        let supervisor = Supervisor::new();
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || stopped.recv().is_err());
        let thread = supervisor.adopt(name.clone(), thread, stop);
        let report = supervisor.shutdown();
        assert!(report.is_clean());
        assert_eq!(report.entries()[0].name(), Some(name.as_str()));
        assert_harmless(&report.to_string(), 2);
        thread.join().unwrap();
    }
}

#[test]
fn a_thousand_of_one_name_are_a_thousand() {
    let supervisor = Supervisor::new();
    let hooks: Vec<_> = (0..1000)
        .map(|_| supervisor.on_exit("same", || ()))
        .collect();
    assert!(hooks[500].clone().remove());
    let report = supervisor.shutdown();
    assert_eq!(report.entries().len(), 999);
    let taken_back = |entry: &sundown::EntryReport| entry.id() == hooks[500].id();
    assert!(!report.entries().iter().any(taken_back));
}

// ---- sizes and durations

#[test]
fn a_stack_of_nothing_is_the_least_there_is() {
    let supervisor = Supervisor::new();
    let worker = supervisor.worker().stack_size(0).spawn(|| 7).unwrap();
    assert_eq!(worker.join().unwrap(), 7);
}

#[test]
fn a_stack_of_all_the_memory_there_is_is_an_error_and_leaves_nothing_behind() {
    let supervisor = Supervisor::new();
    for size in [usize::MAX / 2, isize::MAX as usize - HUGE] {
        let refused = supervisor.worker().stack_size(size).spawn(|| ());
        assert!(refused.is_err(), "{refused:?}");
    }
    assert!(supervisor.workers().is_empty());
    assert!(supervisor.shutdown().entries().is_empty());
}

#[test]
fn zero_is_over_at_once_and_all_is_told() {
    let mut gate = Gate::new();
    let supervisor = Supervisor::builder()
        .deadline(Duration::ZERO)
        .grace(Duration::ZERO)
        .build();
    let child = supervisor.child("child");
    let (told, is_told) = mpsc::channel();
    let tells = |what| {
        let told = told.clone();
        move || told.send(what).unwrap()
    };
    child.on_exit("exit", tells("exit"));
    let worker = child
        .worker()
        .grace(Duration::ZERO)
        .on_terminate(tells("told"));
    let worker = worker.spawn(gate.passer()).unwrap();
    let (report, took) = in_time(move || timed(|| supervisor.shutdown()));
    // Each gets a moment, and on a busy machine may be done a little later.
    let (first, second) = in_time(move || (is_told.recv().unwrap(), is_told.recv().unwrap()));
    assert!([first, second].contains(&"told") && [first, second].contains(&"exit"));
    assert!(!report.stragglers().is_empty(), "{report}");
    assert!(took < Duration::from_secs(4), "{took:?}");
    let worker = worker.join_timeout(Duration::ZERO).unwrap_err();
    gate.open();
    worker.join().unwrap();
}

/// Where a point in time is made of a duration, this would be past all that a clock can hold.
#[test]
fn for_ever_is_no_limit_anywhere() {
    let supervisor = Supervisor::builder()
        .deadline(Duration::MAX)
        .grace(Duration::MAX)
        .build();
    let child = supervisor.child("child");
    let journal = Journal::new();
    child.on_exit("exit", journal.noter("exit"));
    child.on_shutdown("hook", journal.noter("hook"));
    let worker = child
        .worker()
        .grace(Duration::MAX)
        .time_limit(Duration::MAX);
    let worker = worker
        .on_terminate(journal.noter("told"))
        .spawn_with(|stop| {
            assert!(stop.wait_timeout(Duration::MAX));
            assert!(stop.sleep(Duration::MAX).is_err());
            assert_eq!(stop.deadline(), None);
            let late = stop.child_with_timeout(Duration::MAX);
            assert!(late.is_stopped(), "with its parent");
        });
    let worker = worker.unwrap();
    let report = in_time(move || supervisor.shutdown());
    assert!(report.is_clean(), "{report}");
    assert_eq!(
        journal.lines(),
        ["told", "hook", "exit"].map(str::to_owned).to_vec()
    );
    worker.join_timeout(Duration::MAX).unwrap().unwrap();
}

// ---- who belongs to whom

#[test]
fn a_thread_that_adopts_itself_is_a_worker_like_any_other() {
    let supervisor = Supervisor::new();
    let (give, given) = mpsc::channel::<std::thread::JoinHandle<()>>();
    let (adopted, is_adopted) = mpsc::channel();
    let ours = supervisor.clone();
    let thread = std::thread::spawn(move || {
        let itself = given.recv().unwrap();
        let (stop, stopped) = mpsc::channel::<()>();
        let handle = ours.adopt("itself", itself, stop);
        let handle = handle.join_timeout(Duration::from_secs(60));
        let handle = handle.expect_err("it would wait for itself");
        assert!(catch_unwind(std::panic::AssertUnwindSafe(|| handle.join())).is_err());
        adopted.send(()).unwrap();
        let _ = stopped.recv(); // until it is told
    });
    give.send(thread).unwrap();
    in_time(move || is_adopted.recv().unwrap());
    let report = in_time(move || supervisor.shutdown());
    assert!(report.is_clean() && report.entries().len() == 1, "{report}");
}

#[test]
fn a_thread_that_is_over_may_be_adopted() {
    let supervisor = Supervisor::new();
    let thread = std::thread::spawn(|| 7);
    while !thread.is_finished() {
        std::thread::yield_now();
    }
    let thread = supervisor.adopt("over", thread, || panic!("nobody is told"));
    assert_eq!(in_time(move || thread.join()).unwrap(), 7);
    assert!(supervisor.shutdown().entries().is_empty());
}

#[test]
fn a_child_s_child_is_a_deeper_tier_however_deep() {
    let root = Supervisor::new();
    let journal = Journal::new();
    let mut tiers = vec![root.clone()];
    for depth in 0..200 {
        let tier = tiers[depth].child("tier");
        tier.on_shutdown("hook", journal.noter(depth.to_string()));
        tiers.push(tier);
    }
    let report = in_time(move || root.shutdown());
    assert!(report.is_clean());
    assert_eq!(report.entries().len(), 400);
    let newest_first: Vec<String> = (0..200).rev().map(|depth| depth.to_string()).collect();
    let mut lines = journal.lines();
    // A tier is told before the hook that is older than it; the hook of each is older than the tier in it.
    lines.sort_by_key(|line| std::cmp::Reverse(line.parse::<u32>().unwrap()));
    assert_eq!(lines, newest_first);
    assert_eq!(journal.lines(), newest_first, "the deepest first");
}

#[test]
fn the_handle_of_another_supervisor_s_worker_is_that_one_s() {
    let (one, other) = (Supervisor::new(), Supervisor::new());
    let theirs = other.worker().spawn_with(|stop| stop.wait()).unwrap();
    let hook = other.on_exit("theirs", || ());
    let token = other.stop_token();
    // On a worker of the one: what it holds still belongs to the other.
    let worker = one.spawn(move || {
        assert!(hook.clone().remove() && !hook.remove());
        theirs.terminate();
        theirs.join().unwrap();
        assert!(!token.is_stopped());
        assert_eq!(sundown::workers().len(), 1, "its own");
    });
    worker.join().unwrap();
    assert!(one.shutdown().is_clean());
    assert!(!other.is_shutting_down());
    assert!(other.shutdown().entries().is_empty());
}

// ---- afterwards

#[test]
fn a_closed_supervisor_answers_everything() {
    let supervisor = Supervisor::builder().name("closed").build();
    let report = supervisor.shutdown();
    assert!(supervisor.is_shutting_down() && supervisor.stop_token().is_stopped());
    assert!(!supervisor.request_shutdown(Cause::Exit(9)));
    assert_eq!(supervisor.wait_for_shutdown(), Cause::Requested);
    assert_eq!(
        supervisor.shutdown().elapsed(),
        report.elapsed(),
        "the same"
    );
    assert!(supervisor.workers().is_empty());
    assert!(supervisor.worker().spawn(|| ()).is_err());
    assert!(
        catch_unwind(|| supervisor.spawn(|| ())).is_err(),
        "as std's spawn"
    );
    let child = supervisor.child("late");
    assert!(child.is_shutting_down() && child.worker().spawn(|| ()).is_err());
    for hook in [
        supervisor.on_shutdown("late", || panic!("it runs")),
        supervisor.on_exit("late", || panic!("it runs")),
        child.on_exit("late", || panic!("it runs")),
    ] {
        assert!(!hook.remove());
    }
    // An adopted thread cannot be refused quietly: it is detached, and goes on.
    let (done, is_done) = mpsc::channel();
    let thread = std::thread::spawn(move || done.send(()).unwrap());
    let adopt = std::panic::AssertUnwindSafe(|| supervisor.adopt("late", thread, || ()));
    assert!(catch_unwind(adopt).is_err());
    in_time(move || is_done.recv().unwrap());
}

#[test]
fn a_scoped_spawn_is_refused_once_the_supervisor_is_closed() {
    let supervisor = Supervisor::new();
    let (go, gone) = mpsc::channel::<()>();
    let ours = supervisor.clone();
    // A worker that goes on when its supervisor is closed: it asked for the shutdown itself.
    let worker = supervisor.spawn(move || {
        gone.recv().unwrap();
        ours.shutdown();
        thread::scope(|scope| Builder::new().spawn_scoped(scope, || ()).is_err())
    });
    go.send(()).unwrap();
    assert!(in_time(move || worker.join()).unwrap());
}

// ---- causes

#[test]
fn numbers_that_do_not_exist_are_shown_as_they_are() {
    for (cause, text, code) in [
        (Cause::Exit(i32::MAX), "exit(2147483647)", 255),
        (Cause::Exit(i32::MIN), "exit(-2147483648)", 0),
        (Cause::Exit(-1), "exit(-1)", 255),
        (Cause::Signal(0), "signal 0", 128),
        (Cause::Signal(-7), "signal -7", 121),
        (Cause::Signal(i32::MAX), "signal 2147483647", 255),
        (Cause::Signal(i32::MIN), "signal -2147483648", 0),
    ] {
        let supervisor = Supervisor::new();
        assert!(supervisor.request_shutdown(cause.clone()));
        let report = supervisor.shutdown();
        assert_eq!(*report.cause(), cause);
        assert_eq!(report.exit_code(), code, "{cause:?}");
        let said = format!("shutdown after {text} took ");
        assert!(report.to_string().starts_with(&said), "{report}");
    }
}

// ---- callbacks

/// A value that panics when it is dropped.
struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("planned: dropped");
        }
    }
}

#[test]
fn payloads_and_captures_that_panic_when_they_are_dropped_harm_nobody() {
    let supervisor = Supervisor::new();
    let payload = || std::panic::panic_any(PanicsOnDrop);
    supervisor.on_exit("payload", payload);
    supervisor.on_shutdown("payload", payload);
    let taken_back = PanicsOnDrop;
    let hook = supervisor.on_exit("capture", move || drop(taken_back));
    assert!(hook.remove());
    let (never_told, told) = (PanicsOnDrop, PanicsOnDrop);
    let worker = supervisor.worker().on_terminate(move || drop(never_told));
    worker.spawn(|| ()).unwrap().join().unwrap();
    let worker = supervisor.worker().on_terminate(move || {
        let _dropped_at_the_end = told;
    });
    drop(worker.spawn_with(|stop| stop.wait()).unwrap());
    // Nobody joins these, whose handles are gone when they end: the payload and the value are the library's to drop.
    let gate = Gate::new();
    let passes = gate.passer();
    drop(supervisor.spawn({
        let passes = passes.clone();
        move || {
            passes();
            payload()
        }
    }));
    drop(supervisor.spawn(move || {
        passes();
        PanicsOnDrop
    }));
    drop(gate);
    let report = in_time(move || supervisor.shutdown());
    assert!(report.is_complete());
    let broken = report.entries().iter().filter(|entry| !entry.is_clean());
    assert!(broken.count() >= 3, "{report}");
}

#[test]
fn terminators_of_nothing_are_no_error() {
    // Told after the other end is gone, of nobody, twice the same.
    let (sender, receiver) = mpsc::channel::<u8>();
    drop(receiver);
    terminate::send(sender, 1).terminate();
    let source = StopSource::new();
    source.clone().terminate();
    source.clone().terminate();
    assert!(!source.stop());
    let over = std::thread::spawn(|| ());
    let thread = over.thread().clone();
    over.join().unwrap();
    thread.clone().terminate();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    terminate::connect(address).terminate();
    // In a worker's place they are no different.
    let supervisor = Supervisor::new();
    let worker = supervisor
        .worker()
        .on_terminate((source, thread, terminate::connect(address)));
    drop(worker.spawn_with(|stop| stop.wait()).unwrap());
    let report = supervisor.shutdown();
    assert!(report.is_clean(), "{report}");
    assert_eq!(*report.entries()[0].outcome(), Outcome::Finished);
}

//! The table of workers, as an operator reads it at any time.

mod support;

use std::sync::mpsc;
use std::time::{Duration, Instant};

use sundown::diagnose::CallbackState;
use sundown::Supervisor;
use support::{Gate, PATIENCE};

fn named(name: &str) -> Supervisor {
    let builder = Supervisor::builder().name(name);
    builder.deadline(Duration::from_secs(2)).build()
}

/// The table, once it contains this.
#[track_caller]
fn await_dump(supervisor: &Supervisor, wanted: &str) -> String {
    let limit = Instant::now() + PATIENCE;
    loop {
        let dump = supervisor.dump();
        if dump.contains(wanted) {
            return dump;
        }
        assert!(Instant::now() < limit, "no {wanted:?} in {dump}");
        // Nothing tells when a thread has come to a system call, so this looks again.
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn line<'a>(dump: &'a str, name: &str) -> &'a str {
    let found = dump.lines().find(|line| line.contains(name));
    found.unwrap_or_else(|| panic!("no {name} in {dump}"))
}

#[test]
fn it_says_of_each_worker_who_it_is_and_what_it_does() {
    let gate = Gate::new();
    let supervisor = named("app");
    let pass = gate.passer();
    let worker = supervisor.worker().name("indexer".into()).critical();
    let id = worker
        .spawn(move || {
            sundown::activity("merging");
            pass();
        })
        .unwrap()
        .id();
    let tier = supervisor.child("tier");
    tier.worker()
        .name("inside".into())
        .daemon()
        .spawn(gate.passer())
        .unwrap();
    supervisor.spawn(gate.passer());
    let dump = await_dump(&supervisor, "activity: merging");
    assert!(dump.starts_with("app is running, 3 workers\n"), "{dump}");
    let indexer = line(&dump, "indexer");
    assert!(indexer.starts_with(&id.to_string()), "{dump}");
    assert!(
        !indexer.contains("of app"),
        "that is in the heading: {dump}"
    );
    for part in ["critical", file!()] {
        assert!(indexer.contains(part), "{part}: {dump}");
    }
    assert!(line(&dump, "inside").contains("daemon; of tier"), "{dump}");
    assert!(dump.contains("<unnamed>"), "{dump}");
    drop(gate);
    supervisor.shutdown();
}

#[cfg(target_os = "linux")]
#[test]
fn it_says_in_which_system_call_each_is() {
    let gate = Gate::new();
    let supervisor = named("app");
    supervisor
        .worker()
        .name("waits".into())
        .spawn(gate.passer())
        .unwrap();
    let dump = await_dump(&supervisor, "in futex");
    assert!(line(&dump, "waits").contains("[thread "), "{dump}");
    drop(gate);
    supervisor.shutdown();
}

#[test]
fn it_says_how_far_the_shutdown_is() {
    let mut gate = Gate::new();
    let supervisor = named("app");
    let worker = supervisor.worker().name("slow".into());
    worker.on_terminate(|| ()).spawn(gate.passer()).unwrap();
    supervisor.request_shutdown(sundown::Cause::Requested);
    let dump = await_dump(&supervisor, "callback: ran");
    assert!(dump.starts_with("app is stopping for "), "{dump}");
    assert!(dump.lines().next().unwrap().contains(" left)"), "{dump}");
    gate.open();
    supervisor.shutdown();
    assert_eq!(supervisor.dump(), "app has shut down, 0 workers\n");
}

#[test]
fn names_line_up_and_cannot_drive_a_terminal() {
    let gate = Gate::new();
    let supervisor = named("app\u{1b}[2J");
    for name in ["ü", "a much longer name", "evil\u{1b}[2J\nforged"] {
        supervisor
            .worker()
            .name(name.into())
            .spawn(gate.passer())
            .unwrap();
    }
    let dump = supervisor.dump();
    assert!(!dump.contains('\u{1b}'), "{dump:?}");
    let rows: Vec<&str> = dump.lines().filter(|line| line.starts_with('#')).collect();
    assert_eq!(rows.len(), 3, "{dump}");
    let heading = dump.lines().nth(1).unwrap();
    let column = heading.chars().collect::<String>().find("doing").unwrap();
    for row in rows {
        let before: String = row.chars().take(column).collect();
        assert!(before.ends_with("  "), "{dump}");
        assert!(!row.chars().nth(column).unwrap().is_whitespace(), "{dump}");
    }
    drop(gate);
    supervisor.shutdown();
}

#[test]
fn the_same_is_there_for_programs() {
    let gate = Gate::new();
    let supervisor = named("app");
    let pass = gate.passer();
    let worker = supervisor
        .worker()
        .name("indexer".into())
        .on_terminate(|| ());
    worker
        .spawn(move || {
            sundown::activity("merging");
            pass();
        })
        .unwrap();
    await_dump(&supervisor, "activity: merging");
    let workers = supervisor.workers();
    assert_eq!(workers[0].activity.as_deref(), Some("merging"));
    assert_eq!(workers[0].callback, CallbackState::NotRun);
    assert_eq!(workers[0].os_id.is_some(), cfg!(target_os = "linux"));
    drop(gate);
    supervisor.shutdown();
}

#[test]
fn two_that_wait_for_each_other_are_named() {
    let supervisor = named("app");
    let (hand, handed) = mpsc::channel::<sundown::thread::JoinHandle<()>>();
    let worker = |name: &str| supervisor.worker().name(name.into());
    let ping = worker("ping").spawn(move || handed.recv().unwrap().join().unwrap());
    let pong = worker("pong").spawn(move || ping.unwrap().join().unwrap());
    hand.send(pong.unwrap()).unwrap();
    let dump = await_dump(&supervisor, "waits in a circle: ping → pong → ping");
    assert!(
        line(&dump, "  pong ").contains("pong → ping → pong"),
        "{dump}"
    );
}

#[test]
fn the_worker_that_makes_the_table_says_so() {
    let supervisor = named("app");
    let ours = supervisor.clone();
    let worker = supervisor.worker().name("dumper".into());
    let dump = worker.spawn(move || ours.dump()).unwrap().join().unwrap();
    assert!(line(&dump, "dumper").contains("makes this table"), "{dump}");
    supervisor.shutdown();
}

#[cfg(unix)]
#[test]
fn a_signal_prints_the_table_as_often_as_it_comes() {
    use support::process::{build, start};

    let mut command = std::process::Command::new(build("slow", &[]));
    let mut running = start(command.arg("dumps"));
    running.await_line("ready");
    // One at a time: several that come at once may be answered by one table.
    for count in 1..=3 {
        running.signal(libc::SIGQUIT);
        running.await_err("sundown: app is running", count);
        running.await_err("waits in a circle: pong → ping → pong", count);
    }
    let ended = running.end_by(libc::SIGTERM);
    ended.assert_signal(libc::SIGTERM);
    let table = ended.err.split("sundown: ").nth(1).unwrap();
    assert!(
        table.starts_with("app is running, 4 workers\nworker"),
        "{table}"
    );
    assert!(line(table, "  main").starts_with("#1 "), "{table}");
    let writer = line(table, "writer");
    assert!(
        writer.contains("activity: appending to the journal"),
        "{table}"
    );
    assert!(writer.contains("tests/programs/slow.rs:"), "{table}");
    assert!(
        line(table, "SIGQUIT").contains("makes this table"),
        "{table}"
    );
}

//! As process 1 of a container, where no signal has a default action, a program stops in order and is gone.
//!
//! A container is a PID namespace here. Where the machine allows none, each test says so on standard error, whatever the test
//! runner captures; with `SUNDOWN_MUST_HAVE_NAMESPACES` set it fails instead.

#![cfg(target_os = "linux")]

mod support;

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use libc::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use support::process::{production, signal_process, start, Ended, Running};
use support::PATIENCE;

/// `unshare` with what it takes here to have a PID namespace; `None` if there is none to be had.
fn unshare() -> Option<Command> {
    for extra in [&[] as &[&str], &["--user", "--map-root-user"]] {
        let command = || {
            let mut unshare = Command::new("unshare");
            unshare
                .args(extra)
                .args(["--pid", "--fork", "--kill-child"]);
            unshare
        };
        let mut attempt = command();
        attempt.args(["sh", "-c", "test $$ = 1"]);
        attempt.stdout(Stdio::null()).stderr(Stdio::null());
        if attempt.status().is_ok_and(|status| status.success()) {
            return Some(command());
        }
    }
    let must = std::env::var_os("SUNDOWN_MUST_HAVE_NAMESPACES").is_some();
    assert!(!must, "this machine allows no PID namespace");
    // Not by a macro, whose output the test runner keeps to itself.
    let note = "\nNOT TESTED: this machine allows no PID namespace, so nothing ran as process 1\n";
    std::io::stderr().write_all(note.as_bytes()).unwrap();
    None
}

/// A program that is process 1 in there.
struct Container {
    running: Running,
    /// Its process number out here.
    init: libc::pid_t,
}

impl Container {
    /// Runs the scenario; `before` is a line of shell that comes before it, in the same process.
    fn start(name: &str, before: &str) -> Option<Container> {
        let mut command = unshare()?;
        let line = format!("{before} exec \"$0\" \"$1\"");
        command
            .args(["sh", "-c", &line])
            .arg(production())
            .arg(name);
        let mut running = start(&mut command);
        running.await_line("pid 1").await_line("ready");
        let init = child_of(running.pid);
        Some(Container { running, init })
    }

    fn signal(&self, signal: i32) {
        signal_process(self.init, signal);
    }

    fn end_by(self, signal: i32) -> Ended {
        self.signal(signal);
        let ended = self.running.end();
        // SAFETY: signal 0 only asks.
        assert_ne!(unsafe { libc::kill(self.init, 0) }, 0, "it is gone");
        ended
    }
}

fn child_of(parent: libc::pid_t) -> libc::pid_t {
    let limit = Instant::now() + PATIENCE;
    loop {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // pid (name) state parent ...; the name may hold anything.
            let after = stat.rsplit_once(')').map(|(_, after)| after);
            let its_parent = after.and_then(|after| after.split_whitespace().nth(1));
            if its_parent.and_then(|pid| pid.parse().ok()) == Some(parent) {
                return entry.file_name().to_str().unwrap().parse().unwrap();
            }
        }
        assert!(Instant::now() < limit, "{parent} has no child");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn process_1_stops_in_order_and_is_gone() {
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        let Some(container) = Container::start("serve", "") else {
            return;
        };
        let ended = container.end_by(signal);
        // The signal cannot kill process 1, so this is how its death is told.
        ended.assert_code(128 + signal);
        ended.assert_order(&["worker told", "worker over"]);
        assert_eq!(ended.err, "");
        assert!(ended.took < PATIENCE / 2, "{ended:#?}");
    }
}

#[test]
fn process_1_with_a_main_that_cannot_hear_is_gone_too() {
    let Some(container) = Container::start("stuck for a moment", "") else {
        return;
    };
    let ended = container.end_by(SIGTERM);
    ended.assert_code(128 + SIGTERM);
    ended.assert_order(&["worker told", "on_exit ran"]);
}

#[test]
fn a_second_signal_ends_process_1_at_once() {
    let Some(mut container) = Container::start("stuck", "") else {
        return;
    };
    container.signal(SIGTERM);
    container.running.await_line("worker told");
    let ended = container.end_by(SIGTERM);
    ended.assert_code(128 + SIGTERM);
    assert!(ended.err.contains("leaving at once"), "{}", ended.err);
}

#[test]
fn process_1_answers_signals_that_do_not_mean_stop() {
    let Some(mut container) = Container::start("three handlers", "") else {
        return;
    };
    container.signal(SIGHUP);
    container.running.await_line("reload 1");
    container.signal(SIGUSR1);
    container.running.await_line("reopen 1");
    container.end_by(SIGTERM).assert_code(128 + SIGTERM);
}

#[test]
fn children_that_process_1_did_not_start_hold_up_nothing() {
    // One that runs on, and one that ended and that nobody reaps.
    let Some(container) = Container::start("serve", "sleep 1000 & true & ") else {
        return;
    };
    let ended = container.end_by(SIGTERM);
    ended.assert_code(128 + SIGTERM);
    ended.assert_order(&["worker told", "worker over"]);
}

//! A second signal right behind the first ends the process at once, unless it is an echo: what a closing terminal or a wrapper such as
//! `timeout` sends behind another, of which nobody meant the process to be cut off.

#![cfg(target_os = "linux")]

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use libc::{SIGHUP, SIGINT, SIGTERM};
use support::process::{production, signal_process, start, Ended};

/// From when on a second signal is no echo.
const ECHO: Duration = Duration::from_millis(200);
/// Well past that, and well before the program is through with its clean-up by itself.
const LATER: Duration = Duration::from_millis(500);

/// Who started the program.
#[derive(Clone, Copy)]
enum By {
    /// A wrapper that leads its process group.
    Wrapper,
    /// Somebody in another group.
    Other,
}

/// How the program ended that needs a second and a half to stop, with a second signal so long after the first; and how long after it.
fn ended_by(by: By, first: i32, second: i32, after: Duration) -> (Ended, Duration) {
    let mut command = match by {
        By::Other => Command::new(production()),
        By::Wrapper => {
            let mut shell = Command::new("sh");
            // With more to do, so that it waits for the program instead of becoming it.
            shell.args(["-c", "trap : TERM; \"$0\" \"$1\"; exit $?"]);
            shell.arg(production());
            shell
        }
    };
    let mut running = start(command.arg("slow to stop"));
    running.await_line("ready");
    let pid = match by {
        By::Other => running.pid,
        By::Wrapper => child_of(running.pid),
    };
    let asked = Instant::now();
    signal_process(pid, first);
    running.await_line("worker told");
    std::thread::sleep(after); // a duration, not a meeting point
    signal_process(pid, second);
    let ended = running.end();
    (ended, asked.elapsed())
}

fn child_of(pid: libc::pid_t) -> libc::pid_t {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.trim().parse().expect("one child")
}

fn finished(ended: &Ended) -> bool {
    ended.count("worker over") == 1 && ended.count("main leaves") == 1
}

/// On a machine that is busy the second signal may come too late to be an echo: then once more.
#[track_caller]
fn assert_echo(by: By, first: i32, second: i32) {
    let mut last = None;
    for _ in 0..10 {
        let (ended, _) = ended_by(by, first, second, Duration::ZERO);
        if finished(&ended) {
            assert!(!ended.err.contains("leaving at once"), "{ended:#?}");
            return;
        }
        last = Some(ended);
    }
    panic!("it was cut off each time: {last:#?}");
}

#[track_caller]
fn assert_cut_off(by: By, first: i32, second: i32, after: Duration) {
    let (ended, took) = ended_by(by, first, second, after);
    match by {
        By::Other => drop(ended.assert_signal(second)),
        By::Wrapper => drop(ended.assert_code(128 + second)),
    }
    assert!(!finished(&ended), "{ended:#?}");
    assert!(ended.err.contains("leaving at once"), "{ended:#?}");
    assert!(ended.err.contains("(cut off)"), "{ended:#?}");
    // It may have been an echo after all, so the shutdown had its time.
    assert!(took >= ECHO, "{took:?}: {ended:#?}");
}

#[test]
fn the_same_signal_again_from_a_wrapper_is_an_echo() {
    assert_echo(By::Wrapper, SIGTERM, SIGTERM);
    assert_echo(By::Wrapper, SIGINT, SIGINT);
}

#[test]
fn a_hangup_right_behind_another_is_an_echo() {
    assert_echo(By::Other, SIGTERM, SIGHUP);
    assert_echo(By::Wrapper, SIGINT, SIGHUP);
}

#[test]
fn the_same_signal_again_from_anybody_else_means_it() {
    assert_cut_off(By::Other, SIGTERM, SIGTERM, Duration::ZERO);
    assert_cut_off(By::Other, SIGINT, SIGINT, LATER);
}

#[test]
fn another_signal_means_it_whoever_sends_it() {
    assert_cut_off(By::Wrapper, SIGTERM, SIGINT, Duration::ZERO);
    assert_cut_off(By::Other, SIGHUP, SIGTERM, Duration::ZERO);
}

#[test]
fn what_comes_later_means_it_whoever_sends_it() {
    assert_cut_off(By::Wrapper, SIGTERM, SIGTERM, LATER);
    assert_cut_off(By::Other, SIGTERM, SIGHUP, LATER);
}

/// The shutdown is through before anybody can tell whether the second signal is an echo: what is left is `main`'s own, which it may finish.
#[test]
fn the_second_of_a_pair_does_not_cut_off_a_main_that_has_shut_down() {
    let mut last = None;
    for _ in 0..10 {
        let mut command = Command::new(production());
        let mut running = start(command.arg("quick to stop, and main takes a while"));
        running.await_line("ready");
        let pid = running.pid;
        signal_process(pid, SIGTERM);
        running.await_line("worker over");
        signal_process(pid, SIGINT);
        let ended = running.end();
        if ended.count("main leaves") == 1 {
            ended.assert_signal(SIGTERM);
            return;
        }
        // On a machine that is busy the second one may come too late.
        last = Some(ended);
    }
    panic!("it was cut off each time: {last:#?}");
}

/// Nothing is left to be cut off but `main` itself, which takes its time.
#[test]
fn what_comes_long_after_a_shutdown_that_is_through_means_it() {
    let mut command = Command::new(production());
    let mut running = start(command.arg("quick to stop, and main dawdles"));
    running.await_line("ready");
    signal_process(running.pid, SIGTERM);
    running.await_line("clean true");
    std::thread::sleep(LATER); // a duration, not a meeting point
    let asked = Instant::now();
    signal_process(running.pid, SIGINT);
    let ended = running.end();
    assert!(asked.elapsed() < Duration::from_secs(20), "{ended:#?}");
    ended.assert_signal(SIGINT);
    assert!(ended.err.contains("leaving at once"), "{ended:#?}");
    assert_eq!(ended.count("main leaves"), 0, "{ended:#?}");
}

/// What is through within that time has ended in order, however many signals there were.
#[test]
fn a_quick_program_is_not_cut_off_by_the_second() {
    let mut clean = 0;
    for _ in 0..10 {
        let mut command = Command::new(production());
        let mut running = start(command.arg("quick to stop"));
        running.await_line("ready");
        let pid = running.pid;
        signal_process(pid, SIGTERM);
        running.await_line("worker told");
        signal_process(pid, SIGINT);
        let ended = running.end();
        if finished(&ended) {
            ended.assert_signal(SIGTERM);
            clean += 1;
        }
    }
    // On a machine that is busy some are not through in time.
    assert!(clean > 0);
}

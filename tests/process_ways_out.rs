//! No orphan on any way out that lets code run; and on Linux none on the others either, if that was asked for.
#![cfg(all(unix, feature = "process"))]

mod common;

use std::time::{Duration, Instant};

use common::programs::{Ended, Program, PATIENCE};

/// Starts the program; gives it and the number of its child.
fn start(way: &str) -> (Program, libc::pid_t) {
    let mut program = Program::start("children", &[way]);
    let id = program.await_line("").parse().unwrap();
    (program, id)
}

/// Whether it runs. One that has ended may be a zombie for as long as an init does not reap it, which is not our part.
fn runs(id: libc::pid_t) -> bool {
    // SAFETY: signal 0 only asks.
    let exists = unsafe { libc::kill(id, 0) == 0 };
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    exists && !stat.contains(") Z ")
}

/// Once the program has ended, so has its child.
fn assert_no_orphan(way: &str) -> Ended {
    let (program, id) = start(way);
    let ended = program.end();
    assert!(!runs(id), "{way}: child {id} still runs; {ended:#?}");
    assert!(ended.err.contains("HAD TO BE KILLED"), "{way}: {ended:#?}");
    ended
}

#[test]
fn when_main_returns() {
    assert!(assert_no_orphan("return").status.success());
}

#[test]
fn when_the_process_exits() {
    assert_eq!(assert_no_orphan("exit").status.code(), Some(3));
    assert_eq!(assert_no_orphan("exit on a worker").status.code(), Some(4));
    assert_eq!(assert_no_orphan("sundown exit").status.code(), Some(5));
}

#[test]
fn when_main_panics() {
    assert_eq!(assert_no_orphan("panic").status.code(), Some(101));
}

#[test]
fn when_a_signal_ends_the_program() {
    use std::os::unix::process::ExitStatusExt;
    let (program, id) = start("signal");
    assert!(runs(id));
    program.signal(libc::SIGTERM);
    let ended = program.end();
    assert_eq!(ended.status.signal(), Some(libc::SIGTERM), "{ended:#?}");
    assert!(!runs(id), "{ended:#?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_child_that_dies_with_its_parent_does_so_when_nothing_else_can_tell_it() {
    let (program, id) = start("killed");
    assert!(runs(id));
    program.signal(libc::SIGKILL);
    program.end();
    let limit = Instant::now() + PATIENCE;
    while runs(id) {
        assert!(Instant::now() < limit, "child {id} still runs");
        std::thread::sleep(Duration::from_millis(2)); // nobody can wait for somebody else's child
    }
}

#[cfg(target_os = "linux")]
#[test]
fn and_it_does_not_die_with_the_thread_that_asked_for_it() {
    let (mut program, _) = start("thread");
    program.await_line("lives");
    program.end();
}

#[test]
fn a_child_that_something_else_has_reaped_is_an_error_and_no_hang() {
    let ended = Program::start("children", &["reaped by others"]).end();
    assert_eq!(ended.out, ["error"], "{ended:#?}");
    assert!(ended.status.success(), "{ended:#?}");
}

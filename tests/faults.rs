//! What the system, the logger, another runtime or a fork does to us on the way: the shutdown works all the same.
//!
//! Each test runs `programs/faults.rs`, whose every line of output is written at once. What closes or fills standard error is in
//! `ways_out.rs`, but for the two cases at the end.

#![cfg(target_os = "linux")]

mod support;

use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use libc::{SIGABRT, SIGINT, SIGTERM};
use support::process::{run, scenario_of, start, start_with_stderr, Ended};

/// A fault must not cost the deadline of 8 s: this is half of it.
const PROMPT: Duration = Duration::from_secs(4);

fn scenario(name: &str) -> Command {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    scenario_of(&PROGRAM, "faults", name)
}

/// The whole population was told newest first and joined, and the hooks ran, each once and in no more than a moment.
#[track_caller]
fn assert_orderly(ended: &Ended) {
    ended.assert_order(&[
        "hook",
        "told second",
        "tier at exit",
        "told first",
        "at exit",
    ]);
    for name in ["first", "second"] {
        ended.assert_order(&[&format!("told {name}"), &format!("over {name}"), "at exit"]);
    }
    assert!(ended.took < PROMPT, "{ended:#?}");
}

#[track_caller]
fn leaves(name: &str, code: i32) -> Ended {
    let ended = run(&mut scenario(name));
    ended.assert_code(code);
    assert_orderly(&ended);
    ended
}

#[track_caller]
fn signalled(name: &str, signal: i32) -> Ended {
    let mut running = start(&mut scenario(name));
    running.await_line("ready");
    let ended = running.end_by(signal);
    ended.assert_signal(signal);
    assert_orderly(&ended);
    ended.assert_order(&[&format!("cause Signal({signal})")]);
    ended
}

// ---- no threads

#[test]
fn a_first_spawn_without_threads_is_refused_and_the_hooks_run() {
    let ended = run(&mut scenario("no threads at the first spawn"));
    ended.assert_code(0);
    ended.assert_order(&["panics true", "workers 0", "main left", "hook", "at exit"]);
    assert!(ended.out[0].starts_with("refused "), "{ended:#?}");
    ended.assert_never("told");
}

#[test]
fn an_installation_without_threads_is_refused_and_changes_nothing() {
    let ended = leaves("no threads at install", 0);
    ended.assert_order(&["dispositions [0, 0, 0]", "cause Returned"]);
    let said = ended.out[0].starts_with("refused ctrlc cannot install its handler");
    assert!(said, "{ended:#?}");
}

#[test]
fn an_installation_that_was_refused_for_lack_of_threads_works_once_there_are() {
    for (name, why) in [
        (
            "one thread at install",
            "cannot start the coordinator thread",
        ),
        (
            "no threads at install, then there are",
            "ctrlc cannot install its handler",
        ),
    ] {
        let ended = signalled(name, SIGTERM);
        ended.assert_order(&["dispositions [0, 0, 0]", "ready"]);
        assert!(
            ended.out[0].starts_with(&format!("refused {why}")),
            "{ended:#?}"
        );
    }
}

#[test]
fn a_shutdown_without_threads_runs_on_the_caller_s() {
    leaves("no threads at shutdown", 0);
    leaves("no threads at shutdown, with guard", 0);
    leaves("no threads when main panics", 101);
    leaves("no threads when a worker exits", 7);
}

#[test]
fn a_signal_without_threads_ends_the_process_as_ever() {
    signalled("no threads at a signal", SIGTERM);
    let ended = signalled("no threads at a signal that main hears", SIGINT);
    ended.assert_order(&["main left"]);
}

#[test]
fn a_critical_worker_ends_the_process_without_threads() {
    leaves("no threads when a critical worker panics", 1);
}

#[test]
fn what_is_requested_happens_without_threads() {
    let ended = run(&mut scenario("no threads at a request"));
    ended.assert_code(0);
    ended.assert_order(&["own told", "own exit", "first true", "report of exit(4)"]);
}

#[test]
fn what_a_callback_requests_without_threads_is_for_the_next_who_waits() {
    let ended = run(&mut scenario("no threads for what a callback requests"));
    ended.assert_code(0);
    ended.assert_order(&[
        "first true",
        "stopping true",
        "own told",
        "own exit",
        "report of exit(4)",
    ]);
}

#[test]
fn no_thread_to_go_on_behind_a_callback_that_hangs_is_no_end() {
    let ended = leaves("no threads behind a callback that hangs", 0);
    ended.assert_order(&["hangs", "hook"]);
    assert!(ended.err.contains("STUCK     hangs"), "{}", ended.err);
}

#[test]
fn a_callback_that_panics_on_the_caller_s_thread_keeps_nothing_from_running() {
    let ended = leaves("no threads, and a callback panics", 0);
    assert!(ended.err.contains("PANICKED  panics"), "{}", ended.err);
}

#[test]
fn a_time_limit_is_kept_once_there_is_a_thread_to_watch_it() {
    let ended = run(&mut scenario("no thread for a time limit"));
    ended
        .assert_code(0)
        .assert_order(&["both ended", "at exit"]);
}

// ---- memory

#[test]
fn short_memory_holds_nothing_up() {
    leaves("memory is short", 0);
    signalled("memory is short at a signal", SIGTERM);
}

// ---- the logger

#[test]
fn a_logger_that_spawns_is_served() {
    let ended = leaves("logger spawns", 0);
    assert!(ended.count("logged") >= 1, "{ended:#?}");
}

#[test]
fn a_logger_that_shuts_down_is_left_behind() {
    let ended = leaves("logger shuts down", 0);
    assert!(ended.count("logged") >= 1, "{ended:#?}");
}

// ---- fork

#[test]
fn a_child_forked_in_the_middle_has_none_of_its_parent_s_and_the_parent_goes_on() {
    for name in [
        "fork in a callback, with guard",
        "fork in a worker's clean-up",
    ] {
        let ended = leaves(name, 0);
        assert_eq!(
            ended.count("child exited with Some(5)"),
            1,
            "{name}: {ended:#?}"
        );
    }
}

#[test]
fn a_child_that_returns_into_its_parent_s_shutdown_has_no_part_in_it() {
    let ended = leaves("fork in a callback that returns in the child too", 0);
    assert_eq!(ended.count("child exited with Some(0)"), 1, "{ended:#?}");
}

#[test]
fn a_child_forked_in_the_middle_of_an_exit_has_none_of_its_parent_s() {
    let ended = leaves("fork in a callback while main exits", 0);
    ended.assert_order(&["child exited with Some(5)", "hook"]);
}

// ---- panic hooks

#[test]
fn a_panic_in_a_panic_hook_aborts_at_once_as_std_has_it() {
    let ended = run(&mut scenario("panic in a panic hook"));
    ended.assert_signal(SIGABRT);
    assert!(ended.took < PROMPT, "{ended:#?}");
}

#[test]
fn a_panic_hook_may_leave_the_process() {
    leaves("panic hook exits", 3);
    leaves("panic hook exits, for a callback", 3);
    leaves("panic hook requests", 3);
}

// ---- signals

#[test]
fn a_second_runtime_s_handler_that_calls_ours_leaves_all_as_it_was() {
    for signal in [SIGINT, SIGTERM] {
        let ended = signalled("second runtime, chained", signal);
        ended.assert_order(&["second runtime", "hook"]);
    }
}

#[test]
fn a_second_runtime_s_handler_that_does_not_call_ours_is_left_alone() {
    let mut running = start(&mut scenario("second runtime, alone"));
    running.await_line("ready");
    running.signal(SIGTERM);
    running.await_line("second runtime");
    running.send("go on");
    let ended = running.end();
    ended.assert_code(0);
    assert_orderly(&ended);
    ended.assert_order(&["stopping false", "hook", "theirs stays true", "refused 2"]);
}

#[test]
fn with_sigchld_ignored_children_are_told_all_the_same() {
    let ended = signalled("SIGCHLD ignored", SIGTERM);
    ended.assert_order(&["status false", "status again false", "at exit"]);
    ended.assert_order(&["read 0", "at exit"]);
}

#[test]
fn a_child_that_the_system_has_reaped_is_told_nothing() {
    let ended = run(&mut scenario("SIGCHLD ignored, and the child is gone"));
    ended
        .assert_code(0)
        .assert_order(&["status false", "main left"]);
    ended.assert_never("logged");
}

#[test]
fn signals_that_the_caller_blocks_are_heard_since_installing_asks_for_them() {
    for signal in [SIGINT, SIGTERM] {
        signalled("signals blocked", signal);
        signalled("signals blocked, main hears", signal);
    }
}

#[test]
fn a_second_signal_ends_it_although_the_caller_blocks_signals() {
    let mut running = start(&mut scenario("stuck, signals blocked"));
    running.await_line("ready");
    running.signal(SIGTERM);
    running.await_line("told mule");
    let ended = running.end_by(SIGTERM);
    ended.assert_signal(SIGTERM);
    assert!(ended.took < PROMPT, "{ended:#?}");
}

// ---- standard error

/// A pipe: what reads, and what writes.
fn pipe() -> (OwnedFd, OwnedFd) {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors, which are nobody else's afterwards.
    unsafe {
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
        (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
    }
}

#[test]
fn a_standard_error_whose_reader_is_gone_holds_nothing_up() {
    for name in [
        "no threads, and a callback panics",
        "no threads behind a callback that hangs",
    ] {
        let (reader, writer) = pipe();
        drop(reader);
        let ended = start_with_stderr(&mut scenario(name), Stdio::from(writer)).end();
        ended.assert_code(0);
        assert_orderly(&ended);
    }
}

#[test]
fn a_full_standard_error_that_does_not_block_holds_nothing_up() {
    for name in [
        "no threads, and a callback panics",
        "no threads behind a callback that hangs",
    ] {
        let (_reader, writer) = pipe();
        // SAFETY: only flags of a descriptor of ours are changed.
        let set = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        assert_eq!(set, 0);
        let mut file = std::fs::File::from(writer.try_clone().unwrap());
        while file.write(&[b'x'; 4096]).is_ok() {}
        while file.write(b"x").is_ok() {}
        let ended = start_with_stderr(&mut scenario(name), Stdio::from(writer)).end();
        ended.assert_code(0);
        assert_orderly(&ended);
    }
}

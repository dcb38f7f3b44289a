//! However the process ends, workers are told and joined, hooks run, and the process ends as it should.
//!
//! Each test runs `programs/ways_out.rs`, whose every line of output is written at once.

#![cfg(unix)]

mod support;

use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::Duration;

use libc::{SIGHUP, SIGINT, SIGTERM};
use support::process::{program, run, scenario, signal_process, start, start_with_stderr, Ended};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A deaf `main`, or one that is out of the way, must not cost the deadline of 8 s: this is half of it.
const PROMPT: Duration = Duration::from_secs(4);

/// The whole population of the program was told newest first, joined with its thread-locals, and the hooks ran, each once.
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
        ended.assert_order(&[
            &format!("told {name}"),
            &format!("over {name}"),
            &format!("gone {name}"),
            "at exit",
        ]);
    }
}

#[track_caller]
fn assert_cause(ended: &Ended, cause: &str) {
    ended.assert_order(&[&format!("cause {cause}")]);
}

/// Runs the scenario to its end, which must be orderly, with this code and this cause.
#[track_caller]
fn leaves(name: &str, code: i32, cause: &str) -> Ended {
    let ended = run(&mut scenario(name));
    ended.assert_code(code);
    assert_orderly(&ended);
    assert_cause(&ended, cause);
    ended
}

/// The same with a signal once the program is ready; it must die of that signal.
#[track_caller]
fn signalled(name: &str, signal: i32) -> Ended {
    let mut running = start(&mut scenario(name));
    running.await_line("ready");
    let ended = running.end_by(signal);
    ended.assert_signal(signal);
    assert_orderly(&ended);
    assert_cause(&ended, &format!("Signal({signal})"));
    ended
}

// ---- main leaves

#[test]
fn main_returns_without_a_guard() {
    let ended = leaves("return without guard", 0, "Returned");
    ended.assert_order(&["main left", "hook"]);
    assert_eq!(ended.err, "");
}

#[test]
fn main_returns_with_a_guard() {
    let ended = leaves("return with guard", 0, "Returned");
    // The guard is the newer local, so it is dropped first.
    ended.assert_order(&["at exit", "main left"]);
    assert_eq!(ended.err, "");
}

#[test]
fn the_guard_is_dropped_before_the_end_of_main() {
    let ended = leaves("guard dropped in the middle", 0, "Returned");
    ended.assert_order(&["at exit", "after the guard", "main left"]);
}

#[test]
fn main_panics_without_a_guard() {
    leaves("panic without guard", 101, "Panicked");
}

#[test]
fn main_panics_with_a_guard() {
    let ended = leaves("panic with guard", 101, "Panicked");
    ended.assert_order(&["at exit", "main left"]);
    assert!(ended.err.contains("in main"), "{}", ended.err);
}

#[test]
fn main_keeps_the_code_that_it_returns() {
    let ended = run(&mut scenario("code without guard"));
    ended.assert_code(9);
    assert_orderly(&ended);
    leaves("code with guard", 9, "Returned");
}

#[test]
fn finish_without_a_signal_gives_zero() {
    leaves("finish", 0, "Returned");
    leaves("finish after a request", 0, "Requested");
}

#[test]
fn a_shutdown_on_main_is_not_the_end_of_main() {
    let ended = leaves("shutdown, then return", 0, "Requested");
    ended.assert_order(&["at exit", "clean true", "main left"]);
    let ended = leaves("shutdown with guard, then return", 0, "Requested");
    ended.assert_order(&["at exit", "clean true", "main goes on", "main left"]);
}

#[test]
fn a_program_that_spawned_nothing_ends_as_ever() {
    for name in ["nothing was spawned", "nothing was spawned, with guard"] {
        let ended = run(&mut scenario(name));
        ended.assert_code(0);
        assert_eq!(ended.out, ["main left"]);
        assert_eq!(ended.err, "");
    }
}

#[test]
fn supervisors_of_a_program_s_own_are_shut_down_too_newest_first() {
    let ended = run(&mut scenario("only private supervisors"));
    ended.assert_code(0);
    ended.assert_order(&["main left", "over in other", "exit other", "exit one"]);
}

#[test]
fn every_private_supervisor_is_shut_down() {
    let ended = run(&mut scenario("many private supervisors"));
    ended.assert_code(0);
    let newest_first: Vec<String> = (0..100).rev().map(|n| format!("exit {n}")).collect();
    let newest_first: Vec<&str> = newest_first.iter().map(String::as_str).collect();
    ended.assert_order(&newest_first);
}

#[test]
fn a_supervisor_that_is_made_during_the_end_is_shut_down_too() {
    let ended = run(&mut scenario(
        "a worker makes a supervisor for its clean-up",
    ));
    ended.assert_code(0);
    ended.assert_order(&["main left", "over in late", "exit late"]);
}

#[test]
fn a_supervisor_with_nothing_but_a_callback_on_its_token_is_shut_down_too() {
    let ended = run(&mut scenario("only a callback on the token"));
    ended.assert_code(0);
    ended.assert_order(&["main left", "the token stopped"]);
}

#[test]
fn a_worker_with_nothing_but_the_import_is_finished() {
    let ended = run(&mut scenario("the real signature of main"));
    ended.assert_code(0);
    ended.assert_order(&["main left", "over by itself"]);
}

// ---- process::exit

#[test]
fn process_exit_on_main() {
    leaves("exit on main", 7, "Exit(7)").assert_never("main left");
    leaves("exit on main with guard", 7, "Exit(7)").assert_never("main left");
}

#[test]
fn process_exit_on_a_worker() {
    for name in [
        "exit on worker",
        "exit on worker with guard",
        "exit on worker of a child",
        "exit on an outsider",
        "exit on an adopted thread",
        "exit on an adopted thread with guard",
    ] {
        let ended = leaves(name, 7, "Exit(7)");
        assert!(ended.took < PROMPT, "{name}: {ended:#?}");
        assert_eq!(ended.err, "", "{name}: the one that exits is no straggler");
    }
}

/// From `main` these codes would look like a return and like a panic.
#[test]
fn process_exit_on_a_worker_is_an_exit_whatever_the_code() {
    leaves("exit with zero on worker", 0, "Exit(0)");
    leaves("exit with 101 on worker", 101, "Exit(101)");
}

#[test]
fn process_exit_in_a_hook_or_callback_with_a_guard() {
    for name in [
        "exit in a shutdown hook with guard",
        "exit in an exit hook with guard",
        "exit in a callback with guard",
    ] {
        let ended = leaves(name, 7, "Returned");
        assert!(ended.took < PROMPT, "{name}: {ended:#?}");
    }
}

#[test]
fn process_exit_in_a_hook_that_runs_because_the_process_exits() {
    // The first exit is the one that counts; the second waits for ever, as std has it, and is left behind.
    for name in ["exit in a shutdown hook", "exit in an exit hook"] {
        let ended = leaves(name, 0, "Returned");
        assert!(ended.took < PROMPT, "{name}: {ended:#?}");
    }
}

#[test]
fn process_exit_on_a_worker_while_main_shuts_down() {
    let ended = leaves("exit on worker while main shuts down", 7, "Returned");
    assert!(ended.took < ms(6000), "{ended:#?}");
}

#[test]
fn process_exit_on_a_worker_while_main_is_exiting_ends_by_the_deadline() {
    let ended = leaves("exit on worker while main is exiting", 0, "Returned");
    ended.assert_order(&["exiting too", "at exit"]);
    assert!(ended.took < ms(6000), "{ended:#?}");
}

#[test]
fn process_exit_on_two_workers_at_once_ends_by_the_deadline() {
    let ended = leaves("exit on two workers", 7, "Exit(7)");
    assert!(ended.took < Duration::from_secs(14), "{ended:#?}");
}

// ---- sundown::exit

#[test]
fn sundown_exit_on_any_thread() {
    for name in [
        "sundown::exit on main",
        "sundown::exit on main with guard",
        "sundown::exit on worker",
        "sundown::exit on worker with guard",
    ] {
        let ended = leaves(name, 7, "Exit(7)");
        assert!(ended.took < PROMPT, "{name}: {ended:#?}");
    }
}

#[test]
fn sundown_exit_shuts_down_what_the_caller_does_not_belong_to_as_well() {
    let name = "sundown::exit on a worker of a private supervisor";
    let ended = leaves(name, 7, "Exit(7)");
    // Newest first, among supervisors too.
    ended.assert_order(&["private at exit", "hook"]);
}

#[test]
fn sundown_exit_in_a_hook() {
    for name in [
        "sundown::exit in a shutdown hook",
        "sundown::exit in an exit hook",
    ] {
        let ended = leaves(name, 7, "Returned");
        assert!(ended.took < PROMPT, "{name}: {ended:#?}");
    }
}

// ---- signals

#[test]
fn a_signal_while_main_hears() {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let ended = signalled("main hears", signal);
        ended.assert_order(&["destructor of main", "main left"]);
        // Printed and never flushed by hand: the last line, with no end.
        assert_eq!(ended.out.last().unwrap(), "not flushed", "{ended:#?}");
        assert!(ended.took < PROMPT, "{ended:#?}");
        assert_eq!(ended.err, "");
    }
}

#[test]
fn a_signal_while_main_cannot_hear_costs_no_deadline() {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let ended = signalled("main is deaf", signal);
        ended.assert_never("main left");
        ended.assert_never("destructor of main");
        assert!(ended.took < PROMPT, "{ended:#?}");
        assert_eq!(ended.err, "");
    }
    for name in ["main accepts", "main reads", "main holds stdout"] {
        let ended = signalled(name, SIGTERM);
        assert!(ended.took < PROMPT, "{name}: {ended:#?}");
    }
}

#[test]
fn a_supervisor_that_has_longer_than_the_process_is_cut_short() {
    for name in [
        "a private supervisor has longer",
        "a private supervisor stops already and has longer",
    ] {
        let mut running = start(&mut scenario(name));
        running.await_line("ready");
        let ended = running.end_by(SIGTERM);
        ended.assert_signal(SIGTERM);
        assert!(
            ended.took >= ms(900) && ended.took < PROMPT,
            "{name}: {ended:#?}"
        );
        assert!(ended.err.contains("STUCK     patient"), "{}", ended.err);
        ended.assert_order(&["not so long any more"]);
    }
}

#[test]
fn a_private_supervisor_has_its_own_time_if_it_is_main_that_ends() {
    let name = "main returns, and a private supervisor takes longer";
    let ended = run(&mut scenario(name));
    ended.assert_code(0);
    ended.assert_order(&["main left", "cleaned up"]);
    assert_eq!(ended.err, "");
}

/// Whether `main`, on its way out, or the coordinator comes to it first.
#[test]
fn a_private_supervisor_is_told_of_the_signal_and_of_the_time_that_there_is() {
    for name in [
        "a private supervisor and a main that leaves at once",
        "a private supervisor and a main that exits at once",
    ]
    .repeat(10)
    {
        let mut running = start(&mut scenario(name));
        running.await_line("ready");
        let ended = running.end_by(SIGTERM);
        ended.assert_signal(SIGTERM);
        ended.assert_order(&["told Some(Shutdown(Signal(15)))", "in time: true"]);
    }
}

#[test]
fn after_a_signal_the_streams_of_the_c_library_are_flushed_too() {
    for name in [
        "main hears, and C has a line",
        "main is deaf, and C has a line",
        "main never leaves, and C has a line",
    ] {
        let ended = signalled(name, SIGTERM);
        assert_eq!(ended.out.last().unwrap(), "of C", "{name}: {ended:#?}");
    }
}

#[test]
fn a_stream_of_the_c_library_that_is_in_use_holds_nothing_up() {
    for name in [
        "main hears, and a C stream is locked",
        "main is deaf, and a C stream is locked",
    ] {
        let ended = signalled(name, SIGTERM);
        assert!(ended.took < PROMPT, "{name}: {ended:#?}");
        assert_eq!(ended.err, "");
    }
    // Before the coordinator has been roused, and when it awaits the end.
    for name in [
        "main leaves at once, and a C stream is locked",
        "main leaves later, and a C stream is locked",
    ] {
        let mut running = start(&mut scenario(name));
        running.await_line("ready");
        let ended = running.end_by(SIGTERM);
        ended.assert_signal(SIGTERM);
        assert!(ended.took < PROMPT, "{name}: {ended:#?}");
    }
    // Whether the coordinator has gone by then is a matter of moments.
    for _ in 0..10 {
        let name = "main requests for a signal and exits, and a C stream is locked";
        let ended = run(&mut scenario(name));
        ended.assert_signal(SIGTERM);
        assert_orderly(&ended);
        assert!(ended.took < PROMPT, "{ended:#?}");
    }
}

#[test]
fn a_signal_while_main_blocks_and_the_guard_knows_how_to_tell_it() {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let ended = signalled("main is told by the guard", signal);
        // `main` counts as the oldest worker.
        ended.assert_order(&[
            "told first",
            "told main",
            "main heard",
            "destructor of main",
            "main left",
        ]);
        assert!(ended.took < PROMPT, "{ended:#?}");
    }
}

#[test]
fn all_that_tells_main_runs_newest_first_and_at_once_when_it_is_late() {
    let ended = signalled("main is told twice", SIGINT);
    ended.assert_order(&[
        "told first",
        "told main second",
        "told main first",
        // At once: here, or right after the one that is running.
        "told main late",
        "main left",
    ]);
    assert!(ended.took < PROMPT, "{ended:#?}");
    assert!(ended.err.contains("in the callback"), "{}", ended.err);
}

#[test]
fn a_main_that_hears_has_the_time_to_leave() {
    let ended = signalled("main hears and takes a while", SIGTERM);
    ended.assert_order(&["destructor of main", "main left"]);
    assert!(ended.took >= ms(500) && ended.took < PROMPT, "{ended:#?}");
}

/// A program may leave its first thread to a toolkit, say: who installs is `main`.
#[test]
fn whichever_thread_installs_has_the_time_to_leave() {
    let ended = signalled("another thread installs, hears and takes a while", SIGTERM);
    ended.assert_order(&["destructor of main", "main left"]);
    assert!(ended.took >= ms(500) && ended.took < PROMPT, "{ended:#?}");
}

#[test]
fn a_main_that_polls_hears() {
    let ended = signalled("main polls", SIGINT);
    ended.assert_order(&["main heard", "main left"]);
    assert!(ended.took < PROMPT, "{ended:#?}");
}

#[test]
fn a_main_that_parks_is_unparked() {
    let ended = signalled("main parks", SIGINT);
    ended.assert_order(&["main heard", "main left"]);
    assert!(ended.took < PROMPT, "{ended:#?}");
}

#[test]
fn after_a_signal_the_signal_counts_whatever_main_chooses() {
    signalled("main hears and chooses a code", SIGTERM);
    signalled("main hears and exits", SIGTERM);
    signalled("main hears and panics", SIGTERM);
    signalled("finish after a signal", SIGTERM);
}

#[test]
fn a_main_that_hears_and_never_leaves_is_waited_for_until_the_deadline() {
    let ended = signalled("main hears and never leaves", SIGTERM);
    assert!(ended.took >= ms(1000), "{ended:#?}");
    assert!(ended.took < ms(5000), "{ended:#?}");
    ended.assert_never("main left");
    assert!(ended.err.contains("STUCK     main"), "{}", ended.err);
}

#[test]
fn with_exit_style_code_the_signal_becomes_a_code() {
    for name in [
        "main is deaf, with code",
        "main hears, with code",
        "finish after a signal, with code",
    ] {
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let mut running = start(&mut scenario(name));
            running.await_line("ready");
            let ended = running.end_by(signal);
            ended.assert_code(128 + signal);
            assert_orderly(&ended);
            assert_cause(&ended, &format!("Signal({signal})"));
        }
    }
}

#[test]
fn without_signals_or_without_installing_a_signal_does_what_it_ever_did() {
    for name in ["no signals", "not installed"] {
        let mut running = start(&mut scenario(name));
        running.await_line("ready");
        let ended = running.end_by(SIGTERM);
        ended.assert_signal(SIGTERM);
        assert_eq!(ended.out, ["ready"], "{name}");
    }
}

#[test]
fn a_handler_of_the_program_s_own_passes_the_signal_on() {
    signalled("own handler passes on", SIGINT);
}

#[test]
fn of_two_signals_the_first_is_the_cause_and_the_second_ends_it_at_once() {
    for (name, told, who) in [
        ("stuck", "told mule", "mule"),
        ("stuck in a nested tier", "told mule", "mule"),
        ("stuck in a callback", "told endless", "endless"),
    ] {
        let mut running = start(&mut scenario(name));
        running.await_line("ready");
        running.signal(SIGTERM);
        running.await_line(told);
        let ended = running.end_by(SIGINT);
        ended.assert_signal(SIGINT);
        assert!(ended.took < PROMPT, "{name}: {ended:#?}");
        assert!(
            ended.err.contains("still waiting for"),
            "{name}: {ended:#?}"
        );
        assert!(ended.err.contains(who), "{name}: {ended:#?}");
        ended.assert_never("at exit");
    }
}

#[test]
fn a_second_signal_names_only_those_who_are_still_waited_for() {
    let mut running = start(&mut scenario("stuck"));
    running.await_line("ready");
    running.signal(SIGINT);
    running.await_all(&["gone good", "told mule"]);
    // "gone" is said by a destructor of its thread, a moment before the last one, which books it as gone.
    std::thread::sleep(ms(300));
    let ended = running.end_by(SIGINT);
    ended.assert_signal(SIGINT);
    assert!(ended.err.contains("mule"), "{ended:#?}");
    assert!(!ended.err.contains("good"), "{ended:#?}");
}

#[test]
fn the_first_signal_in_a_shutdown_of_main_s_says_who_is_waited_for_and_the_second_ends_it() {
    let mut running = start(&mut scenario("stuck while main leaves"));
    running.await_line("told mule");
    running.signal(SIGINT);
    // Signals of one kind are not counted while one is pending; another kind is.
    std::thread::sleep(ms(300));
    let ended = running.end_by(SIGTERM);
    ended.assert_signal(SIGTERM);
    let said = ended.err.matches("still waiting for mule").count();
    assert_eq!(said, 2, "{ended:#?}");
}

#[test]
fn a_signal_that_stays_alone_ends_a_hung_shutdown_at_its_deadline() {
    let mut running = start(&mut scenario("stuck for a while"));
    running.await_line("ready");
    let ended = running.end_by(SIGINT);
    ended.assert_signal(SIGINT);
    ended.assert_order(&["told mule", "at exit"]);
    assert!(ended.took >= ms(2500), "{ended:#?}");
    assert!(ended.took < ms(7000), "{ended:#?}");
    assert!(ended.err.contains("STUCK     mule"), "{}", ended.err);
}

#[test]
fn under_nohup_a_hangup_stays_ignored() {
    let mut command = Command::new("nohup");
    command.arg(program()).arg("echo");
    let mut running = start(&mut command);
    running.await_line("ready");
    running.signal(SIGHUP);
    running.send("still here");
    running.await_line("echo still here");
    let ended = running.end_by(SIGTERM);
    ended.assert_signal(SIGTERM);
    assert_orderly(&ended);
    assert_cause(&ended, "Signal(15)");
}

#[test]
fn in_a_background_job_of_a_script_an_interrupt_stays_ignored() {
    let mut command = Command::new("sh");
    command
        .args(["-c", r#""$0" echo & wait "$!"; echo "status $?""#])
        .arg(program());
    let mut running = start(&mut command);
    running.await_line("ready");
    let pid = running.seen().iter().find_map(|l| l.strip_prefix("pid "));
    let pid: libc::pid_t = pid.unwrap().parse().unwrap();
    // Of two that are pending at once, the interrupt would be delivered first and be the cause.
    signal_process(pid, SIGINT);
    signal_process(pid, SIGTERM);
    let ended = running.end();
    assert_cause(&ended, "Signal(15)");
    assert_orderly(&ended);
    let status = ended.out.iter().any(|line| line.ends_with("status 143"));
    assert!(status, "the shell sees the signal: {ended:#?}");
}

// ---- installing

#[test]
fn dropping_the_guard_puts_back_the_signals() {
    let ended = run(&mut scenario("dispositions"));
    ended.assert_code(0);
    assert_eq!(
        ended.out,
        [
            "dispositions [0, 0, 0]",
            "ours [true, true, true]",
            "dispositions [0, 0, 0]",
            "main left"
        ]
    );
}

#[test]
fn what_was_ignored_stays_so_while_installed_and_after() {
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"trap '' INT HUP; exec "$0" dispositions"#])
        .arg(program());
    let ended = run(&mut command);
    assert_eq!(
        ended.out,
        [
            "dispositions [1, 0, 1]",
            "ours [false, true, false]",
            "dispositions [1, 0, 1]",
            "main left"
        ]
    );
}

#[test]
fn a_second_guard_is_refused_and_the_first_is_as_good_as_before() {
    let ended = signalled("install twice", SIGINT);
    ended.assert_order(&["again Some(AlreadyInstalled)", "ready"]);
    let said = ended.out.iter().any(|l| l.contains("installed already"));
    assert!(said, "{ended:#?}");
}

#[test]
fn nothing_is_installed_before_a_shutdown_is_through() {
    let ended = signalled("install in the last hook", SIGTERM);
    ended.assert_order(&["refused Err(ShuttingDown)", "clean true", "ready", "hook"]);
}

#[test]
fn installing_again_after_the_guard_works() {
    let ended = signalled("install again", SIGTERM);
    ended.assert_order(&["told early", "gone early", "between", "ready", "hook"]);
    let ended = signalled("install many times", SIGTERM);
    ended.assert_order(&["round 0", "round 19", "ready", "hook"]);
}

#[test]
fn with_the_guard_gone_a_signal_does_what_it_ever_did() {
    let mut running = start(&mut scenario("guard gone"));
    running.await_line("ready");
    let ended = running.end_by(SIGINT);
    ended.assert_signal(SIGINT);
    assert_orderly(&ended); // by the guard, and nothing a second time
    assert_cause(&ended, "Returned");
    assert!(ended.position("at exit") < ended.position("ready"));
}

#[test]
fn installing_takes_over_what_was_spawned_before() {
    signalled("install after spawn", SIGTERM);
}

#[test]
fn a_program_with_a_handler_by_ctrlc_is_told_what_to_do_and_keeps_it() {
    let mut running = start(&mut scenario("own ctrlc handler"));
    running.await_line("ready");
    running.signal(SIGINT);
    running.await_line("own handler");
    running.signal(SIGTERM); // is ctrlc's too, with its feature
    running.await_line("own handler");
    let ended = running.end_by(libc::SIGKILL);
    let refused = ended.out.iter().any(|l| l.starts_with("refused "));
    let advice = ended.out.iter().any(|l| l.contains("request_shutdown"));
    assert!(refused && advice, "{ended:#?}");
}

#[test]
fn a_program_with_a_handler_by_sigaction_is_refused_and_nothing_is_changed() {
    let mut running = start(&mut scenario("own handler for SIGTERM"));
    running.await_line("ready");
    running.signal(SIGTERM);
    running.await_line("own handler: SIGTERM");
    let ended = running.end_by(SIGINT);
    ended.assert_signal(SIGINT); // its default action still stands
    ended.assert_order(&[
        &format!("refused HandlerExists({SIGTERM})"),
        "others [0, 0]",
    ]);
    ended.assert_never("hook");
}

#[test]
fn a_handler_for_hangups_can_live_beside_ours() {
    let mut running = start(&mut scenario("own handler for SIGHUP"));
    running.await_line("ready");
    running.signal(SIGHUP);
    running.await_line("own handler: SIGHUP");
    let ended = running.end_by(SIGTERM);
    ended.assert_signal(SIGTERM);
    assert_orderly(&ended);
    assert_cause(&ended, "Signal(15)");
}

// ---- the process ends for another reason

#[test]
fn a_critical_worker_that_ends_takes_the_process_with_it() {
    let cause =
        |panicked| format!(r#"WorkerEnded {{ name: Some("vital"), panicked: {panicked} }}"#);
    let ended = leaves("critical worker ends", 0, &cause(false));
    assert!(ended.took < PROMPT, "{ended:#?}");
    let ended = leaves("critical worker panics", 1, &cause(true));
    assert!(ended.took < PROMPT, "{ended:#?}");
    assert!(ended.err.contains("PANICKED  vital"), "{}", ended.err);
    let ended = leaves("critical worker panics, main finishes", 1, &cause(true));
    ended.assert_order(&["at exit", "main left"]);
    let cause = "WorkerEnded { name: None, panicked: false }";
    let ended = leaves("critical worker ends, main finishes", 0, cause);
    ended.assert_order(&["at exit", "main left"]);
}

#[test]
fn a_supervisor_that_is_not_installed_never_ends_the_process() {
    let cause = "WorkerEnded { name: None, panicked: false }";
    let ended = leaves("critical worker ends, not installed", 0, cause);
    ended.assert_order(&[
        "at exit",
        "complete true",
        "the process goes on",
        "main left",
    ]);
}

#[test]
fn a_request_of_a_worker_ends_the_process() {
    for (name, code, cause) in [
        ("request on worker", 0, "Requested"),
        ("request of an exit", 7, "Exit(7)"),
        ("shutdown on worker", 0, "Requested"),
    ] {
        let ended = leaves(name, code, cause);
        ended.assert_never("main left");
        assert!(ended.took < PROMPT, "{name}: {ended:#?}");
    }
}

#[test]
fn a_request_of_main_does_not_end_main() {
    let ended = leaves("request on main", 0, "Requested");
    ended.assert_order(&["at exit", "main goes on", "main left"]);
}

// ---- fork

#[test]
fn in_a_forked_child_nothing_is_told_and_nothing_runs() {
    for name in [
        "fork, exit in the child",
        "fork, return in the child",
        "fork, shut down in the child",
    ] {
        let ended = run(&mut scenario(name));
        ended.assert_code(0);
        assert_orderly(&ended); // each line once: the parent's
        ended.assert_order(&["child exited with 5", "parent goes on", "hook"]);
        assert!(ended.took < PROMPT, "{name}: {ended:#?}");
    }
}

// ---- what fails on the way

#[test]
fn a_straggler_is_reported_on_standard_error() {
    for name in ["straggler", "straggler without guard"] {
        let ended = leaves(name, 0, "Returned");
        assert!(ended.took >= ms(500) && ended.took < PROMPT, "{ended:#?}");
        assert!(ended.err.contains("STUCK     mule"), "{}", ended.err);
    }
    let ended = signalled("straggler, then a signal", SIGTERM);
    assert!(ended.took >= ms(500) && ended.took < PROMPT, "{ended:#?}");
    assert!(ended.err.contains("STUCK     mule"), "{}", ended.err);
}

#[test]
fn a_closed_standard_error_holds_nothing_up() {
    for name in ["straggler", "panic in hooks"] {
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"exec "$0" "$1" 2>&-"#])
            .arg(program())
            .arg(name);
        let ended = run(&mut command);
        ended.assert_code(0);
        assert_orderly(&ended);
        assert!(ended.took < PROMPT, "{ended:#?}");
    }
}

/// The two ends of a pipe, the reader first. No child inherits them (where there is no `pipe2`: none that is not started just now).
fn pipe() -> (OwnedFd, OwnedFd) {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors, which are nobody else's afterwards.
    unsafe {
        #[cfg(target_os = "linux")]
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
        #[cfg(not(target_os = "linux"))]
        {
            assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
            for end in ends {
                assert_eq!(libc::fcntl(end, libc::F_SETFD, libc::FD_CLOEXEC), 0);
            }
        }
        (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
    }
}

/// A pipe that takes no more byte, and its reader, which reads none.
fn full_pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = pipe();
    // SAFETY: only flags of a descriptor of ours are changed.
    let set = |flags: libc::c_int| unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, flags) };
    assert_eq!(set(libc::O_NONBLOCK), 0);
    let mut file = std::fs::File::from(writer.try_clone().unwrap());
    while file.write(&[b'x'; 4096]).is_ok() {}
    while file.write(b"x").is_ok() {}
    assert_eq!(set(0), 0); // what the program gets blocks, as any pipe does
    (reader, writer)
}

#[test]
fn a_standard_error_that_nobody_reads_holds_nothing_up() {
    let (_reader, writer) = full_pipe();
    let stderr = || Stdio::from(writer.try_clone().unwrap());
    let ended = start_with_stderr(&mut scenario("straggler"), stderr()).end();
    ended.assert_code(0);
    assert_orderly(&ended);
    assert!(ended.took < ms(6000), "{ended:#?}");

    let mut running = start_with_stderr(&mut scenario("straggler, then a signal"), stderr());
    running.await_line("ready");
    let ended = running.end_by(SIGTERM);
    ended.assert_signal(SIGTERM);
    assert_orderly(&ended);
    assert!(ended.took < ms(6000), "{ended:#?}");

    // The second signal wants to say who is waited for.
    let mut running = start_with_stderr(&mut scenario("stuck"), stderr());
    running.await_line("ready");
    running.signal(SIGINT);
    running.await_line("told mule");
    let ended = running.end_by(SIGINT);
    ended.assert_signal(SIGINT);
    assert!(ended.took < PROMPT, "{ended:#?}");
}

#[test]
fn a_report_longer_than_a_pipe_holds_is_cut_off_when_nobody_reads() {
    let (_reader, writer) = pipe();
    let stderr = Stdio::from(writer);
    let ended = start_with_stderr(&mut scenario("many stragglers"), stderr).end();
    ended.assert_code(0).assert_order(&["at exit", "main left"]);
    assert!(ended.took < Duration::from_secs(10), "{ended:#?}");
    // Somebody reads: then it is there to its end.
    let ended = run(&mut scenario("many stragglers"));
    assert_eq!(ended.err.matches("PANICKED  mule").count(), 2000);
}

#[test]
fn a_panic_in_a_hook_keeps_nothing_from_running() {
    let ended = leaves("panic in hooks", 0, "Returned");
    assert!(ended.err.contains("hook is broken"), "{}", ended.err);
    assert!(ended.err.contains("exit is broken"), "{}", ended.err);
    assert!(
        ended.err.contains("2 panicked"),
        "the report: {}",
        ended.err
    );
}

#[test]
fn a_logger_that_panics_or_blocks_keeps_nothing_from_running() {
    for name in ["logger panics", "logger blocks"] {
        let ended = leaves(name, 0, "Returned");
        assert!(ended.took < ms(8000), "{name}: {ended:#?}");
    }
    let ended = signalled("logger blocks, then a signal", SIGTERM);
    assert!(ended.took < ms(8000), "{ended:#?}");
}

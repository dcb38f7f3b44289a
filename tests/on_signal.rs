//! A signal that does not mean stop runs its handler, on a thread where it may block: none is lost, and Ctrl-C works all the while.

#![cfg(unix)]

mod support;

use std::process::Command;

use libc::{SIGCONT, SIGHUP, SIGINT, SIGSTOP, SIGTERM, SIGUSR1, SIGUSR2};
use support::process::{production, run, start, Running};

fn scenario(name: &str) -> Command {
    let mut command = Command::new(production());
    command.arg(name);
    command
}

/// Starts the scenario and waits until it is ready.
fn ready(name: &str) -> Running {
    let mut running = start(&mut scenario(name));
    running.await_line("ready");
    running
}

/// Sends all of these so that they come at once: while it is suspended.
fn at_once(running: &mut Running, signals: &[i32]) {
    for &signal in [SIGSTOP].iter().chain(signals).chain(&[SIGCONT]) {
        running.signal(signal);
    }
}

#[test]
fn each_signal_runs_its_handler_each_time_and_sigterm_still_stops() {
    let mut running = ready("three handlers");
    for round in 1..=3 {
        for (signal, what) in [(SIGHUP, "reload"), (SIGUSR1, "reopen"), (SIGUSR2, "other")] {
            running.signal(signal);
            running.await_line(&format!("{what} {round}"));
        }
    }
    let ended = running.end_by(SIGTERM);
    ended.assert_signal(SIGTERM);
    ended.assert_order(&["worker told", "worker over"]);
    ended.assert_order(&["main leaves after SIGTERM"]);
    assert_eq!(ended.err, "");
}

#[test]
fn none_is_lost_when_several_come_at_once() {
    let mut running = ready("three handlers");
    at_once(&mut running, &[SIGUSR1, SIGHUP, SIGUSR2]);
    running.await_all(&["reload 1", "reopen 1", "other 1"]);
    // Nor is the request to stop, which counts once.
    at_once(&mut running, &[SIGUSR1, SIGTERM, SIGUSR2, SIGHUP]);
    let ended = running.end();
    ended.assert_signal(SIGTERM);
    ended.assert_order(&["worker over"]);
    ended.assert_order(&["reload 2"]);
    ended.assert_order(&["reopen 2"]);
    ended.assert_order(&["other 2"]);
    assert_eq!(ended.err, "", "no second signal was seen");
}

#[test]
fn a_signal_during_a_run_makes_one_more_run_however_many_come() {
    let mut running = ready("a handler that takes a while");
    running.signal(SIGUSR1);
    running.await_line("handler begins");
    for _ in 0..3 {
        running.signal(SIGUSR1);
    }
    // For as many runs as there can be.
    for line in ["first", "second", "third", "fourth"] {
        running.send(line);
    }
    running.await_line("handler ends with \"first\"");
    running.await_line("handler begins");
    running.await_line("handler ends with \"second\"");
    let ended = running.end_by(SIGTERM);
    ended.assert_signal(SIGTERM);
    // One more for all that came during the first; those that it was too quick for may have made others.
    assert!(ended.count("handler begins") <= 4, "{ended:#?}");
}

#[test]
fn a_handler_that_blocks_holds_up_neither_other_handlers_nor_the_shutdown() {
    let mut running = ready("a handler that blocks");
    running.signal(SIGUSR1);
    running.await_line("blocks");
    running.signal(SIGUSR2);
    running.await_line("other 1");
    running.signal(SIGUSR1);
    running.signal(SIGUSR2);
    running.await_line("other 2");
    let ended = running.end_by(SIGINT);
    ended.assert_signal(SIGINT);
    ended.assert_order(&["worker over"]);
    assert_eq!(ended.count("blocks"), 1);
    // It is a straggler, with a name and the place where it was given.
    assert!(
        ended.err.contains("STUCK     SIGUSR1 handler"),
        "{}",
        ended.err
    );
    assert!(ended.err.contains("production.rs"), "{}", ended.err);
}

#[test]
fn a_run_under_way_is_told_to_stop_and_waited_for() {
    let mut running = ready("a handler that is told");
    running.signal(SIGUSR1);
    running.await_line("handler begins");
    let ended = running.end_by(SIGTERM);
    ended.assert_signal(SIGTERM);
    ended.assert_order(&["the handler's own thread", "handler ends"]);
    assert_eq!(ended.err, "");
}

#[test]
fn a_handler_that_panics_is_run_again() {
    let mut running = ready("a handler that panics");
    for round in 1..=3 {
        running.signal(SIGUSR1);
        running.await_line(&format!("run {round}"));
    }
    let ended = running.end_by(SIGTERM);
    ended.assert_signal(SIGTERM);
    ended.assert_order(&["worker over"]);
}

#[test]
fn every_handler_of_a_signal_runs() {
    let mut running = ready("two handlers for one signal");
    running.signal(SIGUSR1);
    running.await_all(&["one 1", "two 1"]);
    running.end_by(SIGTERM).assert_signal(SIGTERM);
}

#[test]
fn a_handler_may_shut_down() {
    let mut running = ready("a handler that shuts down");
    running.signal(SIGUSR1);
    let ended = running.end();
    ended.assert_code(0); // nobody asked for an end by a signal
    ended.assert_order(&["worker told", "worker over"]);
    assert_eq!(ended.err, "", "the handler is no straggler");
}

#[test]
fn signals_are_answered_while_a_shutdown_hangs() {
    let mut running = ready("a stuck shutdown");
    running.signal(SIGTERM);
    running.await_line("told mule");
    for round in 1..=2 {
        running.signal(SIGUSR1);
        running.await_line(&format!("dump {round}"));
    }
    // And they do not count as a second request to stop, which this is.
    let ended = running.end_by(SIGTERM);
    ended.assert_signal(SIGTERM);
    assert!(
        ended
            .err
            .contains("leaving at once; still waiting for mule"),
        "{}",
        ended.err
    );
}

#[test]
fn a_signal_with_a_handler_asks_for_no_shutdown_be_it_ctrl_c() {
    let mut running = ready("Ctrl-C is taken");
    for round in 1..=3 {
        running.signal(SIGINT);
        running.await_line(&format!("Ctrl-C {round}"));
    }
    running.end_by(SIGTERM).assert_signal(SIGTERM);
}

#[test]
fn handlers_go_with_the_guard_and_come_with_the_next() {
    let mut running = ready("handlers go with the guard");
    running.signal(SIGUSR1);
    running.await_line("again 1");
    let ended = running.end_by(SIGTERM);
    ended.assert_signal(SIGTERM);
    ended.assert_order(&["ours true", "handler dropped", "as before true", "again 1"]);
    ended.assert_never("handler ran");
}

/// Its default action would end the process by the wrong signal, which a service manager books as a failure.
#[test]
fn one_that_comes_after_the_guard_has_gone_does_not_end_a_process_that_another_has_ended() {
    let ended = ready("a late signal").end_by(SIGTERM);
    ended.assert_signal(SIGTERM);
    ended.assert_order(&["main leaves after SIGTERM", "main goes on"]);
}

#[test]
fn what_cannot_be_handled_is_refused_and_nothing_is_changed() {
    let running = ready("refused");
    let seen = running.seen().join("\n");
    for refused in [
        "NoHandlerFor(9)",
        "NoHandlerFor(11)",
        "NoHandlerFor(0)",
        "NoHandlerFor(-1)",
    ] {
        assert!(seen.contains(refused), "{refused}: {seen}");
    }
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    for refused in ["NoHandlerFor(65)", "NoHandlerFor(32)"] {
        assert!(seen.contains(refused), "{refused}: {seen}");
    }
    assert!(seen.contains("HandlerExists(3)"), "{seen}");
    assert!(seen.contains("a handler for SIGQUIT already"), "{seen}");
    assert!(seen.contains("SignalsOff(10)"), "{seen}");
    assert!(seen.contains("untouched [0, 0, 0]"), "{seen}");
    running.end_by(SIGTERM).assert_signal(SIGTERM);
}

#[test]
fn a_forked_child_takes_signals_as_if_there_were_no_handler() {
    let ended = run(&mut scenario("forked children"));
    ended.assert_code(0);
    assert_eq!(
        ended.out,
        [
            "child died of 10",
            "child exited with 5",
            "child died of 15"
        ]
    );
}

#[test]
fn sigint_stays_ignored_where_it_was_and_sighup_gets_its_handler() {
    // As `nohup` and the background of a script leave them.
    let ignoring = |name: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' INT HUP; exec \"$0\" \"$1\""]);
        shell.arg(production()).arg(name);
        let mut running = start(&mut shell);
        running.await_line("ready");
        running
    };
    let mut running = ignoring("three handlers");
    running.signal(SIGHUP);
    running.await_line("reload 1");
    running.end_by(SIGTERM).assert_signal(SIGTERM);

    let mut running = ignoring("Ctrl-C is taken");
    running.signal(SIGINT);
    let ended = running.end_by(SIGTERM);
    ended.assert_signal(SIGTERM);
    ended.assert_never("Ctrl-C 1");
}

#[test]
fn a_signal_whose_handler_has_just_gone_asks_for_no_shutdown() {
    let running = ready("handlers come and go in a storm");
    assert!(running.seen().contains(&"asked to stop 0 times".to_owned()));
    let ended = running.end_by(SIGTERM);
    ended.assert_signal(SIGTERM);
    ended.assert_order(&["main leaves after SIGTERM"]);
}

#[test]
fn in_a_storm_a_run_begins_after_the_last_signal() {
    let file = std::env::temp_dir().join(format!("sundown-storm-{}", std::process::id()));
    std::fs::write(&file, "0").unwrap();
    let mut running = start(scenario("a storm").arg(&file));
    running.await_line("ready");
    // Signals of one kind merge, in the system as well; but whatever was there before one of them is seen.
    for round in 1..=500 {
        std::fs::write(&file, round.to_string()).unwrap();
        running.signal(SIGUSR1);
        if round % 100 == 0 {
            running.await_line(&format!("seen {round}"));
        }
    }
    let ended = running.end_by(SIGTERM);
    std::fs::remove_file(&file).unwrap();
    ended.assert_signal(SIGTERM);
    ended.assert_order(&["worker over"]);
    assert_eq!(ended.err, "");
}

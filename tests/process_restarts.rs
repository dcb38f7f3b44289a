//! A child process that fails is started again, as its policy says; one that was told to end is not.

#![cfg(all(unix, feature = "process"))]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use sundown::process;
use sundown::restart::Restart;
use sundown::{Cause, Supervisor};
use support::in_time;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A shell that runs `script`, in a supervisor, with this policy.
fn shell(supervisor: &Supervisor, script: &str, policy: Restart) -> process::Builder {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    process::Builder::new("child", command)
        .supervisor(supervisor)
        .restart(policy)
}

fn at_once() -> Restart {
    Restart::on_failure().backoff(ms(1), ms(1))
}

#[test]
fn one_that_fails_is_started_again_until_it_does_not() {
    let folder = std::env::temp_dir().join(format!("sundown-restart-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    // It fails twice: each run leaves a letter, and the third finds two.
    let script = format!(
        "cd {}; runs=$(cat runs 2>/dev/null); printf %sx \"$runs\" > runs; [ \"$runs\" = xx ]",
        folder.display()
    );
    let supervisor = Supervisor::new();
    let child = shell(&supervisor, &script, at_once()).spawn().unwrap();
    let id = child.worker_id();

    let status = in_time(move || child.wait().unwrap());

    assert!(status.success());
    assert_eq!(std::fs::read_to_string(folder.join("runs")).unwrap(), "xxx");
    std::fs::remove_dir_all(&folder).unwrap();
    // Its worker ends a moment after it.
    assert!(supervisor.wait_for_worker(id, support::PATIENCE));
}

#[test]
fn without_a_policy_it_is_not() {
    let supervisor = Supervisor::new();
    let mut command = Command::new("sh");
    command.args(["-c", "exit 3"]);
    let child = supervisor.spawn_process("child", command).unwrap();
    let status = in_time(move || child.wait().unwrap());
    assert_eq!(status.code(), Some(3));
    assert!(!supervisor.is_shutting_down());
}

#[test]
fn one_that_fails_too_often_is_given_up_and_the_cause_says_why() {
    let supervisor = Supervisor::new();
    let policy = at_once().limit(2, Duration::from_secs(60));
    let child = shell(&supervisor, "exit 7", policy).spawn().unwrap();
    let theirs = supervisor.clone();
    let cause = in_time(move || theirs.wait_for_shutdown());
    let Cause::GaveUp {
        name,
        restarts,
        failure,
        ..
    } = cause
    else {
        panic!("{cause:?}");
    };
    assert_eq!((name.as_deref(), restarts), (Some("child"), 2));
    assert!(failure.contains("exit status: 7"), "{failure}");
    let status = in_time(move || child.wait().unwrap());
    assert_eq!(status.code(), Some(7));
    in_time(move || supervisor.shutdown());
}

#[test]
fn one_that_was_killed_comes_back_with_another_number_and_other_pipes() {
    let supervisor = Supervisor::new();
    let mut command = Command::new("sh");
    command
        .args(["-c", "echo runs; exec sleep 1000"])
        .stdout(Stdio::piped());
    let child = process::Builder::new("child", command)
        .supervisor(&supervisor)
        .restart(at_once())
        .spawn()
        .unwrap();
    let mut ids = Vec::new();
    for _ in 0..3 {
        // A run's output is there from when it has begun.
        let output = loop {
            if let Some(output) = child.take_stdout() {
                break output;
            }
            std::thread::yield_now();
        };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).unwrap();
        assert_eq!(line, "runs\n");
        ids.push(child.id());
        child.kill().unwrap();
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
    let report = in_time(move || supervisor.shutdown());
    let entry = &report.entries()[0];
    assert!(entry.restarts() >= 2, "{report}");
    in_time(move || child.wait().unwrap());
}

#[test]
fn one_that_is_told_is_not_started_again_not_even_in_its_pause() {
    let supervisor = Supervisor::new();
    let hour = Duration::from_secs(3600);
    let policy = Restart::on_failure().backoff(hour, hour);
    let child = shell(&supervisor, "exit 1", policy).spawn().unwrap();
    // Whether it is running, ending or pausing: the stop ends all of these.
    let report = in_time(move || supervisor.shutdown());
    assert_eq!(report.stragglers().len(), 0, "{report}");
    in_time(move || child.wait().unwrap());
}

#[test]
fn what_cannot_be_started_the_first_time_is_an_error_and_is_not_tried_again() {
    let supervisor = Supervisor::new();
    for policy in [Restart::always(), at_once()] {
        let error = process::Builder::new("child", Command::new("/no/such/program"))
            .supervisor(&supervisor)
            .restart(policy)
            .spawn()
            .unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    }
    assert!(supervisor.workers().is_empty());
    assert!(!supervisor.is_shutting_down());
}

#[test]
fn settings_that_contradict_each_other_are_an_error() {
    let supervisor = Supervisor::new();
    let policy = Restart::on_failure().limit(0, ms(1));
    let error = shell(&supervisor, "exit 0", policy).spawn().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(supervisor.workers().is_empty());
}

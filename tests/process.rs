//! Child processes as workers: told, killed when they do not listen, reaped, reported.
#![cfg(all(unix, feature = "process"))]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sundown::process::{Builder, Child};
use sundown::{Outcome, ShutdownReport, Supervisor};
use support::{in_time, timed, PATIENCE};

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).stdin(Stdio::null());
    command
}

/// Starts a script and waits for its first line, by which it has set its traps. It gives the rest of its output.
fn start(supervisor: &Supervisor, grace: Duration, script: &str) -> (Child, String, impl BufRead) {
    let mut command = sh(script);
    command.stdout(Stdio::piped());
    let child = Builder::new("child", command)
        .supervisor(supervisor)
        .grace(grace);
    let child = child.spawn().unwrap();
    let mut output = BufReader::new(child.take_stdout().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    (child, line.trim().to_owned(), output)
}

const IGNORES_TERM: &str = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
const LONG: Duration = Duration::from_secs(10);

/// Whether there is such a process, as a zombie or alive.
fn exists(id: u32) -> bool {
    // SAFETY: signal 0 only asks.
    unsafe { libc::kill(id as libc::pid_t, 0) == 0 }
}

fn await_gone(id: u32) {
    let limit = Instant::now() + PATIENCE;
    while exists(id) && !is_zombie_of_init(id) {
        assert!(Instant::now() < limit, "process {id} is still there");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// An orphan that has ended may wait for an init that does not reap, as in containers: that is not ours.
fn is_zombie_of_init(id: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let fields: Vec<_> = stat
        .rsplit(") ")
        .next()
        .unwrap_or_default()
        .split(' ')
        .collect();
    fields.first() == Some(&"Z") && fields.get(1) != Some(&std::process::id().to_string().as_str())
}

fn note(report: &ShutdownReport) -> &str {
    report.entries()[0].note().unwrap()
}

#[test]
fn one_that_ends_at_once_gives_its_status_as_often_as_asked() {
    let supervisor = Supervisor::new();
    let child = supervisor.spawn_process("three", sh("exit 3")).unwrap();
    for _ in 0..2 {
        assert_eq!(child.wait().unwrap().code(), Some(3));
        assert_eq!(child.try_wait().unwrap().unwrap().code(), Some(3));
        assert_eq!(
            child.wait_timeout(Duration::ZERO).unwrap().unwrap().code(),
            Some(3)
        );
    }
    assert!(!child.was_forced());
    child.terminate();
    child.kill().unwrap();
    await_gone(child.id());
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn one_that_listens_ends_by_sigterm_and_the_report_says_so() {
    let supervisor = Supervisor::new();
    let (child, _, _output) = start(&supervisor, LONG, "echo ready; exec sleep 100");
    assert!(child.try_wait().unwrap().is_none());
    assert!(child
        .wait_timeout(Duration::from_millis(10))
        .unwrap()
        .is_none());
    let (report, took) = timed(|| supervisor.shutdown());
    assert!(took < LONG, "{took:?}");
    assert!(report.is_clean(), "{report}");
    let entry = &report.entries()[0];
    assert_eq!(
        (entry.name(), entry.outcome()),
        (Some("child"), &Outcome::Finished)
    );
    assert_eq!(entry.location().file(), file!());
    assert_eq!(note(&report), "signal: 15 (SIGTERM)");
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGTERM));
    assert!(!exists(child.id()));
}

#[test]
fn one_that_cleans_up_ends_with_the_status_of_its_choice() {
    let supervisor = Supervisor::new();
    let script = "trap 'echo cleaning; exit 7' TERM; echo ready; while :; do sleep 0.02; done";
    let (child, _, mut output) = start(&supervisor, LONG, script);
    let report = supervisor.shutdown();
    assert!(report.is_clean(), "{report}");
    assert_eq!(note(&report), "exit status: 7");
    assert_eq!(child.wait().unwrap().code(), Some(7));
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "cleaning\n");
}

#[test]
fn one_that_ignores_sigterm_is_killed_after_its_grace_and_the_report_says_so() {
    let supervisor = Supervisor::new();
    let grace = Duration::from_millis(200);
    let (child, _, _output) = start(&supervisor, grace, IGNORES_TERM);
    let (report, took) = timed(|| supervisor.shutdown());
    assert!(took >= grace && took < LONG, "{took:?}");
    assert!(
        report.stragglers().is_empty() && !report.is_clean(),
        "{report}"
    );
    assert_eq!(
        note(&report),
        "did not end when told (SIGTERM), and HAD TO BE KILLED; signal: 9 (SIGKILL)"
    );
    let text = report.to_string();
    assert!(
        text.contains("1 failed") && text.contains("FAILED    child"),
        "{text}"
    );
    assert!(child.was_forced());
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    assert!(!exists(child.id()));
}

#[test]
fn it_is_killed_before_the_deadline_however_long_its_grace() {
    let supervisor = Supervisor::builder()
        .deadline(Duration::from_secs(2))
        .build();
    let (child, _, _output) = start(&supervisor, LONG, IGNORES_TERM);
    let report = supervisor.shutdown();
    assert!(report.stragglers().is_empty(), "{report}");
    assert!(child.was_forced());
    assert!(!exists(child.id()));
}

#[test]
fn a_shutdown_that_begins_later_shortens_the_grace_of_one_that_was_told_before() {
    let supervisor = Supervisor::builder()
        .deadline(Duration::from_secs(2))
        .build();
    let (child, _, _output) = start(&supervisor, LONG, IGNORES_TERM);
    child.terminate();
    assert!(child
        .wait_timeout(Duration::from_millis(100))
        .unwrap()
        .is_none());
    let report = supervisor.shutdown();
    assert!(report.stragglers().is_empty(), "{report}");
    assert!(!exists(child.id()));
}

#[test]
fn terminate_and_kill_outside_a_shutdown() {
    let supervisor = Supervisor::new();
    let grace = Duration::from_millis(100);
    let (child, _, _output) = start(&supervisor, grace, IGNORES_TERM);
    let (status, took) = timed(|| {
        child.terminate();
        child.terminate();
        child.wait().unwrap()
    });
    assert!(took >= grace && took < LONG, "{took:?}");
    assert_eq!(status.signal(), Some(libc::SIGKILL));
    assert!(child.was_forced());

    let (child, _, _output) = start(&supervisor, LONG, IGNORES_TERM);
    let (status, took) = timed(|| {
        child.kill().unwrap();
        child.wait().unwrap()
    });
    assert!(took < LONG, "{took:?}");
    assert_eq!(status.signal(), Some(libc::SIGKILL));
    assert!(!child.was_forced(), "it was not told to end before");
}

#[test]
fn grandchildren_are_told_with_their_group_and_have_the_same_grace() {
    let supervisor = Supervisor::new();
    // The child ends at once by SIGTERM; what it has started needs a while for its last words.
    let script = "sh -c 'trap \"sleep 0.3; echo last words; exit 0\" TERM; echo $$; while :; do sleep 0.02; done' & wait";
    let (child, grandchild, mut output) = start(&supervisor, LONG, script);
    let grandchild = grandchild.parse().unwrap();
    let report = supervisor.shutdown();
    assert!(report.is_clean(), "{report}");
    await_gone(grandchild);
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    #[cfg(target_os = "linux")]
    assert_eq!(rest, "last words\n");
    assert!(!child.was_forced());
}

#[test]
fn grandchildren_that_ignore_sigterm_are_killed_too() {
    let supervisor = Supervisor::new();
    let script = "sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.02; done' & wait";
    let (child, grandchild, mut output) = start(&supervisor, Duration::from_millis(200), script);
    let grandchild = grandchild.parse().unwrap();
    let report = supervisor.shutdown();
    assert!(report.stragglers().is_empty(), "{report}");
    await_gone(grandchild);
    // Nobody holds the other end.
    assert_eq!(output.read_to_string(&mut String::new()).unwrap(), 0);
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGTERM));
    #[cfg(target_os = "linux")]
    assert_eq!(
        note(&report),
        "did not end when told (SIGTERM), and HAD TO BE KILLED; signal: 15 (SIGTERM)"
    );
}

#[test]
fn what_a_child_leaves_behind_in_its_group_ends_with_it() {
    let supervisor = Supervisor::new();
    let (child, grandchild, _output) = start(&supervisor, LONG, "sleep 1000 & echo $!");
    assert!(child.wait().unwrap().success());
    await_gone(grandchild.parse().unwrap());
}

#[test]
fn a_command_that_does_not_exist_is_an_error_and_leaves_nothing_behind() {
    let supervisor = Supervisor::new();
    let command = Command::new("/no/such/program");
    let error = supervisor.spawn_process("none", command).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    let error = supervisor.spawn_process("a\0b", sh("exit 0")).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(supervisor.workers().is_empty());
    assert!(supervisor.shutdown().entries().is_empty());
}

#[test]
fn output_can_be_read_while_it_runs_and_input_written() {
    let supervisor = Supervisor::new();
    let mut command = sh("while read line; do echo \"got $line\"; done; echo end");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let child = supervisor.spawn_process("echo", command).unwrap();
    let mut input = child.take_stdin().unwrap();
    let mut output = BufReader::new(child.take_stdout().unwrap()).lines();
    for n in 0..3 {
        writeln!(input, "{n}").unwrap();
        assert_eq!(output.next().unwrap().unwrap(), format!("got {n}"));
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    assert_eq!(output.next().unwrap().unwrap(), "end");
    assert!(child.take_stdout().is_none());
}

#[test]
fn waiting_closes_an_input_that_nobody_has_taken() {
    in_time(|| {
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped());
        let child = Supervisor::new().spawn_process("cat", command).unwrap();
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn one_that_is_stuck_in_a_pipe_that_nobody_reads_can_be_ended() {
    let supervisor = Supervisor::new();
    let (child, _, output) = start(&supervisor, LONG, "echo ready; exec cat /dev/zero");
    assert!(child
        .wait_timeout(Duration::from_millis(30))
        .unwrap()
        .is_none());
    let report = supervisor.shutdown();
    assert!(report.is_clean(), "{report}");
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGTERM));
    drop(output);
}

#[test]
fn one_that_writes_into_a_pipe_that_is_closed_ends_by_itself_and_says_how() {
    let supervisor = Supervisor::new();
    let (child, _, output) = start(&supervisor, LONG, "echo ready; exec cat /dev/zero");
    drop(output);
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGPIPE));
}

#[test]
fn it_leads_a_group_of_its_own_unless_told_otherwise() {
    // SAFETY: getpgid only asks, of a child that has not been reaped.
    let group = |id: u32| unsafe { libc::getpgid(id as libc::pid_t) };
    let supervisor = Supervisor::new();
    let (child, _, _output) = start(&supervisor, LONG, "echo ready; exec sleep 100");
    assert_eq!(group(child.id()), child.id() as libc::pid_t);
    let mut command = Command::new("sleep");
    command.arg("100");
    let ours = Builder::new("ours", command)
        .supervisor(&supervisor)
        .group(false);
    let ours = ours.spawn().unwrap();
    assert_eq!(group(ours.id()), group(std::process::id()));
    let report = supervisor.shutdown();
    assert!(report.is_clean(), "{report}");
    assert_eq!(ours.wait().unwrap().signal(), Some(libc::SIGTERM));
}

#[test]
fn one_that_is_stopped_hears_sigterm_too() {
    let supervisor = Supervisor::new();
    let (child, _, _output) = start(&supervisor, LONG, "echo ready; exec sleep 100");
    // SAFETY: kill takes any numbers; the child has not been reaped.
    unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGSTOP) };
    let (report, took) = timed(|| supervisor.shutdown());
    assert!(report.is_clean() && took < LONG, "{report}");
}

#[test]
fn many_may_wait_for_one_and_tell_it_meanwhile() {
    in_time(|| {
        let child = Supervisor::new()
            .spawn_process("one", sh("exec sleep 100"))
            .unwrap();
        let child = Arc::new(child);
        let waiters: Vec<_> = (0..20)
            .map(|_| {
                let child = Arc::clone(&child);
                std::thread::spawn(move || child.wait().unwrap().signal())
            })
            .collect();
        child.terminate();
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), Some(libc::SIGTERM));
        }
    });
}

#[test]
fn a_child_that_comes_late_is_told_and_reaped_within_the_same_deadline() {
    let supervisor = Supervisor::new();
    let (sink, spawned) = crossbeam_channel::bounded(1);
    let theirs = supervisor.clone();
    let _worker = supervisor
        .worker()
        .spawn_with(move |stop| {
            stop.wait();
            let child = theirs.spawn_process("late", sh("exec sleep 100")).unwrap();
            sink.send(child).unwrap();
        })
        .unwrap();
    let report = supervisor.shutdown();
    assert!(report.is_clean(), "{report}");
    let child = spawned.recv().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGTERM));
    assert!(!exists(child.id()));
    let error = supervisor
        .spawn_process("too late", sh("exit 0"))
        .unwrap_err();
    assert!(error.to_string().contains("over"), "{error}");
}

#[test]
fn hundreds_that_are_told_together_are_gone_together() {
    let supervisor = Supervisor::new();
    let children: Vec<_> = (0..200)
        .map(|n| {
            let mut command = Command::new("sleep");
            command.arg("1000");
            supervisor
                .spawn_process(format!("sleep-{n}"), command)
                .unwrap()
        })
        .collect();
    let report = supervisor.shutdown();
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.entries().len(), 200);
    assert!(children.iter().all(|child| !exists(child.id())));
}

#[test]
fn ten_thousand_short_ones_leave_nothing_behind() {
    let supervisor = Supervisor::new();
    let per_thread = 2500;
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let supervisor = supervisor.clone();
            std::thread::spawn(move || {
                for n in 0..per_thread {
                    let child = supervisor
                        .spawn_process("short", Command::new("true"))
                        .unwrap();
                    if n % 3 == 0 {
                        child.terminate(); // a race with its end, and with its being reaped
                    }
                    let status = child.wait().unwrap();
                    assert!(
                        status.success() || status.signal() == Some(libc::SIGTERM),
                        "{status}"
                    );
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let limit = Instant::now() + PATIENCE;
    while !supervisor.workers().is_empty() {
        assert!(
            Instant::now() < limit,
            "{} workers are left",
            supervisor.workers().len()
        );
        std::thread::yield_now();
    }
    // One that is listed no more may be a step from leaving the registry: it has left when its thread is over.
    while threads_named("short") > 0 {
        assert!(Instant::now() < limit, "a thread is left");
        std::thread::yield_now();
    }
    assert!(supervisor.shutdown().entries().is_empty());
}

/// How many threads of this process have that name, where the system tells.
fn threads_named(name: &str) -> usize {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let names = threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("comm")).ok());
    names.filter(|found| found.trim_end() == name).count()
}

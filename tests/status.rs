//! A shutdown that takes longer than a second says what it waits for: on a terminal in a line that is drawn afresh, else in the log.

#![cfg(unix)]

mod support;

use std::fs::File;
use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::Duration;

use libc::SIGINT;
use support::process::{build, start, start_with_stderr, Ended, Running};

fn program(scenario: &str, seconds: &str) -> Command {
    let features: &[&str] = match cfg!(feature = "progress") {
        true => &["progress"],
        false => &[],
    };
    let mut command = Command::new(build("slow", features));
    command.args([scenario, seconds]).env("TERM", "xterm");
    command
}

/// Both ends of a terminal with so many columns.
fn terminal(columns: u16) -> (File, File) {
    let (mut master, mut slave) = (0, 0);
    let size = libc::winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let null = std::ptr::null_mut();
    // SAFETY: openpty(3) writes two descriptors, which nobody else owns; null pointers are allowed.
    unsafe {
        assert_eq!(
            libc::openpty(&mut master, &mut slave, null, null.cast(), &{ size }),
            0
        );
        let own = |fd| File::from(OwnedFd::from_raw_fd(fd));
        (own(master), own(slave))
    }
}

/// Runs it on a terminal, sends SIGINT when it is ready, and gives what it wrote there.
fn on_terminal(command: &mut Command, columns: u16) -> (Ended, String) {
    run_on_terminal(command, columns, |running| running.end_by(SIGINT))
}

/// Runs it on a terminal until `end` has ended it, and gives what it wrote there.
fn run_on_terminal(
    command: &mut Command,
    columns: u16,
    end: impl FnOnce(Running) -> Ended,
) -> (Ended, String) {
    let (mut master, slave) = terminal(columns);
    let read = std::thread::spawn(move || {
        let mut text = Vec::new();
        // Ends with an error when the last writer has gone.
        let _ = master.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    let mut running = start_with_stderr(command, Stdio::from(slave));
    // The command keeps its copy of the terminal open.
    command.stderr(Stdio::null());
    running.await_line("ready");
    let ended = end(running);
    (ended, read.join().unwrap())
}

#[test]
fn a_terminal_has_a_line_from_one_second_on() {
    let (ended, text) = on_terminal(&mut program("waits", "2.5"), 200);
    ended.assert_signal(SIGINT);
    let drawn: Vec<&str> = text
        .split('\r')
        .filter(|line| line.contains("stopping:"))
        .collect();
    assert!(drawn.len() >= 3, "it is drawn afresh: {text:?}");
    let first = drawn[0];
    assert!(first.contains("1 of 2 left: writer (1."), "{text:?}");
    assert!(first.contains("flushing"), "{text:?}");
    if cfg!(target_os = "linux") {
        assert!(first.contains("in clock_nanosleep"), "{text:?}");
    }
    assert!(
        first.contains(" s left; Ctrl-C again to leave now"),
        "{text:?}"
    );
    assert!(
        !text.contains('\n'),
        "a clean shutdown leaves nothing behind: {text:?}"
    );
    let last = text.rsplit("stopping:").next().unwrap();
    assert!(
        last.contains("\u{1b}[") && last.contains('K'),
        "the line is taken away: {text:?}"
    );
}

#[test]
fn a_main_that_hears_is_waited_for_like_the_others() {
    let (ended, text) = on_terminal(&mut program("main waits", "2.5"), 200);
    ended.assert_signal(SIGINT);
    assert!(text.contains("1 of 2 left: main"), "{text:?}");

    let (ended, text) = on_terminal(&mut program("main is deaf", "2.5"), 200);
    ended.assert_signal(SIGINT);
    assert!(text.contains("1 of 1 left: writer"), "{text:?}");
}

#[test]
fn it_says_who_hangs_while_others_are_still_to_be_told() {
    // One second in, the second hook has been running for 0.2 s, and has 0.6 s to go.
    let (ended, text) = on_terminal(&mut program("hooks take long", "0.8"), 200);
    ended.assert_signal(SIGINT);
    let drawn = text.split('\r').find(|line| line.contains("stopping:"));
    let drawn = drawn.expect("a line");
    assert!(drawn.contains("left: hook second"), "{text:?}");
}

/// The first signal only says so; the second one ends it.
#[test]
fn before_the_first_signal_it_takes_two_to_leave() {
    let (ended, text) = run_on_terminal(&mut program("leaves", "1.5"), 200, Running::end);
    ended.assert_code(0);
    assert!(
        text.contains(" s left; Ctrl-C twice to leave now"),
        "{text:?}"
    );
}

#[test]
fn the_line_fits_into_the_terminal() {
    let (_, text) = on_terminal(&mut program("waits", "1.8"), 40);
    assert!(text.contains("stopping:"), "{text:?}");
    for line in text.split(['\r', '\n']) {
        let mut plain = String::new();
        let mut rest = line;
        // Without what drives the terminal.
        while let Some((before, after)) = rest.split_once('\u{1b}') {
            plain.push_str(before);
            let end = after.find(|c: char| c.is_ascii_alphabetic()).unwrap();
            rest = &after[end + 1..];
        }
        plain.push_str(rest);
        assert!(plain.chars().count() <= 40, "{plain:?}");
    }
}

#[test]
fn a_shutdown_that_is_over_sooner_says_nothing() {
    let (ended, text) = on_terminal(&mut program("waits", "0.1"), 200);
    ended.assert_signal(SIGINT);
    assert_eq!(text, "");
}

#[test]
fn it_can_be_turned_off() {
    let (ended, text) = on_terminal(&mut program("waits quietly", "1.8"), 200);
    ended.assert_signal(SIGINT);
    assert_eq!(text, "");
}

#[test]
fn a_dumb_terminal_and_a_pipe_have_no_line() {
    let (_, text) = on_terminal(program("waits", "1.8").env("TERM", "dumb"), 200);
    assert_eq!(text, "");
    let mut running = start(&mut program("waits", "1.8"));
    running.await_line("ready");
    let ended = running.end_by(SIGINT);
    ended.assert_signal(SIGINT);
    assert_eq!(ended.err, "");
}

#[test]
fn the_log_has_a_line_every_few_seconds() {
    let mut running = start(&mut program("waits, logging", "4.7"));
    running.await_line("ready");
    let ended = running.end_by(SIGINT);
    ended.assert_signal(SIGINT);
    let lines: Vec<&String> = ended
        .out
        .iter()
        .filter(|l| l.starts_with("log: stopping:"))
        .collect();
    assert!((1..=3).contains(&lines.len()), "{ended:#?}");
    assert!(lines[0].contains("1 of 2 left: writer (1."), "{ended:#?}");
    assert!(!lines[0].contains('\u{1b}'), "{ended:#?}");
}

#[test]
fn a_second_signal_takes_the_line_s_place() {
    let (mut master, slave) = terminal(200);
    let read = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = master.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    let mut command = program("waits, logging", "20");
    command.stdout(Stdio::piped());
    let mut running = start_with_stderr(&mut command, Stdio::from(slave));
    command.stderr(Stdio::null());
    running.await_line("ready");
    running.signal(SIGINT);
    // Long enough for the line to be there; it is the passing of time that is tested.
    std::thread::sleep(Duration::from_millis(1600));
    let ended = running.end_by(SIGINT);
    ended.assert_signal(SIGINT);
    let text = read.join().unwrap();
    assert!(
        text.contains("\r\u{1b}[Ksundown: leaving at once; still waiting for writer"),
        "{text:?}"
    );
}

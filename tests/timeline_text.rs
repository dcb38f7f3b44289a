//! The picture of a shutdown for a terminal shows what the report says, keeps to the width, and cannot be taken over by a name.

mod support;

use std::time::Duration;

use sundown::{ShutdownReport, Supervisor};
use support::Gate;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn obedient(supervisor: &Supervisor, name: &str) {
    let worker = supervisor.worker().name(name.into());
    worker.spawn_with(|stop| stop.wait()).unwrap();
}

/// One of each kind that matters.
fn eventful(gate: &Gate) -> ShutdownReport {
    // Long enough for all but the one that is stuck.
    let supervisor = Supervisor::builder().deadline(ms(4000)).build();
    supervisor.on_exit("exit", || std::thread::sleep(ms(30)));
    obedient(&supervisor, "obedient");
    let stuck = supervisor.worker().name("stuck".into());
    stuck.spawn(gate.passer()).unwrap();
    let broken = supervisor.worker().name("broken".into());
    broken
        .spawn_with(|stop| {
            stop.wait();
            panic!("out of order");
        })
        .unwrap();
    obedient(&supervisor.child("tier"), "日本語の名前");
    supervisor.on_shutdown("hook", || std::thread::sleep(ms(100)));
    supervisor.shutdown()
}

fn plain(report: &ShutdownReport, width: usize) -> String {
    report.timeline().width(width).color(false).to_string()
}

/// The line about this entry.
#[track_caller]
fn about<'a>(text: &'a str, name: &str) -> &'a str {
    let found = text.lines().skip(2).find(|line| line.contains(name));
    found.unwrap_or_else(|| panic!("no {name} in\n{text}"))
}

/// Columns, for the characters that these tests use.
fn columns(line: &str) -> usize {
    let wide = |c: char| ('\u{2e80}'..='\u{9fff}').contains(&c) || c == '\u{1f600}';
    let none = |c: char| c == '\u{301}';
    line.chars()
        .map(|c| if wide(c) { 2 } else { usize::from(!none(c)) })
        .sum()
}

#[test]
fn each_entry_has_a_line_with_its_bar_and_how_it_ended() {
    let gate = Gate::new();
    let report = eventful(&gate);
    let text = plain(&report, 100);
    assert!(text.starts_with("shutdown after a request took "), "{text}");
    assert!(
        text.lines().next().unwrap().ends_with("7 entries, 1 STUCK"),
        "{text}"
    );
    assert!(about(&text, "stuck").starts_with("!* stuck"), "{text}");
    assert!(about(&text, "stuck").contains("STUCK "), "{text}");
    assert!(about(&text, "stuck").contains('▒'), "{text}");
    assert!(about(&text, "broken").starts_with("!  broken"), "{text}");
    assert!(about(&text, "broken").contains("PANICKED "), "{text}");
    assert!(
        about(&text, "obedient").starts_with("   obedient"),
        "{text}"
    );
    assert!(about(&text, "obedient").contains("finished "), "{text}");
    assert!(about(&text, "hook").starts_with(" * hook"), "{text}");
    assert!(about(&text, "hook").contains('█'), "{text}");
    assert!(about(&text, "exit").starts_with(" * exit"), "{text}");
    assert!(
        about(&text, "日本語").starts_with("     日本語の名前"),
        "nested: {text}"
    );
    // All bars begin and end in one column: the figures after them stand one below the other.
    let figures = |word: &str| {
        let line = about(&text, word);
        columns(&line[..line.find("finished").unwrap()])
    };
    assert_eq!(figures("obedient"), figures("日本語"), "{text}");
    assert!(text.contains("critical path: hook ("), "{text}");
    assert!(
        text.lines().last().unwrap().contains("█ callback"),
        "{text}"
    );
}

#[test]
fn no_line_is_wider_than_it_may_be() {
    let gate = Gate::new();
    let report = eventful(&gate);
    for width in [
        0,
        1,
        23,
        24,
        25,
        30,
        40,
        49,
        50,
        51,
        60,
        80,
        100,
        200,
        300,
        301,
        usize::MAX,
    ] {
        let text = plain(&report, width);
        for line in text.lines() {
            let most = width.clamp(24, 300);
            assert!(columns(line) <= most, "{width}: {line:?} in\n{text}");
        }
        assert!(text.contains(['█', '▒']), "{width}:\n{text}");
    }
    // Room is used.
    let widest = |width| plain(&report, width).lines().map(columns).max().unwrap();
    assert!(widest(200) > 150, "{}", plain(&report, 200));
}

#[test]
fn bars_stand_in_the_order_of_time() {
    let supervisor = Supervisor::new();
    supervisor.on_exit("third", || std::thread::sleep(ms(100)));
    supervisor.on_shutdown("second", || std::thread::sleep(ms(100)));
    supervisor.on_shutdown("first", || std::thread::sleep(ms(100)));
    let text = plain(&supervisor.shutdown(), 80);
    let bar = |name: &str| {
        let line: Vec<char> = about(&text, name).chars().collect();
        let filled = |c: &char| *c == '█';
        let first = line.iter().position(filled).unwrap();
        (first, line.iter().rposition(filled).unwrap())
    };
    let (first, second, third) = (bar("first"), bar("second"), bar("third"));
    // Two bars may share the cell in which one ends and the other begins.
    assert!(first.1 <= second.0 && second.1 <= third.0, "{text}");
    assert!(first.0 < third.0, "{text}");
}

#[test]
fn colours_are_there_when_asked_for_and_only_then() {
    let gate = Gate::new();
    let report = eventful(&gate);
    assert!(!plain(&report, 80).contains('\u{1b}'));
    let text = report.timeline().width(80).color(true).to_string();
    let stuck = about(&text, "stuck");
    assert!(stuck.contains("\u{1b}[31m"), "red: {stuck:?}");
    assert!(!about(&text, "obedient").contains('\u{1b}'), "{text:?}");
    // Colours are taken back on the same line, and change nothing else.
    let mut stripped = String::new();
    for line in text.split_inclusive('\n') {
        let pieces: Vec<&str> = line.split("\u{1b}[").collect();
        assert!(pieces.len() % 2 == 1, "{line:?}");
        stripped += pieces[0];
        for pair in pieces[1..].chunks(2) {
            let (_, painted) = pair[0].split_once('m').unwrap();
            stripped += painted;
            stripped += pair[1].strip_prefix("0m").unwrap();
        }
    }
    let trimmed = |text: &str| -> Vec<String> {
        text.lines()
            .map(|line| line.trim_end().to_owned())
            .collect()
    };
    assert_eq!(trimmed(&stripped), trimmed(&plain(&report, 80)));
}

#[test]
fn no_name_can_drive_the_terminal_or_forge_a_line() {
    let hostile = "evil\u{1b}[2J\n  finished  innocent\r\u{9b}31m\u{202e}\u{7}\u{2028}";
    let supervisor = Supervisor::new();
    obedient(&supervisor.child(hostile), hostile);
    supervisor.on_exit(hostile, || ());
    let count = |text: &str| text.lines().count();
    let text = plain(&supervisor.shutdown(), 80);
    let driving = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2028}".contains(c);
    assert!(!text.contains(driving), "{text:?}");
    let rows = text.lines().skip(2).take(3);
    assert!(rows.clone().all(|row| row.contains("evil")), "{text}");

    let supervisor = Supervisor::new();
    obedient(&supervisor.child("tier"), "kind");
    supervisor.on_exit("kind", || ());
    let kind = plain(&supervisor.shutdown(), 80);
    // Of the critical path there may be more lines.
    let paths = |text: &str| text.lines().skip(5).count();
    assert_eq!(count(&text) - paths(&text), count(&kind) - paths(&kind));
}

#[test]
fn long_names_are_cut() {
    for letter in ["a", "日", "\u{301}", "\u{1f600}"] {
        let supervisor = Supervisor::new();
        obedient(&supervisor, &letter.repeat(10_000));
        let text = plain(&supervisor.shutdown(), 80);
        assert!(text.lines().all(|line| columns(line) <= 80), "{text}");
        assert!(text.len() < 2_000, "{letter:?}: {}", text.len());
    }
}

#[test]
fn many_entries_are_summed_up() {
    let supervisor = Supervisor::new();
    for n in 0..5_000 {
        supervisor.on_shutdown(format!("hook {n}"), move || assert_ne!(n, 1234, "broken"));
    }
    let text = plain(&supervisor.shutdown(), 80);
    assert!(text.lines().count() < 60, "{text}");
    assert!(about(&text, "hook 1234").contains("PANICKED"), "{text}");
    assert!(text.contains("and 4960 more"), "{text}");
    // Even where there is hardly any room.
    let supervisor = Supervisor::new();
    for _ in 0..60 {
        supervisor.on_shutdown("x", || panic!("broken"));
    }
    let text = plain(&supervisor.shutdown(), 24);
    assert!(
        text.contains("and 20 more") && text.lines().all(|line| columns(line) <= 24),
        "{text}"
    );
}

#[test]
fn an_empty_shutdown_is_one_line() {
    let text = plain(&Supervisor::new().shutdown(), 80);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("0 entries"), "{text}");
}

/// Runs the example in a terminal of 100 columns, with these variables.
#[cfg(unix)]
fn in_a_terminal(variables: &[(&str, &str)]) -> String {
    use std::io::Read;
    use std::os::fd::{FromRawFd, OwnedFd};
    use std::process::{Command, Stdio};

    let (mut ours, mut theirs) = (0, 0);
    let size = libc::winsize {
        ws_row: 50,
        ws_col: 100,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the first two are places for a descriptor each, the name and the settings are not asked for, and the size is read.
    let opened = unsafe {
        libc::openpty(
            &mut ours,
            &mut theirs,
            std::ptr::null_mut(),
            std::ptr::null(),
            &size,
        )
    };
    assert_eq!(opened, 0);
    // SAFETY: openpty has just made them, and nobody else knows them.
    let (ours, theirs) = unsafe { (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
    let program = programs::example("timeline");
    let mut command = Command::new(program);
    for name in ["COLUMNS", "NO_COLOR"] {
        command.env_remove(name);
    }
    command.env("TERM", "xterm").envs(variables.iter().copied());
    let mut child = command
        .stdout(theirs)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Its end of the terminal is closed with the command; then reading ends, with an error on Linux.
    drop(command);
    let mut text = Vec::new();
    let _ = std::fs::File::from(ours).read_to_end(&mut text);
    assert!(child.wait().unwrap().success());
    String::from_utf8(text).unwrap().replace("\r\n", "\n")
}

#[cfg(unix)]
#[path = "common/programs.rs"]
#[allow(dead_code, unreachable_pub)]
mod programs;

#[cfg(unix)]
#[test]
fn the_terminal_and_the_user_decide_on_width_and_colours() {
    let widest = |text: &str| {
        let lines = text.lines().filter(|line| line.contains(['█', '▒']));
        let red = |line: &str| line.replace("\u{1b}[31m", "").replace("\u{1b}[33m", "");
        let line =
            |line: &str| columns(&red(line).replace("\u{1b}[2m", "").replace("\u{1b}[0m", ""));
        lines.map(line).max().unwrap()
    };
    let text = in_a_terminal(&[]);
    assert!(text.contains("\u{1b}[31m"), "{text}");
    assert!((90..=100).contains(&widest(&text)), "{text}");

    let text = in_a_terminal(&[("NO_COLOR", "1")]);
    assert!(!text.contains('\u{1b}'), "{text}");
    assert!(
        in_a_terminal(&[("NO_COLOR", "")]).contains('\u{1b}'),
        "empty is not set"
    );
    assert!(!in_a_terminal(&[("TERM", "dumb")]).contains('\u{1b}'));

    let text = in_a_terminal(&[("COLUMNS", "60")]);
    assert!((50..=60).contains(&widest(&text)), "{text}");
    let text = in_a_terminal(&[("COLUMNS", "wide")]);
    assert!(
        (90..=100).contains(&widest(&text)),
        "what is no number is not heeded: {text}"
    );
}

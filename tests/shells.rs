//! In a real shell, in a real terminal, a program stops as the shell's other programs do.

#![cfg(unix)]

mod support;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use libc::{SIGHUP, SIGTERM, SIGUSR1};
use support::process::{production, signal_process};
use support::terminal::{Terminal, CTRL_C, CTRL_Z};
use support::PATIENCE;

/// A shell's way to say: died of this signal.
fn died_of(signal: i32) -> i32 {
    128 + signal
}

/// A file for what a program prints that outlives its terminal.
struct Output(PathBuf);

impl Output {
    fn new(test: &str) -> Output {
        let name = format!("sundown-shell-{}-{test}", std::process::id());
        Output(std::env::temp_dir().join(name))
    }

    fn path(&self) -> &Path {
        &self.0
    }

    /// Waits until a line is there that begins like this, and gives its rest. A file tells nobody that it has grown, so this looks.
    fn await_line(&self, prefix: &str) -> String {
        let limit = Instant::now() + PATIENCE;
        loop {
            let text = std::fs::read_to_string(&self.0).unwrap_or_default();
            let whole = text
                .split_inclusive('\n')
                .filter_map(|line| line.strip_suffix('\n'));
            if let Some(rest) = whole.into_iter().find_map(|line| line.strip_prefix(prefix)) {
                return rest.to_owned();
            }
            assert!(Instant::now() < limit, "no {prefix:?} in {text:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn pid(&self) -> libc::pid_t {
        let pid = self.await_line("pid ").parse().unwrap();
        self.await_line("ready");
        pid
    }

    fn contains(&self, text: &str) -> bool {
        std::fs::read_to_string(&self.0).unwrap().contains(text)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A program that is no child of ours.
struct Stray(libc::pid_t);

impl Stray {
    fn is_alive(&self) -> bool {
        // SAFETY: signal 0 only asks.
        unsafe { libc::kill(self.0, 0) == 0 }
    }

    fn await_end(&self) {
        let limit = Instant::now() + PATIENCE;
        while self.is_alive() {
            assert!(Instant::now() < limit, "{} does not end", self.0);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Stray {
    fn drop(&mut self) {
        if std::thread::panicking() {
            signal_process(self.0, libc::SIGKILL);
        }
    }
}

fn terminal() -> Terminal {
    Terminal::open(production())
}

// ---- Ctrl-C

#[test]
fn ctrl_c_ends_the_program_and_the_shell_knows_of_what() {
    let mut terminal = terminal();
    terminal.run("$program serve");
    terminal.await_text("ready");
    terminal.press(CTRL_C);
    terminal.await_text("worker over");
    assert_eq!(terminal.status(), died_of(libc::SIGINT));
}

#[test]
fn ctrl_c_ends_a_for_loop() {
    let mut terminal = terminal();
    terminal.run("for i in 1 2 3; do $program serve; done");
    terminal.await_text("ready");
    terminal.press(CTRL_C);
    terminal.await_text("worker over");
    assert_eq!(terminal.status(), died_of(libc::SIGINT));
    assert_eq!(terminal.seen().matches("worker over").count(), 1);
}

#[test]
fn ctrl_c_ends_the_loop_of_a_script() {
    let mut terminal = terminal();
    terminal.run("bash -c 'for i in 1 2 3; do $program serve; done; echo went on'");
    terminal.await_text("ready");
    terminal.press(CTRL_C);
    // A script's shell that does not wait for its program yet dies at once; the program ends in order all the same.
    terminal.await_text("worker over");
    assert_eq!(terminal.status(), died_of(libc::SIGINT));
    assert_eq!(terminal.seen().matches("worker over").count(), 1);
    assert!(!terminal.seen().contains("went on"), "{}", terminal.seen());
}

#[test]
fn with_an_exit_code_instead_a_loop_goes_on() {
    // Why `ExitStyle::AsSignal` is the default.
    let mut terminal = terminal();
    terminal.run("for i in 1 2 3; do $program 'serve with code'; done; echo went on");
    for _ in 0..3 {
        terminal.await_text("ready");
        terminal.press(CTRL_C);
        terminal.await_text("worker over");
    }
    terminal.await_text("went on");
}

// ---- job control

#[test]
fn a_program_is_suspended_and_goes_on_in_front_and_behind() {
    let mut terminal = terminal();
    terminal.run("$program 'three handlers'");
    let pid = terminal.await_text("pid ").parse().unwrap();
    terminal.await_text("ready");
    terminal.press(CTRL_Z);
    terminal.await_text("Stopped");
    terminal.run("fg");
    // When it answers it goes on; a Ctrl-Z before that would be undone by what makes it go on.
    signal_process(pid, SIGUSR1);
    terminal.await_text("reopen 1");
    terminal.press(CTRL_Z);
    terminal.await_text("Stopped");
    terminal.run("bg");
    signal_process(pid, SIGUSR1);
    terminal.await_text("reopen 2");
    terminal.run("kill %1; wait %1");
    terminal.await_text("worker over");
    assert_eq!(terminal.status(), died_of(SIGTERM));
}

#[test]
fn a_shutdown_is_suspended_and_goes_on_in_front() {
    let mut terminal = terminal();
    terminal.run("$program 'slow to stop'");
    terminal.await_text("ready");
    terminal.press(CTRL_C);
    terminal.await_text("worker told");
    terminal.press(CTRL_Z);
    assert_eq!(terminal.status(), died_of(libc::SIGTSTP));
    terminal.run("fg");
    terminal.await_text("worker over");
    assert_eq!(terminal.status(), died_of(libc::SIGINT));
}

#[test]
fn a_shutdown_is_suspended_and_goes_on_behind() {
    let mut terminal = terminal();
    terminal.run("$program 'slow to stop'");
    terminal.await_text("ready");
    terminal.press(CTRL_C);
    terminal.await_text("worker told");
    terminal.press(CTRL_Z);
    assert_eq!(terminal.status(), died_of(libc::SIGTSTP));
    terminal.run("bg; wait %1");
    terminal.await_text("worker over");
    assert_eq!(terminal.status(), died_of(libc::SIGINT));
}

#[test]
fn a_suspended_program_that_is_asked_to_stop_does_so_when_it_goes_on() {
    let mut terminal = terminal();
    terminal.run("$program serve");
    terminal.await_text("ready");
    terminal.press(CTRL_Z);
    terminal.await_text("Stopped");
    terminal.run("kill %1; fg"); // bash continues it with the kill
    terminal.await_text("worker over");
    assert_eq!(terminal.status(), died_of(SIGTERM));
}

#[test]
fn a_report_from_behind_is_no_reason_to_be_suspended() {
    // `tostop` suspends whoever writes from behind: a program that is ending would never end.
    let mut terminal = terminal();
    let output = Output::new("tostop");
    let path = output.path().display();
    terminal.run(&format!(
        "stty tostop; $program 'stuck for a moment' > {path} &"
    ));
    output.pid();
    terminal.run("kill %1; wait %1");
    assert_eq!(terminal.status(), died_of(SIGTERM));
    assert!(
        terminal.seen().contains("STUCK     worker"),
        "{}",
        terminal.seen()
    );
    assert!(output.contains("on_exit ran"));
}

// ---- the terminal goes

#[test]
fn without_the_terminal_the_program_stops_in_order() {
    for behind in ["", "&"] {
        let mut terminal = terminal();
        let output = Output::new("hangup");
        let path = output.path().display();
        terminal.run(&format!("$program serve > {path} 2>&1 {behind}"));
        let stray = Stray(output.pid());
        terminal.close();
        stray.await_end();
        assert!(output.contains("worker over"));
        assert!(output.contains("main leaves after SIGHUP"));
        drop(output);
    }
}

#[test]
fn under_nohup_it_outlives_the_terminal() {
    outlives("nohup $program serve", "nohup");
}

#[test]
fn in_a_session_of_its_own_it_outlives_the_terminal() {
    outlives("setsid $program serve", "setsid");
}

fn outlives(command: &str, test: &str) {
    let mut terminal = terminal();
    let output = Output::new(test);
    let path = output.path().display();
    terminal.run(&format!("{command} < /dev/null > {path} 2>&1 &"));
    let stray = Stray(output.pid());
    terminal.close();
    assert!(stray.is_alive(), "{test}");
    // By hand as well, which is what `nohup` is for.
    if test == "nohup" {
        signal_process(stray.0, SIGHUP);
    }
    signal_process(stray.0, SIGTERM);
    stray.await_end();
    assert!(output.contains("worker over"), "{test}");
    assert!(output.contains("main leaves after SIGTERM"), "{test}");
}

// ---- pipelines

#[test]
fn a_reader_that_has_gone_changes_nothing_of_the_end() {
    for name in [
        "stuck for a moment",
        "stuck for a moment, SIGPIPE by default",
    ] {
        let mut terminal = terminal();
        // The reader takes the first line and leaves; the report finds nobody.
        terminal.run(&format!(
            "$program '{name}' 2>&1 | head -n 1; echo \"first=${{PIPESTATUS[0]}}\""
        ));
        let pid = terminal.await_text("pid ").parse().unwrap();
        // The reader is gone when the program is the only one left of the job; nothing tells of that.
        let reader = "head -n 1";
        let limit = Instant::now() + PATIENCE;
        while is_running(pid, reader) {
            assert!(Instant::now() < limit, "{reader} does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        signal_process(pid, SIGTERM);
        assert_eq!(
            terminal.await_text("first="),
            died_of(SIGTERM).to_string(),
            "{name}"
        );
    }
}

/// Whether something else runs in this process's group.
fn is_running(pid: libc::pid_t, what: &str) -> bool {
    let group = group_of(pid);
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut others = pids.filter(|other: &libc::pid_t| *other != pid && group_of(*other) == group);
    let found = others.any(|other| {
        let command = std::fs::read_to_string(format!("/proc/{other}/cmdline"));
        command.is_ok_and(|line| line.replace('\0', " ").contains(what))
    });
    found
}

fn group_of(pid: libc::pid_t) -> libc::pid_t {
    // SAFETY: getpgid only asks.
    unsafe { libc::getpgid(pid) }
}

// ---- timeout

#[test]
fn timeout_lets_a_slow_program_end_in_order() {
    let mut terminal = terminal();
    terminal.run("timeout --kill-after=20 1 $program 'slow to stop'");
    terminal.await_text("worker over");
    assert_eq!(terminal.status(), 124);
    assert!(
        !terminal.seen().contains("leaving at once"),
        "{}",
        terminal.seen()
    );
}

#[test]
fn timeout_kills_what_does_not_end() {
    let mut terminal = terminal();
    terminal.run("timeout --kill-after=2 1 $program stuck");
    terminal.await_text("worker told");
    assert_eq!(terminal.status(), died_of(libc::SIGKILL));
}

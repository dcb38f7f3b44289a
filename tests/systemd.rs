//! systemd hears what it is to hear, over a real datagram socket as it has one.

#![cfg(all(unix, feature = "systemd"))]

mod support;

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use libc::SIGTERM;
use support::process::{build, run, start, Running};
use support::PATIENCE;

fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| build("systemd_program", &["systemd"]))
}

/// What systemd has on its side.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    /// Every assignment that has come, in order.
    seen: Vec<String>,
}

impl Manager {
    fn new(test: &str) -> Manager {
        let path = std::env::temp_dir().join(format!("sundown-{}-{test}", std::process::id()));
        let socket = UnixDatagram::bind(&path).unwrap();
        Manager {
            socket,
            path,
            seen: Vec::new(),
        }
    }

    fn start(&self, scenario: &str, watchdog: Option<Duration>) -> Running {
        let mut command = Command::new(program());
        command.arg(scenario).env("NOTIFY_SOCKET", &self.path);
        command
            .env_remove("WATCHDOG_USEC")
            .env_remove("WATCHDOG_PID");
        if let Some(watchdog) = watchdog {
            command.env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        }
        let mut running = start(&mut command);
        running.await_line("ready");
        running
    }

    /// The next datagram's assignments. `None` when `limit` has passed.
    fn next(&mut self, limit: Duration) -> Option<Vec<String>> {
        self.socket.set_read_timeout(Some(limit)).unwrap();
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).ok()?;
        let text = std::str::from_utf8(&buffer[..length]).unwrap();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        self.seen.extend(lines.iter().cloned());
        Some(lines)
    }

    /// Reads up to an assignment that begins like this, and gives it.
    fn await_one(&mut self, prefix: &str) -> String {
        loop {
            let Some(lines) = self.next(PATIENCE) else {
                panic!("no {prefix}: {:#?}", self.seen);
            };
            if let Some(line) = lines.iter().find(|line| line.starts_with(prefix)) {
                return line.clone();
            }
        }
    }

    /// How many heartbeats come within this time.
    fn beats(&mut self, time: Duration) -> usize {
        let end = Instant::now() + time;
        let mut beats = 0;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return beats;
            }
            if let Some(lines) = self.next(left) {
                beats += lines.iter().filter(|line| *line == "WATCHDOG=1").count();
            }
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[test]
fn ready_reloading_and_status_when_told_and_stopping_at_the_shutdown() {
    let mut manager = Manager::new("ready");
    let running = manager.start("serves", None);
    assert_eq!(
        manager.await_one("STATUS="),
        "STATUS=one READY=1 is not to be smuggled in"
    );
    assert!(
        !manager.seen.contains(&"READY=1".to_owned()),
        "not before it is told"
    );
    manager.await_one("READY=1");
    manager.await_one("RELOADING=1");
    assert!(manager
        .seen
        .iter()
        .any(|line| line.starts_with("MONOTONIC_USEC=")));
    assert!(!manager.seen.contains(&"STOPPING=1".to_owned()));
    running.end_by(SIGTERM).assert_signal(SIGTERM);
    manager.await_one("STOPPING=1");
    assert_eq!(
        manager.seen.last().unwrap(),
        "STATUS=stopping after SIGTERM"
    );
}

#[test]
fn stopping_is_said_also_when_main_just_returns() {
    let mut manager = Manager::new("returns");
    manager.start("returns", None).end().assert_code(0);
    manager.await_one("STOPPING=1");
    assert_eq!(
        manager.seen.last().unwrap(),
        "STATUS=stopping after the end of main"
    );
}

#[test]
fn an_extension_is_passed_on() {
    let mut manager = Manager::new("extends");
    let running = manager.start("extends", None);
    running.end_by(SIGTERM).assert_signal(SIGTERM);
    manager.await_one("STOPPING=1");
    // 30 s and then 70 s from now are both past the deadline of 10 s; those who read late see only the second.
    let mut longest = 0;
    while longest < 60_000_000 {
        let line = manager.await_one("EXTEND_TIMEOUT_USEC=");
        let micros: u64 = line.split_once('=').unwrap().1.parse().unwrap();
        assert!(micros > 20_000_000 && micros < 80_000_000, "{line}");
        longest = longest.max(micros);
    }
}

#[test]
fn the_watchdog_is_fed_only_while_the_service_is_healthy() {
    let mut manager = Manager::new("watchdog");
    let mut running = manager.start("serves", Some(Duration::from_millis(200)));
    for _ in 0..5 {
        manager.await_one("WATCHDOG=1");
    }
    running.send("ill");
    running.await_line("ill");
    // One may have been on its way.
    assert!(manager.beats(Duration::from_secs(1)) <= 1);
    running.send("well");
    for _ in 0..3 {
        manager.await_one("WATCHDOG=1");
    }
    running.end_by(SIGTERM).assert_signal(SIGTERM);
}

#[test]
fn the_watchdog_is_fed_during_a_shutdown_too() {
    let mut manager = Manager::new("stopping");
    let mut running = manager.start("takes a while to stop", Some(Duration::from_millis(200)));
    running.signal(SIGTERM);
    manager.await_one("STOPPING=1");
    for _ in 0..3 {
        manager.await_one("WATCHDOG=1");
    }
    running.end().assert_signal(SIGTERM);
}

#[test]
fn another_process_s_watchdog_is_not_ours() {
    let mut manager = Manager::new("other");
    let mut command = Command::new(program());
    command.arg("serves").env("NOTIFY_SOCKET", &manager.path);
    command
        .env("WATCHDOG_USEC", "100000")
        .env("WATCHDOG_PID", "1");
    let mut running = start(&mut command);
    running.await_line("ready");
    assert_eq!(manager.beats(Duration::from_millis(500)), 0);
    running.end_by(SIGTERM).assert_signal(SIGTERM);
}

#[test]
fn the_example_is_a_service_from_its_start_to_its_end() {
    let example = build("systemd_service", &["systemd"]);
    let mut manager = Manager::new("example");
    let mut command = Command::new(example);
    command
        .env("NOTIFY_SOCKET", &manager.path)
        .env("WATCHDOG_USEC", "400000")
        .env_remove("WATCHDOG_PID");
    let mut running = start(&mut command);
    manager.await_one("READY=1");
    for _ in 0..3 {
        manager.await_one("WATCHDOG=1");
    }
    running.signal(libc::SIGHUP);
    manager.await_one("RELOADING=1");
    running.await_line("reload: reads the settings again");
    manager.await_one("READY=1");
    let ended = running.end_by(SIGTERM);
    ended.assert_signal(SIGTERM);
    ended.assert_order(&["main: leaves because of SIGTERM"]);
    ended.assert_order(&["jobs: part 3 of the last job"]);
    assert_eq!(ended.err, "");
    manager.await_one("STOPPING=1");
    manager.await_one("EXTEND_TIMEOUT_USEC=");
}

#[test]
fn without_a_socket_nothing_happens_and_nothing_fails() {
    for emptied in [false, true] {
        let mut command = Command::new(program());
        command.arg("serves").env_remove("NOTIFY_SOCKET");
        if emptied {
            command.env("NOTIFY_SOCKET", "");
        }
        let mut running = start(&mut command);
        running.await_line("ready");
        let ended = running.end_by(SIGTERM);
        ended.assert_signal(SIGTERM);
        assert_eq!(ended.err, "");
    }
}

#[test]
fn a_socket_that_is_not_there_is_an_error_and_no_obstacle_to_the_end() {
    let mut command = Command::new(program());
    command
        .arg("returns")
        .env("NOTIFY_SOCKET", "/nonexistent/socket");
    let ended = run(&mut command);
    ended.assert_code(101); // the program unwraps it
    assert!(ended.err.contains("NotFound"), "{}", ended.err);
}

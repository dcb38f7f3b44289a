//! Child processes with a hard limit: whatever a program under test does, it is gone after [`PATIENCE`], and the test fails.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{bounded, unbounded, Receiver};

use super::PATIENCE;

/// The program of `tests/ways_out.rs`, built afresh: `cargo test --test ways_out` alone does not build it.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| build("ways_out", &[]))
}

/// The one for life in production, the same way.
pub fn production() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| build("production", &[]))
}

/// The program of that name with this scenario as its argument.
pub fn scenario_of(program: &'static OnceLock<PathBuf>, name: &str, scenario: &str) -> Command {
    let mut command = Command::new(program.get_or_init(|| build(name, &[])));
    command.arg(scenario);
    command
}

/// Builds an example, with these features, where the tests themselves were built.
pub fn build(name: &str, features: &[&str]) -> PathBuf {
    // <target>/<profile>/deps/<this test>
    let this = std::env::current_exe().unwrap();
    let profile = this.parent().and_then(Path::parent).unwrap();
    let target = profile.parent().unwrap();
    let mut build = Command::new(env!("CARGO"));
    build
        .args(["build", "--quiet", "--example", name, "--target-dir"])
        .arg(target)
        .arg("--features")
        .arg(features.join(","))
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    if profile.ends_with("release") {
        build.arg("--release");
    }
    let built = build.output().unwrap();
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "cargo build: {said}");
    profile.join("examples").join(name)
}

/// The program of `tests/ways_out.rs` with this scenario as its argument.
pub fn scenario(name: &str) -> Command {
    let mut command = Command::new(program());
    command.arg(name);
    command
}

/// A program that runs.
pub struct Running {
    pub pid: libc::pid_t,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    seen: Vec<String>,
    /// When the test last did something that ends it: started it, or sent a signal.
    asked: Instant,
    /// What it has printed to standard error so far, if that is a pipe; and who reads it.
    err: Arc<(Mutex<String>, Condvar)>,
    errors: Option<JoinHandle<()>>,
    ended: Receiver<ExitStatus>,
    /// Nobody need end it any more.
    over: bool,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    /// What it printed, line by line.
    pub out: Vec<String>,
    /// What it printed to standard error.
    pub err: String,
    /// From when the test started it, or sent the last signal, to the end.
    pub took: Duration,
}

/// Starts it, with pipes for what was not set otherwise by `stderr`.
pub fn start(command: &mut Command) -> Running {
    start_with_stderr(command, Stdio::piped())
}

pub fn start_with_stderr(command: &mut Command, stderr: Stdio) -> Running {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .env("RUST_BACKTRACE", "0")
        .process_group(0); // so that what it starts can be ended with it
                           // What the tests themselves were started with (`nohup`, a background job of a script) is not to be inherited.
                           // SAFETY: signal(2) is async-signal-safe, and SIG_DFL needs no handler.
    unsafe {
        command.pre_exec(|| {
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
                libc::signal(signal, libc::SIG_DFL);
            }
            Ok(())
        });
    }
    let asked = Instant::now();
    let mut child: Child = command.spawn().unwrap();
    let (line, lines) = unbounded();
    let stdout = child.stdout.take().unwrap();
    std::thread::spawn(move || {
        for read in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            let _ = line.send(String::from_utf8_lossy(&read).into_owned());
        }
    });
    let err = Arc::new((Mutex::new(String::new()), Condvar::new()));
    let errors = child.stderr.take().map(|stderr| {
        let err = Arc::clone(&err);
        std::thread::spawn(move || {
            let mut stderr = BufReader::new(stderr);
            let mut line = Vec::new();
            while stderr
                .read_until(b'\n', &mut line)
                .is_ok_and(|length| length > 0)
            {
                err.0
                    .lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&line));
                err.1.notify_all();
                line.clear();
            }
        })
    });
    let (end, ended) = bounded(1);
    let pid = libc::pid_t::try_from(child.id()).unwrap();
    let stdin = child.stdin.take();
    std::thread::spawn(move || {
        let _ = end.send(child.wait().unwrap());
    });
    Running {
        pid,
        stdin,
        lines,
        seen: Vec::new(),
        asked,
        err,
        errors,
        ended,
        over: false,
    }
}

/// Runs it to its end.
pub fn run(command: &mut Command) -> Ended {
    start(command).end()
}

impl Running {
    /// Reads its output up to this line.
    pub fn await_line(&mut self, wanted: &str) -> &mut Running {
        let limit = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_deadline(limit) {
                Ok(line) => {
                    let found = line == wanted;
                    self.seen.push(line);
                    if found {
                        return self;
                    }
                }
                Err(_) => {
                    self.kill();
                    panic!("no line {wanted:?} after {:#?}", self.seen);
                }
            }
        }
    }

    /// Reads its output until it has printed all of these, in whatever order.
    pub fn await_all(&mut self, wanted: &[&str]) -> &mut Running {
        for line in wanted {
            if !self.seen.iter().any(|seen| seen == line) {
                self.await_line(line);
            }
        }
        self
    }

    /// Waits until it has printed this so many times to standard error.
    pub fn await_err(&mut self, wanted: &str, count: usize) {
        let waits = Instant::now();
        let err = Arc::clone(&self.err);
        let mut text = err.0.lock().unwrap();
        while text.matches(wanted).count() < count {
            let left = PATIENCE.saturating_sub(waits.elapsed());
            if left.is_zero() {
                self.kill();
                panic!("no {wanted:?} {count} times in {text}");
            }
            text = err.1.wait_timeout(text, left).unwrap().0;
        }
    }

    /// What it has printed as far as it was read.
    pub fn seen(&self) -> &[String] {
        &self.seen
    }

    pub fn send(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
    }

    pub fn signal(&mut self, signal: i32) {
        self.asked = Instant::now();
        signal_process(self.pid, signal);
    }

    /// Ends it and all that it has started.
    fn kill(&mut self) {
        signal_process(-self.pid, libc::SIGKILL);
        self.over = true;
    }

    /// Sends the signal and waits for the end.
    pub fn end_by(mut self, signal: i32) -> Ended {
        self.signal(signal);
        self.end()
    }

    /// Waits for the end, which must come by itself.
    pub fn end(mut self) -> Ended {
        let status = self.ended.recv_timeout(PATIENCE);
        let took = self.asked.elapsed();
        match status {
            Ok(_) => self.over = true,
            Err(_) => self.kill(),
        }
        // What it has left behind would keep its pipes open.
        signal_process(-self.pid, libc::SIGKILL);
        drop(self.stdin.take());
        let mut out = std::mem::take(&mut self.seen);
        out.extend(self.lines.iter());
        if let Some(errors) = self.errors.take() {
            errors.join().unwrap();
        }
        let err = std::mem::take(&mut *self.err.0.lock().unwrap());
        let Ok(status) = status else {
            panic!("it had to be killed after {out:#?} and {err}");
        };
        Ended {
            status,
            out,
            err,
            took,
        }
    }
}

impl Drop for Running {
    /// A test that fails in the middle leaves nothing running.
    fn drop(&mut self) {
        if !self.over {
            self.kill();
        }
    }
}

impl Ended {
    #[track_caller]
    pub fn assert_code(&self, code: i32) -> &Ended {
        assert_eq!(self.status.code(), Some(code), "{self:#?}");
        self
    }

    /// Died of the signal, as a shell sees it; not of an exit code that looks like it.
    #[track_caller]
    pub fn assert_signal(&self, signal: i32) -> &Ended {
        assert_eq!(self.status.signal(), Some(signal), "{self:#?}");
        self
    }

    pub fn count(&self, line: &str) -> usize {
        self.out.iter().filter(|l| *l == line).count()
    }

    #[track_caller]
    pub fn position(&self, line: &str) -> usize {
        let found = self.out.iter().position(|l| l == line);
        found.unwrap_or_else(|| panic!("no line {line:?}: {self:#?}"))
    }

    /// It printed these lines once each, in this order, whatever came between.
    #[track_caller]
    pub fn assert_order(&self, lines: &[&str]) -> &Ended {
        for line in lines {
            assert_eq!(self.count(line), 1, "{line:?}: {self:#?}");
        }
        let places: Vec<_> = lines.iter().map(|line| self.position(line)).collect();
        assert!(
            places.windows(2).all(|p| p[0] < p[1]),
            "{lines:?}: {self:#?}"
        );
        self
    }

    #[track_caller]
    pub fn assert_never(&self, line: &str) -> &Ended {
        assert_eq!(self.count(line), 0, "{line:?}: {self:#?}");
        self
    }
}

pub fn signal_process(pid: libc::pid_t, signal: i32) {
    // SAFETY: kill(2) takes any numbers. The process is a child that nobody has waited for, or one that it started.
    unsafe { libc::kill(pid, signal) };
}

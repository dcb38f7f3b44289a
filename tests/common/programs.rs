//! Example programs as child processes, with a hard limit: whatever a program does, it is gone when its test is.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Long enough for any step on a machine that is very busy; reaching it is a failure.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The path of an example, built and fresh: `cargo test --test NAME` does not build examples.
pub fn example(name: &str) -> PathBuf {
    example_with_features(name, "")
}

/// The same for an example that needs these features.
pub fn example_with_features(name: &str, features: &str) -> PathBuf {
    static BUILT: Mutex<Option<HashSet<String>>> = Mutex::new(None);
    // target/PROFILE/deps/THIS
    let this = std::env::current_exe().unwrap();
    let profile = this.ancestors().nth(2).unwrap();
    // Held while it builds, so that each is built once. A test that failed here must not fail the others.
    let mut built = BUILT
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let built = built.get_or_insert_with(HashSet::new);
    if !built.contains(name) {
        let profile_name = match profile.file_name().and_then(|name| name.to_str()) {
            Some("debug") => "dev",
            Some(name) => name,
            None => panic!("no profile in {}", this.display()),
        };
        let output = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--example",
                name,
                "--features",
                features,
                "--profile",
                profile_name,
                // Those of the tests, which an example may require.
                "--features",
                if cfg!(feature = "process") {
                    "process"
                } else {
                    ""
                },
                "--features",
                if cfg!(feature = "progress") {
                    "progress"
                } else {
                    ""
                },
            ])
            .arg("--target-dir")
            .arg(profile.parent().unwrap())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cannot build {name}: {said}");
        built.insert(name.to_owned());
    }
    let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    profile.join("examples").join(file)
}

/// A program that runs. Dropping it kills it.
pub struct Program {
    child: Child,
    out: Receiver<String>,
    seen: Vec<String>,
    err: Receiver<String>,
}

/// A program that has ended by itself.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub out: Vec<String>,
    pub err: String,
}

impl Program {
    /// Starts an example with these arguments.
    pub fn start(name: &str, args: &[&str]) -> Program {
        Program::spawn(Command::new(example(name)).args(args))
    }

    /// The same for an example that needs these features.
    pub fn start_with_features(name: &str, features: &str, args: &[&str]) -> Program {
        Program::spawn(Command::new(example_with_features(name, features)).args(args))
    }

    pub fn spawn(command: &mut Command) -> Program {
        #[cfg(unix)]
        start_with_default_signals(command);
        let mut child = command
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (line, out) = mpsc::channel();
        let stdout = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            // Nobody reads on in a test that has failed.
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            lines.for_each(|text| drop(line.send(text)));
        });
        let (text, err) = mpsc::channel();
        let mut stderr = child.stderr.take().unwrap();
        std::thread::spawn(move || {
            let mut all = Vec::new();
            let _ = stderr.read_to_end(&mut all);
            let _ = text.send(String::from_utf8_lossy(&all).into_owned());
        });
        Program {
            child,
            out,
            seen: Vec::new(),
            err,
        }
    }

    /// Reads its output up to the first line that contains `part`, and gives that line.
    pub fn await_line(&mut self, part: &str) -> String {
        loop {
            let Ok(line) = self.out.recv_timeout(PATIENCE) else {
                let _ = self.child.kill();
                let err = self.err.recv_timeout(PATIENCE).unwrap_or_default();
                panic!("no line with {part:?} after {:#?}; {err}", self.seen);
            };
            self.seen.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Writes a line to its standard input.
    pub fn tell(&mut self, line: &str) {
        writeln!(self.child.stdin.as_ref().unwrap(), "{line}").unwrap();
    }

    #[cfg(unix)]
    pub fn signal(&self, signal: i32) {
        let pid = libc::pid_t::try_from(self.child.id()).unwrap();
        // SAFETY: kill has no preconditions; the number is that of our child, which has not been waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ended {
        let limit = Instant::now() + PATIENCE;
        // std has no wait with a limit, so this looks again and again.
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > limit => {
                    let _ = self.child.kill();
                    panic!("it does not end; it said {:#?}", self.rest());
                }
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        let out = self.rest();
        let err = self.err.recv_timeout(PATIENCE).unwrap_or_default();
        Ended { status, out, err }
    }

    /// All that it has printed, once it has ended.
    fn rest(&mut self) -> Vec<String> {
        while let Ok(line) = self.out.recv_timeout(PATIENCE) {
            self.seen.push(line);
        }
        std::mem::take(&mut self.seen)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A new folder for temporary files. Removed when dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sundown-test-{}-{n}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The names in it.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What the tests themselves were started with (`nohup`, a background job of a script) is not to be inherited: a program that
/// ignores SIGINT from the start goes on ignoring it, and rightly so.
#[cfg(unix)]
fn start_with_default_signals(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    // SAFETY: signal(2) is async-signal-safe, and SIG_DFL needs no handler.
    unsafe {
        command.pre_exec(|| {
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
                libc::signal(signal, libc::SIG_DFL);
            }
            Ok(())
        });
    }
}

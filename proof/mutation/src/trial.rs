//! Tries each mutant against the tests that come to its place.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{cargo, Mutant, Result};

/// Which test programs are about a file: these go first, and all of them.
const NEAR: [(&str, &str); 9] = [
    ("src/stop/", "sundown tokens time_limits races models"),
    ("src/exit/outer_grace", "sundown budgets"),
    ("src/exit/", "sundown ways_out echoes on_signal shells shown status"),
    ("supervisor/extension", "extensions log_lines models"),
    ("supervisor/budget", "budgets"),
    ("supervisor/on_signal", "on_signal"),
    ("supervisor/event", "sundown events log_lines models"),
    ("supervisor/wait", "sundown status supervisor report cycles"),
    (
        "supervisor/",
        "sundown order races report time_limits supervisor stragglers events bad_input thread_end log_lines ways_out models",
    ),
];
/// What the other tests of one mutant may take, in the time that they take unbroken; the quick ones go first.
const BUDGET: Duration = Duration::from_secs(60);
/// At the same time: most tests wait more than they compute.
const AT_ONCE: usize = 10;

struct Test {
    /// The test program's name, and where it is.
    program: String,
    binary: PathBuf,
    name: String,
    /// Unbroken.
    takes: Duration,
    /// One byte for each mutant.
    reaches: Vec<u8>,
    /// How many mutants it has caught: who caught some before goes first.
    caught: AtomicUsize,
}

enum Ended {
    Passed,
    Failed,
    Never,
}

pub fn try_all(copy: &Path, target: &Path, mutants: usize, alive: &[&Mutant]) -> Result<()> {
    let tests = unbroken(copy, target, mutants)?;
    let (next, caught, unreached) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let record = Mutex::new(fs::File::create(target.join("outcomes.txt"))?);
    let missed = Mutex::new(BTreeSet::new());
    let say = |text: String| {
        println!("{text}");
        // The record is a convenience; what counts was printed.
        let _ = writeln!(record.lock().unwrap(), "{text}");
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(mutant) = alive.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match try_one(copy, &tests, mutant) {
                        Verdict::Caught(by) => {
                            caught.fetch_add(1, Ordering::Relaxed);
                            say(format!("caught     {} by {by}", mutant.name));
                        }
                        verdict => {
                            let unreached_too = matches!(verdict, Verdict::Unreached);
                            unreached.fetch_add(unreached_too.into(), Ordering::Relaxed);
                            let how = if unreached_too { "UNREACHED" } else { "MISSED" };
                            say(format!("{how:10} {}", mutant.name));
                            missed
                                .lock()
                                .unwrap()
                                .insert(format!("{how:10} {}", mutant.name));
                        }
                    }
                }
            });
        }
    });
    println!("\nnot caught:");
    let missed = missed.into_inner().unwrap();
    for name in &missed {
        println!("  {name}");
    }
    let caught = caught.into_inner();
    println!(
        "{caught} of {} caught, {:.1} %; of {} not caught, {} were come to by no test",
        alive.len(),
        100.0 * caught as f64 / alive.len() as f64,
        missed.len(),
        unreached.into_inner()
    );
    Ok(())
}

enum Verdict {
    Caught(String),
    Missed,
    Unreached,
}

fn try_one(copy: &Path, tests: &[Test], mutant: &Mutant) -> Verdict {
    let reach = |test: &&Test| test.reaches[mutant.id as usize] == 1;
    let mut fit: Vec<&Test> = tests.iter().filter(reach).collect();
    if fit.is_empty() {
        return Verdict::Unreached;
    }
    let near = NEAR.iter().find(|(file, _)| mutant.file.contains(file));
    let is_near = |test: &Test| {
        near.is_some_and(|(_, programs)| programs.split(' ').any(|p| p == test.program))
    };
    fit.sort_by_key(|test| {
        let caught = 1 + test.caught.load(Ordering::Relaxed) as u32;
        (!is_near(test), test.takes / caught)
    });
    let mut spent = Duration::ZERO;
    for test in fit {
        if !is_near(test) {
            spent += test.takes;
        }
        if spent > BUDGET {
            break;
        }
        let limit = test.takes * 10 + Duration::from_secs(15);
        let id = mutant.id.to_string();
        let broken = || run(copy, test, &[("SUNDOWN_MUTANT", &id)], limit);
        // Twice: one that fails now and then because others run beside it has caught nothing.
        let ended = broken();
        let never = matches!(ended, Ended::Never);
        if never || (matches!(ended, Ended::Failed) && !matches!(broken(), Ended::Passed)) {
            test.caught.fetch_add(1, Ordering::Relaxed);
            let how = if never { ", never over" } else { "" };
            return Verdict::Caught(format!("{}: {}{how}", test.program, test.name));
        }
    }
    Verdict::Missed
}

/// Runs all tests without a mutant: how long each takes, and where it comes to. One that fails is not counted on.
fn unbroken(copy: &Path, target: &Path, mutants: usize) -> Result<Vec<Test>> {
    let mut found = Vec::new();
    for (program, binary) in binaries(copy)? {
        let ignored = names(copy, &binary, &["--ignored"])?;
        for name in names(copy, &binary, &[])? {
            if !ignored.contains(&name) {
                found.push(Test {
                    program: program.clone(),
                    binary: binary.clone(),
                    name,
                    takes: Duration::ZERO,
                    reaches: Vec::new(),
                    caught: AtomicUsize::new(0),
                });
            }
        }
    }
    println!("{} tests", found.len());
    let (found, passed) = (Mutex::new(found), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    // A statement of its own: else the lock would be held for all of the loop's body.
                    let test = found.lock().unwrap().pop();
                    let Some(mut test) = test else { break };
                    match measure(copy, target, mutants, &mut test) {
                        Ok(true) => passed.lock().unwrap().push(test),
                        Ok(false) => {
                            println!("fails unbroken, so it is not counted on: {}", test.name)
                        }
                        Err(error) => println!("{}: {error}", test.name),
                    }
                }
            });
        }
    });
    Ok(passed.into_inner().unwrap())
}

/// False if it fails.
fn measure(copy: &Path, target: &Path, mutants: usize, test: &mut Test) -> Result<bool> {
    let reached = target.join(format!("reached-{:?}", thread::current().id()));
    fs::write(&reached, vec![0; mutants])?;
    let path = reached.to_str().ok_or("a path that is not UTF-8")?;
    let note = [("SUNDOWN_MUTANTS_REACHED", path)];
    let began = Instant::now();
    let passed = matches!(
        run(copy, test, &note, Duration::from_secs(180)),
        Ended::Passed
    );
    test.takes = began.elapsed();
    test.reaches = fs::read(&reached)?;
    Ok(passed)
}

/// The test programs of the library and of the models; of these, only those that `TESTS` names, if it names any.
fn binaries(copy: &Path) -> Result<Vec<(String, PathBuf)>> {
    println!("compiling the tests");
    let wanted = std::env::var("TESTS").unwrap_or_default();
    let wanted: Vec<&str> = wanted.split_whitespace().collect();
    let mut binaries = Vec::new();
    for manifest in ["Cargo.toml", "proof/models/Cargo.toml"] {
        let mut command = cargo(copy);
        command.args(["test", "--no-run", "--message-format=json"]);
        command.args(["--manifest-path", manifest]);
        if manifest == "Cargo.toml" {
            command.arg("--all-features");
        }
        let built = command.stderr(Stdio::inherit()).output()?;
        if !built.status.success() {
            return Err("the tests do not compile".into());
        }
        for line in String::from_utf8(built.stdout)?.lines() {
            let message: Value = serde_json::from_str(line)?;
            let name = message["target"]["name"].as_str().unwrap_or_default();
            // The examples are compiled as well, as programs that tests run.
            let is_test = message["profile"]["test"] == true;
            if is_test && (wanted.is_empty() || wanted.contains(&name)) {
                let executable = message["executable"].as_str();
                binaries.extend(executable.map(|at| (name.to_string(), PathBuf::from(at))));
            }
        }
    }
    Ok(binaries)
}

fn names(copy: &Path, binary: &Path, which: &[&str]) -> Result<Vec<String>> {
    let output = Command::new(binary)
        .args(["--list", "--format=terse"])
        .args(which)
        .current_dir(copy)
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text
        .lines()
        .filter_map(|line| Some(line.strip_suffix(": test")?.to_string()))
        .collect())
}

fn run(copy: &Path, test: &Test, variables: &[(&str, &str)], limit: Duration) -> Ended {
    // A mutant may take memory without end.
    let child = Command::new("sh")
        .args(["-c", "ulimit -d 7000000; exec \"$@\"", "sh"])
        .arg(&test.binary)
        .args(["--exact", &test.name])
        .envs(variables.iter().copied())
        .env("RUST_BACKTRACE", "0")
        .current_dir(copy)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    let Ok(mut child) = child else {
        return Ended::Failed;
    };
    let until = Instant::now() + limit;
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => break Ended::Passed,
            Ok(Some(_)) | Err(_) => break Ended::Failed,
            Ok(None) if Instant::now() > until => break Ended::Never,
            // Nothing tells of a child's end and of a limit at once.
            Ok(None) => thread::sleep(Duration::from_millis(3)),
        }
    };
    sweep(&mut child);
    ended
}

/// Nothing of the test stays behind.
fn sweep(child: &mut Child) {
    let group = format!("-{}", child.id());
    // Where the group is gone already there is nothing to do.
    let _ = Command::new("kill")
        .args(["-KILL", "--", &group])
        .stderr(Stdio::null())
        .status();
    let _ = child.wait();
}

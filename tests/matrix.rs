//! Each way out, with each kind of entry, in each state: the process ends as it should, in order, in time, and leaves nothing behind.
//!
//! A cell is one run of `programs/matrix.rs`. What it must come to is not recorded but follows from the contract: [`Way`] says what the
//! table of ways out promises, [`Kind`] and [`State`] what the kinds of entries do, and [`check`] compares.

#![cfg(all(unix, feature = "process", feature = "tokio"))]

mod common;
mod support;

use std::any::Any;
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::panic::catch_unwind;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use common::programs::Folder;
use libc::{SIGABRT, SIGHUP, SIGINT, SIGKILL, SIGTERM};
use support::process::{build, signal_process, start, Ended};
use support::PATIENCE;

/// How many processes run at a time: most of them wait most of the time.
const AT_A_TIME: usize = 8;
/// The grace of a subject that does not listen, and how long its hook has: the program's figures.
const GRACE: Duration = Duration::from_millis(300);
const CALLBACK_LIMIT: Duration = Duration::from_secs(1);
/// Nobody sits through a deadline, which is 8 s without a guard and a minute with one.
const PROMPT: Duration = Duration::from_secs(7);

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Code(i32),
    Signal(i32),
}
use End::{Code, Signal};

/// How much of a shutdown there is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Runs {
    All,
    /// It is cut off by a second signal, when everybody has been told.
    Telling,
    Nothing,
}

/// A row of the table of ways out.
#[derive(Clone, Copy, Debug)]
struct Way {
    name: &'static str,
    /// How the process ends.
    end: End,
    /// The cause that the hooks see.
    cause: &'static str,
    /// Whether `main`'s own locals are dropped.
    main_leaves: bool,
    runs: Runs,
    /// What the test sends when the program is ready.
    signal: Option<i32>,
}

const fn way(name: &'static str, end: End, cause: &'static str) -> Way {
    Way {
        name,
        end,
        cause,
        main_leaves: false,
        runs: Runs::All,
        signal: None,
    }
}

impl Way {
    const fn main_leaves(self) -> Way {
        Way {
            main_leaves: true,
            ..self
        }
    }

    const fn signal(self, signal: i32) -> Way {
        Way {
            signal: Some(signal),
            ..self
        }
    }

    const fn runs(self, runs: Runs) -> Way {
        Way { runs, ..self }
    }
}

const ENDED: &str = r#"WorkerEnded { name: Some("vital"), panicked: false }"#;
const PANICKED: &str = r#"WorkerEnded { name: Some("vital"), panicked: true }"#;

const WAYS: [Way; 21] = [
    // Without a signal the process keeps the code that it chose.
    way("guard dropped", Code(0), "Returned").main_leaves(),
    way("finish", Code(0), "Returned").main_leaves(),
    way("panic", Code(101), "Panicked").main_leaves(),
    way("return without guard", Code(0), "Returned").main_leaves(),
    way("panic without guard", Code(101), "Panicked").main_leaves(),
    way("exit", Code(7), "Exit(7)"),
    way("exit without guard", Code(7), "Exit(7)"),
    way("exit on a worker", Code(7), "Exit(7)"),
    way("sundown::exit", Code(7), "Exit(7)"),
    way("sundown::exit on a worker", Code(7), "Exit(7)"),
    // What `main` did not start ends the process: with 1 if a critical worker failed, else with 0.
    way("critical ends", Code(0), ENDED),
    way("critical panics", Code(1), PANICKED),
    way("request", Code(0), "Requested"),
    // As the signal would have ended it. A `main` that cannot hear is not waited for.
    way("SIGINT", Signal(SIGINT), "Signal(2)").signal(SIGINT),
    way("SIGTERM", Signal(SIGTERM), "Signal(15)").signal(SIGTERM),
    way("SIGHUP", Signal(SIGHUP), "Signal(1)").signal(SIGHUP),
    way("SIGTERM, main hears", Signal(SIGTERM), "Signal(15)")
        .signal(SIGTERM)
        .main_leaves(),
    way("second signal", Signal(SIGINT), "")
        .signal(SIGTERM)
        .runs(Runs::Telling),
    // Nothing can run.
    way("SIGKILL", Signal(SIGKILL), "")
        .signal(SIGKILL)
        .runs(Runs::Nothing),
    way("abort", Signal(SIGABRT), "").runs(Runs::Nothing),
    way("_exit", Code(7), "").runs(Runs::Nothing),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Thread,
    Scoped,
    Daemon,
    Critical,
    Restarting,
    Hook,
    Nested,
    Pool,
    Background,
    Process,
}

const KINDS: [Kind; 10] = [
    Kind::Thread,
    Kind::Scoped,
    Kind::Daemon,
    Kind::Critical,
    Kind::Restarting,
    Kind::Hook,
    Kind::Nested,
    Kind::Pool,
    Kind::Background,
    Kind::Process,
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Idle,
    Busy,
    Blocked,
    Panicking,
    Stopping,
}

const STATES: [State; 5] = [
    State::Idle,
    State::Busy,
    State::Blocked,
    State::Panicking,
    State::Stopping,
];

/// Why there is no such cell.
fn left_out(kind: Kind, state: State) -> Option<&'static str> {
    match (kind, state) {
        (Kind::Process, State::Panicking) => Some("a child process does not panic"),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    way: Way,
    kind: Kind,
    state: State,
}

impl Cell {
    /// Nothing of the user's runs in it that could hold a file or say a line.
    fn is_empty(&self) -> bool {
        let idle = self.state == State::Idle;
        idle && matches!(self.kind, Kind::Pool | Kind::Background | Kind::Process)
    }

    /// Whether the shutdown sees its end; a daemon's it may see.
    fn ends(&self) -> bool {
        self.way.runs == Runs::All && self.state != State::Blocked
    }

    /// Everything of it is over before anything older is told: a hook in its turn, and the tiers.
    fn is_over_in_its_turn(&self) -> bool {
        matches!(self.kind, Kind::Hook | Kind::Nested | Kind::Pool)
    }

    /// What ignores its stop cannot say so by itself; a callback can.
    fn says_that_it_is_told(&self) -> bool {
        let ignores = self.state == State::Blocked && !self.hears_in_its_turn();
        !self.is_empty() && !ignores
    }

    /// It hears of its stop before anything older does. A task hears when its loop comes to it, a process when it is scheduled.
    fn hears_in_its_turn(&self) -> bool {
        !matches!(self.kind, Kind::Background | Kind::Process)
    }

    /// The least that the shutdown must have waited for it.
    fn least(&self) -> Duration {
        match (self.way.runs, self.state, self.kind) {
            (Runs::All, State::Blocked, Kind::Daemon) => Duration::ZERO,
            (Runs::All, State::Blocked, Kind::Hook) => CALLBACK_LIMIT,
            (Runs::All, State::Blocked, _) => GRACE,
            _ => Duration::ZERO,
        }
    }

    /// What the report on standard error must say of it; `None` if it is of no account. A clean one is not printed.
    fn complaint(&self) -> Option<&'static str> {
        match (self.kind, self.state) {
            // Nobody waits for a daemon: it is "left running, as asked".
            (Kind::Daemon, State::Blocked) => None,
            (Kind::Process, State::Blocked) => Some("HAD TO BE KILLED"),
            (_, State::Blocked) => Some("STUCK     subject"),
            // Its owner has the panic of a job or a task; that takes neither the pool nor the loop along.
            (Kind::Pool | Kind::Background, _) => None,
            (Kind::Hook, State::Panicking) => Some("its callback PANICKED: as the cell asks"),
            (_, State::Panicking) => Some("PANICKED  subject"),
            _ => None,
        }
    }

    /// A hook has a second. One that runs already when the process is to leave is in it, and on a very busy machine that second may be
    /// over before the way out begins; then it is left behind, and the report says so.
    fn is_given_up(&self, ended: &Ended) -> bool {
        let runs_already = self.kind == Kind::Hook && self.state == State::Stopping;
        runs_already && ended.err.contains("its callback DID NOT RETURN")
    }

    /// A daemon may have panicked by the time that the report is made, or not.
    fn complaint_varies(&self) -> bool {
        self.kind == Kind::Daemon && self.state == State::Panicking
    }
}

/// All cells, and how many combinations were left out for which reason.
fn cells() -> (Vec<Cell>, BTreeMap<&'static str, usize>) {
    let (mut cells, mut reasons) = (Vec::new(), BTreeMap::new());
    for way in WAYS {
        for kind in KINDS {
            for state in STATES {
                match left_out(kind, state) {
                    Some(reason) => *reasons.entry(reason).or_default() += 1,
                    None => cells.push(Cell { way, kind, state }),
                }
            }
        }
    }
    (cells, reasons)
}

#[test]
fn each_way_out_with_each_kind_of_entry_in_each_state() {
    let program = build("matrix", &["process", "tokio"]);
    let (cells, reasons) = cells();
    let began = Instant::now();
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| loop {
                // Relaxed: all that matters is that each gets another.
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(&cell) = cells.get(number) else {
                    return;
                };
                if let Err(payload) = catch_unwind(|| run(&program, number, cell)) {
                    failures.lock().unwrap().push((cell, message(payload)));
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    // Not by `println`, which is only shown for tests that fail.
    let _ = writeln!(
        std::io::stdout(),
        "{} cells in {:.0?}, {} failed; left out: {reasons:?}",
        cells.len(),
        began.elapsed(),
        failures.len(),
    );
    let list = failures.iter().map(|(cell, why)| {
        let (way, kind, state) = (cell.way.name, cell.kind, cell.state);
        format!("{way} x {kind:?} x {state:?}: {why}\n")
    });
    assert!(failures.is_empty(), "{}", list.collect::<String>());
}

fn message(payload: Box<dyn Any + Send>) -> String {
    let text = payload.downcast::<String>().map(|text| *text);
    text.unwrap_or_else(|payload| match payload.downcast::<&str>() {
        Ok(text) => (*text).to_owned(),
        Err(_) => "a panic without a message".into(),
    })
}

/// Runs the cell and checks it.
fn run(program: &Path, number: usize, cell: Cell) {
    let folder = Folder::new();
    let mark = format!("{}-{number}", std::process::id());
    let mut command = Command::new(program);
    command
        .arg(cell.way.name)
        .arg(format!("{:?}", cell.kind).to_lowercase())
        .arg(format!("{:?}", cell.state).to_lowercase())
        .arg(folder.join("subject"))
        // Whatever it leaves lying about is left here.
        .current_dir(folder.path())
        .env("TMPDIR", folder.path())
        .env(MARK, &mark);
    let mut running = start(&mut command);
    if let Some(signal) = cell.way.signal {
        running.await_line("ready");
        running.signal(signal);
    }
    if cell.way.runs == Runs::Telling {
        // The oldest: everybody has been told. Signals of one kind are not counted while one is pending; another kind is.
        running.await_line("told mule");
        running.signal(SIGINT);
    }
    let ended = running.end();
    let left = processes_left(&mark, cell.way.runs);
    for &pid in &left {
        signal_process(pid, SIGKILL);
    }
    assert!(left.is_empty(), "processes {left:?} are left; {ended:#?}");
    check(&cell, &ended, &folder.names());
}

/// Compares with the contract.
fn check(cell: &Cell, ended: &Ended, files: &[String]) {
    let Cell { way, kind, state } = *cell;
    match way.end {
        Code(code) => assert_eq!(ended.status.code(), Some(code), "{ended:#?}"),
        Signal(signal) => assert_eq!(ended.status.signal(), Some(signal), "{ended:#?}"),
    }

    // Files: the subject's is there until its clean-up, and it is the only one.
    let given_up = cell.is_given_up(ended);
    let ends = cell.ends() && !given_up;
    let held: &[&str] = match cell.is_empty() || ends {
        true => &[],
        false => &["subject"],
    };
    let may_vary = match way.runs {
        // A daemon that listens may be through with its clean-up or not.
        Runs::All => kind == Kind::Daemon || given_up,
        // Who listens may be through before the second signal.
        Runs::Telling => state != State::Blocked || kind == Kind::Process,
        // Its input ends with the program, a moment before the kernel kills it.
        Runs::Nothing => kind == Kind::Process && state == State::Stopping,
    };
    if !may_vary || !files.is_empty() {
        let held = if may_vary { &["subject"] } else { held };
        assert_eq!(files, held, "files; {ended:#?}");
    }

    let told_before = state == State::Stopping;
    if way.runs == Runs::Nothing {
        let lines = ["told newer", "told older", "at exit", "main left"];
        lines.iter().for_each(|line| {
            ended.assert_never(line);
        });
        let told = ended.count("told subject");
        assert_eq!(told, usize::from(told_before), "{ended:#?}");
        assert_eq!(ended.err, "", "{ended:#?}");
        return;
    }

    // Order: newest first, each once.
    let says = cell.says_that_it_is_told();
    assert_eq!(ended.count("told subject"), usize::from(says), "{ended:#?}");
    match (says && cell.hears_in_its_turn(), told_before) {
        (true, false) => ended.assert_order(&["told newer", "told subject", "told older"]),
        (true, true) => ended.assert_order(&["told subject", "told newer", "told older"]),
        (false, _) => ended.assert_order(&["told newer", "told older"]),
    };
    if way.runs == Runs::Telling {
        ended.assert_order(&["told older", "told mule"]);
        ended.assert_never("at exit").assert_never("main left");
        assert!(ended.err.contains("still waiting for"), "{ended:#?}");
        assert!(ended.err.contains("mule"), "{ended:#?}");
        return;
    }

    // Joined, thread-locals included, before the last hook.
    for name in ["newer", "older"] {
        let [over, gone] = ["over", "gone"].map(|what| format!("{what} {name}"));
        ended.assert_order(&[&over, &gone, "at exit"]);
    }
    if ends && !cell.is_empty() && kind != Kind::Daemon {
        ended.assert_order(&["over subject", "at exit"]);
        if cell.is_over_in_its_turn() {
            ended.assert_order(&["over subject", "told older"]);
        }
    }
    if state == State::Blocked {
        ended.assert_never("over subject");
    }
    if kind == Kind::Nested {
        ended.assert_order(&["tier at exit", "told older"]);
    }
    ended.assert_order(&[&format!("cause {}", way.cause), "at exit"]);
    match way.main_leaves {
        true => ended.assert_order(&["main left"]),
        false => ended.assert_never("main left"),
    };

    // Time: who does not listen has its grace, and nobody sits through the deadline.
    assert!(ended.took >= cell.least(), "{ended:#?}");
    assert!(ended.took < PROMPT, "{ended:#?}");

    // What went wrong is said, and nothing else.
    let vital = way.cause == PANICKED;
    if vital {
        assert!(ended.err.contains("PANICKED  vital"), "{ended:#?}");
    }
    if let Some(complaint) = cell.complaint().filter(|_| !cell.complaint_varies()) {
        assert!(ended.err.contains(complaint), "{complaint}: {ended:#?}");
    } else if !vital && !given_up && !cell.complaint_varies() {
        assert!(!ended.err.contains("sundown:"), "{ended:#?}");
    }
}

/// The variable of the environment by which all processes of a cell are known.
const MARK: &str = "SUNDOWN_MATRIX";

/// The processes of a cell that still run. Where nothing of ours could run the kernel kills them, a moment later.
fn processes_left(mark: &str, runs: Runs) -> Vec<libc::pid_t> {
    let limit = Instant::now() + PATIENCE;
    loop {
        let left = marked(mark);
        if left.is_empty() || runs == Runs::All || Instant::now() > limit {
            return left;
        }
        std::thread::sleep(Duration::from_millis(2)); // nobody can wait for somebody else's child
    }
}

/// The processes in whose environment the mark is. One that has ended and was not reaped has no environment any more.
#[cfg(target_os = "linux")]
fn marked(mark: &str) -> Vec<libc::pid_t> {
    let variable = format!("{MARK}={mark}").into_bytes();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue; // no process
        };
        // It may have ended since it was listed, or be somebody else's.
        let Ok(environment) = std::fs::read(entry.path().join("environ")) else {
            continue;
        };
        let mut variables = environment.split(|&byte| byte == 0);
        if variables.any(|one| one == variable) {
            found.push(pid);
        }
    }
    found
}

/// Nothing to ask elsewhere: `tests/process_ways_out.rs` looks for the children whose numbers it knows.
#[cfg(not(target_os = "linux"))]
fn marked(_: &str) -> Vec<libc::pid_t> {
    Vec::new()
}

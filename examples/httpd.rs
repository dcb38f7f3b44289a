//! A small synchronous web server, the kind of program that sundown is for: `cargo run --example httpd`, then Ctrl-C.
//!
//! Its promise: **a request that was answered is in the access log**, however the process ends, short of SIGKILL. Three things
//! make it true:
//!
//! 1. A request thread hands its line to the log before it writes the answer.
//! 2. Tiers. The log writer is the oldest worker. The request threads live in a nested supervisor, so they are gone, with
//!    every request that had been read answered, before anything older is told to stop.
//! 3. To be told to stop is for the log writer one last message in its channel, behind every line.
//!
//! `--without-sundown` runs the same threads on bare `std::thread`, to see what is lost then.

#[path = "httpd/access_log.rs"]
mod access_log;
#[path = "httpd/answer.rs"]
mod answer;
#[path = "httpd/args.rs"]
mod args;
#[path = "httpd/picture.rs"]
mod picture;

use std::io::{self, BufRead, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crossbeam_channel::{bounded, Sender};
use sundown::{thread, StopSource, StopToken, Supervisor, Terminate};
use tiny_http::{Request, Server};

use access_log::{AccessLog, Line, LogFile};
use args::Args;
use picture::Picture;

/// How many lines may wait for the log writer. When it is full, request threads wait: they answer nothing that is not logged.
const LINES: usize = 1024;
/// How long a request thread may go on with its last answer. A client that does not read gets no more than that, so that the
/// log writer, which comes after, has the rest of the 8 s.
const LAST_ANSWER: Duration = Duration::from_secs(3);
/// How often statistics are written.
const TICK: Duration = Duration::from_secs(10);
/// A request body that is longer than this is not worth an answer.
const ABSURD: usize = 1 << 30;

/// Why `main` leaves.
enum Leave {
    /// The shutdown has begun elsewhere: a signal, or a thread that exits.
    ShuttingDown,
    /// Commands for tests, see `--help`.
    Return,
    Panic,
    Exit(i32),
}

/// What all threads count together.
#[derive(Default)]
struct Stats {
    answers: AtomicU64,
    bytes: AtomicU64,
}

/// The exit code that a request thread is to leave with after its next answer; `NOBODY_EXITS` for none.
static EXIT_ON_WORKER: AtomicI64 = AtomicI64::new(NOBODY_EXITS);
const NOBODY_EXITS: i64 = i64::MIN;

fn main() -> ExitCode {
    // A name that is no text turns into one that does not exist, and is refused as such.
    let words = std::env::args_os().skip(1);
    match args::parse(words.map(|word| word.to_string_lossy().into_owned())) {
        Ok(None) => {
            say(args::HELP.trim_end());
            ExitCode::SUCCESS
        }
        Ok(Some(args)) => draw_and_serve(&args).unwrap_or_else(refuse),
        Err(message) => refuse(message),
    }
}

/// One clear line, and the exit code for "it did not even start".
fn refuse(message: String) -> ExitCode {
    // Nobody is left to be told if standard error is gone.
    let _ = writeln!(io::stderr(), "httpd: {message}");
    ExitCode::from(2)
}

/// Prints a line. A reader that has gone away (`httpd | head -1`) is no reason to stop, which `println!` would.
fn say(text: impl std::fmt::Display) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// Serves; and where a picture is wanted, draws the shutdown when all is over.
fn draw_and_serve(args: &Args) -> Result<ExitCode, String> {
    // Outlives the guard in `serve`, so the shutdown is through when this draws it, also after a panic.
    let picture = args
        .timeline
        .as_deref()
        .map(|path| Picture::at(path, &args.log));
    let picture = picture.transpose()?;
    let code = serve(args)?;
    match picture.as_ref().map_or(Ok(()), Picture::draw) {
        Ok(()) => Ok(code),
        Err(message) => {
            refuse(message);
            Ok(ExitCode::FAILURE)
        }
    }
}

fn serve(args: &Args) -> Result<ExitCode, String> {
    // First, so that it is dropped last: from here on every way out of the process runs the shutdown.
    let guard = match args.without_sundown {
        false => Some(sundown::init().map_err(|error| error.to_string())?),
        true => None,
    };

    // All that can be refused comes before the first thread and, where possible, before the first file.
    let root = answer::open_root(&args.root)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port))
        .map_err(|error| format!("cannot listen on 127.0.0.1:{}: {error}", args.port))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let log_file = LogFile::create(&args.log)?;

    if guard.is_some() {
        // Runs when the last thread is gone, so nobody can find the log unlocked and unfinished.
        let lock = log_file.lock.clone();
        sundown::on_exit("lock file", move || {
            if let Err(error) = std::fs::rename(&lock, access_log::last(&lock)) {
                refuse(format!("cannot rename {}: {error}", lock.display()));
            }
        });
    }
    // tiny_http has threads of its own. They end with the process: what is read after our threads were told is not answered.
    // The server is never dropped, because then tiny_http would answer 500, unlogged, to whatever is left in its queue.
    let server = Server::from_listener(listener, None).map_err(|error| error.to_string())?;
    let server: &'static Server = Box::leak(Box::new(server));
    let (leave, main) = bounded(1);
    start_threads(args, server, root, log_file, leave.clone())
        .map_err(|error| format!("cannot start a thread: {error}"))?;
    if let Some(guard) = &guard {
        // How `main`, which blocks on a channel, is told. If a command came first, `main` is leaving already.
        guard.on_terminate(move || drop(leave.try_send(Leave::ShuttingDown)));
    }

    say(format_args!(
        "serving {} on http://{address}/, log in {}; Ctrl-C ends it",
        args.root.display(),
        args.log.display()
    ));
    match main.recv() {
        Ok(Leave::ShuttingDown) | Err(_) => say(sundown::shutdown()),
        Ok(Leave::Return) => {}
        Ok(Leave::Panic) => panic!("told to panic"),
        Ok(Leave::Exit(code)) => std::process::exit(code),
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts all threads, in the order in which they depend on each other: who is needed by others comes first, and is told to
/// stop last.
fn start_threads(
    args: &Args,
    server: &'static Server,
    root: Box<Path>,
    log_file: LogFile,
    leave: Sender<Leave>,
) -> io::Result<()> {
    let supervised = !args.without_sundown;
    let worker = || supervised.then(thread::Builder::new);

    let (log, lines) = AccessLog::new(LINES);
    let last_line = log.clone();
    start(
        // A server that cannot write its log must not go on: when this worker fails, the process shuts down.
        worker().map(thread::Builder::critical),
        "log writer",
        move || last_line.end(),
        move |_| access_log::write(log_file.file, &lines),
    )?;

    // Older than the request threads, so its last figures are final.
    let stats = Arc::new(Stats::default());
    let counted = Arc::clone(&stats);
    start(worker(), "ticker", || (), move |stop| tick(&counted, &stop))?;

    if args.commands {
        // It blocks on standard input and has nothing to lose: not waited for.
        let body = move |_: StopToken| obey(&leave);
        start(
            worker().map(thread::Builder::daemon),
            "commands",
            || (),
            body,
        )?;
    }

    let requests = supervised.then(|| Supervisor::global().child("requests"));
    let root: Arc<Path> = Arc::from(root);
    for n in 1..=args.threads {
        let (root, log, stats) = (Arc::clone(&root), log.clone(), Arc::clone(&stats));
        start(
            requests.as_ref().map(|r| r.worker().grace(LAST_ANSWER)),
            &format!("request {n}"),
            // Wakes one request thread, and queues up behind the requests that have been read: those are answered first.
            || server.unblock(),
            move |_| {
                while let Ok(request) = server.recv() {
                    respond(request, &root, &log, &stats);
                }
            },
        )?;
    }
    Ok(())
}

/// Starts a thread: supervised by `worker`, or as one would without this library. The thread does the same in both.
#[track_caller] // the report shows where it was called, and not this function
fn start(
    worker: Option<thread::Builder>,
    name: &str,
    on_terminate: impl Terminate,
    body: impl FnOnce(StopToken) + Send + 'static,
) -> io::Result<()> {
    match worker {
        Some(worker) => {
            let worker = worker.name(name.into()).on_terminate(on_terminate);
            worker.spawn_with(body)?;
        }
        None => {
            // Nobody ever stops this one.
            let token = StopSource::new().token();
            let builder = std::thread::Builder::new().name(name.into());
            builder.spawn(move || body(token))?;
        }
    }
    Ok(())
}

/// Answers one request: logged first, then written.
fn respond(request: Request, root: &Path, log: &AccessLog, stats: &Stats) {
    if request.body_length() > Some(ABSURD) {
        // tiny_http reads what is left of a body into a buffer of that size, which would abort the process.
        std::mem::forget(request);
        return;
    }
    let answer = answer::find(root, request.method(), request.url());
    let line = Line {
        time: SystemTime::now(),
        method: request.method().as_str().to_owned(),
        url: request.url().to_owned(),
        status: answer.status,
        size: answer.size,
    };
    let answer = match log.send(line) {
        Ok(()) => answer,
        // The log writer has failed, and the shutdown is on its way.
        Err(_) => answer::unavailable(),
    };
    stats.answers.fetch_add(1, Ordering::Relaxed);
    stats.bytes.fetch_add(answer.size, Ordering::Relaxed);
    // A client that has gone away is no fault of ours.
    let _ = request.respond(answer.into_response());

    let code = EXIT_ON_WORKER.swap(NOBODY_EXITS, Ordering::Relaxed);
    if let Ok(code) = i32::try_from(code) {
        std::process::exit(code);
    }
}

/// Writes statistics until told to stop, and once more then.
fn tick(stats: &Stats, stop: &StopToken) {
    let mut said = 0;
    loop {
        let told = stop.sleep(TICK).is_err();
        let answers = stats.answers.load(Ordering::Relaxed);
        if told || answers != said {
            let bytes = stats.bytes.load(Ordering::Relaxed);
            say(format_args!("{answers} answers, {bytes} bytes"));
            said = answers;
        }
        if told {
            return;
        }
    }
}

/// Reads commands, one a line. They are for tests: ways out that a signal cannot show.
fn obey(leave: &Sender<Leave>) {
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        let (word, code) = line.split_once(' ').unwrap_or((&line, "0"));
        let code: i32 = code.trim().parse().unwrap_or(0);
        // A second command finds the channel full, or `main` gone: it is leaving already.
        let _ = match word {
            "return" => leave.try_send(Leave::Return),
            "panic" => leave.try_send(Leave::Panic),
            "exit" => leave.try_send(Leave::Exit(code)),
            "exit-worker" => {
                EXIT_ON_WORKER.store(code.into(), Ordering::Relaxed);
                Ok(())
            }
            _ => {
                refuse(format!("unknown command {word:?}"));
                Ok(())
            }
        };
    }
}

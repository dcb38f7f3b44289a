//! The promise of `examples/httpd.rs`: a request that was answered is in the log, however the server ends.
//!
//! Each round starts it as a child process, loads it with several clients, and ends it at a random moment, in one of five ways.
//! The moment is a number of answers, so that no clock decides what is tested. A failure prints the seed of its round;
//! `HTTPD_SEED=n cargo test --test httpd` begins with that one.

#![cfg(unix)]

mod common;

use std::collections::HashMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use common::programs::{Ended, Folder, Program, PATIENCE};

/// The files that are served, and how long they are: within one write, within one buffer, and in many.
const FILES: [(&str, usize); 3] = [
    ("small.txt", 60),
    ("middle.txt", 20_000),
    ("large.txt", 300_000),
];
const CLIENTS: u64 = 4;

#[derive(Clone, Copy, Debug)]
enum WayOut {
    Signal(i32),
    Return,
    Panic,
    Exit,
    ExitOnWorker,
}

const WAYS_OUT: [WayOut; 6] = [
    WayOut::Signal(libc::SIGTERM),
    WayOut::Signal(libc::SIGINT),
    WayOut::Return,
    WayOut::Panic,
    WayOut::Exit,
    WayOut::ExitOnWorker,
];

#[test]
fn every_answered_request_is_in_the_log() {
    rounds(20);
}

#[test]
#[ignore = "takes minutes; run it with --ignored"]
fn every_answered_request_is_in_the_log_five_hundred_times() {
    rounds(500);
}

#[test]
fn the_same_program_without_sundown_loses_lines() {
    let seed = first_seed();
    let lost: usize = (0..5).map(|n| round(seed + n, false).lost.len()).sum();
    assert!(
        lost > 0,
        "this test would not notice a loss; first seed {seed}"
    );
}

#[test]
#[ignore = "measures, and checks nothing: run it with --ignored --nocapture"]
fn what_is_lost_with_and_without_sundown() {
    const ROUNDS: u64 = 500;
    let seed = first_seed();
    for supervised in [true, false] {
        let rounds: Vec<Round> = (0..ROUNDS).map(|n| round(seed + n, supervised)).collect();
        let answered: usize = rounds.iter().map(|round| round.answered).sum();
        let lost: usize = rounds.iter().map(|round| round.lost.len()).sum();
        let hit = rounds.iter().filter(|round| !round.lost.is_empty()).count();
        let name = if supervised { "sundown" } else { "std::thread" };
        println!("{name}: {lost} of {answered} answered requests are not in the log, in {hit} of {ROUNDS} rounds");
    }
}

fn rounds(count: u64) {
    let seed = first_seed();
    for seed in seed..seed + count {
        let round = round(seed, true);
        let Round { way_out, ended, .. } = &round;
        let told = format!("HTTPD_SEED={seed}, {way_out:?}, {ended:#?}");
        assert!(round.answered > 0, "{told}");
        let (lost, answered) = (&round.lost, round.answered);
        assert!(
            lost.is_empty(),
            "{} of {answered} lost: {lost:?}; {told}",
            lost.len()
        );
        assert_eq!(round.left, ["log", "log.lock.last"], "{told}");
        match *way_out {
            WayOut::Signal(signal) => {
                assert_eq!(ended.status.signal(), Some(signal), "{told}");
                let report = ended
                    .out
                    .iter()
                    .any(|line| line.starts_with("shutdown after SIG"));
                assert!(report, "{told}");
            }
            WayOut::Return => assert_eq!(ended.status.code(), Some(0), "{told}"),
            WayOut::Panic => assert_eq!(ended.status.code(), Some(101), "{told}"),
            WayOut::Exit => assert_eq!(ended.status.code(), Some(3), "{told}"),
            WayOut::ExitOnWorker => assert_eq!(ended.status.code(), Some(4), "{told}"),
        }
        let clean = match way_out {
            WayOut::Panic => ended.err.contains("told to panic") && !ended.err.contains("sundown:"),
            _ => ended.err.is_empty(),
        };
        assert!(clean, "{told}");
    }
}

/// What one round came to.
struct Round {
    way_out: WayOut,
    ended: Ended,
    /// How many answers with 200 the clients have received to the last byte.
    answered: usize,
    /// Those of them that are no line in the log.
    lost: Vec<String>,
    /// The files that are left beside the log.
    left: Vec<String>,
}

/// An answer with 200 that a client has received to its last byte.
struct Answered {
    url: String,
    size: usize,
}

fn round(seed: u64, supervised: bool) -> Round {
    let mut random = Random::new(seed);
    let (root, logs) = (served_folder(), Folder::new());
    let log = logs.join("log");
    let mut args = vec!["--commands"];
    if !supervised {
        args.push("--without-sundown");
    }
    let (mut server, address) = start(root.path(), &log, &args);

    let (answer, answers) = mpsc::channel();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|id| {
            let (answer, random) = (answer.clone(), Random::new(seed ^ (id + 1) << 32));
            std::thread::spawn(move || load(address, id, random, &answer))
        })
        .collect();
    drop(answer);

    let way_out = WAYS_OUT[random.below(WAYS_OUT.len())];
    let moment = 1 + random.below(400);
    let next = || {
        answers
            .recv_timeout(PATIENCE)
            .expect("clients that are answered")
    };
    let mut answered: Vec<Answered> = std::iter::repeat_with(next).take(moment).collect();
    match way_out {
        WayOut::Signal(signal) => server.signal(signal),
        WayOut::Return => server.tell("return"),
        WayOut::Panic => server.tell("panic"),
        WayOut::Exit => server.tell("exit 3"),
        WayOut::ExitOnWorker => server.tell("exit-worker 4"),
    }
    // Until the last client has seen the end of the server.
    let limit = Instant::now() + PATIENCE;
    loop {
        match answers.recv_timeout(limit.saturating_duration_since(Instant::now())) {
            Ok(answer) => answered.push(answer),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => panic!("it goes on answering after {way_out:?}"),
        }
    }
    let ended = server.end();
    clients
        .into_iter()
        .for_each(|client| client.join().unwrap());

    let logged = read_log(&log);
    let is_lost = |answered: &&Answered| logged.get(&answered.url) != Some(&answered.size);
    Round {
        way_out,
        ended,
        answered: answered.len(),
        lost: answered
            .iter()
            .filter(is_lost)
            .map(|a| a.url.clone())
            .collect(),
        left: logs.names(),
    }
}

fn served_folder() -> Folder {
    let root = Folder::new();
    for (name, size) in FILES {
        fs::write(root.join(name), "x".repeat(size)).unwrap();
    }
    root
}

/// Starts the server on a free port.
fn start(root: &Path, log: &Path, more: &[&str]) -> (Program, SocketAddr) {
    let (root, log) = (root.to_str().unwrap(), log.to_str().unwrap());
    let args = ["--port", "0", "--root", root, "--log", log];
    let mut server = Program::start("httpd", &[&args, more].concat());
    let line = server.await_line("http://127.0.0.1:");
    let address = line
        .split("http://")
        .nth(1)
        .and_then(|rest| rest.split('/').next());
    (server, address.unwrap().parse().unwrap())
}

/// The answered URLs of a log, with the sizes. Every line must be whole, except the last of a program that was cut off.
fn read_log(log: &Path) -> HashMap<String, usize> {
    let text = fs::read_to_string(log).unwrap();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let line = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        let [time, "GET", url, "200", size] = fields[..] else {
            panic!("a strange line: {line:?}");
        };
        assert!(time.len() == 24 && time.ends_with('Z'), "{line:?}");
        (url.to_owned(), size.parse().unwrap())
    };
    whole.lines().map(line).collect()
}

// ---- the clients

/// Asks for one file after another until the server is gone. Some clients keep their connection, some open a new one each time.
fn load(address: SocketAddr, id: u64, mut random: Random, answers: &Sender<Answered>) {
    let keep = id % 2 == 0;
    let mut connection = None;
    for n in 0.. {
        let (name, _) = FILES[random.below(FILES.len())];
        let url = format!("/{name}?client={id}&n={n}");
        // A connection that fails has seen the end of the server: what comes after it is refused.
        let stream = match connection.take() {
            Some(stream) => stream,
            None => match connect(address) {
                Ok(stream) => stream,
                Err(_) => return,
            },
        };
        let mut stream = BufReader::new(stream);
        let Ok((200, body)) = get(&mut stream, "GET", &url, keep) else {
            return;
        };
        let size = body.len();
        // The round listens until all clients are gone.
        answers.send(Answered { url, size }).unwrap();
        connection = keep.then(|| stream.into_inner());
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// One request and its whole answer: status and body.
fn get(
    stream: &mut BufReader<TcpStream>,
    method: &str,
    url: &str,
    keep: bool,
) -> io::Result<(u16, Vec<u8>)> {
    let connection = if keep { "keep-alive" } else { "close" };
    let request =
        format!("{method} {url} HTTP/1.1\r\nHost: test\r\nConnection: {connection}\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes())?;
    let mut line = || -> io::Result<String> {
        let mut text = String::new();
        match stream.read_line(&mut text)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(text.trim_end().to_ascii_lowercase()),
        }
    };
    let status = line()?;
    let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
    let mut length = 0;
    loop {
        let header = line()?;
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; if method == "HEAD" { 0 } else { length }];
    stream.read_exact(&mut body)?;
    Ok((status.ok_or(io::ErrorKind::InvalidData)?, body))
}

/// SplitMix64: enough to vary moments, and repeatable.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }
}

fn first_seed() -> u64 {
    match std::env::var("HTTPD_SEED") {
        Ok(seed) => seed.parse().expect("HTTPD_SEED is a number"),
        Err(_) => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_millis() as u64,
    }
}

// ---- what else an operator relies on

/// One request on a connection of its own.
fn ask(address: SocketAddr, method: &str, url: &str) -> (u16, Vec<u8>) {
    let mut stream = BufReader::new(connect(address).unwrap());
    get(&mut stream, method, url, false).unwrap()
}

#[test]
fn answers_are_sensible_and_stay_within_the_folder() {
    let (root, logs) = (served_folder(), Folder::new());
    fs::write(logs.join("secret"), "secret").unwrap();
    fs::create_dir(root.join("sub dir")).unwrap();
    fs::write(root.join("sub dir/x & y"), "in a folder").unwrap();
    std::os::unix::fs::symlink(logs.join("secret"), root.join("link")).unwrap();
    let outside = logs.path().file_name().unwrap().to_str().unwrap();
    let (server, address) = start(root.path(), &logs.join("log"), &[]);

    let (status, body) = ask(address, "GET", "/sub%20dir/x%20%26%20y?q=1");
    assert_eq!((status, &body[..]), (200, &b"in a folder"[..]));
    assert_eq!(ask(address, "HEAD", "/small.txt"), (200, Vec::new()));
    assert_eq!(ask(address, "POST", "/small.txt").0, 405);
    assert_eq!(ask(address, "GET", "/none").0, 404);
    assert_eq!(ask(address, "GET", "/small.txt/x").0, 404);
    assert_eq!(ask(address, "GET", "/%00").0, 400);
    let (status, body) = ask(address, "GET", "/");
    assert!(status == 200 && String::from_utf8(body).unwrap().contains("/sub%20dir/"));
    for path in ["..", "%2e%2e", "sub%20dir/../.."] {
        assert_eq!(
            ask(address, "GET", &format!("/{path}/{outside}/secret")).0,
            404
        );
    }
    assert_eq!(ask(address, "GET", "/link").0, 404);
    assert_eq!(
        ask(
            address,
            "GET",
            &format!("/{}", logs.join("secret").display())
        )
        .0,
        404
    );
    // An attempt to write a line of its own.
    assert_eq!(ask(address, "GET", "/none\n2026-fake\x1b[2J\\").0, 404);

    server.signal(libc::SIGTERM);
    let ended = server.end();
    assert_eq!(ended.err, "");
    let text = fs::read_to_string(logs.join("log")).unwrap();
    let has = |part: &str| text.lines().any(|line| line.ends_with(part));
    assert!(has(" GET /sub%20dir/x%20%26%20y?q=1 200 11"), "{text}");
    assert!(has(" HEAD /small.txt 200 0"), "{text}");
    assert!(has(" GET /none\\x0a2026-fake\\x1b[2J\\\\ 404 14"), "{text}");
    assert!(
        text.lines().all(|line| line.split(' ').count() == 5),
        "{text}"
    );
}

#[test]
fn a_client_that_does_not_read_costs_no_other_line() {
    let (root, logs) = (served_folder(), Folder::new());
    // More than the buffers of both sockets take.
    fs::File::create(root.join("huge"))
        .unwrap()
        .set_len(64 << 20)
        .unwrap();
    let (server, address) = start(root.path(), &logs.join("log"), &[]);
    let mut deaf = connect(address).unwrap();
    deaf.write_all(b"GET /huge HTTP/1.1\r\nHost: test\r\n\r\n")
        .unwrap();
    // Its answer has begun, so a thread is stuck with it.
    deaf.read_exact(&mut [0]).unwrap();
    assert_eq!(ask(address, "GET", "/small.txt").0, 200);
    server.signal(libc::SIGTERM);
    let ended = server.end();
    assert_eq!(ended.status.signal(), Some(libc::SIGTERM), "{ended:#?}");
    let stuck = ended
        .out
        .iter()
        .filter(|line| line.contains("STUCK"))
        .count();
    assert_eq!(stuck, 1, "{ended:#?}");
    assert!(read_log(&logs.join("log")).contains_key("/small.txt"));
    assert_eq!(logs.names(), ["log", "log.lock.last"]);
}

#[test]
fn what_cannot_start_says_why_in_one_line_and_leaves_nothing() {
    let (root, logs) = (served_folder(), Folder::new());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let folder = root.path().to_str().unwrap();
    let (log, bad_log) = (logs.join("log"), logs.join("none/log"));
    let (log, bad_log) = (log.to_str().unwrap(), bad_log.to_str().unwrap());
    let cases: [(&[&str], &str); 9] = [
        (
            &["--port", &port, "--root", folder, "--log", log],
            "cannot listen on 127.0.0.1",
        ),
        (
            &["--port", "0", "--root", "/none", "--log", log],
            "cannot read the folder /none",
        ),
        (
            &["--port", "0", "--root", file!(), "--log", log],
            "cannot read the folder",
        ),
        (
            &["--port", "0", "--root", folder, "--log", bad_log],
            "cannot write",
        ),
        (
            &["--port", "0", "--root", folder, "--log", folder],
            "not a regular file",
        ),
        (
            &["--port", "70000", "--log", log],
            "\"70000\" is not a port",
        ),
        (
            &["--threads", "0", "--log", log],
            "\"0\" is not a number of threads",
        ),
        (&["--log"], "--log needs a value"),
        (&["--prot", "0"], "unknown argument \"--prot\""),
    ];
    for (args, why) in cases {
        let ended = Program::start("httpd", args).end();
        assert_eq!(ended.status.code(), Some(2), "{args:?} {ended:#?}");
        assert!(ended.err.contains(why), "{args:?} {ended:#?}");
        assert_eq!(ended.err.lines().count(), 1, "{args:?} {ended:#?}");
        assert!(ended.out.is_empty(), "{args:?} {ended:#?}");
        assert!(logs.names().is_empty(), "{args:?} {:?}", logs.names());
        assert_eq!(root.names().len(), FILES.len(), "{args:?}");
    }
}

#[test]
fn a_second_server_does_not_write_the_same_log_but_one_after_a_crash_does() {
    let (root, logs) = (served_folder(), Folder::new());
    let (folder, log) = (root.path(), logs.join("log"));
    let args = [
        "--port",
        "0",
        "--root",
        folder.to_str().unwrap(),
        "--log",
        log.to_str().unwrap(),
    ];
    let (first, _) = start(folder, &log, &[]);
    let second = Program::start("httpd", &args).end();
    assert_eq!(second.status.code(), Some(2), "{second:#?}");
    assert!(
        second.err.contains("log.lock says that process"),
        "{second:#?}"
    );
    assert_eq!(logs.names(), ["log", "log.lock"]);
    first.signal(libc::SIGKILL);
    first.end();
    if cfg!(target_os = "linux") {
        let (third, _) = start(folder, &log, &[]);
        third.signal(libc::SIGINT);
        assert_eq!(third.end().status.signal(), Some(libc::SIGINT));
        assert_eq!(logs.names(), ["log", "log.lock.last"]);
    }
}

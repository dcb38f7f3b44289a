//! `examples/httpd --timeline FILE` draws its shutdown on each way out that `main` takes, and refuses a file that it could not
//! write before it serves.

#![cfg(unix)]

mod common;
#[path = "support/xml.rs"]
#[allow(dead_code, unreachable_pub)]
mod xml;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use common::programs::{Folder, Program};

/// Starts the server on a free port.
fn start(logs: &Folder, more: &[&str]) -> (Program, SocketAddr) {
    let (root, log) = (logs.path().to_str().unwrap(), logs.join("log"));
    let args = [
        "--port",
        "0",
        "--root",
        root,
        "--log",
        log.to_str().unwrap(),
    ];
    let mut server = Program::start("httpd", &[&args, more].concat());
    let line = server.await_line("http://127.0.0.1:");
    let rest = line.split("http://").nth(1).unwrap();
    (server, rest.split('/').next().unwrap().parse().unwrap())
}

/// One request and its whole answer.
fn ask(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(b"GET /none HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 404"));
}

/// The picture has a row for each part of the server, and says why it ended.
fn assert_shows_the_server(file: &Path, cause: &str) {
    let svg = fs::read_to_string(file).unwrap();
    let picture = xml::parse(&svg);
    let title = &picture.children[0].text;
    assert!(
        title.starts_with(&format!("shutdown after {cause} took ")),
        "{title}"
    );
    let texts: Vec<&str> = picture.all().iter().map(|element| &*element.text).collect();
    for name in [
        "requests",
        "request 1",
        "request 4",
        "ticker",
        "log writer",
        "lock file",
    ] {
        assert!(texts.contains(&name), "{name}: {texts:?}");
    }
}

#[test]
fn the_picture_is_drawn_however_main_leaves() {
    let signal = |server: &mut Program| server.signal(libc::SIGTERM);
    let tell = |word: &'static str| move |server: &mut Program| server.tell(word);
    type End = Box<dyn Fn(&mut Program)>;
    let ways: [(End, &str); 3] = [
        (Box::new(signal), "SIGTERM"),
        (Box::new(tell("return")), "the end of main"),
        (Box::new(tell("panic")), "a panic in main"),
    ];
    for (end, cause) in ways {
        let logs = Folder::new();
        let file = logs.join("shutdown.svg");
        // What stood there before is gone.
        fs::write(&file, "x".repeat(1_000_000)).unwrap();
        let (mut server, address) =
            start(&logs, &["--commands", "--timeline", file.to_str().unwrap()]);
        ask(address);
        assert_eq!(
            fs::metadata(&file).unwrap().len(),
            1_000_000,
            "not before the end"
        );
        end(&mut server);
        let ended = server.end();
        match cause {
            "SIGTERM" => assert_eq!(ended.status.signal(), Some(libc::SIGTERM), "{ended:#?}"),
            "a panic in main" => assert_eq!(ended.status.code(), Some(101), "{ended:#?}"),
            _ => assert_eq!(ended.status.code(), Some(0), "{ended:#?}"),
        }
        assert_shows_the_server(&file, cause);
        assert_eq!(logs.names(), ["log", "log.lock.last", "shutdown.svg"]);
    }
}

#[test]
fn where_main_does_not_leave_there_is_no_picture_and_no_empty_file() {
    let logs = Folder::new();
    let file = logs.join("shutdown.svg");
    let (mut server, _) = start(&logs, &["--commands", "--timeline", file.to_str().unwrap()]);
    server.tell("exit 3");
    assert_eq!(server.end().status.code(), Some(3));
    assert_eq!(logs.names(), ["log", "log.lock.last"]);
}

#[test]
fn a_file_that_cannot_be_written_is_refused_in_one_line_and_leaves_nothing() {
    let logs = Folder::new();
    let log = logs.join("log");
    let at = |name: &str| logs.join(name).to_str().unwrap().to_owned();
    symlink(logs.join("nowhere"), logs.join("dangling")).unwrap();
    let fifo = std::ffi::CString::new(at("fifo")).unwrap();
    // SAFETY: the path is a C string.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    let cases: [(&[&str], &str); 8] = [
        (
            &["--timeline", &at("none/shutdown.svg")],
            "cannot write the timeline",
        ),
        (
            &["--timeline", logs.path().to_str().unwrap()],
            "not a regular file",
        ),
        (&["--timeline", &at("fifo")], "not a regular file"),
        (&["--timeline", "/dev/full"], "not a regular file"),
        (
            &["--timeline", &at("dangling")],
            "cannot write the timeline",
        ),
        (
            &["--timeline", log.to_str().unwrap()],
            "it is the access log",
        ),
        (&["--timeline"], "--timeline needs a value"),
        (
            &["--timeline", &at("shutdown.svg"), "--without-sundown"],
            "there is none --without-sundown",
        ),
    ];
    for (args, why) in cases {
        let before = ["--port", "0", "--log", log.to_str().unwrap()];
        let ended = Program::start("httpd", &[&before, args].concat()).end();
        assert_eq!(ended.status.code(), Some(2), "{args:?} {ended:#?}");
        assert!(ended.err.contains(why), "{args:?} {ended:#?}");
        assert_eq!(ended.err.lines().count(), 1, "{args:?} {ended:#?}");
        assert!(ended.out.is_empty(), "{args:?} {ended:#?}");
        assert_eq!(logs.names(), ["dangling", "fifo"], "{args:?}");
    }
    // What is refused for another reason leaves no picture either.
    let picture = at("shutdown.svg");
    let ended = Program::start("httpd", &["--timeline", &picture, "--root", "/none"]).end();
    assert_eq!(ended.status.code(), Some(2), "{ended:#?}");
    assert_eq!(logs.names(), ["dangling", "fifo"]);
}

#[test]
fn a_file_that_cannot_be_written_any_more_at_the_end_is_said() {
    let logs = Folder::new();
    let folder = logs.join("folder");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("shutdown.svg");
    let (mut server, _) = start(&logs, &["--commands", "--timeline", file.to_str().unwrap()]);
    fs::remove_dir(&folder).unwrap();
    server.tell("return");
    let ended = server.end();
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    assert!(
        ended.err.contains("cannot write the timeline"),
        "{ended:#?}"
    );
}

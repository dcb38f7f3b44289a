//! `examples/sync_websocket.rs` never calls close. However it leaves, the server gets every message and a Close frame with 1001.
#![cfg(all(unix, feature = "example-websocket"))]

mod common;

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::sync::mpsc::{self, Receiver};

use common::programs::{Ended, Program, PATIENCE};
use tokio_tungstenite::tungstenite::{accept, Error, Message};

/// All that one client sent, and how it ended.
#[derive(Debug, PartialEq)]
struct Heard {
    messages: Vec<String>,
    /// The code of the Close frame; `None` if there was none.
    close: Option<u16>,
}

/// Serves one client: answers each message with the same, if `answers`.
fn serve(answers: bool) -> (String, Receiver<Heard>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let (heard, hears) = mpsc::channel();
    std::thread::spawn(move || {
        let (stream, _peer) = listener.accept().unwrap();
        heard.send(listen(stream, answers)).unwrap();
    });
    (url, hears)
}

fn listen(stream: TcpStream, answers: bool) -> Heard {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut socket = accept(stream).unwrap();
    let mut messages = Vec::new();
    let mut close = None;
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => {
                messages.push(text.to_string());
                if answers {
                    socket.send(Message::Text(text)).unwrap();
                }
            }
            Ok(Message::Close(frame)) => close = frame.map(|frame| frame.code.into()),
            Ok(_) => {}
            // The Close has been answered, and the client is gone.
            Err(Error::ConnectionClosed) => return Heard { messages, close },
            Err(error) => panic!("{error} after {messages:?} and {close:?}"),
        }
    }
}

const SENT: [&str; 4] = ["message 1", "message 2", "message 3", "last words"];

/// Runs it with this way out and ends it by the signal, if one is given.
#[track_caller]
fn leave(how: &str, signal: Option<i32>) -> Ended {
    let (url, heard) = serve(true);
    let mut program = Program::start_with_features(
        "sync_websocket",
        "example-websocket",
        &["--url", &url, "--leave", how],
    );
    if let Some(signal) = signal {
        // The answer to the last thing that it sends.
        program.await_line("last words");
        program.signal(signal);
    }
    let ended = program.end();
    let heard = heard.recv_timeout(PATIENCE);
    let heard = heard.unwrap_or_else(|error| panic!("{error}: {ended:#?}"));
    assert_eq!(heard.messages, SENT, "{ended:#?}");
    assert_eq!(heard.close, Some(1001), "{ended:#?}");
    ended
}

#[test]
fn the_server_is_told_when_main_returns() {
    let ended = leave("return", None);
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
    assert_eq!(ended.err, "");
}

#[test]
fn the_server_is_told_when_main_panics() {
    let ended = leave("panic", None);
    assert_eq!(ended.status.code(), Some(101), "{ended:#?}");
    assert!(ended.err.contains("as asked"), "{ended:#?}");
}

#[test]
fn the_server_is_told_when_main_exits() {
    let ended = leave("exit", None);
    assert_eq!(ended.status.code(), Some(3), "{ended:#?}");
    assert_eq!(ended.err, "");
}

#[test]
fn the_server_is_told_at_ctrl_c() {
    let ended = leave("wait", Some(libc::SIGINT));
    assert_eq!(ended.status.signal(), Some(libc::SIGINT), "{ended:#?}");
    assert_eq!(ended.err, "");
}

#[test]
fn the_server_is_told_at_sigterm() {
    let ended = leave("wait", Some(libc::SIGTERM));
    assert_eq!(ended.status.signal(), Some(libc::SIGTERM), "{ended:#?}");
    assert_eq!(ended.err, "");
}

#[test]
fn a_server_that_answers_nothing_is_told_all_the_same() {
    let (url, heard) = serve(false);
    let args = ["--url", &url, "--leave", "exit"];
    let program = Program::start_with_features("sync_websocket", "example-websocket", &args);
    assert_eq!(program.end().status.code(), Some(3));
    let heard = heard.recv_timeout(PATIENCE).unwrap();
    assert_eq!(
        (&heard.messages[..], heard.close),
        (&SENT.map(str::to_owned)[..], Some(1001))
    );
}

#[test]
fn the_example_can_be_its_own_server() {
    let mut server =
        Program::start_with_features("sync_websocket", "example-websocket", &["--serve"]);
    let line = server.await_line("listening on");
    let (_, url) = line.rsplit_once(' ').unwrap();
    let client =
        Program::start_with_features("sync_websocket", "example-websocket", &["--url", url]);
    assert_eq!(client.end().status.code(), Some(0));
    server.await_line("server: close 1001");
    server.signal(libc::SIGINT);
    let ended = server.end();
    assert_eq!(ended.status.signal(), Some(libc::SIGINT), "{ended:#?}");

    // And without either, it has one in its own process: both ends close in good order.
    let alone = Program::start_with_features("sync_websocket", "example-websocket", &[]).end();
    assert_eq!(alone.status.code(), Some(0), "{alone:#?}");
    let expected = [
        "server: got \"last words\"",
        "server: close 1001: going away",
    ];
    assert!(
        alone.out.ends_with(&expected.map(str::to_owned)),
        "{alone:#?}"
    );
}

#[test]
fn a_server_that_is_not_there_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    drop(listener);
    let args = ["--url", &url];
    let ended = Program::start_with_features("sync_websocket", "example-websocket", &args).end();
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    assert!(ended.err.contains("refused"), "{ended:#?}");
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    for args in [&["--leave", "nowhere"][..], &["--url"], &["--nonsense"]] {
        let ended = Program::start_with_features("sync_websocket", "example-websocket", args).end();
        assert_eq!(ended.status.code(), Some(2), "{ended:#?}");
        assert!(ended.err.starts_with("usage: "), "{ended:#?}");
    }
}

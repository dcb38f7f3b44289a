//! The programs of `docs/migrating.md`, before and after, do what the page says when they are told to stop.
//!
//! They stand in `src/bin/`, and the page quotes them whole. The page's other examples are documentation tests of sundown.

#![cfg(unix)]

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

// It serves the tests of sundown, with sundown's features.
#[allow(dead_code, unexpected_cfgs, unreachable_pub)]
#[path = "../../tests/common/programs.rs"]
mod programs;

use programs::{Ended, Program};

const PAGE: &str = include_str!("../../docs/migrating.md");

macro_rules! program {
    ($name:literal) => {{
        let source = include_str!(concat!("../src/bin/", $name, ".rs"));
        assert!(
            PAGE.contains(source),
            "docs/migrating.md does not quote {} as it is",
            $name
        );
        env!(concat!("CARGO_BIN_EXE_", $name))
    }};
}

/// Runs it, and sends these signals when it says that it runs; awaits what it says to each but the last.
fn tell(path: &str, signals: &[(i32, &str)]) -> Ended {
    let mut program = Program::spawn(&mut Command::new(path));
    program.await_line("running");
    for (signal, answer) in signals {
        program.signal(*signal);
        if !answer.is_empty() {
            program.await_line(answer);
        }
    }
    program.end()
}

#[test]
fn from_ctrlc_and_process_exit() {
    let before = tell(program!("ctrlc_before"), &[(libc::SIGINT, "")]);
    assert_eq!(before.status.code(), Some(130));
    assert_eq!(before.out.len(), 1, "{before:#?}"); // the writer was cut off

    let after = tell(program!("ctrlc_after"), &[(libc::SIGINT, "")]);
    assert_eq!(after.status.signal(), Some(libc::SIGINT));
    assert_eq!(
        after.out.last().unwrap(),
        "writer: everything is on the disk"
    );
}

#[test]
fn from_signal_hook() {
    let signals = [
        (libc::SIGHUP, "reading the settings again"),
        (libc::SIGTERM, ""),
    ];
    let before = tell(program!("signal_hook_before"), &signals);
    assert_eq!(before.status.code(), Some(0));
    assert_eq!(before.out.last().unwrap(), "main: everything is saved");

    let after = tell(program!("signal_hook_after"), &signals);
    assert_eq!(after.status.signal(), Some(libc::SIGTERM));
    assert_eq!(after.out.last().unwrap(), "main: everything is saved");
}

#[test]
fn from_tokio_graceful_shutdown() {
    let before = tell(program!("graceful_before"), &[(libc::SIGTERM, "")]);
    assert_eq!(before.status.code(), Some(0), "{before:#?}");
    assert!(before.out.contains(&"feed: ends".into()), "{before:#?}");

    let after = tell(program!("graceful_after"), &[(libc::SIGTERM, "")]);
    assert_eq!(after.status.signal(), Some(libc::SIGTERM), "{after:#?}");
    assert!(after.out.contains(&"feed: ends".into()), "{after:#?}");
}

/// What stands on the page in Python runs, and prints what its twin in Rust does.
#[test]
fn from_python() {
    let blocks = PAGE.split("```python\n").skip(1);
    let printed: Vec<_> = blocks
        .map(|block| {
            let program = block.split("```").next().unwrap();
            let output = Command::new("python3")
                .args(["-c", program])
                .output()
                .expect("python3");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && said.is_empty(), "{said}");
            String::from_utf8(output.stdout).unwrap()
        })
        .collect();
    assert_eq!(printed.len(), 3);
    assert_eq!(printed[0], "one line\nwriter: everything is on the disk\n");
    assert!(
        ["1024\n", "cancelled\n"].contains(&&*printed[1]),
        "{printed:?}"
    );
    assert_eq!(printed[2], "done\n");
}

/// Every program has its test here.
#[test]
fn none_is_forgotten() {
    let here = include_str!("migrations.rs");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin");
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(here.contains(&format!("program!(\"{name}\")")), "{name}");
    }
}

//! Each example prints what it says that it prints, and ends as it should.

mod common;

use std::fs;

use common::programs::{Ended, Folder, Program};

/// Runs it to its end with nothing asked of it.
fn run(name: &str, args: &[&str]) -> Ended {
    Program::start(name, args).end()
}

/// How a program ends that SIGINT has ended.
#[cfg(unix)]
fn assert_died_of_sigint(ended: &Ended) {
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(ended.status.signal(), Some(libc::SIGINT), "{ended:#?}");
}

#[test]
fn drop_in_a_worker_that_nobody_joins_finishes() {
    let ended = run("01_drop_in", &[]);
    assert!(ended.status.success(), "{ended:#?}");
    assert_eq!(
        sorted(&ended.out),
        [
            "main: returns",
            "worker: part 1 of 3",
            "worker: part 2 of 3",
            "worker: part 3 of 3"
        ]
    );
    assert_eq!(ended.err, "");
}

#[test]
fn terminate_callback_ends_a_worker_that_blocks() {
    let ended = run("02_terminate_callback", &[]);
    assert!(ended.status.success(), "{ended:#?}");
    assert_eq!(
        ended.out,
        [
            "main: returns",
            "callback: no more jobs",
            "adder: the sum is 6"
        ]
    );
    assert_eq!(ended.err, "");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_program_in_good_order_and_as_the_signal_does() {
    let mut program = Program::start("03_ctrl_c", &[]);
    program.await_line("main: waits for Ctrl-C");
    program.signal(libc::SIGINT);
    let ended = program.end();
    assert_died_of_sigint(&ended);
    let has = |part: &str| ended.out.iter().any(|line| line.contains(part));
    assert!(has("main: leaves because of SIGINT"), "{ended:#?}");
    assert!(has("ticker: stops after 0 ticks"), "{ended:#?}");
    assert!(has("shutdown after SIGINT took"), "{ended:#?}");
    assert!(has("finished  ticker"), "{ended:#?}");
    assert_eq!(ended.err, "");
}

#[test]
fn nested_supervisors_make_tiers() {
    let ended = run("04_nested", &[]);
    assert!(ended.status.success(), "{ended:#?}");
    assert_eq!(ended.out[0], "main: returns");
    // The two requests are told newest first, but both are awake then.
    assert_eq!(
        sorted(&ended.out[1..3]),
        [
            "log: last words of request 1",
            "log: last words of request 2"
        ]
    );
    assert_eq!(ended.out[3..], ["log: closed"]);
    assert_eq!(ended.err, "");
}

#[cfg(unix)]
#[test]
fn existing_handler_stays_and_passes_the_signal_on() {
    let mut program = Program::start("05_existing_handler", &[]);
    program.await_line("main: waits for Ctrl-C");
    program.signal(libc::SIGINT);
    let ended = program.end();
    assert_died_of_sigint(&ended);
    assert_eq!(
        sorted(&ended.out),
        [
            "handler: Ctrl-C",
            "main: leaves because of SIGINT",
            "main: waits for Ctrl-C",
            "worker: stops"
        ]
    );
    assert_eq!(ended.err, "");
}

#[cfg(unix)]
#[test]
fn reload_reads_its_settings_again_and_opens_its_log_anew() {
    let folder = Folder::new();
    let (settings, log, old) = (
        folder.join("settings"),
        folder.join("log"),
        folder.join("old"),
    );
    fs::write(&settings, "hello\n").unwrap();
    let mut program = Program::start(
        "reload",
        &[settings.to_str().unwrap(), log.to_str().unwrap()],
    );
    program.await_line("main: process");
    fs::write(&settings, "good bye\n").unwrap();
    program.signal(libc::SIGHUP);
    program.await_line("reload: done");
    fs::rename(&log, &old).unwrap();
    program.signal(libc::SIGUSR1);
    program.await_line("log: opened anew");
    // Settings that cannot be read change nothing.
    fs::remove_file(&settings).unwrap();
    program.signal(libc::SIGHUP);
    program.await_line("No such file");
    program.signal(libc::SIGTERM);
    let ended = program.end();
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(ended.status.signal(), Some(libc::SIGTERM), "{ended:#?}");
    assert_eq!(ended.out.last().unwrap(), "main: leaves because of SIGTERM");
    assert_eq!(ended.err, "");
    let old = fs::read_to_string(&old).unwrap();
    assert!(old.contains("settings: good bye\n"), "{old}");
    assert!(!old.contains("the end"), "{old}");
    assert!(fs::read_to_string(&log).unwrap().ends_with("the end\n"));
}

#[cfg(unix)]
#[test]
fn restarting_worker_comes_back_each_time_it_loses_its_server() {
    let mut program = Program::start("restarting_worker", &[]);
    for _ in 0..3 {
        program.await_line("client: connected");
    }
    program.signal(libc::SIGINT);
    let ended = program.end();
    assert_died_of_sigint(&ended);
    let has = |part: &str| ended.out.iter().any(|line| line.contains(part));
    assert!(has(r#"client: got "line 3""#), "{ended:#?}");
    assert!(has("restarts for the 2nd time in "), "{ended:#?}");
    assert!(
        has("; restarts: 2; last failure: the server is gone"),
        "{ended:#?}"
    );
    assert_eq!(ended.err, "");
}

#[test]
fn services_start_in_order_and_are_rolled_back_in_reverse() {
    let ended = run("services", &[]);
    assert!(ended.status.success(), "{ended:#?}");
    let first = [
        "storage: ready",
        "index: ready, with 3 rows",
        "index: ends",
        "storage: ends",
    ];
    assert_eq!(ended.out[..4], first);
    assert!(
        ended.out[4].starts_with("main: the server cannot start: "),
        "{ended:#?}"
    );
    let second = [
        "storage: ready",
        "index: ready, with 3 rows",
        "server: ready",
        "main: all three are ready",
    ];
    assert_eq!(ended.out[5..9], second);
    assert_eq!(
        sorted(&ended.out[9..]),
        ["index: ends", "server: ends", "storage: ends"]
    );
}

#[cfg(feature = "tokio")]
#[test]
fn background_loops_end_in_order_with_what_runs_on_them() {
    let ended = Program::start_with_features("background_loop", "tokio", &[]).end();
    assert!(ended.status.success(), "{ended:#?}");
    let (main, rest) = ended.out.split_at(6);
    assert_eq!(
        main,
        [
            "main: the answer is 42",
            "main: it came from the thread \"service\"",
            "main: not yet; waits on: late, but there",
            "main: deadline has elapsed",
            "main: the task was cancelled",
            "main: returns",
        ]
    );
    // Both are told at once, the newer one first.
    assert_eq!(
        sorted(rest),
        [
            "heartbeat: stops after some beats",
            "service: its last task ends"
        ]
    );
    assert_eq!(ended.err, "");
}

/// The three ways out that `bare` has, and the exit code that each must keep.
const WAYS_OUT: [(&[&str], i32); 3] = [
    (&["return"], 0),
    (&["exit", "3"], 3),
    (&["exit-worker", "4"], 4),
];

#[test]
fn bare_finishes_its_files_and_runs_destructors_on_every_way_out() {
    for (way_out, code) in WAYS_OUT {
        let folder = Folder::new();
        let ended = run_bare(&folder, &[], way_out);
        assert_eq!(ended.status.code(), Some(code), "{ended:#?}");
        for file in ["queue.txt", "batch.txt"] {
            let text = fs::read_to_string(folder.join(file)).unwrap();
            let mut lines: Vec<String> = (0..200).map(|n| format!("line {n}")).collect();
            lines.push("end".into());
            assert!(text.lines().eq(lines), "{way_out:?} {file}: {text}");
            let destructor = format!("{file}: destructor has run");
            assert!(ended.out.contains(&destructor), "{way_out:?}: {ended:#?}");
        }
        assert_eq!(ended.err, "");
    }
}

#[test]
fn bare_with_std_loses_both() {
    for (way_out, code) in WAYS_OUT {
        let folder = Folder::new();
        let ended = run_bare(&folder, &["--std"], way_out);
        assert_eq!(ended.status.code(), Some(code), "{ended:#?}");
        for file in ["queue.txt", "batch.txt"] {
            let text = fs::read_to_string(folder.join(file)).unwrap();
            assert!(!text.contains("end"), "{way_out:?} {file}: {text}");
        }
        let destructor = ended.out.iter().find(|line| line.contains("destructor"));
        assert_eq!(destructor, None, "{way_out:?}");
    }
}

fn run_bare(folder: &Folder, import: &[&str], way_out: &[&str]) -> Ended {
    let dir = ["--dir", folder.path().to_str().unwrap()];
    run("bare", &[import, &dir, way_out].concat())
}

fn sorted(lines: &[String]) -> Vec<&str> {
    let mut lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    lines.sort_unstable();
    lines
}

#[cfg(all(unix, feature = "process"))]
#[test]
fn child_process_ends_one_by_asking_and_one_by_force() {
    let mut program = Program::start("child_process", &[]);
    // Said once, before or after the first tick; of those there is always another.
    program.await_line("stubborn: I ignore SIGTERM");
    program.await_line("ticker: tick");
    program.signal(libc::SIGINT);
    let ended = program.end();
    assert_died_of_sigint(&ended);
    let has = |part: &str| ended.out.iter().any(|line| line.contains(part));
    assert!(has("ticker: last tick"), "{ended:#?}");
    assert!(has("main: no child is left"), "{ended:#?}");
    assert!(has("ticker ended with exit status: 0"), "{ended:#?}");
    assert!(
        has("stubborn ended with signal: 9 (SIGKILL) (by force: true)"),
        "{ended:#?}"
    );
    assert!(ended.err.contains("FAILED    stubborn"), "{ended:#?}");
}

#[cfg(feature = "progress")]
#[test]
fn pool_hashes_a_folder_and_says_which_files_it_could_not_read() {
    let folder = Folder::new();
    for n in 0..300 {
        fs::write(folder.join(&format!("file-{n}")), vec![n as u8; n * 100]).unwrap();
    }
    let path = folder.path().to_str().unwrap();
    let (first, second) = (run("pool", &[path]), run("pool", &[path]));
    assert!(first.status.success(), "{first:#?}");
    let line = first.out.last().unwrap();
    assert!(
        line.starts_with("300 of 300 files hashed (0 failed, 0 left): "),
        "{line}"
    );
    assert_eq!(first.out, second.out); // the same files have the same hash
    let missing = run("pool", &["/no/such/folder"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(missing.err.contains("/no/such/folder"), "{missing:#?}");
}

#[test]
fn timeline_prints_the_picture_and_writes_it_where_it_is_told_to() {
    let folder = Folder::new();
    let (svg, trace) = (folder.join("a.svg"), folder.join("a.json"));
    let ended = run(
        "timeline",
        &[svg.to_str().unwrap(), trace.to_str().unwrap()],
    );
    assert!(ended.status.success(), "{ended:#?}");
    let line = |part: &str| {
        ended
            .out
            .iter()
            .position(|line| line.contains(part))
            .unwrap()
    };
    assert!(ended.out[0].ends_with("9 entries, 1 STUCK"), "{ended:#?}");
    assert!(
        ended.out[line("plugin")].starts_with("!* plugin "),
        "{ended:#?}"
    );
    assert!(line("request 3") < line("plugin") && line("plugin") < line("remove the lock file"));
    assert!(fs::read_to_string(svg).unwrap().starts_with("<svg "));
    assert!(fs::read_to_string(trace)
        .unwrap()
        .starts_with("{\"displayTimeUnit\""));

    let bad = folder.join("a.txt");
    let ended = run("timeline", &[bad.to_str().unwrap()]);
    assert_eq!(ended.status.code(), Some(2), "{ended:#?}");
    assert!(
        ended.out.is_empty() && ended.err.contains(".svg or .json"),
        "{ended:#?}"
    );
}

#[test]
fn rehearse_ends_clean_and_finds_the_mistake() {
    let ended = run("rehearse", &[]);
    assert!(ended.status.success(), "{ended:#?}");
    assert_eq!(
        ended.out.last().unwrap(),
        "the shutdown was rehearsed in 5 runs, all clean"
    );
    let ended = run("rehearse", &["--with-mistake"]);
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    let starting = "shutdown at \"starting\": NOT CLEAN";
    assert!(ended.out.iter().any(|line| line == starting), "{ended:#?}");
}

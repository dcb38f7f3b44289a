//! Rehearses the shutdown of a small program at each of its checkpoints: `cargo run --example rehearse`, or with the mistake that a
//! rehearsal is there to find: `-- --with-mistake`.
//!
//! The program copies lines from a queue into a file, and must leave a whole file whenever it is stopped.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;
use sundown::testing::{checkpoint, Rehearsal};
use sundown::thread;

const LINES: usize = 100;

fn main() -> ExitCode {
    let mistake = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--with-mistake") => true,
        Some(other) => {
            eprintln!("rehearse: unknown argument {other:?}; there is only --with-mistake");
            return ExitCode::from(2);
        }
    };
    let file = std::env::temp_dir().join(format!("sundown-rehearse-{}", std::process::id()));
    let checked = file.clone();
    let theirs = file.clone();
    let rehearsed = Rehearsal::new()
        .after_each(move |_| {
            let lines = fs::read_to_string(&checked)
                .expect("a file")
                .lines()
                .count();
            assert_eq!(lines, LINES, "lines in the file");
        })
        .run(move || program(theirs.clone(), mistake));
    for run in rehearsed.runs() {
        let state = if run.is_clean() { "clean" } else { "NOT CLEAN" };
        match run.checkpoint() {
            None => println!("with no shutdown, to see the checkpoints: {state}"),
            Some(place) => println!("shutdown at {place:?}: {state}"),
        }
    }
    println!("{rehearsed}");
    // What it leaves in the folder for temporary files is of no use to anybody.
    let _ = fs::remove_file(file);
    ExitCode::from(u8::from(!rehearsed.is_clean()))
}

/// What `main` of the real program calls.
fn program(file: PathBuf, mistake: bool) {
    let (lines, queue) = mpsc::channel::<String>();
    let end = lines.clone();
    checkpoint("starting");
    let writer = thread::Builder::new().name("writer".into());
    let writer = writer.spawn(move || {
        let mut file = BufWriter::new(File::create(file).expect("a file"));
        checkpoint("file created");
        for line in queue.iter().take_while(|line| line != "the end") {
            if mistake && sundown::is_shutting_down() {
                break; // leaves what is still in the queue
            }
            writeln!(file, "{line}").expect("room for a line");
            checkpoint("first line written");
        }
        file.flush().expect("room for all");
    });
    let writer = writer.expect("a thread");
    for n in 0..LINES {
        lines.send(format!("line {n}")).expect("a writer");
    }
    checkpoint("all lines sent");
    // The writer must not be told by its token, which would cut it off: the end of the queue is what ends it.
    end.send("the end".into()).expect("a writer");
    writer.join().expect("no panic");
}

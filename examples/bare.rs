//! The drop-in with nothing in `main`: the import is changed, one worker has a terminate callback, and nobody mentions a
//! shutdown. `cargo run --example bare` returns from `main` while both workers are busy; with `exit 3` it calls
//! `std::process::exit(3)` instead, with `exit-worker 3` a third thread does. `--std` runs the same code compiled against
//! `std::thread`. DIR (default: a folder for temporary files) gets one file from each worker.
//!
//! Usage: bare [--std] [--dir DIR] [return | exit N | exit-worker N]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// One worker's file. Whole means: every line, and the last one that the destructor writes.
struct Output {
    file: BufWriter<File>,
    name: &'static str,
}

impl Output {
    fn create(dir: &Path, name: &'static str) -> Output {
        let file = File::create(dir.join(name)).expect("a folder that can be written");
        let file = BufWriter::new(file);
        Output { file, name }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        writeln!(self.file, "end")
            .and_then(|()| self.file.flush())
            .expect("a disk with room");
        println!("{}: destructor has run", self.name);
    }
}

enum Job {
    Line(u32),
    End,
}

/// The whole program. `$thread` is the import, `$tell` the one line that the drop-in adds: in a program of your own you would
/// change the import, write that line, and have no macro.
macro_rules! program {
    ($name:ident, $thread:path, $tell:expr) => {
        mod $name {
            use super::{Job, Output};
            use std::{path::Path, sync::mpsc};
            use $thread as thread;

            pub(super) fn run(dir: &Path, exit_on_worker: Option<i32>) {
                // Blocks until there is a job, so somebody must tell it that there will be no more.
                let (jobs, queue) = mpsc::channel();
                let mut out = Output::create(dir, "queue.txt");
                let worker = thread::Builder::new().name("queue".into());
                let tell: fn(thread::Builder, mpsc::Sender<Job>) -> thread::Builder = $tell;
                let work = move || {
                    while let Ok(Job::Line(n)) = queue.recv() {
                        super::slow_line(&mut out, n);
                    }
                };
                tell(worker, jobs.clone()).spawn(work).expect("a thread");
                for n in 0..super::LINES {
                    jobs.send(Job::Line(n)).expect("a worker that listens");
                }

                // Ends by itself, when its work is done: it needs no callback, somebody must only wait.
                let mut out = Output::create(dir, "batch.txt");
                thread::spawn(move || {
                    (0..super::LINES).for_each(|n| super::slow_line(&mut out, n))
                });

                if let Some(code) = exit_on_worker {
                    thread::spawn(move || std::process::exit(code));
                    // `main` is busy elsewhere.
                    loop {
                        thread::park();
                    }
                }
            }
        }
    };
}

program!(supervised, sundown::thread, |worker, jobs| {
    worker.on_terminate(move || drop(jobs.send(Job::End)))
});
program!(with_std, std::thread, |worker, _jobs| worker);

/// How many lines each worker writes: 400 ms of work at the least, which `main` does not sit through by itself.
const LINES: u32 = 200;

/// Some work.
fn slow_line(out: &mut Output, n: u32) {
    std::thread::sleep(std::time::Duration::from_millis(2));
    writeln!(out.file, "line {n}").expect("a disk with room");
}

fn main() {
    let (mut run, mut dir): (fn(&Path, Option<i32>), _) = (supervised::run, None);
    let (mut exit, mut exit_on_worker) = (None, None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut code = || {
            words
                .next()
                .and_then(|code| code.parse().ok())
                .expect("an exit code")
        };
        match word.as_str() {
            "--std" => run = with_std::run,
            "--dir" => dir = words.next().map(PathBuf::from),
            "return" => {}
            "exit" => exit = Some(code()),
            "exit-worker" => exit_on_worker = Some(code()),
            _ => panic!("unknown argument {word:?}: see the head of this file"),
        }
    }
    let dir = dir.unwrap_or_else(std::env::temp_dir);
    run(&dir, exit_on_worker);
    println!("main leaves");
    if let Some(code) = exit {
        std::process::exit(code);
    }
}

//! Tiers: everything in a nested supervisor is gone before anything older than it is told to stop.

use std::sync::mpsc;
use sundown::{thread, Supervisor};

fn main() -> std::io::Result<()> {
    // The oldest: others need it until their end, so it is told last.
    let (log, lines) = mpsc::channel::<Option<String>>();
    let end = log.clone();
    thread::Builder::new()
        .name("log".into())
        .on_terminate(move || drop(end.send(None)))
        .spawn(move || {
            while let Ok(Some(line)) = lines.recv() {
                println!("log: {line}");
            }
            println!("log: closed");
        })?;

    // The tier that needs the log. Its workers are told newest first, and joined; only then is it the log's turn.
    let requests = Supervisor::global().child("requests");
    for n in 1..=2 {
        let log = log.clone();
        let worker = requests.worker().name(format!("request {n}"));
        worker.spawn_with(move |stop| {
            stop.wait();
            // The log still listens: it has not been told yet.
            log.send(Some(format!("last words of request {n}")))
                .expect("a log");
        })?;
    }
    println!("main: returns");
    Ok(())
}

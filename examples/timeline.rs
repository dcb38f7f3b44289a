//! A shutdown as a picture: `cargo run --example timeline`, or with files to write: `-- shutdown.svg shutdown.json`.
//!
//! The program is a made-up server whose shutdown is slow in three ways. The picture shows at once which of them matter.

use std::error::Error;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;
use sundown::{thread, ShutdownReport, Supervisor};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("timeline: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let files: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some(file) = files.iter().find(|file| kind(file).is_none()) {
        return Err(format!(
            "{}: a file's name must end in .svg or .json",
            Path::new(file).display()
        )
        .into());
    }
    // For as long as this runs; it lets the worker go that listens to nobody.
    let (_release, gate) = mpsc::channel::<()>();

    let server = Supervisor::builder()
        .name("server")
        .deadline(Duration::from_millis(1500))
        .build();
    start(&server, gate)?;
    let report = server.shutdown();

    println!("{}", report.timeline());
    for file in &files {
        let text = kind(file).map(|draw| draw(&report)).unwrap_or_default();
        let shown = Path::new(file).display();
        std::fs::write(file, text).map_err(|error| format!("cannot write {shown}: {error}"))?;
        println!("wrote {shown}");
    }
    Ok(())
}

/// What draws a file of this name.
fn kind(file: &OsString) -> Option<fn(&ShutdownReport) -> String> {
    match Path::new(file).extension()?.to_str()? {
        "svg" => Some(ShutdownReport::to_svg),
        "json" => Some(ShutdownReport::to_chrome_trace),
        _ => None,
    }
}

/// Starts everything; what others need comes first, and is told to stop last.
fn start(server: &Supervisor, gate: mpsc::Receiver<()>) -> std::io::Result<()> {
    server.on_exit("remove the lock file", || pause(60));
    let log = server.worker().name("log writer".into());
    // Its callback is slow: it writes out what is buffered.
    log.on_terminate(|| pause(150))
        .spawn_with(|stop| stop.wait())?;
    server.on_shutdown("leave the load balancer", || pause(120));

    // Listens to nobody: a straggler.
    let plugin = server
        .worker()
        .name("plugin".into())
        .grace(Duration::from_millis(700));
    plugin.spawn(move || gate.recv())?;

    // A tier: all of it is gone before anything older is told to stop.
    let requests = server.child("requests");
    for (n, last_answer) in [40, 90, 310].into_iter().enumerate() {
        let worker = requests.worker().name(format!("request {}", n + 1));
        worker.spawn_with(move |stop| {
            stop.wait();
            pause(last_answer);
        })?;
    }
    requests.on_shutdown("stop listening", || pause(30));
    Ok(())
}

/// Work, in place of which this example sleeps.
fn pause(millis: u64) {
    thread::sleep(Duration::from_millis(millis));
}

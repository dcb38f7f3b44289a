//! Child processes as workers: one that listens, one that has to be killed. Press Ctrl-C, or let it end by itself.
//!
//! Run it with `cargo run --example child_process --features process`.

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use sundown::{process, thread};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("child_process: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let guard = sundown::init()?;
    sundown::on_exit("last word", || println!("main: no child is left"));

    let ticker = "trap 'echo last tick; exit 0' TERM; while :; do echo tick; sleep 0.2; done";
    let ticker = process::Builder::new("ticker", shell(ticker))
        .grace(Duration::from_secs(2))
        .spawn()?;
    let stubborn = "trap '' TERM; echo I ignore SIGTERM; while :; do sleep 0.1; done";
    let stubborn = process::Builder::new("stubborn", shell(stubborn))
        .grace(Duration::from_millis(500))
        .spawn()?;

    // Their output ends when they do, so its readers need no terminate callback.
    for (name, child) in [("ticker", &ticker), ("stubborn", &stubborn)] {
        let output = child.take_stdout().ok_or("its output is piped")?;
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                println!("{name}: {line}");
            }
        });
    }

    // A `main` that asks a token is waited for.
    if sundown::stop_token().sleep(Duration::from_secs(2)).is_ok() {
        println!("main: that is enough");
    }
    // With a child that had to be killed the report is not clean, and so is printed.
    sundown::shutdown();
    println!("ticker ended with {}", ticker.wait()?);
    println!(
        "stubborn ended with {} (by force: {})",
        stubborn.wait()?,
        stubborn.was_forced()
    );
    Ok(guard.finish())
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    // A child in a group of its own must not read the terminal: the system would stop it.
    command
        .arg("-c")
        .arg(script)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

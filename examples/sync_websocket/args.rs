//! The command line.

use std::{env, process};

const USAGE: &str = "\
usage: sync_websocket [--url ws://HOST:PORT] [--leave return|panic|exit|wait]
       sync_websocket --serve

  --url URL    the server to talk to (default: one in this process)
  --leave HOW  how main leaves (default: return); exit calls process::exit(3), wait goes on until a signal comes
  --serve      only runs a server, until Ctrl-C";

pub(crate) struct Args {
    pub(crate) url: Option<String>,
    pub(crate) leave: String,
    pub(crate) serve: bool,
}

/// Ends the process with code 2 if they make no sense.
pub(crate) fn parse() -> Args {
    let mut args = Args {
        url: None,
        leave: "return".to_owned(),
        serve: false,
    };
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--url" => args.url = Some(words.next().unwrap_or_else(|| refuse())),
            "--leave" => args.leave = words.next().unwrap_or_else(|| refuse()),
            "--serve" => args.serve = true,
            "--help" | "-h" => {
                println!("{USAGE}");
                process::exit(0);
            }
            _ => refuse(),
        }
    }
    if !["return", "panic", "exit", "wait"].contains(&args.leave.as_str()) {
        refuse();
    }
    args
}

fn refuse() -> ! {
    eprintln!("{USAGE}");
    process::exit(2)
}

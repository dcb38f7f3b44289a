//! The command line.

use std::path::PathBuf;

pub(crate) const HELP: &str = "\
Serves a folder on 127.0.0.1, until Ctrl-C.

Usage: httpd [--port N] [--root DIR] [--log FILE] [--threads N] [--timeline FILE]
             [--without-sundown] [--commands]

  --port N           the port to listen on; 0 picks a free one (default: 8080)
  --root DIR         the folder to serve (default: the docs of this crate)
  --log FILE         the access log, which is appended to; while the server runs, FILE.lock stands beside it
                     (default: sundown-httpd.log in the folder for temporary files)
  --threads N        how many threads answer requests, 1 to 64 (default: 4)
  --timeline FILE    when main leaves, draws the shutdown into this file, as SVG; `exit` and `exit-worker` end main where
                     it stands, so there is no picture of those
  --without-sundown  the same on bare std::thread: shows what is lost when nobody tells and joins the threads
  --commands         reads commands from standard input, for tests: `return`, `panic` and `exit N` make main do that,
                     `exit-worker N` has a request thread call process::exit(N) after its next answer
  --help             prints this

A line of the log: time, method, URL, status, bytes of the body. Exit code 2: it did not start.
";

pub(crate) struct Args {
    pub(crate) port: u16,
    pub(crate) root: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) threads: usize,
    pub(crate) timeline: Option<PathBuf>,
    pub(crate) without_sundown: bool,
    pub(crate) commands: bool,
}

/// `Ok(None)` if help was asked for.
pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Args>, String> {
    let mut args = Args {
        port: 8080,
        // From wherever it is run: the crate's own folder, not the current one.
        root: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/docs")),
        log: std::env::temp_dir().join("sundown-httpd.log"),
        threads: 4,
        timeline: None,
        without_sundown: false,
        commands: false,
    };
    while let Some(word) = words.next() {
        let mut value = || {
            let value = words.next().filter(|value| !value.is_empty());
            value.ok_or_else(|| format!("{word} needs a value (try --help)"))
        };
        match word.as_str() {
            "--port" => {
                let text = value()?;
                args.port = text
                    .parse()
                    .map_err(|_| format!("{text:?} is not a port: 0 to 65535"))?;
            }
            "--root" => args.root = value()?.into(),
            "--log" => args.log = value()?.into(),
            "--threads" => {
                let text = value()?;
                args.threads = text
                    .parse()
                    .ok()
                    .filter(|n| (1..=64).contains(n))
                    .ok_or_else(|| format!("{text:?} is not a number of threads: 1 to 64"))?;
            }
            "--timeline" => args.timeline = Some(value()?.into()),
            "--without-sundown" => args.without_sundown = true,
            "--commands" => args.commands = true,
            "--help" | "-h" => return Ok(None),
            _ => return Err(format!("unknown argument {word:?} (try --help)")),
        }
    }
    if args.without_sundown && args.timeline.is_some() {
        return Err(
            "--timeline draws sundown's report, of which there is none --without-sundown"
                .to_owned(),
        );
    }
    Ok(Some(args))
}

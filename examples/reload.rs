//! Signals that do not mean stop: SIGHUP reads the settings again, SIGUSR1 opens the log anew, SIGTERM or Ctrl-C stops.
//!
//! ```sh
//! cargo run --example reload -- settings.txt log.txt
//! kill -HUP PID; mv log.txt log.1; kill -USR1 PID; kill PID
//! ```

#[cfg(unix)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    unix::main()
}

#[cfg(not(unix))]
fn main() {
    eprintln!("this example is about signals, which this system does not have");
}

#[cfg(unix)]
mod unix {
    use std::error::Error;
    use std::fs::{self, File};
    use std::io::{self, Write};
    use std::path::{Path, PathBuf};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use sundown::{thread, Supervisor};

    const SIGHUP: i32 = 1;

    /// A log that can be opened anew under the same name, after somebody has moved it away.
    struct Log {
        path: PathBuf,
        file: Mutex<File>,
    }

    impl Log {
        fn open(path: &Path) -> io::Result<Log> {
            Ok(Log {
                path: path.to_owned(),
                file: Mutex::new(append_to(path)?),
            })
        }

        fn write(&self, line: &str) {
            let mut file = self.file.lock().unwrap();
            if let Err(error) = writeln!(file, "{line}") {
                eprintln!("log: {error}");
            }
        }

        fn reopen(&self) -> io::Result<()> {
            // Opened before the old one is let go: if this fails, there still is a log.
            let new = append_to(&self.path)?;
            *self.file.lock().unwrap() = new;
            Ok(())
        }
    }

    fn append_to(path: &Path) -> io::Result<File> {
        File::options().create(true).append(true).open(path)
    }

    pub(super) fn main() -> Result<(), Box<dyn Error>> {
        let mut args = std::env::args().skip(1).map(PathBuf::from);
        let (Some(settings), Some(log)) = (args.next(), args.next()) else {
            return Err("usage: reload SETTINGS LOG".into());
        };
        let greeting = Arc::new(Mutex::new(fs::read_to_string(&settings)?.trim().to_owned()));
        let log = Arc::new(Log::open(&log)?);

        let (current, reloaded) = (Arc::clone(&greeting), Arc::clone(&log));
        let reopened = Arc::clone(&log);
        let _guard = Supervisor::builder()
            // Each handler has a thread of its own when it runs, so it may read files, lock and wait.
            .on_signal(SIGHUP, move || match fs::read_to_string(&settings) {
                Ok(text) => {
                    let text = text.trim().to_owned();
                    reloaded.write(&format!("settings: {text}"));
                    *current.lock().unwrap() = text;
                    println!("reload: done");
                }
                // A server goes on with what it had.
                Err(error) => println!("reload: {}: {error}", settings.display()),
            })
            .on_signal(sigusr1(), move || match reopened.reopen() {
                Ok(()) => println!("log: opened anew"),
                Err(error) => println!("log: {error}"),
            })
            .install()?;

        let logged = Arc::clone(&log);
        thread::Builder::new()
            .name("greeter".into())
            .spawn_with(move |stop| {
                while stop.sleep(Duration::from_millis(100)).is_ok() {
                    let greeting = greeting.lock().unwrap().clone();
                    logged.write(&greeting);
                }
                logged.write("the end");
            })?;

        println!("main: process {}", std::process::id());
        let cause = sundown::wait_for_shutdown();
        println!("main: leaves because of {cause}");
        Ok(())
    }

    /// 10 on Linux, 30 on macOS and the BSDs: the crate `libc` has it.
    fn sigusr1() -> i32 {
        if cfg!(target_os = "linux") {
            10
        } else {
            30
        }
    }
}

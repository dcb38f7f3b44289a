//! A child program of `tests/load.rs`: a shutdown in a storm of signals, which come `from outside` or `from itself`.

#![allow(missing_docs)]

#[cfg(unix)]
fn main() {
    unix::main()
}

#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
mod unix {
    use std::io::BufRead;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use sundown::{thread, Supervisor};

    fn say(text: &str) {
        let line = format!("{text}\n");
        // SAFETY: pointer and length describe `line`.
        unsafe { libc::write(1, line.as_ptr().cast(), line.len()) };
    }

    pub(super) fn main() {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        static STORM_IS_OVER: AtomicBool = AtomicBool::new(false);
        let (heard, is_heard) = mpsc::channel();
        let _guard = Supervisor::builder()
            .deadline(Duration::from_secs(60))
            .on_signal(libc::SIGUSR1, move || {
                RUNS.fetch_add(1, Ordering::Relaxed);
                if STORM_IS_OVER.load(Ordering::SeqCst) {
                    let _ = heard.send(()); // the first counts
                }
            })
            .install()
            .unwrap();
        thread::Builder::new()
            .name("slow".into())
            .spawn_with(move |stop| {
                stop.wait();
                say("told slow");
                let mut line = String::new();
                std::io::stdin().lock().read_line(&mut line).unwrap();
                STORM_IS_OVER.store(true, Ordering::SeqCst);
                say("one more");
                is_heard.recv().unwrap();
                say("over slow");
            })
            .unwrap();
        if std::env::args().nth(1).as_deref() == Some("from itself") {
            std::thread::spawn(|| {
                for _ in 0..100_000 {
                    // SAFETY: kill(2) takes any numbers; the process is this one.
                    unsafe { libc::kill(libc::getpid(), libc::SIGTERM) };
                }
                say("all are sent");
            });
        } else {
            say("ready");
        }
        sundown::wait_for_shutdown();
        let report = sundown::shutdown();
        say(&format!(
            "runs {} entries {} clean {}",
            RUNS.load(Ordering::Relaxed),
            report.entries().len(),
            report.is_clean()
        ));
    }
}

//! A log that is written by a worker of ours, through a queue with little room: what the library logs itself must not wait for that
//! worker, least of all when it is the one that starts, ends or is gone.
//!
//! One test, since there is one logger for the process.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{bounded, Receiver, Sender};
use once_cell::sync::Lazy;
use sundown::restart::Restart;
use sundown::{thread, Supervisor};
use support::{in_time, timed};

/// Kept here, so that lines for a writer that is gone block for ever.
static QUEUE: Lazy<(Sender<String>, Receiver<String>)> = Lazy::new(|| bounded(1));
static WRITTEN: AtomicUsize = AtomicUsize::new(0);

/// Starts its writer when the first line comes, in the middle of logging it.
struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        static WRITER: Lazy<()> = Lazy::new(|| {
            let builder = thread::Builder::new().name("writer".into());
            let writer = builder.spawn_with(|stop| loop {
                crossbeam_channel::select! {
                    recv(QUEUE.1) -> _ => WRITTEN.fetch_add(1, Ordering::Relaxed),
                    recv(stop.channel()) -> _ => return,
                };
            });
            drop(writer.unwrap());
        });
        Lazy::force(&WRITER);
        QUEUE.0.send(record.args().to_string()).unwrap();
    }

    fn flush(&self) {}
}

#[test]
fn nothing_waits_for_a_log_that_a_worker_writes() {
    log::set_logger(&Logger).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let supervisor = Supervisor::new();
    in_time({
        let supervisor = supervisor.clone();
        move || {
            for _ in 0..200 {
                supervisor.spawn(|| ()).join().unwrap();
            }
            let policy = Restart::on_failure()
                .backoff(Duration::ZERO, Duration::ZERO)
                .limit(50, Duration::from_secs(3_600));
            let client = supervisor.worker().restart(policy.give_up_quietly());
            let client = client.spawn_loop(|_| Err::<(), _>("refused")).unwrap();
            client.join().unwrap().unwrap_err();
        }
    });
    assert!(
        WRITTEN.load(Ordering::Relaxed) >= 400,
        "they were written all the same"
    );
    // Then the writer goes, and after it the others.
    let (report, took) = timed(|| in_time(sundown::shutdown));
    assert!(report.is_clean(), "{report}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    let (report, took) = timed(|| {
        in_time(move || {
            for _ in 0..50 {
                supervisor.worker().spawn_with(|stop| stop.wait()).unwrap();
            }
            supervisor.shutdown()
        })
    });
    assert!(report.is_clean(), "{report}");
    assert!(took < Duration::from_secs(8), "{took:?}");
}

//! Under load: ten thousand workers, a hundred thousand signals, and threads that come and go from all sides leave nothing behind.
//!
//! The tests of this file measure the process that they run in, so they run one at a time.

#![cfg(unix)]

mod support;

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use libc::{SIGTERM, SIGUSR1};
use sundown::{Cause, Outcome, Supervisor};
use support::process::{run, scenario_of, start};
use support::{in_time, timed};

/// One test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Said whether the test fails or not, which `println` is not.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

#[test]
fn ten_thousand_live_workers_are_told_and_joined_newest_first() {
    const WORKERS: usize = 10_000;
    let _alone = alone();
    // A worker that cannot be started would be this machine's limit, and is an error here.
    let supervisor = Supervisor::builder()
        .deadline(Duration::from_secs(60))
        .build();
    let ended = Arc::new(AtomicU64::new(0));
    let (handles, spawned) = timed(|| {
        let spawn = |_| {
            let ended = Arc::clone(&ended);
            let worker = supervisor.worker().stack_size(64 * 1024);
            let job = move |stop: sundown::StopToken| {
                stop.wait();
                ended.fetch_add(1, Ordering::Relaxed);
            };
            worker.spawn_with(job).unwrap()
        };
        (0..WORKERS).map(spawn).collect::<Vec<_>>()
    });
    assert_eq!(supervisor.workers().len(), WORKERS);
    let (report, took) = timed({
        let supervisor = supervisor.clone();
        || in_time(move || supervisor.shutdown())
    });
    say(&format!(
        "{WORKERS} workers: spawned in {spawned:.0?}, shut down in {took:.0?}"
    ));
    assert!(report.is_clean(), "{report}");
    assert_eq!(ended.load(Ordering::Relaxed), WORKERS as u64);
    let ids: Vec<_> = report.entries().iter().map(|entry| entry.id()).collect();
    let newest_first = handles.iter().rev().map(|handle| handle.id());
    assert!(newest_first.eq(ids), "told in another order");
    let finished = |entry: &sundown::EntryReport| *entry.outcome() == Outcome::Finished;
    assert!(report.entries().iter().all(finished), "{report}");
    handles.into_iter().for_each(|h| h.join().unwrap());
}

// ---- signals

fn storm(from: &str) -> Command {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    scenario_of(&PROGRAM, "storm", from)
}

#[test]
fn a_hundred_thousand_signals_do_not_disturb_a_shutdown_and_the_last_is_heard() {
    let _alone = alone();
    let mut running = start(&mut storm("from outside"));
    running.await_line("ready");
    running.signal(SIGTERM);
    running.await_line("told slow");
    let (_, took) = timed(|| (0..100_000).for_each(|_| running.signal(SIGUSR1)));
    running.send("the storm is over");
    running.await_line("one more");
    running.signal(SIGUSR1);
    let ended = running.end();
    ended.assert_signal(SIGTERM);
    ended.assert_order(&["told slow", "one more", "over slow"]);
    let result = ended.out.last().unwrap();
    say(&format!("100,000 signals sent in {took:.0?}: {result}"));
    assert!(result.ends_with("clean true"), "{ended:#?}");
    assert_eq!(ended.err, "");
}

#[test]
fn a_hundred_thousand_requests_to_stop_end_it_as_two_do() {
    let _alone = alone();
    let ended = run(&mut storm("from itself"));
    ended.assert_signal(SIGTERM);
    assert!(ended.err.contains("still waiting for slow"), "{ended:#?}");
}

// ---- what comes and goes

/// What the process has of the system.
#[cfg(target_os = "linux")]
#[derive(Debug)]
struct Use {
    resident: i64,
    descriptors: usize,
    threads: usize,
}

#[cfg(target_os = "linux")]
impl Use {
    fn now() -> Use {
        let count = |path| std::fs::read_dir(path).unwrap().count();
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        let resident: i64 = pages.split(' ').nth(1).unwrap().parse().unwrap();
        Use {
            resident: resident * 4096,
            descriptors: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
        }
    }
}

/// One round of what a program may do: each kind of thing that is registered comes and goes.
#[cfg(target_os = "linux")]
fn come_and_go(supervisor: &Supervisor, round: u64) {
    let worker = supervisor.worker().name("passing".into());
    match round % 5 {
        0 => {
            let handle = worker.spawn_with(|stop| stop.wait()).unwrap();
            handle.terminate();
            handle.join().unwrap();
        }
        1 => {
            let (stop, stopped) = std::sync::mpsc::channel::<()>();
            let worker = worker.on_terminate(move || drop(stop));
            let handle = worker.spawn(move || stopped.recv()).unwrap();
            drop(handle.into_guard()); // terminates, and joins
        }
        2 => {
            let limited = worker.time_limit(Duration::from_micros(100));
            limited
                .spawn_with(|stop| stop.wait())
                .unwrap()
                .join()
                .unwrap();
        }
        3 => {
            let tier = supervisor.child("tier");
            drop(tier.worker().spawn_with(|stop| stop.wait()).unwrap());
            assert!(tier.shutdown().is_clean());
        }
        _ => {
            let hook = supervisor.on_shutdown("passing", || unreachable!("it is taken back"));
            // Nobody joins it.
            let handle = worker.spawn_with(|stop| stop.wait()).unwrap();
            handle.terminate();
            assert!(hook.remove());
        }
    }
}

/// Sixteen threads let things come and go for so long; after the first tenth the process must not grow any more.
#[cfg(target_os = "linux")]
fn memory_stays_flat(time: Duration) {
    const THREADS: u64 = 16;
    /// What the allocator may do with its arenas. In the long form a leak of a few bytes a round is more than that.
    const SLACK: i64 = 8 << 20;
    let _alone = alone();
    // Under `nice` on a machine that is busy a thread may not be run for longer than the default deadline.
    let supervisor = Supervisor::builder()
        .deadline(Duration::from_secs(120))
        .build();
    let over = AtomicBool::new(false);
    let rounds = AtomicU64::new(0);
    let (before, warm, end) = std::thread::scope(|scope| {
        let before = Use::now();
        for thread in 0..THREADS {
            let (supervisor, over, rounds) = (&supervisor, &over, &rounds);
            scope.spawn(move || {
                let mut round = thread;
                while !over.load(Ordering::Relaxed) {
                    come_and_go(supervisor, round);
                    round += 1;
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // Durations, not meeting points.
        std::thread::sleep(time / 10);
        let warm = (Use::now(), rounds.load(Ordering::Relaxed));
        let began = Instant::now();
        while let Some(left) = (time * 9 / 10).checked_sub(began.elapsed()) {
            std::thread::sleep(left.min(time / 10));
            say(&format!(
                "after {} rounds: {:?}",
                rounds.load(Ordering::Relaxed),
                Use::now()
            ));
        }
        over.store(true, Ordering::Relaxed);
        (before, warm, Use::now())
    });
    let report = supervisor.shutdown();
    assert!(report.is_clean(), "{report}");
    assert_eq!(*report.cause(), Cause::Requested);
    // The thread that writes the log down, the one for time limits: what is started once may be there. Nobody joined some of the
    // workers, and nothing tells when the system is through with a thread, so this looks again until it is.
    let threads = before.threads + 2;
    let until = Instant::now() + Duration::from_secs(10);
    let mut after = Use::now();
    while after.threads > threads && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
        after = Use::now();
    }
    let ((warm, warm_rounds), rounds) = (warm, rounds.into_inner());
    let grown = end.resident - warm.resident;
    say(&format!(
        "{rounds} rounds in {time:?}; resident memory after {warm_rounds}: {} KiB, at the end: {} KiB; {before:?}, {after:?}",
        warm.resident / 1024,
        end.resident / 1024
    ));
    assert!(grown < SLACK, "it grew by {grown} bytes");
    assert!(after.threads <= threads, "{before:?}, {after:?}");
    assert!(
        after.descriptors <= before.descriptors,
        "{before:?}, {after:?}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn what_comes_and_goes_from_sixteen_threads_leaves_nothing() {
    memory_stays_flat(Duration::from_secs(3));
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "takes ten minutes; run it with --ignored"]
fn what_comes_and_goes_from_sixteen_threads_for_ten_minutes_leaves_nothing() {
    memory_stays_flat(Duration::from_secs(600));
}

//! From `stop` until everyone who waits is awake.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::measure::{ratios, side, OneCore};
use crate::table::Table;

pub fn woken(table: &mut Table) {
    for (waiters, rounds) in [(1, 300), (1_000, 20)] {
        // With one waiter and two cores it is only whether a sleeping core has to be woken that counts.
        let _one = (waiters == 1).then(OneCore::take);
        let work = match waiters {
            1 => "stop → awake, 1 waiter, on one core".to_owned(),
            _ => format!("stop → awake, {waiters} waiters"),
        };
        let ours = side("sundown", || {
            let source = sundown::StopSource::new();
            let token = source.token();
            wake(
                waiters,
                move || token.wait(),
                move |_| assert!(source.stop()),
            )
        });
        let park = side("park / unpark", || {
            let flag = Arc::new(AtomicBool::new(false));
            let theirs = Arc::clone(&flag);
            let wait = move || {
                while !theirs.load(Ordering::Acquire) {
                    std::thread::park();
                }
            };
            wake(waiters, wait, move |threads| {
                flag.store(true, Ordering::Release);
                threads.iter().for_each(std::thread::Thread::unpark);
            })
        });
        let condvar = side("`Condvar`", || {
            let shared = Arc::new((Mutex::new(false), Condvar::new()));
            let theirs = Arc::clone(&shared);
            let wait = move || {
                let mut stopped = theirs.0.lock().unwrap();
                while !*stopped {
                    stopped = theirs.1.wait(stopped).unwrap();
                }
            };
            wake(waiters, wait, move |_| {
                *shared.0.lock().unwrap() = true;
                shared.1.notify_all();
            })
        });
        let tokio = side("`CancellationToken`, `block_on`", || {
            let token = tokio_util::sync::CancellationToken::new();
            let theirs = token.clone();
            wake(
                waiters,
                move || pollster::block_on(theirs.cancelled()),
                move |_| token.cancel(),
            )
        });
        for (peer, ratio) in ratios(rounds, ours, vec![park, condvar, tokio]) {
            let aim = if peer == "park / unpark" {
                "≤ 1.2"
            } else {
                ""
            };
            table.ratio(&work, peer, aim, ratio);
        }
    }
}

/// Has so many threads wait, then stops them, and measures until the last is awake.
fn wake(
    waiters: usize,
    wait: impl Fn() + Send + Sync + 'static,
    stop: impl FnOnce(&[std::thread::Thread]),
) -> Duration {
    let wait = Arc::new(wait);
    let ready = Arc::new(Barrier::new(waiters + 1));
    let (awake, main) = (Arc::new(AtomicUsize::new(0)), std::thread::current());
    let handles: Vec<_> = (0..waiters)
        .map(|_| {
            let (wait, ready) = (Arc::clone(&wait), Arc::clone(&ready));
            let (awake, main) = (Arc::clone(&awake), main.clone());
            std::thread::spawn(move || {
                ready.wait();
                wait();
                if awake.fetch_add(1, Ordering::AcqRel) + 1 == waiters {
                    main.unpark();
                }
            })
        })
        .collect();
    let threads: Vec<_> = handles
        .iter()
        .map(|handle| handle.thread().clone())
        .collect();
    ready.wait();
    // Whoever has passed the barrier is a few instructions from its wait.
    std::thread::sleep(Duration::from_millis(if waiters == 1 { 1 } else { 20 }));
    let began = Instant::now();
    stop(&threads);
    while awake.load(Ordering::Acquire) < waiters {
        std::thread::park();
    }
    let took = began.elapsed();
    handles
        .into_iter()
        .for_each(|handle| handle.join().unwrap());
    took
}

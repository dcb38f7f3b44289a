//! The shutdown of parked workers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sundown::Supervisor;
use sundown_benches::{park_on_token, park_subsystems, park_until, ByHand};
use tokio_graceful_shutdown::{SubsystemHandle, Toplevel};

use crate::measure::{ratios, side, time, Spread};
use crate::plot::Curve;
use crate::table::Table;

/// How a worker of ours is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    ByToken,
    ByCallback,
}

pub fn of_workers(table: &mut Table) {
    for (workers, rounds) in [(1, 300), (100, 100), (1_000, 30), (10_000, 5)] {
        let aim = if workers == 1 { "≤ 2" } else { "≤ 1.05" };
        let name = |how: &str| {
            format!(
                "shutdown of {workers} parked worker{}, {how}",
                if workers == 1 { "" } else { "s" }
            )
        };
        for (told, how) in [
            (Told::ByToken, "told by token"),
            (Told::ByCallback, "told by callback"),
        ] {
            let mut peers = vec![side("the loop by hand", || by_hand(workers))];
            if workers == 1 && told == Told::ByCallback {
                peers.push(side("the same, telling from a new thread", || {
                    by_hand_from_a_helper(workers)
                }));
            }
            if told == Told::ByToken {
                peers.push(side(
                    "`tokio-graceful-shutdown`, blocking subsystems",
                    || tokio_graceful(workers),
                ));
            }
            for (peer, ratio) in ratios(rounds, side("sundown", || ours(workers, told)), peers) {
                table.ratio(
                    name(how),
                    peer,
                    if peer == "the loop by hand" { aim } else { "" },
                    ratio,
                );
            }
        }
    }
}

/// How the cost for each worker grows with their number.
pub fn growth() -> Vec<Curve> {
    let mut curves = ["told by token", "told by callback", "the loop by hand"].map(|name| Curve {
        name,
        points: Vec::new(),
    });
    for workers in [1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000] {
        let rounds = (3_000 / workers).clamp(5, 60);
        let mut taken: [Vec<f64>; 3] = Default::default();
        for _ in 0..rounds {
            let each = |took: Duration| took.as_secs_f64() * 1e6 / workers as f64;
            taken[0].push(each(ours(workers, Told::ByToken)));
            taken[1].push(each(ours(workers, Told::ByCallback)));
            taken[2].push(each(by_hand(workers)));
        }
        for (curve, taken) in curves.iter_mut().zip(taken) {
            curve
                .points
                .push((workers as f64, Spread::of(taken).median));
        }
    }
    curves.into()
}

/// Long enough for the last of them to have parked.
fn settle(workers: usize) {
    std::thread::sleep(Duration::from_millis(2 + workers as u64 / 50));
}

fn ours(workers: usize, told: Told) -> Duration {
    let supervisor = Supervisor::builder()
        .deadline(Duration::from_secs(60))
        .build();
    for _ in 0..workers {
        if told == Told::ByToken {
            park_on_token(supervisor.worker());
            continue;
        }
        let flag = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&flag);
        let worker = supervisor
            .worker()
            .on_terminate(move || flag.store(true, Ordering::Release));
        worker.spawn(move || park_until(&theirs)).unwrap();
    }
    settle(workers);
    let mut report = None;
    let took = time(|| report = Some(supervisor.shutdown()));
    let report = report.expect("it ran");
    assert!(report.is_clean(), "{report}");
    took
}

fn by_hand(workers: usize) -> Duration {
    let all = ByHand::spawn(workers);
    settle(workers);
    time(|| all.stop())
}

/// The same with the telling on a thread of its own, as whoever wants to outlive a callback that hangs must do.
fn by_hand_from_a_helper(workers: usize) -> Duration {
    let all = ByHand::spawn(workers);
    settle(workers);
    time(|| {
        let told = all.0.iter();
        let told = told.map(|(flag, handle)| (Arc::clone(flag), handle.thread().clone()));
        let told: Vec<_> = told.collect();
        std::thread::spawn(move || {
            for (flag, thread) in told.iter().rev() {
                flag.store(true, Ordering::Release);
                thread.unpark();
            }
        });
        all.join();
    })
}

fn tokio_graceful(workers: usize) -> Duration {
    sundown_benches::runtime(workers).block_on(async {
        let stop = tokio_util::sync::CancellationToken::new();
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let system = async move |system: &mut SubsystemHandle| {
            park_subsystems(system, workers).await;
            ready.send(()).expect("it is awaited");
        };
        let top = Toplevel::new_with_shutdown_token(system, stop.clone());
        let end = tokio::spawn(top.handle_shutdown_requests(Duration::from_secs(60)));
        is_ready.await.expect("it sends");
        tokio::time::sleep(Duration::from_millis(2 + workers as u64 / 50)).await;
        let began = Instant::now();
        stop.cancel();
        end.await
            .expect("it does not panic")
            .expect("a clean shutdown");
        began.elapsed()
    })
}

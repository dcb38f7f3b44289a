//! Polling a token that has not been stopped.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::measure::{ratios, side, time};
use crate::table::Table;

const POLLS: usize = 2_000_000;

pub fn polled(table: &mut Table) {
    let source = sundown::StopSource::new();
    let token = source.token();
    let flag = AtomicBool::new(false);
    let cancellation = tokio_util::sync::CancellationToken::new();
    let stop = stop_token::StopSource::new();
    let stop_token = stop.token();

    let ours = side("sundown", || polls(|| token.is_stopped()));
    let load = side("`AtomicBool` load", || {
        polls(|| black_box(&flag).load(Ordering::Acquire))
    });
    let tokio = side("`CancellationToken`", || {
        polls(|| cancellation.is_cancelled())
    });
    // Its token can only be asked as a future.
    let waker = std::task::Waker::noop();
    let asked = side("`stop-token`", move || {
        let mut token = stop_token.clone();
        polls(|| {
            let mut context = std::task::Context::from_waker(waker);
            std::future::Future::poll(std::pin::Pin::new(&mut token), &mut context).is_ready()
        })
    });
    for (peer, ratio) in ratios(60, ours, vec![load, tokio, asked]) {
        let aim = if peer == "`AtomicBool` load" {
            "≤ 1.1"
        } else {
            ""
        };
        table.ratio("poll a token", peer, aim, ratio);
    }
    drop(stop);
}

fn polls(mut stopped: impl FnMut() -> bool) -> Duration {
    time(|| {
        for _ in 0..POLLS {
            assert!(!black_box(stopped()));
        }
    })
}

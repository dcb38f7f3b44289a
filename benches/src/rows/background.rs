//! A background loop: what it takes to hand something over from a plain thread and to have its value, beside a runtime of tokio's on a
//! thread of its own, a spawn on its handle, and a oneshot for the value.
//!
//! On one core: with two, what counts is whether the scheduler has put a loop beside its caller or where it must wake a sleeping core, which
//! makes either side twenty times slower than the other by turns.

use std::time::Duration;

use sundown::background::BackgroundThread;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::measure::{ratios, side, time, OneCore};
use crate::table::Table;

/// Hands one thing over, and waits for its value.
type Once = fn(&BackgroundThread);

pub fn handed_over(table: &mut Table) {
    let _one = OneCore::take();
    let ours = BackgroundThread::builder().start().expect("a thread");
    let theirs = ByHand::start();
    let rows: [(&str, Once); 3] = [
        ("background loop, on one core: `call`, `wait`", |ours| {
            ours.call(|| ()).wait().expect("it has run");
        }),
        ("background loop, on one core: `spawn`, `wait`", |ours| {
            ours.spawn(async {}).wait().expect("it has run");
        }),
        ("background loop, on one core: `block_on`", |ours| {
            ours.block_on(async {}).expect("it has run");
        }),
    ];
    for (work, once) in rows {
        let sundown = side("sundown", || in_turn(|| once(&ours)));
        let by_hand = side("tokio `Handle` + oneshot by hand", || {
            in_turn(|| theirs.spawn())
        });
        for (peer, ratio) in ratios(60, sundown, vec![by_hand]) {
            table.ratio(work, peer, "≤ 1.1", ratio);
        }
    }
}

/// One after another.
fn in_turn(once: impl Fn()) -> Duration {
    const EACH: usize = 1_000;
    time(|| (0..EACH).for_each(|_| once()))
}

/// A runtime on a thread of its own, until this is dropped.
struct ByHand {
    handle: Handle,
    _stop: oneshot::Sender<()>,
}

impl ByHand {
    fn start() -> ByHand {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        // Nothing is ever sent: it returns when the sender is gone.
        std::thread::spawn(move || drop(runtime.block_on(stopped)));
        ByHand {
            handle,
            _stop: stop,
        }
    }

    fn spawn(&self) {
        let (value, received) = oneshot::channel();
        self.handle.spawn(async {
            let _ = value.send(()); // whoever asked may be gone
        });
        received.blocking_recv().expect("it has run");
    }
}

//! The workers that the measured programs share: threads that are parked until somebody tells them.

pub mod least;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use tokio_graceful_shutdown::{SubsystemBuilder, SubsystemHandle};

/// Parks until the flag is set.
pub fn park_until(flag: &AtomicBool) {
    while !flag.load(Ordering::Acquire) {
        std::thread::park();
    }
}

/// Workers as one has them by hand: a flag and a handle for each.
pub struct ByHand(pub Vec<(Arc<AtomicBool>, std::thread::JoinHandle<()>)>);

impl ByHand {
    pub fn spawn(workers: usize) -> ByHand {
        let spawn = |_| {
            let flag = Arc::new(AtomicBool::new(false));
            let theirs = Arc::clone(&flag);
            (flag, std::thread::spawn(move || park_until(&theirs)))
        };
        ByHand((0..workers).map(spawn).collect())
    }

    /// The loop that one writes by hand: all are told, newest first, then all are joined.
    pub fn stop(self) {
        for (flag, handle) in self.0.iter().rev() {
            flag.store(true, Ordering::Release);
            handle.thread().unpark();
        }
        self.join();
    }

    pub fn join(self) {
        for (_, handle) in self.0.into_iter().rev() {
            handle.join().expect("it does not panic");
        }
    }
}

/// A worker of ours that is parked until its token trips.
pub fn park_on_token(worker: sundown::thread::Builder) {
    let spawned = worker.spawn_with(|stop| {
        while !stop.is_stopped() {
            std::thread::park();
        }
    });
    spawned.expect("a thread");
}

/// Subsystems of tokio-graceful-shutdown, each of which blocks a thread of tokio's blocking pool. Returns when all are parked.
pub async fn park_subsystems(system: &mut SubsystemHandle, workers: usize) {
    let (parked, mut all_parked) = tokio::sync::mpsc::channel::<()>(workers.max(1));
    for worker in 0..workers {
        let parked = parked.clone();
        let blocking = async move |system: &mut SubsystemHandle| {
            let flag = Arc::new(AtomicBool::new(false));
            let theirs = Arc::clone(&flag);
            let (thread, its_thread) = tokio::sync::oneshot::channel();
            let blocked = tokio::task::spawn_blocking(move || {
                thread.send(std::thread::current()).expect("it is awaited");
                park_until(&theirs);
            });
            let thread = its_thread.await.expect("it sends at once");
            parked.send(()).await.expect("it is awaited");
            system.on_shutdown_requested().await;
            flag.store(true, Ordering::Release);
            thread.unpark();
            blocked.await.expect("it does not panic");
            Ok::<(), std::io::Error>(())
        };
        system.start(SubsystemBuilder::new(format!("{worker}"), blocking));
    }
    for _ in 0..workers {
        all_parked.recv().await.expect("they send");
    }
}

/// A runtime with room for so many blocked threads.
pub fn runtime(workers: usize) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(workers + 8)
        .enable_all()
        .build()
        .expect("a runtime")
}

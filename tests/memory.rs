//! What comes and goes leaves nothing behind, however long a program lives.
//!
//! In a file of its own: it measures the memory of the whole process, which other tests would use as well.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use sundown::Supervisor;
use support::in_time;

/// Waits until a condition holds that another thread brings about without saying so.
fn eventually(holds: impl Fn() -> bool + Send + 'static) {
    in_time(move || {
        while !holds() {
            std::thread::yield_now();
        }
    });
}

#[test]
fn workers_that_come_and_go_leave_nothing() {
    let supervisor = Supervisor::new();
    let ran = Arc::new(AtomicUsize::new(0));
    let batch = |count: usize| {
        for number in 0..count {
            let counts = Arc::clone(&ran);
            let worker = supervisor.worker().on_terminate(|| ());
            let worker = worker.spawn(move || counts.fetch_add(1, Ordering::Relaxed));
            let worker = worker.unwrap();
            match number % 10 {
                0 => drop(worker), // detached
                _ => drop(worker.join().unwrap()),
            }
        }
        let seen = supervisor.clone();
        eventually(move || seen.workers().is_empty());
    };
    batch(10_000); // what the process keeps for good, it has by now
    let before = resident_kib();
    batch(90_000);
    let after = resident_kib();
    assert_eq!(ran.load(Ordering::Relaxed), 100_000);
    // A record that stays would be some hundred bytes: 90,000 of them 9 MB at the least.
    if let (Some(before), Some(after)) = (before, after) {
        assert!(after < before + 6 * 1024, "{before} KiB, then {after} KiB");
    }
    let report = supervisor.shutdown();
    assert!(
        report.entries().is_empty(),
        "{} entries",
        report.entries().len()
    );
}

#[test]
fn supervisors_and_hooks_that_come_and_go_leave_nothing() {
    let parent = Supervisor::new();
    let batch = |count: usize| {
        for _ in 0..count {
            let own = Supervisor::new();
            own.on_exit("removed", || ()).remove();
            let child = parent.child("brief");
            child.on_shutdown("runs", || ());
            child.shutdown();
            parent.on_shutdown("removed", || ()).remove();
        }
    };
    batch(2_000);
    let before = resident_kib();
    batch(18_000);
    if let (Some(before), Some(after)) = (before, resident_kib()) {
        assert!(after < before + 6 * 1024, "{before} KiB, then {after} KiB");
    }
    assert!(parent.shutdown().entries().is_empty());
}

/// How much memory the process has, where the system tells.
fn resident_kib() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

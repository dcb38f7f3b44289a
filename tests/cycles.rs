//! Workers that wait for one another in a circle are named as one in the report.

mod support;

use std::sync::mpsc;
use std::time::Duration;

use sundown::thread::JoinHandle;
use sundown::{ShutdownReport, Supervisor};
use support::Gate;

fn short(name: &str) -> Supervisor {
    let builder = Supervisor::builder().name(name);
    builder.deadline(Duration::from_millis(800)).build()
}

/// Spawns a worker that joins what is sent to it.
fn joins(
    supervisor: &Supervisor,
    name: &str,
) -> (
    JoinHandle<()>,
    mpsc::Sender<JoinHandle<()>>,
    mpsc::Receiver<()>,
) {
    let (hand, handed) = mpsc::channel::<JoinHandle<()>>();
    let (about_to, waits) = mpsc::channel();
    let worker = supervisor.worker().name(name.into());
    let handle = worker.spawn(move || {
        let handle = handed.recv().unwrap();
        about_to.send(()).unwrap();
        handle.join().unwrap();
    });
    (handle.unwrap(), hand, waits)
}

fn cycle<'a>(report: &'a ShutdownReport, name: &str) -> Option<&'a str> {
    let entry = report.entries().iter().find(|e| e.name() == Some(name));
    let entry = entry.unwrap_or_else(|| panic!("no {name} in {report}"));
    entry.straggler().and_then(|record| record.cycle())
}

#[test]
fn two_that_join_each_other() {
    let supervisor = short("app");
    let (a, to_a, a_waits) = joins(&supervisor, "a");
    let (b, to_b, b_waits) = joins(&supervisor, "b");
    to_a.send(b).unwrap();
    to_b.send(a).unwrap();
    a_waits.recv().unwrap();
    b_waits.recv().unwrap();
    let report = supervisor.shutdown();
    assert_eq!(cycle(&report, "a"), Some("a → b → a"), "{report}");
    assert_eq!(cycle(&report, "b"), Some("b → a → b"), "{report}");
    let text = report.to_string();
    assert!(text.contains("waits in a circle: a → b → a"), "{text}");
    assert!(text.contains("they wait for one another"), "{text}");
}

#[test]
fn three_in_a_circle_and_one_that_waits_for_it() {
    let supervisor = short("app");
    let (a, to_a, a_waits) = joins(&supervisor, "a");
    let (b, to_b, b_waits) = joins(&supervisor, "b");
    let (c, to_c, c_waits) = joins(&supervisor, "c");
    let gate = Gate::new();
    let held = supervisor.worker().name("held".into());
    let held = held.spawn(gate.passer()).unwrap();
    let (_outside, to_outside, outside_waits) = joins(&supervisor, "outside");
    to_a.send(b).unwrap();
    to_b.send(c).unwrap();
    to_c.send(a).unwrap();
    to_outside.send(held).unwrap();
    for waits in [a_waits, b_waits, c_waits, outside_waits] {
        waits.recv().unwrap();
    }
    let report = supervisor.shutdown();
    assert_eq!(cycle(&report, "a"), Some("a → b → c → a"), "{report}");
    assert_eq!(cycle(&report, "c"), Some("c → a → b → c"), "{report}");
    assert_eq!(
        cycle(&report, "outside"),
        None,
        "waiting is no circle: {report}"
    );
    assert_eq!(cycle(&report, "held"), None);
}

#[test]
fn one_that_shuts_down_whoever_waits_for_it() {
    let supervisor = short("app");
    let (to_waiter, handed) = mpsc::channel::<JoinHandle<()>>();
    let waiter = supervisor.worker().name("waiter".into());
    let (about_to, waits) = mpsc::channel();
    waiter
        .spawn(move || {
            let handle = handed.recv().unwrap();
            about_to.send(()).unwrap();
            handle.join().unwrap();
        })
        .unwrap();
    let (done, report) = mpsc::channel();
    let ours = supervisor.clone();
    let asks = supervisor.worker().name("asks".into());
    let asks = asks
        .spawn(move || {
            waits.recv().unwrap();
            done.send(ours.shutdown()).unwrap();
        })
        .unwrap();
    to_waiter.send(asks).unwrap();
    let report = report.recv_timeout(support::PATIENCE).unwrap();
    assert_eq!(
        cycle(&report, "waiter"),
        Some("waiter → asks → shutdown of app → waiter"),
        "{report}"
    );
}

#[test]
fn a_worker_that_shuts_down_a_tier_whose_worker_joins_it() {
    let supervisor = short("app");
    let tier = supervisor.child("tier");
    let (inner, to_inner, inner_waits) = joins(&tier, "inner");
    drop(inner);
    let theirs = tier.clone();
    let outer = supervisor.worker().name("outer".into());
    let outer = outer
        .spawn(move || {
            inner_waits.recv().unwrap();
            theirs.shutdown();
        })
        .unwrap();
    to_inner.send(outer).unwrap();
    tier.wait_for_shutdown();
    let report = supervisor.shutdown();
    assert_eq!(
        cycle(&report, "inner"),
        Some("inner → outer → shutdown of tier → inner"),
        "{report}"
    );
}

#[test]
fn a_callback_that_joins_a_worker_that_waits_for_the_shutdown() {
    let supervisor = short("app");
    let (done, report) = mpsc::channel();
    let ours = supervisor.clone();
    let (begin, begun) = mpsc::channel::<()>();
    let asks = supervisor.worker().name("asks".into());
    let asks = asks
        .spawn(move || {
            begun.recv().unwrap();
            done.send(ours.shutdown()).unwrap();
        })
        .unwrap();
    supervisor.on_shutdown("hook", move || drop(asks.join()));
    begin.send(()).unwrap();
    let report = report.recv_timeout(support::PATIENCE).unwrap();
    assert_eq!(
        cycle(&report, "hook"),
        Some("callback of hook → asks → shutdown of app → callback of hook"),
        "{report}"
    );
}

#[test]
fn a_name_in_a_circle_cannot_drive_a_terminal() {
    let supervisor = short("app");
    let (a, to_a, a_waits) = joins(&supervisor, "evil\u{1b}[2J\n");
    let (b, to_b, b_waits) = joins(&supervisor, "b");
    to_a.send(b).unwrap();
    to_b.send(a).unwrap();
    a_waits.recv().unwrap();
    b_waits.recv().unwrap();
    let report = supervisor.shutdown();
    assert!(cycle(&report, "b").is_some(), "{report}");
    assert!(!report.to_string().contains('\u{1b}'));
}

#[test]
fn a_job_of_a_pool_and_the_worker_that_waits_for_it() {
    let supervisor = short("app");
    let pool = sundown::pool::Pool::builder()
        .name("crew")
        .supervisor(&supervisor)
        .workers(1)
        .build()
        .unwrap();
    let (hand, handed) = mpsc::channel::<JoinHandle<()>>();
    let (runs, running) = mpsc::channel();
    let job = pool.submit(move || {
        runs.send(()).unwrap();
        handed.recv().unwrap().join().unwrap();
    });
    running.recv().unwrap();
    let (about_to, waits) = mpsc::channel();
    let waiter = supervisor.worker().name("waiter".into()).spawn(move || {
        about_to.send(()).unwrap();
        drop(job.wait());
    });
    waits.recv().unwrap();
    hand.send(waiter.unwrap()).unwrap();
    let report = supervisor.shutdown();
    let circle = cycle(&report, "waiter").unwrap_or_else(|| panic!("{report}"));
    assert!(circle.starts_with("waiter → "), "{circle}");
    assert!(circle.ends_with(" → waiter"), "{circle}");
    std::mem::forget(pool); // its worker hangs for good
}

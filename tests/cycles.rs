//! Workers that wait for one another in a circle are named as one in the report.

mod support;

use std::sync::{mpsc, Arc};
use std::time::{Duration, Instant};

use sundown::pool::{Pending, Pool};
use sundown::thread::JoinHandle;
use sundown::{diagnose, ShutdownReport, Supervisor, Task, WorkerId};
use support::{no_time, patiently, Gate, PATIENCE};

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

/// Spawns a worker that shuts down, once it is sent something, and sends the report.
fn shuts_down(
    supervisor: &Supervisor,
) -> (
    JoinHandle<()>,
    mpsc::Sender<()>,
    mpsc::Receiver<ShutdownReport>,
) {
    let ours = supervisor.clone();
    let (begin, begun) = mpsc::channel();
    let (done, report) = mpsc::channel();
    let worker = supervisor.worker().name("asks".into());
    let handle = worker.spawn(move || {
        begun.recv().unwrap();
        done.send(ours.shutdown()).unwrap();
    });
    (handle.unwrap(), begin, report)
}

fn cycle<'a>(report: &'a ShutdownReport, name: &str) -> Option<&'a str> {
    let entry = report.entries().iter().find(|e| e.name() == Some(name));
    let entry = entry.unwrap_or_else(|| panic!("no {name} in {report}"));
    entry.straggler().and_then(|record| record.cycle())
}

/// Waits until the table of workers has `wanted` in the line of `name`.
#[track_caller]
fn await_dump(supervisor: &Supervisor, name: &str, wanted: &str) {
    let limit = Instant::now() + PATIENCE;
    loop {
        let dump = supervisor.dump();
        let mut lines = dump.lines();
        if lines.any(|line| line.contains(name) && line.contains(wanted)) {
            return;
        }
        assert!(Instant::now() < limit, "no {wanted:?} in {dump}");
        // Nothing tells when a thread has come to where it blocks, so this looks again.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The circle that it is named in.
fn named<'a>(report: &'a ShutdownReport, name: &str) -> &'a str {
    cycle(report, name).unwrap_or_else(|| no_time(format!("no circle of {name} in {report}")))
}

#[test]
fn two_that_join_each_other() {
    patiently(|| {
        let supervisor = short("app");
        let (a, to_a, a_waits) = joins(&supervisor, "a");
        let (b, to_b, b_waits) = joins(&supervisor, "b");
        to_a.send(b).unwrap();
        to_b.send(a).unwrap();
        a_waits.recv().unwrap();
        b_waits.recv().unwrap();
        let report = supervisor.shutdown();
        assert_eq!(named(&report, "a"), "a → b → a", "{report}");
        assert_eq!(named(&report, "b"), "b → a → b", "{report}");
        let text = report.to_string();
        assert!(text.contains("waits in a circle: a → b → a"), "{text}");
        assert!(text.contains("they wait for one another"), "{text}");
    });
}

#[test]
fn three_in_a_circle_and_one_that_waits_for_it() {
    patiently(|| {
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
        assert_eq!(named(&report, "a"), "a → b → c → a", "{report}");
        assert_eq!(named(&report, "c"), "c → a → b → c", "{report}");
        assert_eq!(
            cycle(&report, "outside"),
            None,
            "waiting is no circle: {report}"
        );
        assert_eq!(cycle(&report, "held"), None);
    });
}

#[test]
fn one_that_shuts_down_whoever_waits_for_it() {
    patiently(|| {
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
            named(&report, "waiter"),
            "waiter → asks → shutdown of app → waiter",
            "{report}"
        );
    });
}

#[test]
fn whoever_waits_for_the_shutdown_is_not_waited_for_by_it() {
    let supervisor = short("app");
    let mut gate = Gate::new();
    let pass = gate.passer();
    let (telling, told) = mpsc::channel();
    let held = supervisor.worker().name("held".into());
    let held = held.on_terminate(move || telling.send(()).unwrap());
    held.spawn(pass).unwrap();
    let ours = supervisor.clone();
    let asks = supervisor.worker().name("asks".into());
    let asks = asks.spawn(move || ours.shutdown()).unwrap();
    told.recv_timeout(PATIENCE).unwrap();
    let dump = supervisor.dump();
    assert!(dump.contains("asks"), "{dump}");
    assert!(!dump.contains("circle"), "{dump}");
    gate.open();
    asks.join().unwrap();
}

#[test]
fn a_worker_that_shuts_down_a_tier_whose_worker_joins_it() {
    patiently(|| {
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
            named(&report, "inner"),
            "inner → outer → shutdown of tier → inner",
            "{report}"
        );
    });
}

#[test]
fn a_callback_that_joins_a_worker_that_waits_for_the_shutdown() {
    patiently(|| {
        let supervisor = short("app");
        let (asks, begin, report) = shuts_down(&supervisor);
        supervisor.on_shutdown("hook", move || drop(asks.join()));
        begin.send(()).unwrap();
        let report = report.recv_timeout(support::PATIENCE).unwrap();
        assert_eq!(
            named(&report, "hook"),
            "callback of hook → asks → shutdown of app → callback of hook",
            "{report}"
        );
    });
}

#[test]
fn a_terminate_callback_that_joins_a_worker_that_waits_for_the_shutdown() {
    patiently(|| {
        let supervisor = short("app");
        let (asks, begin, report) = shuts_down(&supervisor);
        let told = supervisor.worker().name("told".into());
        let told = told.on_terminate(move || drop(asks.join()));
        told.spawn_with(|stop| stop.wait()).unwrap();
        begin.send(()).unwrap();
        let report = report.recv_timeout(PATIENCE).unwrap();
        assert_eq!(
            named(&report, "told"),
            "callback of told → asks → shutdown of app → callback of told",
            "{report}"
        );
    });
}

#[test]
fn a_name_in_a_circle_cannot_drive_a_terminal() {
    patiently(|| {
        let supervisor = short("app");
        let (a, to_a, a_waits) = joins(&supervisor, "evil\u{1b}[2J\n");
        let (b, to_b, b_waits) = joins(&supervisor, "b");
        to_a.send(b).unwrap();
        to_b.send(a).unwrap();
        a_waits.recv().unwrap();
        b_waits.recv().unwrap();
        let report = supervisor.shutdown();
        named(&report, "b");
        assert!(!report.to_string().contains('\u{1b}'));
    });
}

/// A pool that works off what is queued, so that a shutdown leaves nobody waiting who waits for that.
fn crew(supervisor: &Supervisor, workers: usize) -> Pool {
    let crew = Pool::builder().name("crew").supervisor(supervisor);
    let crew = crew.workers(workers).queue(1).pending(Pending::Drain);
    crew.build().unwrap()
}

/// A job that joins what is sent to it, and has begun.
fn joining_job(pool: &Pool) -> (Task<()>, mpsc::Sender<JoinHandle<()>>) {
    let (hand, handed) = mpsc::channel::<JoinHandle<()>>();
    let (runs, running) = mpsc::channel();
    let job = pool.submit(move || {
        runs.send(()).unwrap();
        handed.recv().unwrap().join().unwrap();
    });
    running.recv().unwrap();
    (job, hand)
}

/// Starts a worker that does this, and gives its handle when it is about to.
fn about_to(
    supervisor: &Supervisor,
    name: &str,
    wait: impl FnOnce() + Send + 'static,
) -> JoinHandle<()> {
    let (about_to, waits) = mpsc::channel();
    let worker = supervisor.worker().name(name.into()).spawn(move || {
        about_to.send(()).unwrap();
        wait();
    });
    waits.recv().unwrap();
    worker.unwrap()
}

#[test]
fn a_job_of_a_pool_and_the_worker_that_waits_for_it() {
    patiently(|| {
        let report = hang_in_a_job();
        let circle = named(&report, "waiter");
        assert_eq!(circle, "waiter → crew-1 → waiter", "{report}");
    });
}

fn hang_in_a_job() -> ShutdownReport {
    let supervisor = short("app");
    let pool = crew(&supervisor, 1);
    let (job, hand) = joining_job(&pool);
    let waiter = about_to(&supervisor, "waiter", move || drop(job.wait()));
    hand.send(waiter).unwrap();
    let report = supervisor.shutdown();
    std::mem::forget(pool); // its worker hangs for good
    report
}

#[test]
fn a_job_that_begins_after_somebody_waits_for_it_while_other_workers_are_free() {
    patiently(|| {
        let report = hang_in_a_job_that_begins_later();
        let circle = named(&report, "waiter");
        assert!(
            ["waiter → crew-1 → waiter", "waiter → crew-2 → waiter"].contains(&circle),
            "{report}"
        );
    });
}

fn hang_in_a_job_that_begins_later() -> ShutdownReport {
    let mut gate = Gate::new();
    let supervisor = short("app");
    let pool = crew(&supervisor, 2);
    let busy = [pool.submit(gate.passer()), pool.submit(gate.passer())];
    let (hand, handed) = mpsc::channel::<JoinHandle<()>>();
    let (begins, begun) = mpsc::channel();
    let job = pool.submit(move || {
        begins.send(()).unwrap();
        handed.recv().unwrap().join().unwrap();
    });
    let waiter = about_to(&supervisor, "waiter", move || drop(job.wait()));
    await_dump(&supervisor, "waiter", "in futex");
    gate.open();
    drop(busy.map(|job| job.wait()));
    begun.recv().unwrap();
    hand.send(waiter).unwrap();
    let report = supervisor.shutdown();
    std::mem::forget(pool);
    report
}

/// What waits for this worker, as long as it takes, without its handle.
fn waits_for(supervisor: &Supervisor, handed: mpsc::Receiver<WorkerId>) -> impl FnOnce() + Send {
    let supervisor = supervisor.clone();
    move || {
        let id = handed.recv().unwrap();
        supervisor.wait_for_worker(id, Duration::MAX);
    }
}

/// A pool of two workers: the first waits for `waiter`, who waits for `wait` of the pool; the second does `second`.
fn pool_circle(
    second: impl FnOnce(&Supervisor, mpsc::Receiver<WorkerId>) -> Box<dyn FnOnce() + Send>,
    wait: impl FnOnce(Arc<Pool>) -> Box<dyn FnOnce() + Send>,
) -> ShutdownReport {
    let supervisor = short("app");
    let pool = Arc::new(crew(&supervisor, 2));
    let ((to_first, first), (to_other, other)) = (mpsc::channel(), mpsc::channel());
    let first = waits_for(&supervisor, first);
    let second = second(&supervisor, other);
    let (runs, running) = mpsc::channel();
    for job in [Box::new(first) as Box<dyn FnOnce() + Send>, second] {
        let runs = runs.clone();
        pool.execute(move || {
            runs.send(()).unwrap();
            job();
        })
        .unwrap();
    }
    running.recv().unwrap();
    running.recv().unwrap();
    let waiter = about_to(&supervisor, "waiter", wait(Arc::clone(&pool)));
    to_first.send(waiter.id()).unwrap();
    to_other.send(waiter.id()).unwrap();
    await_dump(&supervisor, "waiter", "in futex");
    let report = supervisor.shutdown();
    std::mem::forget(pool); // its workers hang for good
    report
}

/// Who waits for a job that is in the queue.
fn queued(pool: Arc<Pool>) -> Box<dyn FnOnce() + Send> {
    let job = pool.submit(|| ());
    Box::new(move || drop(job.wait()))
}

#[test]
fn a_queued_job_is_in_a_circle_if_all_workers_of_its_pool_are() {
    patiently(|| {
        let report = pool_circle(|s, id| Box::new(waits_for(s, id)), queued);
        let circle = named(&report, "waiter");
        assert!(circle.starts_with("waiter → crew-"), "{report}");
        assert!(circle.ends_with(" → waiter"), "{report}");
        for name in ["crew-1", "crew-2"] {
            assert!(named(&report, name).contains(" → waiter → "), "{report}");
        }
    });
}

#[test]
fn a_queued_job_is_in_no_circle_as_long_as_one_worker_may_come_to_it() {
    let gate = Gate::new();
    let pass = gate.passer();
    let report = pool_circle(
        |_, id| {
            Box::new(move || {
                pass();
                drop(id);
            })
        },
        queued,
    );
    for name in ["waiter", "crew-1", "crew-2"] {
        assert_eq!(cycle(&report, name), None, "{report}");
    }
}

#[test]
fn who_waits_for_room_in_a_queue_waits_for_the_workers_of_the_pool() {
    let report = pool_circle(
        |s, id| Box::new(waits_for(s, id)),
        |pool| {
            drop(pool.submit(|| ())); // which the queue has room for
            Box::new(move || drop(pool.submit(|| ()).wait()))
        },
    );
    // The end of the pool lets it go, since then there never is room; what it had waited for before, it waits for no longer.
    let entry = report.entries().iter().find(|e| e.name() == Some("waiter"));
    assert!(entry.unwrap().straggler().is_none(), "{report}");
}

#[test]
fn a_dump_names_circles_as_well() {
    let supervisor = short("app");
    let pool = Arc::new(crew(&supervisor, 1));
    let (handed, hand) = mpsc::channel();
    pool.execute(waits_for(&supervisor, hand)).unwrap();
    drop(pool.submit(|| ())); // which the queue has room for
    let theirs = Arc::clone(&pool);
    let waiter = about_to(&supervisor, "waiter", move || drop(theirs.submit(|| ())));
    handed.send(waiter.id()).unwrap();
    await_dump(
        &supervisor,
        "waiter",
        "waits in a circle: waiter → crew-1 → waiter",
    );
    pool.shutdown(Pending::Cancel); // lets go of who waits for room
    supervisor.shutdown();
}

#[cfg(feature = "tokio")]
#[test]
fn a_task_that_blocks_its_loop_to_join_whoever_waits_for_it() {
    patiently(|| {
        // The end of a loop lets go of who waits for its tasks: so the loop is not part of the shutdown that hangs.
        let (supervisor, other) = (short("app"), short("other"));
        let background = sundown::background::BackgroundThread::builder();
        let background = background.supervisor(&other).name("loop").start().unwrap();
        let (hand, handed) = mpsc::channel::<JoinHandle<()>>();
        let task = background.call(move || handed.recv().unwrap().join().unwrap());
        let waiter = about_to(&supervisor, "waiter", move || drop(task.wait()));
        hand.send(waiter).unwrap();
        let report = supervisor.shutdown();
        let circle = named(&report, "waiter");
        assert_eq!(circle, "waiter → loop → waiter", "{report}");
        background.terminate();
        other.shutdown();
    });
}

#[cfg(feature = "tokio")]
#[test]
fn who_waits_for_a_loop_that_is_merely_busy_is_in_no_circle() {
    let gate = Gate::new();
    let (supervisor, other) = (short("app"), short("other"));
    let background = sundown::background::BackgroundThread::builder();
    let background = background.supervisor(&other).name("loop").start().unwrap();
    let task = background.call(gate.passer());
    let _waiter = about_to(&supervisor, "waiter", move || drop(task.wait()));
    let report = supervisor.shutdown();
    assert_eq!(cycle(&report, "waiter"), None, "{report}");
    drop(gate);
    background.terminate();
    other.shutdown();
}

#[test]
fn a_wait_of_one_s_own_is_noted_and_taken_back() {
    patiently(|| {
        let gate = Gate::new();
        let supervisor = short("app");
        let (hand, handed) = mpsc::channel();
        let pass = gate.passer();
        let a = about_to(&supervisor, "a", move || {
            let noted = diagnose::waiting_for(handed.recv().unwrap());
            pass();
            drop(noted);
        });
        let (id, pass) = (a.id(), gate.passer());
        let b = about_to(&supervisor, "b", move || {
            drop(diagnose::waiting_for(id)); // was over at once
            let _noted = diagnose::waiting_for_any(move || vec![id]);
            pass();
        });
        hand.send(b.id()).unwrap();
        let pass = gate.passer();
        let c = about_to(&supervisor, "c", move || {
            let noted = diagnose::waiting_for(b.id());
            drop(noted);
            pass();
        });
        await_dump(&supervisor, "a", "waits in a circle: a → b → a");
        await_dump(&supervisor, "c", "in futex");
        let report = supervisor.shutdown();
        assert_eq!(named(&report, "a"), "a → b → a", "{report}");
        assert_eq!(named(&report, "b"), "b → a → b", "{report}");
        assert_eq!(cycle(&report, "c"), None, "{report}");
        drop(c);
    });
}

#[test]
fn whoever_is_asked_for_workers_may_panic_know_nobody_or_hang() {
    patiently(|| {
        let gate = Gate::new();
        for how in ["panics", "knows nobody", "hangs"] {
            let supervisor = short("app");
            let (pass, hang) = (gate.passer(), gate.passer());
            let _worker = about_to(&supervisor, "stuck", move || {
                let _noted = diagnose::waiting_for_any(move || match how {
                    "panics" => std::panic::resume_unwind(Box::new("broken")),
                    "hangs" => {
                        hang();
                        Vec::new()
                    }
                    _ => Vec::new(),
                });
                pass();
            });
            let (report, took) = support::timed(|| supervisor.shutdown());
            assert!(took < support::PATIENCE / 2, "{how}: {took:?}");
            let entry = &report.entries()[0];
            let record = entry
                .straggler()
                .unwrap_or_else(|| panic!("{how}: {report}"));
            assert_eq!(record.cycle(), None, "{how}");
            assert!(!record.advice().is_empty(), "{how}");
            #[cfg(target_os = "linux")]
            match record.thread() {
                Some(thread) => assert_eq!(thread.syscall(), Some("futex"), "{how}"),
                None => no_time(report.to_string()),
            }
        }
    });
}

#[test]
fn workers_and_main_have_a_number_and_others_have_none() {
    let supervisor = short("app");
    let worker = supervisor.spawn(diagnose::current_worker);
    let id = worker.id();
    assert_eq!(worker.join().unwrap(), Some(id));
    let foreign = std::thread::spawn(diagnose::current_worker);
    assert_eq!(foreign.join().unwrap(), None);
    let (tell, told) = mpsc::channel();
    supervisor.on_shutdown("hook", move || {
        tell.send(diagnose::current_worker()).unwrap()
    });
    supervisor.shutdown();
    assert_eq!(told.recv().unwrap(), None);
}

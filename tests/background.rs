//! Event loops in the background: what is handed over is carried out there, and comes back as a value, a panic or a refusal.
#![cfg(feature = "tokio")]

mod support;

use std::future::pending;
use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{bounded, unbounded};
use sundown::background::{BackgroundThread, EventLoop};
use sundown::{Cancel, Cancelled, Supervisor, Task, TaskError};
use support::{in_time, Gate, PATIENCE};

fn start() -> (Supervisor, BackgroundThread) {
    let supervisor = Supervisor::new();
    let background = BackgroundThread::builder()
        .supervisor(&supervisor)
        .name("loop")
        .start()
        .unwrap();
    (supervisor, background)
}

/// Says when it is dropped.
struct Dropped(Arc<AtomicBool>);

impl Dropped {
    fn new() -> (Dropped, Arc<AtomicBool>) {
        let flag = Arc::new(AtomicBool::new(false));
        (Dropped(Arc::clone(&flag)), flag)
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a destructor's panic");
    }
}

/// Ends the loop, and fails the test if that does not work.
fn end<T: Send + 'static>(background: BackgroundThread<T>) -> Result<T, TaskError> {
    background.terminate();
    in_time(move || background.join())
}

#[track_caller]
fn assert_cancelled<T>(result: Result<T, TaskError>, why: Cancelled) {
    match result {
        Err(TaskError::Cancelled(is)) => assert_eq!(is, why),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("a value"),
    }
}

/// The loop does this when nothing else keeps it busy.
fn is_alive(background: &EventLoop) {
    assert_eq!(background.call(|| 1).wait().unwrap(), 1);
    assert_eq!(background.block_on(async { 2 }), Ok(2));
}

#[test]
fn futures_and_calls_run_on_the_loops_thread_and_their_values_come_back() {
    let (_supervisor, background) = start();
    let name = || std::thread::current().name().map(str::to_owned);
    let here = std::thread::current().id();
    assert_eq!(
        background
            .spawn(async move { name() })
            .wait()
            .unwrap()
            .as_deref(),
        Some("loop")
    );
    assert_eq!(
        background.call(name).wait().unwrap().as_deref(),
        Some("loop")
    );
    let there = background
        .block_on(async { std::thread::current().id() })
        .unwrap();
    assert_ne!(there, here);
    assert_eq!(there, background.thread().id());
    let sum = background.spawn_local(|| {
        let local = Rc::new(20);
        async move {
            tokio::task::yield_now().await;
            *local + 1
        }
    });
    assert_eq!(sum.wait().unwrap(), 21);
    end(background).unwrap();
}

#[test]
fn the_default_runtime_has_time_and_runs_what_tasks_spawn() {
    let (_supervisor, background) = start();
    let task = background.spawn_local(|| async {
        let inner = tokio::spawn(async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            5
        });
        // Also tokio's own way to what is not `Send`.
        let local = tokio::task::spawn_local(async { Rc::new(1) });
        inner.await.unwrap() + *local.await.unwrap()
    });
    assert_eq!(task.wait().unwrap(), 6);
    let handle = background.handle().expect("a tokio runtime").clone();
    let (sent, received) = bounded(1);
    handle.spawn(async move { sent.send(std::thread::current().id()) });
    assert_eq!(
        received.recv_timeout(PATIENCE).unwrap(),
        background.thread().id()
    );
    end(background).unwrap();
}

#[test]
fn panics_come_out_with_their_payload_and_the_loop_goes_on() {
    let (_supervisor, background) = start();
    let payload = |error: TaskError| *error.into_panic().unwrap().downcast::<u32>().unwrap();
    let spawned = background.spawn(async { std::panic::panic_any(1_u32) });
    let made = background.spawn_local(|| {
        std::panic::panic_any(2_u32);
        #[allow(unreachable_code)]
        async {}
    });
    let called = background.call(|| std::panic::panic_any(3_u32));
    assert_eq!(payload(spawned.wait().unwrap_err()), 1);
    assert_eq!(payload(made.wait().unwrap_err()), 2);
    assert_eq!(payload(called.wait().unwrap_err()), 3);
    let panic = catch_unwind(AssertUnwindSafe(|| {
        background.block_on(async { std::panic::panic_any(4_u32) })
    }));
    assert_eq!(*panic.unwrap_err().downcast::<u32>().unwrap(), 4);
    is_alive(&background);
    end(background).unwrap();
}

#[test]
fn a_dropped_task_goes_on() {
    let (_supervisor, background) = start();
    let (sent, received) = bounded(1);
    drop(background.spawn(async move {
        tokio::time::sleep(Duration::from_millis(5)).await;
        sent.send(9).unwrap();
    }));
    assert_eq!(received.recv_timeout(PATIENCE).unwrap(), 9);
}

#[test]
fn a_wait_that_times_out_leaves_the_task_alone() {
    let (_supervisor, background) = start();
    let (go, gone) = tokio_oneshot();
    let task = background.spawn(async move {
        gone.await;
        7
    });
    assert!(task.wait_timeout(Duration::from_millis(5)).is_none());
    assert!(task.wait_timeout(Duration::ZERO).is_none());
    assert!(!task.is_finished());
    go();
    assert_eq!(task.wait_timeout(PATIENCE).unwrap().unwrap(), 7);
    assert!(matches!(task.wait(), Err(TaskError::Taken)));
    end(background).unwrap();
}

/// A future, and what makes it ready from any thread.
fn tokio_oneshot() -> (
    impl FnOnce() + Send,
    impl std::future::Future<Output = ()> + Send,
) {
    let source = sundown::StopSource::new();
    let stopped = source.token().stopped();
    (move || assert!(source.stop()), stopped)
}

#[test]
fn a_task_can_be_awaited_on_its_own_loop_and_on_another() {
    let (supervisor, first) = start();
    let second = BackgroundThread::builder()
        .supervisor(&supervisor)
        .start()
        .unwrap();
    let task = first.spawn(async { 3 });
    let relayed = second.spawn(async move { task.await.unwrap() + 1 });
    assert_eq!(relayed.wait().unwrap(), 4);
    let events: EventLoop = first.clone();
    let nested = first.block_on(async move { events.spawn(async { 5 }).await.unwrap() });
    assert_eq!(nested, Ok(5));
}

#[test]
fn a_task_cancelled_right_away_never_runs_or_is_dropped() {
    let (_supervisor, background) = start();
    for _ in 0..200 {
        let (dropped, flag) = Dropped::new();
        let task = background.spawn(async move {
            let _dropped = dropped;
            pending::<()>().await;
        });
        assert_ne!(task.cancel(), Cancel::TooLate);
        assert_cancelled(task.wait(), Cancelled::OnRequest);
        // One that never began is dropped by the loop, when it comes to it.
        is_alive(&background);
        assert!(flag.load(Ordering::SeqCst));
    }
    end(background).unwrap();
}

#[test]
fn a_task_cancelled_where_it_waits_is_gone_when_the_wait_returns() {
    let (_supervisor, background) = start();
    for _ in 0..200 {
        let (dropped, flag) = Dropped::new();
        let (began, begun) = bounded(1);
        let task = background.spawn(async move {
            let _dropped = dropped;
            began.send(()).unwrap();
            pending::<()>().await;
        });
        begun.recv_timeout(PATIENCE).unwrap();
        assert_eq!(task.cancel(), Cancel::Requested);
        assert_cancelled(task.wait(), Cancelled::OnRequest);
        assert!(flag.load(Ordering::SeqCst));
        assert_eq!(task.cancel(), Cancel::TooLate);
    }
    end(background).unwrap();
}

#[test]
fn what_has_not_begun_is_prevented_and_what_has_cannot_be_interrupted() {
    let (_supervisor, background) = start();
    let mut gate = Gate::new();
    let pass = gate.passer();
    let (began, begun) = bounded(1);
    let running = background.call(move || {
        began.send(()).unwrap();
        pass();
        1
    });
    begun.recv_timeout(PATIENCE).unwrap();
    let made = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&made);
    let waiting = background.spawn_local(move || {
        theirs.store(true, Ordering::SeqCst);
        async {}
    });
    assert_eq!(waiting.cancel(), Cancel::Prevented);
    assert_cancelled(waiting.wait(), Cancelled::OnRequest);
    assert_eq!(running.cancel(), Cancel::Requested);
    gate.open();
    assert_eq!(running.wait().unwrap(), 1);
    is_alive(&background);
    assert!(!made.load(Ordering::SeqCst));
    end(background).unwrap();
}

#[test]
fn a_task_can_cancel_another_and_the_one_that_it_is() {
    let (_supervisor, background) = start();
    let events: EventLoop = background.clone();
    let result = background.block_on(async move {
        let other = events.spawn(pending::<()>());
        tokio::task::yield_now().await;
        other.cancel();
        other.await
    });
    assert_cancelled(result.unwrap(), Cancelled::OnRequest);

    let (give, take) = unbounded::<Arc<Task<()>>>();
    let itself = Arc::new(background.spawn_local(move || async move {
        let itself = loop {
            match take.try_recv() {
                Ok(task) => break task,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        assert_eq!(itself.cancel(), Cancel::Requested);
        drop(itself);
        tokio::task::yield_now().await;
        panic!("it goes on");
    }));
    give.send(Arc::clone(&itself)).unwrap();
    assert_cancelled(itself.wait(), Cancelled::OnRequest);
}

#[test]
fn a_wait_on_the_loops_own_thread_is_an_error_however_it_comes_about() {
    let (_supervisor, background) = start();
    let (events, in_call): (EventLoop, EventLoop) = (background.clone(), background.clone());
    assert_eq!(
        background
            .call(move || in_call.block_on(async { 1 }))
            .wait()
            .unwrap(),
        Err(Cancelled::OwnThread)
    );
    let inside = background.spawn_local(move || async move {
        let direct = events.block_on(async { 1 });
        let task = events.spawn(async { 1 });
        let waited = task.wait();
        let bounded = task.wait_timeout(Duration::from_secs(3600));
        // Nothing is lost by it.
        let value = task.await.unwrap();
        // Below another executor on this thread.
        let theirs = events.clone();
        let nested = tokio::task::LocalSet::new()
            .run_until(async move { theirs.block_on(async { 1 }) })
            .await;
        (direct, waited, bounded, value, nested, events.is_current())
    });
    let (direct, waited, bounded, value, nested, current) = inside.wait().unwrap();
    assert_eq!(direct, Err(Cancelled::OwnThread));
    assert_cancelled(waited, Cancelled::OwnThread);
    assert_cancelled(bounded.unwrap(), Cancelled::OwnThread);
    assert_eq!(value, 1);
    assert_eq!(nested, Err(Cancelled::OwnThread));
    assert!(current && !background.is_current());
    assert!(Cancelled::OwnThread.to_string().contains("thread"));
    end(background).unwrap();
}

#[test]
fn a_task_that_is_over_can_be_taken_on_the_loops_own_thread() {
    let (_supervisor, background) = start();
    let task = background.spawn(async { 6 });
    while !task.is_finished() {
        std::thread::yield_now();
    }
    assert_eq!(
        background
            .call(move || task.wait().unwrap())
            .wait()
            .unwrap(),
        6
    );
}

#[test]
fn joining_a_loop_on_its_own_thread_is_an_error() {
    let (_supervisor, background) = start();
    let events: EventLoop = background.clone();
    assert_cancelled(
        events.call(move || background.join()).wait().unwrap(),
        Cancelled::OwnThread,
    );
    is_alive(&events);
}

#[test]
fn a_loop_starts_and_ends_inside_another_runtimes_thread() {
    let supervisor = Supervisor::new();
    let outer = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let value = outer.block_on(async {
        let background = BackgroundThread::builder()
            .supervisor(&supervisor)
            .start()
            .unwrap();
        let value = background.block_on(async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            8
        });
        let same = background.spawn(async { 8 }).await.unwrap();
        end(background).unwrap();
        assert_eq!(value, Ok(same));
        // One that fails to start, in here: its runtime must not be dropped here.
        supervisor.shutdown();
        let refused = BackgroundThread::builder().supervisor(&supervisor).start();
        assert!(refused.unwrap_err().to_string().contains("shutdown"));
        same
    });
    assert_eq!(value, 8);
}

#[test]
fn a_loop_starts_inside_another_loop() {
    let (supervisor, outer) = start();
    let inner = outer.block_on(async move {
        let inner = BackgroundThread::builder().start().unwrap();
        // The worker's supervisor is the default.
        assert!(supervisor.workers().iter().any(|w| w.id == inner.id()));
        inner.block_on(async { 1 }).unwrap();
        inner
    });
    assert_eq!(inner.unwrap().block_on(async { 2 }), Ok(2));
}

#[test]
fn a_runtime_that_cannot_be_built_is_the_starters_error() {
    let supervisor = Supervisor::new();
    let failed = BackgroundThread::builder()
        .supervisor(&supervisor)
        .runtime(|| Err(io::Error::new(io::ErrorKind::Other, "no runtime today")))
        .start();
    assert_eq!(failed.unwrap_err().to_string(), "no runtime today");
    let panicked = BackgroundThread::builder()
        .supervisor(&supervisor)
        .runtime(|| panic!("no runtime at all"))
        .start();
    assert!(panicked.unwrap_err().to_string().contains("panicked"));
    assert!(supervisor.workers().is_empty());
}

#[test]
fn destructors_that_panic_do_not_end_the_loop() {
    let (_supervisor, background) = start();
    // In a future that is dropped where it waits: that it was cancelled is what counts.
    let (began, begun) = bounded(1);
    let task = background.spawn(async move {
        let _bomb = Bomb;
        began.send(()).unwrap();
        pending::<()>().await;
    });
    begun.recv_timeout(PATIENCE).unwrap();
    task.cancel();
    assert_cancelled(task.wait(), Cancelled::OnRequest);
    // In one that has come to its end: that is a panic of its own.
    let bomb = Bomb;
    let task = background.spawn(async move {
        let _bomb = bomb;
    });
    assert!(task.wait().unwrap_err().into_panic().is_some());
    let mut gate = Gate::new();
    let busy = background.call(gate.passer());
    // In values that nobody waits for, since the handles are gone before there is a value.
    drop(background.spawn(async { Bomb }));
    drop(background.call(|| Bomb));
    // In what never begins.
    let bomb = Bomb;
    let prevented = background.call(move || drop(bomb));
    prevented.cancel();
    gate.open();
    let _ = busy.wait();
    is_alive(&background);
    end(background).unwrap();
}

#[test]
fn many_threads_hand_over_a_hundred_thousand_tasks() {
    let (_supervisor, background) = start();
    let sum = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (events, sum): (EventLoop, _) = (background.clone(), Arc::clone(&sum));
            scope.spawn(move || {
                let tasks: Vec<Task<usize>> = (0..25_000)
                    .map(|n| match (n + thread) % 3 {
                        0 => events.spawn(async move { n }),
                        1 => events.call(move || n),
                        _ => events.spawn_local(move || async move {
                            tokio::task::yield_now().await;
                            n
                        }),
                    })
                    .collect();
                for task in tasks {
                    sum.fetch_add(task.wait().unwrap(), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(sum.load(Ordering::Relaxed), 4 * (25_000 * 24_999 / 2));
    end(background).unwrap();
}

#[test]
fn cancels_that_race_with_the_work_leave_nobody_waiting() {
    let (_supervisor, background) = start();
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let events: EventLoop = background.clone();
            scope.spawn(move || {
                for n in 0..2_000_u32 {
                    let task = match (n + thread) % 3 {
                        0 => events.spawn(async move { n }),
                        1 => events.call(move || n),
                        _ => events.spawn(async move {
                            tokio::task::yield_now().await;
                            n
                        }),
                    };
                    // At another point each time.
                    for _ in 0..n % 64 * 16 {
                        std::hint::spin_loop();
                    }
                    let cancel = task.cancel();
                    match (cancel, task.wait()) {
                        (Cancel::Requested | Cancel::TooLate, Ok(value)) => assert_eq!(value, n),
                        (Cancel::Prevented | Cancel::Requested, Err(error)) => {
                            assert_cancelled::<()>(Err(error), Cancelled::OnRequest);
                        }
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
    });
    is_alive(&background);
    end(background).unwrap();
}

#[test]
fn handles_can_be_shared_and_sent() {
    fn check<T: Send + Sync>() {}
    check::<EventLoop>();
    check::<BackgroundThread<std::cell::Cell<u8>>>();
    check::<Task<std::cell::Cell<u8>>>();
}

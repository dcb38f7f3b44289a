//! Background loops on other executors than the default one: smol, and a tokio runtime of several threads.
#![cfg(feature = "test-executors")]

mod support;

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::bounded;
use sundown::background::{BackgroundBuilder, BackgroundThread, EventLoop, LoopFuture};
use sundown::{Cancel, Cancelled, Outcome, Supervisor, TaskError};
use support::{in_time, PATIENCE};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(3600);

fn on_smol(supervisor: &Supervisor) -> BackgroundBuilder {
    BackgroundThread::builder()
        .supervisor(supervisor)
        .name("smol")
        .runner(smol::block_on)
}

#[track_caller]
fn assert_cancelled<T>(result: Result<T, TaskError>, why: Cancelled) {
    match result {
        Err(TaskError::Cancelled(is)) => assert_eq!(is, why),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("a value"),
    }
}

#[test]
fn smol_runs_what_any_thread_hands_over() {
    let supervisor = Supervisor::new();
    let background = on_smol(&supervisor).start().unwrap();
    assert!(background.handle().is_none());
    let timer = background.block_on(async {
        smol::Timer::after(Duration::from_millis(5)).await;
        std::thread::current().id()
    });
    assert_eq!(timer, Ok(background.thread().id()));
    let local = background.spawn_local(|| {
        let local = std::rc::Rc::new(3);
        async move {
            smol::future::yield_now().await;
            *local
        }
    });
    assert_eq!(local.wait().unwrap(), 3);
    assert_eq!(background.call(|| 4).wait().unwrap(), 4);
    let panicked = background.spawn(async { std::panic::panic_any(5_u8) });
    let payload = panicked.wait().unwrap_err().into_panic().unwrap();
    assert_eq!(payload.downcast_ref::<u8>(), Some(&5));
    // A socket, since the loop must wait in smol's own reactor.
    let echoed = background.block_on(async {
        use smol::io::{AsyncReadExt, AsyncWriteExt};
        let listener = smol::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = smol::net::TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (mut server, _peer) = listener.accept().await.unwrap();
        client.write_all(b"x").await.unwrap();
        let mut byte = [0];
        server.read_exact(&mut byte).await.unwrap();
        byte
    });
    assert_eq!(echoed, Ok(*b"x"));
    assert!(supervisor.shutdown().is_clean());
    assert_eq!(background.block_on(async {}), Err(Cancelled::Ended));
    in_time(move || background.join()).unwrap();
}

#[test]
fn smol_hears_the_stop_drains_and_drops() {
    let supervisor = Supervisor::new();
    for _ in 0..50 {
        let idle = on_smol(&supervisor).drain(LONG).start().unwrap();
        idle.terminate();
        in_time(move || idle.join()).unwrap();
    }
    let background = on_smol(&supervisor)
        .drain(Duration::from_millis(200))
        .task(|ctx| async move {
            let told = ctx.until_stopped(pending::<()>()).await;
            smol::Timer::after(Duration::from_millis(5)).await;
            told.is_err()
        })
        .start()
        .unwrap();
    let deaf = background.spawn(pending::<()>());
    let cancelled = background.spawn(pending::<()>());
    background.call(|| ()).wait().unwrap();
    assert_eq!(cancelled.cancel(), Cancel::Requested);
    assert_cancelled(cancelled.wait(), Cancelled::OnRequest);
    let report = supervisor.shutdown();
    assert!(report.is_clean(), "{report}");
    assert_cancelled(deaf.wait(), Cancelled::Ended);
    assert!(background.join().unwrap());
}

#[test]
fn a_wait_below_a_nested_runtime_on_the_loops_thread_is_an_error() {
    let supervisor = Supervisor::new();
    let background = on_smol(&supervisor).start().unwrap();
    let events: EventLoop = background.clone();
    let nested = background.call(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let in_tokio = runtime.block_on(async { events.block_on(async {}) });
        let in_smol = smol::block_on(async { events.block_on(async {}) });
        (in_tokio, in_smol, events.spawn(async {}).wait().is_err())
    });
    let own = Err(Cancelled::OwnThread);
    assert_eq!(
        nested.wait().unwrap(),
        (own, Err(Cancelled::OwnThread), true)
    );
    // The loop of another runtime, nested in tokio's: smol can block there.
    let tokio_loop = BackgroundThread::builder()
        .supervisor(&supervisor)
        .start()
        .unwrap();
    let events: EventLoop = tokio_loop.clone();
    let nested = tokio_loop.call(move || smol::block_on(async { events.block_on(async {}) }));
    assert_eq!(nested.wait().unwrap(), Err(Cancelled::OwnThread));
    assert!(supervisor.shutdown().is_clean());
}

#[test]
fn a_runner_that_runs_nothing_ends_the_loop() {
    let supervisor = Supervisor::new();
    let runners: [fn(LoopFuture); 2] = [drop, std::mem::forget];
    for runner in runners {
        let background = BackgroundThread::builder()
            .supervisor(&supervisor)
            .runner(runner)
            .task(|_ctx| async { 1 })
            .start()
            .unwrap();
        let result = background.block_on(pending::<()>());
        assert_eq!(result, Err(Cancelled::Ended));
        assert_cancelled(in_time(move || background.join()), Cancelled::Ended);
    }
    assert!(supervisor.shutdown().is_clean());
}

#[test]
fn a_runner_that_panics_ends_the_loop_and_the_worker() {
    let supervisor = Supervisor::new();
    let background = BackgroundThread::builder()
        .supervisor(&supervisor)
        .critical()
        .runner(|events| {
            // In the middle of it.
            let mut events = events;
            smol::block_on(smol::future::poll_once(&mut events));
            std::panic::panic_any("a runner's panic");
        })
        .start()
        .unwrap();
    assert_eq!(background.block_on(pending::<()>()), Err(Cancelled::Ended));
    let error = in_time(move || background.join()).unwrap_err();
    let payload = error.into_panic().unwrap();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"a runner's panic"));
    supervisor.wait_for_shutdown();
    let report = supervisor.shutdown();
    assert!(matches!(
        report.entries()[0].outcome(),
        Outcome::Panicked(_)
    ));
}

fn on_several_threads(supervisor: &Supervisor) -> BackgroundBuilder {
    BackgroundThread::builder()
        .supervisor(supervisor)
        .runtime(|| {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            runtime.worker_threads(2).enable_all().build()
        })
}

#[test]
fn a_runtime_of_several_threads_serves_the_loop() {
    let supervisor = Supervisor::new();
    let background = on_several_threads(&supervisor).start().unwrap();
    let own = background.thread().id();
    let current = || std::thread::current().id();
    assert_eq!(background.block_on(async move { current() }), Ok(own));
    let elsewhere = background.block_on(async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        tokio::spawn(async move { current() }).await
    });
    assert_ne!(elsewhere.unwrap().unwrap(), own);
    // A thread of the runtime that may block, may wait for the loop.
    let events: EventLoop = background.clone();
    let blocking = background.block_on(async move {
        let waits = tokio::task::spawn_blocking(move || events.block_on(async { 4 }));
        waits.await.unwrap()
    });
    assert_eq!(blocking, Ok(Ok(4)));
    assert!(supervisor.shutdown().is_clean());
    in_time(move || background.join()).unwrap();
}

#[test]
fn what_runs_on_its_other_threads_is_dropped_with_the_runtime() {
    struct Dropped(Arc<AtomicBool>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let supervisor = Supervisor::new();
    let background = on_several_threads(&supervisor).drain(LONG).start().unwrap();
    let flag = Arc::new(AtomicBool::new(false));
    let dropped = Dropped(Arc::clone(&flag));
    let (began, begun) = bounded(1);
    background.handle().unwrap().spawn(async move {
        let _dropped = dropped;
        began.send(()).unwrap();
        pending::<()>().await;
    });
    begun.recv_timeout(PATIENCE).unwrap();
    background.terminate();
    in_time(move || background.join()).unwrap();
    assert!(flag.load(Ordering::SeqCst));
}

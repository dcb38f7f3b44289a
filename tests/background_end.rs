//! How a background loop ends: it hears that it should, its tasks have the drain, what is left is dropped, nobody waits for ever.
#![cfg(feature = "tokio")]

mod support;

use std::future::pending;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{bounded, unbounded, Receiver, Sender};
use sundown::background::{BackgroundBuilder, BackgroundThread, EventLoop};
use sundown::{thread, Cancelled, Cause, Outcome, StopReason, Supervisor, Task, TaskError};
use support::{in_time, timed, Gate, Journal, PATIENCE};

/// Longer than any test takes: a drain that is not to run out.
const LONG: Duration = Duration::from_secs(3600);

fn builder(supervisor: &Supervisor) -> BackgroundBuilder {
    BackgroundThread::builder()
        .supervisor(supervisor)
        .name("loop")
}

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

/// Sends a line when it is dropped, and whether that happens inside the runtime.
struct Dropped(Sender<&'static str>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(match tokio::runtime::Handle::try_current() {
            Ok(_) => "dropped inside the runtime",
            Err(_) => "dropped outside the runtime",
        });
    }
}

#[test]
fn an_idle_loop_hears_that_it_should_stop() {
    let supervisor = Supervisor::new();
    for _ in 0..100 {
        let background = builder(&supervisor).drain(LONG).start().unwrap();
        end(background).unwrap();
    }
    let background = builder(&supervisor).drain(LONG).start().unwrap();
    let report = supervisor.shutdown();
    assert!(report.is_clean(), "{report}");
    in_time(move || background.join()).unwrap();
}

#[test]
fn threads_that_wait_for_a_loop_that_ends_are_told_so() {
    let supervisor = Supervisor::new();
    let background = builder(&supervisor)
        .drain(Duration::from_millis(20))
        .start()
        .unwrap();
    let (began, begun) = unbounded();
    let waiters: Vec<_> = (0..2)
        .map(|_| {
            let (events, began): (EventLoop, _) = (background.clone(), began.clone());
            std::thread::spawn(move || {
                events.block_on(async move {
                    began.send(()).unwrap();
                    pending::<()>().await;
                })
            })
        })
        .collect();
    let task = background.spawn(pending::<()>());
    for _ in 0..2 {
        begun.recv_timeout(PATIENCE).unwrap();
    }
    background.terminate();
    for waiter in waiters {
        let result = in_time(move || waiter.join().unwrap());
        assert_eq!(result, Err(Cancelled::Ended));
    }
    assert_cancelled(in_time(move || task.wait()), Cancelled::Ended);
    in_time(move || background.join()).unwrap();
    assert!(supervisor.shutdown().is_clean());
}

#[test]
fn a_loop_that_has_ended_refuses_work_at_once() {
    let background = builder(&Supervisor::new()).start().unwrap();
    let events: EventLoop = background.clone();
    end(background).unwrap();
    let (sent, dropped) = unbounded();
    let (in_future, in_maker, in_call) = (sent.clone(), sent.clone(), sent);
    let spawned = events.spawn(async move { drop(in_future) });
    let made = events.spawn_local(move || async move { drop(in_maker) });
    let called = events.call(move || in_call.send(()).unwrap());
    assert!(spawned.is_finished() && made.is_finished() && called.is_finished());
    assert_cancelled(spawned.wait(), Cancelled::Ended);
    assert_cancelled(made.wait(), Cancelled::Ended);
    assert_cancelled(called.wait(), Cancelled::Ended);
    assert_eq!(events.block_on(async {}), Err(Cancelled::Ended));
    // What they held is gone, too.
    assert!(dropped.recv_timeout(PATIENCE).is_err());
    assert!(dropped.try_recv() == Err(crossbeam_channel::TryRecvError::Disconnected));
}

#[test]
fn tasks_clean_up_asynchronously_within_the_drain() {
    let supervisor = Supervisor::new();
    let journal = Journal::new();
    let background = builder(&supervisor).drain(LONG).start().unwrap();
    for n in 0..3 {
        let (events, journal): (EventLoop, _) = (background.clone(), journal.clone());
        drop(background.spawn(async move {
            let told = events.until_stopped(pending::<()>()).await;
            assert!(told.is_err());
            tokio::time::sleep(Duration::from_millis(20)).await;
            // What a task spawns for its clean-up is waited for as well.
            let inner = journal.clone();
            let last = events.spawn(async move {
                tokio::time::sleep(Duration::from_millis(5)).await;
                inner.note(format!("last {n}"));
            });
            last.await.unwrap();
            journal.note(format!("clean {n}"));
        }));
    }
    let report = supervisor.shutdown();
    assert!(report.is_clean(), "{report}");
    assert_eq!(journal.starting("clean").len(), 3);
    assert_eq!(journal.starting("last").len(), 3);
    assert_eq!(end(background).unwrap(), ());
}

#[test]
fn the_tokens_reason_and_deadline_are_the_shutdowns() {
    let supervisor = Supervisor::new();
    let background = builder(&supervisor)
        .task(|ctx| async move {
            let stop = ctx.stop_token();
            stop.stopped().await;
            (stop.reason(), stop.deadline())
        })
        .start()
        .unwrap();
    supervisor.shutdown();
    let (reason, deadline) = background.join().unwrap();
    let shutdown = StopReason::Shutdown(Cause::Requested);
    assert_eq!(reason, Some(StopReason::Parent(Box::new(shutdown))));
    assert!(deadline.is_some());
}

#[test]
fn what_is_left_after_the_drain_is_dropped_inside_the_runtime() {
    let supervisor = Supervisor::new();
    let drain = Duration::from_millis(50);
    let background = builder(&supervisor).drain(drain).start().unwrap();
    let (sent, dropped) = unbounded();
    let (began, begun) = bounded(2);
    let (deaf, in_runtime) = (Dropped(sent.clone()), Dropped(sent));
    let also = began.clone();
    let task = background.spawn(async move {
        let _deaf = deaf;
        began.send(()).unwrap();
        pending::<()>().await;
    });
    let handle = background.handle().unwrap();
    handle.spawn(async move {
        let _deaf = in_runtime;
        also.send(()).unwrap();
        pending::<()>().await;
    });
    begun.recv_timeout(PATIENCE).unwrap();
    begun.recv_timeout(PATIENCE).unwrap();
    let (result, took) = timed(|| end(background));
    result.unwrap();
    assert!(took >= drain, "{took:?}");
    assert_cancelled(task.wait(), Cancelled::Ended);
    for _ in 0..2 {
        assert_eq!(dropped.try_recv(), Ok("dropped inside the runtime"));
    }
    assert!(supervisor.shutdown().is_clean());
}

#[test]
fn a_drain_of_nothing_drops_at_once_and_one_without_end_waits() {
    let supervisor = Supervisor::new();
    let background = builder(&supervisor).drain(Duration::ZERO).start().unwrap();
    let task = background.spawn(pending::<()>());
    end(background).unwrap();
    assert_cancelled(task.wait(), Cancelled::Ended);

    let background = builder(&supervisor).drain(Duration::MAX).start().unwrap();
    let source = sundown::StopSource::new();
    let released = source.token().stopped();
    let task = background.spawn(async move {
        released.await;
        5
    });
    background.terminate();
    let Err(background) = background.join_timeout(Duration::from_millis(20)) else {
        panic!("it did not wait");
    };
    source.stop();
    assert_eq!(task.wait().unwrap(), 5);
    in_time(move || background.join()).unwrap();
}

#[test]
fn a_drain_is_cut_so_that_it_makes_no_straggler() {
    // By the shutdown's deadline.
    let supervisor = Supervisor::builder()
        .deadline(Duration::from_secs(2))
        .build();
    let background = builder(&supervisor).drain(LONG).start().unwrap();
    let task = background.spawn(pending::<()>());
    let report = supervisor.shutdown();
    assert!(report.is_clean(), "{report}");
    assert!(report.elapsed() >= Duration::from_millis(1400), "{report}");
    assert_cancelled(task.wait(), Cancelled::Ended);
    // By its own grace.
    let supervisor = Supervisor::new();
    let background2 = builder(&supervisor)
        .drain(LONG)
        .grace(Duration::from_secs(2))
        .start()
        .unwrap();
    let task = background2.spawn(pending::<()>());
    let report = supervisor.shutdown();
    assert!(report.is_clean(), "{report}");
    assert_cancelled(task.wait(), Cancelled::Ended);
    drop(background);
}

#[test]
fn a_task_that_blocks_the_loop_makes_a_straggler_and_holds_up_nobody_else() {
    let supervisor = Supervisor::builder()
        .deadline(Duration::from_secs(3))
        .build();
    let mut gate = Gate::new();
    let pass = gate.passer();
    let background = builder(&supervisor)
        .drain(Duration::from_millis(50))
        .start()
        .unwrap();
    let (began, begun) = bounded(1);
    // Waits for the loop, and cannot hear its own token: it must not be a straggler because of somebody else.
    let events: EventLoop = background.clone();
    let waiting = supervisor
        .worker()
        .name("waits".into())
        .spawn(move || events.block_on(pending::<()>()))
        .unwrap();
    let blocking = background.spawn(async move {
        began.send(()).unwrap();
        pass();
    });
    begun.recv_timeout(PATIENCE).unwrap();
    let report = supervisor.shutdown();
    let stragglers: Vec<_> = report
        .stragglers()
        .iter()
        .map(|entry| entry.name())
        .collect();
    assert_eq!(stragglers, [Some("loop")], "{report}");
    assert_eq!(waiting.join().unwrap(), Err(Cancelled::Ended));
    assert_eq!(background.block_on(async {}), Err(Cancelled::Ended));
    assert_cancelled(blocking.wait(), Cancelled::Ended);
    // It is not lost, only late.
    gate.open();
    in_time(move || background.join()).unwrap();
}

#[test]
fn blocking_threads_of_the_runtime_are_waited_for() {
    let supervisor = Supervisor::new();
    let background = builder(&supervisor).start().unwrap();
    let (began, begun) = bounded(1);
    let (sent, received) = bounded(1);
    let events: EventLoop = background.clone();
    let handle = background.handle().unwrap();
    handle.spawn_blocking(move || {
        began.send(()).unwrap();
        // Waits for what never comes, and then for a loop that has ended.
        let first = events.block_on(pending::<()>());
        let second = events.block_on(async {});
        sent.send((first, second)).unwrap();
    });
    begun.recv_timeout(PATIENCE).unwrap();
    let report = supervisor.shutdown();
    assert!(report.is_clean(), "{report}");
    let ended = Err(Cancelled::Ended);
    assert_eq!(received.try_recv(), Ok((ended, Err(Cancelled::Ended))));
    drop(background);
}

#[test]
fn loops_stop_in_reverse_creation_order_with_everything_else() {
    let supervisor = Supervisor::builder()
        .order(sundown::Order::OneByOne)
        .build();
    let journal = Journal::new();
    let events = |name: &'static str| {
        let journal = journal.clone();
        builder(&supervisor)
            .name(name)
            .task(move |ctx| async move {
                ctx.stop_token().stopped().await;
                tokio::time::sleep(Duration::from_millis(5)).await;
                journal.note(name);
            })
            .start()
            .unwrap()
    };
    let first = events("first");
    let worker = {
        let journal = journal.clone();
        let plain = supervisor.worker().spawn_with(move |stop| {
            stop.wait();
            journal.note("worker");
        });
        plain.unwrap()
    };
    let second = events("second");
    let third = events("third");
    let report = supervisor.shutdown();
    assert!(report.is_clean(), "{report}");
    assert_eq!(journal.lines(), ["third", "second", "worker", "first"]);
    let names: Vec<_> = report.entries().iter().map(|e| e.name()).collect();
    assert_eq!(names, [Some("third"), Some("second"), None, Some("first")]);
    drop((first, worker, second, third));
}

#[test]
fn a_loop_ends_with_its_main_task_and_joins_to_its_value() {
    let supervisor = Supervisor::new();
    let (sent, last) = bounded(1);
    let background = builder(&supervisor)
        .drain(LONG)
        .task(|ctx| async move {
            // Dropped handles: these go on until the loop drains.
            let events = ctx.clone();
            drop(ctx.spawn(async move {
                let told = events.until_stopped(pending::<()>()).await;
                sent.send(told.is_err()).unwrap();
            }));
            tokio::task::yield_now().await;
            "value".to_owned()
        })
        .start()
        .unwrap();
    assert_eq!(in_time(move || background.join()).unwrap(), "value");
    assert_eq!(last.try_recv(), Ok(true));
    assert!(supervisor.workers().is_empty());
}

#[test]
fn a_main_task_may_keep_what_is_not_send() {
    let background = builder(&Supervisor::new())
        .task(|_ctx| async {
            let local = std::rc::Rc::new(4);
            tokio::task::yield_now().await;
            *local
        })
        .start()
        .unwrap();
    assert_eq!(in_time(move || background.join()).unwrap(), 4);
}

#[test]
fn a_main_task_that_panics_ends_the_loop_and_the_worker() {
    for in_future in [false, true] {
        let supervisor = Supervisor::new();
        let mut gate = Gate::new();
        let pass = gate.passer();
        let background = builder(&supervisor)
            .critical()
            .task(move |_ctx| {
                pass();
                assert!(in_future, "a main task's panic");
                async { panic!("a main task's panic") }
            })
            .start();
        gate.open();
        let background: BackgroundThread<()> = background.unwrap();
        let cause = in_time({
            let supervisor = supervisor.clone();
            move || supervisor.wait_for_shutdown()
        });
        assert!(
            matches!(cause, Cause::WorkerEnded { panicked: true, .. }),
            "{cause}"
        );
        let error = in_time(move || background.join()).unwrap_err();
        let payload = error.into_panic().expect("a panic");
        assert_eq!(
            payload.downcast_ref::<&str>().copied(),
            Some("a main task's panic")
        );
    }
}

#[test]
fn a_main_task_that_does_not_listen_is_dropped_after_the_drain() {
    let supervisor = Supervisor::new();
    let (sent, dropped) = unbounded();
    let background = builder(&supervisor)
        .drain(Duration::from_millis(20))
        .task(|_ctx| async move {
            let _dropped = Dropped(sent);
            pending::<u8>().await
        })
        .start()
        .unwrap();
    let report = supervisor.shutdown();
    assert!(report.is_clean(), "{report}");
    assert!(matches!(report.entries()[0].outcome(), Outcome::Finished));
    assert_cancelled(background.join(), Cancelled::Ended);
    assert_eq!(dropped.try_recv(), Ok("dropped inside the runtime"));
}

#[test]
fn a_loop_started_during_the_shutdown_runs_its_main_task() {
    let supervisor = Supervisor::new();
    let (sent, received) = bounded(1);
    let late = supervisor.clone();
    let worker = supervisor.worker().spawn_with(move |stop| {
        stop.wait();
        let flush = builder(&late)
            .task(|ctx| async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                ctx.stop_token().is_stopped()
            })
            .start()
            .unwrap();
        sent.send(flush.join().unwrap()).unwrap();
    });
    let report = supervisor.shutdown();
    assert!(report.is_clean(), "{report}");
    assert_eq!(received.try_recv(), Ok(true));
    worker.unwrap().join().unwrap();
}

#[test]
fn work_is_taken_until_the_loop_is_drained() {
    let background = builder(&Supervisor::new()).drain(LONG).start().unwrap();
    let source = sundown::StopSource::new();
    let released = source.token().stopped();
    let keeps = background.spawn(released);
    background.terminate();
    // Told, but not drained: others may still need it for their own clean-up.
    for n in 0..100 {
        assert_eq!(background.block_on(async move { n }), Ok(n));
    }
    source.stop();
    keeps.wait().unwrap();
    in_time(move || background.join()).unwrap();
}

#[test]
fn every_task_is_over_whenever_the_loop_is_told() {
    let supervisor = Supervisor::new();
    for round in 0..50 {
        let background = builder(&supervisor)
            .drain(Duration::from_millis(1))
            .start()
            .unwrap();
        let stop = thread::scope(|scope| {
            let submitters: Vec<_> = (0..2)
                .map(|n| {
                    let events: EventLoop = background.clone();
                    scope.spawn(move || submit_until_refused(&events, n))
                })
                .collect();
            // At another point each time.
            for _ in 0..round * 20 {
                std::hint::spin_loop();
            }
            background.terminate();
            submitters
                .into_iter()
                .map(|submitter| submitter.join().unwrap())
                .collect::<Vec<_>>()
        });
        in_time(move || background.join()).unwrap();
        for tasks in stop {
            for task in tasks {
                // All of them are over already: nobody is left behind.
                let over = task.wait_timeout(Duration::ZERO).expect("it is over");
                if let Err(error) = over {
                    assert_cancelled::<()>(Err(error), Cancelled::Ended);
                }
            }
        }
    }
}

fn submit_until_refused(events: &EventLoop, n: u32) -> Vec<Task<()>> {
    let mut tasks = Vec::new();
    loop {
        tasks.push(events.spawn(async move {
            if n == 0 {
                pending::<()>().await;
            }
        }));
        tasks.push(events.call(|| ()));
        let refused = events.spawn(async {});
        if refused.is_finished() && matches!(refused.wait(), Err(TaskError::Cancelled(_))) {
            return tasks;
        }
        if tasks.len() > 10_000 {
            std::thread::yield_now();
        }
    }
}

#[test]
fn destructors_may_hand_over_work_and_wait_in_vain() {
    struct Asks(
        EventLoop,
        Sender<(Result<(), Cancelled>, Result<u8, TaskError>)>,
    );
    impl Drop for Asks {
        fn drop(&mut self) {
            let own = self.0.block_on(async {});
            let task = self.0.spawn(async { 1 });
            let (sent, events) = (self.1.clone(), self.0.clone());
            std::thread::spawn(move || {
                let _keep = events;
                let _ = sent.send((own, task.wait()));
            });
        }
    }
    let background = builder(&Supervisor::new())
        .drain(Duration::from_millis(5))
        .start()
        .unwrap();
    let (sent, received): (_, Receiver<_>) = bounded(1);
    let asks = Asks(background.clone(), sent);
    drop(background.spawn(async move {
        let _asks = asks;
        pending::<()>().await;
    }));
    end(background).unwrap();
    let (own, task) = received.recv_timeout(PATIENCE).unwrap();
    assert_eq!(own, Err(Cancelled::OwnThread));
    assert_cancelled(task, Cancelled::Ended);
}

#[test]
fn a_callback_of_the_token_that_hangs_does_not_keep_the_loop_from_hearing() {
    let supervisor = Supervisor::builder()
        .deadline(Duration::from_secs(8))
        .build();
    let background = builder(&supervisor).start().unwrap();
    let mut gate = Gate::new();
    let pass = gate.passer();
    let callback = background.stop_token().on_stop(pass);
    let report = supervisor.shutdown();
    // The callback is what hangs, which the report says; the loop has ended, long before the deadline.
    assert_eq!(
        report.entries()[0].outcome(),
        &Outcome::Finished,
        "{report}"
    );
    assert!(report.elapsed() < Duration::from_secs(6), "{report}");
    gate.open();
    in_time(move || background.join()).unwrap();
    drop(callback);
}

#[test]
fn a_thread_that_waits_sees_the_panic_of_a_future_while_the_loop_ends() {
    let background = builder(&Supervisor::new()).drain(LONG).start().unwrap();
    let events: EventLoop = background.clone();
    let (began, begun) = bounded(1);
    let waiter = std::thread::spawn(move || {
        let inner = events.clone();
        catch_unwind(AssertUnwindSafe(|| {
            events.block_on(async move {
                began.send(()).unwrap();
                let _ = inner.until_stopped(pending::<()>()).await;
                std::panic::panic_any(77_u8);
            })
        }))
    });
    begun.recv_timeout(PATIENCE).unwrap();
    background.terminate();
    let payload = in_time(move || waiter.join().unwrap()).unwrap_err();
    assert_eq!(payload.downcast_ref::<u8>(), Some(&77));
    in_time(move || background.join()).unwrap();
}

#[test]
fn a_handle_that_is_dropped_detaches_the_loop() {
    let supervisor = Supervisor::new();
    let events: EventLoop = builder(&supervisor).start().unwrap().clone();
    assert_eq!(events.block_on(async { 3 }), Ok(3));
    assert_eq!(supervisor.workers().len(), 1);
    let began = Instant::now();
    assert!(supervisor.shutdown().is_clean());
    assert!(began.elapsed() < PATIENCE);
    assert_eq!(events.block_on(async { 3 }), Err(Cancelled::Ended));
}

#[test]
fn many_loops_end_together() {
    let supervisor = Supervisor::new();
    let loops: Vec<_> = (0..50)
        .map(|_| Arc::new(builder(&supervisor).start().unwrap()))
        .collect();
    for (n, background) in loops.iter().enumerate() {
        assert_eq!(background.block_on(async move { n }), Ok(n));
    }
    let report = supervisor.shutdown();
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.entries().len(), 50);
}

//! A pool: its jobs can be cancelled, wait for one another, and all come to an end.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use crossbeam_channel::{bounded, unbounded, Sender};
use sundown::pool::{Pending, TrySubmitError};
use sundown::{Cancel, Cancelled, EntryKind, Outcome, Pool, Supervisor, Task, TaskError};
use support::{in_time, timed, Gate, Journal, PATIENCE};

fn pool(workers: usize) -> Pool {
    pool_of(&Supervisor::new(), workers)
}

fn pool_of(supervisor: &Supervisor, workers: usize) -> Pool {
    let pool = Pool::builder().supervisor(supervisor).workers(workers);
    pool.build().unwrap()
}

/// Keeps a worker busy until the gate opens; returns when it is.
fn occupy(pool: &Pool, gate: &Gate) -> Task<()> {
    let (began, begun) = bounded(1);
    let pass = gate.passer();
    let task = pool.submit(move || {
        began.send(()).unwrap();
        pass();
    });
    begun.recv_timeout(PATIENCE).unwrap();
    task
}

fn assert_cancelled<T>(result: Result<T, TaskError>, why: Cancelled) {
    match result {
        Err(TaskError::Cancelled(how)) => assert_eq!(how, why),
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it ran"),
    }
}

/// Says when it is dropped.
struct Dropped(Sender<&'static str>, &'static str);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(self.1);
    }
}

// ---- jobs

#[test]
fn jobs_run_in_order_on_one_worker_and_give_their_values() {
    let pool = pool(1);
    let (sink, order) = unbounded();
    let tasks: Vec<_> = (0..100)
        .map(|n| {
            let sink = sink.clone();
            pool.submit(move || {
                sink.send(n).unwrap();
                n * 2
            })
        })
        .collect();
    let values: Vec<_> = tasks.iter().map(|task| task.wait().unwrap()).collect();
    assert_eq!(values, (0..100).map(|n| n * 2).collect::<Vec<_>>());
    assert_eq!(
        order.try_iter().collect::<Vec<_>>(),
        (0..100).collect::<Vec<_>>()
    );
}

#[test]
fn as_many_jobs_run_at_a_time_as_there_are_workers() {
    let pool = pool(3);
    let barrier = Arc::new(Barrier::new(3));
    let tasks: Vec<_> = (0..3)
        .map(|_| {
            let barrier = Arc::clone(&barrier);
            pool.submit(move || barrier.wait().is_leader())
        })
        .collect();
    let leaders = tasks.iter().filter(|task| task.wait().unwrap()).count();
    assert_eq!(leaders, 1);
    assert_eq!(pool.workers(), 3);
}

#[test]
fn a_panic_takes_neither_its_thread_nor_the_pool_along() {
    let pool = pool(1);
    let thread = pool.submit(|| std::thread::current().id()).wait().unwrap();
    let error = pool
        .submit(|| std::panic::panic_any(7_u32))
        .wait()
        .unwrap_err();
    assert_eq!(*error.into_panic().unwrap().downcast::<u32>().unwrap(), 7);
    assert_eq!(
        pool.submit(|| std::thread::current().id()).wait().unwrap(),
        thread
    );
}

/// Panics when dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a destructor's");
    }
}

#[test]
fn destructors_that_panic_do_no_harm_either() {
    let pool = pool(1);
    drop(pool.submit(|| Bomb)); // dropped by the worker, as nobody has the task
    let bomb = pool.submit(|| Bomb);
    std::mem::forget(bomb.wait());
    let mut gate = Gate::new();
    let held = occupy(&pool, &gate);
    let captured = Bomb;
    let task = pool.submit(move || std::mem::forget(captured));
    assert_eq!(task.cancel(), Cancel::Prevented); // drops what it captured
    assert_cancelled(task.wait(), Cancelled::OnRequest);
    gate.open();
    held.wait().unwrap();
    assert_eq!(pool.submit(|| 1).wait().unwrap(), 1);
}

#[test]
fn a_dropped_task_runs_all_the_same() {
    let pool = pool(1);
    let (sink, ran) = bounded(1);
    drop(pool.submit(move || sink.send(()).unwrap()));
    ran.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn a_detached_job_runs_and_its_panic_does_no_harm() {
    let pool = pool(1);
    let (sink, ran) = bounded(1);
    pool.execute(|| panic!("nobody waits for this")).unwrap();
    pool.execute(|| std::panic::panic_any(Bomb)).unwrap();
    pool.execute(move || sink.send(()).unwrap()).unwrap();
    ran.recv_timeout(PATIENCE).unwrap();
    pool.shutdown(Pending::Cancel);
    assert_eq!(pool.execute(|| unreachable!()), Err(Cancelled::Ended));
}

#[test]
fn detached_jobs_that_are_pending_are_dropped_or_drained_with_the_pool() {
    for (pending, ran) in [(Pending::Cancel, 0), (Pending::Drain, 50)] {
        let pool = pool(1);
        let mut gate = Gate::new();
        let _held = occupy(&pool, &gate);
        let (sink, said) = unbounded();
        for _ in 0..50 {
            let (sink, holds) = (sink.clone(), Dropped(sink.clone(), "dropped"));
            let job = move || {
                let _holds = holds;
                sink.send("ran").unwrap();
            };
            pool.execute(job).unwrap();
        }
        let pool = Arc::new(pool);
        let down = {
            let pool = Arc::clone(&pool);
            std::thread::spawn(move || pool.shutdown(pending))
        };
        while !matches!(pool.try_submit(|| ()), Err(TrySubmitError::Ended(_))) {
            std::thread::yield_now();
        }
        gate.open();
        assert!(down.join().unwrap().is_clean());
        let said: Vec<_> = said.try_iter().collect();
        assert_eq!(said.iter().filter(|what| **what == "ran").count(), ran);
        assert_eq!(said.iter().filter(|what| **what == "dropped").count(), 50);
    }
}

// ---- cancel

#[test]
fn a_job_that_has_not_begun_is_prevented_and_lets_go_of_what_it_holds() {
    let pool = pool(1);
    let mut gate = Gate::new();
    let held = occupy(&pool, &gate);
    let (sink, dropped) = bounded(1);
    let holds = Dropped(sink, "let go");
    let task = pool.submit(move || {
        let _holds = holds;
        unreachable!("it was cancelled")
    });
    assert!(!task.is_finished());
    assert_eq!(task.cancel(), Cancel::Prevented);
    assert_eq!(dropped.try_recv(), Ok("let go"));
    assert!(task.is_finished());
    assert_eq!(task.cancel(), Cancel::TooLate);
    assert_cancelled::<()>(task.wait(), Cancelled::OnRequest);
    gate.open();
    held.wait().unwrap();
}

#[test]
fn a_running_job_is_asked_by_its_own_token_and_by_no_other() {
    let pool = pool(2);
    let (began, begun) = bounded(2);
    let job = |began: Sender<()>| {
        move |stop: sundown::StopToken| {
            began.send(()).unwrap();
            stop.wait();
            "heard"
        }
    };
    let first = pool.submit_with(job(began.clone()));
    let second = pool.submit_with(job(began));
    begun.recv_timeout(PATIENCE).unwrap();
    begun.recv_timeout(PATIENCE).unwrap();
    assert_eq!(first.cancel(), Cancel::Requested);
    assert_eq!(first.wait().unwrap(), "heard");
    assert_eq!(first.cancel(), Cancel::TooLate);
    assert!(second.wait_timeout(Duration::from_millis(20)).is_none());
    assert_eq!(second.cancel(), Cancel::Requested);
    assert_eq!(second.wait().unwrap(), "heard");
}

#[test]
fn a_cancel_that_races_with_the_beginning_is_heard_whoever_wins() {
    let pool = pool(2);
    let ran = Arc::new(AtomicUsize::new(0));
    let mut prevented = 0;
    for _ in 0..2000 {
        let counted = Arc::clone(&ran);
        let task = pool.submit_with(move |stop| {
            counted.fetch_add(1, Ordering::Relaxed);
            stop.wait(); // for ever, if the cancel is lost
        });
        match task.cancel() {
            Cancel::Prevented => {
                prevented += 1;
                assert_cancelled(task.wait(), Cancelled::OnRequest);
            }
            Cancel::Requested => task.wait().unwrap(),
            Cancel::TooLate => panic!("it waits for the cancel"),
        }
    }
    assert_eq!(ran.load(Ordering::Relaxed) + prevented, 2000);
}

// ---- waiting

#[test]
fn after_a_wait_that_timed_out_the_job_goes_on_and_can_be_waited_for_again() {
    let pool = pool(1);
    let mut gate = Gate::new();
    let pass = gate.passer();
    let task = pool.submit(move || {
        pass();
        5
    });
    let (early, took) = timed(|| task.wait_timeout(Duration::from_millis(30)));
    assert!(early.is_none() && took >= Duration::from_millis(30));
    assert!(!task.is_finished());
    gate.open();
    assert_eq!(task.wait().unwrap(), 5);
    assert!(matches!(task.wait(), Err(TaskError::Taken)));
}

#[test]
fn a_job_that_waits_for_a_queued_job_of_its_pool_runs_it() {
    in_time(|| {
        let pool = Arc::new(pool(1));
        let inner = Arc::clone(&pool);
        let task = pool.submit(move || inner.submit(|| 20).wait().unwrap() + 1);
        assert_eq!(task.wait().unwrap(), 21);
    });
}

fn fib(pool: &Arc<Pool>, n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let inner = Arc::clone(pool);
    let left = pool.submit(move || fib(&inner, n - 1));
    let inner = Arc::clone(pool);
    let right = pool.submit(move || fib(&inner, n - 2));
    left.wait().unwrap() + right.wait().unwrap()
}

#[test]
fn jobs_that_fork_and_join_come_to_an_end_however_few_workers_there_are() {
    for (workers, queue) in [(1, 1024), (2, 1024), (2, 1), (3, 0)] {
        in_time(move || {
            let pool = Pool::builder().supervisor(&Supervisor::new());
            let pool = Arc::new(pool.workers(workers).queue(queue).build().unwrap());
            assert_eq!(fib(&pool, 11), 89);
        });
    }
}

#[test]
fn a_chain_of_jobs_that_wait_for_one_another_does_not_eat_the_stack() {
    fn link(pool: &Arc<Pool>, n: u32) -> u32 {
        if n == 0 {
            return 0;
        }
        let inner = Arc::clone(pool);
        pool.submit(move || link(&inner, n - 1)).wait().unwrap() + 1
    }
    in_time(|| {
        let pool = Arc::new(pool(1));
        let inner = Arc::clone(&pool);
        assert_eq!(
            pool.submit(move || link(&inner, 2000)).wait().unwrap(),
            2000
        );
    });
}

#[test]
fn while_a_job_waits_others_run_in_its_stead_also_those_queued_later() {
    in_time(|| {
        let pool = Arc::new(pool(2));
        let (key, lock) = bounded::<()>(0);
        let (began, begun) = bounded(2);
        let told = began.clone();
        let runs = Arc::new(pool.submit(move || {
            told.send(()).unwrap();
            lock.recv().unwrap(); // until a job that is queued later sends
            1
        }));
        let theirs = Arc::clone(&runs);
        let waits = pool.submit(move || {
            began.send(()).unwrap();
            theirs.wait().unwrap()
        });
        begun.recv().unwrap();
        begun.recv().unwrap();
        // Both workers are taken.
        let frees = pool.submit(move || key.send(()).unwrap());
        frees.wait().unwrap();
        assert_eq!(waits.wait().unwrap(), 1);
    });
}

#[test]
fn threads_that_stood_in_leave_when_they_are_not_needed() {
    in_time(|| {
        let supervisor = Supervisor::new();
        let pool = Arc::new(pool_of(&supervisor, 1));
        for _ in 0..50 {
            let (key, lock) = bounded::<()>(1);
            let inner = Arc::clone(&pool);
            let task = pool.submit(move || {
                let inner_task = inner.submit(move || lock.recv().unwrap());
                // A limited wait does not run it itself: another thread does.
                assert!(inner_task.wait_timeout(Duration::from_millis(1)).is_none());
                key.send(()).unwrap();
                inner_task.wait().unwrap();
            });
            task.wait().unwrap();
        }
        let limit = Instant::now() + PATIENCE;
        while supervisor.workers().len() > 1 {
            assert!(Instant::now() < limit, "{:?}", supervisor.workers());
            std::thread::yield_now();
        }
        // And still there is one who works.
        assert_eq!(pool.submit(|| 3).wait().unwrap(), 3);
    });
}

#[test]
fn a_job_that_waits_for_itself_is_told_so() {
    in_time(|| {
        let pool = pool(1);
        let (hand, own) = bounded::<Task<()>>(1);
        let (sink, said) = bounded(1);
        hand.send(pool.submit(move || {
            let own = own.recv().unwrap();
            sink.send(own.wait()).unwrap();
        }))
        .unwrap();
        assert_cancelled(said.recv_timeout(PATIENCE).unwrap(), Cancelled::Circular);
    });
}

#[test]
fn jobs_that_wait_in_a_circle_are_told_so_also_across_pools() {
    in_time(|| {
        let (one, two) = (pool(1), pool(1));
        let (to_first, second_task) = bounded::<Task<bool>>(1);
        let (to_second, first_task) = bounded::<Task<bool>>(1);
        // Each waits for the other; exactly one of them closes the circle.
        let circular = |result: Result<bool, TaskError>| match result {
            Err(TaskError::Cancelled(Cancelled::Circular)) => true,
            Ok(_) => false,
            Err(error) => panic!("{error:?}"),
        };
        let (sink, said) = unbounded();
        let told = sink.clone();
        let first = one.submit(move || {
            let result = circular(second_task.recv().unwrap().wait());
            told.send(result).unwrap();
            result
        });
        let second = two.submit(move || {
            let result = circular(first_task.recv().unwrap().wait());
            sink.send(result).unwrap();
            result
        });
        to_second.send(first).unwrap();
        to_first.send(second).unwrap();
        let said: Vec<bool> = said.iter().take(2).collect();
        assert_eq!(
            said.iter().filter(|circular| **circular).count(),
            1,
            "{said:?}"
        );
    });
}

// ---- the queue

#[test]
fn submit_waits_for_room_and_try_submit_gives_the_job_back() {
    let pool = Pool::builder().supervisor(&Supervisor::new());
    let pool = Arc::new(pool.workers(1).queue(1).build().unwrap());
    let mut gate = Gate::new();
    let held = occupy(&pool, &gate);
    let queued = pool.submit(|| 1);
    assert_eq!(pool.pending(), 1);
    let full = pool.try_submit(|| 2);
    let Err(TrySubmitError::Full(job)) = full else {
        panic!("{full:?}")
    };
    assert_eq!(job(), 2);
    let (done, handed_in) = bounded(1);
    let blocked = Arc::clone(&pool);
    let blocks = std::thread::spawn(move || {
        let task = blocked.submit(|| 3);
        done.send(()).unwrap();
        task.wait().unwrap()
    });
    assert!(handed_in.recv_timeout(Duration::from_millis(50)).is_err());
    gate.open();
    assert_eq!(blocks.join().unwrap(), 3);
    assert_eq!(queued.wait().unwrap(), 1);
    held.wait().unwrap();
}

#[test]
fn a_job_may_hand_in_more_than_the_queue_holds() {
    in_time(|| {
        let pool = Pool::builder().supervisor(&Supervisor::new());
        let pool = Arc::new(pool.workers(1).queue(1).build().unwrap());
        let inner = Arc::clone(&pool);
        let task = pool.submit(move || {
            let tasks: Vec<_> = (0..20).map(|n| inner.submit(move || n)).collect();
            tasks.iter().map(|task| task.wait().unwrap()).sum::<u32>()
        });
        assert_eq!(task.wait().unwrap(), 190);
    });
}

#[test]
fn a_queue_of_0_hands_each_job_to_a_worker_that_is_free() {
    in_time(|| {
        let pool = Pool::builder().supervisor(&Supervisor::new());
        let pool = pool.workers(1).queue(0).build().unwrap();
        let mut gate = Gate::new();
        let held = occupy(&pool, &gate);
        assert!(matches!(
            pool.try_submit(|| 1),
            Err(TrySubmitError::Full(_))
        ));
        gate.open();
        held.wait().unwrap();
        assert_eq!(pool.submit(|| 2).wait().unwrap(), 2); // waits until the worker is free
    });
}

#[test]
fn a_pool_of_0_workers_is_an_error_that_says_what_to_do() {
    let error = Pool::builder().workers(0).build().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("1 or more"), "{error}");
    let error = Pool::builder().name("a\0b").build().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

// ---- the end

#[test]
fn a_shutdown_that_cancels_what_is_pending_lets_the_running_finish() {
    let supervisor = Supervisor::new();
    let pool = pool_of(&supervisor, 2);
    let mut gate = Gate::new();
    let running = [occupy(&pool, &gate), occupy(&pool, &gate)];
    let queued: Vec<_> = (0..50).map(|_| pool.submit(|| ())).collect();
    let down = {
        let supervisor = supervisor.clone();
        std::thread::spawn(move || supervisor.shutdown())
    };
    // Cancelled at once, although both workers are busy.
    for task in &queued {
        let result = task.wait_timeout(PATIENCE).expect("it stays in the queue");
        assert_cancelled(result, Cancelled::Ended);
    }
    assert!(running.iter().all(|task| !task.is_finished()));
    gate.open();
    let report = down.join().unwrap();
    assert!(report.is_clean(), "{report}");
    for task in running {
        task.wait().unwrap();
    }
    let pool_entry = &report.entries()[0];
    assert_eq!(
        (pool_entry.kind(), pool_entry.name()),
        (EntryKind::Supervisor, Some("pool"))
    );
    assert_eq!(report.entries().len(), 3);
    assert_cancelled(pool.submit(|| ()).wait(), Cancelled::Ended);
    assert!(matches!(
        pool.try_submit(|| ()),
        Err(TrySubmitError::Ended(_))
    ));
}

#[test]
fn a_shutdown_trips_the_tokens_of_running_jobs() {
    let supervisor = Supervisor::new();
    let pool = pool_of(&supervisor, 1);
    let (began, begun) = bounded(1);
    let task = pool.submit_with(move |stop| {
        began.send(()).unwrap();
        stop.wait();
        "heard"
    });
    begun.recv_timeout(PATIENCE).unwrap();
    assert!(supervisor.shutdown().is_clean());
    assert_eq!(task.wait().unwrap(), "heard");
}

#[test]
fn a_shutdown_that_drains_carries_out_what_is_pending() {
    let supervisor = Supervisor::new();
    let pool = Pool::builder().supervisor(&supervisor).workers(2);
    let pool = pool.pending(Pending::Drain).build().unwrap();
    let mut gate = Gate::new();
    let held = [occupy(&pool, &gate), occupy(&pool, &gate)];
    let queued: Vec<_> = (0..50).map(|n| pool.submit(move || n)).collect();
    let down = {
        let supervisor = supervisor.clone();
        std::thread::spawn(move || supervisor.shutdown())
    };
    while !matches!(pool.try_submit(|| ()), Err(TrySubmitError::Ended(_))) {
        std::thread::yield_now();
    }
    gate.open();
    assert!(down.join().unwrap().is_clean());
    let values: Vec<_> = queued.iter().map(|task| task.wait().unwrap()).collect();
    assert_eq!(values, (0..50).collect::<Vec<_>>());
    held.iter().for_each(|task| task.wait().unwrap());
}

#[test]
fn what_its_own_shutdown_is_told_counts_whatever_the_pool_was_built_for() {
    let pool = pool(1); // built to cancel
    let mut gate = Gate::new();
    let _held = occupy(&pool, &gate);
    let queued: Vec<_> = (0..50).map(|n| pool.submit(move || n)).collect();
    let pool = Arc::new(pool);
    let down = {
        let pool = Arc::clone(&pool);
        std::thread::spawn(move || pool.shutdown(Pending::Drain))
    };
    while !matches!(pool.try_submit(|| ()), Err(TrySubmitError::Ended(_))) {
        std::thread::yield_now();
    }
    gate.open();
    assert!(down.join().unwrap().is_clean());
    assert!(queued
        .iter()
        .enumerate()
        .all(|(n, task)| task.wait().unwrap() == n));
}

#[test]
fn a_drain_that_takes_too_long_cancels_the_rest_at_the_end_of_its_time() {
    let supervisor = Supervisor::builder()
        .deadline(Duration::from_millis(300))
        .build();
    let pool = Pool::builder().supervisor(&supervisor).workers(1);
    let pool = pool.pending(Pending::Drain).build().unwrap();
    let tasks: Vec<_> = (0..1000)
        .map(|_| pool.submit(|| std::thread::sleep(Duration::from_millis(5))))
        .collect();
    let (_, took) = timed(|| supervisor.shutdown());
    assert!(
        took >= Duration::from_millis(300) && took < PATIENCE,
        "{took:?}"
    );
    let mut cancelled = 0;
    for task in &tasks {
        match task
            .wait_timeout(PATIENCE)
            .expect("every task comes to an end")
        {
            Ok(()) => assert_eq!(cancelled, 0, "none begins after one was cancelled"),
            Err(TaskError::Cancelled(Cancelled::Ended)) => cancelled += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(cancelled > 800, "{cancelled}");
}

#[test]
fn a_job_that_does_not_end_is_a_straggler_and_holds_up_nobody_else() {
    let supervisor = Supervisor::builder()
        .deadline(Duration::from_millis(200))
        .build();
    let pool = pool_of(&supervisor, 1);
    let gate = Gate::new();
    let stuck = occupy(&pool, &gate);
    let queued = pool.submit(|| ());
    let report = pool.shutdown(Pending::Drain);
    assert_eq!(report.stragglers().len(), 1);
    assert_eq!(report.entries()[0].outcome(), &Outcome::Straggler);
    assert!(!stuck.is_finished());
    // `Cancel` said later still cancels what is left.
    pool.shutdown(Pending::Cancel);
    assert_cancelled(queued.wait_timeout(PATIENCE).unwrap(), Cancelled::Ended);
}

#[test]
fn a_dropped_pool_is_told_and_joined() {
    let (sink, gone) = bounded(1);
    let pool = pool(1);
    let (began, begun) = bounded(1);
    let task = pool.submit_with(move |stop| {
        let _says = Dropped(sink, "gone");
        began.send(()).unwrap();
        stop.wait();
    });
    begun.recv_timeout(PATIENCE).unwrap();
    let queued = pool.submit(|| ());
    drop(pool);
    assert_eq!(gone.try_recv(), Ok("gone"));
    task.wait().unwrap();
    assert_cancelled(queued.wait(), Cancelled::Ended);
}

#[test]
fn a_job_may_drop_its_own_pool() {
    in_time(|| {
        let supervisor = Supervisor::new();
        let (hand, own) = bounded::<Pool>(1);
        let pool = pool_of(&supervisor, 1);
        let task = pool.submit(move || drop(own.recv().unwrap()));
        hand.send(pool).unwrap();
        task.wait().unwrap();
    });
}

#[test]
fn join_timeout_waits_for_what_is_pending_and_gives_the_pool_back() {
    let pool = pool(1);
    let mut gate = Gate::new();
    let held = occupy(&pool, &gate);
    let queued = pool.submit(|| 4);
    let (result, took) = timed(|| pool.join_timeout(Duration::from_millis(50)));
    assert!(took >= Duration::from_millis(50));
    let pool = result.unwrap_err();
    assert!(matches!(
        pool.try_submit(|| ()),
        Err(TrySubmitError::Ended(_))
    ));
    gate.open();
    pool.join_timeout(PATIENCE).unwrap();
    assert!(held.is_finished() && queued.is_finished());
    assert_eq!(queued.wait().unwrap(), 4);
}

#[test]
fn in_a_shutdown_the_pool_takes_jobs_until_its_turn_and_is_gone_before_older_ones_are_told() {
    let supervisor = Supervisor::new();
    let journal = Journal::new();
    let _older = supervisor
        .worker()
        .on_terminate(journal.noter("older told"))
        .spawn_with(|stop| stop.wait())
        .unwrap();
    let pool = Arc::new(
        Pool::builder()
            .supervisor(&supervisor)
            .pending(Pending::Drain)
            .build()
            .unwrap(),
    );
    let (ours, theirs) = (journal.clone(), Arc::clone(&pool));
    supervisor.on_shutdown("newer", move || {
        // The shutdown is under way, and the pool has not been told.
        let job = ours.clone();
        let task = theirs.submit(move || job.note("a job of the clean-up"));
        task.wait().unwrap();
        let job = ours.clone();
        drop(theirs.submit(move || job.note("another, which is drained")));
    });
    let report = supervisor.shutdown();
    assert!(report.is_clean(), "{report}");
    assert_eq!(
        journal.lines(),
        [
            "a job of the clean-up",
            "another, which is drained",
            "older told"
        ]
    );
}

#[test]
fn submitters_that_wait_for_room_are_released_when_the_pool_ends() {
    in_time(|| {
        let pool = Pool::builder().supervisor(&Supervisor::new());
        let pool = Arc::new(pool.workers(1).queue(1).build().unwrap());
        let mut gate = Gate::new();
        let held = occupy(&pool, &gate);
        let barrier = Arc::new(Barrier::new(11));
        let blocked: Vec<_> = (0..10)
            .map(|_| {
                let (pool, barrier) = (Arc::clone(&pool), Arc::clone(&barrier));
                std::thread::spawn(move || {
                    barrier.wait();
                    pool.submit(|| ()).wait()
                })
            })
            .collect();
        barrier.wait();
        let down = {
            let pool = Arc::clone(&pool);
            std::thread::spawn(move || pool.shutdown(Pending::Cancel))
        };
        for thread in blocked {
            assert_cancelled(thread.join().unwrap(), Cancelled::Ended);
        }
        gate.open();
        assert!(down.join().unwrap().is_clean());
        held.wait().unwrap();
    });
}

#[test]
fn no_task_is_lost_when_submitting_races_with_the_end() {
    for round in 0..200 {
        let pending = [Pending::Cancel, Pending::Drain][round % 2];
        in_time(move || {
            let pool = Pool::builder().supervisor(&Supervisor::new());
            let pool = Arc::new(
                pool.workers(2)
                    .queue([0, 1, 64][round % 3])
                    .build()
                    .unwrap(),
            );
            let barrier = Arc::new(Barrier::new(3));
            let submitters: Vec<_> = (0..2)
                .map(|_| {
                    let (pool, barrier) = (Arc::clone(&pool), Arc::clone(&barrier));
                    std::thread::spawn(move || {
                        barrier.wait();
                        (0..50).map(|_| pool.submit(|| ())).collect::<Vec<_>>()
                    })
                })
                .collect();
            barrier.wait();
            assert!(pool.shutdown(pending).is_clean());
            for task in submitters
                .into_iter()
                .flat_map(|thread| thread.join().unwrap())
            {
                match task.wait() {
                    Ok(()) | Err(TaskError::Cancelled(Cancelled::Ended)) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
        });
    }
}

// ---- many jobs

#[test]
fn map_gives_results_in_order_and_each_error_in_its_place() {
    let pool = pool(3);
    let jobs = (0..200_u64).map(|n| {
        move || {
            std::thread::sleep(Duration::from_micros(n * 37 % 200));
            assert!(n % 50 != 49, "one of fifty");
            n
        }
    });
    for (n, result) in pool.map(jobs).enumerate() {
        match result {
            Ok(value) => assert_eq!(value, n as u64),
            Err(error) => assert!(n % 50 == 49 && error.into_panic().is_some()),
        }
    }
}

#[test]
fn as_completed_gives_what_is_ready_first() {
    let pool = pool(2);
    let mut gate = Gate::new();
    let pass = gate.passer();
    let jobs: Vec<Box<dyn FnOnce() -> u32 + Send>> = vec![
        Box::new(move || {
            pass();
            1
        }),
        Box::new(|| 2),
        Box::new(|| panic!("the third")),
    ];
    let mut results = pool.as_completed(jobs);
    let first_two = [results.next().unwrap(), results.next().unwrap()];
    assert!(first_two.iter().any(|result| matches!(result, Ok(2))));
    assert!(first_two.iter().any(Result::is_err));
    gate.open();
    assert_eq!(results.next().unwrap().unwrap(), 1);
    assert!(results.next().is_none());
}

#[test]
fn iterators_without_an_end_are_handed_in_as_results_are_taken() {
    let pool = pool(2);
    let made = AtomicUsize::new(0);
    let endless = || {
        std::iter::from_fn(|| {
            let n = made.fetch_add(1, Ordering::Relaxed);
            Some(move || n)
        })
    };
    assert_eq!(
        pool.map(endless())
            .take(3)
            .filter_map(Result::ok)
            .collect::<Vec<_>>(),
        [0, 1, 2]
    );
    assert!(made.load(Ordering::Relaxed) < 30);
    assert_eq!(
        pool.as_completed(endless())
            .take(100)
            .filter_map(Result::ok)
            .count(),
        100
    );
}

#[test]
fn inside_a_job_they_need_no_second_worker() {
    in_time(|| {
        let pool = Arc::new(pool(1));
        let inner = Arc::clone(&pool);
        let task = pool.submit(move || {
            let in_order: u32 = inner
                .map((0..20).map(|n| move || n))
                .map(Result::unwrap)
                .sum();
            let as_they_come = inner.as_completed((0..20).map(|n| move || n));
            in_order + as_they_come.map(Result::unwrap).sum::<u32>()
        });
        assert_eq!(task.wait().unwrap(), 380);
    });
}

#[test]
fn when_the_pool_ends_both_still_give_every_job_its_result() {
    let pool = pool(1);
    pool.shutdown(Pending::Cancel);
    let ended =
        |result: &Result<u32, TaskError>| result.as_ref().is_err_and(TaskError::is_cancelled);
    assert_eq!(pool.map((0..9).map(|n| move || n)).filter(ended).count(), 9);
    assert_eq!(
        pool.as_completed((0..9).map(|n| move || n))
            .filter(ended)
            .count(),
        9
    );
}

// ---- as a future

#[test]
fn a_task_is_a_future() {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Wake};

    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let pool = pool(1);
    let mut gate = Gate::new();
    let pass = gate.passer();
    let mut task = pool.submit(move || {
        pass();
        6
    });
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = Context::from_waker(&waker);
    assert!(Pin::new(&mut task).poll(&mut context).is_pending());
    gate.open();
    loop {
        match Pin::new(&mut task).poll(&mut context) {
            Poll::Ready(value) => break assert_eq!(value.unwrap(), 6),
            Poll::Pending => std::thread::park(),
        }
    }
}

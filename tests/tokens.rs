//! Stop tokens: who waits wakes, what is registered runs once, and whoever asks is told why and until when.

mod support;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use crossbeam_channel::{bounded, select, unbounded};
use sundown::{
    CallbackFault, Cause, Never, Outcome, StopReason, StopSource, StopToken, Supervisor,
};
use support::{in_time, timed, Gate, Journal, PATIENCE};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

// ---- waiting and selecting

#[test]
fn a_deadline_that_comes_before_those_that_are_set_fires_in_its_time() {
    let source = StopSource::new();
    let far = source.token().child_with_timeout(Duration::from_secs(3600));
    // The timer sleeps for an hour, or is about to.
    for _ in 0..20 {
        let (fire, fired) = bounded(1);
        let near = source.token().child_with_timeout(ms(20));
        let callback = near.token().on_stop(move || fire.send(()).unwrap());
        fired.recv_timeout(PATIENCE).expect("it fires");
        drop(callback);
    }
    assert!(!far.is_stopped());
}

#[test]
fn a_thousand_waiters_wake() {
    in_time(|| {
        let source = StopSource::new();
        let (ready, all_ready) = bounded(0);
        let waiters: Vec<_> = (0..1000)
            .map(|_| {
                let (token, ready) = (source.token(), ready.clone());
                let thread = std::thread::Builder::new().stack_size(64 * 1024);
                let thread = thread.spawn(move || {
                    ready.send(()).unwrap();
                    token.wait();
                    token.is_stopped()
                });
                thread.unwrap()
            })
            .collect();
        for _ in &waiters {
            all_ready.recv_timeout(PATIENCE).unwrap();
        }
        assert!(waiters.iter().all(|waiter| !waiter.is_finished()));
        assert!(source.stop());
        assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap()));
    });
}

#[test]
fn a_stop_is_seen_by_every_way_of_asking() {
    let source = StopSource::new();
    let token = source.token();
    assert!(!token.is_stopped() && token.check().is_ok() && !source.is_stopped());
    assert_eq!(token.reason(), None);
    assert!(source.stop());
    assert!(!source.stop(), "the second is not the first");
    assert!(token.is_stopped() && token.check().is_err() && source.is_stopped());
    token.wait();
    assert!(token.wait_timeout(Duration::MAX));
    assert!(token.sleep(Duration::MAX).is_err());
    assert!(token.channel().recv().is_err());
    block_on(token.stopped());
}

#[test]
fn dropping_a_source_stops_nothing() {
    let token = StopSource::new().token();
    assert!(!token.wait_timeout(ms(1)));
    assert!(token.channel().try_recv().unwrap_err().is_empty());
}

#[test]
fn a_wait_ends_at_its_time_and_no_sooner() {
    let token = StopSource::new().token();
    for time in [Duration::ZERO, ms(20)] {
        let (stopped, took) = timed(|| token.wait_timeout(time));
        assert!(!stopped && took >= time, "{took:?}");
        let (slept, took) = timed(|| token.sleep(time));
        assert!(slept.is_ok() && took >= time, "{took:?}");
    }
}

#[test]
fn a_wait_without_end_is_woken() {
    in_time(|| {
        let source = StopSource::new();
        let token = source.token();
        let (ready, is_ready) = bounded(0);
        let waiter = std::thread::spawn(move || {
            ready.send(()).unwrap();
            token.wait_timeout(Duration::MAX)
        });
        is_ready.recv_timeout(PATIENCE).unwrap();
        assert!(!waiter.is_finished());
        source.stop();
        assert!(waiter.join().unwrap());
    });
}

#[test]
fn a_channel_disconnects_on_the_stop_whenever_it_was_asked_for() {
    in_time(|| {
        let source = StopSource::new();
        let (before, after) = (source.token(), source.token());
        let early = before.channel().clone();
        source.stop();
        let never: Result<Never, _> = early.recv();
        never.unwrap_err();
        after.channel().recv().unwrap_err();
        let late = StopSource::new();
        late.stop();
        late.token().channel().recv().unwrap_err();
    });
}

#[test]
fn a_select_with_a_ready_arm_takes_both_in_the_end() {
    in_time(|| {
        let source = StopSource::new();
        let token = source.token();
        let (jobs, queue) = unbounded();
        for job in 0..100_000 {
            jobs.send(job).unwrap();
        }
        let mut taken = 0;
        let mut next = || {
            select! {
                recv(queue) -> job => { job.unwrap(); taken += 1; true }
                recv(token.channel()) -> _ => false,
            }
        };
        // Not stopped: only the jobs are ready.
        for _ in 0..100 {
            assert!(next());
        }
        source.stop();
        // Both are ready, and select is fair: 99,900 heads in a row do not happen.
        while next() {}
        assert!(taken < 100_000, "the stop was starved by a ready arm");
    });
}

#[test]
fn a_select_that_blocks_is_woken() {
    in_time(|| {
        let source = StopSource::new();
        let token = source.token();
        let (_jobs, queue) = unbounded::<u8>();
        let (ready, is_ready) = bounded(0);
        let selecting = std::thread::spawn(move || {
            ready.send(()).unwrap();
            select! {
                recv(queue) -> _ => false,
                recv(token.channel()) -> end => end.is_err(),
            }
        });
        is_ready.recv_timeout(PATIENCE).unwrap();
        source.stop();
        assert!(selecting.join().unwrap());
    });
}

// ---- callbacks

#[test]
fn a_callback_runs_at_once_and_here_when_stopped_already() {
    let source = StopSource::new();
    source.stop();
    let ran: Arc<Mutex<Option<ThreadId>>> = Arc::default();
    let theirs = Arc::clone(&ran);
    let callback = source.token().on_stop(move || {
        *theirs.lock().unwrap() = Some(std::thread::current().id());
    });
    assert_eq!(*ran.lock().unwrap(), Some(std::thread::current().id()));
    drop(callback);
}

#[test]
fn callbacks_run_on_the_stopper_newest_first_once_each() {
    let journal = Journal::new();
    let source = StopSource::new();
    let here = std::thread::current().id();
    let _all: Vec<_> = ["a", "b", "c"]
        .map(|name| {
            let note = journal.noter(name);
            source.token().on_stop(move || {
                assert_eq!(std::thread::current().id(), here);
                note();
            })
        })
        .into();
    assert!(journal.lines().is_empty());
    source.stop();
    source.stop();
    assert_eq!(journal.lines(), ["c", "b", "a"]);
}

#[test]
fn dropping_unregisters() {
    let journal = Journal::new();
    let source = StopSource::new();
    let token = source.token();
    let dropped = token.on_stop(journal.noter("dropped"));
    let _kept = token.on_stop(journal.noter("kept"));
    drop(dropped);
    source.stop();
    assert_eq!(journal.lines(), ["kept"]);
}

#[test]
fn dropping_waits_for_a_callback_that_runs_elsewhere() {
    in_time(|| {
        let mut gate = Gate::new();
        let passer = gate.passer();
        let journal = Journal::new();
        let source = StopSource::new();
        let (began, has_begun) = bounded(0);
        let note = journal.noter("callback over");
        let callback = source.token().on_stop(move || {
            began.send(()).unwrap();
            passer();
            note();
        });
        let stopper = std::thread::spawn(move || source.stop());
        has_begun.recv_timeout(PATIENCE).unwrap();
        let (note, (dropped, is_dropped)) = (journal.noter("dropped"), bounded(1));
        let dropper = std::thread::spawn(move || {
            drop(callback);
            note();
            dropped.send(()).unwrap();
        });
        // One that did not wait would be through long before.
        is_dropped.recv_timeout(ms(100)).unwrap_err();
        gate.open();
        dropper.join().unwrap();
        assert!(stopper.join().unwrap());
        assert_eq!(journal.lines(), ["callback over", "dropped"]);
    });
}

#[test]
fn dropping_never_waits_for_others() {
    in_time(|| {
        let mut gate = Gate::new();
        let passer = gate.passer();
        let journal = Journal::new();
        let source = StopSource::new();
        let token = source.token();
        let older = token.on_stop(journal.noter("older"));
        let (began, has_begun) = bounded(0);
        let blocked = token.on_stop(move || {
            began.send(()).unwrap();
            passer();
        });
        let (through, is_through) = bounded(1);
        let newer = token.on_stop(move || through.send(()).unwrap());
        let stopper = std::thread::spawn(move || source.stop());
        has_begun.recv_timeout(PATIENCE).unwrap();
        is_through.recv_timeout(PATIENCE).unwrap();
        // With one of them blocked: one that has run, and one whose turn has not come.
        drop(newer);
        drop(older);
        gate.open();
        stopper.join().unwrap();
        drop(blocked);
        assert!(journal.lines().is_empty(), "it was unregistered in time");
    });
}

#[test]
fn a_callback_may_unregister_itself() {
    in_time(|| {
        let source = StopSource::new();
        let own = Arc::new(Mutex::new(None));
        let theirs = Arc::clone(&own);
        let (ran, has_run) = bounded(1);
        let callback = source.token().on_stop(move || {
            let own = theirs.lock().unwrap().take();
            assert!(own.is_some());
            drop(own);
            ran.send(()).unwrap();
        });
        *own.lock().unwrap() = Some(callback);
        source.stop();
        has_run.try_recv().expect("it ran, and came to its end");
    });
}

#[test]
fn a_callback_may_use_its_token() {
    in_time(|| {
        let source = StopSource::new();
        let (token, again, journal) = (source.token(), source.clone(), Journal::new());
        let notes = journal.clone();
        let _callback = source.token().on_stop(move || {
            assert!(token.is_stopped() && token.reason().is_some());
            token.wait();
            drop(token.on_stop(notes.noter("nested")));
            assert!(token.child().is_stopped());
            assert!(!again.stop());
            notes.note("outer");
        });
        source.stop();
        assert_eq!(journal.lines(), ["nested", "outer"]);
    });
}

#[test]
fn a_panic_in_a_callback_stops_no_other() {
    let journal = Journal::new();
    let source = StopSource::new();
    let token = source.token();
    let _older = token.on_stop(journal.noter("older"));
    let _panics = token.on_stop(|| panic!("on purpose"));
    let _newer = token.on_stop(journal.noter("newer"));
    assert!(source.stop());
    assert_eq!(journal.lines(), ["newer", "older"]);
    let _at_once = token.on_stop(|| panic!("on purpose, at once"));
}

#[test]
fn a_callback_that_blocks_for_ever_is_reported_and_the_others_run() {
    in_time(|| {
        let gate = Gate::new();
        let passer = gate.passer();
        let journal = Journal::new();
        let deadline = ms(400);
        let supervisor = Supervisor::builder().deadline(deadline).build();
        let (registered, all_registered) = bounded(0);
        let notes = journal.clone();
        let worker = supervisor
            .worker()
            .name("w".into())
            .spawn_with(move |stop| {
                let older = stop.on_stop(notes.noter("older"));
                let blocks = stop.on_stop(passer);
                let newer = stop.on_stop(notes.noter("newer"));
                registered.send(()).unwrap();
                stop.wait();
                // Dropping the one that blocks would wait for it, and dropping an older one takes it back.
                std::mem::forget((older, blocks, newer));
            });
        all_registered.recv_timeout(PATIENCE).unwrap();
        let _other = supervisor.on_shutdown("hook", journal.noter("hook"));
        let report = supervisor.shutdown();
        worker.unwrap().join().unwrap();
        let of_worker = report.entries().iter().find(|e| e.name() == Some("w"));
        let of_worker = of_worker.unwrap();
        assert_eq!(of_worker.callback_fault(), Some(&CallbackFault::Hung));
        assert_eq!(*of_worker.outcome(), Outcome::Finished);
        assert!(!report.is_clean());
        assert_eq!(journal.lines(), ["hook", "newer", "older"]);
    });
}

#[test]
fn the_last_holder_of_a_token_takes_its_callbacks_along() {
    let held = Arc::new(());
    let source = StopSource::new();
    let token = source.token();
    let theirs = Arc::clone(&held);
    let callback = token.on_stop(move || drop(theirs));
    drop((source, token));
    assert_eq!(Arc::strong_count(&held), 2, "the registration is a holder");
    drop(callback);
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn the_last_holder_may_be_the_callback_itself() {
    in_time(|| {
        let source = StopSource::new();
        let token = source.token();
        let (ran, has_run) = bounded(1);
        let own = token.clone();
        let callback = token.on_stop(move || {
            drop(own);
            ran.send(()).unwrap();
        });
        std::mem::forget(callback);
        drop(token);
        source.stop();
        drop(source);
        has_run.try_recv().unwrap();
    });
}

/// The memory that this process has in use just now.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[cfg(target_os = "linux")]
#[test]
fn a_million_registrations_leave_memory_flat() {
    if !alone("a_million_registrations_leave_memory_flat") {
        return;
    }
    let source = StopSource::new();
    let token = source.token();
    let round = || {
        for _ in 0..10_000 {
            let held = Box::new([1_u8; 64]);
            drop(token.on_stop(move || drop(held)));
            drop(token.child());
            drop(token.child_with_timeout(Duration::from_secs(3600)));
            let mut future = token.stopped();
            assert!(poll(&mut future, &Arc::new(Flag::default()).into()).is_pending());
        }
    };
    round();
    let before = resident();
    for _ in 0..100 {
        round();
    }
    let grown = resident().saturating_sub(before);
    // One byte for each would be a million.
    assert!(grown < 1_000_000, "{grown} bytes");
    source.stop();
}

/// Runs the test of this name in a process of its own, where no other test uses memory: true in that process.
#[cfg(target_os = "linux")]
fn alone(test: &str) -> bool {
    const MARK: &str = "SUNDOWN_TEST_ALONE";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test]).env(MARK, "1");
    let (done, ended) = bounded(1);
    std::thread::spawn(move || done.send(child.output().unwrap()));
    let output = ended.recv_timeout(6 * PATIENCE).expect("it hangs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
    false
}

// ---- children

#[test]
fn a_stop_goes_down_and_never_up() {
    let parent = StopSource::new();
    let child = parent.token().child();
    let sibling = parent.token().child();
    let grandchild = child.token().child();
    assert!(child.stop());
    assert!(grandchild.is_stopped());
    assert!(!parent.is_stopped() && !sibling.is_stopped());
    assert!(parent.stop());
    assert!(sibling.is_stopped());
    let late = parent.token().child();
    assert!(late.is_stopped() && !late.stop());
}

#[test]
fn the_callbacks_and_waiters_of_children_are_told_with_the_parent() {
    in_time(|| {
        let journal = Journal::new();
        let parent = StopSource::new();
        let child = parent.token().child();
        let _callback = child.token().on_stop(journal.noter("child's"));
        let token = child.token();
        let (ready, is_ready) = bounded(0);
        let waiter = std::thread::spawn(move || {
            ready.send(()).unwrap();
            token.wait();
        });
        is_ready.recv_timeout(PATIENCE).unwrap();
        parent.stop();
        waiter.join().unwrap();
        assert_eq!(journal.lines(), ["child's"]);
    });
}

/// A chain as long as this, on the stack of a thread on which recursion would not get far.
fn on_a_small_stack<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> T {
    in_time(move || {
        let thread = std::thread::Builder::new().stack_size(256 * 1024);
        thread.spawn(job).unwrap().join().unwrap()
    })
}

fn chain(length: usize) -> (StopSource, Vec<StopSource>) {
    let first = StopSource::new();
    let mut all = Vec::with_capacity(length);
    let mut last = first.clone();
    for _ in 0..length {
        last = last.token().child();
        all.push(last.clone());
    }
    (first, all)
}

#[test]
fn a_chain_of_ten_thousand_is_stopped_and_dropped() {
    on_a_small_stack(|| {
        let (first, all) = chain(10_000);
        let journal = Journal::new();
        let _callback = all[9_999].token().on_stop(journal.noter("the last"));
        assert!(first.stop());
        assert!(all.iter().all(StopSource::is_stopped));
        assert_eq!(journal.lines(), ["the last"]);
        let reason = StopReason::Parent(Box::new(StopReason::Source));
        assert_eq!(all[9_999].token().reason(), Some(reason));
        drop(all);
    });
}

#[test]
fn a_chain_that_only_its_last_child_holds_is_dropped_without_recursion() {
    on_a_small_stack(|| {
        for stop in [false, true] {
            let (first, mut all) = chain(10_000);
            let last = all.pop().unwrap();
            drop(all);
            if stop {
                first.stop();
            }
            drop(first);
            assert_eq!(last.is_stopped(), stop);
            drop(last); // all of them go with it
        }
    });
}

#[test]
fn a_chain_takes_linear_time() {
    let best = |length: usize| {
        let once = || {
            let (first, all) = chain(length);
            let ((), took) = timed(move || {
                first.stop();
                drop(all);
                drop(first);
            });
            took
        };
        (0..5).map(|_| once()).min().unwrap()
    };
    on_a_small_stack(move || {
        let (short, long) = (best(4_000), best(64_000));
        // Sixteen times if linear, 256 times if each looked at all the others.
        assert!(
            long < short * 100,
            "{short:?} for 4,000, {long:?} for 64,000"
        );
    });
}

// ---- deadlines of tokens

#[test]
fn a_timeout_fires_with_nobody_asking() {
    in_time(|| {
        let parent = StopSource::new();
        let began = Instant::now();
        let child = parent.token().child_with_timeout(ms(300));
        let token = child.token();
        let (ran, has_run) = bounded(1);
        let _callback = token.on_stop(move || ran.send(Instant::now()).unwrap());
        let flag = Arc::new(Flag::default());
        let mut future = token.stopped();
        assert!(poll(&mut future, &Arc::clone(&flag).into()).is_pending());
        let below = token.child();
        let waiters = [child.token(), below.token()].map(|token| {
            std::thread::spawn(move || {
                token.channel().recv().unwrap_err();
                token.wait();
                Instant::now()
            })
        });
        let ran = has_run.recv_timeout(PATIENCE).unwrap();
        assert!(ran - began >= ms(300));
        for waiter in waiters {
            assert!(waiter.join().unwrap() - began >= ms(300));
        }
        flag.await_woken(1);
        assert!(poll(&mut future, &flag.into()).is_ready());
        assert_eq!(token.reason(), Some(StopReason::TimeLimit));
        let reason = StopReason::Parent(Box::new(StopReason::TimeLimit));
        assert_eq!(below.token().reason(), Some(reason));
        assert!(!parent.is_stopped());
        assert!(!child.stop(), "it was stopped already");
    });
}

#[test]
fn timeouts_fire_in_their_order_whatever_order_they_were_set_in() {
    in_time(|| {
        let parent = StopSource::new();
        let (ran, order) = unbounded();
        let all: Vec<_> = [400_u64, 100, 700]
            .map(|time| {
                let child = parent.token().child_with_timeout(ms(time));
                let ran = ran.clone();
                let callback = child.token().on_stop(move || ran.send(time).unwrap());
                (child, callback)
            })
            .into();
        let order: Vec<_> = (0..3)
            .map(|_| order.recv_timeout(PATIENCE).unwrap())
            .collect();
        assert_eq!(order, [100, 400, 700]);
        drop(all);
    });
}

#[test]
fn a_callback_that_blocks_holds_up_no_other_timeout() {
    in_time(|| {
        let gate = Gate::new();
        let parent = StopSource::new();
        let first = parent.token().child_with_timeout(ms(10));
        let callback = first.token().on_stop(gate.passer());
        first.token().wait();
        let second = parent.token().child_with_timeout(ms(10));
        second.token().wait();
        std::mem::forget(callback); // dropping it would wait for it
    });
}

#[test]
fn a_timeout_of_zero_has_passed_and_one_of_all_time_never_does() {
    let parent = StopSource::new();
    let zero = parent.token().child_with_timeout(Duration::ZERO);
    assert!(zero.is_stopped());
    assert_eq!(zero.token().reason(), Some(StopReason::TimeLimit));
    let never = parent.token().child_with_timeout(Duration::MAX);
    assert!(!never.token().wait_timeout(ms(20)));
    parent.stop();
    assert!(never.is_stopped());
    let late = parent.token().child_with_timeout(Duration::ZERO);
    let reason = StopReason::Parent(Box::new(StopReason::Source));
    assert_eq!(late.token().reason(), Some(reason), "the parent came first");
}

// ---- why, and until when

/// A worker of `supervisor` that waits, and then says what its token says.
fn asks(supervisor: &Supervisor) -> sundown::thread::JoinHandle<(StopReason, Option<Duration>)> {
    let worker = supervisor.worker().grace(Duration::from_secs(3));
    let (ready, is_ready) = bounded(0);
    let worker = worker.spawn_with(move |stop: StopToken| {
        assert_eq!((stop.reason(), stop.deadline()), (None, None));
        ready.send(()).unwrap();
        stop.wait();
        let left = stop
            .deadline()
            .map(|by| by.saturating_duration_since(Instant::now()));
        assert_eq!(sundown::deadline(), stop.deadline());
        (stop.reason().unwrap(), left)
    });
    is_ready.recv_timeout(PATIENCE).unwrap();
    worker.unwrap()
}

#[test]
fn each_reason_is_told() {
    in_time(|| {
        let supervisor = Supervisor::new();
        let terminated = asks(&supervisor);
        terminated.terminate();
        assert_eq!(terminated.join().unwrap().0, StopReason::Terminated);

        let guarded = asks(&supervisor).into_guard();
        assert_eq!(guarded.join().unwrap().0, StopReason::Terminated);

        let limited = supervisor.worker().time_limit(ms(5));
        let limited = limited.spawn_with(|stop| {
            stop.wait();
            stop.reason()
        });
        let reason = limited.unwrap().join().unwrap();
        assert_eq!(reason, Some(StopReason::TimeLimit));

        let source = StopSource::new();
        let child = source.token().child();
        source.stop();
        assert_eq!(source.token().reason(), Some(StopReason::Source));
        let reason = StopReason::Parent(Box::new(StopReason::Source));
        assert_eq!(child.token().reason(), Some(reason));

        let shut_down = asks(&supervisor);
        let token = supervisor.stop_token();
        assert!(supervisor.request_shutdown(Cause::Exit(3)));
        supervisor.shutdown();
        let reason = StopReason::Shutdown(Cause::Exit(3));
        assert_eq!(shut_down.join().unwrap().0, reason);
        assert_eq!(token.reason(), Some(reason));
    });
}

#[test]
fn the_first_reason_stays() {
    in_time(|| {
        let supervisor = Supervisor::new();
        let mut gate = Gate::new();
        let passer = gate.passer();
        let worker = supervisor.worker().spawn_with(move |stop| {
            stop.wait();
            passer();
            stop.reason()
        });
        let worker = worker.unwrap();
        worker.terminate();
        let shutdown = std::thread::spawn({
            let supervisor = supervisor.clone();
            move || supervisor.shutdown()
        });
        supervisor.stop_token().wait();
        gate.open();
        assert_eq!(worker.join().unwrap(), Some(StopReason::Terminated));
        assert!(shutdown.join().unwrap().is_clean());
    });
}

#[test]
fn a_token_knows_until_when() {
    in_time(|| {
        let supervisor = Supervisor::builder()
            .deadline(Duration::from_secs(60))
            .build();
        let (worker, all) = (asks(&supervisor), supervisor.stop_token());
        assert_eq!(all.deadline(), None);
        let report = supervisor.shutdown();
        assert!(report.is_clean());
        let left = worker.join().unwrap().1.unwrap();
        assert!(left <= Duration::from_secs(3), "its grace: {left:?}");
        let terminated = asks(&Supervisor::new());
        terminated.terminate();
        let left = terminated.join().unwrap().1.unwrap();
        assert!(left <= Duration::from_secs(3), "its grace: {left:?}");
        // With neither grace nor deadline there is no limit.
        let endless = Supervisor::builder().deadline(Duration::MAX).build();
        let worker = endless.worker().spawn_with(|stop| {
            stop.wait();
            (stop.deadline(), sundown::deadline())
        });
        let worker = worker.unwrap();
        endless.shutdown();
        assert_eq!(worker.join().unwrap(), (None, None));
    });
}

#[test]
fn callbacks_and_hooks_know_until_when_and_that_they_were_given_up() {
    in_time(|| {
        // A callback gets a quarter: 100 ms. What it learns comes out by a channel, as nobody waits for it any more.
        let supervisor = Supervisor::builder().deadline(ms(400)).build();
        let (say, said) = unbounded();
        let ask = |name: &'static str| {
            let say = say.clone();
            move || {
                let began = Instant::now();
                let by = sundown::deadline().expect("a callback has a limit");
                assert!(!sundown::is_abandoned());
                let limit = began + PATIENCE;
                while !sundown::is_abandoned() && Instant::now() < limit {
                    std::thread::yield_now();
                }
                let left = by.saturating_duration_since(began);
                let late = Instant::now() >= by;
                say.send((name, left, sundown::is_abandoned(), late))
                    .unwrap();
            }
        };
        let _exit = supervisor.on_exit("exit", ask("exit"));
        let _hook = supervisor.on_shutdown("hook", ask("hook"));
        let worker = supervisor.worker().on_terminate(ask("callback"));
        worker.spawn_with(|stop| stop.wait()).unwrap();
        assert!(!sundown::is_abandoned(), "this is no callback");
        let report = supervisor.shutdown();
        let mut names = Vec::new();
        for _ in 0..3 {
            let (name, left, abandoned, late) = said.recv_timeout(PATIENCE).unwrap();
            assert!(left <= ms(400), "{name}: {left:?}");
            assert!(
                abandoned && late,
                "{name}: given up at its time, not before"
            );
            names.push(name);
        }
        names.sort_unstable();
        assert_eq!(names, ["callback", "exit", "hook"]);
        assert!(!report.is_clean());
    });
}

#[test]
fn the_free_token_of_a_worker_is_its_own() {
    in_time(|| {
        let supervisor = Supervisor::new();
        let worker = supervisor.worker().spawn_with(|given| {
            let found = sundown::stop_token();
            // The same: what is registered with the one hears of the other's stop, and of no other worker's.
            found.wait();
            assert!(given.is_stopped());
            (given.reason(), found.reason())
        });
        let other = supervisor.worker().spawn_with(|_| {
            let found = sundown::stop_token();
            found.wait();
            found.reason()
        });
        let (worker, other) = (worker.unwrap(), other.unwrap());
        worker.terminate();
        let terminated = Some(StopReason::Terminated);
        assert_eq!(worker.join().unwrap(), (terminated.clone(), terminated));
        assert!(!other.is_finished() && !supervisor.stop_token().is_stopped());
        supervisor.shutdown();
        let requested = Some(StopReason::Shutdown(Cause::Requested));
        assert_eq!(other.join().unwrap(), requested);
    });
}

// ---- the future

/// A waker that counts, and wakes who waits for the count.
#[derive(Default)]
struct Flag(AtomicUsize);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Flag {
    fn woken(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    fn await_woken(&self, times: usize) {
        let limit = Instant::now() + PATIENCE;
        while self.woken() < times {
            assert!(Instant::now() < limit, "not woken");
            std::thread::yield_now();
        }
    }
}

fn poll(future: &mut (impl Future<Output = ()> + Unpin), waker: &Waker) -> Poll<()> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

struct Unparker(std::thread::Thread);

impl Wake for Unparker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on(mut future: impl Future<Output = ()> + Unpin) {
    let waker = Arc::new(Unparker(std::thread::current())).into();
    while poll(&mut future, &waker).is_pending() {
        std::thread::park();
    }
}

#[test]
fn a_future_is_ready_on_the_stop() {
    in_time(|| {
        let source = StopSource::new();
        let token = source.token();
        let (ready, is_ready) = bounded(0);
        let waiter = std::thread::spawn(move || {
            let stopped = token.stopped();
            drop(token); // the future holds on by itself
            ready.send(()).unwrap();
            block_on(stopped);
        });
        is_ready.recv_timeout(PATIENCE).unwrap();
        source.stop();
        waiter.join().unwrap();
        block_on(source.token().stopped()); // and at once when stopped already
    });
}

#[test]
fn a_future_wakes_the_last_waker_only_and_once() {
    let source = StopSource::new();
    let mut future = source.token().stopped();
    let (old, new) = (Arc::new(Flag::default()), Arc::new(Flag::default()));
    assert!(poll(&mut future, &Arc::clone(&old).into()).is_pending());
    assert!(poll(&mut future, &Arc::clone(&new).into()).is_pending());
    assert_eq!(Arc::strong_count(&old), 1, "the old waker is let go");
    source.stop();
    assert_eq!((old.woken(), new.woken()), (0, 1));
    assert!(poll(&mut future, &old.into()).is_ready());
    assert!(poll(&mut future, &Arc::clone(&new).into()).is_ready());
    assert_eq!(Arc::strong_count(&new), 1);
}

#[test]
fn a_future_that_is_dropped_leaves_nothing_and_wakes_nobody() {
    let source = StopSource::new();
    let flag = Arc::new(Flag::default());
    let mut future = source.token().stopped();
    assert!(poll(&mut future, &Arc::clone(&flag).into()).is_pending());
    assert_eq!(Arc::strong_count(&flag), 2);
    drop(future);
    assert_eq!(Arc::strong_count(&flag), 1);
    source.stop();
    assert_eq!(flag.woken(), 0);
}

#[test]
fn each_future_of_a_token_is_woken_though_a_waker_panics() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("on purpose");
        }
    }
    let source = StopSource::new();
    let (mut first, mut second, mut third) = (
        source.token().stopped(),
        source.token().stopped(),
        source.token().child().token().stopped(),
    );
    let flag = Arc::new(Flag::default());
    assert!(poll(&mut first, &Arc::new(Panics).into()).is_pending());
    assert!(poll(&mut second, &Arc::clone(&flag).into()).is_pending());
    assert!(poll(&mut third, &Arc::clone(&flag).into()).is_pending());
    assert!(source.stop());
    assert_eq!(flag.woken(), 2);
}

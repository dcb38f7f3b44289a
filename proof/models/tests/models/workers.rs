//! One worker: its end against `terminate`, its time limit, the shutdown and its joins.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::thread;
use sundown::model::{records, spawns_may_fail};
use sundown::{Outcome, StopSource, Supervisor};

use crate::support::{check, Log, Time};

/// The callback of a worker that waits to be told runs once, whoever tells it, however many do.
///
/// Broken by:
/// - `callback-asked-again-counts-as-running`, seed 2178211068668725577
#[test]
fn worker_callback_runs_once() {
    check(Time::Stands, || {
        let supervisor = Supervisor::new();
        let ran = Log::new();
        let theirs = ran.clone();
        let worker = supervisor
            .worker()
            .on_terminate(move || theirs.add(()))
            .spawn_with(|stop| stop.wait())
            .unwrap();
        let worker = Arc::new(worker);
        let tellers = [(); 2].map(|()| {
            let worker = Arc::clone(&worker);
            thread::spawn(move || worker.terminate())
        });
        let report = supervisor.shutdown();
        for teller in tellers {
            teller.join().unwrap();
        }
        assert_eq!(ran.all().len(), 1);
        assert!(report.is_clean(), "{report}");
    });
}

/// The callback of a worker is over when the shutdown is, also if somebody else runs it, and its worker is gone meanwhile.
#[test]
fn worker_callback_is_over_when_the_shutdown_is() {
    check(Time::Stands, || {
        let supervisor = Supervisor::new();
        let log = Log::new();
        let theirs = log.clone();
        let worker = supervisor.worker().on_terminate(move || {
            thread::yield_now();
            theirs.add("callback");
        });
        let worker = worker.spawn_with(|stop| stop.wait()).unwrap();
        let teller = thread::spawn(move || worker.terminate());
        supervisor.shutdown();
        log.add("shutdown");
        teller.join().unwrap();
        assert_eq!(log.all(), ["callback", "shutdown"]);
    });
}

/// A worker is told at its time limit: its callback runs, and runs once, whoever else tells it meanwhile.
///
/// Broken by:
/// - `time-limit-runs-no-callback`, seed 18423087655055693851
#[test]
fn worker_is_told_at_its_time_limit() {
    check(Time::Passes, || {
        let supervisor = Supervisor::builder().deadline(Duration::MAX).build();
        let ran = Log::new();
        let limited = || {
            let (over, theirs) = (StopSource::new(), ran.clone());
            let is_over = over.token();
            let worker = supervisor.worker().time_limit(Duration::from_secs(1));
            let worker = worker.on_terminate(move || {
                theirs.add(());
                over.stop();
            });
            (worker.spawn_with(|stop| stop.wait()).unwrap(), is_over)
        };
        let (alone, is_over) = limited();
        is_over.wait();
        alone.join().unwrap();
        let (told, is_over) = limited();
        let other = supervisor.clone();
        let shutdown = thread::spawn(move || other.shutdown());
        told.terminate();
        is_over.wait();
        told.join().unwrap();
        shutdown.join().unwrap();
        assert_eq!(ran.all().len(), 2);
    });
}

/// A worker ends by itself while it is told: if it was told in time its callback runs, once. Its record goes either way.
///
/// Broken by:
/// - `end-forgets-the-callback-of-one-who-was-told`, seed 3688083814540774146
/// - `terminate-does-not-settle`, seed 10577213565728599772
#[test]
fn worker_ends_while_it_is_told() {
    check(Time::Stands, || {
        let supervisor = Supervisor::new();
        let ran = Log::new();
        let theirs = ran.clone();
        let worker = supervisor
            .worker()
            .on_terminate(move || theirs.add(()))
            .spawn_with(|stop| stop.is_stopped())
            .unwrap();
        let worker = Arc::new(worker);
        let teller = {
            let worker = Arc::clone(&worker);
            thread::spawn(move || worker.terminate())
        };
        teller.join().unwrap();
        let told = Arc::into_inner(worker).unwrap().join().unwrap();
        let ran = ran.all().len();
        assert!(ran <= 1);
        assert!(
            !told || ran == 1,
            "it was told before it ended, and its callback did not run"
        );
        assert_eq!(supervisor.workers().len(), 0);
        assert_eq!(
            supervisor.shutdown().entries().len(),
            0,
            "its record is left"
        );
    });
}

/// A worker that loops over "is my flag set? else park" ends, by whomever it is told: also while it is being started.
///
/// Broken by:
/// - `unpark-is-not-owed`, PCT seed 4654671119853090060
/// - `unpark-comes-first`, PCT seed 10726312299579434365
#[test]
fn worker_that_parks_is_woken() {
    check(Time::Stands, || {
        let supervisor = Supervisor::new();
        let other = supervisor.clone();
        let teller = thread::spawn(move || other.shutdown());
        let flag = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&flag);
        let spawned = supervisor
            .worker()
            .on_terminate(move || told.store(true, Ordering::Release))
            .spawn(move || {
                while !flag.load(Ordering::Acquire) {
                    sundown::thread::park();
                }
            });
        if let Ok(worker) = spawned {
            worker.join().unwrap();
        }
        teller.join().unwrap();
    });
}

/// A worker without a callback that loops over "is my token stopped? else park" is woken too.
///
/// Broken by:
/// - `token-of-one-who-was-told-is-new`, seed 9254530710892939688
#[test]
fn worker_that_parks_on_its_token_is_woken() {
    check(Time::Stands, || {
        let supervisor = Supervisor::new();
        let worker = supervisor.worker().spawn_with(|stop| {
            while !stop.is_stopped() {
                sundown::thread::park();
            }
        });
        let worker = worker.unwrap();
        worker.terminate();
        worker.join().unwrap();
    });
}

/// A worker that leaves by itself while a shutdown is under way is no straggler, and nobody waits for it in vain.
///
/// Broken by:
/// - `one-who-is-gone-is-waited-for`, seed 17870487610891835103
/// - `leave-settles-before-it-is-gone`, seed 12316176589931291933
#[test]
fn worker_that_ends_by_itself_is_no_straggler() {
    check(Time::Stands, || {
        let supervisor = Supervisor::new();
        let ended = Log::new();
        for n in 0..2 {
            let ended = ended.clone();
            supervisor.spawn(move || ended.add(n));
        }
        let report = supervisor.shutdown();
        assert!(report.is_clean(), "{report}");
        assert_eq!(ended.all().len(), 2, "joined means gone");
    });
}

/// Joins by a handle and by a shutdown both come back, with the value.
///
/// Broken by:
/// - `join-wakes-no-other-join`, seed 11123009878279590313
#[test]
fn worker_is_joined_by_all_who_wait() {
    check(Time::Stands, || {
        let supervisor = Supervisor::new();
        let worker = supervisor.worker().spawn_with(|stop| {
            stop.wait();
            7
        });
        let (worker, id) = worker
            .map(|worker| (worker.id(), worker))
            .map(|(id, w)| (w, id))
            .unwrap();
        let joiner = thread::spawn(move || worker.join().unwrap());
        let other = supervisor.clone();
        let waiter = thread::spawn(move || other.wait_for_worker(id, Duration::MAX));
        assert!(supervisor.shutdown().is_clean());
        assert_eq!(joiner.join().unwrap(), 7);
        assert!(waiter.join().unwrap());
    });
}

/// A join that comes to its limit gives the handle back, and the next one has the value.
///
/// Broken by:
/// - `join-with-a-limit-keeps-the-thread`, seed 14997607960255816519
#[test]
fn worker_can_be_joined_after_a_limit() {
    check(Time::Passes, || {
        let supervisor = Supervisor::builder().deadline(Duration::MAX).build();
        let mut worker = supervisor
            .worker()
            .spawn_with(|stop| {
                stop.wait();
                7
            })
            .unwrap();
        let other = supervisor.clone();
        let shutdown = thread::spawn(move || other.shutdown());
        let value = loop {
            match worker.join_timeout(Duration::from_millis(10)) {
                Ok(value) => break value.unwrap(),
                Err(back) => worker = back,
            }
        };
        assert_eq!(value, 7);
        assert!(shutdown.join().unwrap().is_complete());
    });
}

/// A thread-local of a worker, with a destructor that other threads can come in between of.
struct Last {
    log: Log<&'static str>,
    /// The destructor waits for this.
    until: Option<sundown::StopToken>,
}

impl Drop for Last {
    fn drop(&mut self) {
        match &self.until {
            Some(until) => until.wait(),
            None => thread::yield_now(),
        }
        self.log.add("destroyed");
    }
}

shuttle::thread_local! {
    static LAST: RefCell<Option<Last>> = RefCell::new(None);
}

/// Joined means gone: destructors of thread-locals included, whoever joins.
///
/// Broken by:
/// - `end-of-the-closure-counts-as-gone`, seed 1652318376074236891
#[test]
fn worker_is_gone_when_joined() {
    check(Time::Passes, || {
        let supervisor = Supervisor::builder().deadline(Duration::MAX).build();
        let log = Log::new();
        let theirs = log.clone();
        let worker = supervisor
            .worker()
            .spawn_with(move |stop| {
                let last = Last {
                    log: theirs,
                    until: None,
                };
                LAST.with(|place| *place.borrow_mut() = Some(last));
                stop.wait();
            })
            .unwrap();
        let joiner = {
            let log = log.clone();
            thread::spawn(move || {
                let joined = worker.join_timeout(Duration::from_secs(60)).is_ok();
                assert!(!joined || log.all() == ["destroyed"]);
            })
        };
        let report = supervisor.shutdown();
        let entry = &report.entries()[0];
        let finished = *entry.outcome() == Outcome::Finished;
        assert!(!finished || log.all() == ["destroyed"], "joined means gone");
        joiner.join().unwrap();
    });
}

/// A destructor that hangs makes a straggler, not a hang; and its record goes when it ends after all.
///
/// Broken by:
/// - `deadline-never-comes`, seed 8473571298769453964
#[test]
fn worker_whose_destructor_hangs_is_a_straggler() {
    check(Time::Passes, || {
        let supervisor = Supervisor::new();
        let release = StopSource::new();
        let last = Last {
            log: Log::new(),
            until: Some(release.token()),
        };
        let worker = supervisor
            .worker()
            .spawn(move || LAST.with(|place| *place.borrow_mut() = Some(last)))
            .unwrap();
        let releaser = thread::spawn({
            let (supervisor, release) = (supervisor.clone(), release.clone());
            move || {
                let report = supervisor.shutdown();
                assert_eq!(report.stragglers().len(), 1, "{report}");
                release.stop();
            }
        });
        worker.join().unwrap();
        releaser.join().unwrap();
        assert_eq!(records(&supervisor), 0, "its record is left");
    });
}

/// A worker whose grace ends just now is a straggler or has finished, and is forgotten once it is gone in either case.
///
/// Broken by:
/// - `straggler-is-reported-as-finished`, PCT seed 12718393801131847252
#[test]
fn worker_leaves_when_its_grace_ends() {
    check(Time::Passes, || {
        let supervisor = Supervisor::new();
        let log = Log::new();
        let worker = |grace, name| {
            let log = log.clone();
            let builder = supervisor.worker().grace(Duration::from_millis(grace));
            let worker = builder.spawn_with(move |stop| {
                stop.wait();
                thread::yield_now();
                log.add(name);
            });
            worker.unwrap()
        };
        let workers = [worker(10, "older"), worker(20, "newer")];
        let report = supervisor.shutdown();
        assert_eq!(report.entries().len(), 2);
        for (entry, name) in report.entries().iter().zip(["newer", "older"]) {
            let finished = *entry.outcome() == Outcome::Finished;
            assert!(
                finished || *entry.outcome() == Outcome::Straggler,
                "{report}"
            );
            assert!(!finished || log.all().contains(&name), "joined means gone");
        }
        for worker in workers {
            worker.join().unwrap();
        }
        assert_eq!(records(&supervisor), 0, "a record is left");
    });
}

/// A worker that the shutdown leaves behind and that ends just then is forgotten too.
///
/// Broken by:
/// - `left-behind-is-looked-at-before-the-lock`, PCT seed 6316362454654155688
#[test]
fn worker_ends_when_it_is_left_behind() {
    check(Time::Passes, || {
        let supervisor = Supervisor::builder().deadline(Duration::ZERO).build();
        let worker = supervisor.worker().spawn_with(|stop| stop.wait()).unwrap();
        assert_eq!(supervisor.shutdown().entries().len(), 1);
        worker.join().unwrap();
        assert_eq!(records(&supervisor), 0, "its record is left");
    });
}

/// A spawn that fails leaves nothing behind, also when a shutdown has found its record meanwhile. The shutdown itself needs no
/// thread.
///
/// Broken by:
/// - `failed-spawn-stays-pending`, seed 16647182707170524781
/// - `failed-spawn-wakes-nobody`, PCT seed 12362243182713501968
#[test]
fn worker_that_could_not_start_leaves_nothing() {
    check(Time::Stands, || {
        let supervisor = Supervisor::new();
        let started = Log::new();
        let spawner = {
            let (supervisor, started) = (supervisor.clone(), started.clone());
            thread::spawn(move || {
                spawns_may_fail(true);
                for _ in 0..2 {
                    let worker = supervisor.worker().on_terminate(|| ());
                    if let Ok(worker) = worker.spawn_with(|stop| stop.wait()) {
                        started.add(worker.id());
                    }
                }
            })
        };
        let report = supervisor.shutdown();
        spawner.join().unwrap();
        assert!(report.is_clean(), "{report}");
        let mut told: Vec<_> = report.entries().iter().map(|entry| entry.id()).collect();
        told.sort();
        assert_eq!(told, started.all());
    });
}

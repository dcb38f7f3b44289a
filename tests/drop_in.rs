//! `use sundown::thread;` in place of `use std::thread;` changes nothing that a program can see before its end.
//!
//! What both must do stands in `same_as_std!`, and runs twice: once with each import.

mod support;

use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{bounded, unbounded};
use sundown::thread::{JoinGuard, JoinHandle};
use sundown::{Outcome, Supervisor};
use support::{in_time, Gate, PATIENCE};

/// The tests that std's `thread` and ours must both pass, word for word.
macro_rules! same_as_std {
    ($($tests:item)*) => {
        mod with_std {
            #[allow(unused_imports)]
            use std::thread;
            #[allow(unused_imports)]
            use super::*;
            $($tests)*
        }
        mod with_sundown {
            #[allow(unused_imports)]
            use sundown::thread;
            #[allow(unused_imports)]
            use super::*;
            $($tests)*
        }
    };
}

same_as_std! {
    #[test]
    fn all_names_are_there_with_their_signatures() {
        #[allow(deprecated)]
        fn signatures() {
            let _: fn() -> thread::Builder = thread::Builder::new;
            let _: fn(thread::Builder, String) -> thread::Builder = thread::Builder::name;
            let _: fn(thread::Builder, usize) -> thread::Builder = thread::Builder::stack_size;
            type Spawned = std::io::Result<thread::JoinHandle<u8>>;
            let _: fn(thread::Builder, fn() -> u8) -> Spawned = thread::Builder::spawn;
            let _: fn(fn() -> u8) -> thread::JoinHandle<u8> = thread::spawn;
            let _: fn(thread::JoinHandle<u8>) -> thread::Result<u8> = thread::JoinHandle::join;
            let _: fn(&thread::JoinHandle<u8>) -> &thread::Thread = thread::JoinHandle::thread;
            let _: fn(&thread::JoinHandle<u8>) -> bool = thread::JoinHandle::is_finished;
            let _: fn() -> thread::Thread = thread::current;
            let _: fn() = thread::park;
            let _: fn(Duration) = thread::park_timeout;
            let _: fn(u32) = thread::park_timeout_ms;
            let _: fn(Duration) = thread::sleep;
            let _: fn(u32) = thread::sleep_ms;
            let _: fn() = thread::yield_now;
            let _: fn() -> bool = thread::panicking;
            let _: fn() -> std::io::Result<std::num::NonZeroUsize> = thread::available_parallelism;
        }
        signatures();
        #[allow(dead_code)]
        struct Types<'a, 'b: 'a> {
            access: thread::AccessError,
            key: thread::LocalKey<u8>,
            id: thread::ThreadId,
            scope: &'a thread::Scope<'a, 'b>,
            scoped: thread::ScopedJoinHandle<'a, u8>,
        }
    }

    #[test]
    fn a_value_comes_out_of_join() {
        assert_eq!(thread::spawn(|| 6 * 7).join().unwrap(), 42);
        let worker = thread::Builder::new().spawn(|| String::from("value")).unwrap();
        assert_eq!(worker.join().unwrap(), "value");
    }

    #[test]
    fn a_name_takes_a_string_by_into() {
        // With `impl Into<String>` the type of `.into()` could not be inferred.
        let worker = thread::Builder::new().name("reader".into());
        let worker = worker.spawn(|| thread::current().name().map(str::to_owned)).unwrap();
        assert_eq!(worker.thread().name(), Some("reader"));
        assert_eq!(worker.join().unwrap().as_deref(), Some("reader"));
    }

    #[test]
    fn an_unnamed_thread_stays_unnamed() {
        let worker = thread::spawn(|| thread::current().name().map(str::to_owned));
        assert_eq!(worker.thread().name(), None);
        assert_eq!(worker.join().unwrap(), None);
        let worker = thread::Builder::new().spawn(|| thread::current().name().is_none());
        assert!(worker.unwrap().join().unwrap());
    }

    #[test]
    fn the_handle_shows_the_thread_that_runs() {
        let worker = thread::spawn(|| thread::current().id());
        let shown = worker.thread().id();
        assert_eq!(worker.join().unwrap(), shown);
    }

    #[test]
    fn the_handle_s_thread_can_be_unparked() {
        let go_on = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&go_on);
        let worker = thread::spawn(move || {
            while !theirs.load(Ordering::SeqCst) {
                thread::park();
            }
        });
        go_on.store(true, Ordering::SeqCst);
        worker.thread().unpark();
        worker.join().unwrap();
    }

    #[test]
    fn the_payload_of_a_panic_comes_out_of_join_untouched() {
        #[derive(Debug, PartialEq)]
        struct Payload(Vec<u8>);

        let literal = thread::spawn(|| panic!("literal")).join().unwrap_err();
        assert_eq!(literal.downcast_ref::<&str>(), Some(&"literal"));

        let number = 7;
        let text = thread::spawn(move || panic!("formatted {number}")).join().unwrap_err();
        assert_eq!(text.downcast_ref::<String>().unwrap(), "formatted 7");

        let own = thread::spawn(|| std::panic::panic_any(Payload(vec![1, 2, 3])));
        let own = own.join().unwrap_err().downcast::<Payload>().unwrap();
        assert_eq!(*own, Payload(vec![1, 2, 3]));

        let quiet = thread::spawn(|| std::panic::resume_unwind(Box::new(5_u64)));
        assert_eq!(*quiet.join().unwrap_err().downcast::<u64>().unwrap(), 5);
    }

    #[test]
    fn is_finished_turns_true_when_the_function_has_returned() {
        let mut gate = Gate::new();
        let worker = thread::spawn(gate.passer());
        assert!(!worker.is_finished());
        gate.open();
        in_time(move || {
            while !worker.is_finished() {
                thread::yield_now();
            }
            worker.join().unwrap();
        });
    }

    #[test]
    fn is_finished_turns_true_after_a_panic_too() {
        let worker = thread::spawn(|| panic!("expected"));
        in_time(move || {
            while !worker.is_finished() {
                thread::yield_now();
            }
            worker.join().unwrap_err();
        });
    }

    #[test]
    fn is_finished_is_not_joined() {
        struct Slow(Gate2);
        struct Gate2(crossbeam_channel::Receiver<()>);
        impl Drop for Slow {
            fn drop(&mut self) {
                let _ = self.0 .0.recv();
            }
        }
        thread_local! {
            static SLOW: std::cell::RefCell<Option<Slow>> = const { std::cell::RefCell::new(None) };
        }
        let (key, lock) = bounded::<()>(0);
        let worker = thread::spawn(move || {
            SLOW.with(|slow| *slow.borrow_mut() = Some(Slow(Gate2(lock))));
        });
        in_time(move || {
            while !worker.is_finished() {
                thread::yield_now();
            }
            drop(key); // while the destructor waits for this, it was finished
            worker.join().unwrap();
        });
    }

    #[test]
    fn debug_prints_what_std_prints() {
        let worker = thread::spawn(|| ());
        assert_eq!(format!("{worker:?}"), "JoinHandle { .. }");
        assert_eq!(format!("{worker:#?}"), "JoinHandle { .. }");
        worker.join().unwrap();
    }

    #[test]
    fn a_handle_is_send_and_sync_whatever_it_holds() {
        fn shared<T: Send + Sync + Unpin>() {}
        fn whatever<T>() {
            shared::<thread::JoinHandle<T>>();
        }
        whatever::<Rc<u8>>();
        whatever::<Cell<u8>>();
        whatever::<*const u8>();
        whatever::<std::sync::MutexGuard<'static, u8>>();
        shared::<thread::JoinHandle<Cell<u8>>>();
    }

    #[test]
    fn a_builder_can_be_sent() {
        fn sent<T: Send>(_: &T) {}
        sent(&thread::Builder::new());
    }

    #[test]
    fn a_handle_can_be_shared_and_joined_elsewhere() {
        let worker = Arc::new(thread::spawn(|| Cell::new(3)));
        let seen = Arc::clone(&worker);
        std::thread::spawn(move || seen.thread().unpark()).join().unwrap();
        let joiner = std::thread::spawn(move || {
            Arc::try_unwrap(worker).unwrap().join().unwrap().get()
        });
        assert_eq!(joiner.join().unwrap(), 3);
    }

    #[test]
    fn the_value_of_a_detached_thread_is_dropped_when_it_ends() {
        struct Value(crossbeam_channel::Sender<()>);
        impl Drop for Value {
            fn drop(&mut self) {
                self.0.send(()).unwrap();
            }
        }
        let mut gate = Gate::new();
        let pass = gate.passer();
        let (dropped, drops) = bounded(2);
        let value = Value(dropped);
        let worker = thread::spawn(move || {
            pass();
            value
        });
        drop(worker);
        assert!(drops.try_recv().is_err());
        gate.open();
        drops.recv_timeout(PATIENCE).expect("never dropped");
        // Once: the sender is gone now.
        assert!(drops.recv_timeout(PATIENCE).is_err());
    }

    #[test]
    fn the_value_of_a_finished_thread_is_dropped_with_its_handle() {
        struct Value(Arc<AtomicUsize>);
        impl Drop for Value {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let drops = Arc::new(AtomicUsize::new(0));
        let value = Value(Arc::clone(&drops));
        let (over, is_over) = bounded::<()>(0);
        let worker = thread::spawn(move || {
            AT_END.with(|end| *end.borrow_mut() = Some(over));
            value
        });
        // The thread-local is dropped when the function has returned.
        assert!(is_over.recv_timeout(PATIENCE).is_err());
        assert!(worker.is_finished());
        assert_eq!(drops.load(Ordering::SeqCst), 0);
        drop(worker);
        in_time(move || {
            while drops.load(Ordering::SeqCst) == 0 {
                std::thread::yield_now();
            }
            assert_eq!(drops.load(Ordering::SeqCst), 1);
        });
    }

    #[test]
    fn what_the_closure_holds_is_dropped_before_the_join_returns() {
        let held = Arc::new(());
        let theirs = Arc::clone(&held);
        let worker = thread::spawn(move || drop(theirs));
        worker.join().unwrap();
        assert_eq!(Arc::strong_count(&held), 1);
        let theirs = Arc::clone(&held);
        let worker = thread::spawn(move || {
            let _theirs = theirs;
            panic!("expected");
        });
        worker.join().unwrap_err();
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn joining_oneself_panics() {
        let (give, take) = bounded::<thread::JoinHandle<()>>(1);
        let (said, says) = bounded(1);
        let worker = thread::spawn(move || {
            let me = take.recv().unwrap();
            let joined = catch_unwind(AssertUnwindSafe(move || me.join()));
            said.send(joined.is_err()).unwrap();
        });
        give.send(worker).unwrap();
        assert!(says.recv_timeout(PATIENCE).expect("it waits for itself"));
    }

    #[test]
    fn a_name_with_nul_panics() {
        let named = || thread::Builder::new().name("a\0b".into()).spawn(|| ());
        assert!(catch_unwind(named).is_err());
    }

    #[test]
    fn a_stack_that_no_system_has_is_an_error() {
        let big = thread::Builder::new().stack_size(1 << 60);
        assert!(big.spawn(|| ()).is_err());
    }

    #[test]
    fn the_stack_has_the_size_that_was_asked_for() {
        fn deep(left: usize) -> usize {
            let page = std::hint::black_box([left as u8; 4096]);
            match left {
                0 => page.len(),
                _ => deep(left - 1) + usize::from(page[0] == 0),
            }
        }
        // Far more than the default of 2 MiB.
        let worker = thread::Builder::new().stack_size(256 << 20);
        let worker = worker.spawn(|| deep(std::hint::black_box(8000)));
        assert!(worker.unwrap().join().unwrap() >= 4096);
    }

    #[test]
    fn scoped_threads_borrow_and_are_joined() {
        let mut numbers = vec![1, 2, 3];
        let sum = AtomicUsize::new(0);
        thread::scope(|scope| {
            let first = scope.spawn(|| numbers.len());
            let builder = thread::Builder::new().name("scoped".into());
            let named = builder.spawn_scoped(scope, || {
                sum.fetch_add(numbers.iter().sum(), Ordering::SeqCst);
                thread::current().name().map(str::to_owned)
            });
            let named = named.unwrap();
            assert_eq!(named.thread().name(), Some("scoped"));
            assert_eq!(named.join().unwrap().as_deref(), Some("scoped"));
            assert_eq!(first.join().unwrap(), 3);
        });
        numbers.push(4);
        assert_eq!(sum.into_inner(), 6);
    }

    #[test]
    fn a_scoped_thread_that_nobody_joins_is_joined_by_its_scope() {
        let ran = AtomicBool::new(false);
        thread::scope(|scope| {
            let spawned = thread::Builder::new().spawn_scoped(scope, || {
                thread::sleep(Duration::from_millis(50));
                ran.store(true, Ordering::SeqCst);
            });
            spawned.unwrap();
        });
        assert!(ran.into_inner());
    }

    #[test]
    fn the_panic_of_a_scoped_thread_is_seen_by_join_or_by_the_scope() {
        let payload = thread::scope(|scope| {
            let spawned = thread::Builder::new().spawn_scoped(scope, || -> () {
                std::panic::panic_any(5_u8)
            });
            spawned.unwrap().join().unwrap_err()
        });
        assert_eq!(*payload.downcast::<u8>().unwrap(), 5);
        let unseen = catch_unwind(|| {
            thread::scope(|scope| {
                let spawned = thread::Builder::new().spawn_scoped(scope, || panic!("expected"));
                drop(spawned.unwrap());
            });
        });
        assert!(unseen.is_err());
    }

    #[test]
    fn a_thread_that_panics_says_so_once() {
        // The hook is the whole process's: only what these threads say is counted.
        static SAID: AtomicUsize = AtomicUsize::new(0);
        let _alone = HOOK.lock().unwrap();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            match info.payload().downcast_ref::<&str>() {
                Some(&"said once") => drop(SAID.fetch_add(1, Ordering::SeqCst)),
                _ => before(info),
            }
        }));
        thread::spawn(|| panic!("said once")).join().unwrap_err();
        thread::scope(|scope| {
            let spawned = thread::Builder::new().spawn_scoped(scope, || panic!("said once"));
            spawned.unwrap().join().unwrap_err();
        });
        assert_eq!(SAID.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn thread_locals_work_in_a_thread() {
        thread_local!(static HERE: Cell<u32> = const { Cell::new(1) });
        HERE.with(|here| here.set(2));
        let theirs = thread::spawn(|| HERE.with(Cell::get));
        assert_eq!(theirs.join().unwrap(), 1);
        assert_eq!(HERE.with(Cell::get), 2);
    }
}

thread_local! {
    static AT_END: std::cell::RefCell<Option<crossbeam_channel::Sender<()>>> =
        const { std::cell::RefCell::new(None) };
}

/// Held by whoever changes the process's panic hook.
static HOOK: std::sync::Mutex<()> = std::sync::Mutex::new(());

// ---- what only ours can show

fn location_of<T>(supervisor: &Supervisor, worker: &JoinHandle<T>) -> (String, u32) {
    let workers = supervisor.workers();
    let found = workers.iter().find(|info| info.id == worker.id());
    let location = found.expect("it is registered").location;
    (location.file().to_owned(), location.line())
}

#[test]
fn the_spawn_site_is_kept() {
    #[track_caller]
    fn wrapped(supervisor: &Supervisor, gate: &Gate) -> JoinHandle<()> {
        supervisor.spawn(gate.passer())
    }
    let gate = Gate::new();
    let supervisor = Supervisor::new();
    let here = |worker: &JoinHandle<()>, line| {
        let at = location_of(&supervisor, worker);
        assert_eq!(at, (file!().to_owned(), line));
    };
    here(&supervisor.spawn(gate.passer()), line!());
    here(&supervisor.worker().spawn(gate.passer()).unwrap(), line!());
    let pass = gate.passer();
    let (spawned, line) = (supervisor.worker().spawn_with(move |_| pass()), line!());
    here(&spawned.unwrap(), line);
    here(&wrapped(&supervisor, &gate), line!());
    let pass = gate.passer();
    let foreign = std::thread::spawn(pass);
    here(&supervisor.adopt("foreign", foreign, || ()), line!());
    // They end when the shutdown has begun: those who end before it are not in its report.
    supervisor.on_shutdown("lets them go", move || drop(gate));
    let report = supervisor.shutdown();
    let files = report.entries().iter().map(|e| e.location().file());
    assert_eq!(files.collect::<Vec<_>>(), [file!(); 6]);
}

#[test]
fn the_spawn_site_of_the_free_function_is_kept() {
    let mut gate = Gate::new();
    let supervisor = Supervisor::global();
    let (worker, line) = (sundown::thread::spawn(gate.passer()), line!());
    assert_eq!(location_of(&supervisor, &worker), (file!().into(), line));
    let builder = sundown::thread::Builder::new();
    let (built, line) = (builder.spawn(gate.passer()).unwrap(), line!());
    assert_eq!(location_of(&supervisor, &built), (file!().into(), line));
    gate.open();
    worker.join().unwrap();
    built.join().unwrap();
}

#[test]
fn a_name_with_nul_leaves_nothing_behind() {
    let supervisor = Supervisor::new();
    let (held, theirs) = Arc::new(()).into_two();
    let told = Arc::new(AtomicBool::new(false));
    let callback = Arc::clone(&told);
    let builder = supervisor.worker().name("a\0b".into());
    let builder = builder.on_terminate(move || callback.store(true, Ordering::SeqCst));
    let panicked = catch_unwind(AssertUnwindSafe(move || {
        builder.spawn(move || drop(theirs))
    }));
    assert!(panicked.is_err());
    assert!(supervisor.workers().is_empty());
    assert_eq!(Arc::strong_count(&held), 1, "the closure is gone");
    let report = supervisor.shutdown();
    assert!(report.entries().is_empty(), "{report}");
    assert!(!told.load(Ordering::SeqCst));
}

#[test]
fn a_spawn_that_fails_leaves_nothing_behind() {
    let supervisor = Supervisor::new();
    let (held, theirs) = Arc::new(()).into_two();
    let told = Arc::new(AtomicBool::new(false));
    let callback = Arc::clone(&told);
    let failed = supervisor
        .worker()
        .stack_size(1 << 60)
        .critical() // one that never ran has not ended either
        .on_terminate(move || callback.store(true, Ordering::SeqCst))
        .spawn(move || drop(theirs));
    assert!(failed.is_err());
    assert!(supervisor.workers().is_empty());
    assert_eq!(Arc::strong_count(&held), 1, "the closure is gone");
    assert!(!supervisor.is_shutting_down());
    let worker = supervisor.worker().spawn_with(|stop| stop.wait()).unwrap();
    let report = supervisor.shutdown();
    assert_eq!(report.entries().len(), 1, "{report}");
    assert_eq!(report.entries()[0].id(), worker.id());
    assert!(!told.load(Ordering::SeqCst));
}

#[test]
fn a_scoped_spawn_that_fails_leaves_nothing_behind() {
    let supervisor = Supervisor::new();
    sundown::thread::scope(|scope| {
        let big = supervisor.worker().stack_size(1 << 60);
        assert!(big.spawn_scoped(scope, || ()).is_err());
    });
    assert!(supervisor.workers().is_empty());
    assert!(supervisor.shutdown().entries().is_empty());
}

/// Two handles on one thing: the count tells when the second is gone.
trait IntoTwo: Sized {
    fn into_two(self) -> (Self, Self);
}

impl<T> IntoTwo for Arc<T> {
    fn into_two(self) -> (Arc<T>, Arc<T>) {
        (Arc::clone(&self), self)
    }
}

#[test]
fn a_scoped_worker_is_told_by_a_shutdown() {
    let supervisor = Supervisor::new();
    let (told, was_told) = bounded(1);
    let (token, tokens) = bounded(1);
    sundown::thread::scope(|scope| {
        let worker = supervisor
            .worker()
            .name("scoped".into())
            .on_terminate(move || told.send(()).unwrap())
            .spawn_scoped(scope, move || {
                token.send(()).unwrap();
                sundown::stop_token().wait();
                5
            });
        let worker = worker.unwrap();
        tokens.recv().unwrap();
        assert_eq!(supervisor.workers().len(), 1);
        let report = supervisor.shutdown();
        assert_eq!(*report.entries()[0].outcome(), Outcome::Finished);
        assert_eq!(worker.join().unwrap(), 5);
    });
    was_told.try_recv().unwrap();
}

#[test]
fn join_timeout_returns_the_handle_as_good_as_before() {
    let mut gate = Gate::new();
    let pass = gate.passer();
    let worker = Supervisor::new().spawn(move || {
        pass();
        String::from("value")
    });
    let id = worker.id();
    let worker = worker.join_timeout(Duration::from_millis(1)).unwrap_err();
    let worker = worker.join_timeout(Duration::ZERO).unwrap_err();
    assert_eq!(worker.id(), id);
    assert!(!worker.is_finished());
    gate.open();
    let value = worker.join_timeout(PATIENCE).expect("it has ended");
    assert_eq!(value.unwrap(), "value");
}

#[test]
fn join_timeout_gives_the_payload_of_a_panic() {
    let worker = Supervisor::new().spawn(|| std::panic::panic_any(5_u8));
    let result: std::thread::Result<()> = worker.join_timeout(PATIENCE).expect("it has ended");
    assert_eq!(*result.unwrap_err().downcast::<u8>().unwrap(), 5);
}

#[test]
fn join_timeout_on_oneself_gives_the_handle_back() {
    let (give, take) = bounded::<JoinHandle<()>>(1);
    let (said, says) = bounded(1);
    let worker = Supervisor::new().spawn(move || {
        let me = take.recv().unwrap();
        said.send(me.join_timeout(PATIENCE).is_err()).unwrap();
    });
    give.send(worker).unwrap();
    // Far sooner than the time that it would wait for itself.
    assert!(says
        .recv_timeout(PATIENCE / 2)
        .expect("it waits for itself"));
}

#[test]
fn terminate_trips_unparks_and_calls_back_and_does_not_wait() {
    let (told, was_told) = unbounded();
    let mut gate = Gate::new();
    let pass = gate.passer();
    let worker = Supervisor::new()
        .worker()
        .on_terminate(move || told.send(()).unwrap())
        .spawn_with(move |stop| {
            while !stop.is_stopped() {
                std::thread::park();
            }
            pass();
        })
        .unwrap();
    worker.terminate();
    was_told.try_recv().expect("its callback has returned");
    assert!(!worker.is_finished());
    gate.open();
    in_time(move || worker.join().unwrap());
    assert!(was_told.recv().is_err(), "it ran once and is gone");
}

#[test]
fn a_worker_that_has_ended_is_asked_nothing() {
    let told = Arc::new(AtomicBool::new(false));
    let callback = Arc::clone(&told);
    let worker = Supervisor::new()
        .worker()
        .on_terminate(move || callback.store(true, Ordering::SeqCst))
        .spawn(|| ())
        .unwrap();
    in_time(move || {
        while !worker.is_finished() {
            std::thread::yield_now();
        }
        worker.terminate();
    });
    assert!(!told.load(Ordering::SeqCst));
}

#[test]
fn a_guard_stops_and_joins_when_it_is_dropped() {
    let over = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&over);
    let supervisor = Supervisor::new();
    let worker = supervisor.worker().spawn_with(move |stop| {
        stop.wait();
        std::thread::sleep(Duration::from_millis(50));
        theirs.store(true, Ordering::SeqCst);
    });
    let guard: JoinGuard<()> = worker.unwrap().into_guard();
    assert!(!guard.is_finished(), "it has the handle's methods");
    drop(guard);
    assert!(over.load(Ordering::SeqCst));
    assert!(supervisor.workers().is_empty());
}

#[test]
fn a_guard_can_be_joined_or_turned_back() {
    let supervisor = Supervisor::new();
    let worker = |value: u8| {
        let spawned = supervisor.worker().spawn_with(move |stop| {
            stop.wait();
            value
        });
        spawned.unwrap().into_guard()
    };
    let guard = worker(5);
    assert_eq!(in_time(move || guard.join().unwrap()), 5);

    let handle = worker(6).into_handle();
    let handle = handle.join_timeout(Duration::from_millis(50));
    let handle = handle.expect_err("nothing has told it");
    handle.terminate();
    assert_eq!(handle.join().unwrap(), 6);
}

#[test]
fn a_guard_works_while_a_panic_unwinds() {
    let over = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&over);
    let supervisor = Supervisor::new();
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let worker = supervisor.worker().spawn_with(move |stop| {
            stop.wait();
            theirs.store(true, Ordering::SeqCst);
            panic!("both panic");
        });
        let _guard = worker.unwrap().into_guard();
        panic!("expected");
    }));
    assert!(unwound.is_err());
    assert!(over.load(Ordering::SeqCst));
}

#[test]
fn an_unnamed_worker_has_no_name_in_lists_either() {
    let supervisor = Supervisor::new();
    supervisor.worker().spawn_with(|stop| stop.wait()).unwrap();
    assert_eq!(supervisor.workers()[0].name, None);
    assert_eq!(supervisor.shutdown().entries()[0].name(), None);
}

//! Who spawns a worker with `spawn_ready` goes on when it is ready, and learns why it is not.

mod support;

use std::io;
use std::time::Duration;

use sundown::events::EventKind;
use sundown::ready::{Services, StartError};
use sundown::{StopReason, Supervisor};
use support::{in_time, timed, Gate, Journal};

#[test]
fn it_returns_when_the_worker_is_ready_with_what_that_gives() {
    let supervisor = Supervisor::new();
    let events = supervisor.subscribe(8);
    let worker = supervisor.worker().name("server".into());
    let (handle, port) = worker
        .spawn_ready(|ready, stop| {
            ready.ok(8_080_u16);
            stop.wait();
            "closed"
        })
        .unwrap();
    assert_eq!(port, 8_080);
    let kinds: Vec<EventKind> = events.try_iter().map(|event| event.kind).collect();
    assert!(
        matches!(kinds[..], [EventKind::Started, EventKind::Ready]),
        "{kinds:?}"
    );
    handle.terminate();
    assert_eq!(in_time(|| handle.join()).unwrap(), "closed");
}

#[test]
fn a_worker_that_is_ready_and_through_at_once_was_ready() {
    let supervisor = Supervisor::new();
    for _ in 0..200 {
        let ready = supervisor.worker().spawn_ready(|ready, _| ready.ok(1));
        let (handle, value) = ready.unwrap();
        assert_eq!(value, 1);
        handle.join().unwrap();
    }
}

#[test]
fn its_own_error_is_given_back_when_it_ends_before() {
    let supervisor = Supervisor::new();
    let start = || {
        supervisor.worker().spawn_ready::<_, _, ()>(|ready, _| {
            let listener = Err(io::Error::new(io::ErrorKind::AddrInUse, "port 80 is taken"));
            let () = listener?;
            ready.ok(());
            Ok::<(), io::Error>(())
        })
    };
    let error = start().unwrap_err();
    assert!(error.to_string().contains("before it was ready"), "{error}");
    let own = error.into_own_error().expect("its own error");
    assert_eq!(own.kind(), io::ErrorKind::AddrInUse);
    assert!(matches!(start().unwrap_err(), StartError::Ended(Err(_))));
}

#[test]
fn its_panic_is_given_back_when_it_panics_before() {
    let supervisor = Supervisor::new();
    let error = supervisor
        .worker()
        .spawn_ready::<_, (), ()>(|_ready, _| panic!("no such table"))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the worker panicked before it was ready: no such table"
    );
    let StartError::Panicked(payload) = error else {
        panic!("{error:?}");
    };
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"no such table"));
}

#[test]
fn a_timeout_tells_the_worker_to_stop_and_gives_its_handle_back() {
    let supervisor = Supervisor::new();
    let timeout = Duration::from_millis(30);
    let slow = supervisor.worker().start_timeout(timeout);
    let (error, took) = timed(|| {
        slow.spawn_ready::<_, _, ()>(|_ready, stop| {
            stop.wait();
            stop.reason()
        })
        .unwrap_err()
    });
    assert!(took >= timeout);
    assert!(error.to_string().contains("start_timeout"), "{error}");
    let StartError::TimedOut { worker, .. } = error else {
        panic!("{error:?}");
    };
    let reason = in_time(|| worker.join()).unwrap();
    assert_eq!(reason, Some(StopReason::Terminated));
}

#[test]
fn who_drops_its_ready_and_goes_on_is_waited_for_until_it_ends() {
    let supervisor = Supervisor::new();
    let gate = Gate::new();
    let pass = gate.passer();
    let waits = std::thread::spawn(move || {
        let worker = supervisor
            .worker()
            .spawn_ready::<_, _, ()>(move |ready, _| {
                drop(ready);
                pass();
                "gave up"
            });
        worker.unwrap_err()
    });
    drop(gate);
    let error = in_time(|| waits.join()).unwrap();
    assert!(matches!(error, StartError::Ended("gave up")), "{error:?}");
}

#[test]
fn a_ready_that_comes_too_late_harms_nobody() {
    let supervisor = Supervisor::new();
    let worker = supervisor.worker().start_timeout(Duration::ZERO);
    let worker = worker.spawn_ready(|ready, stop| {
        stop.wait();
        ready.ok(String::from("too late"));
    });
    let Err(StartError::TimedOut { worker, .. }) = worker else {
        panic!("it was not ready");
    };
    in_time(|| worker.join()).unwrap();
}

#[test]
fn a_ready_may_be_used_on_another_thread() {
    let supervisor = Supervisor::new();
    let events = supervisor.subscribe(8);
    let worker = supervisor.worker().name("server".into());
    let (handle, ()) = worker
        .spawn_ready(|ready, _| std::thread::spawn(move || ready.ok(())).join().unwrap())
        .unwrap();
    handle.join().unwrap();
    let ready = events
        .try_iter()
        .find(|event| matches!(event.kind, EventKind::Ready));
    assert_eq!(ready.unwrap().name.as_deref(), Some("server"));
}

#[test]
fn a_shutdown_while_it_is_waited_for_ends_the_wait() {
    let supervisor = Supervisor::new();
    let starter = supervisor.clone();
    let waits = std::thread::spawn(move || {
        let worker = starter.worker();
        worker.spawn_ready::<_, _, ()>(|_ready, stop| stop.wait())
    });
    while supervisor.workers().is_empty() {
        std::thread::yield_now();
    }
    assert!(in_time(move || supervisor.shutdown()).is_clean());
    let started = in_time(|| waits.join()).unwrap();
    assert!(matches!(started, Err(StartError::Ended(()))));
}

#[test]
fn a_thread_that_cannot_be_started_is_an_error_with_its_source() {
    let supervisor = Supervisor::new();
    supervisor.shutdown();
    let error = supervisor.worker().spawn_ready(|ready, _| ready.ok(()));
    let error = error.unwrap_err();
    assert!(matches!(error, StartError::Spawn(_)));
    assert!(std::error::Error::source(&error).is_some());
    assert!(error.to_string().contains("shutdown is over"), "{error}");
}

/// Starts services called `names`, one after another; that called `bad` fails.
fn start(
    supervisor: &Supervisor,
    journal: &Journal,
    names: &[&'static str],
    bad: &str,
) -> Result<Services, StartError<Result<(), String>>> {
    let mut services = Services::new();
    for &name in names {
        let journal = journal.clone();
        let fails = name == bad;
        let builder = supervisor.worker().name(name.into());
        services.start(builder, move |ready, stop| {
            if fails {
                return Err(format!("{name} cannot start"));
            }
            journal.note(format!("{name} ready"));
            ready.ok(());
            stop.wait();
            journal.note(format!("{name} ends"));
            Ok(())
        })?;
    }
    Ok(services)
}

#[test]
fn services_that_fail_in_the_third_are_rolled_back_in_reverse() {
    let supervisor = Supervisor::new();
    let journal = Journal::new();
    let names = ["storage", "index", "server", "metrics"];
    let error = start(&supervisor, &journal, &names, "server").unwrap_err();
    assert_eq!(error.into_own_error().unwrap(), "server cannot start");
    assert_eq!(
        journal.lines(),
        ["storage ready", "index ready", "index ends", "storage ends"]
    );
    assert!(
        supervisor.workers().is_empty(),
        "joined, each before the next"
    );
    assert!(!supervisor.is_shutting_down());
}

#[test]
fn services_that_are_kept_end_with_their_supervisor() {
    let supervisor = Supervisor::new();
    let journal = Journal::new();
    let services = start(&supervisor, &journal, &["a", "b"], "none").unwrap();
    services.keep();
    assert_eq!(journal.lines(), ["a ready", "b ready"]);
    assert_eq!(supervisor.workers().len(), 2);
    assert!(in_time(move || supervisor.shutdown()).is_clean());
    assert_eq!(journal.lines().len(), 4);
}

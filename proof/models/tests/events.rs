//! Events are given out in the order in which things happen. A program of its own: who observes is counted for the whole process.

#[allow(dead_code)] // the other tests use the rest
#[path = "models/support.rs"]
mod support;

use std::sync::Arc;

use shuttle::thread;
use sundown::events::EventKind;
use sundown::Supervisor;
use support::{check, Time};

/// A worker ends while it is told. First it was started; and if it saw its token stopped, it was told before it ended. The end of
/// the shutdown comes last, and nothing is missed.
///
/// Broken by:
/// - `event-is-given-out-without-the-lock`, seed 950986080297381535
#[test]
fn events_are_in_order() {
    check(Time::Stands, || {
        let supervisor = Supervisor::new();
        let events = supervisor.subscribe(64);
        let worker = supervisor.worker().spawn_with(|stop| stop.is_stopped());
        let worker = Arc::new(worker.unwrap());
        let id = worker.id();
        let teller = {
            let worker = Arc::clone(&worker);
            thread::spawn(move || worker.terminate())
        };
        supervisor.shutdown();
        teller.join().unwrap();
        let told = Arc::into_inner(worker).unwrap().join().unwrap();
        let events: Vec<_> = events.try_iter().collect();
        let own: Vec<_> = events.iter().filter(|event| event.id == Some(id)).collect();
        let at = |what: fn(&EventKind) -> bool| own.iter().position(|event| what(&event.kind));
        let asked = at(|kind| matches!(kind, EventKind::TerminateRequested(_)));
        let ended = at(|kind| matches!(kind, EventKind::Finished));
        assert_eq!(
            at(|kind| matches!(kind, EventKind::Started)),
            Some(0),
            "{events:?}"
        );
        assert!(ended.is_some(), "{events:?}");
        assert!(!told || (asked.is_some() && asked < ended), "{events:?}");
        assert!(own.len() <= 3, "each happens once: {events:?}");
        let last = &events.last().unwrap().kind;
        assert!(matches!(last, EventKind::ShutdownEnded(_)), "{events:?}");
        assert!(events.iter().all(|event| event.missed == 0));
    });
}

//! Whoever subscribes sees what happens in the order in which it does, holds up nobody, and knows what was missed.

mod support;

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use crossbeam_channel::{bounded, Receiver};
use sundown::events::{Event, EventKind};
use sundown::restart::Restart;
use sundown::{Cause, StopReason, Supervisor};
use support::{in_time, timed, Gate, PATIENCE};

const HOUR: Duration = Duration::from_secs(3_600);

/// An event in one word, with the name it is about.
fn brief(event: &Event) -> String {
    let what = match &event.kind {
        EventKind::Started => "started",
        EventKind::Ready => "ready",
        EventKind::TerminateRequested(_) => "told",
        EventKind::Finished => "finished",
        EventKind::Failed(_) => "failed",
        EventKind::Panicked(_) => "panicked",
        EventKind::Restarting { .. } => "restarting",
        EventKind::GaveUp { .. } => "gave up",
        EventKind::ShutdownBegan(_) => "began",
        EventKind::Straggler => "straggler",
        EventKind::ShutdownEnded(_) => "ended",
        other => panic!("{other:?}"),
    };
    match &event.name {
        Some(name) => format!("{what} {name}"),
        None => what.to_owned(),
    }
}

/// All events up to the end, none of which was missed, and none of which goes back in time.
fn to_the_end(events: Receiver<Event>) -> Vec<Event> {
    let all: Vec<Event> = in_time(move || events.iter().collect());
    assert!(all.windows(2).all(|pair| pair[0].at <= pair[1].at));
    assert!(all.iter().all(|event| event.missed == 0));
    all
}

fn briefs(events: &[Event]) -> Vec<String> {
    events.iter().map(brief).collect()
}

fn about<'a>(events: &'a [Event], name: &str) -> Vec<&'a Event> {
    let named = |event: &&Event| event.name.as_deref() == Some(name);
    events.iter().filter(named).collect()
}

#[test]
fn a_life_is_told_from_start_to_end() {
    let supervisor = Supervisor::builder().name("shop").build();
    let before = Instant::now();
    let events = supervisor.subscribe(64);
    let worker = supervisor.worker().name("till".into());
    let worker = worker.spawn_with(|stop| stop.wait()).unwrap();
    let id = worker.id();
    assert_eq!(
        brief(&events.try_recv().unwrap()),
        "started till",
        "when spawn returns"
    );
    supervisor.shutdown();
    let all = to_the_end(events);
    assert_eq!(
        briefs(&all),
        ["began shop", "told till", "finished till", "ended shop"]
    );
    let told = &all[1];
    assert_eq!(told.id, Some(id));
    assert_eq!(told.supervisor.as_deref(), Some("shop"));
    assert!(told.at >= before && told.at <= Instant::now());
    let shutdown = StopReason::Shutdown(Cause::Requested);
    assert!(matches!(&told.kind, EventKind::TerminateRequested(reason) if *reason == shutdown));
    assert!(matches!(
        &all[0].kind,
        EventKind::ShutdownBegan(Cause::Requested)
    ));
    assert!(matches!(&all[3].kind, EventKind::ShutdownEnded(report) if report.is_clean()));
    assert_eq!(
        told.to_string(),
        format!("worker till ({id}) is told to stop by a shutdown after a request")
    );
}

#[test]
fn a_restarting_worker_is_told_of_at_each_turn() {
    let supervisor = Supervisor::new();
    let events = supervisor.subscribe(64);
    let policy = Restart::on_failure()
        .backoff(Duration::ZERO, Duration::ZERO)
        .limit(2, HOUR);
    let worker = supervisor.worker().name("client".into()).restart(policy);
    let mut run = 0;
    worker
        .spawn_loop(move |_| -> Result<(), &str> {
            run += 1;
            match run {
                2 => panic!("torn"),
                _ => Err("refused"),
            }
        })
        .unwrap();
    let waiter = supervisor.clone();
    in_time(move || waiter.wait_for_shutdown());
    supervisor.shutdown();
    let all = to_the_end(events);
    let client = about(&all, "client");
    let words: Vec<String> = client.iter().map(|event| brief(event)).collect();
    let expected = ["started", "restarting", "restarting", "gave up", "failed"];
    assert_eq!(words[..5], expected.map(|what| format!("{what} client")));
    let failures: Vec<_> = client
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Restarting {
                restarts, failure, ..
            } => Some((*restarts, failure.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(
        failures,
        [(1, Some("refused".into())), (2, Some("torn".into()))]
    );
    let position = |what: &str| briefs(&all).iter().position(|line| line == what).unwrap();
    assert!(position("failed client") < position("began"), "{all:?}");
    assert_eq!(
        client[1].to_string(),
        format!(
            "worker client ({}) restarts for the 1st time: refused",
            client[1].id.unwrap()
        )
    );
}

#[test]
fn a_panic_is_told_when_it_happens_and_not_only_at_the_join() {
    let supervisor = Supervisor::new();
    let events = supervisor.subscribe(64);
    let worker = supervisor.worker().name("clumsy".into());
    let _handle = worker.spawn(|| panic!("oops")).unwrap();
    let event = |n: u32| {
        let event = events.recv_timeout(PATIENCE);
        event.unwrap_or_else(|_| panic!("no event {n}"))
    };
    assert_eq!(brief(&event(1)), "started clumsy");
    let panicked = event(2);
    assert!(matches!(&panicked.kind, EventKind::Panicked(message) if message == "oops"));
}

#[test]
fn who_subscribes_to_a_parent_sees_its_children_and_not_the_other_way_round() {
    let parent = Supervisor::builder().name("parent").build();
    let child = parent.child("child");
    let of_parent = parent.subscribe(64);
    let of_child = child.subscribe(64);
    parent
        .worker()
        .name("p".into())
        .spawn_with(|stop| stop.wait())
        .unwrap();
    child
        .worker()
        .name("c".into())
        .spawn_with(|stop| stop.wait())
        .unwrap();
    parent.shutdown();
    assert_eq!(
        briefs(&to_the_end(of_child)),
        [
            "started c",
            "began child",
            "told c",
            "finished c",
            "ended child"
        ]
    );
    let all = to_the_end(of_parent);
    let mut lines = briefs(&all);
    lines.retain(|line| line != "finished p"); // at any moment after it was told
    assert_eq!(
        lines,
        [
            "started p",
            "started c",
            "began parent",
            "told p",
            "began child",
            "told c",
            "finished c",
            "ended child",
            "ended parent"
        ]
    );
    assert!(about(&all, "c")
        .iter()
        .all(|event| event.supervisor.as_deref() == Some("child")));
    assert!(about(&all, "parent").iter().all(|event| event.id.is_none()));
    assert!(about(&all, "child").iter().all(|event| event.id.is_some()));
}

#[test]
fn stragglers_are_told_when_their_time_is_up() {
    let supervisor = Supervisor::builder()
        .deadline(Duration::from_millis(300))
        .build();
    let events = supervisor.subscribe(64);
    let gate = Gate::new();
    for (name, grace) in [
        ("to the deadline", None),
        ("by its grace", Some(Duration::from_millis(20))),
    ] {
        let pass = gate.passer();
        let mut worker = supervisor.worker().name(name.into());
        if let Some(grace) = grace {
            worker = worker.grace(grace);
        }
        worker.spawn(pass).unwrap();
    }
    let report = supervisor.shutdown();
    assert_eq!(report.stragglers().len(), 2);
    let all = to_the_end(events);
    let stuck: Vec<&Event> = all
        .iter()
        .filter(|event| matches!(event.kind, EventKind::Straggler))
        .collect();
    assert_eq!(stuck[0].name.as_deref(), Some("by its grace"));
    assert_eq!(stuck[1].name.as_deref(), Some("to the deadline"));
    assert_eq!(stuck.len(), 2);
    assert!(stuck[1].at - stuck[0].at >= Duration::from_millis(200));
}

#[test]
fn stragglers_are_told_of_before_the_exit_hooks_run() {
    let supervisor = Supervisor::builder()
        .deadline(Duration::from_millis(100))
        .build();
    let gate = Gate::new();
    let worker = supervisor.worker().name("mule".into());
    worker.spawn(gate.passer()).unwrap();
    let events = supervisor.subscribe(64);
    let (seen, so_far) = bounded(1);
    let read = events.clone();
    supervisor.on_exit("last", move || {
        let all: Vec<Event> = read.try_iter().collect();
        seen.send(briefs(&all)).unwrap();
    });
    supervisor.shutdown();
    let so_far = so_far.recv().unwrap();
    assert_eq!(so_far.last().unwrap(), "straggler mule", "{so_far:?}");
}

#[test]
fn with_no_time_at_all_each_straggler_is_told_of_once() {
    let supervisor = Supervisor::builder().deadline(Duration::ZERO).build();
    let events = supervisor.subscribe(64);
    let gate = Gate::new();
    for _ in 0..3 {
        supervisor.worker().spawn(gate.passer()).unwrap();
    }
    let report = supervisor.shutdown();
    let all = to_the_end(events);
    let stuck = all
        .iter()
        .filter(|event| matches!(event.kind, EventKind::Straggler));
    assert_eq!(stuck.count(), report.stragglers().len());
    assert_eq!(report.stragglers().len(), 3);
}

#[test]
fn an_observer_that_never_reads_blocks_nobody_and_learns_what_it_missed() {
    let supervisor = Supervisor::new();
    let slow = supervisor.subscribe(3);
    let none = supervisor.subscribe(0);
    let all = supervisor.subscribe(usize::MAX);
    in_time({
        let supervisor = supervisor.clone();
        move || {
            for _ in 0..500 {
                supervisor.spawn(|| ()).join().unwrap();
            }
            supervisor.shutdown();
        }
    });
    let all = to_the_end(all);
    assert!(all.len() >= 1_002);
    let slow: Vec<Event> = slow.iter().collect();
    assert_eq!(slow.len(), 4, "three, and the end");
    assert_eq!(
        slow.iter().map(|event| event.missed).sum::<u64>() + 4,
        all.len() as u64
    );
    assert!(slow[..3].iter().all(|event| event.missed == 0));
    assert!(matches!(slow[3].kind, EventKind::ShutdownEnded(_)));
    let none: Vec<Event> = none.iter().collect();
    assert_eq!(none.len(), 1);
    assert_eq!(none[0].missed + 1, all.len() as u64);
}

#[test]
fn a_subscriber_that_catches_up_sees_the_gap_where_it_was() {
    let supervisor = Supervisor::new();
    let events = supervisor.subscribe(2);
    let run = || supervisor.spawn(|| ()).join().unwrap();
    run(); // started, finished
    run(); // missed
    assert_eq!(
        events
            .try_iter()
            .map(|event| event.missed)
            .collect::<Vec<_>>(),
        [0, 0]
    );
    run();
    assert_eq!(
        events
            .try_iter()
            .map(|event| event.missed)
            .collect::<Vec<_>>(),
        [2, 0]
    );
}

#[test]
fn a_subscription_ends_with_its_receiver() {
    let supervisor = Supervisor::new();
    for _ in 0..10_000 {
        drop(supervisor.subscribe(8));
    }
    // Each was let go at the next event; with all of them this would take seconds.
    supervisor.spawn(|| ()).join().unwrap();
    let (_, took) = timed(|| {
        for _ in 0..10 {
            supervisor.spawn(|| ()).join().unwrap();
        }
    });
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn after_the_end_there_is_nothing_to_wait_for() {
    let supervisor = Supervisor::new();
    supervisor.shutdown();
    let events = supervisor.subscribe(8);
    assert!(in_time(move || events.recv()).is_err());
}

#[test]
fn started_is_the_first_event_of_each_worker_and_its_end_the_last() {
    let supervisor = Supervisor::new();
    let events = supervisor.subscribe(usize::MAX);
    let barrier = Arc::new(Barrier::new(5));
    let spawners: Vec<_> = (0..4)
        .map(|_| {
            let (supervisor, barrier) = (supervisor.clone(), Arc::clone(&barrier));
            std::thread::spawn(move || {
                barrier.wait();
                // Refused once the shutdown is over, which comes at some moment in here.
                while let Ok(worker) = supervisor.worker().spawn_with(|stop| stop.is_stopped()) {
                    worker.terminate();
                    worker.join().unwrap();
                }
            })
        })
        .collect();
    barrier.wait();
    let (done, soon) = bounded::<()>(0);
    let _ = soon.recv_timeout(Duration::from_millis(50)); // for the spawners to get going
    drop(done);
    supervisor.shutdown();
    spawners
        .into_iter()
        .for_each(|spawner| spawner.join().unwrap());
    let all = to_the_end(events);
    let mut lives = std::collections::BTreeMap::<_, Vec<&Event>>::new();
    for event in all.iter().filter(|event| event.name.is_none()) {
        if let Some(id) = event.id {
            lives.entry(id).or_default().push(event);
        }
    }
    assert!(!lives.is_empty());
    for life in lives.values() {
        assert!(matches!(life[0].kind, EventKind::Started), "{life:?}");
        let told = |event: &&&Event| matches!(event.kind, EventKind::TerminateRequested(_));
        assert!(life.iter().filter(told).count() <= 1, "{life:?}");
        let ends = life
            .iter()
            .filter(|event| matches!(event.kind, EventKind::Finished));
        assert!(ends.count() <= 1, "{life:?}");
    }
}

#[test]
fn a_worker_has_started_before_what_it_starts_itself() {
    for _ in 0..200 {
        let supervisor = Supervisor::new();
        let events = supervisor.subscribe(64);
        let inner = supervisor.clone();
        let outer = supervisor.worker().name("outer".into());
        let outer = outer.spawn(move || {
            let inner = inner.worker().name("inner".into());
            inner.spawn(|| ()).unwrap().join().unwrap();
        });
        outer.unwrap().join().unwrap();
        supervisor.shutdown();
        let all = briefs(&to_the_end(events));
        let about: Vec<&String> = all.iter().filter(|brief| brief.contains("er")).collect();
        assert_eq!(
            about[..3],
            ["started outer", "started inner", "finished inner"],
            "{all:?}"
        );
    }
}

#[test]
fn a_spawn_that_fails_is_no_event() {
    let supervisor = Supervisor::new();
    let events = supervisor.subscribe(8);
    let worker = supervisor.worker().stack_size(usize::MAX / 2);
    assert!(worker.spawn(|| ()).is_err());
    supervisor.shutdown();
    assert_eq!(briefs(&to_the_end(events)), ["began", "ended"]);
}

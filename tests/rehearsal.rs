//! A rehearsal finds the checkpoints of a program, requests the shutdown at each of them in turn, and tells a clean run from one
//! that is not.

mod support;

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use sundown::testing::{checkpoint, isolated, rehearse, Rehearsal, Rehearsed, SIGINT, SIGTERM};
use sundown::{thread, Cause, Order, Supervisor};
use support::{in_time, Gate, Journal};

/// The checkpoints of its runs, with whether they were clean.
fn runs(rehearsed: &Rehearsed) -> Vec<(Option<&'static str>, bool)> {
    let runs = rehearsed.runs().iter();
    runs.map(|run| (run.checkpoint(), run.is_clean())).collect()
}

/// Rehearses on a thread of its own, so that a hang is a failure.
fn rehearse_in_time(
    rehearsal: impl FnOnce() -> Rehearsal + Send + 'static,
    program: impl Fn() + Send + Sync + 'static,
) -> Rehearsed {
    in_time(move || rehearsal().run(program))
}

#[test]
fn it_runs_the_program_once_and_then_once_for_each_checkpoint() {
    let journal = Journal::new();
    let notes = journal.clone();
    let rehearsed = rehearse_in_time(Rehearsal::new, move || {
        let asked = |place: &str| {
            let asked = sundown::is_shutting_down();
            notes.note(format!("{place} {asked}"));
        };
        checkpoint("one");
        asked("one");
        thread::spawn(|| checkpoint("two")).join().unwrap();
        asked("two");
        checkpoint("one"); // again: known already
        checkpoint("three");
        asked("three");
    });
    assert!(rehearsed.is_clean(), "{rehearsed}");
    assert_eq!(
        runs(&rehearsed),
        [
            (None, true),
            (Some("one"), true),
            (Some("two"), true),
            (Some("three"), true)
        ]
    );
    assert_eq!(
        journal.lines(),
        [
            ["one false", "two false", "three false"],
            ["one true", "two true", "three true"],
            ["one false", "two true", "three true"],
            ["one false", "two false", "three true"],
        ]
        .concat()
    );
    let two = &rehearsed.runs()[2];
    assert_eq!(two.location().unwrap().file(), file!());
    assert_eq!(*two.report().cause(), Cause::Signal(SIGTERM));
    assert_eq!(*rehearsed.runs()[0].report().cause(), Cause::Requested);
}

#[test]
fn it_says_at_which_checkpoint_the_program_does_not_end_clean_and_how() {
    let gate = Gate::new();
    let passer = gate.passer();
    let line = line!() + 11;
    let rehearsed = rehearse_in_time(
        || Rehearsal::new().supervisor(Supervisor::builder().deadline(Duration::from_millis(100))),
        move || {
            checkpoint("starting");
            // A program that is not ready to be stopped between these two.
            let passer = passer.clone();
            let worker = thread::Builder::new().name("fetcher".into());
            let token = sundown::stop_token();
            let worker = worker
                .spawn(move || {
                    checkpoint("fetching");
                    if sundown::is_shutting_down() {
                        passer(); // for ever
                    }
                })
                .unwrap();
            if !token.is_stopped() {
                worker.join().unwrap();
            }
        },
    );
    assert!(!rehearsed.is_clean());
    let fetching = rehearsed.runs().last().unwrap();
    assert_eq!(fetching.checkpoint(), Some("fetching"));
    assert!(!fetching.is_clean());
    let text = rehearsed.to_string();
    assert!(
        text.contains(&format!(
            "the shutdown at \"fetching\" ({}:{line}):",
            file!()
        )),
        "{text}"
    );
    assert!(text.contains("STUCK     fetcher"), "{text}");
    assert_eq!(
        fetching.report().stragglers()[0].name(),
        Some("fetcher"),
        "{text}"
    );
}

#[test]
fn rehearse_fails_the_test_with_all_of_that() {
    let failed = in_time(|| {
        catch_unwind(|| {
            rehearse(|| {
                checkpoint("before");
                assert!(!sundown::is_shutting_down(), "not now");
                checkpoint("after");
            })
        })
    });
    let message = failed.unwrap_err().downcast::<String>().unwrap();
    assert!(
        message.starts_with("1 of 3 runs did not end clean"),
        "{message}"
    );
    assert!(message.contains("the shutdown at \"before\""), "{message}");
    assert!(
        message.contains("the program panicked: not now"),
        "{message}"
    );
    assert!(!message.contains("\"after\""), "{message}");
}

#[test]
fn a_program_that_waits_to_be_told_is_asked_where_until_says() {
    let rehearsed = rehearse_in_time(
        || {
            Rehearsal::new()
                .until("serving")
                .cause(Cause::Signal(SIGINT))
        },
        || {
            checkpoint("starting");
            checkpoint("serving");
            assert_eq!(sundown::wait_for_shutdown(), Cause::Signal(SIGINT));
            checkpoint("leaving"); // the way out: nothing to be asked for any more
        },
    );
    assert!(rehearsed.is_clean(), "{rehearsed}");
    let wanted = [
        (None, true),
        (Some("starting"), true),
        (Some("serving"), true),
    ];
    assert_eq!(runs(&rehearsed), wanted);
}

#[test]
fn until_a_checkpoint_that_never_comes_is_a_failure_that_says_so() {
    let rehearsed = rehearse_in_time(
        || Rehearsal::new().until("serving"),
        || checkpoint("starting"),
    );
    assert_eq!(runs(&rehearsed), [(None, false), (Some("starting"), true)]);
    assert!(rehearsed.to_string().contains("\"serving\""), "{rehearsed}");
}

#[test]
fn a_program_that_never_ends_is_asked_to_at_the_limit_and_has_failed() {
    let rehearsed = rehearse_in_time(
        || Rehearsal::new().limit(Duration::from_secs(3)),
        || {
            checkpoint("starting");
            sundown::wait_for_shutdown();
        },
    );
    assert_eq!(runs(&rehearsed), [(None, false), (Some("starting"), true)]);
    assert!(
        rehearsed.to_string().contains("`until`"),
        "it says what to do: {rehearsed}"
    );
}

#[test]
fn one_without_checkpoints_has_rehearsed_nothing_and_says_what_to_do() {
    let rehearsed = rehearse_in_time(Rehearsal::new, || ());
    assert_eq!(runs(&rehearsed), [(None, false)]);
    assert!(
        rehearsed.to_string().contains("checkpoint(\"...\")"),
        "{rehearsed}"
    );
}

#[test]
fn a_checkpoint_that_only_the_first_run_passes_is_not_passed_over_in_silence() {
    let count = AtomicUsize::new(0);
    let rehearsed = rehearse_in_time(Rehearsal::new, move || {
        if count.fetch_add(1, Ordering::Relaxed) == 0 {
            checkpoint("only once");
        }
    });
    assert_eq!(runs(&rehearsed), [(None, true), (Some("only once"), false)]);
    assert!(
        rehearsed.to_string().contains("without passing it"),
        "{rehearsed}"
    );
}

#[test]
fn one_that_is_passed_now_and_then_gets_several_attempts() {
    let count = AtomicUsize::new(0);
    let rehearsed = rehearse_in_time(Rehearsal::new, move || {
        if count.fetch_add(1, Ordering::Relaxed) % 3 == 0 {
            checkpoint("now and then");
        }
    });
    assert_eq!(
        runs(&rehearsed),
        [(None, true), (Some("now and then"), true)]
    );
    let run = &rehearsed.runs()[1];
    assert_eq!(
        *run.report().cause(),
        Cause::Signal(SIGTERM),
        "it was asked there"
    );
}

#[test]
fn a_panic_before_the_shutdown_counts() {
    let rehearsed = rehearse_in_time(Rehearsal::new, || {
        checkpoint("started");
        panic!("by itself");
    });
    assert_eq!(runs(&rehearsed), [(None, false), (Some("started"), false)]);
    assert!(rehearsed.to_string().contains("by itself"), "{rehearsed}");
}

#[test]
fn what_is_looked_at_after_each_run_counts() {
    let kept = Arc::new(AtomicUsize::new(0));
    let (seen, keeps) = (Arc::clone(&kept), kept);
    let rehearsed = rehearse_in_time(
        move || {
            Rehearsal::new().after_each(move |report| {
                assert!(report.is_complete());
                assert_eq!(seen.load(Ordering::SeqCst), 2, "something is lost");
            })
        },
        move || {
            keeps.store(0, Ordering::SeqCst);
            for place in ["first", "second"] {
                keeps.fetch_add(1, Ordering::SeqCst);
                checkpoint(place);
                if sundown::is_shutting_down() {
                    return; // and forgets the rest
                }
            }
        },
    );
    let wanted = [(None, true), (Some("first"), false), (Some("second"), true)];
    assert_eq!(runs(&rehearsed), wanted);
    assert!(
        rehearsed.to_string().contains("something is lost"),
        "{rehearsed}"
    );
}

#[test]
fn a_check_that_always_fails_fails_every_run() {
    let rehearsed = rehearse_in_time(
        || Rehearsal::new().after_each(|_| panic!("lost")),
        || checkpoint("one"),
    );
    assert_eq!(runs(&rehearsed), [(None, false), (Some("one"), false)]);
    assert!(
        rehearsed.to_string().contains("the check after it: lost"),
        "{rehearsed}"
    );
}

#[test]
fn rehearsals_side_by_side_do_not_disturb_each_other() {
    in_time(|| {
        let meet = Arc::new(Barrier::new(2));
        let program = |place: &'static str| {
            let meet = Arc::clone(&meet);
            move || {
                meet.wait(); // both are under way
                checkpoint(place);
                checkpoint("both");
                meet.wait();
            }
        };
        let (one, two) = (program("one"), program("two"));
        let first = std::thread::spawn(move || rehearse(one));
        let second = rehearse(two);
        let first = first.join().unwrap();
        let wanted = |place| [(None, true), (Some(place), true), (Some("both"), true)];
        assert_eq!(runs(&first), wanted("one"));
        assert_eq!(runs(&second), wanted("two"));
    });
}

#[test]
fn checkpoints_outside_of_it_do_nothing() {
    checkpoint("nobody rehearses");
    in_time(|| {
        let meet = Arc::new(Barrier::new(2));
        let theirs = Arc::clone(&meet);
        let other = std::thread::spawn(move || {
            isolated(|| {
                for _ in 0..2 {
                    theirs.wait();
                    checkpoint("another test's");
                    assert!(!sundown::is_shutting_down());
                    theirs.wait();
                }
            });
        });
        let rehearsed = rehearse(move || {
            meet.wait();
            meet.wait();
            checkpoint("ours");
            // A thread of nobody's.
            std::thread::spawn(|| checkpoint("nobody's"))
                .join()
                .unwrap();
        });
        other.join().unwrap();
        assert_eq!(runs(&rehearsed), [(None, true), (Some("ours"), true)]);
    });
}

#[test]
fn a_worker_of_a_nested_supervisor_belongs_to_it() {
    let rehearsed = rehearse_in_time(
        || Rehearsal::new().supervisor(Supervisor::builder().order(Order::OneByOne)),
        || {
            let tier = Supervisor::current().child("tier");
            let deep = tier.child("deep").spawn(|| checkpoint("deep"));
            deep.join().unwrap();
        },
    );
    assert!(rehearsed.is_clean(), "{rehearsed}");
    assert_eq!(runs(&rehearsed), [(None, true), (Some("deep"), true)]);
}

#[test]
fn it_can_be_rehearsed_within_an_isolated_test() {
    in_time(|| {
        isolated(|| {
            let rehearsed = rehearse(|| checkpoint("inside"));
            assert_eq!(rehearsed.runs().len(), 2);
            assert!(!sundown::is_shutting_down());
        });
    });
}

#[test]
fn one_that_does_not_end_is_left_behind_and_the_others_go_on() {
    let gate = Gate::new();
    let passer = gate.passer();
    let rehearsed = rehearse_in_time(
        || Rehearsal::new().supervisor(Supervisor::builder().deadline(Duration::from_secs(2))),
        move || {
            checkpoint("stuck here");
            if sundown::is_shutting_down() {
                passer();
            }
            checkpoint("fine here");
        },
    );
    let wanted = [
        (None, true),
        (Some("stuck here"), false),
        (Some("fine here"), true),
    ];
    assert_eq!(runs(&rehearsed), wanted);
    assert!(
        rehearsed.to_string().contains("STUCK     program"),
        "{rehearsed}"
    );
    let failed = catch_unwind(AssertUnwindSafe(|| {
        assert!(rehearsed.is_clean(), "{rehearsed}");
    }));
    assert!(failed.is_err());
}

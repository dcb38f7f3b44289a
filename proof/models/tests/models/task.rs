//! Tasks: the start against the cancel, the end of the pool, and those who wait.

use shuttle::thread;
use sundown::model::Share;
use sundown::{Cancel, Cancelled, TaskError};

use crate::support::{check, Log, Time};

/// A task is started or prevented, never both and never neither; who waits for it is woken in any case; one that has begun can
/// hear of its cancel.
///
/// Broken by:
/// - `task-begins-in-two-steps`, seed 9524572273043783285
/// - `task-waiter-counts-itself-late`, seed 8569532096260109477
#[test]
fn task_is_started_or_cancelled() {
    check(Time::Stands, || {
        let ran = Log::new();
        let theirs = ran.clone();
        let (share, task) = Share::of(move |stop| {
            theirs.add("begins");
            thread::yield_now();
            stop.is_stopped()
        });
        let task = std::sync::Arc::new(task);
        let worker = thread::spawn(move || share.run());
        let canceller = {
            let task = std::sync::Arc::clone(&task);
            thread::spawn(move || task.cancel())
        };
        let outcome = task.wait();
        worker.join().unwrap();
        let started = !ran.all().is_empty();
        let cancel = canceller.join().unwrap();
        assert!(ran.all().len() <= 1);
        match cancel {
            Cancel::Prevented => {
                assert!(!started);
                let why = TaskError::Cancelled(Cancelled::OnRequest).to_string();
                assert_eq!(outcome.unwrap_err().to_string(), why);
            }
            Cancel::Requested => assert!(started && outcome.is_ok()),
            Cancel::TooLate => assert!(started && !outcome.unwrap(), "asked when it was over"),
        }
    });
}

/// Who cancels a task that runs has asked it to stop when the cancel returns, also if its token was not there yet.
///
/// Broken by:
/// - `task-without-a-token-is-not-asked`, seed 15273647276700984911
#[test]
fn task_hears_of_its_cancel() {
    check(Time::Stands, || {
        let (share, task) = Share::of(|stop| stop.wait());
        let worker = thread::spawn(move || share.run());
        match task.cancel() {
            Cancel::Prevented => assert!(task.wait().is_err()),
            Cancel::Requested => task.wait().unwrap(), // which it does not end without
            Cancel::TooLate => unreachable!("it ends only when it is cancelled"),
        }
        worker.join().unwrap();
    });
}

/// A job that the pool does not run any more comes to an end too: run, refused or cancelled, whoever is first, and only that.
///
/// Broken by:
/// - `task-is-refused-though-it-runs`, seed 4716381332283917715
#[test]
fn task_ends_once_whoever_ends_it() {
    check(Time::Stands, || {
        let ran = Log::new();
        let theirs = ran.clone();
        let (share, task) = Share::of(move |_| theirs.add(()));
        let task = std::sync::Arc::new(task);
        let ends = [
            thread::spawn({
                let share = share.clone();
                move || share.run()
            }),
            thread::spawn(move || share.refuse()),
            thread::spawn({
                let task = std::sync::Arc::clone(&task);
                move || {
                    task.cancel();
                }
            }),
        ];
        let waiter = thread::spawn({
            let task = std::sync::Arc::clone(&task);
            move || task.wait()
        });
        let outcomes = [task.wait(), waiter.join().unwrap()];
        for end in ends {
            end.join().unwrap();
        }
        let taken = |outcome: &Result<(), TaskError>| matches!(outcome, Err(TaskError::Taken));
        assert_eq!(
            outcomes.iter().filter(|&o| taken(o)).count(),
            1,
            "it is given out once"
        );
        let done = outcomes.iter().any(Result::is_ok);
        assert_eq!(ran.all().len(), usize::from(done));
    });
}

/// An awaited task wakes its waker, whenever that was left.
///
/// Broken by:
/// - `task-waker-in-two-steps`, seed 2524430462660735211
#[test]
fn task_wakes_who_awaits_it() {
    check(Time::Stands, || {
        let (share, task) = Share::of(|_| 7);
        let worker = thread::spawn(move || share.run());
        assert_eq!(shuttle::future::block_on(task).unwrap(), 7);
        worker.join().unwrap();
    });
}

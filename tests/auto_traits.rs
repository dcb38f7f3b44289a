//! Every public type may be sent, shared and carried over a caught panic, or says here that it may not.
//!
//! `proof/surface.txt` has the same for each type as the compiler sees it, so that a new type cannot be forgotten.

use std::panic::{RefUnwindSafe, UnwindSafe};

use sundown::thread::{Builder, JoinGuard, JoinHandle, Scope};
use sundown::*;

fn everywhere<T: Send + Sync + Unpin>() {}
fn over_a_panic<T: UnwindSafe + RefUnwindSafe>() {}

macro_rules! assert_all {
    ($($name:ty),* $(,)?) => {$(
        everywhere::<$name>();
        over_a_panic::<$name>();
    )*};
}

#[test]
fn what_users_hold_goes_anywhere() {
    assert_all!(
        Builder,
        CallbackFault,
        Cancel,
        Cancelled,
        Cause,
        EntryKind,
        EntryReport,
        ExitStyle,
        Guard,
        Hook,
        Never,
        Order,
        Outcome,
        ShutdownReport,
        StopCallback,
        StopReason,
        StopSource,
        StopToken,
        Stopped,
        Supervisor,
        SupervisorBuilder,
        WorkerId,
        WorkerInfo,
    );
    // An error of the system, in which std keeps anything.
    everywhere::<InstallError>();
    // A panic's payload is `Send` and no more.
    fn sent<T: Send + Unpin>() {}
    sent::<TaskError>();
}

#[cfg(unix)]
#[test]
fn what_ends_a_child_or_a_reader_goes_anywhere() {
    use sundown::terminate::{ChildSignal, ChildWaiter, Interrupt, Interruptible};
    assert_all!(ChildSignal, ChildWaiter, Interrupt, Interruptible);
}

/// Whatever the worker's value is: as std's handle is, and not over a caught panic, as std's is not.
#[test]
fn handles_go_anywhere_whatever_the_value() {
    type Pointer = *mut u8;
    everywhere::<JoinHandle<Pointer>>();
    everywhere::<JoinGuard<Pointer>>();
    everywhere::<Task<Pointer>>();
    everywhere::<Scope<'static, 'static>>();
}

#[test]
fn the_future_of_a_stop_goes_anywhere() {
    fn goes<T: Send + Sync + Unpin + 'static>(_: T) {}
    goes(StopSource::new().token().stopped());
}

/// What the traits are for: a job that may panic holds a token, a supervisor and a hook.
#[test]
fn a_caught_panic_leaves_all_as_good_as_before() {
    let supervisor = Supervisor::new();
    let source = StopSource::new();
    let token = source.token();
    let hook = supervisor.on_exit("hook", || ());
    let caught = std::panic::catch_unwind(|| {
        let _callback = token.on_stop(|| ());
        assert!(!token.is_stopped() && hook.name() == "hook");
        drop(supervisor.spawn(|| ()).join());
        panic!("planned");
    });
    assert!(caught.is_err());
    assert!(source.stop());
    let report = supervisor.shutdown();
    assert!(report.is_clean() && report.entries().len() == 1, "{report}");
}

#[test]
fn what_adapters_give_goes_anywhere() {
    use sundown::diagnose::{CallbackState, Straggler, StuckThread, ThreadState};
    use sundown::events::{Event, EventKind};
    use sundown::pool::{AsCompleted, Map, Pending, Pool, TrySubmitError};
    use sundown::ready::{Ready, Services, StartError};
    use sundown::restart::{Restart, RestartError, Strategy};
    use sundown::testing::{LeakGuard, Rehearsal, Rehearsed, Run};
    use sundown::timeline::Timeline;
    assert_all!(
        CallbackState,
        Event,
        EventKind,
        Pending,
        Pool,
        Rehearsed,
        Restart,
        RestartError,
        Run,
        Straggler,
        Strategy,
        StuckThread,
        ThreadState,
        Timeline,
        TrySubmitError<u8>,
    );
    // They hold what is users': a condition, a queue's values, a check.
    everywhere::<LeakGuard>();
    everywhere::<AsCompleted<'static, std::vec::IntoIter<u8>, u8>>();
    everywhere::<Map<'static, std::vec::IntoIter<u8>, u8>>();
    everywhere::<Ready<u8>>();
    // What a service or a panic leaves is `Send` and no more. A rehearsal is for the thread of its test.
    fn sent<T: Send + Unpin>() {}
    sent::<Services>();
    sent::<StartError<u8>>();
    fn stays<T: Unpin>() {}
    stays::<Rehearsal>();
    fn waits<T: Send>() {}
    waits::<sundown::diagnose::Waiting>();
}

#[cfg(feature = "process")]
#[test]
fn a_child_process_goes_anywhere() {
    everywhere::<sundown::process::Child>();
}

#[cfg(feature = "tokio")]
#[test]
fn a_background_loop_goes_anywhere() {
    use sundown::background::{BackgroundBuilder, BackgroundThread, EventLoop};
    everywhere::<BackgroundThread>();
    everywhere::<EventLoop>();
    // What makes the loop is sent to its thread.
    fn sent<T: Send + Unpin>() {}
    sent::<BackgroundBuilder>();
}

//! A private supervisor for each test: the test's body runs as its oldest worker, so all that it starts lands in it.

use std::panic::resume_unwind;

use crate::{thread, Cause, ShutdownReport, Supervisor};

/// The terminal is gone: the number of that signal on every Unix.
pub const SIGHUP: i32 = 1;
/// Ctrl-C: the number of that signal on every Unix.
pub const SIGINT: i32 = 2;
/// Somebody asks the process to end: the number of that signal on every Unix.
pub const SIGTERM: i32 = 15;

/// Runs the body of a test in a supervisor of its own, shuts that down, and fails the test unless all of it ended clean.
///
/// The body runs on a thread of its own, as the oldest worker of the supervisor. So `thread::spawn` and all free functions of the
/// crate (`on_shutdown`, `request_shutdown`, `wait_for_shutdown`, `shutdown`, ...) act on this supervisor, in the body and in
/// every worker that is started from it, and tests in one process do not see each other. A thread of `std::thread` is no worker:
/// what it calls acts on the global supervisor.
///
/// The body may borrow. Its thread has the name of the thread that calls this, which in a test is the name of the test.
///
/// ```
/// use sundown::{testing, thread};
///
/// // #[test]
/// fn adds_up() {
///     let sum = testing::isolated(|| {
///         thread::spawn(sundown::wait_for_shutdown); // told to stop, and joined, when the body has returned
///         thread::spawn(|| 6 * 7).join().unwrap()
///     });
///     assert_eq!(sum, 42);
/// }
/// # adds_up();
/// ```
///
/// # Panics
///
/// With the panic of the body; else with the report, if the shutdown was not clean (see [`ShutdownReport::is_clean`]). And if the
/// system cannot start a thread.
#[track_caller]
pub fn isolated<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    let (value, report) = isolated_in(&Supervisor::new(), body);
    assert!(report.is_clean(), "the test did not end clean: {report}");
    value
}

/// As [`isolated`], in a supervisor with settings of your own, and with the report for you to look at, clean or not.
///
/// ```
/// use std::time::Duration;
/// use sundown::{testing, thread, Supervisor};
///
/// let supervisor = Supervisor::builder().deadline(Duration::from_millis(50)).build();
/// let (release, gate) = std::sync::mpsc::channel::<()>();
/// let (_, report) = testing::isolated_in(&supervisor, || {
///     // Listens to nobody.
///     thread::Builder::new().name("deaf".into()).spawn(move || gate.recv()).unwrap();
/// });
/// assert_eq!(report.stragglers()[0].name(), Some("deaf"));
/// # drop(release);
/// ```
///
/// # Panics
///
/// With the panic of the body, when the shutdown is over. And if the system cannot start a thread, or if the supervisor's
/// shutdown is over already.
#[track_caller]
pub fn isolated_in<T: Send>(
    supervisor: &Supervisor,
    body: impl FnOnce() -> T + Send,
) -> (T, ShutdownReport) {
    let name = thread::current().name().unwrap_or("test").to_owned();
    let result = thread::scope(|scope| {
        let worker = supervisor.worker().name(name).spawn_scoped(scope, body);
        worker.expect("failed to start the test's body").join()
    });
    // Also after a panic: what the body has started ends with it.
    let report = supervisor.shutdown();
    match result {
        Ok(value) => (value, report),
        Err(payload) => resume_unwind(payload),
    }
}

/// Does what the signal would do, without raising any: asks the supervisor of the worker that calls this for a shutdown with
/// [`Cause::Signal`]. True if this was the first request. For a supervisor that you hold, it is
/// `supervisor.request_shutdown(Cause::Signal(number))`.
///
/// The workers cannot tell the difference, and nor can the report: its `cause` and its `exit_code` are those of the signal. What
/// does not happen is the end of the process, which belongs to an installed supervisor: call this in [`isolated`]. Outside of it
/// the supervisor is the global one, and if that is installed the process ends as the signal would have ended it.
///
/// ```
/// use sundown::{testing, Cause};
///
/// let cause = testing::isolated(|| {
///     testing::simulate_signal(testing::SIGTERM);
///     sundown::wait_for_shutdown()
/// });
/// assert_eq!(cause, Cause::Signal(testing::SIGTERM));
/// ```
pub fn simulate_signal(number: i32) -> bool {
    crate::request_shutdown(Cause::Signal(number))
}

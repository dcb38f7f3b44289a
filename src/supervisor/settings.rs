//! What a builder decides about a supervisor.

use std::time::Duration;

/// Inside the 10 s after which `docker stop` sends SIGKILL.
pub(crate) const DEFAULT_DEADLINE: Duration = Duration::from_secs(8);
/// The longest that one callback is waited for.
const CALLBACK_LIMIT: Duration = Duration::from_secs(1);
/// What a callback gets however short the deadline is.
const SHORTEST_CALLBACK_LIMIT: Duration = Duration::from_millis(10);

/// In which order workers are told and joined.
///
/// ```
/// use sundown::{Order, Supervisor};
///
/// let supervisor = Supervisor::builder().order(Order::OneByOne).build();
/// # supervisor.shutdown();
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// All are told, newest first; then all are joined, newest first. Workers stop side by side.
    #[default]
    AllThenJoin,
    /// Each is told and joined before the next older one is told. Slower, for workers that use one another; nested
    /// supervisors give the same between groups.
    OneByOne,
}

/// Who is started again when a restartable worker of a supervisor fails: of those that were spawned with
/// [`spawn_loop`](crate::thread::Builder::spawn_loop) and a policy other than [`never`](crate::restart::Restart::never).
///
/// Of several, each that runs is told to end its run, newest first, through the token of that run, and gets its grace for that, or
/// as long as a whole shutdown may take; if it still runs then, the one that failed is given up. When all have ended and the pause
/// of the one that failed is over, they start again, oldest first. One that fails before all have started begins that anew. A
/// restart counts against the limit of the one that failed only.
///
/// ```
/// use sundown::restart::Strategy;
/// use sundown::Supervisor;
///
/// // A reader and a writer of one connection: neither is of use without the other.
/// let supervisor = Supervisor::builder().strategy(Strategy::OneForAll).build();
/// # supervisor.shutdown();
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strategy {
    /// The one that failed.
    #[default]
    OneForOne,
    /// All of them. For workers that cannot do without one another.
    OneForAll,
    /// The one that failed and those that are newer. For workers that use older ones.
    RestForOne,
}

/// How the process ends after a signal.
///
/// ```no_run
/// use std::process::ExitCode;
/// use sundown::{ExitStyle, Supervisor};
///
/// fn main() -> ExitCode {
///     let guard = Supervisor::builder().exit(ExitStyle::Code).install().expect("the first in this process");
///     guard.finish() // 130 after Ctrl-C
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitStyle {
    /// As the signal would have ended it: its default action is restored and it is raised again, so that shells and service
    /// managers see the truth.
    #[default]
    AsSignal,
    /// With exit code 128 + n.
    Code,
}

/// What a builder decides about a supervisor.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) deadline: Duration,
    pub(crate) grace: Option<Duration>,
    pub(crate) order: Order,
    pub(crate) max_extension: Duration,
    pub(crate) strategy: Strategy,
    /// Whether a long shutdown says what it waits for.
    pub(crate) status: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            deadline: DEFAULT_DEADLINE,
            grace: None,
            order: Order::AllThenJoin,
            max_extension: Duration::ZERO,
            strategy: Strategy::OneForOne,
            status: true,
        }
    }
}

impl Settings {
    /// How long one callback may take: 1 s, or a quarter of the deadline if that is less. Never so short that a callback
    /// that does hardly anything counts as hung.
    pub(crate) fn callback_limit(&self) -> Duration {
        CALLBACK_LIMIT
            .min(self.deadline / 4)
            .max(SHORTEST_CALLBACK_LIMIT)
    }
}

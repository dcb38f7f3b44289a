//! What a builder decides about a supervisor.

use std::time::Duration;

/// Inside the 10 s after which `docker stop` sends SIGKILL.
pub(crate) const DEFAULT_DEADLINE: Duration = Duration::from_secs(8);
/// The longest that one callback is waited for.
const CALLBACK_LIMIT: Duration = Duration::from_secs(1);
/// What a callback gets however short the deadline is.
const SHORTEST_CALLBACK_LIMIT: Duration = Duration::from_millis(10);

/// In which order workers are told and joined.
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

/// How the process ends after a signal.
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
    /// Whether a long shutdown says what it waits for.
    pub(crate) status: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            deadline: DEFAULT_DEADLINE,
            grace: None,
            order: Order::AllThenJoin,
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

//! Settings for a new supervisor.

use std::sync::Arc;
use std::time::Duration;

use super::settings::{ExitStyle, Order, Settings};
use super::{roots, Supervisor};

/// Settings for a new supervisor: [`build`](SupervisorBuilder::build) makes one of its own,
/// [`install`](SupervisorBuilder::install) makes it the global one that owns the end of the process.
#[derive(Clone, Debug)]
pub struct SupervisorBuilder {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) settings: Settings,
    pub(crate) signals: bool,
    pub(crate) exit_style: ExitStyle,
}

impl SupervisorBuilder {
    pub(super) fn new() -> SupervisorBuilder {
        SupervisorBuilder {
            name: None,
            settings: Settings::default(),
            signals: true,
            exit_style: ExitStyle::default(),
        }
    }

    /// A name, for reports.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(Arc::from(name.into()));
        self
    }

    /// How long a whole shutdown may take. Default: 8 s, inside the 10 s after which `docker stop` sends SIGKILL. At zero
    /// everyone is told and nobody is waited for; `Duration::MAX` means no deadline.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.settings.deadline = deadline;
        self
    }

    /// How long a worker with no grace of its own gets from being told to stop. Default: until the deadline.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.settings.grace = Some(grace);
        self
    }

    /// In which order workers are told and joined. Default: [`Order::AllThenJoin`].
    #[must_use]
    pub fn order(mut self, order: Order) -> Self {
        self.settings.order = order;
        self
    }

    /// Whether [`install`](SupervisorBuilder::install) makes Ctrl-C, SIGTERM and SIGHUP ask for a shutdown. Default: true. With
    /// false, a program that owns its handlers calls `request_shutdown(Cause::Signal(n))` from them.
    #[must_use]
    pub fn signals(mut self, signals: bool) -> Self {
        self.signals = signals;
        self
    }

    /// How the process ends after a signal, once installed. Default: [`ExitStyle::AsSignal`].
    #[must_use]
    pub fn exit(mut self, style: ExitStyle) -> Self {
        self.exit_style = style;
        self
    }

    /// A supervisor of its own, nested in none. It never ends the process and sees no signals.
    #[must_use = "the supervisor is what this is for"]
    pub fn build(self) -> Supervisor {
        Supervisor {
            core: roots::new_root(self.name, self.settings),
        }
    }
}

//! Settings for a new supervisor.

use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::on_signal::OnSignal;
use super::settings::{ExitStyle, Order, Settings};
use super::{roots, Supervisor};

/// Settings for a new supervisor: [`build`](SupervisorBuilder::build) makes one of its own,
/// [`install`](SupervisorBuilder::install) makes it the global one that owns the end of the process.
///
/// ```
/// use std::time::Duration;
/// use sundown::{Order, Supervisor};
///
/// let supervisor = Supervisor::builder()
///     .name("requests")
///     .deadline(Duration::from_secs(5))
///     .grace(Duration::from_secs(1))
///     .order(Order::OneByOne)
///     .build();
/// assert!(supervisor.shutdown().is_clean());
/// ```
#[derive(Clone, Debug)]
pub struct SupervisorBuilder {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) settings: Settings,
    pub(crate) signals: bool,
    pub(crate) exit_style: ExitStyle,
    /// Shared by the clones of a builder, of which one can be installed.
    pub(crate) on_signal: Vec<Arc<OnSignal>>,
}

// A handler of a signal runs with no lock held, its panic caught, so nothing is left half done.
impl std::panic::UnwindSafe for SupervisorBuilder {}
impl std::panic::RefUnwindSafe for SupervisorBuilder {}

impl SupervisorBuilder {
    pub(super) fn new() -> SupervisorBuilder {
        SupervisorBuilder {
            name: None,
            settings: Settings::default(),
            signals: true,
            exit_style: ExitStyle::default(),
            on_signal: Vec::new(),
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

    /// How far past the deadline workers may extend a shutdown, all together, with
    /// [`StopToken::extend`](crate::StopToken::extend). Default: not at all, since whoever started the program may not wait that long; up to the
    /// deadline a worker can always extend its own grace.
    #[must_use]
    pub fn max_extension(mut self, cap: Duration) -> Self {
        self.settings.max_extension = cap;
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

    /// What to do at a signal that does not mean stop, once [installed](SupervisorBuilder::install): reload at SIGHUP, reopen the
    /// log at SIGUSR1. A signal that has a handler asks for no shutdown, be it SIGHUP or SIGINT.
    ///
    /// Each run of the handler is a worker of the installed supervisor, with a thread of its own: it may block, spawn threads, and
    /// ask for a shutdown, and it holds up neither Ctrl-C nor other handlers. A shutdown that comes meanwhile tells it to stop (ask
    /// [`stop_token`](crate::stop_token)) and waits for it. Of signals that come while it runs it learns by one more run
    /// afterwards. A panic in it is caught and logged, and the next signal runs it again. Of several handlers for one signal each
    /// runs. Signals are answered during a shutdown too, until the guard is gone; that puts back what was there before.
    ///
    /// ```no_run
    /// use sundown::Supervisor;
    ///
    /// const SIGHUP: i32 = 1;
    ///
    /// let _guard = Supervisor::builder().on_signal(SIGHUP, || println!("reading the settings again")).install()?;
    /// # Ok::<(), sundown::InstallError>(())
    /// ```
    ///
    /// SIGINT and SIGTERM stay ignored where the program was started so (in the background of a script), as they do without a
    /// handler. Any other signal gets its handler even then, since that ends nothing: under `nohup`, SIGHUP still reloads.
    #[must_use]
    #[track_caller]
    pub fn on_signal(mut self, signal: i32, handler: impl FnMut() + Send + 'static) -> Self {
        self.on_signal
            .push(OnSignal::new(signal, Location::caller(), Box::new(handler)));
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

//! A dump for a signal: what the JVM does on SIGQUIT.

use crate::base::logging;
use crate::supervisor::Supervisor;

impl Supervisor {
    /// What prints a [`dump`](Supervisor::dump) on standard error each time it is called: for
    /// [`on_signal`](crate::SupervisorBuilder::on_signal), or for whatever else calls something when a signal comes. Not for a signal
    /// handler itself: it looks at threads, and allocates.
    ///
    /// Bounded like everything that this library prints: a terminal that takes nothing holds nobody up for longer than half a
    /// second.
    ///
    /// ```no_run
    /// use sundown::Supervisor;
    ///
    /// const SIGQUIT: i32 = 3; // Ctrl-\ on a terminal
    ///
    /// // The global supervisor is the one that is installed.
    /// let dump = Supervisor::global().dump_on_signal();
    /// let _guard = Supervisor::builder().on_signal(SIGQUIT, dump).install()?;
    /// # Ok::<(), sundown::InstallError>(())
    /// ```
    pub fn dump_on_signal(&self) -> impl FnMut() + Send + 'static {
        let supervisor = self.clone();
        move || logging::print(&format!("sundown: {}", supervisor.dump()))
    }
}

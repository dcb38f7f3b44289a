//! A dump for a signal: what the JVM does on SIGQUIT.

use crate::base::logging;
use crate::supervisor::Supervisor;

impl Supervisor {
    /// What prints a [`dump`](Supervisor::dump) on standard error each time it is called: for whatever calls something when a signal
    /// comes. Not for the signal handler itself: it looks at threads, and allocates.
    ///
    /// Bounded like everything that this library prints: a terminal that takes nothing holds nobody up for longer than half a
    /// second.
    ///
    /// ```
    /// use sundown::Supervisor;
    ///
    /// let mut dump = Supervisor::global().dump_on_signal();
    /// // On a thread that waits for signals, at each SIGQUIT:
    /// dump();
    /// ```
    pub fn dump_on_signal(&self) -> impl FnMut() + Send + 'static {
        let supervisor = self.clone();
        move || logging::print(&format!("sundown: {}", supervisor.dump()))
    }
}

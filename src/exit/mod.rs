//! Installing: signals ask for a shutdown, the guard runs one when `main` leaves, and the process ends as it should.
//!
//! ```text
//! signal ─► our handler stores the number ─► ctrlc's thread ─► request ─► coordinator, or a `main` that waits ─► shutdown ─► end
//! main leaves ─► guard ─► shutdown on main ─► atexit handler ─► end
//! ```

mod guard;
mod install;
mod outer_grace;
mod signal;

pub use guard::Guard;
pub use install::{init, InstallError};
pub(crate) use signal::signals_to_the_end;

use crate::supervisor::{roots, Cause};

/// Shuts the global supervisor down, then exits the process with `code`: what `std::process::exit` does, with every worker
/// told and joined first.
///
/// May be called from any thread. A worker that calls it is not waited for. In a callback or hook the shutdown goes on
/// without that callback, and the process exits when it is through. After a signal, the process still ends as that signal
/// would have ended it.
pub fn exit(code: i32) -> ! {
    roots::shut_down_and_leave(Cause::Exit(code));
    std::process::exit(code)
}

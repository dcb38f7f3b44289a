//! For the tests of programs that use this library: a supervisor for each test, a guard against workers that outlive it,
//! signals that nobody raises, and the rehearsal of a shutdown at each of a program's own checkpoints.
//!
//! | you want to | use |
//! |---|---|
//! | test code that uses `thread::spawn` and the free functions, beside other tests in one process | [`isolated`] |
//! | know that a piece of code leaves no worker behind | [`LeakGuard`] |
//! | see what a SIGTERM does | [`simulate_signal`] |
//! | know that the program ends well *wherever* it is when the shutdown comes | [`checkpoint`] and [`rehearse`] |
//!
//! `docs/testing-your-program.md` in the repository shows them at work.

mod checkpoint;
mod isolated;
mod leak_guard;
mod rehearsal;
mod rehearsed;

pub use checkpoint::checkpoint;
pub use isolated::{isolated, isolated_in, simulate_signal, SIGHUP, SIGINT, SIGTERM};
pub use leak_guard::LeakGuard;
pub use rehearsal::{rehearse, Rehearsal};
pub use rehearsed::{Rehearsed, Run};

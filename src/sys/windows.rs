//! The same functions for Windows. Read and type-checked by hand only: no Windows machine has run this yet.
//!
//! ctrlc owns the console handler there and cannot be chained; every console event counts as an interrupt (2).

use std::io::{self, Write};
use std::time::Duration;

use once_cell::sync::OnceCell;

static AT_EXIT: OnceCell<fn(Option<i32>)> = OnceCell::new();

extern "C" {
    fn atexit(callback: extern "C" fn()) -> i32;
}

#[link(name = "kernel32")]
extern "system" {
    fn GetCurrentProcess() -> isize;
    fn TerminateProcess(process: isize, code: u32) -> i32;
}

/// Has `handler` called once when the process exits by `exit` or by returning from `main`.
pub(crate) fn at_exit(handler: fn(Option<i32>)) -> bool {
    extern "C" fn run() {
        if let Some(handler) = AT_EXIT.get() {
            handler(None);
        }
    }
    if AT_EXIT.set(handler).is_err() {
        return true;
    }
    // SAFETY: `run` is a plain C function that lives as long as the process and does not unwind.
    unsafe { atexit(run) == 0 }
}

/// Ends the process at once.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: the pseudo handle of the own process is always valid.
    unsafe { TerminateProcess(GetCurrentProcess(), code as u32) };
    std::process::abort()
}

/// Nothing to do: `exit_now` is only reached after the C runtime's own exit, or in a hurry.
pub(crate) fn flush_c_streams() {}

/// Not told apart here; only the wording of a cause depends on it.
pub(crate) fn is_first_thread() -> bool {
    true
}

/// There is no fork.
pub(crate) fn fork_generation() -> u32 {
    0
}

/// Writes to standard error.
pub(crate) fn write_stderr(text: &str, _limit: Duration) -> bool {
    io::stderr().write_all(text.as_bytes()).is_ok()
}

/// The one console event that we know.
pub(crate) const SIGNALS: [i32; 2] = [2, 15];

/// One console event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) signal: i32,
    pub(crate) first: i32,
    /// Always true here.
    pub(crate) stops: bool,
}

/// Called from ctrlc's thread, once per event.
pub(crate) fn take_signal() -> Option<Taken> {
    Some(Taken {
        signal: 2,
        first: 2,
        stops: true,
    })
}

/// Nothing to do: nothing is kept.
pub(crate) fn forget_signals() {}

/// There are no signals beside the console's events.
pub(crate) fn takes_handler(_signal: i32) -> bool {
    false
}

/// What a signal did before we came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disposition {
    /// The system's own.
    Default,
    /// Never seen here.
    #[allow(dead_code)]
    Ignored,
    /// Never seen here.
    #[allow(dead_code)]
    Handled,
}

/// There is nothing to save on Windows.
#[derive(Debug)]
pub(crate) struct SignalHandlers;

impl SignalHandlers {
    pub(crate) fn read(_more: &[i32]) -> io::Result<SignalHandlers> {
        Ok(SignalHandlers)
    }

    pub(crate) fn disposition(&self, _signal: i32) -> Disposition {
        Disposition::Default
    }

    pub(crate) fn chain(&self, _handled: &[i32], _wanted: impl Fn(i32) -> bool) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn restore_all(&self) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn restore(&self, _ignored: &[i32]) -> io::Result<()> {
        Ok(())
    }
}

/// Ends the process with the status of an interrupted console program.
pub(crate) fn die_of(_signal: i32) -> ! {
    const STATUS_CONTROL_C_EXIT: u32 = 0xC000_013A;
    exit_now(STATUS_CONTROL_C_EXIT as i32)
}

/// No thread blocks what the console sends.
pub(crate) fn unblock(_signal: i32) {}

/// There is none.
pub(crate) fn is_hangup(_signal: i32) -> bool {
    false
}

/// There are no process groups of that kind.
pub(crate) fn parent_leads_our_group() -> bool {
    false
}

/// The signal's name, for people.
pub(crate) fn signal_name(signal: i32) -> Option<&'static str> {
    (signal == 2).then_some("Ctrl-C")
}

/// How many columns the terminal has that standard error is: not asked here.
pub(crate) fn stderr_width() -> Option<usize> {
    None
}

/// Not asked for here: `COLUMNS` decides, or a usual width.
pub(crate) fn terminal_width() -> Option<usize> {
    None
}

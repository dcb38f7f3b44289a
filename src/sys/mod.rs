//! Everything that needs `unsafe` or a raw operating-system call, behind safe functions.
//!
//! Nothing above this module knows which system it runs on. Each `unsafe` block carries the reason why it is sound.

mod native_thread;
mod scope;
mod thread_ident;
mod unchecked;
#[cfg(unix)]
mod unix;
#[cfg(unix)]
mod unix_io;
#[cfg(unix)]
mod unix_signal;
#[cfg(windows)]
mod windows;

pub(crate) use native_thread::NativeThread;
pub use scope::Scope;
pub(crate) use thread_ident::ThreadIdent;
#[cfg(unix)]
pub(crate) use unix::{
    at_exit, exit_now, flush_c_streams, fork_generation, is_first_thread, terminal_width,
    write_stderr,
};
#[cfg(target_os = "linux")]
pub(crate) use unix_io::shut_down_socket;
#[cfg(unix)]
pub(crate) use unix_io::{send_sigterm, wait_for_exit, wait_readable};
#[cfg(unix)]
pub(crate) use unix_signal::{
    die_of, forget_signals, is_hangup, signal_name, signals_seen, Disposition, SignalHandlers,
    SIGNALS,
};
#[cfg(windows)]
pub(crate) use windows::{
    at_exit, die_of, exit_now, flush_c_streams, forget_signals, fork_generation, is_first_thread,
    is_hangup, signal_name, signals_seen, terminal_width, write_stderr, Disposition,
    SignalHandlers, SIGNALS,
};

//! Everything that needs `unsafe` or a raw operating-system call, behind safe functions.
//!
//! Nothing above this module knows which system it runs on. Each `unsafe` block carries the reason why it is sound.

mod erased;
#[cfg(shuttle)]
mod model;
#[cfg(not(shuttle))]
mod native_thread;
#[cfg(not(shuttle))]
mod os_thread;
#[cfg(all(feature = "stacks", target_os = "linux", target_arch = "x86_64"))]
mod sample;
mod scope;
#[cfg(not(shuttle))]
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

pub(crate) use erased::{Erased, Runnable};
#[cfg(shuttle)]
pub(crate) use model::{
    at_exit, cpu_time, is_first_thread, os_thread, os_thread_of, write_stderr, NativeThread,
    ThreadIdent,
};
#[cfg(not(shuttle))]
pub(crate) use native_thread::NativeThread;
#[cfg(not(shuttle))]
pub(crate) use os_thread::{cpu_time, os_thread, os_thread_of};
#[cfg(all(feature = "stacks", target_os = "linux", target_arch = "x86_64"))]
pub(crate) use sample::{sample, Sample};
pub use scope::Scope;
#[cfg(not(shuttle))]
pub(crate) use thread_ident::ThreadIdent;
#[cfg(all(unix, not(shuttle)))]
pub(crate) use unix::{at_exit, is_first_thread, write_stderr};
#[cfg(unix)]
pub(crate) use unix::{exit_now, flush_c_streams, fork_generation, stderr_width, terminal_width};
#[cfg(all(feature = "process", target_os = "linux"))]
pub(crate) use unix_io::die_with_this_thread;
#[cfg(all(unix, feature = "process"))]
pub(crate) use unix_io::send_signal;
#[cfg(target_os = "linux")]
pub(crate) use unix_io::shut_down_socket;
#[cfg(unix)]
pub(crate) use unix_io::{send_sigterm, wait_for_exit, wait_readable};
#[cfg(unix)]
pub(crate) use unix_signal::{
    die_of, forget_signals, is_hangup, parent_leads_our_group, signal_name, take_signal,
    takes_handler, unblock, Disposition, SignalHandlers, SIGNALS,
};
#[cfg(windows)]
pub(crate) use windows::{
    at_exit, die_of, exit_now, flush_c_streams, forget_signals, fork_generation, is_first_thread,
    is_hangup, parent_leads_our_group, signal_name, stderr_width, take_signal, takes_handler,
    terminal_width, unblock, write_stderr, Disposition, SignalHandlers, SIGNALS,
};

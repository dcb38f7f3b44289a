//! Which thread this is, without thread-locals: they are gone when a thread exits the process.

use crate::sync::thread::JoinHandle;

/// The system's own name for a thread that has not been joined. Afterwards another thread may get the same one.
#[cfg(unix)]
#[derive(Clone, Copy)]
pub(crate) struct ThreadIdent(libc::pthread_t);

// SAFETY: a pthread_t names a thread of the process and means the same on each; where it is a pointer (musl, macOS), nothing is read
// through it here.
#[cfg(unix)]
unsafe impl Send for ThreadIdent {}
// SAFETY: as above.
#[cfg(unix)]
unsafe impl Sync for ThreadIdent {}

#[cfg(unix)]
impl ThreadIdent {
    pub(crate) fn of<T>(thread: &JoinHandle<T>) -> ThreadIdent {
        use std::os::unix::thread::JoinHandleExt;
        ThreadIdent(thread.as_pthread_t() as libc::pthread_t)
    }

    /// Whether it is the thread that asks.
    pub(crate) fn is_current(self) -> bool {
        // SAFETY: neither call has a precondition but that both are values of pthread_t.
        unsafe { libc::pthread_equal(self.0, libc::pthread_self()) != 0 }
    }
}

#[cfg(windows)]
#[derive(Clone, Copy)]
pub(crate) struct ThreadIdent(u32);

#[cfg(windows)]
#[link(name = "kernel32")]
extern "system" {
    fn GetThreadId(thread: *mut std::ffi::c_void) -> u32;
    fn GetCurrentThreadId() -> u32;
}

#[cfg(windows)]
impl ThreadIdent {
    pub(crate) fn of<T>(thread: &JoinHandle<T>) -> ThreadIdent {
        use std::os::windows::io::AsRawHandle;
        // SAFETY: the handle is open as long as `thread` lives.
        ThreadIdent(unsafe { GetThreadId(thread.as_raw_handle().cast()) })
    }

    /// Whether it is the thread that asks.
    pub(crate) fn is_current(self) -> bool {
        // SAFETY: the call has no precondition.
        self.0 == unsafe { GetCurrentThreadId() }
    }
}

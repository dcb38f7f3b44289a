//! The kernel's own number of a thread, and how much processor time a thread has used. Linux; elsewhere nobody knows.

use std::time::Duration;

use crate::sync::thread::JoinHandle;

/// The kernel's number of the thread that asks.
pub(crate) fn os_thread() -> Option<u32> {
    #[cfg(target_os = "linux")]
    {
        // The C library has it at hand, which saves the call into the kernel that gettid(2) is.
        // SAFETY: pthread_self(3) has no precondition, and this thread is there.
        unsafe { number_of(libc::pthread_self()) }
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// The kernel's number of a thread that somebody else has started. `None` if it has ended.
pub(crate) fn os_thread_of<T>(thread: &JoinHandle<T>) -> Option<u32> {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::thread::JoinHandleExt;
        // SAFETY: the handle is there, so the thread has been neither joined nor detached.
        unsafe { number_of(thread.as_pthread_t() as libc::pthread_t) }
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = thread;
        None
    }
}

#[cfg(target_os = "linux")]
extern "C" {
    /// Missing in the libc crate.
    fn pthread_getcpuclockid(thread: libc::pthread_t, clock: *mut libc::clockid_t) -> libc::c_int;
}

/// The number in a thread's clock. `None` if the thread has ended.
///
/// # Safety
///
/// It has been neither joined nor detached, or is the one that calls this.
#[cfg(target_os = "linux")]
unsafe fn number_of(thread: libc::pthread_t) -> Option<u32> {
    let mut clock: libc::clockid_t = 0;
    // SAFETY: so the pthread_t is valid.
    let failed = unsafe { pthread_getcpuclockid(thread, &mut clock) };
    // The kernel's format of such a clock: the number's complement in the upper bits. 0 stands for a thread that is gone.
    let number = u32::try_from(!(clock >> 3)).ok();
    number.filter(|number| failed == 0 && *number != 0)
}

/// The processor time that a thread of this process has used. `None` if there is no such thread any more.
pub(crate) fn cpu_time(thread: u32) -> Option<Duration> {
    #[cfg(target_os = "linux")]
    {
        // Per thread (4), scheduler's time (2): see `number_of`.
        let clock = (!i32::try_from(thread).ok()?).wrapping_shl(3) | 4 | 2;
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `time` is a valid timespec to write to; a clock of no thread is an error.
        if unsafe { libc::clock_gettime(clock, &mut time) } != 0 {
            return None;
        }
        Some(Duration::new(
            u64::try_from(time.tv_sec).ok()?,
            u32::try_from(time.tv_nsec).ok()?,
        ))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = thread;
        None
    }
}

//! A thread to join, with a limit where the system has such a join.

use crate::sync::thread::JoinHandle;
use crate::sync::Instant;

/// The right to join one thread. Dropping it detaches the thread.
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
pub(crate) struct NativeThread(libc::pthread_t);

// SAFETY: a pthread_t names a thread of the process and means the same on each; where it is a pointer (musl), nothing is read
// through it here.
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
unsafe impl Send for NativeThread {}

#[cfg(any(target_os = "linux", target_os = "freebsd"))]
impl NativeThread {
    /// `join_until` keeps to its limit.
    pub(crate) const HAS_LIMIT: bool = true;

    /// Takes the right from std, which has no join with a limit. What the thread returned is lost.
    pub(crate) fn of(thread: JoinHandle<()>) -> NativeThread {
        use std::os::unix::thread::JoinHandleExt;
        NativeThread(thread.into_pthread_t())
    }

    /// Waits for the thread's end, however long that takes.
    ///
    /// # Panics
    ///
    /// As std: if the system will not join, since a thread would join itself.
    pub(crate) fn join(self) {
        // SAFETY: into_pthread_t gave up std's claim, so the thread is joinable and ours alone; a null result is allowed.
        let failed = unsafe { libc::pthread_join(self.0, std::ptr::null_mut()) };
        assert!(
            failed == 0,
            "failed to join thread: {}",
            std::io::Error::from_raw_os_error(failed)
        );
        std::mem::forget(self); // joined, so there is nothing to detach
    }

    /// Waits for the thread's end at the latest until `limit`; gives the right back if it was still there. Meant for a thread of
    /// which all code is through: what C libraries do in `pthread_key` destructors comes after every Rust destructor.
    pub(crate) fn join_until(self, limit: Option<Instant>) -> Result<(), NativeThread> {
        let Some(limit) = limit else {
            self.join();
            return Ok(());
        };
        let mut now = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `now` is a valid timespec to write to.
        unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &mut now) };
        // The wall clock, since the monotonic variant is missing before glibc 2.31 and in musl. The thread has nothing left
        // to run, so a clock that is set back in just this moment is the only way to wait longer.
        let left = limit
            .saturating_duration_since(Instant::now())
            .min(std::time::Duration::from_secs(3600));
        let nanos = u64::from(left.subsec_nanos()) + now.tv_nsec as u64;
        let until = libc::timespec {
            tv_sec: now.tv_sec + (left.as_secs() + nanos / 1_000_000_000) as libc::time_t,
            tv_nsec: (nanos % 1_000_000_000) as _,
        };
        // SAFETY: as in `join`; `until` is a valid time.
        match unsafe { libc::pthread_timedjoin_np(self.0, std::ptr::null_mut(), &until) } {
            0 => {
                std::mem::forget(self);
                Ok(())
            }
            _ => Err(self),
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "freebsd"))]
impl Drop for NativeThread {
    fn drop(&mut self) {
        // SAFETY: not joined (that forgets self), so the thread is still joinable and ours.
        unsafe { libc::pthread_detach(self.0) };
    }
}

/// Elsewhere: std's own handle. A thread of which all code is through is joined without a limit.
#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
pub(crate) struct NativeThread(JoinHandle<()>);

#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
impl NativeThread {
    pub(crate) const HAS_LIMIT: bool = false;

    pub(crate) fn of(thread: JoinHandle<()>) -> NativeThread {
        NativeThread(thread)
    }

    pub(crate) fn join(self) {
        // The thread's closure catches every panic, so there is no payload to lose.
        drop(self.0.join());
    }

    pub(crate) fn join_until(self, _limit: Option<Instant>) -> Result<(), NativeThread> {
        self.join();
        Ok(())
    }
}

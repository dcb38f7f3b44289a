//! Leaving the process, joining with a limit, noticing a fork, writing to stderr without waiting for ever: Unix.

use std::os::unix::thread::JoinHandleExt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Once;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use once_cell::sync::OnceCell;

/// What [`at_exit`] was given; the C callback has no argument to carry it.
static AT_EXIT: OnceCell<fn(Option<i32>)> = OnceCell::new();

#[cfg(all(target_os = "linux", target_env = "gnu"))]
extern "C" {
    /// glibc's `atexit` that also hands over the exit status; both share one list, so the order is the same.
    fn on_exit(
        callback: extern "C" fn(libc::c_int, *mut libc::c_void),
        argument: *mut libc::c_void,
    ) -> libc::c_int;
}

/// Has `handler` called once when the process exits by `exit(3)` or by returning from `main`, with the exit status
/// where the system tells it. False if the system would not take it.
pub(crate) fn at_exit(handler: fn(Option<i32>)) -> bool {
    if AT_EXIT.set(handler).is_err() {
        return true;
    }
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        extern "C" fn run(status: libc::c_int, _: *mut libc::c_void) {
            if let Some(handler) = AT_EXIT.get() {
                handler(Some(status));
            }
        }
        // SAFETY: `run` has the signature that on_exit(3) asks for, lives as long as the process, ignores its
        // argument, and does not unwind (the handler catches).
        unsafe { on_exit(run, std::ptr::null_mut()) == 0 }
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    {
        extern "C" fn run() {
            if let Some(handler) = AT_EXIT.get() {
                handler(None);
            }
        }
        // SAFETY: `run` is a plain C function that lives as long as the process and does not unwind.
        unsafe { libc::atexit(run) == 0 }
    }
}

/// Ends the process at once: no `atexit` handler, no destructor, no flush.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit(2) has no precondition.
    unsafe { libc::_exit(code) }
}

/// Flushes the C library's output streams, which a death by signal would lose.
pub(crate) fn flush_c_streams() {
    // SAFETY: a null stream means all of them; fflush(3) takes each stream's own lock.
    unsafe { libc::fflush(std::ptr::null_mut()) };
}

/// True on the thread that the process began with.
pub(crate) fn is_first_thread() -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // SAFETY: both calls only read numbers of the calling thread.
    unsafe {
        libc::syscall(libc::SYS_gettid) == libc::c_long::from(libc::getpid())
    }
    #[cfg(target_vendor = "apple")]
    // SAFETY: pthread_main_np has no precondition.
    unsafe {
        libc::pthread_main_np() != 0
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    {
        true
    }
}

/// Counts the forks between the program's start and this process: a number other than the one read earlier means that
/// this is a forked child, where the other threads do not exist and their locks may be held for ever.
pub(crate) fn fork_generation() -> u32 {
    static GENERATION: AtomicU32 = AtomicU32::new(0);
    static WATCH: Once = Once::new();
    extern "C" fn in_child() {
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }
    WATCH.call_once(|| {
        // SAFETY: the child handler only adds to an atomic, which is async-signal-safe. If it cannot be registered
        // (no memory), a fork goes unnoticed: the same as a raw clone(2), which no library can see.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
    // Relaxed: the value only changes in a child, before any of its code runs.
    GENERATION.load(Ordering::Relaxed)
}

/// Joins a thread whose code and thread-locals are through, at the latest until `limit`. False if it was still there;
/// the thread is then detached.
///
/// std's join has no limit, and what C libraries do in `pthread_key` destructors comes after every Rust destructor.
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
pub(crate) fn join_until(thread: JoinHandle<()>, limit: Instant) -> bool {
    let pthread = thread.into_pthread_t();
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a valid timespec to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &mut now) };
    // The wall clock, since the monotonic variant is missing before glibc 2.31 and in musl. The thread has nothing
    // left to run, so a clock that is set back in just this moment is the only way to wait longer.
    let left = limit
        .saturating_duration_since(Instant::now())
        .min(Duration::from_secs(3600));
    let nanos = u64::from(left.subsec_nanos()) + now.tv_nsec as u64;
    let until = libc::timespec {
        tv_sec: now.tv_sec + (left.as_secs() + nanos / 1_000_000_000) as libc::time_t,
        tv_nsec: (nanos % 1_000_000_000) as _,
    };
    // SAFETY: into_pthread_t gave up std's claim on the thread, so it is joinable and ours alone; a null result
    // pointer is allowed; `until` is a valid time.
    let joined = unsafe { libc::pthread_timedjoin_np(pthread, std::ptr::null_mut(), &until) } == 0;
    if !joined {
        // SAFETY: the join failed, so the thread is still joinable and ours.
        unsafe { libc::pthread_detach(pthread) };
    }
    joined
}

/// As on Linux, but with std's join: this system has none with a limit. The thread's own code is through by now.
#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
pub(crate) fn join_until(thread: JoinHandle<()>, _limit: Instant) -> bool {
    thread.join().is_ok()
}

/// Writes to standard error for at most `limit`, and gives up in silence when nobody reads it: a full pipe or a
/// stopped terminal must not hold up the way out.
pub(crate) fn write_stderr(text: &str, limit: Duration) {
    let give_up = Instant::now() + limit;
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let left = give_up.saturating_duration_since(Instant::now());
        let mut stderr = libc::pollfd {
            fd: libc::STDERR_FILENO,
            events: libc::POLLOUT,
            revents: 0,
        };
        // SAFETY: one valid pollfd, and the count says one.
        let ready = unsafe { libc::poll(&mut stderr, 1, left.as_millis() as libc::c_int) };
        if ready <= 0 && left.is_zero() {
            return;
        }
        if ready <= 0 || stderr.revents & libc::POLLOUT == 0 {
            if ready > 0 {
                return; // an error or a hang-up: nobody will ever read it
            }
            continue;
        }
        // A pipe that polls as writable takes PIPE_BUF (at least 512) bytes without blocking.
        let piece = &rest[..rest.len().min(512)];
        // SAFETY: pointer and length describe `piece`.
        let written =
            unsafe { libc::write(libc::STDERR_FILENO, piece.as_ptr().cast(), piece.len()) };
        match usize::try_from(written) {
            Ok(count) if count > 0 => rest = &rest[count..],
            _ => {
                let error = std::io::Error::last_os_error();
                let again = [
                    std::io::ErrorKind::Interrupted,
                    std::io::ErrorKind::WouldBlock,
                ];
                if !again.contains(&error.kind()) || give_up <= Instant::now() {
                    return;
                }
            }
        }
    }
}

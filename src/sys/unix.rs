//! Leaving the process, joining with a limit, noticing a fork, writing to stderr without waiting for ever: Unix.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Once;
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

/// How many forks lie between the program's start and this process.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// Counts the forks between the program's start and this process: a number other than the one read earlier means that
/// this is a forked child, where the other threads do not exist and their locks may be held for ever.
pub(crate) fn fork_generation() -> u32 {
    static WATCH: Once = Once::new();
    extern "C" fn in_child() {
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }
    WATCH.call_once(|| {
        // SAFETY: the child handler only adds to an atomic, which is async-signal-safe. If it cannot be registered
        // (no memory), a fork goes unnoticed: the same as a raw clone(2), which no library can see.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
    generation()
}

/// The same once it is watched, for a signal handler.
pub(super) fn generation() -> u32 {
    // Relaxed: the value only changes in a child, before any of its code runs.
    GENERATION.load(Ordering::Relaxed)
}

/// Writes to standard error for at most `limit`: a full pipe or a stopped terminal must not hold up the way out. False if
/// nobody took all of it.
pub(crate) fn write_stderr(text: &str, limit: Duration) -> bool {
    let _quiet = QuietWrites::begin();
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
            return false;
        }
        if ready <= 0 || stderr.revents & libc::POLLOUT == 0 {
            if ready > 0 {
                return false; // an error or a hang-up: nobody will ever read it
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
                    return false;
                }
            }
        }
    }
    true
}

/// While this is kept, what this thread writes brings no signal upon the process: a pipe without a reader is an error and not the
/// end (SIGPIPE, if the program has put its default back), a terminal that suspends who writes from behind (SIGTTOU) takes it.
struct QuietWrites {
    before: libc::sigset_t,
    /// A SIGPIPE that was pending before is not ours to take away.
    pending_before: bool,
}

impl QuietWrites {
    fn begin() -> QuietWrites {
        // SAFETY: both sets are initialised by sigemptyset before they are used; the calls only change this thread's mask.
        unsafe {
            let mut before = std::mem::zeroed();
            let mut quiet = std::mem::zeroed();
            libc::sigemptyset(&mut before);
            libc::sigemptyset(&mut quiet);
            libc::sigaddset(&mut quiet, libc::SIGPIPE);
            libc::sigaddset(&mut quiet, libc::SIGTTOU);
            let pending_before = sigpipe_is_pending();
            libc::pthread_sigmask(libc::SIG_BLOCK, &quiet, &mut before);
            QuietWrites {
                before,
                pending_before,
            }
        }
    }
}

impl Drop for QuietWrites {
    fn drop(&mut self) {
        // SAFETY: the sets are initialised, the time is a valid one. Where there is no sigtimedwait, a SIGPIPE that is pending for
        // this thread, which blocks it, is there to be taken, so sigwait returns at once.
        unsafe {
            if !self.pending_before && sigpipe_is_pending() {
                let mut only = std::mem::zeroed();
                libc::sigemptyset(&mut only);
                libc::sigaddset(&mut only, libc::SIGPIPE);
                #[cfg(not(target_vendor = "apple"))]
                {
                    let at_once = std::mem::zeroed();
                    libc::sigtimedwait(&only, std::ptr::null_mut(), &at_once);
                }
                #[cfg(target_vendor = "apple")]
                {
                    let mut taken = 0;
                    libc::sigwait(&only, &mut taken);
                }
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut());
        }
    }
}

fn sigpipe_is_pending() -> bool {
    // SAFETY: the set is initialised before it is used; both calls only look.
    unsafe {
        let mut pending = std::mem::zeroed();
        libc::sigemptyset(&mut pending);
        libc::sigpending(&mut pending) == 0 && libc::sigismember(&pending, libc::SIGPIPE) == 1
    }
}

/// How many columns the terminal has that standard error is. `None` if it is none, or does not tell.
pub(crate) fn stderr_width() -> Option<usize> {
    width_of(libc::STDERR_FILENO)
}

/// How many columns the terminal has that standard output goes to, if it goes to one.
pub(crate) fn terminal_width() -> Option<usize> {
    width_of(libc::STDOUT_FILENO)
}

fn width_of(descriptor: libc::c_int) -> Option<usize> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: this request writes one `winsize`, which is what the pointer is to; on anything but a terminal it fails.
    let asked = unsafe { libc::ioctl(descriptor, libc::TIOCGWINSZ, &mut size) };
    // A serial line does not know its width, and says 0.
    (asked == 0 && size.ws_col > 0).then(|| size.ws_col.into())
}

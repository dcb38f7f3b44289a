//! Where a running thread is just now: a signal whose handler copies the thread's registers and the top of its stack.
//!
//! The handler allocates nothing, takes no lock, and calls nothing but three system calls; what it copies goes to a static place that one
//! asker at a time waits at, for a limited time. A thread that is blocked is not to be asked: a signal would disturb its system call.

use std::cell::UnsafeCell;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use once_cell::sync::OnceCell;
use parking_lot::Mutex;

/// A thread's registers, and its stack from the stack pointer on, as far as it was copied.
pub(crate) struct Sample {
    pub(crate) ip: u64,
    pub(crate) sp: u64,
    pub(crate) bp: u64,
    pub(crate) stack: Vec<u8>,
}

/// How much of a stack is copied.
const STACK_LIMIT: usize = 64 * 1024;

/// Nobody asks.
const IDLE: u32 = 0;
/// `thread` is to copy itself.
const ASKED: u32 = 1;
/// It is doing so.
const COPYING: u32 = 2;
/// It has.
const DONE: u32 = 3;

/// The place that the handler writes to.
struct Place {
    /// What is going on; a futex. Release when it becomes `ASKED` or `DONE`, Acquire by who sees that: so whoever sees `ASKED` sees
    /// what is asked, and whoever sees `DONE` sees what was copied.
    state: AtomicU32,
    thread: AtomicU32,
    /// A descriptor of `/proc/self/mem`.
    memory: AtomicI32,
    ip: AtomicU64,
    sp: AtomicU64,
    bp: AtomicU64,
    length: AtomicUsize,
    /// Belongs to the thread that has set `COPYING`, then, from `DONE` on, to the asker.
    stack: UnsafeCell<[u8; STACK_LIMIT]>,
}

// SAFETY: all fields but `stack` are atomics, and `state` says whose `stack` is.
unsafe impl Sync for Place {}

static PLACE: Place = Place {
    state: AtomicU32::new(IDLE),
    thread: AtomicU32::new(0),
    memory: AtomicI32::new(-1),
    ip: AtomicU64::new(0),
    sp: AtomicU64::new(0),
    bp: AtomicU64::new(0),
    length: AtomicUsize::new(0),
    stack: UnsafeCell::new([0; STACK_LIMIT]),
};

/// One asker at a time. False for good once a thread has not come back from copying.
static ASKER: Mutex<bool> = parking_lot::const_mutex(true);

/// Has the thread copy itself, and waits at most until `ends`. `None` if it did not.
pub(crate) fn sample(thread: u32, memory: &File, ends: Instant) -> Option<Sample> {
    let mut may_ask = ASKER.try_lock_until(ends)?;
    let signal = signal()?;
    if !*may_ask || !is_ours(signal) {
        return None;
    }
    let place = &PLACE;
    place.thread.store(thread, Ordering::Relaxed);
    place.memory.store(memory.as_raw_fd(), Ordering::Relaxed);
    place.state.store(ASKED, Ordering::Release);
    // SAFETY: tgkill(2) takes any numbers; at worst there is no such thread.
    let failed = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, signal) } != 0;
    loop {
        let state = place.state.load(Ordering::Acquire);
        if state == DONE {
            break;
        }
        let left = ends.saturating_duration_since(Instant::now());
        if failed || left.is_zero() {
            // Acquire: as above, should it have come to `DONE` in this moment.
            let taken_back =
                place
                    .state
                    .compare_exchange(ASKED, IDLE, Ordering::Relaxed, Ordering::Acquire);
            match taken_back {
                Ok(_) => return None,
                Err(DONE) => break,
                Err(_) => {
                    // It was stopped in the middle of copying. The place is its own for good.
                    *may_ask = false;
                    return None;
                }
            }
        }
        wait(&place.state, state, left);
    }
    let length = place.length.load(Ordering::Relaxed).min(STACK_LIMIT);
    // SAFETY: from `DONE` on nobody writes to it until somebody asks again, for which one needs the lock that we hold.
    let stack = unsafe { (&*place.stack.get())[..length].to_vec() };
    let sample = Sample {
        ip: place.ip.load(Ordering::Relaxed),
        sp: place.sp.load(Ordering::Relaxed),
        bp: place.bp.load(Ordering::Relaxed),
        stack,
    };
    place.state.store(IDLE, Ordering::Relaxed);
    Some(sample)
}

/// Runs on the thread that was asked, wherever it is: in the allocator, under any lock, in a destructor.
extern "C" fn copy_this_thread(
    _signal: libc::c_int,
    _info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    let place = &PLACE;
    // SAFETY: gettid(2) has no precondition.
    let this = unsafe { libc::syscall(libc::SYS_gettid) };
    if libc::c_long::from(place.thread.load(Ordering::Relaxed)) != this {
        return; // it comes late: somebody else is asked meanwhile
    }
    let ours = place
        .state
        .compare_exchange(ASKED, COPYING, Ordering::Acquire, Ordering::Relaxed);
    if ours.is_err() {
        return; // it comes late: nobody waits for it
    }
    // SAFETY: with SA_SIGINFO the third argument is the interrupted context, which lives as long as the handler runs.
    let registers = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let register = |index: libc::c_int| registers[index as usize] as u64;
    let sp = register(libc::REG_RSP);
    place.ip.store(register(libc::REG_RIP), Ordering::Relaxed);
    place.sp.store(sp, Ordering::Relaxed);
    place.bp.store(register(libc::REG_RBP), Ordering::Relaxed);
    // SAFETY: errno is this thread's own; what was interrupted must find it as it was. The buffer is ours while the state is
    // `COPYING`, and has room for what is asked. The kernel reads the stack, so an end of it is an error and not a fault.
    let length = unsafe {
        let errno = libc::__errno_location();
        let before = *errno;
        let length = libc::syscall(
            libc::SYS_pread64,
            place.memory.load(Ordering::Relaxed),
            place.stack.get().cast::<u8>(),
            STACK_LIMIT,
            sp,
        );
        *errno = before;
        length
    };
    let length = usize::try_from(length).unwrap_or(0);
    place.length.store(length, Ordering::Relaxed);
    place.state.store(DONE, Ordering::Release);
    // SAFETY: a wake reads no memory; errno as above.
    unsafe {
        let errno = libc::__errno_location();
        let before = *errno;
        let word = place.state.as_ptr();
        libc::syscall(
            libc::SYS_futex,
            word,
            libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
            1,
        );
        *errno = before;
    }
}

/// Waits until the word is no longer `value`, or for `limit`, or for no reason.
fn wait(word: &AtomicU32, value: u32, limit: Duration) {
    let limit = libc::timespec {
        tv_sec: limit.as_secs() as libc::time_t,
        tv_nsec: limit.subsec_nanos() as _,
    };
    // SAFETY: the word is static, and the time is valid.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            value,
            &limit,
        );
    }
}

/// The signal that is ours: the last of the real-time signals that nobody uses, taken when it is first needed. Its handler stays: a thread
/// that has it blocked may get it at any time, and it must not die of that.
fn signal() -> Option<libc::c_int> {
    static SIGNAL: OnceCell<Option<libc::c_int>> = OnceCell::new();
    *SIGNAL.get_or_init(|| {
        let free = (libc::SIGRTMIN()..=libc::SIGRTMAX())
            .rev()
            .find(|&signal| disposition(signal) == Some(libc::SIG_DFL))?;
        // SAFETY: all zeroes is a valid sigaction.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = copy_this_thread as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
        // SAFETY: `action` is valid, and its handler is async-signal-safe: it says why above.
        let failed = unsafe { libc::sigaction(free, &action, std::ptr::null_mut()) } != 0;
        Some(free).filter(|_| !failed)
    })
}

/// Whether the signal still goes to our handler.
fn is_ours(signal: libc::c_int) -> bool {
    disposition(signal) == Some(copy_this_thread as *const () as libc::sighandler_t)
}

fn disposition(signal: libc::c_int) -> Option<libc::sighandler_t> {
    // SAFETY: all zeroes is a valid sigaction to write to.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: only reads; `action` is valid to write to.
    let failed = unsafe { libc::sigaction(signal, std::ptr::null(), &mut action) } != 0;
    Some(action.sa_sigaction).filter(|_| !failed)
}

//! What ctrlc cannot do: say which signal came, leave alone what was ignored, and be taken back.
//!
//! ctrlc installs one handler for SIGINT, SIGTERM and SIGHUP and wakes its thread from it. We read the actions that
//! stood before, let ctrlc install, and put in front of its handler one that stores the number and calls it. The store
//! comes before the wake, so ctrlc's thread always sees which signal it was.

use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering};

/// The signals that ask a program to stop, in the order in which they are handled below.
pub(crate) const SIGNALS: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// The first signal since [`forget_signals`], 0 for none.
static FIRST: AtomicI32 = AtomicI32::new(0);
/// The newest signal, 0 for none.
static LAST: AtomicI32 = AtomicI32::new(0);
/// The generation (see `fork_generation`) of the process that installed.
static INSTALLED_IN: AtomicU32 = AtomicU32::new(0);
/// The address of ctrlc's handler, 0 until it has been seen.
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Stores which signal came, then wakes ctrlc's thread. Async-signal-safe: atomics, and ctrlc's `sem_post`.
extern "C" fn record_and_pass_on(signal: libc::c_int) {
    if super::unix::generation() != INSTALLED_IN.load(Ordering::Relaxed) {
        // A forked child, where ctrlc's thread does not exist: nobody would ever hear of it.
        die_of(signal);
    }
    // Only the first wins. AcqRel: pairs with the load in `signals_seen`; the semaphore orders it as well.
    let _ = FIRST.compare_exchange(0, signal, Ordering::AcqRel, Ordering::Relaxed);
    LAST.store(signal, Ordering::Release);
    let next = NEXT.load(Ordering::Acquire);
    if next != 0 {
        // SAFETY: the address was read from an action that ctrlc installed without SA_SIGINFO, so it is a handler that
        // takes the signal's number; code is never unloaded under us, since ctrlc is linked into the same object.
        let next: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(next) };
        next(signal);
    }
}

/// The first and the newest signal that our handler has seen.
pub(crate) fn signals_seen() -> Option<(i32, i32)> {
    let first = FIRST.load(Ordering::Acquire);
    (first != 0).then(|| (first, LAST.load(Ordering::Acquire)))
}

/// Starts afresh, for a new installation.
pub(crate) fn forget_signals() {
    INSTALLED_IN.store(super::fork_generation(), Ordering::Relaxed);
    FIRST.store(0, Ordering::Release);
    LAST.store(0, Ordering::Release);
}

/// What a signal did before we came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disposition {
    /// SIG_DFL.
    Default,
    /// SIG_IGN: `nohup`, or a background job of a script. Stays so.
    Ignored,
    /// Somebody else's handler.
    Handled,
}

/// The actions for [`SIGNALS`] as they stood at one moment.
pub(crate) struct SignalHandlers {
    actions: [libc::sigaction; 3],
}

impl std::fmt::Debug for SignalHandlers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(SIGNALS.iter().map(|&s| (s, self.disposition(s))))
            .finish()
    }
}

impl SignalHandlers {
    /// Reads what is installed now.
    pub(crate) fn read() -> io::Result<SignalHandlers> {
        Ok(SignalHandlers {
            actions: [
                action(SIGNALS[0])?,
                action(SIGNALS[1])?,
                action(SIGNALS[2])?,
            ],
        })
    }

    /// What `signal` did when this was read.
    pub(crate) fn disposition(&self, signal: i32) -> Disposition {
        match SIGNALS.iter().position(|&s| s == signal) {
            Some(at) => match self.actions[at].sa_sigaction {
                libc::SIG_DFL => Disposition::Default,
                libc::SIG_IGN => Disposition::Ignored,
                _ => Disposition::Handled,
            },
            None => Disposition::Default,
        }
    }

    /// With ctrlc installed: puts our handler in front of its for each signal that `wanted` asks for, and puts back
    /// what stood here for the others.
    pub(crate) fn chain(&self, wanted: impl Fn(i32) -> bool) -> io::Result<()> {
        for (&signal, before) in SIGNALS.iter().zip(&self.actions) {
            let now = action(signal)?;
            let ours = record_and_pass_on as extern "C" fn(libc::c_int) as usize;
            if NEXT.load(Ordering::Acquire) == 0 {
                NEXT.store(now.sa_sigaction, Ordering::Release);
            }
            if wanted(signal) {
                let mut chained = now;
                chained.sa_sigaction = ours;
                chained.sa_flags = libc::SA_RESTART;
                set_action(signal, &chained)?;
            } else {
                set_action(signal, before)?;
            }
        }
        Ok(())
    }

    /// Puts back what stood here, whatever is there now.
    pub(crate) fn restore_all(&self) -> io::Result<()> {
        for (&signal, before) in SIGNALS.iter().zip(&self.actions) {
            set_action(signal, before)?;
        }
        Ok(())
    }

    /// Puts back what stood here, except where somebody has installed a handler over ours since.
    pub(crate) fn restore(&self) -> io::Result<()> {
        for (&signal, before) in SIGNALS.iter().zip(&self.actions) {
            let now = action(signal)?.sa_sigaction;
            let ours = record_and_pass_on as extern "C" fn(libc::c_int) as usize;
            if now == ours || now == NEXT.load(Ordering::Acquire) {
                set_action(signal, before)?;
            }
        }
        Ok(())
    }
}

fn action(signal: i32) -> io::Result<libc::sigaction> {
    let mut action = MaybeUninit::uninit();
    // SAFETY: a null new action only reads; `action` has room for one.
    if unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: sigaction(2) succeeded and so has filled it in.
    Ok(unsafe { action.assume_init() })
}

fn set_action(signal: i32, action: &libc::sigaction) -> io::Result<()> {
    // SAFETY: `action` is one that sigaction(2) gave us, at most with our own handler in it.
    if unsafe { libc::sigaction(signal, action, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Ends the process as `signal` would have: its default action is restored and it is raised again. Where that returns
/// (process 1 of a container has no default actions), leaves with 128 + n.
pub(crate) fn die_of(signal: i32) -> ! {
    // SAFETY: an all-zero sigaction is SIG_DFL with an empty mask and no flags; raise(3) takes any number.
    unsafe {
        let mut default: libc::sigaction = std::mem::zeroed();
        default.sa_sigaction = libc::SIG_DFL;
        libc::sigaction(signal, &default, std::ptr::null_mut());
        unblock(signal);
        libc::raise(signal);
    }
    super::exit_now(128_i32.saturating_add(signal).min(255))
}

/// Has the calling thread take `signal`, whatever mask it inherited. Async-signal-safe.
pub(crate) fn unblock(signal: i32) {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the set is initialised by sigemptyset before it is used; a number that is no signal's changes nothing.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), std::ptr::null_mut());
    }
}

/// Whether this is SIGHUP.
pub(crate) fn is_hangup(signal: i32) -> bool {
    signal == libc::SIGHUP
}

/// The signal's name, for people.
pub(crate) fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        _ => return None,
    })
}

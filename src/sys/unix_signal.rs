//! What ctrlc cannot do: say which signal came, take more signals than it knows, leave alone what was ignored, and be taken back.
//!
//! ctrlc installs one handler for SIGINT, SIGTERM and SIGHUP and wakes its thread from it. We read the actions that
//! stood before, let ctrlc install, and put in front of its handler one that notes the signal and calls it. Each call of
//! ctrlc's handler stands for exactly one noted signal, and each waking of its thread takes exactly one.

use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// The signals that ask a program to stop, in the order in which they are handled below.
pub(crate) const SIGNALS: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Nobody can catch the first two; the others come from the thread's own fault, which a handler that returns repeats for ever.
const NOT_FOR_HANDLERS: [i32; 9] = [
    libc::SIGKILL,
    libc::SIGSTOP,
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGABRT,
    libc::SIGSYS,
];

/// The signals that have come and that ctrlc's thread has not taken: bit n - 1 for signal n.
static PENDING: AtomicU64 = AtomicU64::new(0);
/// The signals that do not mean stop, as bits.
static HANDLED: AtomicU64 = AtomicU64::new(0);
/// The first signal that means stop since [`forget_signals`], 0 for none.
static FIRST: AtomicI32 = AtomicI32::new(0);
/// The generation (see `fork_generation`) of the process that installed.
static INSTALLED_IN: AtomicU32 = AtomicU32::new(0);
/// The address of ctrlc's handler, 0 until it has been seen.
static NEXT: AtomicUsize = AtomicUsize::new(0);

fn bit(signal: i32) -> u64 {
    1_u64
        .checked_shl((signal as u32).wrapping_sub(1))
        .unwrap_or(0)
}

/// The signals that mean stop, as bits. One that is neither among these nor handled has lost its handler just now.
fn meaning_stop() -> u64 {
    // Relaxed: it changes while our handler is not there, but for one that is running just then, and that may see either.
    let handled = HANDLED.load(Ordering::Relaxed);
    bits(&SIGNALS) & !handled
}

fn bits(signals: &[i32]) -> u64 {
    signals.iter().fold(0, |all, &signal| all | bit(signal))
}

/// Notes which signal came, then wakes ctrlc's thread. Async-signal-safe: atomics, and ctrlc's `sem_post`.
extern "C" fn record_and_pass_on(signal: libc::c_int) {
    let stops = meaning_stop() & bit(signal) != 0;
    if super::unix::generation() != INSTALLED_IN.load(Ordering::Relaxed) {
        // A forked child, where ctrlc's thread does not exist: nobody would ever hear of it.
        match stops {
            true => die_of(signal),
            false => act_by_default(signal), // which need not be an end
        }
        return;
    }
    if stops {
        // Only the first wins. Release: pairs with the load in `take_signal`; the semaphore orders it as well.
        let _ = FIRST.compare_exchange(0, signal, Ordering::Release, Ordering::Relaxed);
    }
    // AcqRel: pairs with `take_signal`. If the bit is set still, a waking is on its way that will take it after this.
    if PENDING.fetch_or(bit(signal), Ordering::AcqRel) & bit(signal) != 0 {
        return;
    }
    let next = NEXT.load(Ordering::Acquire);
    if next != 0 {
        // SAFETY: the address was read from an action that ctrlc installed without SA_SIGINFO, so it is a handler that
        // takes the signal's number; code is never unloaded under us, since ctrlc is linked into the same object.
        let next: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(next) };
        next(signal);
    }
}

/// One signal that has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) signal: i32,
    /// The first signal that meant stop since [`forget_signals`]: this one, or one before it.
    pub(crate) first: i32,
    /// It means stop. If not it has a handler, or had one until just now.
    pub(crate) stops: bool,
}

/// Takes one signal that has come. To be called once for each waking of ctrlc's thread, which calls this on no other.
pub(crate) fn take_signal() -> Option<Taken> {
    let pending = PENDING.load(Ordering::Acquire);
    let stops = pending & meaning_stop();
    let first = FIRST.load(Ordering::Acquire);
    // What means stop goes first, and of that what came first. Then by number.
    let lowest = |bits: u64| bits & bits.wrapping_neg();
    let taken = if stops & bit(first) != 0 {
        bit(first)
    } else if stops != 0 {
        lowest(stops)
    } else {
        lowest(pending)
    };
    if taken == 0 {
        return None;
    }
    // Only this thread clears bits, so what was seen is there. Before anything is done about it: one that comes from now on is
    // another one.
    PENDING.fetch_and(!taken, Ordering::AcqRel);
    let signal = taken.trailing_zeros() as i32 + 1;
    Some(Taken {
        signal,
        // None: it came just before the installation that hears of it now.
        first: if first == 0 { signal } else { first },
        stops: taken & stops != 0,
    })
}

/// Starts afresh, for a new installation. What is pending stays, since a waking is on its way for it.
pub(crate) fn forget_signals() {
    INSTALLED_IN.store(super::fork_generation(), Ordering::Relaxed);
    FIRST.store(0, Ordering::Release);
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

/// The actions for [`SIGNALS`] and some others as they stood at one moment.
pub(crate) struct SignalHandlers {
    /// Those for [`SIGNALS`] first, in that order.
    actions: Vec<(i32, libc::sigaction)>,
}

impl std::fmt::Debug for SignalHandlers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.actions.iter().map(|&(s, _)| (s, self.disposition(s))))
            .finish()
    }
}

impl SignalHandlers {
    /// Reads what is installed now, for [`SIGNALS`] and for `more`.
    pub(crate) fn read(more: &[i32]) -> io::Result<SignalHandlers> {
        let mut actions: Vec<(i32, libc::sigaction)> = Vec::new();
        for &signal in SIGNALS.iter().chain(more) {
            if !actions.iter().any(|(known, _)| *known == signal) {
                actions.push((signal, action(signal)?));
            }
        }
        Ok(SignalHandlers { actions })
    }

    /// What `signal` did when this was read.
    pub(crate) fn disposition(&self, signal: i32) -> Disposition {
        match self.actions.iter().find(|(known, _)| *known == signal) {
            Some((_, action)) => match action.sa_sigaction {
                libc::SIG_DFL => Disposition::Default,
                libc::SIG_IGN => Disposition::Ignored,
                _ => Disposition::Handled,
            },
            None => Disposition::Default,
        }
    }

    /// With ctrlc installed: puts our handler in front of its for each signal that `wanted` asks for, and puts back
    /// what stood here for the others. `handled` are the signals that do not mean stop.
    pub(crate) fn chain(&self, handled: &[i32], wanted: impl Fn(i32) -> bool) -> io::Result<()> {
        // Before a handler can see it.
        HANDLED.store(bits(handled), Ordering::Relaxed);
        if NEXT.load(Ordering::Acquire) == 0 {
            NEXT.store(action(SIGNALS[0])?.sa_sigaction, Ordering::Release);
        }
        for (signal, before) in &self.actions {
            match wanted(*signal) {
                true => set_action(*signal, &chained())?,
                false => set_action(*signal, before)?,
            }
        }
        Ok(())
    }

    /// Puts back what stood here, whatever is there now.
    pub(crate) fn restore_all(&self) -> io::Result<()> {
        for (signal, before) in &self.actions {
            set_action(*signal, before)?;
        }
        Ok(())
    }

    /// Puts back what stood here, except where somebody has installed a handler over ours since. `ignored`: signals that are to do
    /// nothing from now on.
    pub(crate) fn restore(&self, ignored: &[i32]) -> io::Result<()> {
        let ours = record_and_pass_on as extern "C" fn(libc::c_int) as usize;
        let mut ignore = default_action();
        ignore.sa_sigaction = libc::SIG_IGN;
        for (signal, before) in &self.actions {
            let now = action(*signal)?.sa_sigaction;
            if now == ours || now == NEXT.load(Ordering::Acquire) {
                let wanted = match ignored.contains(signal) {
                    true => &ignore,
                    false => before,
                };
                set_action(*signal, wanted)?;
            }
        }
        Ok(())
    }
}

/// Whether a handler for `signal` can be installed, and would make sense.
pub(crate) fn takes_handler(signal: i32) -> bool {
    // The C library keeps some numbers for itself and says so here.
    bit(signal) != 0 && !NOT_FOR_HANDLERS.contains(&signal) && action(signal).is_ok()
}

/// The action that calls our handler.
fn chained() -> libc::sigaction {
    let mut chained = default_action();
    chained.sa_sigaction = record_and_pass_on as extern "C" fn(libc::c_int) as usize;
    chained.sa_flags = libc::SA_RESTART;
    chained
}

/// SIG_DFL, with an empty mask and no flags.
fn default_action() -> libc::sigaction {
    // SAFETY: an all-zero sigaction is SIG_DFL with an empty mask and no flags on every system that we know.
    let mut default: libc::sigaction = unsafe { std::mem::zeroed() };
    default.sa_sigaction = libc::SIG_DFL;
    default
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
    // SAFETY: `action` is one that sigaction(2) gave us, the default, or our own handler, which takes a signal's number.
    if unsafe { libc::sigaction(signal, action, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// In the handler of `signal`: has its default action done as soon as the handler returns, whether that ends the process,
/// suspends it or is nothing.
fn act_by_default(signal: i32) {
    // SAFETY: sigaction(2) and raise(3) are async-signal-safe; the action is a valid one.
    unsafe {
        libc::sigaction(signal, &default_action(), std::ptr::null_mut());
        libc::raise(signal);
    }
}

/// Ends the process as `signal` would have: its default action is restored and it is raised again. Where that returns
/// (process 1 of a container has no default actions), leaves with 128 + n.
pub(crate) fn die_of(signal: i32) -> ! {
    // SAFETY: the action is a valid one; raise(3) takes any number.
    unsafe {
        libc::sigaction(signal, &default_action(), std::ptr::null_mut());
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

/// Whether our parent is the leader of our process group: then what it sends to its child and to its group reaches us twice.
pub(crate) fn parent_leads_our_group() -> bool {
    // SAFETY: both calls only ask.
    let (parent, leader) = unsafe { (libc::getppid(), libc::getpgrp()) };
    // Both are 0 where they are outside of our PID namespace.
    parent == leader && parent != 0
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
        libc::SIGCHLD => "SIGCHLD",
        libc::SIGCONT => "SIGCONT",
        libc::SIGTSTP => "SIGTSTP",
        libc::SIGWINCH => "SIGWINCH",
        _ => return None,
    })
}

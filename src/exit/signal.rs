//! Ctrl-C, SIGTERM and SIGHUP, through ctrlc: its thread only passes a message on.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crossbeam_channel::Sender;
use parking_lot::Mutex;

use super::install::InstallError;
use crate::supervisor::registry::{Core, Message};
use crate::supervisor::{roots, ExitStyle};
use crate::sys::{self, Disposition, SignalHandlers, SIGNALS};

/// Whom ctrlc's one handler, which is set once and for ever, passes signals on to.
static TARGET: Mutex<Option<Target>> = parking_lot::const_mutex(None);
/// Whether ctrlc's handler has been set.
static CTRLC_SET: Mutex<bool> = parking_lot::const_mutex(false);

struct Target {
    sender: Sender<Message>,
    core: Weak<Core>,
    /// How many signals this installation has seen.
    seen: AtomicU32,
}

/// Installed signal handlers; dropping this puts back what was there.
#[derive(Debug)]
pub(super) struct Signals {
    before: SignalHandlers,
}

impl Signals {
    pub(super) fn install(
        sender: Sender<Message>,
        core: &Arc<Core>,
    ) -> Result<Signals, InstallError> {
        let before = SignalHandlers::read().map_err(InstallError::Signals)?;
        // A handler for SIGHUP mostly means "reload" and can live beside us; for the others somebody else decides when this
        // program ends, and must know of us.
        for signal in SIGNALS.into_iter().take(2) {
            if before.disposition(signal) == Disposition::Handled {
                return Err(InstallError::HandlerExists(signal));
            }
        }
        let mut set = CTRLC_SET.lock();
        if !*set {
            if let Err(error) = ctrlc::set_handler(on_signal) {
                // It may have installed its handler and then failed to start its thread: Ctrl-C would be dead.
                before.restore_all().map_err(InstallError::Signals)?;
                return Err(InstallError::Ctrlc(error));
            }
            *set = true;
        }
        sys::forget_signals();
        *TARGET.lock() = Some(Target {
            sender,
            core: Arc::downgrade(core),
            seen: AtomicU32::new(0),
        });
        let signals = Signals { before };
        // On an error `signals` is dropped, which puts everything back.
        signals
            .before
            .chain(|signal| signals.before.disposition(signal) == Disposition::Default)
            .map_err(InstallError::Signals)?;
        Ok(signals)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        if let Err(error) = self.before.restore() {
            crate::supervisor::logging::log(
                log::Level::Error,
                format_args!("cannot put back the signal handlers: {error}"),
            );
        }
        *TARGET.lock() = None;
    }
}

/// Runs on ctrlc's thread for each signal, one at a time: a panic here would be the end of Ctrl-C, and so would be waiting.
fn on_signal() {
    let Some((first, last)) = sys::signals_seen() else {
        return;
    };
    let (sender, core, seen) = {
        let target = TARGET.lock();
        let Some(target) = &*target else { return };
        // Relaxed: one thread counts.
        let seen = target.seen.fetch_add(1, Ordering::Relaxed);
        (target.sender.clone(), target.core.clone(), seen)
    };
    let core = core.upgrade();
    let stopping = core.as_ref().is_some_and(|core| core.is_stopping());
    if seen == 0 && !stopping {
        // Unbounded, so this does not block. A coordinator that is gone has ended with its guard.
        let _ = sender.send(Message::Signal(first));
        return;
    }
    if seen == 0 {
        // The first, but something else began the shutdown: say what is going on, and let it go on.
        say_who_is_left(
            core.as_deref(),
            "stopping already",
            "again to leave at once",
        );
        return;
    }
    say_who_is_left(core.as_deref(), "leaving at once", "cut off");
    sys::die_of(last)
}

/// Names who is still waited for. Bounded, and takes no lock that it does not get at once.
fn say_who_is_left(core: Option<&Core>, what: &str, end: &str) {
    use std::fmt::Write;
    let names = core.map(Core::waited_for).unwrap_or_default();
    let mut text = format!("sundown: {what}; still waiting for ");
    match names.is_empty() {
        true => text.push_str("nobody"),
        false => {
            const MOST: usize = 20;
            let shown = names.len().min(MOST);
            text.push_str(&names[..shown].join(", "));
            if names.len() > MOST {
                // Writing to a String does not fail.
                let _ = write!(text, " and {} more", names.len() - MOST);
            }
        }
    }
    text.push_str(&format!(" ({end})\n"));
    sys::write_stderr(&text, Duration::from_millis(200));
}

/// Ends the process after `signal`.
pub(super) fn end_after(signal: i32, style: ExitStyle) -> ! {
    roots::end_after_signal(signal, style)
}

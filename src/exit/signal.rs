//! Ctrl-C, SIGTERM, SIGHUP and whatever has a handler, through ctrlc: its thread only requests a shutdown and rouses who carries it out, or
//! starts a thread.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use once_cell::sync::OnceCell;
use parking_lot::Mutex;

use super::install::InstallError;
use crate::base::logging;
use crate::base::mailbox::Sender;
use crate::base::text::Printable;
use crate::supervisor::on_signal::{OnSignal, Run};
use crate::supervisor::registry::{Core, Message};
use crate::supervisor::worker::End;
use crate::supervisor::{roots, Cause, EntryKind, Supervisor};
use crate::sys::{self, Disposition, SignalHandlers, SIGNALS};

/// Whom ctrlc's one handler, which is set once and for ever, passes signals on to.
static TARGET: Mutex<Option<Target>> = parking_lot::const_mutex(None);
/// The generation (see `fork_generation`) of the process in which ctrlc's handler was set, and so its thread runs.
static CTRLC_SET_IN: Mutex<Option<u32>> = parking_lot::const_mutex(None);

/// A second signal that comes this soon may be an echo of the first, so a shutdown has at least this long, which is enough for most.
/// A SIGHUP this soon is an echo for certain, and so is the same signal again from a wrapper that signals its child and then its group, as
/// `timeout` does.
const ECHO: Duration = Duration::from_millis(200);

/// A `main` that was waiting for the signal most likely carries the shutdown out itself, and ends the process: it gets this long before
/// the coordinator is roused to see to it. At once, that would be one more thread for the processors to run on the way of each program
/// to its end.
const HEAD_START: Duration = Duration::from_millis(1);

struct Target {
    sender: Sender<Message>,
    core: Weak<Core>,
    /// What answers the signals that do not mean stop.
    on_signal: Vec<Arc<OnSignal>>,
    /// When this installation saw its first signal.
    first: OnceCell<Instant>,
}

/// Installed signal handlers; dropping this puts back what was there.
#[derive(Debug)]
pub(super) struct Signals {
    before: SignalHandlers,
    /// The signals that do not mean stop.
    handled: Vec<i32>,
    /// A signal has ended the program, which is only left to go.
    ends: bool,
}

impl Signals {
    pub(super) fn install(
        sender: Sender<Message>,
        core: &Arc<Core>,
        on_signal: &[Arc<OnSignal>],
    ) -> Result<Signals, InstallError> {
        let here = sys::fork_generation();
        let mut set_in = CTRLC_SET_IN.lock();
        // First of all: the handlers that a forked child finds are ours, and nobody hears of them.
        if set_in.is_some_and(|generation| generation != here) {
            return Err(InstallError::Forked);
        }
        let handled: Vec<i32> = on_signal.iter().map(|handler| handler.signal).collect();
        if let Some(&signal) = handled.iter().find(|&&signal| !sys::takes_handler(signal)) {
            return Err(InstallError::NoHandlerFor(signal));
        }
        let before = SignalHandlers::read(&handled).map_err(InstallError::Signals)?;
        // A handler for SIGHUP mostly means "reload" and can live beside us; for the others somebody else decides when this
        // program ends, and must know of us.
        for &signal in SIGNALS.iter().take(2).chain(&handled) {
            if before.disposition(signal) == Disposition::Handled {
                return Err(InstallError::HandlerExists(signal));
            }
        }
        sys::forget_signals();
        // First, so that a signal between the next two steps finds somebody to tell.
        *TARGET.lock() = Some(Target {
            sender,
            core: Arc::downgrade(core),
            on_signal: on_signal.to_vec(),
            first: OnceCell::new(),
        });
        let signals = Signals {
            before,
            handled,
            ends: false,
        };
        if set_in.is_none() {
            if let Err(error) = ctrlc::set_handler(on_wake) {
                // It may have installed its handler and then failed to start its thread: Ctrl-C would be dead.
                signals
                    .before
                    .restore_all()
                    .map_err(InstallError::Signals)?;
                return Err(InstallError::Ctrlc(error));
            }
            *set_in = Some(here);
        }
        // On an error `signals` is dropped, which puts everything back.
        signals
            .before
            .chain(&signals.handled, |signal| signals.is_ours(signal))
            .map_err(InstallError::Signals)?;
        Ok(signals)
    }

    /// The process is about to end by a signal: one that had a handler, and comes in the last moment, is not to end it otherwise.
    pub(super) fn process_ends(&mut self) {
        self.ends = true;
    }

    /// The signals that we handle.
    pub(super) fn ours(&self) -> Vec<i32> {
        let mut ours = [&SIGNALS[..], &self.handled].concat();
        ours.retain(|&signal| self.is_ours(signal));
        ours
    }

    /// Those that somebody ignores, or handles, are theirs.
    fn is_ours(&self, signal: i32) -> bool {
        match self.before.disposition(signal) {
            Disposition::Default => true,
            // Under `nohup` a SIGHUP that reloads ends nothing. What a script's background job ignores stays so.
            Disposition::Ignored => {
                self.handled.contains(&signal) && !SIGNALS[..2].contains(&signal)
            }
            Disposition::Handled => false,
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        let ignored = if self.ends { &self.handled[..] } else { &[] };
        if let Err(error) = self.before.restore(ignored) {
            crate::base::logging::log(
                log::Level::Error,
                format_args!("cannot put back the signal handlers: {error}"),
            );
        }
        let target = TARGET.lock().take();
        drop(target); // with the lock free: handlers are users'
    }
}

/// Runs on ctrlc's thread for each signal, one at a time: a panic here would be the end of Ctrl-C, and so would be waiting
/// for long.
fn on_wake() {
    // None: the signal came between ctrlc's handler and ours, so which it was is not known. It most likely came from a service
    // manager, which asks with this one.
    let (first, last) = match sys::take_signal() {
        Some(taken) if !taken.stops => return answer(taken.signal),
        Some(taken) => (taken.first, taken.signal),
        None => (SIGNALS[1], SIGNALS[1]),
    };
    let now = Instant::now();
    let (sender, core, since_first) = {
        let target = TARGET.lock();
        let Some(target) = &*target else { return };
        let since_first = target
            .first
            .get()
            .map(|first| now.saturating_duration_since(*first));
        // Only this thread sets it.
        let _ = target.first.set(now);
        (target.sender.clone(), target.core.clone(), since_first)
    };
    match since_first {
        None => match core.upgrade() {
            Some(core) if request(&core, &sender, first) => {}
            // The first, but something else began the shutdown: say what is going on, and let it go on.
            Some(_) => say_who_is_left("stopping already", "again to leave at once"),
            None => {} // it has ended with its guard
        },
        // What systemd's SendSIGHUP= and a closing terminal send right behind another.
        Some(since) if since < ECHO && sys::is_hangup(last) => {}
        Some(since) if since < ECHO && last == first && sys::parent_leads_our_group() => {}
        Some(since) => {
            // A duration, not a meeting point: most likely the process ends meanwhile.
            std::thread::sleep(ECHO.saturating_sub(since));
            if since < ECHO && core.upgrade().is_some_and(|core| core.is_over()) {
                return; // an echo, or as good as one: what is left is for main to leave
            }
            say_who_is_left("leaving at once", "cut off");
            sys::die_of(last)
        }
    }
}

/// Requests the shutdown. False if something else has begun it already.
fn request(core: &Core, sender: &Sender<Message>, signal: i32) -> bool {
    if core.is_stopping() {
        return false;
    }
    // Here, which saves a switch of threads: this wakes who carries it out, and calls nobody.
    if core.is_coordinated() {
        if !core.begin_unattended(Cause::Signal(signal), false) {
            return false;
        }
        if core.registry.lock().main_waits {
            // A head start, and no meeting point: the coordinator does all that `main` has not done.
            std::thread::sleep(HEAD_START);
        }
        core.rouse_coordinator();
        return true;
    }
    // The installation is not through, or the registry's lock is not to be had: then the coordinator does it. Nobody is there to only if
    // the installation has failed.
    sender.send(Message::Signal(signal));
    true
}

/// A signal that does not mean stop: starts a run of each of its handlers.
fn answer(signal: i32) {
    let (handlers, core) = {
        let target = TARGET.lock();
        let Some(target) = &*target else { return };
        let handlers = target.on_signal.iter().filter(|h| h.signal == signal);
        (handlers.cloned().collect::<Vec<_>>(), target.core.clone())
    };
    let name = Cause::Signal(signal).to_string();
    for handler in handlers {
        let Some(run) = handler.rouse() else {
            continue; // it runs already, and will run once more
        };
        if run_as_worker(&core, &handler, run, &name) {
            continue;
        }
        // No supervisor takes workers any more: what there is to do is done, on a thread that nobody waits for.
        let label = name.clone();
        let alone = handler.rouse().map(|run| {
            std::thread::Builder::new()
                .name(format!("{name} handler"))
                .spawn(move || run_logged(run, &label))
        });
        if let Some(Err(error)) = alone {
            // Printed: this thread must not wait for a logger.
            logging::print(&format!(
                "sundown: no thread to be had for the handler of {name}, send it again: {error}\n"
            ));
        }
    }
}

/// False if no worker could be started; then the handler is back in its place.
fn run_as_worker(core: &Weak<Core>, handler: &OnSignal, run: Run, name: &str) -> bool {
    let Some(core) = core.upgrade() else {
        return false;
    };
    let label = name.to_owned();
    let worker = Supervisor { core }.worker().name(format!("{name} handler"));
    let started = worker.start_job(EntryKind::Worker, handler.location, move |_| {
        run_logged(run, &label);
        (End::Returned, ())
    });
    started.is_ok()
}

fn run_logged(run: Run, signal: &str) {
    run.run(|message| {
        let message = Printable(&message);
        logging::log(
            log::Level::Error,
            format_args!("the handler of {signal} panicked: {message}"),
        );
    });
}

/// Names who is still waited for. Bounded, and takes no lock that it does not get at once.
fn say_who_is_left(what: &str, end: &str) {
    let roots = roots::all();
    let mut names = Vec::new();
    for core in &roots {
        let left = core.left();
        if left.busy {
            names.push("(a supervisor that is busy)".to_owned());
        }
        names.extend(left.waited.iter().map(|waited| {
            let name = Printable(waited.name.as_deref().unwrap_or("<unnamed>"));
            match waited.worker {
                true => format!("{name} ({})", waited.location),
                false => format!("hook {name}"),
            }
        }));
    }
    let names = listed(&names);
    logging::print(&format!(
        "sundown: {what}; still waiting for {names} ({end})\n"
    ));
}

/// The first of these names, and how many more there are.
fn listed(names: &[String]) -> String {
    const MOST: usize = 20;
    match names {
        [] => "nobody".to_owned(),
        names if names.len() <= MOST => names.join(", "),
        names => format!(
            "{} and {} more",
            names[..MOST].join(", "),
            names.len() - MOST
        ),
    }
}

/// How many more signals end the process at once while this supervisor shuts down. `None` if it is not told of signals.
pub(crate) fn signals_to_the_end(core: &Arc<Core>) -> Option<u8> {
    let target = TARGET.lock();
    let target = target.as_ref()?;
    let ours = target.core.as_ptr() == Arc::as_ptr(core);
    ours.then(|| if target.first.get().is_some() { 1 } else { 2 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_names_are_listed_and_the_others_counted() {
        let names = |count: usize| -> Vec<String> { (1..=count).map(|n| n.to_string()).collect() };
        assert_eq!(listed(&[]), "nobody");
        assert_eq!(listed(&names(1)), "1");
        assert_eq!(listed(&names(2)), "1, 2");
        assert!(listed(&names(20)).ends_with(", 19, 20"));
        assert!(listed(&names(21)).ends_with(", 19, 20 and 1 more"));
        assert!(listed(&names(120)).ends_with(", 19, 20 and 100 more"));
    }
}

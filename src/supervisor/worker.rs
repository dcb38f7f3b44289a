//! The record of one worker: who it is, what tells it to stop, how far it has come, and the thread to join.
//!
//! A record knows nothing of its supervisor. Its lock is a leaf: nothing is called with it held, and it may be taken
//! with a registry's lock held, never the other way round.

use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use once_cell::sync::OnceCell;
use parking_lot::{Condvar, Mutex};

use super::callback::{Callback, Job};
use super::report::{EntryKind, Note, WorkerId};
use crate::base::logging;
use crate::base::panics::describe_panic;
use crate::stop::timer::{self, Expire, TimerKey};
use crate::stop::{Stop, StopSource, StopToken, Tripped};
use crate::sys::NativeThread;

/// What a builder decides about a worker.
pub(crate) struct Traits {
    pub(crate) kind: EntryKind,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) location: &'static Location<'static>,
    /// From being told to being given up; `None`: until the deadline.
    pub(crate) grace: Option<Duration>,
    /// Told, but not waited for.
    pub(crate) daemon: bool,
    /// When it ends, the supervisor shuts down.
    pub(crate) critical: bool,
    /// The thread to unpark and to show, if it is not the one that is started (which only waits for it).
    pub(crate) adopted: Option<Thread>,
}

/// One supervised thread.
pub(crate) struct Worker {
    pub(crate) id: WorkerId,
    pub(crate) traits: Traits,
    /// What makes it stop, beside its token.
    pub(crate) callback: Callback,
    /// When it was registered.
    pub(crate) began: Instant,
    /// It waits for its own supervisor's shutdown, or it is leaving the process: nobody waits for it.
    caller: AtomicBool,
    /// Its closure has returned and the value is stored.
    finished: AtomicBool,
    progress: Mutex<Progress>,
    /// Notified when `progress` has come further: gone, or joined.
    changed: Condvar,
    /// The timer of its time limit.
    timer: OnceCell<Box<(TimerKey, Arc<dyn Expire>)>>,
}

/// How far a worker has come.
struct Progress {
    /// The thread to unpark; there once it has been started.
    thread: Option<Thread>,
    /// There once it has been told to stop. Boxed, since most of a program's life it is not.
    told: Option<Box<Told>>,
    /// Its own stop source, made when somebody first asks for a token.
    source: Option<StopSource>,
    /// How its closure ended.
    end: Option<End>,
    /// What it wants said of itself in the report.
    note: Option<Note>,
    /// Its code and its thread-locals are through; with the time, if anyone wanted to know.
    gone: Option<Option<Instant>>,
    /// Who may join the thread.
    native: Native,
}

/// How a worker was told to stop.
struct Told {
    at: Instant,
    stop: Stop,
    /// The tripped token, with callbacks that may be left to run.
    tripped: Option<Tripped>,
    /// A callback of its token did not return within its limit.
    token_hangs: bool,
}

/// How a worker's closure ended.
#[derive(Clone)]
pub(crate) enum End {
    Returned,
    Panicked(Box<str>),
}

impl End {
    /// How a closure with this result ended.
    pub(crate) fn of<T>(result: &std::thread::Result<T>) -> End {
        match result {
            Ok(_) => End::Returned,
            Err(payload) => End::panicked(&**payload),
        }
    }

    pub(crate) fn panicked(payload: &(dyn std::any::Any + Send)) -> End {
        End::Panicked(describe_panic(payload).into())
    }
}

/// The right to join a thread, which exists once.
enum Native {
    /// The thread is not started yet, or somebody else joins it.
    Absent,
    /// Free to take.
    Attached(NativeThread),
    /// Somebody is joining it just now.
    Taken,
    /// It has been joined.
    Joined,
}

impl Worker {
    pub(crate) fn new(id: WorkerId, mut traits: Traits, callback: Option<Job>) -> Worker {
        let adopted = traits.adopted.take();
        Worker {
            id,
            traits,
            callback: Callback::new(callback),
            began: Instant::now(),
            caller: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            progress: Mutex::new(Progress {
                thread: adopted,
                told: None,
                source: None,
                end: None,
                note: None,
                gone: None,
                native: Native::Absent,
            }),
            changed: Condvar::new(),
            timer: OnceCell::new(),
        }
    }

    // ---- starting

    /// The thread runs, and we may join it. Gives the thread that is the worker: this one, or the adopted one.
    pub(crate) fn attach(&self, thread: JoinHandle<()>) -> Thread {
        let shown = thread.thread().clone();
        self.attach_as(shown, Native::Attached(NativeThread::of(thread)))
    }

    /// The thread runs, and somebody else joins it.
    pub(crate) fn attach_thread(&self, thread: Thread) {
        self.attach_as(thread, Native::Absent);
    }

    fn attach_as(&self, thread: Thread, native: Native) -> Thread {
        let mut progress = self.progress.lock();
        progress.native = native;
        // That of an adopted thread is there already, and stays.
        let thread = progress.thread.get_or_insert(thread).clone();
        // Told before we knew its thread: the unpark is still owed. The lock orders this against `trip`: either whoever told it
        // saw the thread, or we see that it was told.
        let owed = progress.told.is_some();
        drop(progress);
        if owed {
            thread.unpark();
        }
        thread
    }

    // ---- being told

    /// The worker's own token.
    pub(crate) fn token(&self) -> StopToken {
        let mut progress = self.progress.lock();
        let stop = progress.told.as_ref().map(|told| told.stop.clone());
        let source = progress.source.get_or_insert_with(StopSource::new);
        if let Some(stop) = stop {
            // Does nothing the second time; a source that is new has no callbacks.
            drop(source.trip(&stop));
        }
        source.token()
    }

    /// The first half of telling it, which calls nobody: books it as told and trips its token.
    pub(crate) fn trip(&self, stop: Stop) {
        let mut progress = self.progress.lock();
        let progress = &mut *progress;
        if let Some(told) = &mut progress.told {
            // The reason stays; the deadline may have come nearer.
            if let Some(deadline) = stop.deadline {
                let old = told.stop.deadline;
                told.stop.deadline = Some(old.map_or(deadline, |old| old.min(deadline)));
                if let Some(source) = &progress.source {
                    source.tighten(deadline);
                }
            }
            return;
        }
        let source = progress.source.as_ref();
        progress.told = Some(Box::new(Told {
            at: Instant::now(),
            tripped: source.and_then(|source| source.trip(&stop)),
            stop,
            token_hangs: false,
        }));
    }

    /// The tripped token, once told.
    fn tripped(&self) -> Option<Tripped> {
        let progress = self.progress.lock();
        progress.told.as_ref().and_then(|told| told.tripped.clone())
    }

    /// Whether the second half would run anything of a user's.
    pub(crate) fn has_callbacks(&self) -> bool {
        let quiet = |tripped: Tripped| tripped.is_quiet();
        self.callback.is_ready() || !self.tripped().map_or(true, quiet)
    }

    /// The second half: runs what nobody has run yet, then unparks. If something hangs in here, another thread may call this and go
    /// on behind it.
    ///
    /// The unpark comes last: a worker that loops over "is my flag set? else park" would otherwise wake before its callback has
    /// set the flag, park again, and never be woken. If a callback hangs, `give_up_telling` unparks.
    ///
    /// `began` is now; what comes back is when it was through.
    pub(crate) fn finish_telling(&self, mut began: Instant) -> Instant {
        if let Some(tripped) = self.tripped() {
            tripped.run();
            began = Instant::now();
        }
        let (mut ended, panic) = self.callback.run(began);
        if let Some(message) = panic {
            logging::callback_panicked(
                self.traits.kind.label(),
                self.traits.name.as_deref(),
                &message,
            );
            ended = Instant::now();
        }
        self.unpark();
        ended
    }

    /// The time for telling it is up. True if a callback was indeed still running.
    pub(crate) fn give_up_telling(&self) -> bool {
        let token_hangs = self.tripped().is_some_and(|tripped| tripped.is_running());
        if token_hangs {
            if let Some(told) = &mut self.progress.lock().told {
                told.token_hangs = true;
            }
        }
        let hangs = self.callback.give_up();
        self.unpark();
        hangs || token_hangs
    }

    /// Whether nothing of it is left: its thread is through, and no thread is running its terminate callback, or about to.
    pub(crate) fn is_over(&self) -> bool {
        let told = {
            let progress = self.progress.lock();
            if progress.gone.is_none() {
                return false;
            }
            progress.told.is_some()
        };
        // Whoever tells it just after this looks again when it has.
        !(self.callback.is_running() || (told && self.callback.is_ready()))
    }

    /// Whether a callback of its token was given up.
    pub(crate) fn token_hangs(&self) -> bool {
        let progress = self.progress.lock();
        progress.told.as_ref().is_some_and(|told| told.token_hangs)
    }

    /// By when it must be done, once told.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let progress = self.progress.lock();
        progress.told.as_ref().and_then(|told| told.stop.deadline)
    }

    /// Keeps the timer of its time limit, to be taken back when it is gone.
    pub(crate) fn keep_timer(&self, key: TimerKey, limit: Arc<dyn Expire>) {
        if self.timer.set(Box::new((key, limit))).is_err() || self.is_gone() {
            timer::cancel(key); // it ended before there was a timer to take back
        }
    }

    /// When it was told.
    pub(crate) fn told(&self) -> Option<Instant> {
        self.progress.lock().told.as_ref().map(|told| told.at)
    }

    fn unpark(&self) {
        let thread = self.progress.lock().thread.clone();
        if let Some(thread) = thread {
            thread.unpark();
        }
    }

    /// It waits for the shutdown itself, so nobody waits for it. The caller holds the registry's lock.
    pub(crate) fn set_caller(&self) {
        // Relaxed: ordered by the registry's lock.
        self.caller.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_caller(&self) -> bool {
        self.caller.load(Ordering::Relaxed)
    }

    // ---- ending

    /// The closure has ended like this, and its value has been put where the join finds it. True if it had been told to stop.
    pub(crate) fn end(&self, end: End) -> bool {
        let told = {
            let mut progress = self.progress.lock();
            progress.end = Some(end);
            progress.told.is_some()
        };
        // Release: pairs with `is_finished`, so that who sees true finds the value.
        self.finished.store(true, Ordering::Release);
        told
    }

    /// What it wants said of itself in the report; the last one counts.
    pub(crate) fn set_note(&self, note: Note) {
        self.progress.lock().note = Some(note);
    }

    pub(crate) fn note(&self) -> Option<Note> {
        self.progress.lock().note.clone()
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    pub(crate) fn ended(&self) -> Option<End> {
        self.progress.lock().end.clone()
    }

    /// The last thing that its thread does for us: code and thread-locals are through.
    pub(crate) fn set_gone(&self, at: Option<Instant>) {
        self.progress.lock().gone = Some(at);
        self.changed.notify_all();
        if let Some(timer) = self.timer.get() {
            timer::cancel(timer.0);
        }
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.progress.lock().gone.is_some()
    }

    /// When it was gone, if anyone was waiting then.
    pub(crate) fn gone_at(&self) -> Option<Instant> {
        self.progress.lock().gone.flatten()
    }

    // ---- joining

    /// Joins the thread however long it takes, as std does: one wait, in the system's own join.
    pub(crate) fn join(&self) {
        let mut progress = self.progress.lock();
        loop {
            match std::mem::replace(&mut progress.native, Native::Taken) {
                Native::Attached(thread) => {
                    drop(progress);
                    thread.join();
                    self.set_native(Native::Joined);
                    return;
                }
                Native::Taken => self.changed.wait(&mut progress),
                over => {
                    progress.native = over;
                    return;
                }
            }
        }
    }

    /// Waits until it is gone, then joins the thread. False if that was not to be had until `limit`; nothing has changed
    /// then. `None` waits without end.
    pub(crate) fn join_until(&self, limit: Option<Instant>) -> bool {
        {
            let mut progress = self.progress.lock();
            while progress.gone.is_none() {
                match limit {
                    None => self.changed.wait(&mut progress),
                    Some(limit) => {
                        let late = self.changed.wait_until(&mut progress, limit).timed_out();
                        if late && progress.gone.is_none() {
                            return false;
                        }
                    }
                }
            }
        }
        // It is leaving already: it gets a moment, even when the time is up just now.
        let moment = Instant::now() + Duration::from_millis(100);
        self.collect(limit.map(|limit| limit.max(moment)))
    }

    /// Joins a thread that is gone. All that is left for it is the system's own work, so this takes microseconds; `limit`
    /// is for what C libraries do at a thread's end. False if even that hangs; the thread can be joined later.
    pub(crate) fn collect(&self, limit: Option<Instant>) -> bool {
        let mut progress = self.progress.lock();
        loop {
            match std::mem::replace(&mut progress.native, Native::Taken) {
                Native::Attached(thread) => {
                    drop(progress);
                    let left = thread.join_until(limit);
                    let joined = left.is_ok();
                    self.set_native(left.map_or_else(Native::Attached, |()| Native::Joined));
                    return joined;
                }
                Native::Taken => {
                    let late = match limit {
                        None => {
                            self.changed.wait(&mut progress);
                            false
                        }
                        Some(limit) => self.changed.wait_until(&mut progress, limit).timed_out(),
                    };
                    if late && matches!(progress.native, Native::Taken) {
                        return false;
                    }
                }
                over => {
                    progress.native = over;
                    return true;
                }
            }
        }
    }

    fn set_native(&self, native: Native) {
        self.progress.lock().native = native;
        self.changed.notify_all();
    }
}

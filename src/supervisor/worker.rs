//! The record of one worker: who it is, what tells it to stop, how far it has come, and the thread to join.
//!
//! A record knows nothing of its supervisor but who observes it. With its lock held nobody is called but observers, which call
//! nobody; it may be taken with a registry's lock held, never the other way round. `told` tells it to stop, `joining` joins its thread,
//! `news` is what its observers hear.

use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::callback::{Callback, Job};
use super::extension::Extended;
use super::joining::Native;
use super::kind::{EntryKind, WorkerId};
use super::news::Restarts;
use super::observers::Observers;
use super::pending::Standing;
use super::report::Note;
use super::told::Told;
use super::trace::Trace;
use crate::base::cause::Cause;
use crate::base::panics::describe_panic;
use crate::stop::timer::{self, Expire, TimerKey};
use crate::stop::StopSource;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::thread::{JoinHandle, Thread};
use crate::sync::{Condvar, Instant, Mutex};
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
    /// Whether the supervisor shuts down when it ends.
    pub(crate) critical: Critical,
}

/// Whether a worker's end is that of its supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Critical {
    No,
    /// If it panics.
    OnPanic,
    /// However it ends.
    Always,
}

impl Critical {
    /// Whether an end like this is the supervisor's.
    pub(super) fn is_fatal(self, panicked: bool) -> bool {
        self == Critical::Always || (panicked && self == Critical::OnPanic)
    }
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
    /// Whether the shutdown waits for it.
    pub(super) standing: Standing,
    pub(super) progress: Mutex<Progress>,
    /// Who is told what happens to it.
    pub(super) observers: Arc<Observers>,
    /// Notified when `progress` has come further: gone, or joined.
    pub(super) changed: Condvar,
    /// What it is doing, for those who ask.
    pub(crate) trace: Trace,
}

/// How far a worker has come.
pub(super) struct Progress {
    /// The thread to unpark; there once it has been started.
    pub(super) thread: Option<Thread>,
    /// There once it has been told to stop. Boxed, since most of a program's life it is not.
    pub(super) told: Option<Box<Told>>,
    /// Its own stop source, made when somebody first asks for a token.
    pub(super) source: Option<StopSource>,
    /// Its thread has been started, and its observers know.
    pub(super) announced: bool,
    /// What most workers have not. Boxed, so that it costs them a word.
    pub(super) rare: Option<Box<Rare>>,
    /// Its code and its thread-locals are through; with the time, if anyone wanted to know.
    pub(super) gone: Option<Option<Instant>>,
    /// Who may join the thread.
    pub(super) native: Native,
}

/// What few workers have.
#[derive(Default)]
pub(super) struct Rare {
    /// There once a run of it has failed.
    pub(super) restarts: Restarts,
    /// How its closure ended, if it did not just return.
    failure: Option<End>,
    /// What it wants said of itself in the report.
    note: Option<Note>,
    /// Sooner than what it is about to be told: the deadline was moved meanwhile.
    pub(super) cap: Option<Instant>,
    /// What it was given when it asked for more time. Boxed, as most that have one of these have not asked.
    pub(super) extended: Option<Box<Extended>>,
    /// When its grace was over, or its thread would not be joined.
    given_up: Option<Instant>,
    /// The timer of its time limit, and what that calls.
    timer: Option<(TimerKey, Arc<dyn Expire>)>,
}

/// What the report says of few workers.
#[derive(Default)]
pub(super) struct Remarks {
    pub(super) restarts: Restarts,
    pub(super) note: Option<Note>,
    /// How much longer it was given.
    pub(super) extended: Option<Duration>,
    pub(super) given_up: Option<Instant>,
}

impl Progress {
    pub(super) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_with(Box::default)
    }
}

/// How a worker's closure ended.
#[derive(Clone)]
pub(crate) enum End {
    Returned,
    /// With an error that is not to be passed over.
    Failed(Box<str>),
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

impl Worker {
    /// `thread`: the one to unpark and to show, if it is not the one that is started (which then only waits for it).
    #[inline] // built in its place, not copied there
    pub(crate) fn new(
        id: WorkerId,
        traits: Traits,
        callback: Option<Job>,
        thread: Option<Thread>,
        observers: &Arc<Observers>,
    ) -> Worker {
        Worker {
            id,
            traits,
            callback: Callback::new(callback),
            began: Instant::now(),
            caller: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            standing: Standing::default(),
            progress: Mutex::new(Progress {
                thread,
                told: None,
                source: None,
                announced: false,
                rare: None,
                gone: None,
                native: Native::Absent,
            }),
            changed: Condvar::new(),
            observers: Arc::clone(observers),
            trace: Trace::default(),
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
        self.announce_start(&mut progress);
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

    // ---- ending

    /// It waits for the shutdown itself, so nobody waits for it. The caller holds the registry's lock.
    pub(crate) fn set_caller(&self) {
        // Relaxed: ordered by the registry's lock.
        self.caller.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_caller(&self) -> bool {
        self.caller.load(Ordering::Relaxed)
    }

    /// The closure has ended like this, and its value has been put where the join finds it. True if it had been told to stop;
    /// and the cause of its supervisor's shutdown, if this is one.
    pub(crate) fn end(&self, end: End) -> (bool, Option<Cause>) {
        let outcome = {
            let mut progress = self.progress.lock();
            self.announce_start(&mut progress);
            self.announce_end(&end);
            let cause = self.fatal_end(&progress, &end);
            if !matches!(end, End::Returned) {
                progress.rare().failure = Some(end);
            }
            (progress.told.is_some(), cause)
        };
        // Release: pairs with `is_finished`, so that who sees true finds the value.
        self.finished.store(true, Ordering::Release);
        outcome
    }

    /// It is waited for no longer: since `at` it is a straggler, also if it comes to its end after that.
    pub(super) fn give_up(&self, at: Instant) {
        self.progress.lock().rare().given_up = Some(at);
    }

    /// When it was given up before the deadline, or because its thread would not be joined.
    pub(super) fn given_up(&self) -> Option<Instant> {
        let progress = self.progress.lock();
        progress.rare.as_ref().and_then(|rare| rare.given_up)
    }

    /// What it wants said of itself in the report; the last one counts.
    pub(crate) fn set_note(&self, note: Note) {
        let old = self.progress.lock().rare().note.replace(note);
        drop(old); // with the lock free
    }

    /// What the report says of few workers.
    pub(super) fn remarks(&self) -> Remarks {
        let progress = self.progress.lock();
        let rare = progress.rare.as_ref();
        rare.map_or_else(Remarks::default, |rare| Remarks {
            restarts: rare.restarts.clone(),
            note: rare.note.clone(),
            extended: rare.extended.as_deref().map(Extended::by),
            given_up: rare.given_up,
        })
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// How its closure ended, if it has, and did not just return.
    pub(super) fn failure(&self) -> Option<End> {
        let progress = self.progress.lock();
        progress.rare.as_ref().and_then(|rare| rare.failure.clone())
    }

    /// Keeps the timer of its time limit, to be taken back when it is gone.
    pub(crate) fn keep_timer(&self, key: TimerKey, limit: Arc<dyn Expire>) {
        let mut progress = self.progress.lock();
        if progress.gone.is_none() {
            progress.rare().timer = Some((key, limit));
            return;
        }
        drop(progress);
        timer::cancel(key); // it ended before there was a timer to take back
    }

    /// The last thing that its thread does for us: code and thread-locals are through.
    pub(crate) fn set_gone(&self, at: Option<Instant>) {
        let timer = {
            let mut progress = self.progress.lock();
            progress.gone = Some(at);
            let rare = progress.rare.as_mut();
            rare.and_then(|rare| rare.timer.take())
        };
        self.changed.notify_all();
        if let Some((key, _)) = timer {
            timer::cancel(key);
        }
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.progress.lock().gone.is_some()
    }

    /// When it was gone, if anyone was waiting then.
    pub(crate) fn gone_at(&self) -> Option<Instant> {
        self.progress.lock().gone.flatten()
    }
}

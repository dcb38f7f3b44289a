//! The least that a supervisor by hand could do with the same promises: what part of sundown's cost is the task's own.
//!
//! A thread has a record before it is started, with a place for its callback, and is known to be gone only when its other thread-locals
//! are, so by one of them. A hook runs at most once, with no lock held, on a thread that another one could watch, and has its line in a
//! report. No limits, orders, late entries, observers, nested supervisors: this is a yardstick.

use std::cell::RefCell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

type Job = Box<dyn FnOnce() + Send>;

struct Record {
    id: u64,
    callback: Mutex<Option<Job>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    thread: Option<thread::Thread>,
    panicked: Option<bool>,
    gone: bool,
}

#[derive(Default)]
struct Registry {
    next: u64,
    workers: Vec<Arc<Record>>,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry {
    next: 0,
    workers: Vec::new(),
});

struct Seat(Arc<Record>);

thread_local! {
    static SEAT: RefCell<Option<Seat>> = const { RefCell::new(None) };
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.state.lock().expect("no panic under it").gone = true;
        let mut registry = REGISTRY.lock().expect("no panic under it");
        let at = registry.workers.binary_search_by_key(&self.0.id, |w| w.id);
        let removed = at.map(|at| registry.workers.remove(at));
        drop(registry);
        drop(removed);
    }
}

/// What `spawn` gives.
pub struct Handle<T> {
    thread: thread::JoinHandle<()>,
    record: Arc<Record>,
    value: Arc<Mutex<Option<thread::Result<T>>>>,
}

/// Spawns a thread with a record.
pub fn spawn<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Handle<T> {
    let record = {
        let mut registry = REGISTRY.lock().expect("no panic under it");
        registry.next += 1;
        let record = Arc::new(Record {
            id: registry.next,
            callback: Mutex::new(None),
            state: Mutex::default(),
        });
        registry.workers.push(Arc::clone(&record));
        record
    };
    let value = Arc::new(Mutex::new(None));
    let (theirs, place) = (Arc::clone(&record), Arc::clone(&value));
    let thread = thread::spawn(move || {
        let seat = Seat(Arc::clone(&theirs));
        SEAT.with(|place| *place.borrow_mut() = Some(seat));
        let result = catch_unwind(AssertUnwindSafe(job));
        let panicked = result.is_err();
        *place.lock().expect("no panic under it") = Some(result);
        theirs.state.lock().expect("no panic under it").panicked = Some(panicked);
    });
    let mut state = record.state.lock().expect("no panic under it");
    state.thread = Some(thread.thread().clone());
    drop(state);
    Handle {
        thread,
        record,
        value,
    }
}

impl<T> Handle<T> {
    /// Joins it.
    pub fn join(self) -> thread::Result<T> {
        self.thread.join()?;
        drop(
            self.record
                .callback
                .lock()
                .expect("no panic under it")
                .take(),
        );
        let value = self.value.lock().expect("no panic under it").take();
        value.expect("it has ended")
    }
}

struct Hook {
    id: u64,
    name: Arc<str>,
    state: Mutex<Callback>,
}

enum Callback {
    Ready(Job),
    Running,
    Ran(Duration),
}

/// Hooks, to be run newest first.
#[derive(Default)]
pub struct Hooks(Mutex<Vec<Arc<Hook>>>);

/// A hook's line in the report.
pub struct Line {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: Arc<str>,
    /// How long it took.
    pub took: Option<Duration>,
}

impl Hooks {
    /// Registers one.
    pub fn add(&self, name: &str, job: impl FnOnce() + Send + 'static) {
        let mut hooks = self.0.lock().expect("no panic under it");
        let hook = Hook {
            id: hooks.len() as u64,
            name: Arc::from(name),
            state: Mutex::new(Callback::Ready(Box::new(job))),
        };
        hooks.push(Arc::new(hook));
    }

    /// Runs them on a thread of their own.
    pub fn run(self: Arc<Hooks>) -> Vec<Line> {
        type Current = Mutex<Option<(Arc<Hook>, Instant)>>;
        // What the one who watches would look at.
        let current: Arc<Current> = Arc::default();
        let helper = thread::spawn(move || {
            let mut told: Vec<Arc<Hook>> = Vec::new();
            let mut now = Instant::now();
            while let Some(hook) = { self.0.lock().expect("no panic under it").pop() } {
                told.push(Arc::clone(&hook));
                *current.lock().expect("no panic under it") = Some((Arc::clone(&hook), now));
                let running = Callback::Running;
                let state = std::mem::replace(&mut *hook.state.lock().expect("no panic"), running);
                if let Callback::Ready(job) = state {
                    drop(catch_unwind(AssertUnwindSafe(job)));
                }
                let ended = Instant::now();
                *hook.state.lock().expect("no panic under it") = Callback::Ran(ended - now);
                now = ended;
            }
            told
        });
        let told = helper.join().expect("no panic in it");
        let line = |hook: &Arc<Hook>| Line {
            id: hook.id,
            name: Arc::clone(&hook.name),
            took: match *hook.state.lock().expect("no panic under it") {
                Callback::Ran(took) => Some(took),
                Callback::Ready(_) | Callback::Running => None,
            },
        };
        told.iter().map(line).collect()
    }
}

//! The frames of a straggler, wherever it is stuck, without making things worse: also in the allocator, of which this file has its own.

#![cfg(all(feature = "stacks", target_os = "linux", target_arch = "x86_64"))]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{mpsc, Arc, Barrier, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sundown::diagnose::Straggler;
use sundown::{ShutdownReport, Supervisor};
use support::{pipe, timed, Gate, PATIENCE};

// ---- an allocator in which a thread can be stuck

thread_local! {
    /// How this thread is to get stuck at its next allocation: 0 not at all, 1 in a lock, 2 spinning.
    static STICK: Cell<u32> = const { Cell::new(0) };
    /// It is inside the allocator: whatever allocates on it now would wait for itself.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Somebody allocated on a thread that was in the allocator.
static REENTERED: AtomicBool = AtomicBool::new(false);
/// Lets those go that are stuck.
static LET_GO: AtomicBool = AtomicBool::new(false);
/// How many are stuck.
static STUCK: AtomicU32 = AtomicU32::new(0);
static LOCK: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());

struct Sticky;

// SAFETY: passes everything on to the system's allocator; a thread that is stuck is held up before it does.
unsafe impl GlobalAlloc for Sticky {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if INSIDE.try_with(|inside| inside.get()).unwrap_or(false) {
            REENTERED.store(true, Ordering::Relaxed);
        }
        let how = STICK.try_with(|stick| stick.replace(0)).unwrap_or(0);
        if how > 0 {
            INSIDE.with(|inside| inside.set(true));
            stuck_in_the_allocator(how);
            INSIDE.with(|inside| inside.set(false));
        }
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Sticky = Sticky;

#[inline(never)]
fn stuck_in_the_allocator(how: u32) {
    STUCK.fetch_add(1, Ordering::SeqCst);
    if how == 1 {
        let mut guard = LOCK.0.lock().unwrap();
        while !LET_GO.load(Ordering::SeqCst) {
            guard = LOCK.1.wait(guard).unwrap();
        }
    } else {
        while !LET_GO.load(Ordering::SeqCst) {
            std::hint::spin_loop();
        }
    }
}

// ----

/// All of a shutdown with stuck threads: the deadline, the 500 ms for looking, and a loaded machine.
const DEADLINE: Duration = Duration::from_millis(400);
const LOOKING: Duration = Duration::from_millis(500);

fn short() -> Supervisor {
    Supervisor::builder().deadline(DEADLINE).build()
}

#[track_caller]
fn shut_down(supervisor: &Supervisor) -> ShutdownReport {
    let (report, took) = timed(|| supervisor.shutdown());
    // Twice as much as is allowed, for a machine that has other things to do.
    assert!(
        took < (DEADLINE + LOOKING) * 2 + Duration::from_secs(1),
        "{took:?}: {report}"
    );
    report
}

#[track_caller]
fn record<'a>(report: &'a ShutdownReport, name: &str) -> &'a Straggler {
    let entry = report.entries().iter().find(|e| e.name() == Some(name));
    let entry = entry.unwrap_or_else(|| panic!("no {name} in {report}"));
    entry
        .straggler()
        .unwrap_or_else(|| panic!("no record: {report}"))
}

/// Whether the frames of its thread hold these functions, innermost first.
fn has_frames(straggler: &Straggler, functions: &[&str]) -> bool {
    let thread = straggler.thread().or(straggler.callback_thread());
    let mut frames = thread.unwrap().stack().iter();
    functions
        .iter()
        .all(|function| frames.any(|frame| frame.contains(function)))
}

/// Leaves the machine to one test at a time, as far as this file is concerned.
fn take_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The stragglers that `hang` makes have these frames. On a machine that is busy 500 ms may not be enough, and then there are fewer:
/// so this tries again, with the machine left to it by the other tests of this file.
#[track_caller]
fn assert_frames(hang: impl Fn() -> Vec<Straggler>, functions: &[&str]) {
    let _turn = take_turn();
    let limit = Instant::now() + PATIENCE * 3;
    loop {
        let found = hang();
        if found.iter().all(|one| has_frames(one, functions)) {
            return;
        }
        assert!(
            Instant::now() < limit,
            "no {functions:?} in this order: {found:?}"
        );
    }
}

#[track_caller]
fn await_dump(supervisor: &Supervisor, wanted: &str) -> String {
    let limit = Instant::now() + PATIENCE;
    loop {
        let dump = supervisor.dump();
        if dump.contains(wanted) {
            return dump;
        }
        assert!(Instant::now() < limit, "no {wanted:?} in {dump}");
        // Nothing tells when a thread has come to a system call, so this looks again.
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[inline(never)]
fn outer_function(inner: impl FnOnce()) {
    inner();
    std::hint::black_box(());
}

#[test]
fn a_thread_in_a_lock() {
    let hang = || {
        let lock = Arc::new(Mutex::new(()));
        let held = lock.lock();
        let theirs = Arc::clone(&lock);
        let supervisor = short();
        let worker = supervisor.worker().name("stuck".into());
        let job = move || outer_function(|| drop(theirs.lock()));
        worker.spawn(job).unwrap();
        await_dump(&supervisor, "in futex");
        let report = shut_down(&supervisor);
        drop(held);
        vec![record(&report, "stuck").clone()]
    };
    assert_frames(
        hang,
        &["lock_contended", "outer_function", "a_thread_in_a_lock"],
    );
}

#[test]
fn a_thread_in_a_system_call() {
    let hang = || {
        let supervisor = short();
        let worker = supervisor.worker().name("stuck".into());
        let sleep = || std::thread::sleep(Duration::from_secs(3600));
        worker.spawn(move || outer_function(sleep)).unwrap();
        await_dump(&supervisor, "in clock_nanosleep");
        vec![record(&shut_down(&supervisor), "stuck").clone()]
    };
    assert_frames(
        hang,
        &["nanosleep", "outer_function", "a_thread_in_a_system_call"],
    );
}

#[inline(never)]
fn spin(quit: &AtomicBool) {
    while !quit.load(Ordering::Relaxed) {
        std::hint::spin_loop();
    }
}

#[test]
fn a_thread_that_spins() {
    let hang = || {
        let quit = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&quit);
        let supervisor = short();
        let worker = supervisor.worker().name("stuck".into());
        worker
            .spawn(move || outer_function(|| spin(&theirs)))
            .unwrap();
        await_dump(&supervisor, "running");
        let report = shut_down(&supervisor);
        quit.store(true, Ordering::Relaxed);
        vec![record(&report, "stuck").clone()]
    };
    assert_frames(hang, &["spin", "outer_function", "a_thread_that_spins"]);
}

#[test]
fn threads_in_the_allocator() {
    let hang = || {
        LET_GO.store(false, Ordering::SeqCst);
        STUCK.store(0, Ordering::SeqCst);
        let supervisor = short();
        let workers = [("waits", 1), ("spins", 2)].map(|(name, how)| {
            let worker = supervisor.worker().name(name.into());
            let job = move || {
                outer_function(|| {
                    STICK.with(|stick| stick.set(how));
                    drop(std::hint::black_box(vec![0_u8; 100]));
                });
            };
            worker.spawn(job).unwrap()
        });
        let limit = Instant::now() + PATIENCE;
        while STUCK.load(Ordering::SeqCst) < 2 {
            assert!(Instant::now() < limit);
            std::thread::yield_now();
        }
        let report = shut_down(&supervisor);
        LET_GO.store(true, Ordering::SeqCst);
        drop(LOCK.0.lock());
        LOCK.1.notify_all();
        for worker in workers {
            worker.join().unwrap();
        }
        ["waits", "spins"]
            .map(|name| record(&report, name).clone())
            .into()
    };
    assert_frames(
        hang,
        &[
            "stuck_in_the_allocator",
            "outer_function",
            "threads_in_the_allocator",
        ],
    );
    assert!(
        !REENTERED.load(Ordering::Relaxed),
        "nothing may allocate on a thread that is in the allocator"
    );
}

#[test]
fn a_thread_that_lets_no_signal_through() {
    let quit = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&quit);
    let supervisor = short();
    let worker = supervisor.worker().name("deaf".into());
    let (spinning, spins) = mpsc::channel();
    let deaf = worker.spawn(move || {
        // SAFETY: the sets are filled before they are used.
        unsafe {
            let mut all = std::mem::zeroed();
            let mut before = std::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
            spinning.send(()).unwrap();
            spin(&theirs);
            // The signal that was sent meanwhile comes now.
            libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
        }
        7
    });
    spins.recv().unwrap();
    let report = shut_down(&supervisor);
    assert!(
        record(&report, "deaf").thread().unwrap().stack().is_empty(),
        "{report}"
    );
    quit.store(true, Ordering::Relaxed);
    assert_eq!(
        deaf.unwrap().join().unwrap(),
        7,
        "a signal that comes late does no harm"
    );
}

/// A logger that holds whoever logs, by a lock, as a logger whose file does not take more.
struct Stuck(Mutex<Option<mpsc::Receiver<()>>>);

impl log::Log for Stuck {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        if record.target() == "held" {
            if let Some(held) = &*self.0.lock().unwrap() {
                let _ = held.recv();
            }
        }
    }
    fn flush(&self) {}
}

#[test]
fn a_thread_in_the_logger() {
    static LOGGER: Stuck = Stuck(Mutex::new(None));
    log::set_logger(&LOGGER).unwrap();
    let hang = || {
        let (release, held) = mpsc::channel();
        *LOGGER.0.lock().unwrap() = Some(held);
        log::set_max_level(log::LevelFilter::Info);
        let supervisor = short();
        let worker = supervisor.worker().name("stuck".into());
        let job = || outer_function(|| log::info!(target: "held", "never written"));
        let worker = worker.spawn(job).unwrap();
        await_dump(&supervisor, "in futex");
        let report = shut_down(&supervisor);
        log::set_max_level(log::LevelFilter::Off);
        drop(release);
        worker.join().unwrap();
        vec![record(&report, "stuck").clone()]
    };
    assert_frames(hang, &["Stuck", "outer_function", "a_thread_in_the_logger"]);
}

#[test]
fn a_callback_that_hangs() {
    let hang = || {
        let gate = Gate::new();
        let pass = gate.passer();
        let supervisor = short();
        supervisor.on_shutdown("hook", move || outer_function(pass));
        vec![record(&shut_down(&supervisor), "hook").clone()]
    };
    assert_frames(hang, &["outer_function"]);
}

#[test]
fn an_endless_recursion_has_its_innermost_frames() {
    #[inline(never)]
    fn descend(depth: u32, gate: &dyn Fn()) -> u32 {
        match depth {
            0 => {
                gate();
                0
            }
            _ => std::hint::black_box(descend(depth - 1, gate)) + 1,
        }
    }
    let hang = || {
        let gate = Gate::new();
        let pass = gate.passer();
        let supervisor = short();
        let worker = supervisor.worker().name("stuck".into());
        worker.spawn(move || descend(3000, &pass)).unwrap();
        await_dump(&supervisor, "in futex");
        let record = record(&shut_down(&supervisor), "stuck").clone();
        // Some have several functions, where one was inlined into the other.
        assert!(record.thread().unwrap().stack().len() < 300, "{record}");
        vec![record]
    };
    assert_frames(hang, &["descend", "descend", "descend"]);
}

#[test]
fn many_stragglers_are_looked_at_in_the_same_time() {
    let gate = Gate::new();
    let supervisor = short();
    for _ in 0..300 {
        supervisor
            .worker()
            .stack_size(128 << 10)
            .spawn(gate.passer())
            .unwrap();
    }
    let report = shut_down(&supervisor);
    assert_eq!(report.stragglers().len(), 300);
}

/// Far less than what the looks below would take with no limit, and far more than they may take.
const NOT_BOUNDED: Duration = Duration::from_secs(4);

#[test]
fn threads_that_answer_no_signal_take_no_more_than_the_time_for_all() {
    // Each is waited for, for 100 ms: 6 s without a limit.
    const DEAF: usize = 60;
    let _turn = take_turn();
    let quit = Arc::new(AtomicBool::new(false));
    let all = Arc::new(Barrier::new(DEAF + 1));
    let supervisor = short();
    let workers = (0..DEAF).map(|_| {
        let (theirs, all) = (Arc::clone(&quit), Arc::clone(&all));
        let worker = supervisor.worker().stack_size(128 << 10);
        let worker = worker.spawn(move || {
            // SAFETY: the set is filled before it is used; the thread ends before the signal could come.
            unsafe {
                let mut every = std::mem::zeroed();
                libc::sigfillset(&mut every);
                libc::pthread_sigmask(libc::SIG_SETMASK, &every, std::ptr::null_mut());
            }
            all.wait();
            while !theirs.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
        });
        worker.unwrap()
    });
    let workers: Vec<_> = workers.collect();
    all.wait();
    let (report, took) = timed(|| supervisor.shutdown());
    quit.store(true, Ordering::Relaxed);
    assert_eq!(report.stragglers().len(), DEAF);
    assert!(took < DEADLINE + NOT_BOUNDED, "{took:?}");
    for worker in workers {
        worker.join().unwrap();
    }
}

#[test]
fn nested_supervisors_share_the_time() {
    // Reading the debug information of a test takes all of the 500 ms: 10 s without a limit for all of them.
    const TIERS: usize = 20;
    let _turn = take_turn();
    let gate = Gate::new();
    let supervisor = short();
    let tiers: Vec<_> = (0..TIERS)
        .map(|n| supervisor.child(format!("tier {n}")))
        .collect();
    for tier in &tiers {
        tier.spawn(gate.passer());
    }
    let (report, took) = timed(|| supervisor.shutdown());
    assert!(!report.is_clean());
    assert!(took < DEADLINE + NOT_BOUNDED, "{took:?}");
}

#[test]
fn a_signal_disturbs_nobody_who_is_blocked() {
    // A blocked thread is read from outside: its call is not interrupted, even one that a signal would end.
    let supervisor = short();
    let (reader, mut writer) = pipe();
    let (done, ended) = mpsc::channel();
    let worker = supervisor.worker().name("stuck".into());
    worker
        .spawn(move || {
            let mut entry = libc::pollfd {
                fd: reader.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one valid entry, and the count says one.
            let result = unsafe { libc::poll(&mut entry, 1, -1) };
            done.send(result).unwrap();
        })
        .unwrap();
    await_dump(&supervisor, "poll");
    let report = shut_down(&supervisor);
    writer.write_all(&[1]).unwrap();
    let result = ended.recv_timeout(PATIENCE).unwrap();
    assert_eq!(result, 1, "it was not interrupted: {report}");
    let thread = record(&report, "stuck").thread();
    assert!(!thread.unwrap().stack().is_empty(), "{report}");
}

/// Maps a whole file as data, as what reads its symbols does: the printing of a backtrace keeps such mappings for good.
fn map_as_data(path: &std::path::Path) {
    let file = std::fs::File::open(path).unwrap();
    let length = usize::try_from(file.metadata().unwrap().len()).unwrap();
    for below in [false, true] {
        // With a hint the mapping is far below the program, without one above it.
        let hint = if below { 0x10_0000_0000_usize } else { 0 };
        // SAFETY: a new private mapping, which nobody reads or takes away.
        let mapped = unsafe {
            let (read, private) = (libc::PROT_READ, libc::MAP_PRIVATE);
            libc::mmap(hint as _, length, read, private, file.as_raw_fd(), 0)
        };
        assert_ne!(mapped, libc::MAP_FAILED);
    }
}

#[test]
fn a_program_that_is_mapped_as_data_as_well() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let libc = maps.lines().find_map(|line| {
        let path = &line[line.find('/')?..];
        path.contains("/libc.so").then_some(path)
    });
    map_as_data(&std::env::current_exe().unwrap());
    map_as_data(libc.unwrap().as_ref());
    let gate = Gate::new();
    let pass = gate.passer();
    let supervisor = short();
    let worker = supervisor.worker().name("stuck".into());
    worker.spawn(move || outer_function(pass)).unwrap();
    // The names of a table are those of the symbols, which are found by where the program is loaded.
    let dump = await_dump(&supervisor, "::outer_function\n");
    for function in ["at syscall\n", "passer"] {
        assert!(dump.contains(function), "{dump}");
    }
    drop(gate);
    supervisor.shutdown();
}

#[test]
fn a_function_without_a_symbol_has_its_place_and_no_other_s_name() {
    // In `pthread_join` the C library waits in a function of its own, whose name was stripped.
    let gate = Gate::new();
    let inner = std::thread::spawn(gate.passer());
    let inner = Mutex::new(Some(inner));
    let supervisor = short();
    let worker = supervisor.worker().name("joins".into());
    worker
        .spawn(move || outer_function(|| inner.lock().unwrap().take().unwrap().join().unwrap()))
        .unwrap();
    let dump = await_dump(&supervisor, "outer_function");
    assert!(!dump.contains("__nptl_death_event"), "{dump}");
    assert!(!dump.contains("__libc_freeres"), "{dump}");
    drop(gate);
    supervisor.shutdown();
}

#[test]
fn a_dump_has_the_frames_of_who_is_blocked() {
    let gate = Gate::new();
    let pass = gate.passer();
    let supervisor = short();
    let worker = supervisor.worker().name("waits".into());
    worker.spawn(move || outer_function(pass)).unwrap();
    let dump = await_dump(&supervisor, "outer_function");
    assert!(dump.contains("\n    at "), "{dump}");
}

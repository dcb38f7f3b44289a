//! A straggler's record says who hangs, where, and what would have helped: each kind of advice with a thread that really hangs there.

#![cfg(target_os = "linux")]

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{mpsc, Arc, Barrier, Condvar, Mutex};
use std::time::{Duration, Instant};

use sundown::diagnose::{CallbackState, Straggler, ThreadState};
use sundown::thread::Builder;
use sundown::{ShutdownReport, Supervisor};
use support::held::{allowed, hold_calls, Tracer};
use support::{no_time, patiently, pipe, Gate, PATIENCE};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A callback has 300 ms of it, so that one that does nothing is never taken for one that hangs.
const DEADLINE: Duration = Duration::from_millis(1200);

fn short() -> Supervisor {
    Supervisor::builder().deadline(DEADLINE).build()
}

/// Waits until the table of workers has this line: the thread has come to where it hangs.
#[track_caller]
fn await_dump(supervisor: &Supervisor, wanted: &str) {
    let limit = Instant::now() + PATIENCE;
    loop {
        let dump = supervisor.dump();
        if dump.contains(wanted) {
            return;
        }
        assert!(Instant::now() < limit, "no {wanted:?} in {dump}");
        // Nothing tells when a thread has come to a system call, so this looks again.
        std::thread::sleep(ms(1));
    }
}

#[track_caller]
fn record<'a>(report: &'a ShutdownReport, name: &str) -> &'a Straggler {
    let entry = report.entries().iter().find(|e| e.name() == Some(name));
    let entry = entry.unwrap_or_else(|| panic!("no {name} in {report}"));
    let record = entry.straggler();
    let record = record.unwrap_or_else(|| panic!("no record of {name} in {report}"));
    if !was_looked_at(record) {
        no_time(report.to_string());
    }
    record
}

fn was_looked_at(record: &Straggler) -> bool {
    let callback_is_missing =
        *record.callback() == CallbackState::Hung && record.callback_thread().is_none();
    !callback_is_missing && !record.advice().ends_with("in time")
}

/// Hangs a worker with these settings in `job`, and gives its record once it has come to `place`.
#[track_caller]
fn hang_with(
    settings: impl FnOnce(Builder) -> Builder,
    place: &str,
    job: impl FnOnce() + Send + 'static,
) -> Straggler {
    let supervisor = short();
    let worker = settings(supervisor.worker().name("stuck".into()));
    worker.spawn(job).unwrap();
    await_dump(&supervisor, place);
    let report = supervisor.shutdown();
    record(&report, "stuck").clone()
}

#[track_caller]
fn hang(place: &str, job: impl FnOnce() + Send + 'static) -> Straggler {
    hang_with(|worker| worker, place, job)
}

/// Where it hangs: the call, and what that works on.
#[track_caller]
fn assert_in(straggler: &Straggler, call: &str, object: Option<&str>) {
    let thread = straggler.thread().unwrap();
    assert_eq!(thread.syscall(), Some(call), "{straggler}");
    match object {
        Some(object) => {
            let found = thread.object().unwrap_or("nothing");
            assert!(found.contains(object), "{straggler}");
        }
        None => assert_eq!(thread.object(), None, "{straggler}"),
    }
}

#[track_caller]
fn assert_advice(straggler: &Straggler, advice: &str) {
    assert!(straggler.advice().contains(advice), "{straggler}");
    assert!(!straggler.advice().contains('\n'), "{straggler}");
}

/// A panic without the hook, whose backtrace may take longer than a callback has.
fn broken() {
    std::panic::resume_unwind(Box::new("broken"));
}

// ---- what the supervisor knows by itself

#[test]
fn it_says_who_since_when_and_what_its_callback_did() {
    patiently(|| {
        let gate = Gate::new();
        let pass = gate.passer();
        let supervisor = short();
        let worker = supervisor.worker().name("stuck".into());
        let line = line!() + 1;
        let id = worker.on_terminate(|| ()).spawn(pass).unwrap().id();
        await_dump(&supervisor, "in futex");
        let report = supervisor.shutdown();
        let record = record(&report, "stuck");
        assert_eq!(record.id(), id);
        assert_eq!(record.name(), Some("stuck"));
        assert_eq!(record.location().file(), file!());
        assert_eq!(record.location().line(), line);
        assert!(record.told().unwrap() >= DEADLINE, "{record}");
        assert!(record.age().unwrap() >= record.told().unwrap(), "{record}");
        // The report and the record speak of the same moment: whatever the look at it took, it is in both.
        let waited = report.entries()[0].waited();
        let apart = waited.max(record.told().unwrap()) - waited.min(record.told().unwrap());
        assert!(apart < ms(300), "{report}");
        assert!(
            matches!(record.callback(), CallbackState::Ran(_)),
            "{record}"
        );
        assert_eq!(record.activity(), None);
        assert_eq!(
            record.thread().unwrap().state(),
            Some(ThreadState::Sleeping)
        );
    });
}

#[test]
fn each_state_of_a_callback_is_told() {
    patiently(|| {
        let gate = Gate::new();
        let hung = gate.passer();
        let state = |settings: &dyn Fn(Builder) -> Builder| {
            let pass = gate.passer();
            hang_with(settings, "in futex", pass).callback().clone()
        };
        assert_eq!(state(&|worker| worker), CallbackState::None);
        assert!(matches!(
            state(&|worker| worker.on_terminate(|| ())),
            CallbackState::Ran(_)
        ));
        assert_eq!(
            state(&|worker| worker.on_terminate(broken)),
            CallbackState::Panicked("broken".into())
        );
        assert_eq!(
            state(&move |worker| worker.on_terminate(hung.clone())),
            CallbackState::Hung
        );
    });
}

#[test]
fn the_last_activity_is_told() {
    patiently(|| {
        let gate = Gate::new();
        let pass = gate.passer();
        let straggler = hang("in futex", move || {
            sundown::activity("first");
            sundown::activity(format!("segment {}", 7));
            pass();
        });
        assert_eq!(straggler.activity(), Some("segment 7"));
        assert!(straggler.to_string().contains("segment 7"), "{straggler}");
    });
}

#[test]
fn an_empty_activity_is_none_and_outside_a_worker_it_does_nothing() {
    patiently(|| {
        let gate = Gate::new();
        let pass = gate.passer();
        std::thread::spawn(|| sundown::activity("nobody"))
            .join()
            .unwrap();
        let straggler = hang("in futex", move || {
            sundown::activity("something");
            sundown::activity("");
            pass();
        });
        assert_eq!(straggler.activity(), None);
    });
}

#[test]
fn one_that_spins_has_used_its_time_and_one_that_blocks_has_not() {
    patiently(|| {
        let quit = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&quit);
        let gate = Gate::new();
        let supervisor = Supervisor::builder().deadline(ms(1000)).build();
        let worker = |name: &str| supervisor.worker().name(name.into());
        worker("spins")
            .spawn(move || {
                while !theirs.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
            .unwrap();
        worker("blocks").spawn(gate.passer()).unwrap();
        let report = supervisor.shutdown();
        quit.store(true, Ordering::Relaxed);
        let spins = record(&report, "spins");
        let blocks = record(&report, "blocks");
        // On a busy machine it gets a small part of a processor only.
        assert!(spins.cpu().unwrap() >= ms(5), "{report}");
        assert!(blocks.cpu().unwrap() < spins.cpu().unwrap(), "{report}");
        assert_eq!(spins.thread().unwrap().state(), Some(ThreadState::Running));
        assert_eq!(spins.thread().unwrap().syscall(), None);
        assert_advice(spins, "StopToken::is_stopped");
    });
}

#[test]
fn an_adopted_thread_is_looked_at_itself_and_not_the_one_that_waits_for_it() {
    patiently(|| {
        let supervisor = short();
        let thread = std::thread::spawn(|| std::thread::sleep(Duration::from_secs(3600)));
        supervisor.adopt("foreign", thread, || ());
        await_dump(&supervisor, "in clock_nanosleep");
        let report = supervisor.shutdown();
        assert_in(record(&report, "foreign"), "clock_nanosleep", None);
    });
}

#[test]
fn a_scoped_thread_is_looked_at() {
    patiently(|| {
        let supervisor = short();
        let gate = Arc::new(Mutex::new(Gate::new()));
        let pass = gate.lock().unwrap().passer();
        let ours = supervisor.clone();
        let scope = std::thread::spawn(move || {
            sundown::thread::scope(|scope| {
                let worker = ours.worker().name("scoped".into());
                worker.spawn_scoped(scope, pass).unwrap();
            });
        });
        await_dump(&supervisor, "in futex");
        let report = supervisor.shutdown();
        assert_in(record(&report, "scoped"), "futex", None);
        gate.lock().unwrap().open();
        scope.join().unwrap();
    });
}

#[test]
fn a_worker_that_came_to_its_end_has_no_record() {
    let supervisor = short();
    supervisor.worker().spawn_with(|stop| stop.wait()).unwrap();
    let report = supervisor.shutdown();
    assert!(report.entries()[0].straggler().is_none());
}

#[test]
fn the_record_is_made_before_the_exit_hooks_run() {
    let mut gate = Gate::new();
    let supervisor = short();
    let worker = supervisor.worker().name("stuck".into());
    let worker = worker.spawn(gate.passer()).unwrap();
    await_dump(&supervisor, "in futex");
    let (release, released) = mpsc::channel();
    supervisor.on_exit("lets it go", move || release.send(()).unwrap());
    let opener = std::thread::spawn(move || {
        released.recv().unwrap();
        gate.open();
        worker.join().unwrap();
    });
    let report = supervisor.shutdown();
    opener.join().unwrap();
    // Whether it counts as stuck depends on when it ended; if it does, it has been seen where it hung.
    if let Some(record) = report.entries()[0].straggler() {
        assert_in(record, "futex", None);
    }
}

#[test]
fn one_that_is_stuck_in_a_child_has_its_record_in_the_whole_report() {
    patiently(|| {
        let gate = Gate::new();
        let supervisor = short();
        let tier = supervisor.child("tier");
        tier.worker()
            .name("inside".into())
            .spawn(gate.passer())
            .unwrap();
        await_dump(&supervisor, "in futex");
        let report = supervisor.shutdown();
        assert_in(record(&report, "inside"), "futex", None);
    });
}

#[test]
fn a_hook_that_hangs_has_a_record_of_the_thread_it_hangs_on() {
    patiently(|| {
        let hang = || loop {
            std::thread::sleep(Duration::from_secs(3600));
        };
        for at_exit in [false, true] {
            let supervisor = short();
            match at_exit {
                false => supervisor.on_shutdown("stuck", hang),
                true => supervisor.on_exit("stuck", hang),
            };
            let report = supervisor.shutdown();
            let record = record(&report, "stuck");
            assert!(record.thread().is_none(), "{record}");
            let thread = record.callback_thread().unwrap();
            assert_eq!(thread.syscall(), Some("clock_nanosleep"), "{record}");
            assert_advice(record, "the hook does not return");
        }
    });
}

#[test]
fn a_callback_that_hangs_has_a_record_even_if_its_worker_has_ended() {
    patiently(|| {
        let gate = Gate::new();
        let supervisor = short();
        let worker = supervisor.worker().name("stuck callback".into());
        let worker = worker.on_terminate(gate.passer());
        worker.spawn_with(|stop| stop.wait()).unwrap();
        let report = supervisor.shutdown();
        let record = record(&report, "stuck callback");
        assert_eq!(*record.callback(), CallbackState::Hung);
        assert!(record.thread().is_none(), "{record}");
        assert_eq!(
            record.callback_thread().unwrap().syscall(),
            Some("futex"),
            "{record}"
        );
    });
}

#[test]
fn a_thousand_stragglers_do_not_hold_up_the_report() {
    let gate = Gate::new();
    let supervisor = short();
    for _ in 0..1000 {
        supervisor
            .worker()
            .stack_size(64 << 10)
            .spawn(gate.passer())
            .unwrap();
    }
    let (report, took) = support::timed(|| supervisor.shutdown());
    assert_eq!(report.stragglers().len(), 1000);
    assert!(took < ms(5000), "{took:?}");
    let looked_at = report
        .stragglers()
        .iter()
        .filter(|e| e.straggler().is_some())
        .count();
    assert_eq!(looked_at, 1000);
    assert!(report
        .stragglers()
        .iter()
        .all(|e| !e.straggler().unwrap().advice().is_empty()));
}

#[test]
fn many_that_hang_in_sockets_are_all_looked_at() {
    patiently(|| {
        let supervisor = Supervisor::builder().deadline(ms(2000)).build();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let peers: Vec<TcpStream> = (0..100)
            .map(|_| {
                let mut stream = TcpStream::connect(address).unwrap();
                let worker = supervisor.worker().stack_size(64 << 10);
                worker
                    .spawn(move || drop(stream.read(&mut [0; 8])))
                    .unwrap();
                listener.accept().unwrap().0
            })
            .collect();
        let report = supervisor.shutdown();
        assert_eq!(report.stragglers().len(), peers.len());
        for entry in report.stragglers() {
            let straggler = entry.straggler().unwrap();
            if !was_looked_at(straggler) {
                no_time(report.to_string());
            }
            assert_in(
                straggler,
                "recvfrom",
                Some(&format!("to {address} established")),
            );
        }
    });
}

#[test]
fn labels_and_paths_cannot_drive_a_terminal() {
    patiently(|| {
        let gate = Gate::new();
        let pass = gate.passer();
        let straggler = hang("in futex", move || {
            sundown::activity("evil\u{1b}[2J\nadvice: nothing\u{202e}");
            pass();
        });
        let text = straggler.to_string();
        assert!(
            !text.contains('\u{1b}') && !text.contains('\u{202e}'),
            "{text:?}"
        );
        assert_eq!(
            text.lines().filter(|l| l.starts_with("advice:")).count(),
            1,
            "{text}"
        );
    });
}

// ---- the table of advice, each row with a thread that hangs there

#[test]
fn accept_with_no_callback() {
    patiently(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let straggler = hang("in accept4", move || drop(listener.accept()));
        assert_in(
            &straggler,
            "accept4",
            Some(&format!("tcp {address} listening")),
        );
        assert_eq!(
            straggler.advice(),
            "give it `.on_terminate(listener.try_clone()?)`"
        );
    });
}

#[test]
fn accept_over_ipv6_and_unix() {
    patiently(|| {
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let address = listener.local_addr().unwrap();
        let straggler = hang("in accept4", move || drop(listener.accept()));
        assert_in(
            &straggler,
            "accept4",
            Some(&format!("tcp {address} listening")),
        );

        let folder = Folder::new();
        let path = folder.0.join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let straggler = hang("in accept4", move || drop(listener.accept()));
        assert_in(
            &straggler,
            "accept4",
            Some(&format!("unix {} listening", path.display())),
        );
        assert_advice(&straggler, "listener.try_clone()");
    });
}

#[test]
fn connect_to_one_that_takes_no_more() {
    patiently(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // SAFETY: listening again on a descriptor that is open only changes how many may wait: none beside the first.
        assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
        // Whoever comes once the queue is full gets no answer, so its connect goes on for two minutes.
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, ms(200)) {
            waiting.push(stream);
        }
        let straggler = hang("in connect", move || drop(TcpStream::connect(address)));
        assert_in(&straggler, "connect", Some("tcp"));
        assert_advice(&straggler, "use `TcpStream::connect_timeout`");
    });
}

#[test]
fn accept_with_a_callback_that_does_not_reach_it() {
    patiently(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let settings = |worker: Builder| worker.on_terminate(|| ());
        let straggler = hang_with(settings, "in accept4", move || drop(listener.accept()));
        assert_advice(&straggler, "its callback ran, but does not reach this call");
        assert_advice(&straggler, "listener.try_clone()");
    });
}

#[test]
fn accept_with_a_callback_that_panicked() {
    patiently(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let settings = |worker: Builder| worker.on_terminate(broken);
        let straggler = hang_with(settings, "in accept4", move || drop(listener.accept()));
        assert_advice(&straggler, "its callback panicked");
    });
}

#[test]
fn a_lock_a_channel_a_condition_variable() {
    patiently(|| {
        let lock = Arc::new(Mutex::new(()));
        let held = lock.lock();
        let theirs = Arc::clone(&lock);
        let (sender, receiver) = mpsc::channel::<()>();
        let pair = (Mutex::new(()), Condvar::new());
        for straggler in [
            hang("in futex", move || drop(theirs.lock())),
            hang("in futex", move || receiver.recv().unwrap_or(())),
            hang("in futex", move || {
                drop(pair.1.wait(pair.0.lock().unwrap()))
            }),
        ] {
            assert_in(&straggler, "futex", None);
            for part in [
                "a lock, a channel or a join",
                "on_terminate(sender)",
                "notifies",
            ] {
                assert_advice(&straggler, part);
            }
        }
        drop((held, sender));
    });
}

#[test]
fn a_wait_with_a_time_limit() {
    patiently(|| {
        let (_sender, receiver) = mpsc::channel::<()>();
        let straggler = hang("in futex", move || {
            while receiver.recv_timeout(Duration::from_secs(3600)).is_err() {}
        });
        assert_in(&straggler, "futex", None);
        assert_advice(&straggler, "with a time limit");
    });
}

#[test]
fn a_join_of_a_thread_that_we_do_not_know() {
    patiently(|| {
        let gate = Gate::new();
        let pass = gate.passer();
        let named = std::thread::Builder::new().name("inner".into());
        let inner = named.spawn(pass).unwrap();
        let straggler = hang("in futex", move || inner.join().unwrap());
        assert_in(&straggler, "futex", Some("(inner)"));
        assert_advice(&straggler, "it joins that thread");
    });
}

#[test]
fn sleep() {
    patiently(|| {
        let straggler = hang("in clock_nanosleep", || {
            std::thread::sleep(Duration::from_secs(3600))
        });
        assert_in(&straggler, "clock_nanosleep", None);
        assert_eq!(
            straggler.advice(),
            "use `StopToken::sleep` in place of `thread::sleep`"
        );
    });
}

#[test]
fn a_connected_stream() {
    patiently(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let peer = listener.local_addr().unwrap();
        let straggler = hang("in recvfrom", move || drop(stream.read(&mut [0; 8])));
        assert_in(
            &straggler,
            "recvfrom",
            Some(&format!("to {peer} established")),
        );
        assert_eq!(
            straggler.advice(),
            "give it `.on_terminate(stream.try_clone()?)`"
        );
    });
}

#[test]
fn a_unix_stream() {
    patiently(|| {
        let (mut stream, _peer) = UnixStream::pair().unwrap();
        let straggler = hang("in recvfrom", move || drop(stream.read(&mut [0; 8])));
        assert_in(&straggler, "recvfrom", Some("unix socket"));
        assert_advice(&straggler, "stream.try_clone()");
    });
}

#[test]
fn a_peer_that_does_not_read() {
    patiently(|| {
        let (mut stream, _peer) = UnixStream::pair().unwrap();
        let straggler = hang(
            "in sendto",
            move || while stream.write(&[0; 4096]).is_ok() {},
        );
        assert_in(&straggler, "sendto", Some("unix socket"));
        assert_advice(&straggler, "its peer does not read");
    });
}

#[test]
fn a_datagram_socket() {
    patiently(|| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let straggler = hang("in recvfrom", move || drop(socket.recv(&mut [0; 8])));
        assert_in(&straggler, "recvfrom", Some(&format!("udp {address}")));
        assert_advice(&straggler, "socket.try_clone()");
    });
}

#[test]
fn a_pipe() {
    patiently(|| {
        let (mut reader, _writer) = pipe();
        let straggler = hang("in read", move || drop(reader.read(&mut [0; 8])));
        assert_in(&straggler, "read", Some("pipe"));
        assert_advice(&straggler, "terminate::interruptible");
    });
}

#[test]
fn a_pipe_that_nobody_reads() {
    patiently(|| {
        let (_reader, mut writer) = pipe();
        let straggler = hang(
            "in write",
            move || while writer.write(&[0; 4096]).is_ok() {},
        );
        assert_in(&straggler, "write", Some("pipe"));
        assert_advice(&straggler, "nobody reads the other end");
    });
}

#[test]
fn a_terminal() {
    patiently(|| {
        let (mut master, mut terminal) = (0, 0);
        // SAFETY: openpty(3) writes two descriptors, which nobody else owns; the null pointers are allowed.
        let (_master, mut terminal) = unsafe {
            let null = std::ptr::null_mut();
            let opened = libc::openpty(&mut master, &mut terminal, null, null.cast(), null.cast());
            assert_eq!(opened, 0);
            let own = |fd| std::fs::File::from(OwnedFd::from_raw_fd(fd));
            (own(master), own(terminal))
        };
        let straggler = hang("in read", move || drop(terminal.read(&mut [0; 8])));
        assert_in(&straggler, "read", Some("/dev/pts/"));
        assert_advice(&straggler, "terminate::stdin()");
    });
}

#[test]
fn an_eventfd() {
    patiently(|| {
        // SAFETY: eventfd(2) gives a descriptor that nobody else owns.
        let mut event = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(libc::eventfd(0, 0)) });
        let straggler = hang("in read", move || drop(event.read(&mut [0; 8])));
        assert_in(&straggler, "read", Some("eventfd"));
        assert_advice(&straggler, "write to the eventfd from its callback");
    });
}

#[test]
fn an_event_loop() {
    patiently(|| {
        let (reader, _writer) = pipe();
        let straggler = hang("poll", move || {
            let mut entry = libc::pollfd {
                fd: reader.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one valid entry, and the count says one.
            unsafe { libc::poll(&mut entry, 1, -1) };
        });
        assert_advice(&straggler, "wake its event loop");

        let straggler = hang("in epoll", || {
            let mut events = [libc::epoll_event { events: 0, u64: 0 }; 4];
            // SAFETY: room for four events, and the count says four.
            unsafe { libc::epoll_wait(libc::epoll_create1(0), events.as_mut_ptr(), 4, -1) };
        });
        let thread = straggler.thread().unwrap();
        assert_eq!(thread.object(), Some("eventpoll"), "{straggler}");
        assert_advice(&straggler, "wake its event loop");
    });
}

#[test]
fn a_child_process() {
    patiently(|| {
        let mut child = Command::new("sleep")
            .arg("3600")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id();
        let straggler = hang("in wait", move || drop(child.wait()));
        let thread = straggler.thread().unwrap();
        assert_eq!(
            thread.object(),
            Some(&*format!("process {pid}")),
            "{straggler}"
        );
        assert_advice(&straggler, "terminate::child(child)?");
        // SAFETY: kill(2) takes any numbers; the child has not been reaped, since its waiter hangs.
        unsafe { libc::kill(pid as libc::pid_t, libc::SIGKILL) };
    });
}

/// A folder that is removed in the end.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sundown-stragglers-{}-{n}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_file_lock() {
    patiently(|| {
        let folder = Folder::new();
        let path = folder.0.join("locked");
        let held = std::fs::File::create(&path).unwrap();
        let wanted = std::fs::File::open(&path).unwrap();
        // SAFETY: flock(2) takes any number.
        assert_eq!(unsafe { libc::flock(held.as_raw_fd(), libc::LOCK_EX) }, 0);
        let straggler = hang("in flock", move || {
            // SAFETY: as above.
            unsafe { libc::flock(wanted.as_raw_fd(), libc::LOCK_EX) };
        });
        assert_in(&straggler, "flock", Some(&path.display().to_string()));
        assert_advice(&straggler, "LOCK_NB");
    });
}

#[test]
fn a_fifo_that_nobody_opens() {
    patiently(|| {
        let folder = Folder::new();
        let path = folder.0.join("fifo");
        let text = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the path ends with a NUL.
        assert_eq!(unsafe { libc::mkfifo(text.as_ptr(), 0o600) }, 0);
        let theirs = path.clone();
        let straggler = hang("in openat", move || drop(std::fs::File::open(theirs)));
        assert_in(&straggler, "openat", Some(&path.display().to_string()));
        assert_advice(&straggler, "FIFO");
    });
}

#[test]
fn a_fifo_that_is_open() {
    patiently(|| {
        let folder = Folder::new();
        let path = folder.0.join("fifo");
        let text = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the path ends with a NUL.
        assert_eq!(unsafe { libc::mkfifo(text.as_ptr(), 0o600) }, 0);
        let both = std::fs::File::options().read(true).write(true).open(&path);
        let mut fifo = both.unwrap();
        let straggler = hang("in read", move || drop(fifo.read(&mut [0; 8])));
        assert_in(&straggler, "read", Some(&path.display().to_string()));
        assert_advice(&straggler, "terminate::interruptible");
    });
}

#[test]
fn main_is_told_through_its_guard() {
    let program = support::process::build("slow", &[]);
    let ended = support::process::run(Command::new(program).arg("stuck main"));
    assert!(ended.err.contains("in accept4 on tcp"), "{}", ended.err);
    let advice = "give the guard `.on_terminate(listener.try_clone()?)`";
    assert!(ended.err.contains(advice), "{}", ended.err);
}

#[test]
fn a_label_without_end_does_not_flood_the_report() {
    patiently(|| {
        let gate = Gate::new();
        let pass = gate.passer();
        let straggler = hang("in futex", move || {
            sundown::activity("ü".repeat(1_000_000));
            pass();
        });
        assert!(
            straggler.to_string().len() < 20_000,
            "{}",
            straggler.to_string().len()
        );
    });
}

/// Hangs a worker in `job`, in a call with this number. `None` where that cannot be had.
#[track_caller]
fn hang_in_call(
    number: libc::c_long,
    place: &str,
    uninterruptible: bool,
    job: impl FnOnce() + Send + 'static,
) -> Option<Straggler> {
    let supervisor = short();
    let (tell, told) = mpsc::channel();
    let worker = supervisor.worker().name("stuck".into());
    let worker = worker.spawn(move || {
        let held = hold_calls(number);
        let holds = held.is_ok();
        tell.send(held).unwrap();
        if holds {
            job();
        }
    });
    let held = allowed("holding up a call with seccomp", told.recv().unwrap())?;
    await_dump(&supervisor, place);
    if uninterruptible {
        held.take(supervisor.workers()[0].os_id.unwrap());
        await_dump(&supervisor, "uninterruptible");
    }
    let report = supervisor.shutdown();
    drop(held);
    worker.unwrap().join().unwrap();
    Some(record(&report, "stuck").clone())
}

#[test]
fn a_slow_fsync() {
    patiently(|| {
        let folder = Folder::new();
        let path = folder.0.join("journal");
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(b"entry").unwrap();
        for uninterruptible in [false, true] {
            let file = file.try_clone().unwrap();
            let job = move || drop(file.sync_all());
            let straggler = hang_in_call(libc::SYS_fsync, "in fsync", uninterruptible, job);
            let Some(straggler) = straggler else { return };
            assert_in(&straggler, "fsync", Some(&path.display().to_string()));
            assert_advice(&straggler, "the disk is slow");
        }
    });
}

#[test]
fn an_uninterruptible_wait_for_a_disk() {
    patiently(|| {
        let folder = Folder::new();
        let path = folder.0.join("sparse");
        let file = std::fs::File::create(&path).unwrap();
        let job = move || drop(file.set_len(1 << 20));
        let Some(straggler) = hang_in_call(libc::SYS_ftruncate, "in ftruncate", true, job) else {
            return;
        };
        assert_in(&straggler, "ftruncate", Some(&path.display().to_string()));
        let state = straggler.thread().unwrap().state();
        assert_eq!(state, Some(ThreadState::DiskSleep), "{straggler}");
        assert_advice(&straggler, "for a disk or a network file system");
    });
}

#[test]
fn a_read_of_a_file_that_does_not_come() {
    patiently(|| {
        let folder = Folder::new();
        let path = folder.0.join("far away");
        std::fs::write(&path, "text").unwrap();
        let mut file = std::fs::File::open(&path).unwrap();
        let job = move || drop(file.read(&mut [0; 8]));
        let Some(straggler) = hang_in_call(libc::SYS_read, "in read", false, job) else {
            return;
        };
        assert_in(&straggler, "read", Some(&path.display().to_string()));
        assert_advice(&straggler, "for a disk or a network file system");
    });
}

#[test]
fn a_program_that_does_not_start() {
    patiently(|| {
        let folder = Folder::new();
        let path = folder.0.join("fifo");
        let text = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: the path ends with a NUL.
        assert_eq!(unsafe { libc::mkfifo(text.as_ptr(), 0o600) }, 0);
        let supervisor = short();
        let worker = supervisor.worker().name("stuck".into());
        let worker = worker.spawn(move || {
            let program = b"/bin/true\0".as_ptr().cast::<libc::c_char>();
            // SAFETY: all that is pointed to lives as long as the call. The child opens the FIFO before it becomes the program.
            unsafe {
                let mut actions = std::mem::zeroed();
                libc::posix_spawn_file_actions_init(&mut actions);
                let (fifo, reads) = (text.as_ptr(), libc::O_RDONLY);
                libc::posix_spawn_file_actions_addopen(&mut actions, 0, fifo, reads, 0);
                let arguments = [program.cast_mut(), std::ptr::null_mut()];
                let nothing = [std::ptr::null_mut()];
                let (mut child, list) = (0, arguments.as_ptr());
                let null = std::ptr::null();
                let failed =
                    libc::posix_spawn(&mut child, program, &actions, null, list, nothing.as_ptr());
                assert_eq!(failed, 0);
                libc::waitpid(child, std::ptr::null_mut(), 0);
                libc::posix_spawn_file_actions_destroy(&mut actions);
            }
        });
        await_dump(&supervisor, "uninterruptible");
        let report = supervisor.shutdown();
        drop(std::fs::File::options().write(true).open(path).unwrap());
        worker.unwrap().join().unwrap();
        let straggler = record(&report, "stuck");
        assert!(
            straggler.to_string().contains("in clone")
                || straggler.to_string().contains("in vfork"),
            "{straggler}"
        );
        assert_advice(straggler, "it starts a program");
    });
}

#[test]
fn a_thread_in_the_hands_of_a_debugger() {
    patiently(|| {
        let gate = Gate::new();
        let supervisor = short();
        let worker = supervisor.worker().name("stuck".into());
        let worker = worker.spawn(gate.passer()).unwrap();
        await_dump(&supervisor, "in futex");
        let thread = supervisor.workers()[0].os_id.unwrap();
        let Some(tracer) = allowed("tracing", Tracer::hold(thread)) else {
            return;
        };
        let report = supervisor.shutdown();
        let straggler = record(&report, "stuck");
        let thread = straggler.thread().unwrap();
        assert_eq!(thread.state(), Some(ThreadState::Stopped), "{straggler}");
        let holder = format!("process {}", tracer.pid);
        let named = thread.held_by().unwrap();
        assert!(named.starts_with(&holder), "{straggler}");
        let words = format!("stopped by {holder}");
        assert!(straggler.to_string().contains(&words), "{straggler}");
        assert_advice(straggler, "detach");
        drop(tracer);
        drop(gate);
        worker.join().unwrap();
    });
}

#[test]
fn a_call_that_no_row_is_for() {
    patiently(|| {
        // SAFETY: a new queue, which nobody else knows.
        let queue = unsafe { libc::msgget(libc::IPC_PRIVATE, 0o600) };
        assert!(queue >= 0);
        let straggler = hang("in msgrcv", move || {
            let mut message = [0_u64; 2];
            // SAFETY: room for a type and eight bytes, as said.
            unsafe { libc::msgrcv(queue, message.as_mut_ptr().cast(), 8, 0, 0) };
        });
        // SAFETY: takes the queue away, and whoever waits at it goes on.
        unsafe { libc::msgctl(queue, libc::IPC_RMID, std::ptr::null_mut()) };
        assert_in(&straggler, "msgrcv", None);
        assert_advice(&straggler, "that makes this call return");
    });
}

#[test]
fn a_record_lock_of_a_file() {
    patiently(|| {
        let folder = Folder::new();
        let path = folder.0.join("locked");
        let held = std::fs::File::create(&path).unwrap();
        let wanted = std::fs::File::options().write(true).open(&path).unwrap();
        let lock = |file: &std::fs::File| {
            // SAFETY: all zeroes means the whole file; the lock is the open file's, not the process's.
            unsafe {
                let mut whole: libc::flock = std::mem::zeroed();
                whole.l_type = libc::F_WRLCK as _;
                libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLKW, &whole)
            }
        };
        assert_eq!(lock(&held), 0);
        let straggler = hang("in fcntl", move || {
            lock(&wanted);
        });
        assert_in(&straggler, "fcntl", Some(&path.display().to_string()));
        assert_advice(&straggler, "F_SETLK");
    });
}

#[test]
fn an_eventfd_that_is_full() {
    patiently(|| {
        // SAFETY: eventfd(2) gives a descriptor that nobody else owns.
        let mut event = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(libc::eventfd(0, 0)) });
        event.write_all(&(u64::MAX - 1).to_ne_bytes()).unwrap();
        let straggler = hang("in write", move || drop(event.write(&1_u64.to_ne_bytes())));
        assert_in(&straggler, "write", Some("eventfd"));
        assert_advice(&straggler, "nobody reads the other end");
    });
}

#[test]
fn a_socket_of_another_kind() {
    patiently(|| {
        // SAFETY: socket(2) gives a descriptor that nobody else owns.
        let socket = unsafe {
            OwnedFd::from_raw_fd(libc::socket(
                libc::AF_NETLINK,
                libc::SOCK_RAW,
                libc::NETLINK_ROUTE,
            ))
        };
        let straggler = hang("in recvfrom", move || {
            let mut bytes = [0_u8; 8];
            // SAFETY: room for eight bytes, as said.
            unsafe { libc::recv(socket.as_raw_fd(), bytes.as_mut_ptr().cast(), 8, 0) };
        });
        assert_in(&straggler, "recvfrom", Some("socket"));
        assert_advice(&straggler, "a read timeout");
    });
}

#[test]
fn waiting_for_a_signal() {
    patiently(|| {
        let straggler = hang("in rt_sigtimedwait", || {
            // SAFETY: the set is made empty before it is used; no signal is in it, so nothing is stolen.
            unsafe {
                let mut set = std::mem::zeroed();
                libc::sigemptyset(&mut set);
                libc::sigwaitinfo(&set, std::ptr::null_mut());
            }
        });
        assert_advice(&straggler, "look at the token");
    });
}

#[test]
fn a_callback_that_joins_its_own_worker() {
    patiently(|| {
        let gate = Gate::new();
        let pass = gate.passer();
        let supervisor = short();
        let named = std::thread::Builder::new().name("inner".into());
        let inner = named.spawn(gate.passer()).unwrap();
        let worker = supervisor.worker().name("stuck".into());
        let worker = worker.on_terminate(move || inner.join().unwrap());
        worker.spawn(pass).unwrap();
        let report = supervisor.shutdown();
        let record = record(&report, "stuck");
        assert_advice(record, "the joins come later");
    });
}

#[test]
fn a_callback_that_waits_for_a_lock() {
    patiently(|| {
        let gate = Gate::new();
        let lock = Arc::new(Mutex::new(()));
        let both = Arc::new(Barrier::new(2));
        let (theirs, met, pass) = (Arc::clone(&lock), Arc::clone(&both), gate.passer());
        let supervisor = short();
        let worker = supervisor.worker().name("stuck".into());
        let worker = worker.on_terminate(move || drop(lock.lock()));
        worker
            .spawn(move || {
                let _held = theirs.lock();
                met.wait();
                pass();
            })
            .unwrap();
        both.wait();
        let report = supervisor.shutdown();
        assert_advice(record(&report, "stuck"), "which its worker may hold");
    });
}

#[test]
fn a_second_thread_that_exits_the_process() {
    let program = support::process::build("slow", &[]);
    let ended = support::process::run(Command::new(program).arg("second exit"));
    ended.assert_code(0);
    assert!(
        ended.err.contains("in pause") || ended.err.contains("in ppoll"),
        "{}",
        ended.err
    );
    assert!(ended.err.contains("use `sundown::exit`"), "{}", ended.err);
}

#[test]
fn a_stuck_thread_goes_by_the_kernel_s_number() {
    let supervisor = Supervisor::builder()
        .deadline(Duration::from_millis(100))
        .build();
    let (number, told) = std::sync::mpsc::channel();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let job = move || {
        // SAFETY: it only asks.
        number.send(unsafe { libc::gettid() }).unwrap();
        held.recv().unwrap_err()
    };
    drop(supervisor.spawn(job));
    let number = told.recv().unwrap();
    let report = supervisor.shutdown();
    let stuck = report.stragglers()[0]
        .straggler()
        .expect("it was looked at");
    let thread = stuck.thread().expect("it has been started");
    assert_eq!(i64::from(thread.os_id()), i64::from(number));
    drop(release);
}

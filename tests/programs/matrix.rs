//! The child program of `tests/matrix.rs`: one entry of the given kind, in the given state, in a process that leaves in the given way.
//!
//! `matrix WAY KIND STATE FILE`. Around the entry (the *subject*) stand a worker that is older and one that is newer. Each says what
//! happens to it, in one write to file descriptor 1. The subject makes FILE while it lives and takes it away as its clean-up.

#![allow(missing_docs)]

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    unix::main()
}

#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
mod unix {
    use std::io::Read;
    use std::path::PathBuf;
    use std::process::{Command, ExitCode, Stdio};
    use std::sync::mpsc::{self, Sender};
    use std::time::Duration;

    use sundown::background::BackgroundThread;
    use sundown::pool::Pending;
    use sundown::restart::Restart;
    use sundown::{process, thread, Cause, Guard, Pool, StopToken, Supervisor};

    /// What a subject gets that does not listen: known to `tests/matrix.rs` as well.
    const GRACE: Duration = Duration::from_millis(300);
    /// What a clean-up takes, so that whoever does not wait for it cuts it off.
    const CLEAN_UP: Duration = Duration::from_millis(30);
    /// Longer than the test waits: nobody may sit through it.
    const DEADLINE: Duration = Duration::from_secs(60);

    fn say(text: impl AsRef<str>) {
        let line = format!("{}\n", text.as_ref());
        // SAFETY: pointer and length describe `line`.
        unsafe { libc::write(1, line.as_ptr().cast(), line.len()) };
    }

    /// Says it when dropped.
    struct SayOnDrop(String);

    impl Drop for SayOnDrop {
        fn drop(&mut self) {
            say(&self.0);
        }
    }

    thread_local! {
        static AT_THREAD_END: std::cell::RefCell<Option<SayOnDrop>> = const { std::cell::RefCell::new(None) };
    }

    /// One of those who stand around the subject: it behaves.
    fn neighbour(name: &'static str) {
        let (ready, is_ready) = mpsc::channel();
        thread::Builder::new()
            .name(name.into())
            .on_terminate(move || say(format!("told {name}")))
            .spawn_with(move |stop| {
                AT_THREAD_END.with(|place| {
                    *place.borrow_mut() = Some(SayOnDrop(format!("gone {name}")));
                });
                ready.send(()).unwrap();
                stop.wait();
                std::thread::sleep(CLEAN_UP);
                say(format!("over {name}"));
            })
            .unwrap();
        is_ready.recv().unwrap();
    }

    fn file() -> PathBuf {
        std::env::args().nth(4).expect("a path").into()
    }

    /// The subject's file; taking it away is the last that a subject does.
    struct Held(PathBuf);

    impl Held {
        fn new() -> Held {
            std::fs::write(file(), "held").unwrap();
            Held(file())
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            std::thread::sleep(CLEAN_UP);
            std::fs::remove_file(&self.0).unwrap();
            say("over subject");
        }
    }

    #[derive(Clone, Copy, PartialEq)]
    enum State {
        /// Waits for its stop.
        Idle,
        /// Works, and looks at its token between two pieces of work.
        Busy,
        /// Never hears of its stop.
        Blocked,
        /// Panics when it is told.
        Panicking,
        /// Was told by itself, before the way out, and is in its clean-up.
        Stopping,
    }

    impl State {
        /// The subject's life on a thread, from the moment that it is ready.
        fn live(self, stop: &StopToken, ready: &Sender<()>) {
            let _held = Held::new();
            ready.send(()).unwrap();
            match self {
                State::Idle => stop.wait(),
                State::Busy => {
                    let mut done = 0_u64;
                    while !stop.is_stopped() {
                        done = (0..20_000).fold(done, |sum, n| sum.wrapping_mul(31) ^ n);
                        std::thread::sleep(Duration::from_millis(1)); // leaves some of the machine to others
                    }
                    std::hint::black_box(done);
                }
                State::Blocked => block(),
                State::Panicking => {
                    stop.wait();
                    panic!("as the cell asks");
                }
                State::Stopping => {
                    stop.wait();
                    ready.send(()).unwrap();
                    // Until the way out has begun.
                    Supervisor::global().stop_token().wait();
                }
            }
        }
    }

    fn block() -> ! {
        loop {
            std::thread::park();
        }
    }

    /// How long a subject gets: what behaves has all the time of a busy machine.
    fn grace(state: State) -> Duration {
        match state {
            State::Blocked => GRACE,
            _ => DEADLINE,
        }
    }

    fn told_subject() {
        say("told subject");
    }

    /// Registers the subject, and returns when it is in its state: one that is stopping says once more that it is ready.
    fn subject(kind: &str, state: State) {
        let (ready, is_ready) = mpsc::channel();
        let (told, is_told) = mpsc::channel();
        let worker = thread::Builder::new()
            .name("subject".into())
            .grace(grace(state));
        let on_told = move || {
            told_subject();
            let _ = told.send(()); // heard only where it was told by itself
        };
        // It hears through its token, which trips before its callback runs.
        let is_stopping = || {
            is_ready.recv().unwrap();
            is_told.recv().unwrap();
        };
        let job = {
            let ready = ready.clone();
            move |stop: StopToken| state.live(&stop, &ready)
        };
        match kind {
            "thread" | "daemon" | "critical" => {
                let worker = match kind {
                    "daemon" => worker.daemon(),
                    "critical" => worker.critical(),
                    _ => worker,
                };
                let handle = worker.on_terminate(on_told).spawn_with(job).unwrap();
                is_ready.recv().unwrap();
                if state == State::Stopping {
                    handle.terminate();
                    is_stopping();
                }
            }
            "scoped" => {
                let worker = match state {
                    // std's handle on a scoped thread cannot tell it.
                    State::Stopping => worker.time_limit(CLEAN_UP),
                    _ => worker,
                };
                // The scope is on a thread of nobody's: it is not what is looked at.
                std::thread::spawn(move || {
                    thread::scope(|scope| {
                        let worker = worker.on_terminate(on_told);
                        worker
                            .spawn_scoped(scope, || job(sundown::stop_token()))
                            .unwrap();
                    });
                });
                is_ready.recv().unwrap();
                if state == State::Stopping {
                    is_stopping();
                }
            }
            "restarting" => {
                // Its busy state is to fail, and to be started, again and again.
                let policy = Restart::always()
                    .limit(u32::MAX, Duration::from_secs(1))
                    .backoff(Duration::from_millis(1), Duration::from_millis(1));
                let mut held = None;
                let run = move |stop: &StopToken| -> Result<(), String> {
                    if state != State::Busy {
                        state.live(stop, &ready);
                        return Ok(());
                    }
                    held.get_or_insert_with(Held::new);
                    let _ = ready.send(()); // who has heard it once does not listen any more
                    Err("as the cell asks".into())
                };
                let worker = worker.on_terminate(on_told).restart(policy);
                let handle = worker.spawn_loop(run).unwrap();
                is_ready.recv().unwrap();
                if state == State::Stopping {
                    handle.terminate();
                    is_stopping();
                }
            }
            "hook" => {
                let held = Held::new();
                let hook = move || {
                    told_subject();
                    let _held = held;
                    match state {
                        State::Idle => {}
                        State::Busy => std::thread::sleep(CLEAN_UP * 3),
                        State::Blocked => block(),
                        State::Panicking => panic!("as the cell asks"),
                        State::Stopping => {
                            ready.send(()).unwrap();
                            Supervisor::global().stop_token().wait();
                        }
                    }
                };
                // One that runs already is one of a supervisor that shuts down already.
                let tier = Supervisor::global().child("tier");
                match state {
                    State::Stopping => {
                        tier.on_shutdown("subject", hook);
                        tier.request_shutdown(Cause::Requested);
                        is_ready.recv().unwrap();
                    }
                    _ => drop(sundown::on_shutdown("subject", hook)),
                }
            }
            "nested" => {
                let tier = Supervisor::global().child("tier");
                tier.on_exit("tier at exit", || say("tier at exit"));
                let worker = tier.worker().name("subject".into()).grace(grace(state));
                worker.on_terminate(on_told).spawn_with(job).unwrap();
                is_ready.recv().unwrap();
                if state == State::Stopping {
                    tier.request_shutdown(Cause::Requested);
                    is_stopping();
                }
            }
            "pool" => {
                let pool = Pool::builder().name("subject").workers(1);
                let pool = pool.grace(grace(state)).build().unwrap();
                if state == State::Idle {
                    std::mem::forget(pool); // as a static keeps it: dropping it would shut it down
                    return;
                }
                drop(pool.submit_with(move |stop| {
                    let _told = stop.on_stop(on_told);
                    job(stop);
                }));
                is_ready.recv().unwrap();
                if state == State::Stopping {
                    std::thread::spawn(move || pool.shutdown(Pending::Cancel));
                    is_stopping();
                } else {
                    std::mem::forget(pool);
                }
            }
            "background" => {
                let background = BackgroundThread::builder().name("subject");
                let background = background.grace(grace(state)).drain(grace(state) / 2);
                let background = background.start().unwrap();
                if state == State::Idle {
                    return;
                }
                let stop = background.stop_token();
                drop(background.spawn(async move {
                    let _held = Held::new();
                    ready.send(()).unwrap();
                    if state == State::Blocked {
                        block();
                    }
                    stop.stopped().await;
                    told_subject();
                    if state == State::Panicking {
                        panic!("as the cell asks");
                    }
                    if state == State::Stopping {
                        ready.send(()).unwrap();
                        Supervisor::global().stop_token().stopped().await;
                    }
                    for _ in 0..3 {
                        tokio::task::yield_now().await; // its clean-up needs the loop
                    }
                }));
                is_ready.recv().unwrap();
                if state == State::Stopping {
                    background.terminate();
                    is_ready.recv().unwrap();
                }
            }
            "process" => child_process(state),
            unknown => panic!("no kind {unknown:?}"),
        }
    }

    /// A shell whose trap is its clean-up. It returns when the trap is set.
    fn child_process(state: State) {
        let script = match state {
            // Nothing of it asks for SIGTERM, so that is its end.
            State::Idle => "echo >&2; exec sleep 1000",
            // No command of its own, since a shell that forks just now may have two answer.
            State::Busy => {
                r#"trap 'echo told subject; rm "$0"; echo over subject; exit' TERM
                : > "$0"; echo >&2; while :; do :; done"#
            }
            State::Blocked => r#"trap '' TERM; : > "$0"; echo >&2; while :; do sleep 0.01; done"#,
            // Its clean-up goes on until the way out has begun: then its input ends.
            State::Stopping => {
                r#"trap 'echo told subject; echo >&2; read line; rm "$0"; echo over subject; exit' TERM
                : > "$0"; echo >&2; read line"#
            }
            State::Panicking => panic!("a process does not panic"),
        };
        let mut command = Command::new("sh");
        command
            .args(["-c", script])
            .arg(file())
            .stdin(Stdio::piped())
            .stderr(Stdio::piped());
        let grace = match state {
            State::Blocked => GRACE,
            _ => DEADLINE / 2,
        };
        let child = process::Builder::new("subject", command).grace(grace);
        let way = std::env::args().nth(1).unwrap_or_default();
        // Where nothing of ours runs, or not to its end, the kernel has to do it.
        #[cfg(target_os = "linux")]
        let child = match way.as_str() {
            "SIGKILL" | "abort" | "_exit" | "second signal" => child.die_with_parent(),
            _ => child,
        };
        let child = child.spawn().expect("sh is there");
        let mut said = child.take_stderr().expect("it is piped");
        let mut line = || said.read_exact(&mut [0]).expect("it says that it is ready");
        line();
        let input = child.take_stdin().expect("it is piped");
        if state == State::Stopping {
            child.terminate();
            line();
            std::thread::spawn(move || {
                Supervisor::global().stop_token().wait();
                drop(input);
            });
        } else {
            std::mem::forget(input);
        }
        std::mem::forget(said); // a shell that cannot say "Terminated" dies of SIGPIPE
    }

    fn install() -> Guard {
        let installed = Supervisor::builder().deadline(DEADLINE).install();
        installed.unwrap()
    }

    /// Blocks and cannot be told.
    fn deaf() -> ! {
        say("ready");
        loop {
            std::thread::sleep(Duration::from_secs(3600));
        }
    }

    pub(super) fn main() -> ExitCode {
        let arguments: Vec<String> = std::env::args().collect();
        let [_, way, kind, state, _] = &arguments[..] else {
            panic!("matrix WAY KIND STATE FILE");
        };
        let state = match state.as_str() {
            "idle" => State::Idle,
            "busy" => State::Busy,
            "blocked" => State::Blocked,
            "panicking" => State::Panicking,
            "stopping" => State::Stopping,
            unknown => panic!("no state {unknown:?}"),
        };
        let _left = SayOnDrop("main left".into());
        let guard = match way.as_str() {
            "return without guard" | "panic without guard" | "exit without guard" => None,
            _ => Some(install()),
        };
        sundown::on_exit("at exit", || {
            say(format!("cause {:?}", sundown::wait_for_shutdown()));
            say("at exit");
        });
        if way == "second signal" {
            // Something has to be left to wait for.
            let mule = thread::Builder::new().name("mule".into());
            let mule = mule.on_terminate(|| say("told mule"));
            mule.spawn(|| block()).unwrap();
        }
        neighbour("older");
        subject(kind, state);
        neighbour("newer");
        match way.as_str() {
            "guard dropped" | "return without guard" => {}
            "finish" => return guard.unwrap().finish(),
            "panic" | "panic without guard" => panic!("in main"),
            "exit" | "exit without guard" => std::process::exit(7),
            "exit on a worker" => {
                thread::spawn(|| std::process::exit(7));
                deaf();
            }
            "sundown::exit" => sundown::exit(7),
            "sundown::exit on a worker" => {
                thread::spawn(|| sundown::exit(7));
                deaf();
            }
            "critical ends" | "critical panics" => {
                let panics = way == "critical panics";
                let vital = thread::Builder::new().name("vital".into()).critical();
                vital.spawn(move || assert!(!panics, "vital")).unwrap();
                deaf();
            }
            "request" => {
                thread::spawn(|| sundown::request_shutdown(Cause::Requested));
                deaf();
            }
            "SIGTERM, main hears" => {
                let stop = sundown::stop_token();
                say("ready");
                stop.wait();
            }
            "SIGINT" | "SIGTERM" | "SIGHUP" | "second signal" | "SIGKILL" => deaf(),
            "abort" => std::process::abort(),
            // SAFETY: it does not return.
            "_exit" => unsafe { libc::_exit(7) },
            unknown => panic!("no way {unknown:?}"),
        }
        ExitCode::SUCCESS
    }
}

//! The child program of `tests/faults.rs`: makes the fault that its argument names, and prints what runs all the same.
//!
//! Every line is one write to file descriptor 1: nothing that is printed waits for a flush.

#![allow(missing_docs)]

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{self, Read};
    use std::panic::AssertUnwindSafe;
    use std::process::{exit, Command, ExitCode, Stdio};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use sundown::{terminate, thread, Cause, Guard, InstallError, Supervisor};

    fn say(text: impl AsRef<str>) {
        let line = format!("{}\n", text.as_ref());
        // SAFETY: pointer and length describe `line`.
        unsafe { libc::write(1, line.as_ptr().cast(), line.len()) };
    }

    struct SayOnDrop(&'static str);

    impl Drop for SayOnDrop {
        fn drop(&mut self) {
            say(self.0);
        }
    }

    fn check(result: libc::c_long) {
        assert!(result >= 0, "{}", io::Error::last_os_error());
    }

    /// From now on no thread of this process can start another. (A limit on processes would not bind root.)
    fn without_threads() {
        let op = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter {
            code: code as u16,
            jt,
            jf,
            k,
        };
        let load = |offset| op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0);
        let equal = |k, jt, jf| op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, k, jt, jf);
        let set = |k, jt, jf| op(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, k, jt, jf);
        let give = |k| op(libc::BPF_RET | libc::BPF_K, k, 0, 0);
        let error = |errno: libc::c_int| give(libc::SECCOMP_RET_ERRNO | errno as u32);
        let mut filter = [
            load(0), // the system call's number
            equal(libc::SYS_clone3 as u32, 4, 0),
            equal(libc::SYS_clone as u32, 0, 2),
            load(16), // its first argument
            set(libc::CLONE_THREAD as u32, 2, 0),
            give(libc::SECCOMP_RET_ALLOW),
            error(libc::ENOSYS), // the C library falls back to clone, whose arguments can be seen
            error(libc::EAGAIN),
        ];
        let program = libc::sock_fprog {
            len: filter.len() as u16,
            filter: filter.as_mut_ptr(),
        };
        // SAFETY: prctl(2) gets plain numbers; `program` and what it points to outlive the call, which copies both.
        unsafe {
            check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).into());
            check(libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                libc::SECCOMP_FILTER_FLAG_TSYNC,
                &program,
            ));
        }
        let refused = std::thread::Builder::new().spawn(|| ());
        assert!(refused.is_err(), "threads can be started all the same");
    }

    /// The process may have so much more address space than it has, in KiB; `None`: as much as it likes.
    fn with_memory(more: Option<u64>) {
        let limit = more.map_or(libc::RLIM_INFINITY, |more| {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
            let size = size.unwrap().trim().trim_end_matches(" kB");
            (size.parse::<u64>().unwrap() + more) * 1024
        });
        let limit = libc::rlimit {
            rlim_cur: limit,
            rlim_max: libc::RLIM_INFINITY,
        };
        // SAFETY: `limit` is a valid rlimit to read.
        unsafe { check(libc::setrlimit(libc::RLIMIT_AS, &limit).into()) };
    }

    /// What a thread of std takes, without its guard page.
    const STACK: u64 = 2048;

    /// A worker that leaves slowly, so that whoever does not wait for it cuts it off. It is there, and has memory of its own, when
    /// this returns: a thread's first allocation asks the system for more than there may be.
    fn worker(name: &'static str) {
        let worker = thread::Builder::new().name(name.into());
        let worker = worker.on_terminate(move || say(format!("told {name}")));
        let (ready, is_ready) = mpsc::channel();
        let started = worker.spawn_with(move |stop| {
            ready.send(name.to_owned()).unwrap();
            stop.wait();
            std::thread::sleep(Duration::from_millis(50));
            say(format!("over {name}"));
        });
        started.unwrap();
        is_ready.recv().unwrap();
    }

    fn hooks() {
        sundown::on_exit("at exit", || {
            say(format!("cause {:?}", sundown::wait_for_shutdown()));
            say("at exit");
        });
        sundown::on_shutdown("hook", || say("hook"));
    }

    /// Two workers, a nested one, and a hook of each kind.
    fn population() {
        worker("first");
        let tier = Supervisor::global().child("tier");
        tier.on_exit("tier at exit", || say("tier at exit"));
        worker("second");
        hooks();
    }

    fn guard() -> Guard {
        sundown::init().unwrap()
    }

    /// Blocks and cannot be told.
    fn deaf() -> ! {
        say("ready");
        loop {
            std::thread::sleep(Duration::from_secs(3600));
        }
    }

    /// What `signal` does now: 0 is the default, 1 is ignored.
    fn disposition(signal: i32) -> usize {
        // SAFETY: a null new action only reads into `now`, which all-zero bytes are a valid value of.
        unsafe {
            let mut now: libc::sigaction = std::mem::zeroed();
            check(libc::sigaction(signal, std::ptr::null(), &mut now).into());
            now.sa_sigaction
        }
    }

    fn say_dispositions() {
        let all = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP].map(disposition);
        say(format!("dispositions {all:?}"));
    }

    /// Forks; the child's code is what `child` gives.
    fn fork(child: impl FnOnce() -> i32) {
        // SAFETY: the child uses what this test is about: a library that is meant to stand a fork.
        match unsafe { libc::fork() } {
            // A panic must not leave the child on its parent's way.
            0 => exit(std::panic::catch_unwind(AssertUnwindSafe(child)).unwrap_or(99)),
            child => say(format!("child exited with {:?}", status_of(child))),
        }
    }

    /// Waits for a child: its exit code, unless a signal has ended it.
    fn status_of(child: libc::pid_t) -> Option<i32> {
        let mut status = 0;
        // SAFETY: `status` has room for one status; the child is ours and not reaped.
        unsafe { check(libc::waitpid(child, &mut status, 0).into()) };
        libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status))
    }

    /// In a forked child the parent's workers are not its own, and nor are its signals. (To start threads that wait for each other is
    /// not for a child of many threads: the table of who is parked in a lock is a copy of its parent's.)
    fn looks_around(installed: bool) -> i32 {
        assert!(sundown::workers().is_empty());
        assert!(!sundown::is_shutting_down());
        if installed {
            let refused = sundown::init();
            assert!(matches!(refused, Err(InstallError::Forked)), "{refused:?}");
        }
        5
    }

    struct Logger(fn());

    impl log::Log for Logger {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, _: &log::Record<'_>) {
            (self.0)();
        }
        fn flush(&self) {}
    }

    fn log_with(job: fn()) {
        log::set_logger(Box::leak(Box::new(Logger(job)))).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    }

    /// The handler that a second runtime found, and calls after its own work, as signal-hook does.
    static CHAINED: AtomicUsize = AtomicUsize::new(0);

    extern "C" fn second_runtime(signal: libc::c_int) {
        let line = b"second runtime\n";
        // SAFETY: write(2) is async-signal-safe; pointer and length describe `line`.
        unsafe { libc::write(1, line.as_ptr().cast(), line.len()) };
        let next = CHAINED.load(Ordering::Acquire);
        if next > libc::SIG_IGN {
            // SAFETY: the address is that of a handler which was installed without SA_SIGINFO.
            let next: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(next) };
            next(signal);
        }
    }

    fn install_second_runtime(chains: bool) {
        for signal in [libc::SIGINT, libc::SIGTERM] {
            if chains {
                CHAINED.store(disposition(signal), Ordering::Release);
            }
            // SAFETY: all-zero bytes are a valid sigaction; the handler calls write(2) and another handler.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = second_runtime as extern "C" fn(libc::c_int) as usize;
                action.sa_flags = libc::SA_RESTART;
                check(libc::sigaction(signal, &action, std::ptr::null_mut()).into());
            }
        }
    }

    fn block_signals() {
        // SAFETY: the set is initialised by sigemptyset before it is used.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
                libc::sigaddset(&mut set, signal);
            }
            let failed = libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
            assert_eq!(failed, 0);
        }
    }

    /// A child process that goes on until it is told.
    fn sleeper() -> std::process::Child {
        let mut command = Command::new("sleep");
        command.arg("1000").stdout(Stdio::piped()).spawn().unwrap()
    }

    pub(super) fn main() -> ExitCode {
        let name = std::env::args().nth(1).expect("the name of a scenario");
        let _left = SayOnDrop("main left");
        match name.as_str() {
            // ---- no threads
            "no threads at the first spawn" => {
                without_threads();
                let refused = thread::Builder::new()
                    .on_terminate(|| say("told"))
                    .spawn(|| ());
                say(format!("refused {}", refused.unwrap_err().kind()));
                let panics = std::panic::catch_unwind(|| thread::spawn(|| ()));
                say(format!("panics {}", panics.is_err()));
                say(format!("workers {}", sundown::workers().len()));
                hooks();
            }
            "no threads at install" => {
                population();
                without_threads();
                match sundown::init() {
                    Err(error @ InstallError::Ctrlc(_)) => say(format!("refused {error}")),
                    other => panic!("{other:?}"),
                }
                say_dispositions();
            }
            "one thread at install" => {
                // Room for ctrlc's thread, and not for ours.
                with_memory(Some(STACK + STACK / 2));
                match sundown::init() {
                    Err(error @ InstallError::Thread(_)) => say(format!("refused {error}")),
                    other => panic!("{other:?}"),
                }
                say_dispositions();
                with_memory(None);
                let _guard = guard();
                population();
                deaf();
            }
            "no threads at install, then there are" => {
                with_memory(Some(STACK / 2));
                match sundown::init() {
                    Err(error @ InstallError::Ctrlc(_)) => say(format!("refused {error}")),
                    other => panic!("{other:?}"),
                }
                say_dispositions();
                with_memory(None);
                let _guard = guard();
                population();
                deaf();
            }
            "no threads at shutdown" => {
                population();
                without_threads();
            }
            "no threads at shutdown, with guard" => {
                let _guard = guard();
                population();
                without_threads();
            }
            "no threads when main panics" => {
                let _guard = guard();
                population();
                without_threads();
                panic!("in main");
            }
            "no threads when a worker exits" => {
                population();
                let (go, gone) = mpsc::channel();
                thread::spawn(move || {
                    gone.recv().unwrap();
                    exit(7);
                });
                without_threads();
                go.send(()).unwrap();
                deaf();
            }
            "no threads at a signal" => {
                let _guard = guard();
                population();
                without_threads();
                deaf();
            }
            "no threads at a signal that main hears" => {
                let _guard = guard();
                population();
                without_threads();
                say("ready");
                sundown::wait_for_shutdown();
            }
            "no threads when a critical worker panics" => {
                let _guard = guard();
                population();
                let (go, gone) = mpsc::channel::<()>();
                let critical = thread::Builder::new().critical();
                let critical = critical.spawn(move || {
                    gone.recv().unwrap();
                    panic!("it is broken");
                });
                critical.unwrap();
                without_threads();
                go.send(()).unwrap();
                deaf();
            }
            "no threads at a request" => {
                let own = Supervisor::new();
                own.on_exit("own", || say("own exit"));
                let worker = own.worker().on_terminate(|| say("own told"));
                let worker = worker.spawn_with(|stop| stop.wait()).unwrap();
                without_threads();
                say(format!("first {}", own.request_shutdown(Cause::Exit(4))));
                // What was requested has happened, on this thread.
                worker.join().unwrap();
                say(format!("report of {}", own.shutdown().cause()));
            }
            "no threads for what a callback requests" => {
                let own = Supervisor::new();
                own.on_exit("own", || say("own exit"));
                let ours = own.clone();
                let asks = move || say(format!("first {}", ours.request_shutdown(Cause::Exit(4))));
                let asker = own.worker().on_terminate(asks);
                let asker = asker.spawn_with(|stop| stop.wait()).unwrap();
                let other = own.worker().on_terminate(|| say("own told"));
                let other = other.spawn_with(|stop| stop.wait()).unwrap();
                without_threads();
                asker.terminate();
                asker.join().unwrap();
                // A callback cannot wait for itself, so this is for the next who waits.
                say(format!("stopping {}", own.is_shutting_down()));
                let report = own.shutdown();
                other.join().unwrap();
                say(format!("report of {}", report.cause()));
            }
            "no threads behind a callback that hangs" => {
                population();
                let hangs = || {
                    say("hangs");
                    without_threads();
                    loop {
                        std::thread::park();
                    }
                };
                sundown::on_shutdown("hangs", hangs);
            }
            "no threads, and a callback panics" => {
                population();
                sundown::on_shutdown("panics", || panic!("hook is broken"));
                without_threads();
            }
            "no thread for a time limit" => {
                hooks();
                with_memory(Some(STACK + STACK / 2));
                // The worker gets the only one; the thread that watches time limits does not.
                let limited = thread::Builder::new().time_limit(Duration::from_millis(1));
                let limited = limited.spawn_with(|stop| stop.wait()).unwrap();
                with_memory(None);
                // The next limit starts it, and the first is not forgotten.
                let second = thread::Builder::new().time_limit(Duration::from_millis(1));
                let second = second.spawn_with(|stop| stop.wait()).unwrap();
                second.join().unwrap();
                limited.join().unwrap();
                say("both ended");
            }

            // ---- memory
            "memory is short" => {
                population();
                with_memory(Some(STACK - 256));
            }
            "memory is short at a signal" => {
                let _guard = guard();
                population();
                with_memory(Some(STACK - 256));
                deaf();
            }

            // ---- the logger
            "logger spawns" => {
                log_with(|| {
                    let helper = thread::Builder::new().name("logging".into());
                    match helper.spawn(|| say("logged")) {
                        Ok(helper) => helper.join().unwrap(),
                        // The last record is of a shutdown that is over.
                        Err(_) => say("logged when all was over"),
                    }
                });
                let _guard = guard();
                population();
                sundown::on_shutdown("panics", || panic!("hook is broken"));
            }
            "logger shuts down" => {
                log_with(|| {
                    say("logged");
                    sundown::shutdown();
                });
                let _guard = guard();
                population();
                sundown::on_shutdown("panics", || panic!("hook is broken"));
            }

            // ---- fork in the middle
            "fork in a callback, with guard" => {
                let _guard = guard();
                population();
                sundown::on_shutdown("forks", || fork(|| looks_around(true)));
            }
            "fork in a worker's clean-up" => {
                let _guard = guard();
                population();
                thread::Builder::new()
                    .spawn_with(|stop| {
                        stop.wait();
                        fork(|| looks_around(true));
                    })
                    .unwrap();
            }
            "fork in a callback that returns in the child too" => {
                let _guard = guard();
                population();
                sundown::on_shutdown("forks", || {
                    // SAFETY: the child does nothing of its own: what its helper thread finds is what this test is about.
                    let child = unsafe { libc::fork() };
                    if child != 0 {
                        say(format!("child exited with {:?}", status_of(child)));
                    }
                });
            }
            "fork in a callback while main exits" => {
                population();
                // std lets one thread exit, and the child has a copy of that state: `exit` would pause for ever in it.
                // SAFETY: _exit(2) has no precondition.
                let leave = |code| unsafe { libc::_exit(code) };
                sundown::on_shutdown("forks", move || fork(|| leave(looks_around(false))));
            }

            // ---- panic hooks
            "panic in a panic hook" => {
                let _guard = guard();
                population();
                std::panic::set_hook(Box::new(|_| panic!("the panic hook is broken")));
                drop(thread::spawn(|| panic!("in a worker")));
                deaf();
            }
            "panic hook exits" => {
                let _guard = guard();
                population();
                std::panic::set_hook(Box::new(|_| sundown::exit(3)));
                drop(thread::spawn(|| panic!("in a worker")));
                deaf();
            }
            "panic hook exits, for a callback" => {
                let _guard = guard();
                population();
                std::panic::set_hook(Box::new(|_| sundown::exit(3)));
                sundown::on_shutdown("panics", || panic!("hook is broken"));
            }
            "panic hook requests" => {
                let _guard = guard();
                population();
                std::panic::set_hook(Box::new(|_| {
                    sundown::request_shutdown(Cause::Exit(3));
                }));
                drop(thread::spawn(|| panic!("in a worker")));
                deaf();
            }

            // ---- signals
            "second runtime, chained" => {
                let _guard = guard();
                population();
                install_second_runtime(true);
                deaf();
            }
            "second runtime, alone" => {
                let guard = guard();
                population();
                install_second_runtime(false);
                say("ready");
                // It has taken the signal from us: nothing begins.
                let mut line = String::new();
                io::stdin().read_line(&mut line).unwrap();
                say(format!(
                    "stopping {}",
                    Supervisor::global().is_shutting_down()
                ));
                drop(guard);
                let theirs = second_runtime as extern "C" fn(libc::c_int) as usize;
                say(format!(
                    "theirs stays {}",
                    disposition(libc::SIGTERM) == theirs
                ));
                match sundown::init() {
                    Err(InstallError::HandlerExists(signal)) => say(format!("refused {signal}")),
                    other => panic!("{other:?}"),
                }
            }
            "SIGCHLD ignored" => {
                // SAFETY: SIG_IGN needs no handler.
                unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
                let _guard = guard();
                population();
                let (mut waiter, signal) = terminate::child(sleeper());
                let waits = thread::Builder::new().on_terminate(signal);
                // The system reaps for us, so there is no status to be had.
                let waits = waits.spawn(move || {
                    say(format!("status {}", waiter.wait().is_ok()));
                    say(format!("status again {}", waiter.wait().is_ok()));
                });
                waits.unwrap();
                let mut child = sleeper();
                let mut output = child.stdout.take().unwrap();
                let reads = thread::Builder::new().on_terminate(child);
                let reads = reads.spawn(move || {
                    let end = output.read(&mut [0; 64]).unwrap();
                    say(format!("read {end}"));
                });
                reads.unwrap();
                deaf();
            }
            "SIGCHLD ignored, and the child is gone" => {
                // SAFETY: SIG_IGN needs no handler.
                unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
                log_with(|| say("logged"));
                let (mut waiter, signal) = terminate::child(Command::new("true").spawn().unwrap());
                say(format!("status {}", waiter.wait().is_ok()));
                // Its number may be anybody's by now, so nobody is told; that would be logged.
                terminate::Terminate::terminate(signal);
            }
            "signals blocked" => {
                block_signals();
                let _guard = guard();
                population();
                deaf();
            }
            "signals blocked, main hears" => {
                block_signals();
                let _guard = guard();
                population();
                say("ready");
                sundown::wait_for_shutdown();
            }
            "stuck, signals blocked" => {
                block_signals();
                let _guard = guard();
                let stuck = thread::Builder::new().on_terminate(|| say("told mule"));
                let stuck = stuck.spawn(|| loop {
                    std::thread::park();
                });
                stuck.unwrap();
                deaf();
            }
            unknown => panic!("no scenario {unknown:?}"),
        }
        ExitCode::SUCCESS
    }
}

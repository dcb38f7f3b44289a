//! The child program of `tests/ways_out.rs`: leaves the process in the way that its argument names, and prints what runs.
//!
//! Every line is one write to file descriptor 1: nothing that is printed waits for a flush.

#![allow(missing_docs)]

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    unix::main()
}

#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
mod unix {
    use std::io::{BufRead, Write};
    use std::net::TcpListener;
    use std::process::{exit, ExitCode};
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use sundown::{thread, Cause, ExitStyle, Guard, Supervisor};

    fn say(text: impl AsRef<str>) {
        let line = format!("{}\n", text.as_ref());
        // SAFETY: pointer and length describe `line`.
        unsafe { libc::write(1, line.as_ptr().cast(), line.len()) };
    }

    /// Says it when dropped: as a local of `main`, or as a thread's thread-local.
    struct SayOnDrop(String);

    impl Drop for SayOnDrop {
        fn drop(&mut self) {
            say(&self.0);
        }
    }

    thread_local! {
        static AT_THREAD_END: std::cell::RefCell<Option<SayOnDrop>> = const { std::cell::RefCell::new(None) };
    }

    /// A worker that leaves slowly, so that whoever does not wait for it cuts it off.
    fn worker(name: &'static str) {
        thread::Builder::new()
            .name(name.into())
            .on_terminate(move || say(format!("told {name}")))
            .spawn_with(move |stop| {
                AT_THREAD_END.with(|place| {
                    *place.borrow_mut() = Some(SayOnDrop(format!("gone {name}")));
                });
                stop.wait();
                std::thread::sleep(Duration::from_millis(100));
                say(format!("over {name}"));
            })
            .unwrap();
    }

    /// Two workers, a nested one, and a hook of each kind.
    fn population() {
        sundown::on_exit("at exit", || {
            say(format!("cause {:?}", sundown::wait_for_shutdown()));
            say("at exit");
        });
        worker("first");
        let tier = Supervisor::global().child("tier");
        tier.on_exit("tier at exit", || say("tier at exit"));
        worker("second");
        sundown::on_shutdown("hook", || say("hook"));
    }

    fn ready() {
        say("ready");
    }

    /// Blocks and cannot be told.
    fn deaf() -> ! {
        ready();
        loop {
            std::thread::sleep(Duration::from_secs(3600));
        }
    }

    fn guard() -> Guard {
        sundown::init().unwrap()
    }

    fn short(deadline: u64) -> sundown::SupervisorBuilder {
        Supervisor::builder().deadline(Duration::from_millis(deadline))
    }

    /// A worker that never ends.
    fn stuck(name: &str) {
        thread::Builder::new()
            .name(name.into())
            .on_terminate({
                let name = name.to_owned();
                move || say(format!("told {name}"))
            })
            .spawn(|| loop {
                std::thread::park();
            })
            .unwrap();
    }

    /// A supervisor that is nested in none, with a worker that never ends, and a minute to wait for it.
    fn private_for_a_minute() -> Supervisor {
        let private = Supervisor::builder()
            .deadline(Duration::from_secs(60))
            .build();
        let own = private.stop_token();
        let job = move |stop: sundown::StopToken| {
            stop.wait();
            let is_near = |token: &sundown::StopToken| {
                token.deadline().unwrap() < Instant::now() + Duration::from_secs(5)
            };
            // Nothing tells when a deadline has come nearer, so this looks again.
            while !(is_near(&stop) && is_near(&own)) {
                std::thread::sleep(Duration::from_millis(5));
            }
            say("not so long any more");
            loop {
                std::thread::park();
            }
        };
        let worker = private.worker().name("patient".into());
        worker.spawn_with(job).unwrap();
        private
    }

    /// A thread that nobody supervises, which leaves the process when it is told to.
    fn outsider(job: impl FnOnce() + Send + 'static) {
        std::thread::spawn(job);
    }

    /// The same, but supervised before it is told.
    fn adopted(job: impl FnOnce() + Send + 'static) {
        let (go, gone) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            gone.recv().unwrap();
            job();
        });
        // It leaves the process: there is nobody to tell.
        drop(Supervisor::global().adopt("adopted", thread, || ()));
        go.send(()).unwrap();
    }

    fn hear_and_take_a_while() {
        let _guard = guard();
        population();
        let _local = SayOnDrop("destructor of main".into());
        ready();
        sundown::wait_for_shutdown();
        std::thread::sleep(Duration::from_millis(500));
    }

    /// Leaves a line in the buffer of a stream of the C library.
    fn put_into_a_c_stream(line: &str) {
        let line = std::ffi::CString::new(format!("{line}\n")).unwrap();
        // SAFETY: both are C strings, and the stream is not closed.
        unsafe {
            let stream = libc::fdopen(1, c_str(b"w\0"));
            assert!(!stream.is_null());
            assert!(libc::fputs(line.as_ptr(), stream) >= 0);
        }
    }

    fn c_str(text: &'static [u8]) -> *const libc::c_char {
        text.as_ptr().cast()
    }

    /// Has a thread that never ends hold the lock of a stream, as one does that sits in `fgets`.
    fn lock_a_c_stream() {
        extern "C" {
            fn flockfile(stream: *mut libc::FILE);
        }
        let (locked, is_locked) = mpsc::channel();
        outsider(move || {
            // SAFETY: the stream is not closed.
            unsafe { flockfile(libc::fdopen(0, c_str(b"r\0"))) };
            locked.send(()).unwrap();
            loop {
                std::thread::park();
            }
        });
        is_locked.recv().unwrap();
    }

    struct Logger {
        blocks: bool,
    }

    impl log::Log for Logger {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, _: &log::Record<'_>) {
            if self.blocks {
                loop {
                    std::thread::park();
                }
            }
            panic!("the logger is broken");
        }
        fn flush(&self) {}
    }

    fn logger(blocks: bool) {
        static BLOCKS: Logger = Logger { blocks: true };
        static PANICS: Logger = Logger { blocks: false };
        log::set_logger(if blocks { &BLOCKS } else { &PANICS }).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
    }

    /// Waits for the child and says how it ended.
    fn wait_for(pid: libc::pid_t) {
        let mut status = 0;
        // SAFETY: `status` is a valid place to write to; the child is ours.
        unsafe { libc::waitpid(pid, &mut status, 0) };
        match libc::WIFEXITED(status) {
            true => say(format!("child exited with {}", libc::WEXITSTATUS(status))),
            false => say(format!("child died of {}", libc::WTERMSIG(status))),
        }
    }

    /// What `signal` does now: 0 is the default, 1 is ignored.
    fn disposition(signal: i32) -> usize {
        // SAFETY: a null new action only reads into `now`, which all-zero bytes are a valid value of.
        unsafe {
            let mut now: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, std::ptr::null(), &mut now);
            now.sa_sigaction
        }
    }

    fn say_dispositions() {
        let all = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP].map(disposition);
        say(format!("dispositions {all:?}"));
    }

    extern "C" fn own_handler(signal: libc::c_int) {
        let line: &[u8] = match signal {
            libc::SIGINT => b"own handler: SIGINT\n",
            libc::SIGTERM => b"own handler: SIGTERM\n",
            _ => b"own handler: SIGHUP\n",
        };
        // SAFETY: write(2) is async-signal-safe; pointer and length describe `line`.
        unsafe { libc::write(1, line.as_ptr().cast(), line.len()) };
    }

    fn handle_by_hand(signal: i32) {
        // SAFETY: `own_handler` only calls write(2).
        unsafe {
            libc::signal(
                signal,
                own_handler as extern "C" fn(libc::c_int) as libc::sighandler_t,
            )
        };
    }

    pub(super) fn main() -> ExitCode {
        let name = std::env::args().nth(1).expect("the name of a scenario");
        let _left = SayOnDrop("main left".into());
        match name.as_str() {
            // ---- main leaves
            "return without guard" => population(),
            "return with guard" => {
                let _guard = guard();
                population();
            }
            "guard dropped in the middle" => {
                let guard = guard();
                population();
                drop(guard);
                say("after the guard");
            }
            "panic without guard" => {
                population();
                panic!("in main");
            }
            "panic with guard" => {
                let _guard = guard();
                population();
                panic!("in main");
            }
            "code without guard" => {
                population();
                return ExitCode::from(9);
            }
            "code with guard" => {
                let _guard = guard();
                population();
                return ExitCode::from(9);
            }
            "finish" => {
                let guard = guard();
                population();
                return guard.finish();
            }
            "finish after a request" => {
                let guard = guard();
                population();
                sundown::request_shutdown(Cause::Requested);
                return guard.finish();
            }
            "shutdown, then return" => {
                population();
                say(format!("clean {}", sundown::shutdown().is_clean()));
            }
            "shutdown with guard, then return" => {
                let _guard = guard();
                population();
                say(format!("clean {}", sundown::shutdown().is_clean()));
                say("main goes on");
            }
            "nothing was spawned" => {}
            "nothing was spawned, with guard" => drop(guard()),
            "only private supervisors" => {
                let one = Supervisor::builder().name("one").build();
                one.on_exit("one", || say("exit one"));
                let other = Supervisor::builder().name("other").build();
                other.on_exit("other", || say("exit other"));
                std::mem::forget(other.spawn({
                    let token = other.stop_token();
                    move || {
                        token.wait();
                        std::thread::sleep(Duration::from_millis(100));
                        say("over in other");
                    }
                }));
            }
            "many private supervisors" => {
                for round in 0..100 {
                    let one = Supervisor::new();
                    one.on_exit("one", move || say(format!("exit {round}")));
                    std::mem::forget(one);
                    drop(Supervisor::new());
                }
            }
            "a worker makes a supervisor for its clean-up" => {
                let one = Supervisor::builder().name("one").build();
                one.worker()
                    .spawn_with(|stop| {
                        stop.wait();
                        let late = Supervisor::builder().name("late").build();
                        late.on_exit("late", || say("exit late"));
                        let worker = late.worker().spawn_with(|stop| {
                            stop.wait();
                            say("over in late");
                        });
                        worker.unwrap();
                        std::mem::forget(late);
                    })
                    .unwrap();
                std::mem::forget(one);
            }
            "only a callback on the token" => {
                let only = Supervisor::new();
                std::mem::forget(only.stop_token().on_stop(|| say("the token stopped")));
                std::mem::forget(only); // as a static would keep it: a supervisor that nobody has is gone
            }
            "the real signature of main" => {
                // As the drop-in promises: the import is the whole migration.
                let handle = thread::spawn(|| {
                    std::thread::sleep(Duration::from_millis(200));
                    say("over by itself");
                });
                drop(handle);
            }

            // ---- process::exit
            "exit on main" => {
                population();
                exit(7);
            }
            "exit on main with guard" => {
                let _guard = guard();
                population();
                exit(7);
            }
            "exit on worker" => {
                population();
                let exiter = thread::Builder::new().name("exiter".into());
                exiter.spawn(|| exit(7)).unwrap();
                deaf();
            }
            "exit with zero on worker" => {
                population();
                let exiter = thread::Builder::new().name("exiter".into());
                exiter.spawn(|| exit(0)).unwrap();
                deaf();
            }
            "exit with 101 on worker" => {
                population();
                let exiter = thread::Builder::new().name("exiter".into());
                exiter.spawn(|| exit(101)).unwrap();
                deaf();
            }
            "exit on worker with guard" => {
                let _guard = guard();
                population();
                let exiter = thread::Builder::new().name("exiter".into());
                exiter.spawn(|| exit(7)).unwrap();
                deaf();
            }
            "exit on worker of a child" => {
                population();
                let tier = Supervisor::global().child("newest");
                tier.spawn(|| exit(7));
                deaf();
            }
            "exit on an outsider" => {
                population();
                outsider(|| exit(7));
                deaf();
            }
            "exit on an adopted thread" => {
                population();
                adopted(|| exit(7));
                deaf();
            }
            "exit on an adopted thread with guard" => {
                let _guard = guard();
                population();
                adopted(|| exit(7));
                deaf();
            }
            "exit in a shutdown hook" => {
                population();
                sundown::on_shutdown("exits", || exit(7));
            }
            "exit in a shutdown hook with guard" => {
                let _guard = guard();
                population();
                sundown::on_shutdown("exits", || exit(7));
            }
            "exit in an exit hook" => {
                population();
                sundown::on_exit("exits", || exit(7));
            }
            "exit in an exit hook with guard" => {
                let _guard = guard();
                population();
                sundown::on_exit("exits", || exit(7));
            }
            "exit in a callback with guard" => {
                let _guard = guard();
                population();
                thread::Builder::new()
                    .on_terminate(|| exit(7))
                    .spawn_with(|stop| stop.wait())
                    .unwrap();
            }
            "exit on worker while main shuts down" => {
                let _guard = short(1500).install().unwrap();
                population();
                thread::Builder::new()
                    .name("exiter".into())
                    .spawn_with(|stop| {
                        stop.wait();
                        exit(7)
                    })
                    .unwrap();
            }
            "exit on worker while main is exiting" => {
                // No guard that acts: the handler of the exit does it all, with this deadline.
                std::mem::forget(short(1500).install().unwrap());
                population();
                thread::Builder::new()
                    .name("exiter".into())
                    .spawn_with(|stop| {
                        stop.wait();
                        say("exiting too");
                        exit(7)
                    })
                    .unwrap();
            }
            "exit on two workers" => {
                population();
                let gate = std::sync::Arc::new(std::sync::Barrier::new(2));
                for name in ["one", "two"] {
                    let gate = gate.clone();
                    let exiter = thread::Builder::new().name(name.into());
                    exiter
                        .spawn(move || {
                            gate.wait();
                            exit(7)
                        })
                        .unwrap();
                }
                deaf();
            }

            // ---- sundown::exit
            "sundown::exit on main" => {
                population();
                sundown::exit(7);
            }
            "sundown::exit on main with guard" => {
                let _guard = guard();
                population();
                sundown::exit(7);
            }
            "sundown::exit on worker" => {
                population();
                thread::spawn(|| sundown::exit(7));
                deaf();
            }
            "sundown::exit on worker with guard" => {
                let _guard = guard();
                population();
                thread::spawn(|| sundown::exit(7));
                deaf();
            }
            "sundown::exit on a worker of a private supervisor" => {
                population();
                let private = Supervisor::new();
                private.on_exit("private", || say("private at exit"));
                private.spawn(|| sundown::exit(7));
                deaf();
            }
            "sundown::exit in a shutdown hook" => {
                let _guard = guard();
                population();
                sundown::on_shutdown("exits", || sundown::exit(7));
            }
            "sundown::exit in an exit hook" => {
                let _guard = guard();
                population();
                sundown::on_exit("exits", || sundown::exit(7));
            }

            // ---- signals
            "main hears" => {
                let _guard = guard();
                population();
                let _local = SayOnDrop("destructor of main".into());
                let stop = sundown::stop_token();
                ready();
                stop.wait();
                print!("not flushed"); // by hand: std does it on the way out
            }
            "main parks" => {
                let _guard = guard();
                population();
                ready();
                while !sundown::is_shutting_down() {
                    std::thread::park();
                }
                say("main heard");
            }
            "main hears and takes a while" => hear_and_take_a_while(),
            "another thread installs, hears and takes a while" => {
                std::thread::spawn(hear_and_take_a_while).join().unwrap();
            }
            "main polls" => {
                let _guard = guard();
                population();
                ready();
                while !sundown::is_shutting_down() {
                    std::thread::sleep(Duration::from_millis(5));
                }
                say("main heard");
            }
            "main hears and chooses a code" => {
                let _guard = guard();
                population();
                ready();
                sundown::wait_for_shutdown();
                return ExitCode::from(9);
            }
            "main hears and exits" => {
                let _guard = guard();
                population();
                ready();
                sundown::wait_for_shutdown();
                exit(9);
            }
            "main hears and panics" => {
                let _guard = guard();
                population();
                ready();
                sundown::wait_for_shutdown();
                panic!("on the way out");
            }
            "main hears and never leaves" => {
                let _guard = short(1000).install().unwrap();
                population();
                ready();
                sundown::wait_for_shutdown();
                loop {
                    std::thread::park();
                }
            }
            "main hears, and C has a line" => {
                let _guard = guard();
                population();
                put_into_a_c_stream("of C");
                ready();
                sundown::wait_for_shutdown();
            }
            "main never leaves, and C has a line" => {
                let _guard = short(1000).install().unwrap();
                population();
                put_into_a_c_stream("of C");
                ready();
                sundown::wait_for_shutdown();
                loop {
                    std::thread::park();
                }
            }
            "main is deaf, and C has a line" => {
                let _guard = guard();
                population();
                put_into_a_c_stream("of C");
                deaf();
            }
            "main hears, and a C stream is locked" => {
                let _guard = guard();
                population();
                lock_a_c_stream();
                ready();
                sundown::wait_for_shutdown();
            }
            "main leaves at once, and a C stream is locked" => {
                let _guard = guard();
                lock_a_c_stream();
                ready();
                sundown::wait_for_shutdown();
            }
            "main leaves later, and a C stream is locked" => {
                let guard = guard();
                lock_a_c_stream();
                ready();
                sundown::wait_for_shutdown();
                drop(guard);
                // Longer than the coordinator leaves it to a `main` that was waiting.
                std::thread::sleep(Duration::from_millis(50));
            }
            "main is deaf, and a C stream is locked" => {
                let _guard = guard();
                population();
                lock_a_c_stream();
                deaf();
            }
            "main requests for a signal and exits, and a C stream is locked" => {
                let guard = Supervisor::builder().signals(false).install().unwrap();
                population();
                lock_a_c_stream();
                sundown::request_shutdown(Cause::Signal(libc::SIGTERM));
                std::mem::forget(guard);
                sundown::exit(0);
            }
            "a private supervisor has longer" => {
                let _guard = short(1000).install().unwrap();
                let private = private_for_a_minute();
                ready();
                sundown::wait_for_shutdown();
                drop(private);
            }
            "main returns, and a private supervisor takes longer" => {
                let _guard = short(100).install().unwrap();
                let private = Supervisor::builder().deadline(Duration::from_secs(60));
                let worker = private.build().worker().name("private".into());
                let job = |stop: sundown::StopToken| {
                    stop.wait();
                    std::thread::sleep(Duration::from_millis(400));
                    say("cleaned up");
                };
                worker.spawn_with(job).unwrap();
            }
            "a private supervisor and a main that leaves at once"
            | "a private supervisor and a main that exits at once" => {
                let _guard = short(1000).install().unwrap();
                let private = Supervisor::builder().deadline(Duration::from_secs(60));
                let worker = private.build().worker().name("private".into());
                let job = |stop: sundown::StopToken| {
                    stop.wait();
                    say(format!("told {:?}", stop.reason()));
                    let left = stop.deadline().unwrap() - Instant::now();
                    say(format!("in time: {}", left < Duration::from_secs(5)));
                };
                worker.spawn_with(job).unwrap();
                ready();
                sundown::wait_for_shutdown();
                if name.contains("exits") {
                    sundown::exit(0);
                }
            }
            "a private supervisor stops already and has longer" => {
                let _guard = short(1000).install().unwrap();
                let private = private_for_a_minute();
                let stopping = private.stop_token();
                outsider(move || drop(private.shutdown()));
                stopping.wait();
                ready();
                sundown::wait_for_shutdown();
            }
            "main is told by the guard" => {
                let guard = guard();
                population();
                let _local = SayOnDrop("destructor of main".into());
                let (jobs, queue) = mpsc::channel::<()>();
                guard.on_terminate(move || {
                    say("told main");
                    drop(jobs);
                });
                ready();
                let _ = queue.recv();
                say("main heard");
            }
            "main is told twice" => {
                let guard = guard();
                population();
                let (jobs, queue) = mpsc::channel::<()>();
                let more = jobs.clone();
                guard.on_terminate(move || {
                    say("told main first");
                    drop(jobs);
                });
                guard.on_terminate(move || {
                    say("told main second");
                    drop(more);
                    panic!("in the callback of main");
                });
                ready();
                let _ = queue.recv();
                // It comes late, so it runs at once.
                guard.on_terminate(|| say("told main late"));
                say("main heard");
            }
            "main is deaf" => {
                let _guard = guard();
                population();
                let _local = SayOnDrop("destructor of main".into());
                deaf();
            }
            "main accepts" => {
                let _guard = guard();
                population();
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                ready();
                listener.accept().unwrap();
            }
            "main reads" => {
                let _guard = guard();
                population();
                ready();
                let mut line = String::new();
                std::io::stdin().lock().read_line(&mut line).unwrap();
            }
            "main holds stdout" => {
                let _guard = guard();
                population();
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(b"half a line").unwrap();
                deaf();
            }
            "main is deaf, with code" => {
                let _guard = Supervisor::builder()
                    .exit(ExitStyle::Code)
                    .install()
                    .unwrap();
                population();
                deaf();
            }
            "main hears, with code" => {
                let _guard = Supervisor::builder()
                    .exit(ExitStyle::Code)
                    .install()
                    .unwrap();
                population();
                ready();
                sundown::wait_for_shutdown();
            }
            "finish after a signal" => {
                let guard = guard();
                population();
                ready();
                sundown::wait_for_shutdown();
                return guard.finish();
            }
            "finish after a signal, with code" => {
                let guard = Supervisor::builder()
                    .exit(ExitStyle::Code)
                    .install()
                    .unwrap();
                population();
                ready();
                sundown::wait_for_shutdown();
                return guard.finish();
            }
            "no signals" => {
                let _guard = Supervisor::builder().signals(false).install().unwrap();
                population();
                deaf();
            }
            "not installed" => {
                population();
                deaf();
            }
            "own handler passes on" => {
                let guard = Supervisor::builder().signals(false).install();
                let _guard = guard.unwrap();
                population();
                ctrlc::set_handler(|| {
                    sundown::request_shutdown(Cause::Signal(libc::SIGINT));
                })
                .unwrap();
                deaf();
            }
            "stuck" => {
                let _guard = short(60_000).install().unwrap();
                sundown::on_exit("at exit", || say("at exit"));
                stuck("mule");
                worker("good");
                deaf();
            }
            "stuck in a nested tier" => {
                let _guard = short(60_000).install().unwrap();
                worker("good");
                let tier = Supervisor::global().child("tier");
                let theirs = tier.worker().name("mule".into());
                theirs
                    .on_terminate(|| say("told mule"))
                    .spawn(|| loop {
                        std::thread::park();
                    })
                    .unwrap();
                deaf();
            }
            "stuck in a callback" => {
                let _guard = short(60_000).install().unwrap();
                sundown::on_exit("endless", || {
                    say("told endless");
                    loop {
                        std::thread::park();
                    }
                });
                deaf();
            }
            "stuck while main leaves" => {
                let _guard = short(60_000).install().unwrap();
                stuck("mule");
                ready();
            }
            "stuck for a while" => {
                let _guard = short(2500).install().unwrap();
                sundown::on_exit("at exit", || say("at exit"));
                stuck("mule");
                deaf();
            }
            "echo" => {
                // Answers a line with a line, so that a test knows that what came before has had its effect.
                let _guard = guard();
                population();
                say(format!("pid {}", std::process::id()));
                ready();
                for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                    say(format!("echo {line}"));
                }
                deaf();
            }

            // ---- installing
            "dispositions" => {
                say_dispositions();
                let guard = guard();
                say(format!(
                    "ours {:?}",
                    [libc::SIGINT, libc::SIGTERM, libc::SIGHUP].map(|s| disposition(s) > 1)
                ));
                drop(guard);
                say_dispositions();
            }
            "install twice" => {
                let _guard = guard();
                let again = sundown::init();
                say(format!("again {:?}", again.as_ref().err()));
                say(again.unwrap_err().to_string());
                population();
                deaf();
            }
            "install in the last hook" => {
                sundown::on_exit("last", || {
                    let refused = sundown::init().map(drop);
                    say(format!("refused {refused:?}"));
                });
                say(format!("clean {}", sundown::shutdown().is_clean()));
                let _guard = guard();
                population();
                deaf();
            }
            "install again" => {
                let first = guard();
                worker("early");
                drop(first);
                say("between");
                let _second = guard();
                population();
                deaf();
            }
            "install many times" => {
                for round in 0..20 {
                    let guard = guard();
                    let worker = thread::Builder::new().spawn_with(|stop| stop.wait());
                    let worker = worker.unwrap();
                    drop(guard);
                    worker.join().unwrap();
                    say(format!("round {round}"));
                }
                let _guard = guard();
                population();
                deaf();
            }
            "guard gone" => {
                let guard = guard();
                population();
                drop(guard);
                deaf();
            }
            "install after spawn" => {
                population();
                let _guard = guard();
                deaf();
            }
            "own ctrlc handler" => {
                ctrlc::set_handler(|| say("own handler")).unwrap();
                let refused = sundown::init().unwrap_err();
                say(format!("refused {refused:?}"));
                say(refused.to_string());
                deaf();
            }
            "own handler for SIGTERM" => {
                handle_by_hand(libc::SIGTERM);
                let refused = sundown::init().unwrap_err();
                say(format!("refused {refused:?}"));
                let all = [libc::SIGINT, libc::SIGHUP].map(disposition);
                say(format!("others {all:?}"));
                // It still can be had without signals.
                let _guard = Supervisor::builder().signals(false).install().unwrap();
                population();
                deaf();
            }
            "own handler for SIGHUP" => {
                handle_by_hand(libc::SIGHUP);
                let _guard = guard();
                population();
                deaf();
            }

            // ---- the process is to end for another reason
            "critical worker ends" => {
                let _guard = guard();
                population();
                let critical = thread::Builder::new().name("vital".into()).critical();
                critical.spawn(|| ()).unwrap();
                deaf();
            }
            "critical worker panics" => {
                let _guard = guard();
                population();
                let critical = thread::Builder::new().name("vital".into()).critical();
                critical.spawn(|| panic!("vital is broken")).unwrap();
                deaf();
            }
            "critical worker panics, main finishes" => {
                let guard = guard();
                population();
                let critical = thread::Builder::new().name("vital".into()).critical();
                critical.spawn(|| panic!("vital is broken")).unwrap();
                sundown::wait_for_shutdown();
                return guard.finish();
            }
            "critical worker ends, main finishes" => {
                let guard = guard();
                population();
                thread::Builder::new().critical().spawn(|| ()).unwrap();
                sundown::wait_for_shutdown();
                return guard.finish();
            }
            "critical worker ends, not installed" => {
                population();
                thread::Builder::new().critical().spawn(|| ()).unwrap();
                say(format!("{:?}", sundown::wait_for_shutdown()));
                say(format!("complete {}", sundown::shutdown().is_complete()));
                std::thread::sleep(Duration::from_millis(300));
                say("the process goes on");
            }
            "request on worker" => {
                let _guard = guard();
                population();
                thread::spawn(|| sundown::request_shutdown(Cause::Requested));
                deaf();
            }
            "request on main" => {
                let _guard = guard();
                population();
                sundown::request_shutdown(Cause::Requested);
                sundown::shutdown();
                say("main goes on");
            }
            "request of an exit" => {
                let _guard = guard();
                population();
                thread::spawn(|| sundown::request_shutdown(Cause::Exit(7)));
                deaf();
            }
            "shutdown on worker" => {
                let _guard = guard();
                population();
                thread::spawn(|| say(format!("complete {}", sundown::shutdown().is_complete())));
                deaf();
            }

            // ---- fork
            "fork, exit in the child" => {
                let _guard = guard();
                population();
                // SAFETY: the child calls nothing but exit.
                match unsafe { libc::fork() } {
                    0 => exit(5),
                    pid => wait_for(pid),
                }
                say("parent goes on");
            }
            "fork, return in the child" => {
                let _guard = guard();
                population();
                // SAFETY: the child returns from main, which is what is to be seen.
                match unsafe { libc::fork() } {
                    0 => return ExitCode::from(5),
                    pid => wait_for(pid),
                }
                say("parent goes on");
            }
            "fork, shut down in the child" => {
                population();
                // SAFETY: what the child calls must cope with that; this is what is to be seen.
                match unsafe { libc::fork() } {
                    0 => {
                        sundown::shutdown();
                        sundown::request_shutdown(Cause::Requested);
                        sundown::exit(5)
                    }
                    pid => wait_for(pid),
                }
                say("parent goes on");
            }

            // ---- what fails on the way
            "straggler" => {
                let _guard = short(500).install().unwrap();
                population();
                stuck("mule");
            }
            "straggler, then a signal" => {
                let _guard = short(500).install().unwrap();
                population();
                stuck("mule");
                deaf();
            }
            "straggler without guard" => {
                std::mem::forget(short(500).signals(false).install().unwrap());
                population();
                stuck("mule");
            }
            "many stragglers" => {
                // The report is longer than a pipe holds.
                let _guard = short(500).install().unwrap();
                for number in 0..2000 {
                    let name = format!("mule {number} {}", "-".repeat(60));
                    sundown::on_exit(name, || panic!("broken"));
                }
                std::panic::set_hook(Box::new(|_| ())); // that one would fill it as well
                sundown::on_exit("first", || say("at exit"));
            }
            "panic in hooks" => {
                let _guard = guard();
                population();
                sundown::on_shutdown("broken hook", || panic!("hook is broken"));
                sundown::on_exit("broken exit", || panic!("exit is broken"));
            }
            "logger panics" => {
                logger(false);
                let _guard = short(3000).install().unwrap();
                population();
                stuck("mule");
                sundown::on_shutdown("broken hook", || panic!("hook is broken"));
            }
            "logger blocks" => {
                logger(true);
                let _guard = short(3000).install().unwrap();
                population();
                stuck("mule");
                sundown::on_shutdown("broken hook", || panic!("hook is broken"));
            }
            "logger blocks, then a signal" => {
                logger(true);
                let _guard = short(3000).install().unwrap();
                population();
                stuck("mule");
                deaf();
            }
            unknown => panic!("no scenario {unknown:?}"),
        }
        ExitCode::SUCCESS
    }
}

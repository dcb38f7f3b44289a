//! The child program of the tests about life in production: signals that do not mean stop, containers, shells, budgets.
//!
//! Every line is one write to file descriptor 1: nothing that is printed waits for a flush.

#![allow(missing_docs)]

#[cfg(unix)]
fn main() {
    unix::main();
}

#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
mod unix {
    use std::io::BufRead;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::Arc;
    use std::time::Duration;

    use libc::{SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGSEGV, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
    use sundown::{thread, ExitStyle, Guard, Order, Supervisor, SupervisorBuilder};

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

    /// A handler that says `what`, and the how-manieth time it is.
    fn counts(what: &'static str) -> impl FnMut() + Send + 'static {
        let mut runs = 0;
        move || {
            runs += 1;
            say(format!("{what} {runs}"));
        }
    }

    fn next_line() -> String {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn ready() {
        // In one: a reader that takes the first line and leaves has taken both.
        say(format!("pid {}\nready", std::process::id()));
    }

    /// Waits for a shutdown, as the `main` of a server does.
    fn serve(builder: SupervisorBuilder) {
        let _guard = builder.install().unwrap();
        worker(Duration::from_millis(50));
        ready();
        let cause = sundown::wait_for_shutdown();
        say(format!("main leaves after {cause}"));
    }

    /// A worker that takes its time to leave.
    fn worker(needs: Duration) {
        thread::Builder::new()
            .name("worker".into())
            .spawn_with(move |stop| {
                stop.wait();
                say("worker told");
                std::thread::sleep(needs);
                say("worker over");
            })
            .unwrap();
    }

    fn short(deadline: u64) -> SupervisorBuilder {
        Supervisor::builder().deadline(Duration::from_millis(deadline))
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

    extern "C" fn nothing(_: libc::c_int) {}

    fn handle_by_hand(signal: i32) {
        let handler = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
        // SAFETY: `nothing` does nothing.
        unsafe { libc::signal(signal, handler) };
    }

    /// Forks; the child takes `signal` and, if it lives, exits with 5. Says how it ended.
    fn signal_a_forked_child(signal: i32) {
        // SAFETY: the child calls nothing but raise and _exit.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: as above.
            unsafe {
                libc::raise(signal);
                libc::_exit(5);
            }
        }
        let mut status = 0;
        // SAFETY: `status` is a valid place to write to; the child is ours.
        unsafe { libc::waitpid(pid, &mut status, 0) };
        match libc::WIFEXITED(status) {
            true => say(format!("child exited with {}", libc::WEXITSTATUS(status))),
            false => say(format!("child died of {}", libc::WTERMSIG(status))),
        }
    }

    /// A worker that needs five times the deadline, and asks for it.
    fn extends(supervisor: &Supervisor) {
        let worker = supervisor.worker().name("extends".into());
        worker
            .spawn_with(|stop| {
                stop.wait();
                stop.extend(Duration::from_secs(30));
                std::thread::sleep(Duration::from_millis(1000));
                say("extended worker is done");
            })
            .unwrap();
    }

    fn extending() -> Guard {
        let builder = short(200).max_extension(Duration::from_secs(60));
        let guard = builder.install().unwrap();
        extends(&Supervisor::global());
        guard
    }

    struct Logger;

    impl log::Log for Logger {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            say(format!("{}: {}", record.level(), record.args()));
        }
        fn flush(&self) {}
    }

    fn log_warnings() {
        log::set_logger(&Logger).unwrap();
        log::set_max_level(log::LevelFilter::Warn);
    }

    pub(super) fn main() {
        let name = std::env::args().nth(1).expect("the name of a scenario");
        match name.as_str() {
            // ---- signals that do not mean stop
            "three handlers" => serve(
                Supervisor::builder()
                    .on_signal(SIGHUP, counts("reload"))
                    .on_signal(SIGUSR1, counts("reopen"))
                    .on_signal(SIGUSR2, counts("other")),
            ),
            "two handlers for one signal" => serve(
                Supervisor::builder()
                    .on_signal(SIGUSR1, counts("one"))
                    .on_signal(SIGUSR1, counts("two")),
            ),
            "a handler that blocks" => serve(
                short(1000)
                    .on_signal(SIGUSR1, || {
                        say("blocks");
                        loop {
                            std::thread::park();
                        }
                    })
                    .on_signal(SIGUSR2, counts("other")),
            ),
            "a handler that takes a while" => {
                serve(Supervisor::builder().on_signal(SIGUSR1, || {
                    say("handler begins");
                    say(format!("handler ends with {:?}", next_line()));
                }))
            }
            "a handler that is told" => serve(Supervisor::builder().on_signal(SIGUSR1, || {
                say("handler begins");
                sundown::stop_token().wait();
                thread::spawn(|| say("the handler's own thread"))
                    .join()
                    .unwrap();
                std::thread::sleep(Duration::from_millis(100));
                say("handler ends");
            })),
            "a handler that panics" => {
                let mut runs = 0;
                serve(Supervisor::builder().on_signal(SIGUSR1, move || {
                    runs += 1;
                    say(format!("run {runs}"));
                    panic!("the handler is broken");
                }));
            }
            "a handler that shuts down" => {
                let _guard = Supervisor::builder()
                    .on_signal(SIGUSR1, || {
                        say(format!("complete {}", sundown::shutdown().is_complete()));
                    })
                    .install()
                    .unwrap();
                worker(Duration::from_millis(50));
                ready();
                loop {
                    std::thread::park();
                }
            }
            "a stuck shutdown" => {
                let _guard = short(60_000)
                    .on_signal(SIGUSR1, counts("dump"))
                    .install()
                    .unwrap();
                thread::Builder::new()
                    .name("mule".into())
                    .on_terminate(|| say("told mule"))
                    .spawn(|| loop {
                        std::thread::park();
                    })
                    .unwrap();
                ready();
                loop {
                    std::thread::park();
                }
            }
            "Ctrl-C is taken" => serve(Supervisor::builder().on_signal(SIGINT, counts("Ctrl-C"))),
            "handlers go with the guard" => {
                let all = || format!("{:?}", [SIGHUP, SIGUSR1, SIGWINCH].map(disposition));
                handle_by_hand(SIGWINCH);
                let before = all();
                let seen = SayOnDrop("handler dropped");
                let builder = Supervisor::builder().on_signal(SIGUSR1, move || {
                    let _seen = &seen;
                    say("handler ran");
                });
                let guard = builder.clone().install().unwrap();
                drop(builder);
                say(format!("ours {}", disposition(SIGUSR1) > 1));
                drop(guard);
                say(format!("as before {}", all() == before));
                // And again.
                serve(Supervisor::builder().on_signal(SIGUSR1, counts("again")));
            }
            "a late signal" => {
                serve(Supervisor::builder().on_signal(SIGUSR1, counts("reopen")));
                // The guard is gone, and the process is about to die of the signal that it was stopped by.
                // SAFETY: raise has no preconditions.
                assert_eq!(unsafe { libc::raise(SIGUSR1) }, 0);
                say("main goes on");
            }
            "refused" => {
                let refused = |signal| {
                    let builder = Supervisor::builder().on_signal(signal, || ());
                    let error = builder.install().unwrap_err();
                    say(format!("{error:?}: {error}"));
                };
                for signal in [SIGKILL, SIGSEGV, 0, -1, 65, 32] {
                    refused(signal);
                }
                handle_by_hand(SIGQUIT);
                refused(SIGQUIT);
                let without = Supervisor::builder().signals(false);
                let error = without.on_signal(SIGUSR1, || ()).install().unwrap_err();
                say(format!("{error:?}: {error}"));
                say(format!(
                    "untouched {:?}",
                    [SIGINT, SIGTERM, SIGUSR1].map(disposition)
                ));
                serve(Supervisor::builder());
            }
            "forked children" => {
                let _guard = Supervisor::builder()
                    .on_signal(SIGUSR1, counts("in the parent"))
                    .on_signal(SIGWINCH, counts("in the parent"))
                    .install()
                    .unwrap();
                signal_a_forked_child(SIGUSR1);
                signal_a_forked_child(SIGWINCH);
                signal_a_forked_child(SIGTERM);
            }
            "a storm" => {
                let file = std::env::args().nth(2).unwrap();
                serve(Supervisor::builder().on_signal(SIGUSR1, move || {
                    say(format!("seen {}", std::fs::read_to_string(&file).unwrap()));
                }));
            }

            "handlers come and go in a storm" => {
                // SIGWINCH does nothing by default, so it may come while nobody handles it.
                let over = Arc::new(AtomicBool::new(false));
                let seen = Arc::clone(&over);
                let storm = std::thread::spawn(move || {
                    while !seen.load(Ordering::Relaxed) {
                        // SAFETY: kill takes any numbers; the process is this one.
                        unsafe { libc::kill(libc::getpid(), SIGWINCH) };
                    }
                });
                let mut asked = 0;
                for round in 0..400 {
                    let builder = match round % 2 {
                        0 => Supervisor::builder().on_signal(SIGWINCH, || ()),
                        _ => Supervisor::builder(),
                    };
                    let guard = builder.install().unwrap();
                    std::thread::yield_now();
                    asked += i32::from(sundown::is_shutting_down());
                    drop(guard);
                }
                over.store(true, Ordering::Relaxed);
                storm.join().unwrap();
                say(format!("asked to stop {asked} times"));
                serve(Supervisor::builder());
            }

            // ---- shells and containers
            "serve" => serve(Supervisor::builder()),
            "serve with code" => serve(Supervisor::builder().exit(ExitStyle::Code)),
            "slow to stop" | "quick to stop" => {
                let _guard = Supervisor::builder().install().unwrap();
                let slow = name.starts_with("slow");
                worker(Duration::from_millis(if slow { 1500 } else { 50 }));
                ready();
                sundown::wait_for_shutdown();
                say("main leaves");
            }
            "quick to stop, and main takes a while" => {
                let _guard = short(60_000).install().unwrap();
                worker(Duration::ZERO);
                ready();
                sundown::wait_for_shutdown();
                sundown::shutdown();
                std::thread::sleep(Duration::from_millis(1000));
                say("main leaves");
            }
            "quick to stop, and main dawdles" => {
                let _guard = short(60_000).install().unwrap();
                worker(Duration::from_millis(50));
                ready();
                sundown::wait_for_shutdown();
                say(format!("clean {}", sundown::shutdown().is_clean()));
                std::thread::sleep(Duration::from_secs(50));
                say("main leaves");
            }
            "stuck" => {
                let _guard = short(60_000).install().unwrap();
                worker(Duration::from_secs(3600));
                ready();
                loop {
                    std::thread::park();
                }
            }
            "stuck for a moment" => {
                let _guard = short(300).install().unwrap();
                worker(Duration::from_secs(3600));
                sundown::on_exit("last", || say("on_exit ran"));
                ready();
                loop {
                    std::thread::park();
                }
            }
            "stuck for a moment, SIGPIPE by default" => {
                // SAFETY: SIG_DFL needs no handler.
                unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
                let _guard = short(300).install().unwrap();
                // Says nothing: what the program itself writes to nobody is its own affair, and its end.
                let silent = thread::Builder::new().name("worker".into());
                silent
                    .spawn(|| loop {
                        std::thread::park();
                    })
                    .unwrap();
                ready();
                sundown::wait_for_shutdown();
            }

            // ---- extensions
            "extends, and main cannot hear" => {
                std::mem::forget(extending());
                ready();
                loop {
                    std::thread::park();
                }
            }
            "extends, and main has left" => {
                std::mem::forget(extending());
            }
            "extends, and main exits" => {
                std::mem::forget(extending());
                std::process::exit(3);
            }
            "extends in a supervisor of its own" => {
                let own = short(200).max_extension(Duration::from_secs(60)).build();
                extends(&own);
                let _guard = short(200).install().unwrap();
                thread::Builder::new()
                    .spawn_with(|stop| {
                        stop.wait();
                        std::thread::sleep(Duration::from_millis(100));
                        say("the other is over");
                    })
                    .unwrap();
                ready();
                loop {
                    std::thread::park();
                }
            }
            "one of two supervisors extends, and main exits" => {
                let older = short(800).build();
                older
                    .worker()
                    .spawn_with(|stop| {
                        stop.wait();
                        std::thread::sleep(Duration::from_millis(300));
                        say("the older one is done");
                    })
                    .unwrap();
                let newer = short(800).max_extension(Duration::from_secs(60)).build();
                extends(&newer);
                std::process::exit(3);
            }
            "main extends" | "main extends before its turn" => {
                let builder = short(600).max_extension(Duration::from_secs(60));
                let _guard = builder.install().unwrap();
                let stop = sundown::stop_token();
                let (go, gone) = std::sync::mpsc::channel::<()>();
                let mut go = Some(go);
                if name.ends_with("turn") {
                    // The newer ones are told first, and this takes until `main` has asked.
                    let newer = thread::Builder::new().on_terminate(move || {
                        let _ = gone.recv();
                        say("it is main's turn");
                    });
                    newer.spawn_with(|stop| stop.wait()).unwrap();
                }
                ready();
                stop.wait();
                let more = stop.extend(Duration::from_secs(30)).unwrap();
                drop(go.take());
                assert_eq!(stop.deadline(), Some(more));
                std::thread::sleep(Duration::from_millis(1500));
                say("main is done");
            }

            // ---- budgets
            "a deadline" => {
                log_warnings();
                let millis = std::env::args().nth(2).unwrap().parse().unwrap();
                let _guard = short(millis)
                    .max_extension(Duration::from_millis(500))
                    .install()
                    .unwrap();
                say("installed");
            }
            "a grace that is too long" => {
                log_warnings();
                let _guard = short(1000).grace(Duration::from_secs(3)).install().unwrap();
                thread::Builder::new()
                    .spawn_with(|stop| stop.wait())
                    .unwrap();
                say(format!("{}", sundown::is_shutting_down()));
            }
            "graces one by one" => {
                log_warnings();
                let _guard = short(1000).order(Order::OneByOne).install().unwrap();
                for _ in 0..3 {
                    let worker = thread::Builder::new().grace(Duration::from_millis(400));
                    worker.spawn_with(|stop| stop.wait()).unwrap();
                }
                say("spawned");
                say(format!("{}", sundown::is_shutting_down()));
                say(format!("{}", sundown::is_shutting_down()));
            }
            "graces that just fit" => {
                log_warnings();
                let _guard = short(1000).order(Order::OneByOne).install().unwrap();
                for _ in 0..2 {
                    let worker = thread::Builder::new().grace(Duration::from_millis(500));
                    worker.spawn_with(|stop| stop.wait()).unwrap();
                }
                // Nobody waits for it.
                let daemon = thread::Builder::new().grace(Duration::from_millis(500));
                daemon.daemon().spawn_with(|stop| stop.wait()).unwrap();
                say(format!("{}", sundown::is_shutting_down()));
            }
            "graces side by side" => {
                log_warnings();
                let _guard = short(1000).install().unwrap();
                for _ in 0..3 {
                    let worker = thread::Builder::new().grace(Duration::from_millis(400));
                    worker.spawn_with(|stop| stop.wait()).unwrap();
                }
                say(format!("{}", sundown::is_shutting_down()));
            }
            "graces in tiers" => {
                log_warnings();
                let _guard = short(1000).install().unwrap();
                for tier in ["one", "two", "three"] {
                    let tier = Supervisor::global().child(tier);
                    let worker = tier.worker().grace(Duration::from_millis(400));
                    worker.spawn_with(|stop| stop.wait()).unwrap();
                }
                say(format!("{}", sundown::is_shutting_down()));
            }
            unknown => panic!("no scenario {unknown:?}"),
        }
    }
}

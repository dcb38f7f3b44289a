//! A program with so many parked workers that a signal ends, written with what the first argument names. Each worker is told,
//! and joined before the process ends.

use std::io::Write;
use std::sync::mpsc;
use std::time::Duration;

use sundown_benches::{park_on_token, park_subsystems, ByHand};
use tokio_graceful_shutdown::{SubsystemHandle, Toplevel};

fn main() {
    let mut words = std::env::args().skip(1);
    let whose = words.next().expect("whose");
    let workers: usize = words.next().expect("how many").parse().expect("a number");
    match whose.as_str() {
        "sundown" => with_sundown(workers),
        "ctrlc" => with_ctrlc(workers),
        "least" => with_the_least(workers),
        "signal-mod" => with_signal_mod(workers),
        "tokio-graceful-shutdown" => with_tokio(workers),
        unknown => panic!("whose is {unknown}?"),
    }
}

fn ready() {
    let mut out = std::io::stdout();
    out.write_all(b"ready\n")
        .and_then(|()| out.flush())
        .expect("somebody reads");
}

fn with_sundown(workers: usize) {
    let _guard = sundown::init().expect("nobody else has a handler");
    for _ in 0..workers {
        park_on_token(sundown::thread::Builder::new());
    }
    ready();
    sundown::wait_for_shutdown();
}

fn with_ctrlc(workers: usize) {
    let (told, tell) = mpsc::channel();
    ctrlc::set_handler(move || told.send(()).expect("main waits"))
        .expect("nobody else has a handler");
    let all = ByHand::spawn(workers);
    ready();
    tell.recv().expect("the handler is there");
    all.stop();
}

/// By hand what sundown promises at the least: a thread that ends the process if `main` does not in time, and an end by the signal itself,
/// after what `main` still drops and what was printed through C.
fn with_the_least(workers: usize) {
    let (told, tell) = mpsc::channel();
    let (rouse, roused) = mpsc::channel();
    let handler = move || {
        told.send(()).expect("main waits");
        rouse.send(()).expect("the coordinator waits");
    };
    ctrlc::set_handler(handler).expect("nobody else has a handler");
    let (_alive, over) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        roused.recv().expect("the handler is there");
        // Nothing is ever sent: it waits for the deadline.
        let _ = over.recv_timeout(Duration::from_secs(30));
        die();
    });
    // SAFETY: the function is one of C's kind, and never unwinds.
    assert_eq!(unsafe { libc::atexit(die) }, 0);
    let all = ByHand::spawn(workers);
    ready();
    tell.recv().expect("the handler is there");
    all.stop();
}

/// Ends the process as the signal would have.
extern "C" fn die() {
    // SAFETY: a null stream is all of them; the default action has no handler that could run, and the signal goes to this process.
    unsafe {
        libc::fflush(std::ptr::null_mut());
        libc::signal(libc::SIGTERM, libc::SIG_DFL);
        libc::raise(libc::SIGTERM);
    }
}

fn with_signal_mod(workers: usize) {
    use signal_mod::{Coordinator, ShutdownReason, SignalSet};
    let coordinator = Coordinator::builder()
        .signals(SignalSet::graceful())
        .build();
    coordinator.install().expect("nobody else has a handler");
    let all = ByHand::spawn(workers);
    ready();
    let token = coordinator.token();
    token.wait_blocking();
    all.stop();
    coordinator.run_hooks(token.reason().unwrap_or(ShutdownReason::Requested));
}

fn with_tokio(workers: usize) {
    sundown_benches::runtime(workers).block_on(async {
        let system = async move |system: &mut SubsystemHandle| {
            park_subsystems(system, workers).await;
            ready();
        };
        let top = Toplevel::new(system).catch_signals();
        let end = top.handle_shutdown_requests(Duration::from_secs(8)).await;
        end.expect("a clean shutdown");
    });
}

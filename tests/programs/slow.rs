//! The child program of `tests/status.rs` and others: takes its time to stop, in the way that its argument names.

#![allow(missing_docs)]

use std::sync::mpsc;
use std::time::Duration;

use sundown::{activity, thread, Supervisor};

/// Prints each record on standard output, as it comes.
struct Print;

impl log::Log for Print {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        println!("log: {}", record.args());
    }
    fn flush(&self) {}
}

fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.into())
}

/// Stops so long after it was told.
fn slow(name: &str, time: Duration) {
    named(name)
        .spawn_with(move |stop| {
            activity("flushing");
            stop.wait();
            std::thread::sleep(time);
        })
        .unwrap();
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let scenario = arguments.next().expect("a scenario");
    let seconds = arguments.next().map_or(2.5, |text| text.parse().unwrap());
    let time = Duration::from_secs_f64(seconds);
    let builder = Supervisor::builder();
    match &*scenario {
        // A signal, or the end of standard input, ends it.
        "waits" | "waits quietly" | "waits, logging" => {
            if scenario == "waits, logging" {
                log::set_logger(&Print).unwrap();
                log::set_max_level(log::LevelFilter::Info);
            }
            let quiet = scenario == "waits quietly";
            let _guard = builder.status(!quiet).install().unwrap();
            slow("writer", time);
            slow("quick", Duration::ZERO);
            println!("ready");
            sundown::wait_for_shutdown();
        }
        // `main` cannot hear, so nobody waits for it.
        "main is deaf" => {
            let _guard = builder.install().unwrap();
            slow("writer", time);
            println!("ready");
            loop {
                std::thread::park();
            }
        }
        // Hooks take their time, before one worker is told and after another.
        "hooks take long" => {
            let _guard = builder.install().unwrap();
            slow("told last", Duration::ZERO);
            sundown::on_shutdown("second", move || std::thread::sleep(time));
            sundown::on_shutdown("first", move || std::thread::sleep(time));
            slow("told first", Duration::ZERO);
            println!("ready");
            sundown::wait_for_shutdown();
        }
        // Nobody but `main` takes its time.
        "main waits" => {
            let _guard = builder.install().unwrap();
            slow("quick", Duration::ZERO);
            println!("ready");
            sundown::wait_for_shutdown();
            std::thread::sleep(time);
        }
        // `main` has nothing left to do.
        "leaves" => {
            let _guard = builder.install().unwrap();
            slow("writer", time);
            println!("ready");
        }
        // While one thread is on its way out of the process, another one wants to go as well.
        "second exit" => {
            let _guard = builder.deadline(Duration::from_secs(1)).install().unwrap();
            let (go, gone) = mpsc::channel::<()>();
            named("late")
                .on_terminate(go)
                .spawn(move || {
                    gone.recv().unwrap_err();
                    std::process::exit(7);
                })
                .unwrap();
            std::process::exit(0);
        }
        // SIGQUIT prints the table of workers, as often as it comes; two of them join each other.
        "dumps" => {
            const SIGQUIT: i32 = 3;
            let dump = Supervisor::global().dump_on_signal();
            let builder = builder.name("app").on_signal(SIGQUIT, dump);
            let _guard = builder.install().unwrap();
            named("writer")
                .spawn_with(|stop| {
                    activity("appending to the journal");
                    stop.wait();
                })
                .unwrap();
            let (hand, handed) = mpsc::channel::<thread::JoinHandle<()>>();
            let ping = named("ping").daemon();
            let ping = ping.spawn(move || handed.recv().unwrap().join().unwrap());
            let pong = named("pong").daemon();
            let pong = pong.spawn(move || ping.unwrap().join().unwrap());
            hand.send(pong.unwrap()).unwrap();
            println!("ready");
            sundown::wait_for_shutdown();
        }
        // `main` could be told, but waits for somebody else.
        "stuck main" => {
            let _guard = builder.deadline(Duration::from_secs(1)).install().unwrap();
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            sundown::stop_token();
            thread::spawn(|| sundown::request_shutdown(sundown::Cause::Requested));
            drop(listener.accept());
        }
        unknown => panic!("no scenario {unknown:?}"),
    }
}

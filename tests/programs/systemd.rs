//! The child program of `tests/systemd.rs`: a service with a bad trait, which its argument names.

#![allow(missing_docs)]

use std::io::BufRead;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use sundown::{systemd, thread, Supervisor};

fn main() {
    let name = std::env::args().nth(1).expect("the name of a scenario");
    let deadline = match name.as_str() {
        "hangs past its deadline" => Duration::from_millis(500),
        _ => Duration::from_secs(10),
    };
    let _guard = Supervisor::builder()
        .deadline(deadline)
        .max_extension(Duration::from_secs(100))
        .install()
        .unwrap();
    let healthy = Arc::new(AtomicBool::new(true));
    let checked = Arc::clone(&healthy);
    systemd::attach_with_health(&Supervisor::global(), move || {
        checked.load(Ordering::Relaxed)
    })
    .unwrap();
    if name == "extends" {
        thread::Builder::new()
            .spawn_with(|stop| {
                stop.wait();
                stop.extend(Duration::from_secs(30));
                stop.extend(Duration::from_secs(70));
                std::thread::sleep(Duration::from_millis(300));
            })
            .unwrap();
    }
    if name == "takes a while to stop" {
        thread::Builder::new()
            .spawn_with(|stop| {
                stop.wait();
                std::thread::sleep(Duration::from_millis(1500));
            })
            .unwrap();
    }
    systemd::status("one\nREADY=1 is not to be smuggled in").unwrap();
    systemd::ready().unwrap();
    systemd::reloading().unwrap();
    println!("ready");
    if name == "returns" {
        return;
    }
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match line.as_str() {
            "ill" => healthy.store(false, Ordering::Relaxed),
            "well" => healthy.store(true, Ordering::Relaxed),
            other => panic!("no command {other:?}"),
        }
        println!("{line}");
    }
    loop {
        std::thread::park();
    }
}

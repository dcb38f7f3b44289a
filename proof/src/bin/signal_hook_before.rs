use signal_hook::consts::{SIGHUP, SIGTERM};
use signal_hook::flag;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

fn main() -> std::io::Result<()> {
    let (stop, reload) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    flag::register(SIGTERM, Arc::clone(&stop))?;
    flag::register(SIGHUP, Arc::clone(&reload))?;
    println!("running");
    while !stop.load(Ordering::Relaxed) {
        if reload.swap(false, Ordering::Relaxed) {
            println!("reading the settings again");
        }
        thread::sleep(Duration::from_millis(100)); // nobody wakes this loop: it looks ten times a second
    }
    println!("main: everything is saved");
    Ok(())
}

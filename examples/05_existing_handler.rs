//! A program that has a signal handler already keeps it, and passes on what it learns.

use std::error::Error;
use sundown::{thread, Cause, Supervisor};

const SIGINT: i32 = 2;

fn main() -> Result<(), Box<dyn Error>> {
    // The program's own handler, here through ctrlc. A request returns at once: that is all a handler should do.
    ctrlc::set_handler(|| {
        println!("handler: Ctrl-C");
        sundown::request_shutdown(Cause::Signal(SIGINT));
    })?;

    // `init()` would refuse, because signals are taken. This leaves them alone; all else is the same.
    let _guard = Supervisor::builder().signals(false).install()?;

    thread::Builder::new().spawn_with(|stop| {
        stop.wait();
        println!("worker: stops");
    })?;

    println!("main: waits for Ctrl-C");
    let cause = sundown::wait_for_shutdown();
    println!("main: leaves because of {cause}");
    Ok(())
}

//! Ctrl-C, SIGTERM and SIGHUP end the program in good order: run it, and press Ctrl-C.

use std::error::Error;
use std::time::Duration;
use sundown::thread;

fn main() -> Result<(), Box<dyn Error>> {
    // From here on signals ask for a shutdown, and so does the end of `main`, by a return or by a panic.
    let _guard = sundown::init()?;

    thread::Builder::new()
        .name("ticker".into())
        .spawn_with(|stop| {
            let mut ticks = 0;
            // Sleeps a minute, but wakes at once when it is told to stop.
            while stop.sleep(Duration::from_secs(60)).is_ok() {
                ticks += 1;
            }
            println!("ticker: stops after {ticks} ticks");
        })?;

    println!("main: waits for Ctrl-C");
    let cause = sundown::wait_for_shutdown();
    println!("main: leaves because of {cause}");
    // Waits until all are gone. For the shell the process ends as the signal would have ended it.
    println!("{}", sundown::shutdown());
    Ok(())
}

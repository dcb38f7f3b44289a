//! A service of systemd: `Type=notify-reload`, watchdog, a last piece of work that asks for more time. Unit: `docs/systemd_service.service`.
//!
//! It runs in a shell as well, where nobody listens to what it tells systemd.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

use sundown::{systemd, thread, Supervisor};

const SIGHUP: i32 = 1;

fn main() -> Result<(), Box<dyn Error>> {
    let _guard = Supervisor::builder()
        .deadline(Duration::from_secs(10)) // of the unit's TimeoutStopSec=15
        .max_extension(Duration::from_secs(60)) // systemd is told, so it waits
        .on_signal(SIGHUP, reload)
        .install()?;

    let done = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&done);
    let mut seen = u64::MAX;
    // Feeds the watchdog only while there is progress.
    systemd::attach_with_health(&Supervisor::global(), move || {
        let now = counted.load(Ordering::Relaxed);
        std::mem::replace(&mut seen, now) != now || sundown::is_shutting_down()
    })?;

    thread::Builder::new()
        .name("jobs".into())
        .critical() // a service whose only worker has ended had better end, and be started again
        .spawn_with(move |stop| {
            while stop.sleep(Duration::from_millis(100)).is_ok() {
                done.fetch_add(1, Ordering::Relaxed);
            }
            // The last piece of work takes longer than systemd would wait.
            for part in 1..=3 {
                stop.extend(Duration::from_secs(20));
                println!("jobs: part {part} of the last job");
                std::thread::sleep(Duration::from_millis(200));
            }
        })?;

    systemd::ready()?;
    println!("main: ready");
    let cause = sundown::wait_for_shutdown();
    println!("main: leaves because of {cause}");
    Ok(())
}

/// Runs on a thread of its own for each SIGHUP (`systemctl reload`).
fn reload() {
    let told = systemd::reloading().and_then(|()| {
        println!("reload: reads the settings again");
        systemd::ready()
    });
    if let Err(error) = told {
        eprintln!("reload: systemd does not hear: {error}");
    }
}

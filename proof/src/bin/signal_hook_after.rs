use std::time::Duration;
use sundown::Supervisor;

const SIGHUP: i32 = 1;

fn main() -> Result<(), sundown::InstallError> {
    let _guard = Supervisor::builder()
        .on_signal(SIGHUP, || println!("reading the settings again"))
        .install()?;
    let stop = sundown::stop_token();
    println!("running");
    while stop.sleep(Duration::from_secs(60)).is_ok() {
        // a piece of work, once a minute; SIGTERM wakes it
    }
    println!("main: everything is saved");
    Ok(())
}

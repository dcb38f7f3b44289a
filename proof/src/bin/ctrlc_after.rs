use std::sync::mpsc;
use sundown::thread;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let _guard = sundown::init()?;
    let (lines, queue) = mpsc::channel::<String>();
    thread::Builder::new()
        .on_terminate(lines) // dropped when the writer is told: the end of its queue
        .spawn(move || {
            queue.iter().for_each(|line| println!("{line}"));
            println!("writer: everything is on the disk");
        })?;
    println!("running; press Ctrl-C");
    sundown::wait_for_shutdown();
    Ok(())
}

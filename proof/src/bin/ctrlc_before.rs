use std::sync::mpsc;
use std::thread;

fn main() -> Result<(), ctrlc::Error> {
    // Whatever the threads are doing ends here.
    ctrlc::set_handler(|| std::process::exit(130))?;
    let (_lines, queue) = mpsc::channel::<String>();
    let writer = thread::spawn(move || {
        queue.iter().for_each(|line| println!("{line}"));
        println!("writer: everything is on the disk");
    });
    println!("running; press Ctrl-C");
    writer.join().expect("the writer");
    Ok(())
}

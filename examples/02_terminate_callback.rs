//! A worker that blocks on something is told to stop by a callback that knows what it blocks on.

use std::sync::mpsc;
use sundown::thread;

fn main() -> std::io::Result<()> {
    let (jobs, queue) = mpsc::channel();
    for job in 1..=3 {
        jobs.send(job).expect("the queue is still here");
    }

    thread::Builder::new()
        .name("adder".into())
        // Runs when the process is about to end. No sender is left then, and that is what ends the loop.
        .on_terminate(move || {
            println!("callback: no more jobs");
            drop(jobs);
        })
        .spawn(move || {
            // Without the callback this would wait for a fourth job until the deadline.
            let sum: i32 = queue.iter().sum();
            println!("adder: the sum is {sum}");
        })?;

    println!("main: returns");
    Ok(())
}

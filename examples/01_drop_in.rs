//! Change the import, and a thread that nobody joins is not cut off when `main` returns.

use std::time::Duration;
use sundown::thread; // was: use std::thread;

fn main() {
    // The handle is dropped at once, which detaches the thread: with std it would hardly get to its first line.
    thread::spawn(|| {
        for n in 1..=3 {
            thread::sleep(Duration::from_millis(10)); // some work
            println!("worker: part {n} of 3");
        }
    });
    println!("main: returns");
}

//! Says how much memory threads cost: `live` prints bytes for each of a thousand that live, `short` by how many bytes resident memory
//! grows over a million that have ended.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

/// Bytes handed out and not taken back.
static LIVE: AtomicUsize = AtomicUsize::new(0);

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let figure = match words[..] {
        ["live", whose] => live(whose == "std"),
        ["short", whose] => short(whose == "std"),
        _ => panic!("live or short, then sundown or std"),
    };
    println!("{figure}");
}

fn live(std: bool) -> i64 {
    const THREADS: usize = 1_000;
    let (key, lock) = mpsc::sync_channel::<()>(0);
    let lock = Arc::new(Mutex::new(lock));
    let (ready, is_ready) = mpsc::sync_channel(THREADS);
    let job = || {
        let (lock, ready) = (Arc::clone(&lock), ready.clone());
        move || {
            ready.send(()).expect("the other side waits");
            // Nothing is ever sent: it returns when the key is gone.
            let _ = lock.lock().expect("nobody panics").recv();
        }
    };
    let (mut of_std, mut ours) = (Vec::with_capacity(THREADS), Vec::with_capacity(THREADS));
    // The first pays for what is made once.
    let first = job();
    match std {
        true => of_std.push(std::thread::spawn(first)),
        false => ours.push(sundown::thread::spawn(first)),
    }
    is_ready.recv().expect("it sends");
    let before = LIVE.load(Ordering::SeqCst);
    for _ in 1..THREADS {
        match std {
            true => of_std.push(std::thread::spawn(job())),
            false => ours.push(sundown::thread::spawn(job())),
        }
    }
    is_ready.iter().take(THREADS - 1).for_each(drop);
    let grown = LIVE.load(Ordering::SeqCst) - before;
    drop(key);
    of_std
        .into_iter()
        .for_each(|handle| handle.join().expect("it does not panic"));
    ours.into_iter()
        .for_each(|handle| handle.join().expect("it does not panic"));
    (grown / (THREADS - 1)) as i64
}

fn short(std: bool) -> i64 {
    let run = |threads: usize| {
        for _ in 0..threads {
            match std {
                true => std::thread::spawn(|| ()).join().expect("it does not panic"),
                false => sundown::thread::spawn(|| ())
                    .join()
                    .expect("it does not panic"),
            }
        }
    };
    run(1_000);
    let before = resident();
    run(1_000_000);
    resident() - before
}

/// Resident memory in bytes.
fn resident() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("VmRSS");
    let kib: i64 = line
        .split_whitespace()
        .nth(1)
        .expect("a figure")
        .parse()
        .expect("a number");
    kib * 1024
}

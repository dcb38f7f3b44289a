//! Says how much memory threads and jobs cost: `live` prints bytes for each of a thousand threads that live, `short` by how many bytes
//! resident memory grows over a million that have ended, `pending` bytes for each of many jobs that wait in the queue of a pool.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

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
        ["pending", whose] => pending(whose),
        _ => panic!("live or short, then sundown or std; or pending, then a pool"),
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

/// Bytes of one job that waits in a queue, since the only thread of its pool is held up.
fn pending(whose: &str) -> i64 {
    let (key, lock) = mpsc::sync_channel::<()>(0);
    let hold = move || {
        // Nothing is ever sent: it returns when the key is gone.
        let _ = lock.recv();
    };
    let plain = |n: usize| {
        move || {
            black_box(n);
        }
    };
    let with_answer = |n: usize| {
        let (answer, answered) = oneshot::channel();
        let job = move || {
            let _ = answer.send(n); // whoever asked may be gone
        };
        (job, answered)
    };
    match whose {
        "execute" | "submit" => {
            let pool = sundown::Pool::builder().workers(1).unbounded();
            let pool = pool.build().expect("a thread");
            pool.execute(hold).expect("it has not ended");
            match whose {
                "submit" => each_of_many(key, |n| pool.submit(move || n)),
                _ => each_of_many(key, |n| pool.execute(plain(n)).expect("it has not ended")),
            }
        }
        "threadpool" | "threadpool-oneshot" => {
            let pool = threadpool::ThreadPool::new(1);
            pool.execute(hold);
            match whose {
                "threadpool" => each_of_many(key, |n| pool.execute(plain(n))),
                _ => each_of_many(key, |n| {
                    let (job, answered) = with_answer(n);
                    pool.execute(job);
                    answered
                }),
            }
        }
        "rayon" | "rayon-oneshot" => {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1);
            let pool = pool.build().expect("a thread");
            pool.spawn(hold);
            match whose {
                "rayon" => each_of_many(key, |n| pool.spawn(plain(n))),
                _ => each_of_many(key, |n| {
                    let (job, answered) = with_answer(n);
                    pool.spawn(job);
                    answered
                }),
            }
        }
        "by-hand" | "by-hand-oneshot" => {
            let (queue, jobs) = crossbeam_channel::unbounded::<Box<dyn FnOnce() + Send>>();
            std::thread::spawn(move || jobs.iter().for_each(|job| job()));
            queue.send(Box::new(hold)).expect("its thread lives");
            match whose {
                "by-hand" => each_of_many(key, |n| queue.send(Box::new(plain(n))).is_ok()),
                _ => each_of_many(key, |n| {
                    let (job, answered) = with_answer(n);
                    queue.send(Box::new(job)).expect("its thread lives");
                    answered
                }),
            }
        }
        _ => panic!("no pool {whose}"),
    }
}

/// What a job takes from when it is handed in, with what is kept to wait for it by, while `key` is there.
fn each_of_many<R>(key: mpsc::SyncSender<()>, hand_in: impl Fn(usize) -> R) -> i64 {
    const JOBS: usize = 100_000;
    let mut kept = Vec::with_capacity(JOBS);
    let before = LIVE.load(Ordering::SeqCst);
    kept.extend((0..JOBS).map(hand_in));
    let grown = LIVE.load(Ordering::SeqCst) - before;
    drop(key);
    (grown / JOBS) as i64
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

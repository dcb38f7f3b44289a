//! The end of a thread belongs to it: what C libraries do in `pthread_key` destructors, after every destructor of Rust's, is waited for
//! like the rest, until the deadline and no longer.

#![cfg(target_os = "linux")] // elsewhere std's join has no limit

mod support;

use std::cell::RefCell;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use sundown::restart::Restart;
use sundown::{Outcome, Supervisor};
use support::timed;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

type AtEnd = Box<dyn FnOnce() + Send>;

/// Runs `job` at the end of the calling thread as a C library would.
fn when_c_ends_the_thread(job: impl FnOnce() + Send + 'static) {
    unsafe extern "C" fn destroy(job: *mut libc::c_void) {
        // SAFETY: the value of the key, which is a leaked box and is destroyed once.
        let job: Box<AtEnd> = unsafe { Box::from_raw(job.cast()) };
        job();
    }
    let mut key = 0;
    let job: Box<AtEnd> = Box::new(Box::new(job));
    // SAFETY: `key` is a valid place to write to, and then a key of ours; `destroy` gets what is set here.
    unsafe {
        assert_eq!(libc::pthread_key_create(&mut key, Some(destroy)), 0);
        assert_eq!(libc::pthread_setspecific(key, Box::into_raw(job).cast()), 0);
    }
}

#[test]
fn a_worker_that_the_system_takes_long_to_end_is_no_straggler() {
    let ended = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&ended);
    let supervisor = Supervisor::new();
    let _worker = supervisor.worker().spawn_with(move |stop| {
        when_c_ends_the_thread(move || {
            std::thread::sleep(ms(1500));
            theirs.store(true, Ordering::SeqCst);
        });
        stop.wait();
    });
    let (report, took) = timed(|| supervisor.shutdown());
    assert!(ended.load(Ordering::SeqCst), "back before the thread's end");
    assert!(took >= ms(1500), "{took:?}");
    assert!(report.is_clean(), "{report}");
}

#[test]
fn one_that_never_ends_is_a_straggler_at_the_deadline() {
    // A channel would need the thread's locals, which are gone by then.
    let (key, mut lock) = UnixStream::pair().unwrap();
    let supervisor = Supervisor::builder().deadline(ms(1000)).build();
    let _worker = supervisor.worker().spawn_with(move |stop| {
        when_c_ends_the_thread(move || {
            let _ = lock.read(&mut [0]); // until the key is gone
        });
        stop.wait();
    });
    let (report, took) = timed(|| supervisor.shutdown());
    assert!(report.is_complete());
    assert!(report.entries()[0].is_straggler(), "{report}");
    assert!(took >= ms(1000) && took < ms(4000), "{took:?}");
    drop(key);
}

/// It has come to an end, as far as its function goes; its thread has not.
#[test]
fn one_that_has_failed_and_never_ends_is_a_straggler() {
    let (key, lock) = UnixStream::pair().unwrap();
    let supervisor = Supervisor::builder().deadline(ms(500)).build();
    let hang = |lock: &UnixStream| {
        let mut lock = lock.try_clone().unwrap();
        when_c_ends_the_thread(move || {
            let _ = lock.read(&mut [0]); // until the key is gone
        });
    };
    let (ours, theirs) = (lock.try_clone().unwrap(), lock);
    let panics = supervisor.worker().name("panics".into());
    let panics = panics.spawn(move || {
        hang(&ours);
        panic!("planned");
    });
    drop(panics.unwrap());
    let fails = supervisor.worker().name("fails".into());
    fails
        .spawn_loop(move |stop| {
            hang(&theirs);
            stop.wait();
            Err::<(), _>("planned")
        })
        .unwrap();
    let report = supervisor.shutdown();
    for entry in report.entries() {
        assert!(entry.is_straggler(), "{report}");
    }
    drop(key);
}

/// Blocks in its destructor until the other end is gone; says before that it is there.
struct Hang(UnixStream);

impl Drop for Hang {
    fn drop(&mut self) {
        self.0.write_all(b"!").unwrap();
        let _ = self.0.read(&mut [0]);
    }
}

thread_local! {
    static AT_END: RefCell<Option<Hang>> = const { RefCell::new(None) };
}

#[test]
fn a_daemon_that_has_failed_and_never_ends_was_left_running() {
    let supervisor = Supervisor::new();
    let (mut key, lock) = UnixStream::pair().unwrap();
    let (mut other_key, other_lock) = UnixStream::pair().unwrap();
    let hang = |lock| AT_END.with(|at_end| at_end.replace(Some(Hang(lock))));
    let daemon = supervisor.worker().name("panics".into()).daemon();
    let daemon = daemon.spawn(move || {
        hang(lock);
        panic!("planned");
    });
    drop(daemon.unwrap());
    let mut lock = Some(other_lock);
    let daemon = supervisor.worker().name("fails".into()).daemon();
    daemon
        .restart(Restart::never())
        .spawn_loop(move |_| {
            hang(lock.take().unwrap());
            Err::<(), _>("planned")
        })
        .unwrap();
    key.read_exact(&mut [0]).unwrap();
    other_key.read_exact(&mut [0]).unwrap();
    let report = supervisor.shutdown();
    assert_eq!(report.entries().len(), 2, "{report}");
    for entry in report.entries() {
        assert_eq!(entry.outcome(), &Outcome::Daemon, "{report}");
    }
    drop((key, other_key));
}

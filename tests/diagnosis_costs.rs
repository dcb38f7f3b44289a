//! What the diagnosis of a shutdown costs: nothing as long as nobody is stuck, and a label next to nothing.
//!
//! In a file of its own: it counts what the whole process reads, and other tests would read as well.

#![cfg(target_os = "linux")]

mod support;

use std::time::Duration;

use sundown::Supervisor;
use support::Gate;

/// How often this process has read anything. `None` where the kernel does not count.
fn reads() -> Option<u64> {
    let io = std::fs::read_to_string("/proc/self/io").ok()?;
    let line = io.lines().find_map(|line| line.strip_prefix("syscr: "))?;
    line.parse().ok()
}

/// How often it reads while it does this.
fn reads_of(job: impl FnOnce()) -> Option<u64> {
    let measuring = reads().zip(reads()).map(|(one, other)| other - one)?;
    let before = reads()?;
    job();
    Some(reads()? - before - measuring)
}

/// The processor time that this thread has used.
fn cpu_time() -> Duration {
    // SAFETY: all zeroes is a valid time to write to.
    let time = unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        let told = libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time);
        assert_eq!(told, 0);
        time
    };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn nothing_is_looked_at_until_somebody_is_stuck() {
    let shut_down = |stuck: Option<&Gate>| {
        let deadline = Duration::from_millis(if stuck.is_some() { 200 } else { 8_000 });
        let supervisor = Supervisor::builder().deadline(deadline).build();
        for _ in 0..100 {
            let worker = supervisor.worker().on_terminate(|| ());
            worker
                .spawn_with(|stop| {
                    sundown::activity("waiting");
                    stop.wait();
                })
                .unwrap();
        }
        if let Some(gate) = stuck {
            supervisor.spawn(gate.passer());
        }
        let mut report = None;
        let read = reads_of(|| report = Some(supervisor.shutdown()));
        assert_eq!(report.unwrap().is_clean(), stuck.is_none());
        read
    };
    // Whatever is read once in a process, it has read by now.
    shut_down(None);
    let Some(read) = shut_down(None) else {
        eprintln!("skipped: this kernel does not count what a process reads");
        return;
    };
    assert_eq!(read, 0, "a shutdown in which all end looks at no thread");
    let gate = Gate::new();
    let read = shut_down(Some(&gate)).unwrap();
    assert!(read > 0, "one that is stuck is looked at");

    // A label for every request is no more than that.
    const LABELS: u32 = 200_000;
    let supervisor = Supervisor::new();
    let labels = supervisor.spawn(|| {
        let before = cpu_time();
        for _ in 0..LABELS {
            sundown::activity("answering");
        }
        cpu_time() - before
    });
    let each = labels.join().unwrap() / LABELS;
    // Some 30 ns in a release build; this is for one that is not optimised, on a machine that is busy.
    assert!(each < Duration::from_micros(3), "{each:?} for a label");
}

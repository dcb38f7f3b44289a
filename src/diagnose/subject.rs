//! What a system call works on, and what a thread in it hangs in: from its name and its arguments.

use std::path::Path;

use super::descriptor::{self, Kind, Sockets};
use super::kernel::{read, Blocked};
use crate::base::text::Printable;

/// What a system call works on, and what it is to us.
pub(super) fn subject(
    proc: &Path,
    sockets: &Sockets,
    name: &str,
    arguments: &[u64; 6],
) -> (Option<String>, Blocked) {
    let [first, second, third, fourth, ..] = *arguments;
    // The kernel prints registers; a descriptor is the lower half of one.
    let descriptor = || descriptor::describe(proc, sockets, first as i32);
    let on_descriptor = |blocked: fn(Kind) -> Blocked| match descriptor() {
        Some(found) => (Some(found.text), blocked(found.kind)),
        None => (
            Some(format!("descriptor {}", first as i32)),
            blocked(Kind::File),
        ),
    };
    match name {
        "accept" | "accept4" => on_descriptor(|_| Blocked::Accept),
        "connect" => on_descriptor(|_| Blocked::Connect),
        "read" | "readv" | "pread64" | "preadv" | "preadv2" | "recvfrom" | "recvmsg"
        | "recvmmsg" | "splice" | "tee" => on_descriptor(Blocked::Receive),
        "write" | "writev" | "pwrite64" | "pwritev" | "pwritev2" | "sendto" | "sendmsg"
        | "sendmmsg" | "sendfile" | "vmsplice" => on_descriptor(Blocked::Send),
        "fsync" | "fdatasync" | "syncfs" | "sync_file_range" => on_descriptor(|_| Blocked::Fsync),
        "sync" | "msync" => (None, Blocked::Fsync),
        "flock" | "fcntl" => on_descriptor(|_| Blocked::FileLock),
        "epoll_wait" | "epoll_pwait" | "epoll_pwait2" => on_descriptor(|_| Blocked::Poll),
        "poll" | "ppoll" | "select" | "pselect6" | "io_uring_enter" | "io_getevents" => {
            // A program without pause(2) of its own waits like that: no descriptor, no time limit, no other signals.
            let nothing = name == "ppoll" && [first, second, third, fourth] == [0; 4];
            (
                None,
                if nothing {
                    Blocked::Pause
                } else {
                    Blocked::Poll
                },
            )
        }
        "open" => (path(proc, first), Blocked::Open),
        "openat" | "openat2" => (path(proc, second), Blocked::Open),
        "ioctl" | "close" | "getdents64" | "fallocate" | "ftruncate" | "copy_file_range" => {
            on_descriptor(|_| Blocked::Other)
        }
        "clock_nanosleep" | "nanosleep" => (None, Blocked::Sleep),
        "pause" => (None, Blocked::Pause),
        // Until the child has begun to run another program; nothing else of these blocks.
        "clone" | "clone3" | "vfork" => (None, Blocked::Exec),
        "rt_sigtimedwait" | "rt_sigsuspend" => (None, Blocked::SignalWait),
        "sched_yield" => (None, Blocked::Running),
        "wait4" => (Some(process(first as i32)), Blocked::Child),
        "waitid" if first == 1 => (Some(process(second as i32)), Blocked::Child),
        "waitid" => (Some(process(-1)), Blocked::Child),
        "futex" => match joined(proc, second, third) {
            Some(thread) => (Some(thread), Blocked::Join),
            None if fourth != 0 => (None, Blocked::TimedFutex),
            None => (None, Blocked::Futex),
        },
        "futex_waitv" => (None, Blocked::Futex),
        _ => (None, Blocked::Other),
    }
}

fn process(number: i32) -> String {
    match number {
        1.. => format!("process {number}"),
        _ => "any child".to_owned(),
    }
}

/// Which thread a futex call waits for, if it is a join: the C libraries wait there, not privately, for the thread's own
/// number to be cleared.
fn joined(proc: &Path, operation: u64, value: u64) -> Option<String> {
    const PRIVATE: u64 = 128;
    const COMMAND: u64 = 127;
    const WAIT: u64 = 0;
    const WAIT_BITSET: u64 = 9;
    if operation & PRIVATE != 0 || ![WAIT, WAIT_BITSET].contains(&(operation & COMMAND)) {
        return None;
    }
    let number = value as u32;
    let task = proc.join("self/task").join(number.to_string());
    let name = read(&task.join("comm")).ok()?;
    Some(format!("the end of thread {number} ({})", Printable(&name)))
}

/// The path at this address of this process's memory.
#[cfg(target_os = "linux")]
fn path(proc: &Path, address: u64) -> Option<String> {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    let memory = File::open(proc.join("self/mem")).ok()?;
    let mut bytes = [0; 256];
    let count = memory.read_at(&mut bytes, address).ok()?;
    let end = bytes[..count].iter().position(|byte| *byte == 0)?;
    let path = String::from_utf8_lossy(&bytes[..end]);
    Some(Printable(&path).to_string())
}

#[cfg(not(target_os = "linux"))]
fn path(_proc: &Path, _address: u64) -> Option<String> {
    None
}

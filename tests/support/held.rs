//! Threads that are really stuck where the kernel seldom keeps anybody: in a call that a seccomp filter holds up, or in a tracer's hands.
//!
//! Where a machine does not allow it (a container without the rights, an old kernel), these say so.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::pipe;

/// From now on the calling thread is stuck in each call with this number, until what this gives is dropped: then the call fails.
pub fn hold_calls(number: libc::c_long) -> io::Result<HeldCalls> {
    let step = |code: u32, jt, jf, k| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let returns = libc::BPF_RET | libc::BPF_K;
    let mut steps = [
        // The number of the call is what the data begins with.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            number as u32,
        ),
        step(returns, 0, 0, libc::SECCOMP_RET_USER_NOTIF),
        step(returns, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog {
        len: steps.len() as u16,
        filter: steps.as_mut_ptr(),
    };
    let flags =
        libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    // SAFETY: the filter lives until the call returns, and its length is right; it holds for this thread alone.
    let listener = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        let operation = libc::SECCOMP_SET_MODE_FILTER;
        libc::syscall(libc::SYS_seccomp, operation, flags, &filter)
    };
    if listener < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has given us a descriptor, which nobody else owns.
    Ok(HeldCalls(unsafe { OwnedFd::from_raw_fd(listener as i32) }))
}

/// Holds up calls, until it is dropped.
pub struct HeldCalls(OwnedFd);

impl HeldCalls {
    /// Takes the call that `thread` is stuck in, from when on nothing but its end interrupts that: it is uninterruptible.
    pub fn take(&self, thread: u32) {
        const RECEIVE: u64 = 0xc050_2100; // SECCOMP_IOCTL_NOTIF_RECV, _IOWR('!', 0, seccomp_notif)
        extern "C" fn nothing(_signal: libc::c_int) {}
        // SAFETY: all zeroes is what the call wants to write to, and the handler does nothing. tgkill(2) takes any numbers.
        unsafe {
            let mut call: libc::seccomp_notif = std::mem::zeroed();
            let taken = libc::ioctl(self.0.as_raw_fd(), RECEIVE as _, &mut call);
            assert_eq!(taken, 0, "{}", io::Error::last_os_error());
            assert_eq!(call.pid, thread);
            // The kernel looks whether it has been taken when a signal comes.
            libc::signal(libc::SIGUSR2, nothing as *const () as libc::sighandler_t);
            libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, libc::SIGUSR2);
        }
    }
}

/// A process that holds a thread of ours, as a debugger does, until this is dropped.
pub struct Tracer {
    pub pid: libc::pid_t,
    /// Its end of this is at its end when ours is gone.
    _until: std::fs::File,
}

impl Tracer {
    pub fn hold(thread: u32) -> io::Result<Tracer> {
        let (mut until, ours) = pipe();
        let (mut holds, mut theirs) = pipe();
        // SAFETY: where there is no such option this does nothing.
        unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY, 0, 0, 0) };
        // SAFETY: the child does nothing but system calls.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: system calls on numbers, and on a place of our own.
            unsafe {
                libc::close(ours.as_raw_fd());
                let null = std::ptr::null_mut::<libc::c_void>();
                let mut status = 0;
                let mut held = libc::ptrace(libc::PTRACE_SEIZE, thread, null, null) == 0;
                held &= libc::ptrace(libc::PTRACE_INTERRUPT, thread, null, null) == 0;
                held &= libc::waitpid(thread as i32, &mut status, libc::__WALL) > 0;
                if !held {
                    libc::_exit(*libc::__errno_location());
                }
                if theirs.write_all(&[1]).is_ok() {
                    let _ = until.read(&mut [0]); // which ends with our test
                }
                libc::_exit(0);
            }
        }
        assert!(pid > 0, "{}", io::Error::last_os_error());
        drop((until, theirs));
        match holds.read(&mut [0])? {
            1 => Ok(Tracer { pid, _until: ours }),
            _ => {
                let mut status = 0;
                // SAFETY: waits for our own child, which has ended or is about to.
                unsafe { libc::waitpid(pid, &mut status, 0) };
                Err(io::Error::from_raw_os_error(libc::WEXITSTATUS(status)))
            }
        }
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // SAFETY: our own child, which nobody else waits for; with its end it lets go.
        unsafe {
            libc::kill(self.pid, libc::SIGKILL);
            libc::waitpid(self.pid, std::ptr::null_mut(), 0);
        }
    }
}

/// What a test makes of a refusal: the message that it is skipped. Any other error is one of the test's own.
#[track_caller]
pub fn allowed<T>(what: &str, held: io::Result<T>) -> Option<T> {
    let refusals = [
        libc::EPERM,
        libc::EACCES,
        libc::ENOSYS,
        libc::EINVAL,
        libc::EBUSY,
    ];
    match held {
        Ok(held) => Some(held),
        Err(error)
            if error
                .raw_os_error()
                .is_some_and(|code| refusals.contains(&code)) =>
        {
            eprintln!("skipped: this machine does not allow {what}: {error}");
            None
        }
        Err(error) => panic!("{what}: {error}"),
    }
}

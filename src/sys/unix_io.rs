//! What std does not say of sockets, descriptors and children: Unix.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Shuts a socket of any kind down, in both directions.
#[cfg(target_os = "linux")]
pub(crate) fn shut_down_socket(socket: &impl std::os::fd::AsFd) -> io::Result<()> {
    // SAFETY: the descriptor is borrowed for the call, so it is open.
    match unsafe { libc::shutdown(socket.as_fd().as_raw_fd(), libc::SHUT_RDWR) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Blocks until `source` can be read (or is at its end), or `wake` is hung up. True for the former; `wake` goes first.
pub(crate) fn wait_readable(source: BorrowedFd<'_>, wake: BorrowedFd<'_>) -> io::Result<bool> {
    let entry = |fd: BorrowedFd<'_>| libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let mut both = [entry(source), entry(wake)];
    loop {
        // SAFETY: two valid entries, and the count says two; both descriptors are borrowed for the call.
        let ready = unsafe { libc::poll(both.as_mut_ptr(), 2, -1) };
        if ready < 0 {
            let error = io::Error::last_os_error();
            if error.kind() == io::ErrorKind::Interrupted {
                continue;
            }
            return Err(error);
        }
        return Ok(both[1].revents == 0);
    }
}

/// Asks a process to end. The caller knows that it has not been reaped.
pub(crate) fn send_sigterm(process: u32) -> io::Result<()> {
    // SAFETY: kill(2) has no precondition; the number is that of a child which has not been reaped.
    match unsafe { libc::kill(process as libc::pid_t, libc::SIGTERM) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sends a signal to a process, or to its whole group if it leads one. The caller knows that it has not been reaped, so that its
/// number is still its own, and so is that of its group.
#[cfg(feature = "process")]
pub(crate) fn send_signal(process: u32, group: bool, signal: i32) -> io::Result<()> {
    let process = process as libc::pid_t;
    let target = if group { -process } else { process };
    // SAFETY: kill(2) has no precondition; the number is that of a child which has not been reaped, or of its group.
    match unsafe { libc::kill(target, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Has what the command starts killed when the thread ends that starts it.
#[cfg(all(feature = "process", target_os = "linux"))]
pub(crate) fn die_with_this_thread(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    let parent = std::process::id();
    let ask = move || {
        // SAFETY: PR_SET_PDEATHSIG takes a signal number, and reads and writes no memory.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: getppid(2) has no precondition.
        if unsafe { libc::getppid() } as u32 != parent {
            return Err(io::Error::from_raw_os_error(libc::ESRCH)); // it died before we had asked
        }
        Ok(())
    };
    // SAFETY: between fork and exec it makes two system calls, which are async-signal-safe, and allocates nothing.
    unsafe { command.pre_exec(ask) };
}

/// Blocks until a child has ended, and leaves it to be reaped.
pub(crate) fn wait_for_exit(process: u32) -> io::Result<()> {
    loop {
        let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::uninit();
        // SAFETY: `info` has room for what waitid(2) writes, and nothing reads it.
        let waited = unsafe {
            libc::waitid(
                libc::P_PID,
                process as libc::id_t,
                info.as_mut_ptr(),
                libc::WEXITED | libc::WNOWAIT,
            )
        };
        if waited == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

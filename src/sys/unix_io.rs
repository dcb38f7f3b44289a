//! What std does not say of sockets, descriptors and children: Unix.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// Shuts a socket of any kind down, in both directions.
#[cfg(target_os = "linux")]
pub(crate) fn shut_down_socket(socket: &impl AsFd) -> io::Result<()> {
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

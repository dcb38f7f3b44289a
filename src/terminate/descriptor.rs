//! Standard input, pipes, and whatever else can be polled: a reader that a second descriptor wakes.
//!
//! Nothing can make a blocked `read` of a terminal return from outside. So the reader polls both the descriptor and the
//! reading end of a socket pair, and reads only when there is something to read; the callback hangs up the other end.

use std::fs::File;
use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use super::Terminate;
use crate::sys;

/// A reader that ends when it is told to: [`interruptible`] makes it.
///
/// Told to stop, it reads as the end of the input (`Ok(0)`), which every loop over lines or bytes understands.
///
/// ```
/// use std::io::{BufRead, BufReader};
/// use std::os::fd::OwnedFd;
/// use std::os::unix::net::UnixStream;
/// use sundown::terminate;
/// use sundown::thread;
///
/// let (source, _writer) = UnixStream::pair()?; // stands for any pipe
/// let (reader, interrupt) = terminate::interruptible(OwnedFd::from(source))?;
/// let worker = thread::Builder::new()
///     .on_terminate(interrupt)
///     .spawn(move || BufReader::new(reader).lines().count())?;
/// worker.terminate();
/// assert_eq!(worker.join().unwrap(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Interruptible {
    source: File,
    /// Hung up at the other end when it is time to stop.
    wake: UnixStream,
}

/// The terminate callback of an [`Interruptible`]. Dropping it stops the reader as well.
///
/// ```
/// use std::io::{BufRead, BufReader};
/// use std::os::fd::OwnedFd;
/// use std::os::unix::net::UnixStream;
/// use sundown::terminate;
/// use sundown::Terminate;
///
/// let (source, _writer) = UnixStream::pair()?; // stands for any pipe
/// let (reader, interrupt) = terminate::interruptible(OwnedFd::from(source))?;
/// interrupt.terminate();
/// assert_eq!(BufReader::new(reader).lines().count(), 0); // the end of the input
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Interrupt {
    wake: UnixStream,
}

/// Makes a reader of `source` that can be told to stop: a pipe, a FIFO, a terminal, a socket. (A regular file never blocks.)
///
/// The source must not be read from elsewhere at the same time: who comes second would block in the read itself.
///
/// # Errors
///
/// If the system has no descriptors left.
///
/// ```
/// use std::io::Read;
/// use std::os::fd::OwnedFd;
/// use std::os::unix::net::UnixStream;
/// use sundown::{terminate, thread};
///
/// let (source, _writer) = UnixStream::pair()?; // stands for a pipe from another process
/// let (mut reader, interrupt) = terminate::interruptible(OwnedFd::from(source))?;
/// let worker = thread::Builder::new()
///     .on_terminate(interrupt)
///     .spawn(move || reader.read(&mut [0; 64]))?;
/// worker.terminate();
/// assert_eq!(worker.join().unwrap()?, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn interruptible(source: impl Into<OwnedFd>) -> io::Result<(Interruptible, Interrupt)> {
    let (wake, theirs) = UnixStream::pair()?;
    let reader = Interruptible {
        source: File::from(source.into()),
        wake,
    };
    Ok((reader, Interrupt { wake: theirs }))
}

/// Standard input that can be told to stop. Unbuffered: put a `BufReader` around it for lines, and do not use
/// [`std::io::stdin`] beside it, whose buffer may have taken what this waits for.
///
/// # Errors
///
/// If standard input is closed, or the system has no descriptors left.
///
/// ```no_run
/// use std::io::{BufRead, BufReader};
/// use sundown::{terminate, thread};
///
/// let (stdin, interrupt) = terminate::stdin()?;
/// thread::Builder::new().on_terminate(interrupt).spawn(move || {
///     for line in BufReader::new(stdin).lines().map_while(Result::ok) {
///         println!("you said {line}");
///     }
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn stdin() -> io::Result<(Interruptible, Interrupt)> {
    interruptible(io::stdin().as_fd().try_clone_to_owned()?)
}

impl Read for Interruptible {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if sys::wait_readable(self.source.as_fd(), self.wake.as_fd())? {
            self.source.read(buffer)
        } else {
            Ok(0)
        }
    }
}

/// Ends the reader, by hanging up.
impl Terminate for Interrupt {
    fn terminate(self) {}
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        // Closing is not enough: a forked child may hold a copy. It fails only if the reader is gone.
        let _ = self.wake.shutdown(Shutdown::Both);
    }
}

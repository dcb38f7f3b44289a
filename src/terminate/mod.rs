//! What makes one worker stop: the terminate callback, and ready-made ones for what workers block on.
//!
//! | a worker blocks in | its terminate callback |
//! |---|---|
//! | `TcpStream`, `UnixStream`: read, write | the stream's `try_clone()` |
//! | `TcpListener`, `UnixListener`: `accept` | the listener's `try_clone()`; or [`connect`] |
//! | `UdpSocket::recv` | the socket's `try_clone()` |
//! | a crossbeam or std channel, no other sender left | the `Sender` |
//! | a channel with other senders | [`send`] a sentinel |
//! | standard input, a pipe, any descriptor that can be polled | [`stdin`], [`interruptible`] |
//! | `Child::wait` | [`child`] |
//! | reading a child's output | the `Child` |
//! | a flag that it polls | the `Arc<AtomicBool>` |
//! | `park` | none: who is told is unparked |
//! | a token that it waits on, sleeps on or selects on | none: who is told has its token tripped |
//! | several of these | a tuple |
//! | a `Condvar` | a closure: lock, set the flag, notify |
//! | `thread::sleep`, `Mutex::lock` | cannot be woken: sleep on the token, `try_lock_for` in a loop that asks the token |

mod channel;
#[cfg(unix)]
mod descriptor;
mod net;
mod process;

pub use channel::{send, Sentinel};
#[cfg(unix)]
pub use descriptor::{interruptible, stdin, Interrupt, Interruptible};
pub use net::connect;
#[cfg(unix)]
pub use process::{child, ChildSignal, ChildWaiter};

use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use crate::stop::StopSource;

/// A way to make a worker stop: closes what it reads from, drops a sender, sets a flag.
///
/// Every `FnOnce() + Send` is one, and so is what real workers block on (see [the table](self)):
///
/// ```
/// use std::net::TcpListener;
/// use sundown::thread;
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let worker = thread::Builder::new()
///     .on_terminate(listener.try_clone()?)
///     .spawn(move || while let Ok((_stream, _peer)) = listener.accept() {})?;
/// worker.terminate();
/// worker.join().unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// A terminate callback runs at most once, on a helper thread, with no lock of the library held: in a shutdown, for
/// [`JoinHandle::terminate`](crate::thread::JoinHandle::terminate) and for a time limit alike. It has 1 s (a quarter of the
/// supervisor's deadline if that is less); one that hangs is left behind and reported. A panic is caught and reported. (If no
/// thread can be started, it runs on the thread that tells.)
pub trait Terminate: Send + 'static {
    /// Tells the worker to stop. It asks and returns: the join comes later.
    fn terminate(self);
}

impl<F: FnOnce() + Send + 'static> Terminate for F {
    fn terminate(self) {
        self();
    }
}

/// Sets the flag (with `Release`), for a worker that polls it.
///
/// ```
/// use std::sync::atomic::{AtomicBool, Ordering};
/// use std::sync::Arc;
/// use sundown::thread;
///
/// let stop = Arc::new(AtomicBool::new(false));
/// let worker = thread::Builder::new()
///     .on_terminate(stop.clone())
///     .spawn(move || while !stop.load(Ordering::Acquire) { thread::yield_now() })?;
/// worker.terminate();
/// worker.join().unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
impl Terminate for Arc<AtomicBool> {
    fn terminate(self) {
        self.store(true, Ordering::Release);
    }
}

/// Stops the source, for a worker that listens to a token of its own.
///
/// ```
/// use sundown::{thread, StopSource};
///
/// let source = StopSource::new();
/// let token = source.token();
/// let worker = thread::Builder::new().on_terminate(source).spawn(move || token.wait())?;
/// worker.terminate();
/// worker.join().unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
impl Terminate for StopSource {
    fn terminate(self) {
        self.stop();
    }
}

/// Unparks the thread: for a worker that hands its work to a thread of its own, which parks. (A worker itself needs none: who
/// is told to stop is unparked.)
///
/// ```
/// use sundown::thread;
///
/// let inner = std::thread::spawn(std::thread::park);
/// let worker = thread::Builder::new()
///     .on_terminate(inner.thread().clone())
///     .spawn(move || inner.join().unwrap())?;
/// worker.terminate();
/// worker.join().unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
impl Terminate for crate::sync::thread::Thread {
    fn terminate(self) {
        self.unpark();
    }
}

macro_rules! terminate_tuple {
    ($($name:ident $index:tt),+) => {
        /// Each in turn, first to last; a panic in one does not keep the others from running.
        impl<$($name: Terminate),+> Terminate for ($($name,)+) {
            fn terminate(self) {
                let mut panic = None;
                $(
                    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| self.$index.terminate())) {
                        panic.get_or_insert(payload);
                    }
                )+
                if let Some(payload) = panic {
                    resume_unwind(payload);
                }
            }
        }
    };
}

terminate_tuple!(A 0, B 1);
terminate_tuple!(A 0, B 1, C 2);
terminate_tuple!(A 0, B 1, C 2, D 3);

//! One line of advice for a straggler: from what it hangs in, and from what its callback did, to what to change.

use std::borrow::Cow;

use super::descriptor::Kind;
use super::kernel::Blocked;
use crate::supervisor::{CallbackState, EntryKind, Straggler};

/// What would have helped those who wait for one another.
pub(super) const FOR_A_CIRCLE: &str =
    "they wait for one another: let one of them ask (`terminate`, `request_shutdown`) and return";

/// What would have helped. `own` is what its thread hangs in, `callback` what its callback's thread does.
pub(super) fn advice(
    straggler: &Straggler,
    own: Option<Blocked>,
    callback: Option<Blocked>,
) -> Cow<'static, str> {
    if straggler.callback == CallbackState::Hung {
        return Cow::Borrowed(for_hung_callback(straggler.kind, callback));
    }
    let Some(blocked) = own else {
        return Cow::Borrowed(match straggler.os_thread {
            Some(_) => "nothing could be learned of its thread in time",
            None if cfg!(target_os = "linux") => {
                "it ended after its time was up: give it more (`.grace(...)`, a longer deadline)"
            }
            None => for_thread(Blocked::Unknown),
        });
    };
    let help = for_thread(blocked);
    match &straggler.callback {
        CallbackState::None | CallbackState::NotRun | CallbackState::Running => {
            for_kind(straggler.kind, help)
        }
        CallbackState::Panicked(_) => Cow::Owned(format!(
            "its callback panicked before it could tell it: mend that; else, {help}"
        )),
        _ if says_callback(help) => Cow::Owned(format!(
            "its callback ran, but does not reach this call: {}",
            for_kind(straggler.kind, help)
        )),
        _ => Cow::Borrowed(help),
    }
}

fn says_callback(help: &str) -> bool {
    help.contains(".on_terminate(")
}

/// `main` has no builder: its callback is the guard's.
fn for_kind(kind: EntryKind, help: &'static str) -> Cow<'static, str> {
    match kind {
        EntryKind::Main => {
            Cow::Owned(help.replace("give it `.on_terminate(", "give the guard `.on_terminate("))
        }
        _ => Cow::Borrowed(help),
    }
}

fn for_hung_callback(kind: EntryKind, blocked: Option<Blocked>) -> &'static str {
    let hook = matches!(kind, EntryKind::OnShutdown | EntryKind::OnExit);
    match (hook, blocked) {
        (_, Some(Blocked::Join)) => {
            "its callback waits for a thread to end: only ask there; the joins come later, by themselves"
        }
        (false, Some(Blocked::Futex | Blocked::TimedFutex)) => {
            "its callback waits for a lock or a channel, which its worker may hold: ask there without waiting (`try_lock`, `try_send`)"
        }
        (true, _) => "the hook does not return: give long work to a worker, and tell that worker here",
        (false, _) => "its callback does not return: ask there and return at once; the join comes later",
    }
}

/// One row for each thing that a thread can hang in.
fn for_thread(blocked: Blocked) -> &'static str {
    match blocked {
        Blocked::Accept => "give it `.on_terminate(listener.try_clone()?)`",
        Blocked::Connect => "use `TcpStream::connect_timeout`, and look at the token between attempts",
        Blocked::Receive(Kind::Stream) => "give it `.on_terminate(stream.try_clone()?)`",
        Blocked::Receive(Kind::Socket | Kind::Listener) => {
            "give the socket a read timeout and look at the token between reads, or read through `terminate::interruptible(socket)?` and give \
             it `.on_terminate(interrupt)`"
        }
        Blocked::Receive(Kind::Datagram) => "give it `.on_terminate(socket.try_clone()?)`",
        Blocked::Receive(Kind::Terminal) => {
            "read through `terminate::stdin()?` and give it `.on_terminate(interrupt)`"
        }
        Blocked::Receive(Kind::Pipe) => {
            "read through `terminate::interruptible(source)?` (`terminate::stdin()?` for standard input) and give it `.on_terminate(interrupt)`"
        }
        Blocked::Receive(Kind::Event) => {
            "write to the eventfd from its callback, or read through `terminate::interruptible(source)?` and give it `.on_terminate(interrupt)`"
        }
        Blocked::Send(Kind::Stream | Kind::Socket | Kind::Datagram) => {
            "its peer does not read: set a write timeout, or give it `.on_terminate(stream.try_clone()?)`"
        }
        Blocked::Send(Kind::Pipe | Kind::Terminal | Kind::Event) => {
            "nobody reads the other end: give it `.on_terminate(...)` that ends the reader, as a `Child` does"
        }
        Blocked::Futex => {
            "a lock, a channel or a join: for a channel give it `.on_terminate(sender)`, for a condition variable a closure that sets \
             the flag under the lock and notifies; a lock is up to its holder, a join to its thread"
        }
        Blocked::TimedFutex => {
            "a wait with a time limit, over and over: look at the token (`StopToken::is_stopped`) each time round, or give it \
             `.on_terminate(...)` as for one without"
        }
        Blocked::Join => "it joins that thread, which does not end: see what that one waits for, and tell it first (`JoinGuard` does both)",
        Blocked::Sleep => "use `StopToken::sleep` in place of `thread::sleep`",
        Blocked::Running => "it runs and does not listen: look at `StopToken::is_stopped()` in its loop",
        Blocked::Poll => {
            "wake its event loop: give it `.on_terminate(move || ...)` that writes to a pipe or an eventfd it polls, or polls with a time limit"
        }
        Blocked::Child => "wait through `terminate::child(child)?` and give it `.on_terminate(signal)`",
        Blocked::FileLock => "ask for the lock without waiting (`LOCK_NB`, `F_SETLK`), and sleep on the token in between",
        Blocked::Open => "a FIFO opens when its other end does: open it for reading and writing, or with `O_NONBLOCK`",
        Blocked::SignalWait => "wait with a time limit and look at the token, or have sundown wait for signals",
        Blocked::Pause => {
            "in `process::exit`, which lets only one thread through and stops every other for good (or in pause(2)): use `sundown::exit`"
        }
        Blocked::Fsync => "the disk is slow: nothing can hurry it; give it a longer `.grace(...)`, and the supervisor a longer deadline",
        Blocked::Disk | Blocked::Receive(Kind::File) | Blocked::Send(Kind::File | Kind::Listener) => {
            "in the kernel, for a disk or a network file system: nothing from outside ends that; see what is wrong with it"
        }
        Blocked::Exec => "it starts a program, and that child does not get as far as running it: see what the child hangs in",
        Blocked::Stopped => "a debugger or another tracer holds it: detach that, and it goes on",
        Blocked::Other => "give it `.on_terminate(...)` that makes this call return",
        Blocked::Unknown => "give it `.on_terminate(...)` that wakes it where it blocks: see docs/stopping.md",
    }
}

//! What a child's worker, its handle and its terminate callback share: the process as long as it has not been reaped, then how it
//! ended.
//!
//! The worker waits for the end *without* reaping, so the child's number, and that of its group, stay its own. It is reaped, and
//! signalled, with the lock held. So nothing is ever signalled that has been reaped.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{never, select};
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::group;
use crate::base::logging;
use crate::base::text::{Printable, Short};
use crate::{StopSource, StopToken, Supervisor};

/// What a child gets from SIGTERM to SIGKILL if nobody says otherwise.
const DEFAULT_GRACE: Duration = Duration::from_secs(5);
/// What is kept of a deadline to kill, reap and report; of a short one a quarter.
const RESERVE: Duration = Duration::from_millis(500);
/// How often to look who is left in a group, which nothing can wait for.
const LOOK: Duration = Duration::from_millis(5);

pub(super) struct Unit {
    name: String,
    /// It leads a group of its own.
    group: bool,
    grace: Option<Duration>,
    /// A leaf lock, held to signal and to reap, never to wait for the child.
    state: Mutex<State>,
    /// Notified when `ended` is there, and when a wait for the rest of the group is to end.
    changed: Condvar,
    /// Tripped when `ended` is there.
    over: StopSource,
}

#[derive(Default)]
struct State {
    /// From when it has been started until it is reaped.
    child: Option<Child>,
    /// What the worker and its supervisor are told by; there from the start.
    tokens: Option<Tokens>,
    /// When it was asked to end.
    told: Option<Instant>,
    /// It is to be killed at once: its grace is over, or somebody asked for that.
    kill: bool,
    /// Its grace was over before it, or what it had started, had ended.
    overdue: bool,
    /// That is why it, or what it had started, was killed.
    forced: bool,
    /// How it ended, or why that is not known.
    ended: Option<Result<ExitStatus, (io::ErrorKind, String)>>,
}

#[derive(Clone)]
struct Tokens {
    worker: StopToken,
    supervisor: StopToken,
}

/// Our ends of a child's pipes.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) id: u32,
    pub(super) stdin: Option<ChildStdin>,
    pub(super) stdout: Option<ChildStdout>,
    pub(super) stderr: Option<ChildStderr>,
}

impl Unit {
    pub(super) fn new(name: String, group: bool, grace: Option<Duration>) -> Unit {
        Unit {
            name,
            group,
            grace,
            state: Mutex::default(),
            changed: Condvar::new(),
            over: StopSource::new(),
        }
    }

    // ---- the worker's part

    /// Starts the child, on its worker's thread. One that is started again is told, and killed, anew.
    pub(super) fn start(&self, command: &mut Command, stop: StopToken) -> io::Result<Pipes> {
        let tokens = Tokens {
            worker: stop,
            supervisor: Supervisor::current().stop_token(),
        };
        let mut child = command.spawn()?;
        let pipes = Pipes {
            id: child.id(),
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
        };
        let asked = {
            let mut state = self.state.lock();
            state.child = Some(child);
            state.tokens = Some(tokens);
            // Told before there was anybody to signal. Either this sees that, or `terminate` sees the child.
            match (state.told, state.kill) {
                (None, false) => Ok(()),
                (_, true) => self.signal(&state, libc::SIGKILL),
                (Some(_), false) => self.ask(&state),
            }
        };
        self.say_deaf(asked);
        Ok(pipes)
    }

    /// Waits until the child `id` has ended, ends what it left behind, reaps it, and says in the report how it ended.
    pub(super) fn wait_and_reap(&self, id: u32) -> io::Result<ExitStatus> {
        if let Err(error) = crate::sys::wait_for_exit(id) {
            // Somebody else has reaped it: the number may be anybody's.
            self.state.lock().child = None;
            crate::note_fault(format!("how it ended is not known: {error}"));
            return Err(error);
        }
        let rest_killed = self.group && self.end_group(id);
        let (status, forced) = {
            let mut state = self.state.lock();
            // It has ended, so this does not block.
            let status = state.child.take().map(|mut child| child.wait());
            let killed =
                matches!(&status, Some(Ok(status)) if status.signal() == Some(libc::SIGKILL));
            state.forced = state.overdue && (killed || rest_killed);
            if state.told.is_none() {
                state.kill = false; // that was for this child: the next one, if there is one, has not been killed
            }
            (status, state.forced)
        };
        match status {
            Some(Ok(status)) if forced => crate::note_fault(format!(
                "did not end when told (SIGTERM), and HAD TO BE KILLED; {status}"
            )),
            Some(Ok(status)) => crate::note(status.to_string()),
            Some(Err(_)) | None => crate::note_fault("how it ended is not known"),
        }
        status.unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()))
    }

    /// The child has ended, and is not reaped. Gives what else is in its group the rest of its grace if it was told, then kills it.
    /// True if it was told, and something was left to kill.
    fn end_group(&self, leader: u32) -> bool {
        let mut state = self.state.lock();
        let mut had_others = false;
        while state.told.is_some() {
            // A kill is for the whole group: if somebody was left before it, it has ended them.
            if state.kill {
                return had_others;
            }
            if !MutexGuard::unlocked(&mut state, || group::has_others(leader)) {
                return had_others && state.kill;
            }
            had_others = true;
            // Nothing can wait for processes that are not our children.
            self.changed.wait_for(&mut state, LOOK);
        }
        // Fails, if at all, because nobody is there.
        let _ = self.signal(&state, libc::SIGKILL);
        false
    }

    /// It has ended, and is not started again.
    pub(super) fn end(&self, how: io::Result<ExitStatus>) {
        let how = how.map_err(|error| (error.kind(), error.to_string()));
        self.state.lock().ended = Some(how);
        self.changed.notify_all();
        self.over.stop();
    }

    // ---- telling

    /// The terminate callback: asks the child to end, and has it killed when its grace is over.
    pub(super) fn terminate(self: Arc<Self>) {
        let told = Instant::now();
        let asked = {
            let mut state = self.state.lock();
            if state.ended.is_some() {
                return;
            }
            state.told = Some(told);
            self.ask(&state)
        };
        self.say_deaf(asked);
        let unit = Arc::clone(&self);
        let closer = std::thread::Builder::new()
            .name("sundown-process".into())
            .spawn(move || unit.close(told));
        if closer.is_err() {
            self.close(told); // this callback is left behind when it takes too long, and goes on
        }
    }

    /// Waits until the child has ended, or until its time is up: then kills it.
    fn close(&self, told: Instant) {
        let over = self.over.token();
        loop {
            let tokens = self.state.lock().tokens.clone();
            // A shutdown that begins meanwhile may leave less time. Looked at before the time is: one that begins between the two
            // is seen by the select.
            let shutdown = match &tokens {
                Some(tokens) if !tokens.supervisor.is_stopped() => {
                    tokens.supervisor.channel().clone()
                }
                _ => never(),
            };
            let at = self.kill_at(told, tokens.as_ref());
            let now = Instant::now();
            if at <= now {
                break;
            }
            select! {
                recv(over.channel()) -> _ => return,
                recv(shutdown) -> _ => {}
                default(at - now) => {}
            }
        }
        let killed = {
            let mut state = self.state.lock();
            state.overdue = state.ended.is_none();
            state.overdue.then(|| self.kill_locked(&mut state))
        };
        self.changed.notify_all();
        if let Some(killed) = killed {
            logging::log(
                log::Level::Warn,
                format_args!(
                    "child process {} did not end within {} of SIGTERM: it is killed",
                    Printable(&self.name),
                    Short(told.elapsed())
                ),
            );
            self.say_deaf(killed);
        }
    }

    /// When its time is up, once told.
    fn kill_at(&self, told: Instant, tokens: Option<&Tokens>) -> Instant {
        let grace = self.grace.unwrap_or(DEFAULT_GRACE);
        // Past what an Instant can hold there is only the deadline; a year stands for never.
        let never = told + Duration::from_secs(365 * 24 * 60 * 60);
        let mut at = told.checked_add(grace).unwrap_or(never);
        let deadlines = tokens.map(|tokens| [&tokens.worker, &tokens.supervisor]);
        for deadline in deadlines.into_iter().flatten() {
            if let Some(deadline) = deadline.deadline() {
                let reserve = RESERVE.min(deadline.saturating_duration_since(told) / 4);
                at = at.min(deadline.checked_sub(reserve).unwrap_or(deadline));
            }
        }
        at
    }

    /// Kills it without further ado.
    pub(super) fn kill(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        let killed = self.kill_locked(&mut state);
        drop(state);
        self.changed.notify_all();
        killed
    }

    fn kill_locked(&self, state: &mut State) -> io::Result<()> {
        state.kill = true;
        self.signal(state, libc::SIGKILL)
    }

    /// SIGTERM; and SIGCONT, since one that is stopped (by SIGTTIN, say) hears it only when it goes on.
    fn ask(&self, state: &State) -> io::Result<()> {
        self.signal(state, libc::SIGTERM)
            .and_then(|()| self.signal(state, libc::SIGCONT))
    }

    /// Sends a signal, unless the child has been reaped. The state's lock keeps it from being reaped just now.
    fn signal(&self, state: &State, signal: i32) -> io::Result<()> {
        match &state.child {
            Some(child) => crate::sys::send_signal(child.id(), self.group, signal),
            None => Ok(()),
        }
    }

    /// The system lets a parent signal its children, unless they have changed their user.
    fn say_deaf(&self, sent: io::Result<()>) {
        if let Err(error) = sent {
            logging::log(
                log::Level::Warn,
                format_args!(
                    "child process {} could not be signalled: {error}",
                    Printable(&self.name)
                ),
            );
        }
    }

    // ---- the handle's part

    /// How it ended, once it has, at the latest at `limit`.
    pub(super) fn wait_until(&self, limit: Option<Instant>) -> io::Result<Option<ExitStatus>> {
        let mut state = self.state.lock();
        loop {
            match &state.ended {
                Some(Ok(status)) => return Ok(Some(*status)),
                Some(Err((kind, text))) => return Err(io::Error::new(*kind, text.clone())),
                None => {}
            }
            match limit {
                None => self.changed.wait(&mut state),
                Some(limit) => {
                    let late = self.changed.wait_until(&mut state, limit).timed_out();
                    if late && state.ended.is_none() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Whether its grace was over before it had ended.
    pub(super) fn was_forced(&self) -> bool {
        self.state.lock().forced
    }
}

//! Tells systemd how a supervisor is doing: ready, stopping, needing longer, alive. An adapter: it uses only the public surface.
//!
//! Everything goes through the socket that systemd names in `NOTIFY_SOCKET` (crate `sd-notify`). Without that variable, in a shell
//! or a container, every function here does nothing and succeeds, so a service needs no switch.
//!
//! | systemd hears | when |
//! |---|---|
//! | `READY=1` | you call [`ready`] |
//! | `RELOADING=1` | you call [`reloading`], from a handler of SIGHUP |
//! | `STATUS=...` | you call [`status`]; a shutdown begins, is extended, is over |
//! | `STOPPING=1` | a shutdown begins, whatever its cause; before anyone is told to stop |
//! | `EXTEND_TIMEOUT_USEC=...` | a worker extends the shutdown ([`StopToken::extend`](crate::StopToken::extend)) past its deadline |
//! | `WATCHDOG=1` | twice in each `WatchdogSec=` of the unit, as long as the supervisor is healthy |
//!
//! ```no_run
//! use sundown::{systemd, Supervisor};
//!
//! let _guard = sundown::init()?;
//! systemd::attach(&Supervisor::global())?;
//! // ... open sockets, start workers ...
//! systemd::ready()?;
//! sundown::wait_for_shutdown();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use crate::{StopToken, Supervisor};

/// What a shutdown takes past its deadline at the most: callbacks and hooks that hang, the report, the end of the process.
const SLACK: Duration = Duration::from_secs(4);

/// Has systemd hear of this supervisor's shutdown and of its health, from now to the end of its shutdown.
///
/// The supervisor is healthy as long as it answers and, once it is shutting down, is not past its deadline: a process that
/// hangs on its way out is left to systemd's watchdog. For a check of your own see [`attach_with_health`].
///
/// # Errors
///
/// If the threads that this needs cannot be started: one, and another if the unit has a `WatchdogSec=`.
pub fn attach(supervisor: &Supervisor) -> io::Result<()> {
    attach_with_health(supervisor, || true)
}

/// The same with a health check of your own: `WATCHDOG=1` is sent only after it has said true.
///
/// It is asked on a thread of its own, twice in each `WatchdogSec=`. One that blocks or panics says nothing, and then systemd does
/// what the unit asks for: it ends the service and starts it again.
///
/// # Errors
///
/// As [`attach`].
pub fn attach_with_health(
    supervisor: &Supervisor,
    healthy: impl FnMut() -> bool + Send + 'static,
) -> io::Result<()> {
    if !is_listening() {
        return Ok(());
    }
    // The sender goes with the thread that follows the shutdown, which ends the watchdog's.
    let (extended, extensions) = mpsc::channel();
    if let Some(interval) = watchdog_interval() {
        let theirs = supervisor.clone();
        std::thread::Builder::new()
            .name("sundown-watchdog".into())
            .spawn(move || {
                let pulse = Pulse {
                    token: theirs.stop_token(),
                    supervisor: theirs,
                    extensions,
                    interval: interval / 2,
                };
                pulse.beat(healthy);
            })?;
    }
    let theirs = supervisor.clone();
    let (listens, listening) = mpsc::channel();
    std::thread::Builder::new()
        .name("sundown-systemd".into())
        .spawn(move || follow(&theirs, &extended, &listens))?;
    // A shutdown that begins when this has returned is heard. An error means that it is over already.
    let _ = listening.recv();
    Ok(())
}

/// What systemd waits for between two signs of life, if it does. Not by `sd_notify::watchdog_enabled`, which takes a missing
/// `WATCHDOG_PID` for another process's.
fn watchdog_interval() -> Option<Duration> {
    if let Ok(process) = std::env::var("WATCHDOG_PID") {
        if process.parse() != Ok(std::process::id()) {
            return None;
        }
    }
    let micros: u64 = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    (micros > 0).then(|| Duration::from_micros(micros))
}

/// The service has started: what a unit of `Type=notify` waits for. Also the end of a reload.
///
/// # Errors
///
/// If systemd's socket cannot be reached.
pub fn ready() -> io::Result<()> {
    send(&[NotifyState::Ready])
}

/// The service is reading its settings again; call [`ready`] when that is done. What a unit of `Type=notify-reload` waits for.
///
/// # Errors
///
/// If systemd's socket cannot be reached.
pub fn reloading() -> io::Result<()> {
    let now = NotifyState::monotonic_usec_now()?;
    send(&[NotifyState::Reloading, now])
}

/// A line about the service, as `systemctl status` shows it. Line breaks in it become blanks.
///
/// # Errors
///
/// If systemd's socket cannot be reached.
pub fn status(text: &str) -> io::Result<()> {
    send(&[NotifyState::Status(&one_line(text))])
}

/// A line break would begin another assignment.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// Whether there is somebody to tell. A script may have emptied the variable rather than removed it.
fn is_listening() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some_and(|socket| !socket.is_empty())
}

fn send(state: &[NotifyState<'_>]) -> io::Result<()> {
    match is_listening() {
        true => sd_notify::notify(false, state),
        false => Ok(()),
    }
}

/// Nobody is left to hand an error to.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = send(state) {
        log::warn!(target: "sundown", "cannot tell systemd {state:?}: {error}");
    }
}

/// Says that the shutdown begins, passes extensions on, and says how it went.
fn follow(supervisor: &Supervisor, extended: &Sender<Duration>, listens: &Sender<()>) {
    // Here and not in `attach`: a `main` that asks for a token counts as one that can be told to stop.
    let token = supervisor.stop_token();
    let stopping = supervisor.clone();
    // A callback, since this thread might come too late: it runs before anything else in the shutdown, within the usual limit.
    let _callback = token.on_stop(move || {
        let status = format!("stopping after {}", stopping.wait_for_shutdown());
        tell(&[
            NotifyState::Stopping,
            NotifyState::Status(&one_line(&status)),
        ]);
    });
    // `attach` waits for it.
    let _ = listens.send(());
    let mut known = Duration::ZERO;
    while let Some(total) = supervisor.wait_for_extension(known) {
        known = total;
        let Some(deadline) = token.deadline() else {
            continue; // no deadline, nothing to extend
        };
        let left = (deadline + total + SLACK).saturating_duration_since(Instant::now());
        let assignment = format!("EXTEND_TIMEOUT_USEC={}", left.as_micros());
        let status = format!("stopping, with {} s more than usual", total.as_secs());
        tell(&[
            NotifyState::Custom(&assignment),
            NotifyState::Status(&status),
        ]);
        // There may be no watchdog.
        let _ = extended.send(total);
    }
    // It is over, so this only fetches the report.
    let report = supervisor.shutdown().to_string();
    let summary = report.lines().next().unwrap_or_default();
    tell(&[NotifyState::Status(&one_line(summary))]);
}

/// What keeps systemd's watchdog quiet.
struct Pulse {
    supervisor: Supervisor,
    token: StopToken,
    /// By how much the shutdown has been extended. Disconnected when it is over.
    extensions: Receiver<Duration>,
    /// Half of what systemd waits for.
    interval: Duration,
}

impl Pulse {
    fn beat(self, mut healthy: impl FnMut() -> bool) {
        let mut extended = Duration::ZERO;
        loop {
            if self.is_alive(extended) && healthy() {
                tell(&[NotifyState::Watchdog]);
            }
            match self.extensions.recv_timeout(self.interval) {
                Ok(total) => extended = total,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// It answers, and is not past its deadline. If one of its locks were held for ever, this would not return.
    fn is_alive(&self, extended: Duration) -> bool {
        drop(self.supervisor.workers());
        let deadline = self.token.deadline();
        deadline.map_or(true, |end| Instant::now() <= end + extended + SLACK)
    }
}

//! A straggler's record as the report prints it.

use std::fmt::{self, Display, Formatter};

use crate::base::text::{beginning, Printable, Short};
use crate::supervisor::{CallbackState, Straggler, StuckThread, ThreadState};

impl Display for Straggler {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(thread) = &self.thread {
            write!(f, "{}", Where(thread))?;
            if let Some(cpu) = self.cpu {
                write!(f, ", CPU since told: {}", Short(cpu))?;
            }
            writeln!(f)?;
            write!(f, "{}", Frames(thread))?;
        }
        if let Some(thread) = &self.callback_thread {
            writeln!(f, "its callback: {}", Where(thread))?;
            write!(f, "{}", Frames(thread))?;
        }
        if let Some(age) = self.age {
            write!(f, "runs for {}; callback: {}", Short(age), self.callback)?;
            if let Some(activity) = self.activity() {
                write!(f, "; activity: {}", Printable(beginning(activity)))?;
            }
            writeln!(f)?;
        }
        if let Some(cycle) = self.cycle() {
            writeln!(f, "waits in a circle: {cycle}")?;
        }
        write!(f, "advice: {}", self.advice)
    }
}

/// Where a thread is, in one line.
pub(super) struct Where<'a>(pub(super) &'a StuckThread);

impl Display for Where<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let thread = self.0;
        match (&thread.syscall, thread.state, &thread.unknown) {
            (Some(call), state, _) => {
                write!(f, "in {call}")?;
                if let Some(object) = &thread.object {
                    write!(f, " on {object}")?;
                }
                match state {
                    None | Some(ThreadState::Sleeping | ThreadState::Running) => {}
                    Some(state) => write!(f, ", {state}")?,
                }
            }
            (None, Some(state), None) => write!(f, "{state}")?,
            (None, Some(state), Some(unknown)) => write!(f, "{state}; {unknown}")?,
            (None, None, Some(unknown)) => write!(f, "{unknown}")?,
            (None, None, None) => f.write_str("gone")?,
        }
        if let Some(holder) = &thread.held_by {
            write!(f, " by {holder}")?;
        }
        write!(f, " [thread {}]", thread.os_id)
    }
}

/// The frames of a thread, a line each; nothing if there are none.
struct Frames<'a>(&'a StuckThread);

impl Display for Frames<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for frame in &self.0.stack {
            writeln!(f, "    at {}", Printable(frame))?;
        }
        Ok(())
    }
}

impl Display for ThreadState {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ThreadState::Running => "running",
            ThreadState::Sleeping => "sleeping",
            ThreadState::DiskSleep => "uninterruptible",
            ThreadState::Stopped => "stopped",
            ThreadState::Ended => "ended",
        })
    }
}

impl Display for CallbackState {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            CallbackState::None => f.write_str("none"),
            CallbackState::NotRun => f.write_str("not run"),
            CallbackState::Running => f.write_str("running"),
            CallbackState::Ran(took) => write!(f, "ran, {}", Short(*took)),
            CallbackState::Panicked(message) => write!(f, "panicked: {}", Printable(message)),
            CallbackState::Hung => f.write_str("hung"),
        }
    }
}

//! A handler for a signal that does not mean stop: one run at a time, and one more for whatever came meanwhile.
//!
//! Whoever rouses it takes the handler out, runs it with no lock held, and puts it back; who finds it gone leaves word.

use std::fmt;
use std::panic::{catch_unwind, AssertUnwindSafe, Location};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::panics::{drop_quietly, message_of_panic};

/// What runs, any number of times.
type Handler = Box<dyn FnMut() + Send>;

/// One handler of one signal.
pub(crate) struct OnSignal {
    pub(crate) signal: i32,
    /// Where it was given to the builder.
    pub(crate) location: &'static Location<'static>,
    /// A leaf lock: nothing is called or dropped with it held.
    state: Mutex<State>,
}

struct State {
    /// `None` while it runs.
    handler: Option<Handler>,
    /// The signal came again while it ran.
    again: bool,
}

impl OnSignal {
    pub(crate) fn new(
        signal: i32,
        location: &'static Location<'static>,
        handler: Handler,
    ) -> Arc<OnSignal> {
        Arc::new(OnSignal {
            signal,
            location,
            state: Mutex::new(State {
                handler: Some(handler),
                again: false,
            }),
        })
    }

    /// The signal has come: what is to be run now. `None` if it runs already; then it will run once more.
    pub(crate) fn rouse(self: &Arc<OnSignal>) -> Option<Run> {
        let mut state = self.state.lock();
        let handler = state.handler.take();
        state.again = handler.is_none();
        drop(state);
        Some(Run {
            of: Arc::clone(self),
            handler: Some(handler?),
        })
    }
}

impl fmt::Debug for OnSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnSignal")
            .field("signal", &self.signal)
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

impl Drop for OnSignal {
    /// What a user gave us may panic when dropped, and we may be anywhere.
    fn drop(&mut self) {
        drop_quietly(self.state.get_mut().handler.take());
    }
}

/// A run that is due. Dropping it instead leaves the handler as it was, for the next signal.
pub(crate) struct Run {
    of: Arc<OnSignal>,
    /// `None` only once it has been put back.
    handler: Option<Handler>,
}

impl Run {
    /// Runs the handler on this thread until no signal is left that it has not seen. `panicked` is told the message of a panic.
    pub(crate) fn run(mut self, panicked: impl Fn(String)) {
        let Some(mut handler) = self.handler.take() else {
            return;
        };
        loop {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(&mut handler)) {
                panicked(message_of_panic(payload));
            }
            let mut state = self.of.state.lock();
            if !std::mem::replace(&mut state.again, false) {
                state.handler = Some(handler);
                return;
            }
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(handler) = self.handler.take() {
            self.of.state.lock().handler = Some(handler);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn counting() -> (Arc<OnSignal>, Arc<AtomicU32>) {
        let runs = Arc::new(AtomicU32::new(0));
        let theirs = Arc::clone(&runs);
        let handler = Box::new(move || {
            theirs.fetch_add(1, Ordering::Relaxed);
        });
        (OnSignal::new(10, Location::caller(), handler), runs)
    }

    #[test]
    fn what_comes_while_it_runs_makes_it_run_once_more() {
        let (handler, runs) = counting();
        let run = handler.rouse().expect("it does not run yet");
        assert!(handler.rouse().is_none());
        assert!(handler.rouse().is_none());
        run.run(|message| panic!("{message}"));
        assert_eq!(runs.load(Ordering::Relaxed), 2);
        handler.rouse().expect("it is back").run(|_| ());
        assert_eq!(runs.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_run_that_is_dropped_leaves_the_handler_for_the_next_signal() {
        let (handler, runs) = counting();
        drop(handler.rouse());
        handler.rouse().expect("it is back").run(|_| ());
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn one_that_panics_is_said_and_as_good_as_before() {
        let said = Mutex::new(Vec::new());
        let handler = OnSignal::new(10, Location::caller(), Box::new(|| panic!("planned")));
        for _ in 0..2 {
            let run = handler.rouse().expect("it is back");
            run.run(|message| said.lock().push(message));
        }
        assert_eq!(*said.lock(), ["planned", "planned"]);
    }

    #[test]
    fn a_handler_that_panics_when_it_is_dropped_does_no_harm() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("planned");
            }
        }
        let bomb = Bomb;
        let handler = Box::new(move || {
            let _held = &bomb;
        });
        let handler = OnSignal::new(10, Location::caller(), handler);
        assert!(format!("{handler:?}").starts_with("OnSignal { signal: 10, location: "));
        drop(handler);
    }
}

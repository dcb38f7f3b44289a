//! What happens in a supervisor, as a channel: a bounded queue that the supervisor fills without ever waiting.
//!
//! The queue is crossbeam's unbounded one with a limit of our own: only the supervisor adds to it, under one lock, so a look at its
//! length is enough. What finds it full is counted, and the next event that finds room says how many there were.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

pub use crate::supervisor::{Event, EventKind};

use crate::supervisor::{Observer, Supervisor, WorkerId};

impl Supervisor {
    /// What happens from now on in this supervisor and in those nested in it, in the order in which it happens: at most
    /// `capacity` events wait to be received.
    ///
    /// Nobody waits for a subscriber. Events that find the queue full are dropped, and the next that finds room says in
    /// [`missed`](Event::missed) how many those were. [`EventKind::ShutdownEnded`] of this supervisor always has room and is
    /// the last, so who reads to the end knows of every event that was missed; then the channel disconnects. Dropping
    /// the receiver ends the subscription.
    ///
    /// A worker that reads to the end would wait for the shutdown, which waits for the worker: read on a thread that is not
    /// supervised, or stop reading when told, with `select!` over [`StopToken::channel`](crate::StopToken::channel).
    ///
    /// ```
    /// use sundown::events::EventKind;
    /// use sundown::Supervisor;
    ///
    /// let supervisor = Supervisor::new();
    /// let events = supervisor.subscribe(64);
    /// supervisor.worker().name("greeter".into()).spawn(|| println!("hello"))?;
    /// supervisor.shutdown();
    /// for event in events {
    ///     println!("{event}"); // worker greeter (#2) has started, ...
    ///     assert_eq!(event.missed, 0);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn subscribe(&self, capacity: usize) -> Receiver<Event> {
        let (sender, receiver) = crossbeam_channel::unbounded();
        self.core.observers.add(Arc::new(Subscription {
            sender,
            capacity,
            missed: AtomicU64::new(0),
            id: self.core.id_in_parent,
        }));
        receiver
    }
}

/// The sending end.
struct Subscription {
    sender: Sender<Event>,
    capacity: usize,
    /// Events since the last that found room. Only touched under the observers' lock, so every access is relaxed.
    missed: AtomicU64,
    /// The number of the supervisor that was subscribed to, which tells its own end from that of a nested one.
    id: Option<WorkerId>,
}

impl Observer for Subscription {
    fn observe(&self, event: &Event) -> bool {
        let last = matches!(event.kind, EventKind::ShutdownEnded(_)) && event.id == self.id;
        // Only we add to the queue, and not two at a time: it may have become shorter meanwhile, but not longer.
        if self.sender.len() >= self.capacity && !last {
            self.missed.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        let mut event = event.clone();
        event.missed = self.missed.swap(0, Ordering::Relaxed);
        // Never blocks, the queue having no bound of its own. It fails when the receiver is gone, which empties it too.
        self.sender.send(event).is_ok()
    }
}

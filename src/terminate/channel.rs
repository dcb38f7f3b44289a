//! Channels: drop the last sender, or send a sentinel.

use crossbeam_channel::TrySendError;
use std::sync::mpsc;

use super::Terminate;
use crate::base::apart::apart;

/// Drops the sender. A receiver that has no other sender left sees the end of the channel, after what is queued.
///
/// ```
/// use sundown::thread;
///
/// let (jobs, queue) = crossbeam_channel::bounded::<u32>(8);
/// let worker = thread::Builder::new()
///     .on_terminate(jobs) // the only one: clones would keep the channel open
///     .spawn(move || queue.iter().sum::<u32>())?;
/// worker.terminate();
/// assert_eq!(worker.join().unwrap(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
impl<T: Send + 'static> Terminate for crossbeam_channel::Sender<T> {
    fn terminate(self) {}
}

/// Drops the sender, as for crossbeam's.
impl<T: Send + 'static> Terminate for mpsc::Sender<T> {
    fn terminate(self) {}
}

/// Drops the sender, as for crossbeam's.
impl<T: Send + 'static> Terminate for mpsc::SyncSender<T> {
    fn terminate(self) {}
}

/// A sender that [`send`] can use: crossbeam's and std's are.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use sundown::terminate::{self, Sentinel};
/// use sundown::Terminate;
///
/// /// A queue without a limit.
/// struct Queue(Arc<Mutex<Vec<&'static str>>>);
///
/// impl Sentinel<&'static str> for Queue {
///     fn try_deliver(&self, message: &'static str) -> Result<(), &'static str> {
///         self.0.lock().unwrap().push(message);
///         Ok(())
///     }
///
///     fn deliver(self, message: &'static str) {
///         self.0.lock().unwrap().push(message);
///     }
/// }
///
/// let messages = Arc::new(Mutex::new(Vec::new()));
/// terminate::send(Queue(messages.clone()), "stop").terminate();
/// assert_eq!(*messages.lock().unwrap(), ["stop"]);
/// ```
pub trait Sentinel<T>: Send + 'static {
    /// Sends without blocking; gives the message back if the queue is full. A receiver that is gone is no error: it has
    /// stopped.
    ///
    /// # Errors
    ///
    /// The message, if the queue is full.
    fn try_deliver(&self, message: T) -> Result<(), T>;

    /// Sends, however long the queue is full.
    fn deliver(self, message: T);
}

impl<T: Send + 'static> Sentinel<T> for crossbeam_channel::Sender<T> {
    fn try_deliver(&self, message: T) -> Result<(), T> {
        match self.try_send(message) {
            Err(TrySendError::Full(message)) => Err(message),
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
        }
    }

    fn deliver(self, message: T) {
        // An error means that the receiver is gone, and so has stopped.
        let _ = self.send(message);
    }
}

impl<T: Send + 'static> Sentinel<T> for mpsc::Sender<T> {
    fn try_deliver(&self, message: T) -> Result<(), T> {
        // An error means that the receiver is gone, and so has stopped. This channel has no bound.
        let _ = self.send(message);
        Ok(())
    }

    fn deliver(self, message: T) {
        let _ = self.send(message); // as above
    }
}

impl<T: Send + 'static> Sentinel<T> for mpsc::SyncSender<T> {
    fn try_deliver(&self, message: T) -> Result<(), T> {
        match self.try_send(message) {
            Err(mpsc::TrySendError::Full(message)) => Err(message),
            Ok(()) | Err(mpsc::TrySendError::Disconnected(_)) => Ok(()),
        }
    }

    fn deliver(self, message: T) {
        // An error means that the receiver is gone, and so has stopped.
        let _ = self.send(message);
    }
}

/// Sends a message that tells the receiver to stop: for a channel whose senders are in other hands.
///
/// If the queue is full, a thread of the library's waits for room, so that neither the shutdown nor the messages before it are
/// held up.
///
/// ```
/// use std::sync::mpsc;
/// use sundown::{terminate, thread};
///
/// enum Job { Print(String), Stop }
/// let (jobs, queue) = mpsc::channel();
/// let worker = thread::Builder::new()
///     .on_terminate(terminate::send(jobs.clone(), Job::Stop))
///     .spawn(move || {
///         while let Ok(Job::Print(line)) = queue.recv() {
///             println!("{line}");
///         }
///     })?;
/// jobs.send(Job::Print("one".into())).unwrap();
/// worker.terminate();
/// worker.join().unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn send<T: Send + 'static>(sender: impl Sentinel<T>, message: T) -> impl Terminate {
    move || {
        if let Err(message) = sender.try_deliver(message) {
            apart(move || sender.deliver(message));
        }
    }
}

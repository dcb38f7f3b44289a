//! A queue that one thread waits on: all that the coordinator needs of a channel, in a program that may have no other use for one.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::sync::{Condvar, Instant, Mutex};

/// What the two ends share.
struct Mailbox<T> {
    /// `None` once nobody receives any more. A leaf lock.
    messages: Mutex<Option<VecDeque<T>>>,
    /// Notified for each message.
    arrived: Condvar,
}

/// Leaves messages. That all of these are gone tells the receiver nothing.
pub(crate) struct Sender<T>(Arc<Mailbox<T>>);

/// Takes them.
pub(crate) struct Receiver<T>(Arc<Mailbox<T>>);

/// The two ends of a new queue.
pub(crate) fn mailbox<T>() -> (Sender<T>, Receiver<T>) {
    let mailbox = Arc::new(Mailbox {
        messages: Mutex::new(Some(VecDeque::new())),
        arrived: Condvar::new(),
    });
    (Sender(Arc::clone(&mailbox)), Receiver(mailbox))
}

impl<T> Sender<T> {
    /// Leaves a message, without waiting for anybody. If nobody receives any more it is dropped.
    pub(crate) fn send(&self, message: T) {
        match &mut *self.0.messages.lock() {
            Some(messages) => messages.push_back(message),
            None => return,
        }
        self.0.arrived.notify_one();
    }

    /// Whether anybody receives still.
    pub(crate) fn has_receiver(&self) -> bool {
        self.0.messages.lock().is_some()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        Sender(Arc::clone(&self.0))
    }
}

impl<T> Receiver<T> {
    /// Takes the oldest message, and waits for one until `limit`, or for as long as it takes.
    pub(crate) fn receive(&self, limit: Option<Instant>) -> Option<T> {
        let mut messages = self.0.messages.lock();
        loop {
            if let Some(message) = messages.as_mut()?.pop_front() {
                return Some(message);
            }
            match limit {
                None => self.0.arrived.wait(&mut messages),
                Some(limit) if limit <= Instant::now() => return None,
                Some(limit) => {
                    self.0.arrived.wait_until(&mut messages, limit);
                }
            }
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let left = self.0.messages.lock().take();
        drop(left); // with the lock free
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn messages_come_in_order_and_wake_who_waits() {
        let (sender, receiver) = mailbox();
        let receiver = std::thread::spawn(move || {
            let all = std::iter::from_fn(|| receiver.receive(None));
            let all: Vec<u32> = all.take(1_000).collect();
            (all, receiver)
        });
        (0..1_000).for_each(|number| sender.clone().send(number));
        let (all, receiver) = receiver.join().unwrap();
        assert!(all.into_iter().eq(0..1_000));
        let limit = Instant::now() + Duration::from_millis(10);
        assert_eq!(receiver.receive(Some(limit)), None);
        assert!(Instant::now() >= limit);
    }

    #[test]
    fn who_sends_learns_that_nobody_receives() {
        let (sender, receiver) = mailbox();
        assert!(sender.has_receiver());
        drop(receiver);
        assert!(!sender.has_receiver());
        sender.send(1); // is dropped
    }
}

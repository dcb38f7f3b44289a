//! Whom a shutdown waits for, and until when. Each record says how it stands with that, and the registry counts who is pending; so a
//! worker that leaves is taken off in one step, and those that are left are found in the list of who was told.

use std::cmp::Ordering;
use std::sync::atomic::{self, AtomicU8};
use std::sync::Arc;

use log::Level;

use super::event::EventKind;
use super::registry::{Entry, Registry};
use super::report::{EntryReport, Outcome, ShutdownReport};
use super::worker::Worker;
use crate::sync::Instant;

/// How a worker stands with its shutdown.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Stand {
    /// Not waited for: not told yet, or gone, or nobody waits for one like it.
    Free,
    /// Told, and waited for.
    Pending,
    /// Its time is up.
    Late,
    /// Its observers know that its time is up.
    Announced,
}

/// A worker's `Stand`. Used with its registry's lock held only, which orders everything: so Relaxed, and std's also in a model.
#[derive(Default)]
pub(super) struct Standing(AtomicU8);

impl Standing {
    fn is(&self, stand: Stand) -> bool {
        self.0.load(atomic::Ordering::Relaxed) == stand as u8
    }

    fn set(&self, stand: Stand) {
        self.0.store(stand as u8, atomic::Ordering::Relaxed);
    }
}

impl Worker {
    /// Whether the shutdown waits for it. The caller holds the registry's lock.
    pub(super) fn is_pending(&self) -> bool {
        self.standing.is(Stand::Pending)
    }

    fn announce_straggler(&self) {
        self.standing.set(Stand::Announced);
        self.announce(Level::Warn, || EventKind::Straggler);
    }
}

/// The end of the grace of one worker, whose record is in `told` as well (or `untold`, of a `main` that asks before its turn): dropping
/// this drops no record.
pub(super) struct Grace {
    end: Instant,
    worker: Arc<Worker>,
}

/// The greatest is the one that ends first: what a heap gives first.
impl Ord for Grace {
    fn cmp(&self, other: &Grace) -> Ordering {
        other.end.cmp(&self.end)
    }
}

impl PartialOrd for Grace {
    fn partial_cmp(&self, other: &Grace) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Grace {
    fn eq(&self, other: &Grace) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Grace {}

impl Registry {
    /// From now on this worker, which is being told, is waited for.
    pub(super) fn wait_for(&mut self, worker: &Worker) {
        worker.standing.set(Stand::Pending);
        self.pending += 1;
    }

    /// From now on it is waited for no more. True if it was until now.
    pub(super) fn wait_no_more_for(&mut self, worker: &Worker) -> bool {
        let pending = worker.is_pending();
        if pending {
            worker.standing.set(Stand::Free);
            self.pending -= 1;
        }
        pending
    }

    /// It is given up at `end`, unless that is put off before.
    pub(super) fn add_grace(&mut self, worker: &Arc<Worker>, end: Instant) {
        let worker = Arc::clone(worker);
        self.graces.push(Grace { end, worker });
    }

    /// When the next grace ends.
    pub(super) fn next_grace(&self) -> Option<Instant> {
        self.graces.peek().map(|grace| grace.end)
    }

    /// Its record is about to be let go.
    pub(super) fn forget_graces_of(&mut self, worker: &Worker) {
        self.graces
            .retain(|grace| !std::ptr::eq(&*grace.worker, worker));
    }

    /// All who are pending have until `end`, but for those who have asked for more.
    pub(super) fn add_grace_for_all(&mut self, end: Instant) {
        let told = Arc::clone(&self.told);
        for told in told.iter() {
            if let Entry::Worker(worker) = &told.entry {
                if worker.is_pending() {
                    self.add_grace(worker, end);
                }
            }
        }
    }

    /// Gives up who is pending although its grace is over.
    pub(super) fn end_graces(&mut self, now: Instant) {
        let mut any = false;
        while self.next_grace().is_some_and(|end| end <= now) {
            let Some(Grace { end, worker }) = self.graces.pop() else {
                break;
            };
            if !worker.is_pending() {
                continue;
            }
            if let Some(until) = worker.put_off(end) {
                // Only now, so that whoever asks a million times has no more than one of these for each that it had.
                self.add_grace(&worker, until);
                continue;
            }
            worker.standing.set(Stand::Late);
            self.pending -= 1;
            worker.give_up(end);
            any = true;
        }
        if any {
            self.announce_late();
        }
    }

    /// Gives up all who are pending: the deadline is over.
    pub(super) fn give_up_all(&mut self) {
        self.pending = 0;
        for worker in self.told_workers().filter(|worker| worker.is_pending()) {
            worker.standing.set(Stand::Late);
        }
        self.announce_late();
    }

    /// Has observers know whose time is up, in the order in which they were told to stop. Under the registry's lock, so that whoever
    /// leaves just now does so before or after it.
    fn announce_late(&self) {
        let late = |worker: &&Worker| worker.standing.is(Stand::Late);
        self.told_workers()
            .filter(late)
            .for_each(Worker::announce_straggler);
    }

    /// The same for who is a straggler in the final report and of whom the observers do not know it yet: who was told only past the
    /// deadline has not been waited for at all.
    pub(super) fn announce_stragglers_of(&self, report: &ShutdownReport) {
        let is_stuck = |entry: &EntryReport| *entry.outcome() == Outcome::Straggler;
        if !report.entries().iter().any(is_stuck) {
            return;
        }
        // The entries stand in the same order, with those of nested supervisors between them.
        let mut entries = report.entries().iter();
        for worker in self.told_workers() {
            let entry = entries.find(|entry| entry.id() == worker.id);
            if entry.is_some_and(is_stuck) && !worker.standing.is(Stand::Announced) {
                worker.announce_straggler();
            }
        }
    }

    fn told_workers(&self) -> impl Iterator<Item = &Worker> {
        self.told.iter().filter_map(|told| match &told.entry {
            Entry::Worker(worker) => Some(&**worker),
            Entry::Hook(_) | Entry::Child(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use crate::supervisor::Supervisor;

    #[test]
    fn who_asks_again_and_again_is_watched_once() {
        let supervisor = Supervisor::builder()
            .deadline(Duration::from_millis(100))
            .max_extension(Duration::from_secs(60))
            .build();
        let (sender, graces) = mpsc::channel();
        let core = supervisor.core.clone();
        let worker = supervisor.worker().grace(Duration::from_millis(50));
        let worker = worker.spawn_with(move |stop| {
            stop.wait();
            for round in 1..=1_000 {
                stop.extend(Duration::from_millis(200 + round));
            }
            sender.send(core.registry.lock().graces.len()).unwrap();
            // Past its grace and the deadline, and well within what it asked for last.
            std::thread::sleep(Duration::from_millis(300));
        });
        let report = supervisor.shutdown();
        drop(worker);
        assert!(report.is_clean(), "{report}");
        // Its own, the one that it asked for, and the deadline that was everybody's.
        assert!(graces.recv().unwrap() <= 3);
    }
}

//! What the handle of a pool, its workers and its terminate callbacks share: the queue, and how the pool ends.
//!
//! The pool is a nested supervisor, so as an entry of its own supervisor it is told, drained and joined in its turn. Workers take
//! jobs from the queue until `end` is tripped and, if what is pending is to be drained, the queue is empty.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crossbeam_channel::{never, select, Receiver, Sender};

use super::job::Queued;
use super::{waiting, Pending};
use crate::base::logging;
use crate::base::text::Printable;
use crate::diagnose::waiting_for_any;
use crate::sync::atomic::{fence, AtomicU8, Ordering};
use crate::sync::{thread, Instant, Mutex};
use crate::thread::JoinHandle;
use crate::{ShutdownReport, StopSource, StopToken, Supervisor, WorkerId};

/// Jobs are taken.
const OPEN: u8 = 0;
/// No more are taken; what is queued is worked off.
const DRAINING: u8 = 1;
/// No more are taken, and what is queued is cancelled.
const CANCELLING: u8 = 2;

pub(super) struct Crew {
    /// Tells its jobs from those of other pools.
    pub(super) number: u64,
    /// The nested supervisor that the workers belong to.
    pub(super) supervisor: Supervisor,
    pub(super) name: String,
    pub(super) stack_size: Option<usize>,
    pub(super) grace: Option<Duration>,
    /// What becomes of pending jobs when a shutdown reaches the pool: as it was built, or as `shutdown` was told. A leaf lock.
    pending: Mutex<Pending>,
    /// How many work at a time.
    pub(super) size: usize,
    pub(super) sender: Sender<Queued>,
    pub(super) queue: Receiver<Queued>,
    /// `OPEN`, `DRAINING` or `CANCELLING`; it only rises.
    state: AtomicU8,
    /// Tripped after `state` has left `OPEN`: wakes who waits for a job, or for room in the queue.
    end: StopSource,
    end_token: StopToken,
    /// Stops all jobs that have a token.
    jobs: StopSource,
    pub(super) jobs_token: StopToken,
    spares: Mutex<Spares>,
    /// Wakes one idle spare thread, to see whether it is still needed. One message is enough: who leaves passes it on.
    retire: Sender<()>,
    retiring: Receiver<()>,
}

/// The crews that there are, by their numbers: for who looks why a shutdown hangs. A leaf lock.
static CREWS: parking_lot::Mutex<BTreeMap<u64, Weak<Crew>>> =
    parking_lot::const_mutex(BTreeMap::new());

/// Who works for the pool with this number, spare threads included: one of them begins what is queued.
pub(super) fn workers_of(number: u64) -> Vec<WorkerId> {
    let crew = CREWS.lock().get(&number).and_then(Weak::upgrade);
    let workers = crew.map_or_else(Vec::new, |crew| crew.supervisor.workers());
    workers.into_iter().map(|worker| worker.id).collect()
}

/// The threads that stand in for workers which wait. A leaf lock.
#[derive(Default)]
struct Spares {
    /// How many workers wait just now.
    waiting: usize,
    /// How many stand in.
    threads: usize,
    /// All workers' handles, and those of spare threads that have not ended.
    handles: Vec<JoinHandle<()>>,
    /// How many were ever started, for their names.
    started: usize,
}

impl Drop for Crew {
    fn drop(&mut self) {
        CREWS.lock().remove(&self.number);
    }
}

/// What a crew is built from.
pub(super) struct Plan {
    pub(super) number: u64,
    pub(super) supervisor: Supervisor,
    pub(super) name: String,
    pub(super) stack_size: Option<usize>,
    pub(super) grace: Option<Duration>,
    pub(super) pending: Pending,
    pub(super) size: usize,
    pub(super) queue: (Sender<Queued>, Receiver<Queued>),
}

impl Crew {
    pub(super) fn new(plan: Plan) -> Arc<Crew> {
        let (end, jobs) = (StopSource::new(), StopSource::new());
        let (retire, retiring) = crossbeam_channel::bounded(1);
        let crew = Arc::new(Crew {
            number: plan.number,
            supervisor: plan.supervisor,
            name: plan.name,
            stack_size: plan.stack_size,
            grace: plan.grace,
            pending: Mutex::new(plan.pending),
            size: plan.size,
            sender: plan.queue.0,
            queue: plan.queue.1,
            state: AtomicU8::new(OPEN),
            end_token: end.token(),
            end,
            jobs_token: jobs.token(),
            jobs,
            spares: Mutex::default(),
            retire,
            retiring,
        });
        let listed = Arc::downgrade(&crew);
        CREWS.lock().insert(crew.number, listed);
        crew
    }

    // ---- handing in

    pub(super) fn is_open(&self) -> bool {
        // Acquire: pairs with the change in `end`; who sees it finds what came before.
        self.state.load(Ordering::Acquire) == OPEN
    }

    /// Puts a job into the queue; blocks until there is room. Gives it back if the pool has ended.
    #[inline]
    pub(super) fn enqueue(&self, job: Queued) -> Result<(), Queued> {
        if !self.is_open() {
            return Err(job);
        }
        match self.sender.try_send(job) {
            Ok(()) => Ok(()),
            Err(full) => self.enqueue_when_there_is_room(full.into_inner()),
        }
    }

    #[cold]
    fn enqueue_when_there_is_room(&self, job: Queued) -> Result<(), Queued> {
        let mut job = Some(job);
        briefly(|| match self.sender.try_send(job.take()?) {
            Ok(()) => Some(()),
            Err(full) => {
                job = Some(full.into_inner());
                None
            }
        });
        match job {
            None => Ok(()),
            Some(job) => {
                let number = self.number;
                // Whichever of them takes a job makes room.
                let _noted = waiting_for_any(move || workers_of(number));
                waiting::block(|| self.await_room(job))
            }
        }
    }

    fn await_room(&self, job: Queued) -> Result<(), Queued> {
        select! {
            recv(self.end_token.channel()) -> _ => Err(job),
            send(self.sender, job) -> sent => sent.map_err(|error| error.0),
        }
    }

    /// A job has been put into the queue. True if the pool has ended meanwhile: nobody may look there again.
    pub(super) fn has_ended_since(&self) -> bool {
        // Pairs with the fence in `end`: either that finds the job in the queue, or this sees that the pool ends.
        fence(Ordering::SeqCst);
        !self.is_open()
    }

    // ---- ending

    /// No more jobs are taken. `Cancel` also cancels what is pending and tells what runs; said later, it still does.
    pub(super) fn end(&self, pending: Pending) {
        let state = match pending {
            Pending::Drain => DRAINING,
            Pending::Cancel => CANCELLING,
        };
        let state = self.state.fetch_max(state, Ordering::AcqRel).max(state);
        fence(Ordering::SeqCst); // pairs with the one in `has_ended_since`
        if state == CANCELLING {
            self.refuse_queued();
            self.jobs.stop();
        }
        self.end.stop();
    }

    /// What becomes of pending jobs when a shutdown reaches the pool.
    pub(super) fn pending(&self) -> Pending {
        *self.pending.lock()
    }

    /// The pool's own shutdown, whatever it was built for.
    pub(super) fn shutdown(&self, pending: Pending) -> ShutdownReport {
        *self.pending.lock() = pending;
        self.end(pending);
        self.supervisor.shutdown()
    }

    fn refuse_queued(&self) {
        while let Ok(job) = self.queue.try_recv() {
            job.refuse();
        }
    }

    /// Waits for all threads to end, at most until `limit`. Call it when the pool was told to end.
    pub(super) fn join_until(&self, limit: Option<Instant>) -> bool {
        loop {
            let handle = self.spares.lock().handles.pop();
            let Some(handle) = handle else { return true };
            let left = limit.map_or(Duration::MAX, |limit| {
                limit.saturating_duration_since(Instant::now())
            });
            if let Err(handle) = handle.join_timeout(left) {
                self.spares.lock().handles.push(handle);
                return false;
            }
        }
    }

    // ---- working

    /// Starts the workers.
    #[track_caller] // reports name the place where the pool was built
    pub(super) fn start(self: &Arc<Crew>) -> io::Result<()> {
        for n in 1..=self.size {
            let handle = self.hire(format!("{}-{n}", self.name), None)?;
            self.spares.lock().handles.push(handle);
        }
        Ok(())
    }

    /// Starts a thread that works; with `retiring`, a spare one.
    #[track_caller]
    fn hire(
        self: &Arc<Crew>,
        name: String,
        retiring: Option<Receiver<()>>,
    ) -> io::Result<JoinHandle<()>> {
        let mut builder = self.supervisor.worker().name(name);
        if let Some(size) = self.stack_size {
            builder = builder.stack_size(size);
        }
        if let Some(grace) = self.grace {
            builder = builder.grace(grace);
        }
        let (told, crew) = (Arc::clone(self), Arc::clone(self));
        builder
            .on_terminate(move || told.end(told.pending()))
            .spawn(move || {
                let _seat = waiting::sit(&crew);
                crew.work(retiring.as_ref());
            })
    }

    fn work(&self, retiring: Option<&Receiver<()>>) {
        while let Some(job) = self.next(retiring) {
            job.run(&self.jobs_token);
        }
    }

    /// The next job. `None`: this thread is to leave.
    #[inline]
    fn next(&self, retiring: Option<&Receiver<()>>) -> Option<Queued> {
        // As long as there is something to do, that is all.
        if self.is_open() && retiring.map_or(true, Receiver::is_empty) {
            if let Ok(job) = self.queue.try_recv() {
                return Some(job);
            }
        }
        self.await_next(retiring.unwrap_or(&never()))
    }

    fn await_next(&self, retiring: &Receiver<()>) -> Option<Queued> {
        loop {
            if retiring.try_recv().is_ok() && self.retire() {
                return None;
            }
            match self.state.load(Ordering::Acquire) {
                OPEN => {}
                DRAINING if crate::deadline().map_or(true, |limit| Instant::now() < limit) => {}
                _ => {
                    self.refuse_queued(); // when the time for draining is over
                    return None;
                }
            }
            if let Some(job) = briefly(|| self.queue.try_recv().ok()) {
                return Some(job);
            }
            select! {
                recv(self.queue) -> job => return job.ok(),
                // Once this has been seen, what was sent in time can be seen too: empty means empty.
                recv(self.end_token.channel()) -> _ => return self.queue.try_recv().ok(),
                recv(retiring) -> _ => if self.retire() {
                    return None;
                },
            }
        }
    }

    // ---- standing in

    /// The calling worker waits until what this gives is dropped; another thread takes its place.
    pub(super) fn lend(crew: &Arc<Crew>) -> Lent {
        let number = {
            let mut spares = crew.spares.lock();
            spares.waiting += 1;
            (spares.threads < spares.waiting).then(|| {
                spares.threads += 1;
                spares.started += 1;
                spares.started
            })
        };
        if let Some(number) = number {
            let name = format!("{}-spare-{number}", crew.name);
            match crew.hire(name, Some(crew.retiring.clone())) {
                Ok(handle) => {
                    let mut spares = crew.spares.lock();
                    // Handles of threads that have ended are of no use; they run nothing of a user's when dropped.
                    spares.handles.retain(|handle| !handle.is_finished());
                    spares.handles.push(handle);
                }
                Err(error) => {
                    crew.spares.lock().threads -= 1;
                    logging::log(
                        log::Level::Warn,
                        format_args!(
                            "a worker of pool {} waits inside a job, and no thread can take its place: {error}",
                            Printable(&crew.name)
                        ),
                    );
                }
            }
        }
        Lent(Arc::clone(crew))
    }

    /// An idle spare thread asks whether it is still needed. True if it must leave.
    fn retire(&self) -> bool {
        let (leave, more) = {
            let mut spares = self.spares.lock();
            let leave = spares.threads > spares.waiting;
            spares.threads -= usize::from(leave);
            (leave, spares.threads > spares.waiting)
        };
        if more {
            self.wake_spare();
        }
        leave
    }

    fn wake_spare(&self) {
        // Full: somebody is to look already.
        let _ = self.retire.try_send(());
    }
}

/// A worker waits, until this is dropped.
pub(super) struct Lent(Arc<Crew>);

impl Drop for Lent {
    fn drop(&mut self) {
        let surplus = {
            let mut spares = self.0.spares.lock();
            spares.waiting -= 1;
            spares.threads > spares.waiting
        };
        if surplus {
            self.0.wake_spare();
        }
    }
}

/// Looks a few times before there is nothing for it but to block in a select, which costs many times as much: as blocking calls of
/// the channel itself do.
fn briefly<R>(mut look: impl FnMut() -> Option<R>) -> Option<R> {
    for turn in 0..=10 {
        let found = look();
        if found.is_some() {
            return found;
        }
        match turn {
            0..=6 => (0..1 << turn).for_each(|_| std::hint::spin_loop()),
            _ => thread::yield_now(),
        }
    }
    None
}

//! Pools: a million jobs that do nothing, from one producer and from eight; how long one job takes there and back; and what one that
//! waits in the queue holds.
//!
//! Like is compared with like. `execute` hands in a job that nobody waits for, which is what a closure in a channel is. `submit` gives
//! a task, which is what a closure and a oneshot for its value are. So that the price of a task can be seen, `submit` with the task
//! dropped stands beside what has none to give; that is no aim, since there is `execute`.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;
use std::thread::Thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use tokio::sync::oneshot;

use super::memory::bytes;
use super::LEAST;
use crate::measure::{ratios, side, time, OneCore, Side};
use crate::table::Table;

/// Jobs that one side carries out in one round.
const JOBS: usize = 1_000_000;
/// What a bounded queue holds: as much as a pool's does if nobody says otherwise.
const BOUND: usize = 1024;
const AIM: &str = "≤ 1.05";

type Job = Box<dyn FnOnce() + Send>;

/// All that are compared, each with as many threads. They live from round to round, so none pays for its threads.
struct Pools {
    ours: sundown::Pool,
    bounded: sundown::Pool,
    threadpool: threadpool::ThreadPool,
    rayon: rayon::ThreadPool,
    by_hand: Sender<Job>,
    bounded_by_hand: Sender<Job>,
    least: Least,
    bounded_least: Least,
}

impl Pools {
    fn new() -> Pools {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let ours = || sundown::Pool::builder().workers(threads);
        let rayon = rayon::ThreadPoolBuilder::new().num_threads(threads);
        Pools {
            ours: ours().unbounded().build().expect("threads"),
            bounded: ours().queue(BOUND).build().expect("threads"),
            threadpool: threadpool::ThreadPool::new(threads),
            rayon: rayon.build().expect("threads"),
            by_hand: by_hand(threads, crossbeam_channel::unbounded()),
            bounded_by_hand: by_hand(threads, crossbeam_channel::bounded(BOUND)),
            least: Least::new(threads, crossbeam_channel::unbounded()),
            bounded_least: Least::new(threads, crossbeam_channel::bounded(BOUND)),
        }
    }
}

/// A pool as one has it by hand: threads that take closures from a channel until its sender is gone.
fn by_hand(threads: usize, (queue, jobs): (Sender<Job>, Receiver<Job>)) -> Sender<Job> {
    for _ in 0..threads {
        let jobs = jobs.clone();
        std::thread::spawn(move || {
            for job in jobs {
                job();
            }
        });
    }
    queue
}

fn push(queue: &Sender<Job>, job: impl FnOnce() + Send + 'static) {
    queue.send(Box::new(job)).expect("its threads live");
}

/// The same with the least that a pool promises: a job that panics takes no thread with it, and once the pool has ended, no job begins, and
/// what is handed in comes back.
struct Least {
    open: Arc<AtomicBool>,
    queue: Sender<Job>,
}

impl Least {
    fn new(threads: usize, (queue, jobs): (Sender<Job>, Receiver<Job>)) -> Least {
        let open = Arc::new(AtomicBool::new(true));
        for _ in 0..threads {
            let (jobs, open) = (jobs.clone(), Arc::clone(&open));
            std::thread::spawn(move || {
                for job in jobs {
                    if !open.load(Ordering::Acquire) {
                        break;
                    }
                    drop(catch_unwind(AssertUnwindSafe(job)));
                }
            });
        }
        Least { open, queue }
    }

    fn push(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Job> {
        if !self.open.load(Ordering::Acquire) {
            return Err(Box::new(job));
        }
        self.queue
            .send(Box::new(job))
            .map_err(|refused| refused.into_inner())
    }
}

/// A job with an answer, as one writes it around a pool whose jobs have none.
fn with_answer() -> (impl FnOnce() + Send + 'static, oneshot::Receiver<()>) {
    let (answer, answered) = oneshot::channel();
    let job = move || {
        let _ = answer.send(()); // whoever asked may be gone
    };
    (job, answered)
}

fn answer(answered: oneshot::Receiver<()>) {
    answered.blocking_recv().expect("it has run");
}

fn value(task: sundown::Task<()>) {
    task.wait().expect("it has run");
}

pub fn many(table: &mut Table) {
    let pools = Pools::new();
    for producers in [1, 8] {
        let s = if producers == 1 { "" } else { "s" };
        let from = format!("10⁶ empty jobs, {producers} producer{s}");
        nobody_waits(table, &pools, producers, &from);
        nobody_wants_the_task(table, &pools, producers, &from);
        somebody_waits(table, &pools, producers, &from);
    }
}

/// All that hand in jobs which nobody waits for.
fn unanswered(pools: &Pools, producers: usize) -> Vec<Side<'_>> {
    vec![
        side("`threadpool`", move || {
            fire(producers, |done| {
                pools.threadpool.execute(move || done.one())
            })
        }),
        side("`rayon::spawn`", move || {
            fire(producers, |done| pools.rayon.spawn(move || done.one()))
        }),
        side("crossbeam channel by hand", move || {
            fire(producers, |done| push(&pools.by_hand, move || done.one()))
        }),
        least(producers, &pools.least),
    ]
}

fn nobody_waits(table: &mut Table, pools: &Pools, producers: usize, from: &str) {
    let ours = side("sundown", || {
        fire(producers, |done| execute(&pools.ours, done))
    });
    let work = format!("{from}: `execute`");
    lines(table, work, AIM, ours, unanswered(pools, producers));

    let ours = side("sundown", || {
        fire(producers, |done| execute(&pools.bounded, done))
    });
    let by_hand = side("bounded crossbeam channel by hand", || {
        fire(producers, |done| {
            push(&pools.bounded_by_hand, move || done.one())
        })
    });
    let work = format!("{from}: `execute`, bounded queue");
    let least = least(producers, &pools.bounded_least);
    lines(table, work, AIM, ours, vec![by_hand, least]);
}

fn nobody_wants_the_task(table: &mut Table, pools: &Pools, producers: usize, from: &str) {
    let ours = side("sundown", || {
        fire(producers, |done| {
            drop(pools.ours.submit(move || done.one()))
        })
    });
    let work = format!("{from}: `submit`, task dropped, beside jobs without one");
    lines(table, work, "", ours, unanswered(pools, producers));
}

fn least(producers: usize, pool: &Least) -> Side<'_> {
    side(LEAST, move || {
        fire(producers, |done| {
            let pushed = pool.push(move || done.one());
            assert!(pushed.is_ok(), "it has not ended");
        })
    })
}

fn execute(pool: &sundown::Pool, done: Done) {
    pool.execute(move || done.one()).expect("it has not ended");
}

fn somebody_waits(table: &mut Table, pools: &Pools, producers: usize, from: &str) {
    let each = JOBS / producers;
    let ours = side("sundown", || {
        at_once(producers, || all(each, || pools.ours.submit(|| ()), value))
    });
    let work = format!("{from}: `submit`, then `wait` for all");
    let peers = answering(pools, move |ask| {
        at_once(producers, || all(each, ask, answer))
    });
    lines(table, work, AIM, ours, peers);
}

/// From handing in a job until its value is there, one after another; and what many cost where no core waits for another's cache.
pub fn one(table: &mut Table) {
    const EACH: usize = 2_000;
    // On two, each side was several times the other by turns, as the scheduler put its threads.
    let _one = OneCore::take();
    let pools = Pools::new();
    nobody_waits(table, &pools, 1, "10⁶ empty jobs, 1 producer, on one core");
    let in_turn = |ask: &dyn Fn()| time(|| (0..EACH).for_each(|_| ask()));
    let ours = side("sundown", || in_turn(&|| value(pools.ours.submit(|| ()))));
    let peers = answering(&pools, |ask| in_turn(&|| answer(ask())));
    lines(
        table,
        "one job, on one core: `submit` → `wait`".into(),
        AIM,
        ours,
        peers,
    );
}

/// Those that answer through a oneshot: what `measure` says of each, given what hands in one job.
fn answering<'a>(
    pools: &'a Pools,
    measure: impl Fn(&(dyn Fn() -> oneshot::Receiver<()> + Sync)) -> Duration + Copy + 'a,
) -> Vec<Side<'a>> {
    vec![
        side("`threadpool` + oneshot", move || {
            measure(&|| {
                let (job, answered) = with_answer();
                pools.threadpool.execute(job);
                answered
            })
        }),
        side("`rayon::spawn` + oneshot", move || {
            measure(&|| {
                let (job, answered) = with_answer();
                pools.rayon.spawn(job);
                answered
            })
        }),
        side("crossbeam channel by hand + oneshot", move || {
            measure(&|| {
                let (job, answered) = with_answer();
                push(&pools.by_hand, job);
                answered
            })
        }),
    ]
}

fn lines(table: &mut Table, work: String, aim: &str, ours: Side<'_>, peers: Vec<Side<'_>>) {
    for (peer, ratio) in ratios(31, ours, peers) {
        let aim = if peer == LEAST { "" } else { aim };
        table.ratio(&work, peer, aim, ratio);
    }
}

/// Counts the jobs of one round, and wakes whoever waits for the last.
#[derive(Clone)]
struct Done(Arc<(AtomicUsize, Thread)>);

impl Done {
    fn one(&self) {
        let (left, waits) = &*self.0;
        if left.fetch_sub(1, Ordering::AcqRel) == 1 {
            waits.unpark();
        }
    }
}

/// Hands in jobs that each call [`Done::one`], and measures until the last has run.
fn fire(producers: usize, hand_in: impl Fn(Done) + Sync) -> Duration {
    let done = Done(Arc::new((AtomicUsize::new(JOBS), std::thread::current())));
    time(|| {
        run(producers, || {
            (0..JOBS / producers).for_each(|_| hand_in(done.clone()))
        });
        while done.0 .0.load(Ordering::Acquire) > 0 {
            std::thread::park();
        }
    })
}

/// Asks so many times, then waits for all the answers.
fn all<A>(each: usize, ask: impl Fn() -> A, wait: fn(A)) {
    let asked: Vec<A> = (0..each).map(|_| ask()).collect();
    asked.into_iter().for_each(wait);
}

fn at_once(threads: usize, work: impl Fn() + Sync) -> Duration {
    time(|| run(threads, work))
}

fn run(threads: usize, work: impl Fn() + Sync) {
    if threads == 1 {
        return work();
    }
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(&work);
        }
    });
}

/// What one job in the queue holds.
pub fn memory(table: &mut Table) {
    for (work, ours, peers) in [
        (
            "bytes of a pending job without a task",
            "execute",
            [
                ("`threadpool`", "threadpool"),
                ("`rayon::spawn`", "rayon"),
                ("crossbeam channel by hand", "by-hand"),
            ],
        ),
        (
            "bytes of a pending job with a task",
            "submit",
            [
                ("`threadpool` + oneshot", "threadpool-oneshot"),
                ("`rayon::spawn` + oneshot", "rayon-oneshot"),
                ("crossbeam channel by hand + oneshot", "by-hand-oneshot"),
            ],
        ),
    ] {
        let ours = bytes("pending", ours);
        for (peer, theirs) in peers {
            let figure = format!("{ours:.0} (theirs: {:.0})", bytes("pending", theirs));
            table.figure(work, peer, "", figure);
        }
    }
}

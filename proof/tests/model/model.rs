//! The plain sequential model: what is registered where, and what a shutdown of it must do and say.
//!
//! Everything that is ever registered has an index, and with it a label (`w3`, `h4`, `s5`), under which it is found in the journal
//! and in the report.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::Union;
use proptest_state_machine::ReferenceStateMachine;
use sundown::Order;

/// What a callback or hook does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    Notes,
    /// Notes, then panics.
    Panics,
    /// Notes, then does not return.
    Hangs,
    /// Notes, then asks its own supervisor for a shutdown, and notes that again.
    ShutsDown,
}

/// What a worker does once it is told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStop {
    Leaves,
    Panics,
    /// Goes on until the end of the test. It has a short grace.
    Ignores,
    /// Starts another worker, joins it, leaves.
    SpawnsLate,
    /// Registers a hook of either kind, leaves.
    HooksLate,
    /// Nests a supervisor with a worker in it, leaves.
    NestsLate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Plain,
    Daemon,
    Critical,
    Adopted,
    /// A worker with a scope, in which there is one thread: the entry after this one.
    Host,
    Scoped,
}

#[derive(Clone, Copy, Debug)]
pub struct Worker {
    pub kind: Kind,
    pub callback: Option<Job>,
    pub on_stop: OnStop,
}

/// How far something registered is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Live,
    /// Told by `terminate`, and still there since it ignores that.
    Told,
    /// Ended, removed, vanished or shut down.
    Gone,
}

#[derive(Clone, Debug)]
pub enum What {
    Worker(Worker),
    Hook { at_exit: bool, job: Job },
    Child(usize),
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub sup: usize,
    pub what: What,
    pub state: State,
}

#[derive(Clone, Debug)]
pub struct Sup {
    /// The entry that it is in its parent.
    pub entry: Option<usize>,
    pub open: bool,
    /// Whether the test holds a handle on it.
    pub held: bool,
    /// A helper thread may hold it a moment longer than it seems.
    pub lingers: bool,
}

#[derive(Clone, Debug)]
pub enum Transition {
    /// By the thread of the worker `by`, and so in its supervisor, or by the test.
    Spawn {
        sup: usize,
        by: Option<usize>,
        worker: Worker,
    },
    Child {
        sup: usize,
    },
    Hook {
        sup: usize,
        at_exit: bool,
        job: Job,
    },
    RemoveHook {
        hook: usize,
    },
    /// The worker ends by itself.
    End {
        worker: usize,
        panics: bool,
    },
    Terminate {
        worker: usize,
    },
    /// The worker's handle is dropped.
    Detach {
        worker: usize,
    },
    DropSupervisor {
        sup: usize,
    },
    /// Asked for by these workers at the same time, or by the test; `requested` before that, with a cause of its own.
    Shutdown {
        sup: usize,
        by: Vec<usize>,
        requested: bool,
    },
    /// Asked of one that is closed.
    Again {
        sup: usize,
    },
}

/// One line of the report.
#[derive(Clone, Debug)]
pub struct Row {
    pub entry: usize,
    /// Any of these.
    pub outcomes: Vec<Outcome>,
    pub fault: Option<Job>,
    /// Whether its callback has come back.
    pub callback_ran: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Finished,
    Panicked,
    Straggler,
    Caller,
    Daemon,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Requested,
    Exit,
    WorkerEnded { worker: usize, panicked: bool },
}

/// What a shutdown must do and say.
#[derive(Clone, Debug)]
pub struct Expected {
    pub why: Why,
    pub rows: Vec<Row>,
    /// What is noted in exactly this order; and, for each, who must have left before.
    pub lines: Vec<(String, Vec<usize>)>,
    /// Who has left when it is over.
    pub left: Vec<usize>,
    /// What is noted at some time, by what was registered during the shutdown.
    pub late_lines: BTreeSet<String>,
    /// Names in the report besides.
    pub late_rows: BTreeSet<String>,
}

#[derive(Clone, Debug)]
pub struct Model {
    pub order: Order,
    pub sups: Vec<Sup>,
    pub entries: Vec<Entry>,
    pub detached: BTreeSet<usize>,
    /// How many callbacks hang: each costs a second.
    hanging: usize,
    /// What the last transition must have done, if it was or began a shutdown.
    pub expected: Option<Expected>,
    /// What the last transition must have noted, if it began no shutdown.
    pub lines: Vec<String>,
}

impl Model {
    fn new(order: Order) -> Model {
        Model {
            order,
            sups: vec![Sup {
                entry: None,
                open: true,
                held: true,
                lingers: false,
            }],
            entries: Vec::new(),
            detached: BTreeSet::new(),
            hanging: 0,
            expected: None,
            lines: Vec::new(),
        }
    }

    pub fn label(&self, entry: usize) -> String {
        let letter = match self.entries[entry].what {
            What::Worker(_) => 'w',
            What::Hook { .. } => 'h',
            What::Child(_) => 's',
        };
        format!("{letter}{entry}")
    }

    pub fn worker(&self, entry: usize) -> Option<Worker> {
        match self.entries.get(entry)?.what {
            What::Worker(worker) => Some(worker),
            _ => None,
        }
    }

    fn add(&mut self, sup: usize, what: What) {
        let state = State::Live;
        self.entries.push(Entry { sup, what, state });
    }

    /// The names of all workers that are listed.
    pub fn listed(&self) -> Vec<String> {
        let there = |&at: &usize| {
            let entry = &self.entries[at];
            entry.state != State::Gone && self.worker(at).is_some() && self.sups[entry.sup].open
        };
        let listed = (0..self.entries.len()).filter(there);
        listed.map(|at| self.label(at)).collect()
    }

    /// A nested supervisor that nobody holds and that has nothing registered is gone.
    fn vanish(&mut self) {
        loop {
            let vanished = (1..self.sups.len()).find(|&at| {
                let sup = &self.sups[at];
                let empty = |e: &Entry| e.sup != at || e.state == State::Gone;
                sup.open && !sup.held && self.entries.iter().all(empty)
            });
            let Some(at) = vanished else { return };
            self.sups[at].open = false;
            if let Some(entry) = self.sups[at].entry {
                self.entries[entry].state = State::Gone;
            }
        }
    }

    /// Shuts down `sup` and all that is nested in it.
    pub fn shut_down(&mut self, sup: usize, why: Why, callers: &[usize]) -> Expected {
        let mut expected = Expected {
            why,
            rows: Vec::new(),
            lines: Vec::new(),
            left: Vec::new(),
            late_lines: BTreeSet::new(),
            late_rows: BTreeSet::new(),
        };
        self.tell(sup, callers, &mut expected);
        if let Some(entry) = self.sups[sup].entry {
            self.entries[entry].state = State::Gone;
        }
        expected
    }

    fn tell(&mut self, sup: usize, callers: &[usize], expected: &mut Expected) {
        let mut joined = Vec::new();
        for at in (0..self.entries.len()).rev() {
            let Entry {
                sup: of,
                ref what,
                state,
            } = self.entries[at];
            if of != sup || state == State::Gone {
                continue;
            }
            match *what {
                What::Worker(worker) => {
                    let told = state == State::Told;
                    if let (Some(job), false) = (worker.callback, told) {
                        self.runs("told", at, job, expected);
                    }
                    self.leaves(at, worker, callers, expected, &mut joined);
                    if self.order == Order::OneByOne {
                        expected.left.append(&mut joined);
                    }
                }
                What::Hook { at_exit: true, .. } => continue,
                What::Hook { job, .. } => self.hook(at, job, expected),
                What::Child(child) => {
                    expected.rows.push(Row {
                        entry: at,
                        outcomes: vec![Outcome::Finished],
                        fault: None,
                        callback_ran: false,
                    });
                    self.tell(child, callers, expected);
                }
            }
            self.entries[at].state = State::Gone;
        }
        expected.left.append(&mut joined);
        for at in (0..self.entries.len()).rev() {
            let entry = &self.entries[at];
            if let What::Hook { job, .. } = entry.what {
                if entry.sup == sup && entry.state != State::Gone {
                    self.hook(at, job, expected);
                    self.entries[at].state = State::Gone;
                }
            }
        }
        self.sups[sup].open = false;
    }

    /// A callback notes what it does.
    fn runs(&self, verb: &str, at: usize, job: Job, expected: &mut Expected) {
        let before = expected.left.clone();
        let line = format!("{verb} {}", self.label(at));
        if job == Job::ShutsDown {
            expected.lines.push((line, before.clone()));
            let line = format!("so far {}", self.label(at));
            expected.lines.push((line, before));
        } else {
            expected.lines.push((line, before));
        }
    }

    fn hook(&self, at: usize, job: Job, expected: &mut Expected) {
        self.runs("hook", at, job, expected);
        expected.rows.push(Row {
            entry: at,
            outcomes: vec![match job {
                Job::Notes | Job::ShutsDown => Outcome::Finished,
                Job::Panics => Outcome::Panicked,
                Job::Hangs => Outcome::Straggler,
            }],
            fault: fault(Some(job)),
            callback_ran: job != Job::Hangs,
        });
    }

    fn leaves(
        &self,
        at: usize,
        worker: Worker,
        callers: &[usize],
        expected: &mut Expected,
        joined: &mut Vec<usize>,
    ) {
        let ended = match worker.on_stop {
            OnStop::Panics => Outcome::Panicked,
            OnStop::Ignores => Outcome::Straggler,
            _ => Outcome::Finished,
        };
        let calls = callers.contains(&at);
        let outcomes = match (calls, worker.kind) {
            (true, _) if callers.len() == 1 && expected.why == Why::Requested => {
                vec![Outcome::Caller]
            }
            // Somebody else asked too, and may have been so quick that this one was told before it could.
            (true, Kind::Daemon) => vec![Outcome::Caller, ended, Outcome::Daemon],
            (true, _) => vec![Outcome::Caller, ended],
            (false, Kind::Daemon) if ended == Outcome::Straggler => vec![Outcome::Daemon],
            (false, Kind::Daemon) => vec![Outcome::Daemon, ended],
            (false, _) => vec![ended],
        };
        if matches!(outcomes[..], [Outcome::Finished] | [Outcome::Panicked]) {
            joined.push(at);
        }
        expected.rows.push(Row {
            entry: at,
            outcomes,
            fault: fault(worker.callback),
            callback_ran: worker.callback.is_some_and(|job| job != Job::Hangs),
        });
        let label = self.label(at);
        let late = |name: &str| format!("late {name} of {label}");
        let (lines, rows): (&[&str], &[&str]) = match worker.on_stop {
            OnStop::SpawnsLate => (&["worker"], &["worker"]),
            OnStop::HooksLate => (&["hook", "exit"], &["hook", "exit"]),
            OnStop::NestsLate => (&["worker"], &["child", "worker"]),
            _ => (&[], &[]),
        };
        expected
            .late_lines
            .extend(lines.iter().map(|name| late(name)));
        expected
            .late_rows
            .extend(rows.iter().map(|name| late(name)));
    }

    /// Its callback, if it has one, runs outside a shutdown.
    fn notes_told(&mut self, at: usize) {
        if self
            .worker(at)
            .is_some_and(|worker| worker.callback.is_some())
        {
            self.lines.push(format!("told {}", self.label(at)));
        }
    }

    /// A critical worker has ended.
    fn critical_ended(&mut self, at: usize, panicked: bool) {
        let sup = self.entries[at].sup;
        let why = Why::WorkerEnded {
            worker: at,
            panicked,
        };
        // It is told nothing any more, and so leaves no trace but its row.
        if let What::Worker(worker) = &mut self.entries[at].what {
            worker.callback = None;
            worker.on_stop = match panicked {
                true => OnStop::Panics,
                false => OnStop::Leaves,
            };
        }
        self.expected = Some(self.shut_down(sup, why, &[]));
    }

    /// Workers that the test can talk to and that have not been told.
    fn obedient(&self) -> Vec<usize> {
        let can = |&at: &usize| {
            let entry = &self.entries[at];
            let worker = self.worker(at);
            let leaves = worker.is_some_and(|worker| {
                worker.on_stop == OnStop::Leaves
                    && !matches!(worker.kind, Kind::Scoped | Kind::Host)
            });
            entry.state == State::Live && leaves
        };
        (0..self.entries.len()).filter(can).collect()
    }

    /// Workers whose handle the test holds.
    fn held(&self) -> Vec<usize> {
        let can = |&at: &usize| {
            let worker = self.worker(at);
            let kind = worker.is_some_and(|w| !matches!(w.kind, Kind::Scoped | Kind::Host));
            kind && self.entries[at].state != State::Gone && !self.detached.contains(&at)
        };
        (0..self.entries.len()).filter(can).collect()
    }

    fn may(&self, transition: &Transition) -> bool {
        let open = |sup: usize| self.sups.get(sup).is_some_and(|sup| sup.open && sup.held);
        match *transition {
            Transition::Spawn {
                sup,
                by: None,
                worker,
            } => {
                // Into one that is closed, plain ones: they are refused.
                let closed = self.sups.get(sup).is_some_and(|sup| !sup.open && sup.held);
                (open(sup) || (closed && worker.kind == Kind::Plain))
                    && self.affords(worker.callback)
            }
            Transition::Spawn {
                sup,
                by: Some(by),
                worker,
            } => {
                let home = self.entries.get(by).is_some_and(|entry| entry.sup == sup);
                let kind = matches!(worker.kind, Kind::Plain | Kind::Daemon | Kind::Critical);
                home && kind && self.obedient().contains(&by) && self.affords(worker.callback)
            }
            Transition::Child { sup } => open(sup),
            Transition::Hook { sup, job, .. } => open(sup) && self.affords(Some(job)),
            Transition::RemoveHook { hook } => self.entries.get(hook).is_some_and(|entry| {
                matches!(entry.what, What::Hook { .. }) && entry.state == State::Live
            }),
            // Told already, it does not listen to anything. One that ends its supervisor: only if somebody can ask how that went.
            Transition::End { worker, .. } => {
                self.held().contains(&worker) && {
                    let critical = self.worker(worker).unwrap().kind == Kind::Critical;
                    let entry = &self.entries[worker];
                    entry.state == State::Live && (!critical || self.sups[entry.sup].held)
                }
            }
            Transition::Terminate { worker } => {
                self.held().contains(&worker) && {
                    let plan = self.worker(worker).unwrap();
                    let ends = matches!(plan.on_stop, OnStop::Leaves | OnStop::Panics);
                    let critical = plan.kind == Kind::Critical;
                    // A critical one ends the supervisor while its callback still runs, so the order is open.
                    let order = !critical || plan.callback.is_none();
                    let shuts_down = plan.callback == Some(Job::ShutsDown);
                    let sup = self.entries[worker].sup;
                    // Nobody waits for a daemon, nor for a callback of it that began before the shutdown.
                    let waited = !shuts_down || plan.kind != Kind::Daemon;
                    order
                        && waited
                        && self.sups[sup].held
                        && (ends || (plan.on_stop == OnStop::Ignores && !shuts_down && !critical))
                }
            }
            Transition::Detach { worker } => self.held().contains(&worker),
            // What is nested in it would keep it.
            Transition::DropSupervisor { sup } => {
                let nests = |e: &Entry| e.sup == sup && matches!(e.what, What::Child(_));
                sup != 0 && open(sup) && !self.sups[sup].lingers && !self.entries.iter().any(nests)
            }
            Transition::Shutdown { sup, ref by, .. } => {
                let obedient = self.obedient();
                open(sup) && by.iter().all(|worker| obedient.contains(worker))
            }
            Transition::Again { sup } => {
                let sup = self.sups.get(sup);
                sup.is_some_and(|sup| !sup.open && sup.held)
            }
        }
    }

    fn affords(&self, job: Option<Job>) -> bool {
        job != Some(Job::Hangs) || self.hanging == 0
    }

    fn count(&mut self, job: Option<Job>) {
        self.hanging += usize::from(job == Some(Job::Hangs));
    }
}

fn fault(job: Option<Job>) -> Option<Job> {
    job.filter(|job| matches!(job, Job::Panics | Job::Hangs))
}

fn jobs() -> impl Strategy<Value = Job> {
    prop_oneof![
        60 => Just(Job::Notes),
        12 => Just(Job::Panics),
        12 => Just(Job::ShutsDown),
        1 => Just(Job::Hangs),
    ]
}

fn workers() -> impl Strategy<Value = Worker> {
    let kind = prop_oneof![
        8 => Just(Kind::Plain),
        2 => Just(Kind::Daemon),
        2 => Just(Kind::Critical),
        2 => Just(Kind::Adopted),
        2 => Just(Kind::Host),
    ];
    let on_stop = prop_oneof![
        8 => Just(OnStop::Leaves),
        2 => Just(OnStop::Panics),
        1 => Just(OnStop::Ignores),
        1 => Just(OnStop::SpawnsLate),
        1 => Just(OnStop::HooksLate),
        1 => Just(OnStop::NestsLate),
    ];
    (kind, proptest::option::of(jobs()), on_stop).prop_map(|(kind, mut callback, mut on_stop)| {
        if kind == Kind::Adopted {
            // There is no adopting without a callback, nor with a grace.
            callback = callback.or(Some(Job::Notes));
            on_stop = match on_stop {
                OnStop::Panics => OnStop::Panics,
                _ => OnStop::Leaves,
            };
        }
        // Nobody waits for a daemon, so whatever it does in its clean-up may be too late. A scope's threads just leave.
        let on_stop = match (kind, on_stop) {
            (Kind::Host, _) => OnStop::Leaves,
            (Kind::Plain, any) => any,
            (_, simple @ (OnStop::Leaves | OnStop::Panics | OnStop::Ignores)) => simple,
            _ => OnStop::Leaves,
        };
        Worker {
            kind,
            callback,
            on_stop,
        }
    })
}

impl ReferenceStateMachine for Model {
    type State = Model;
    type Transition = Transition;

    fn init_state() -> BoxedStrategy<Model> {
        prop_oneof![2 => Just(Order::AllThenJoin), 1 => Just(Order::OneByOne)]
            .prop_map(Model::new)
            .boxed()
    }

    fn transitions(model: &Model) -> BoxedStrategy<Transition> {
        let pick = |from: Vec<usize>| proptest::sample::select(from);
        let sups = |wanted: fn(&Sup) -> bool| -> Vec<usize> {
            let fits = |&at: &usize| wanted(&model.sups[at]);
            (0..model.sups.len()).filter(fits).collect()
        };
        let open = sups(|sup| sup.open && sup.held);
        let closed = sups(|sup| !sup.open && sup.held);
        let obedient = model.obedient();
        let held = model.held();
        let hooks: Vec<usize> = (0..model.entries.len())
            .filter(|&hook| model.may(&Transition::RemoveHook { hook }))
            .collect();
        let mut all: Vec<(u32, BoxedStrategy<Transition>)> = Vec::new();
        if !open.is_empty() {
            let spawn = |(sup, worker)| Transition::Spawn {
                sup,
                by: None,
                worker,
            };
            all.push((10, (pick(open.clone()), workers()).prop_map(spawn).boxed()));
            let child = |sup| Transition::Child { sup };
            all.push((4, pick(open.clone()).prop_map(child).boxed()));
            let hook = (pick(open.clone()), any::<bool>(), jobs());
            let hook = hook.prop_map(|(sup, at_exit, job)| Transition::Hook { sup, at_exit, job });
            all.push((4, hook.boxed()));
            let drop = |sup| Transition::DropSupervisor { sup };
            all.push((1, pick(open.clone()).prop_map(drop).boxed()));
            let by = proptest::sample::subsequence(obedient.clone(), 0..=obedient.len().min(3));
            let shutdown = (pick(open), by, any::<bool>());
            let shutdown = shutdown.prop_map(|(sup, by, requested)| Transition::Shutdown {
                sup,
                by,
                requested,
            });
            all.push((1, shutdown.boxed()));
        }
        if !obedient.is_empty() {
            let homes: Vec<usize> = model.entries.iter().map(|entry| entry.sup).collect();
            let nested = (pick(obedient), workers()).prop_map(move |(by, mut worker)| {
                if matches!(worker.kind, Kind::Adopted | Kind::Host) {
                    worker.kind = Kind::Plain;
                }
                let (sup, by) = (homes[by], Some(by));
                Transition::Spawn { sup, by, worker }
            });
            all.push((4, nested.boxed()));
        }
        if !closed.is_empty() {
            let again = |sup| Transition::Again { sup };
            all.push((1, pick(closed.clone()).prop_map(again).boxed()));
            let refused = (pick(closed), workers()).prop_map(|(sup, mut worker)| {
                worker.kind = Kind::Plain;
                let by = None;
                Transition::Spawn { sup, by, worker }
            });
            all.push((1, refused.boxed()));
        }
        if !held.is_empty() {
            let end = (pick(held.clone()), any::<bool>());
            let end = end.prop_map(|(worker, panics)| Transition::End { worker, panics });
            all.push((2, end.boxed()));
            let terminate = |worker| Transition::Terminate { worker };
            all.push((2, pick(held.clone()).prop_map(terminate).boxed()));
            let detach = |worker| Transition::Detach { worker };
            all.push((1, pick(held).prop_map(detach).boxed()));
        }
        if !hooks.is_empty() {
            let remove = |hook| Transition::RemoveHook { hook };
            all.push((1, pick(hooks).prop_map(remove).boxed()));
        }
        Union::new_weighted(all).boxed()
    }

    fn preconditions(model: &Model, transition: &Transition) -> bool {
        model.may(transition)
    }

    fn apply(mut model: Model, transition: &Transition) -> Model {
        model.expected = None;
        model.lines.clear();
        match *transition {
            Transition::Spawn { sup, worker, .. } if model.sups[sup].open => {
                model.count(worker.callback);
                model.add(sup, What::Worker(worker));
                if worker.kind == Kind::Host {
                    let scoped = Worker {
                        kind: Kind::Scoped,
                        callback: None,
                        on_stop: OnStop::Leaves,
                    };
                    model.add(sup, What::Worker(scoped));
                }
            }
            Transition::Spawn { .. } | Transition::Again { .. } => {} // refused; the same as before
            Transition::Child { sup } => {
                let child = model.sups.len();
                model.sups.push(Sup {
                    entry: Some(model.entries.len()),
                    open: true,
                    held: true,
                    lingers: false,
                });
                model.add(sup, What::Child(child));
            }
            Transition::Hook { sup, at_exit, job } => {
                model.count(Some(job));
                model.add(sup, What::Hook { at_exit, job });
            }
            Transition::RemoveHook { hook } => model.entries[hook].state = State::Gone,
            Transition::End { worker, panics } => {
                if model.worker(worker).unwrap().kind == Kind::Critical {
                    model.critical_ended(worker, panics);
                } else {
                    model.entries[worker].state = State::Gone;
                }
            }
            Transition::Terminate { worker } => {
                let plan = model.worker(worker).unwrap();
                let (sup, told) = (model.entries[worker].sup, model.entries[worker].state);
                model.sups[sup].lingers = true;
                if told == State::Told {
                    // Nothing happens the second time.
                } else if plan.on_stop == OnStop::Ignores {
                    model.entries[worker].state = State::Told;
                    model.notes_told(worker);
                } else if plan.kind == Kind::Critical {
                    model.critical_ended(worker, plan.on_stop == OnStop::Panics);
                } else if plan.callback == Some(Job::ShutsDown) {
                    // The callback has begun the shutdown, in which the worker is no one else's to tell.
                    model.entries[worker].state = State::Told;
                    let mut expected = model.shut_down(sup, Why::Requested, &[]);
                    let label = model.label(worker);
                    expected
                        .lines
                        .insert(0, (format!("told {label}"), Vec::new()));
                    expected.late_lines.insert(format!("so far {label}"));
                    model.expected = Some(expected);
                } else {
                    model.entries[worker].state = State::Gone;
                    model.notes_told(worker);
                }
            }
            Transition::Detach { worker } => drop(model.detached.insert(worker)),
            Transition::DropSupervisor { sup } => model.sups[sup].held = false,
            Transition::Shutdown {
                sup,
                ref by,
                requested,
            } => {
                let why = match requested {
                    true => Why::Exit,
                    false => Why::Requested,
                };
                model.expected = Some(model.shut_down(sup, why, by));
            }
        }
        model.vanish();
        model
    }
}

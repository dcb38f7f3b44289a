//! The library under test: carries out each transition with real threads, and compares what happened with what the model says.
//!
//! Nothing here sleeps or polls: workers are talked to through channels, and whoever ignores its stop waits at a gate until the test is
//! over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use crossbeam_channel::{bounded, select, unbounded, Receiver, Sender};
use proptest_state_machine::StateMachineTest;
use sundown::thread::{self, JoinHandle};
use sundown::{
    CallbackFault, Cause, EntryKind, EntryReport, Hook, ShutdownReport, StopToken, Supervisor,
};

use crate::model::{
    Expected, Job, Kind, Model, OnStop, Outcome, Row, Transition, What, Why, Worker,
};

/// Long enough for any step on a machine that is very busy; reaching it is a failure.
const PATIENCE: Duration = Duration::from_secs(60);
/// What all our panics begin with.
const PLANNED: &str = "planned: ";

/// What a worker is told to do.
enum Command {
    End,
    Panic,
    Run(Box<dyn FnOnce() + Send>),
}

/// What all threads of one program share.
#[derive(Clone)]
struct World {
    journal: Arc<Mutex<Vec<String>>>,
    /// Nothing is ever sent: it disconnects at the end of the test.
    gate: Receiver<()>,
}

impl World {
    fn note(&self, line: impl Into<String>) {
        self.journal.lock().unwrap().push(line.into());
    }

    fn job(&self, verb: &str, label: &str, job: Job, sup: Supervisor) -> impl FnOnce() + Send {
        let (world, line, label) = (self.clone(), format!("{verb} {label}"), label.to_owned());
        move || {
            world.note(line);
            match job {
                Job::Notes => {}
                Job::Panics => panic!("{PLANNED}the callback of {label}"),
                Job::Hangs => drop(world.gate.recv()),
                Job::ShutsDown => {
                    let report = sup.shutdown();
                    assert!(!report.is_complete(), "it waited for itself: {report}");
                    world.note(format!("so far {label}"));
                }
            }
        }
    }

    /// What a worker does all its life.
    fn work(&self, label: &str, on_stop: OnStop, token: &StopToken, commands: &Receiver<Command>) {
        loop {
            select! {
                recv(commands) -> command => match command {
                    // Disconnected: the test has failed.
                    Ok(Command::End) | Err(_) => return,
                    Ok(Command::Panic) => panic!("{PLANNED}{label}"),
                    Ok(Command::Run(job)) => job(),
                },
                recv(token.channel()) -> _ => break,
            }
        }
        let late = |name: &str| format!("late {name} of {label}");
        let noter = |line: String| {
            let world = self.clone();
            move || world.note(line)
        };
        let spawn_late = |builder: thread::Builder| {
            let builder = builder.name(late("worker"));
            let builder = builder.on_terminate(noter(late("worker")));
            builder.spawn_with(|stop| stop.wait()).unwrap()
        };
        match on_stop {
            OnStop::Leaves => {}
            OnStop::Panics => {
                self.note(format!("left {label}"));
                panic!("{PLANNED}{label}");
            }
            OnStop::Ignores => drop(self.gate.recv()),
            OnStop::SpawnsLate => spawn_late(thread::Builder::new()).join().unwrap(),
            OnStop::HooksLate => {
                sundown::on_shutdown(late("hook"), noter(late("hook")));
                sundown::on_exit(late("exit"), noter(late("exit")));
            }
            OnStop::NestsLate => {
                let child = Supervisor::current().child(late("child"));
                drop(spawn_late(child.worker()));
            }
        }
        self.note(format!("left {label}"));
    }
}

/// One worker, as the test holds it.
struct Held {
    commands: Sender<Command>,
    handle: Option<JoinHandle<()>>,
}

pub struct Machine {
    sups: Vec<Option<Supervisor>>,
    workers: BTreeMap<usize, Held>,
    hooks: BTreeMap<usize, Hook>,
    reports: BTreeMap<usize, ShutdownReport>,
    world: World,
    /// Dropped at the end.
    _key: Sender<()>,
}

impl Machine {
    fn sup(&self, sup: usize) -> &Supervisor {
        self.sups[sup].as_ref().expect("the model says it is held")
    }

    /// What was noted since the last look.
    fn lines(&self) -> Vec<String> {
        std::mem::take(&mut *self.world.journal.lock().unwrap())
    }

    /// Spawns the worker `at`; from the thread of `by`, if there is one.
    fn spawn(&mut self, model: &Model, at: usize, by: Option<usize>) {
        let worker = model.worker(at).unwrap();
        let sup = model.entries[at].sup;
        let label = model.label(at);
        let (commands, theirs) = unbounded();
        let world = self.world.clone();
        let handle = match (worker.kind, by) {
            (Kind::Adopted, _) => self.adopt(sup, &label, worker, theirs),
            (Kind::Host, _) => self.host(sup, &label, worker, model.label(at + 1)),
            (_, None) => start(&world, self.sup(sup).worker(), &label, worker, theirs),
            (_, Some(by)) => {
                let start = move || start(&world, thread::Builder::new(), &label, worker, theirs);
                self.run_on(by, start).recv_timeout(PATIENCE).unwrap()
            }
        };
        let handle = Some(handle);
        self.workers.insert(at, Held { commands, handle });
    }

    /// Has the worker run this, and gives what comes of it.
    fn run_on<T: Send + 'static>(
        &self,
        worker: usize,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Receiver<T> {
        let (done, result) = bounded(1);
        let run = Command::Run(Box::new(move || drop(done.send(job()))));
        // A worker that has left drops it, and so the sender in it.
        drop(self.workers[&worker].commands.send(run));
        result
    }

    fn adopt(
        &self,
        sup: usize,
        label: &str,
        worker: Worker,
        commands: Receiver<Command>,
    ) -> JoinHandle<()> {
        let (go, gone) = bounded::<()>(1);
        let (world, name) = (self.world.clone(), label.to_owned());
        let thread = std::thread::spawn(move || {
            gone.recv().unwrap();
            world.work(&name, worker.on_stop, &sundown::stop_token(), &commands);
        });
        let sup = self.sup(sup);
        let job = worker.callback.expect("there is no adopting without");
        let job = self.world.job("told", label, job, sup.clone());
        let handle = sup.adopt(label, thread, job);
        go.send(()).unwrap();
        handle
    }

    /// A worker that only waits for the thread of its scope.
    fn host(&self, sup: usize, label: &str, worker: Worker, inner: String) -> JoinHandle<()> {
        let mut builder = self.sup(sup).worker().name(label.to_owned());
        if let Some(job) = worker.callback {
            let job = self.world.job("told", label, job, self.sup(sup).clone());
            builder = builder.on_terminate(job);
        }
        let (world, label) = (self.world.clone(), label.to_owned());
        let (ready, is_ready) = bounded(1);
        let handle = builder.spawn(move || {
            thread::scope(|scope| {
                let scoped = thread::Builder::new().name(inner.clone());
                let started = scoped.spawn_scoped(scope, || {
                    sundown::stop_token().wait();
                    world.note(format!("left {inner}"));
                });
                started.unwrap();
                ready.send(()).unwrap();
            });
            world.note(format!("left {label}"));
        });
        is_ready.recv_timeout(PATIENCE).unwrap();
        handle.unwrap()
    }

    /// All who are to, ask for the shutdown; what they get is one report.
    fn shut_down(&self, sup: usize, by: &[usize], requested: bool) -> ShutdownReport {
        let supervisor = self.sup(sup);
        if requested {
            assert!(supervisor.request_shutdown(Cause::Exit(7)));
            assert!(!supervisor.request_shutdown(Cause::Requested), "the second");
        }
        let shutdown = |&by: &usize| {
            let supervisor = supervisor.clone();
            self.run_on(by, move || supervisor.shutdown())
        };
        let answers: Vec<_> = by.iter().map(shutdown).collect();
        let one = match requested || by.is_empty() {
            true => Some(report_of(supervisor)),
            false => None,
        };
        let alone = answers.len() == 1 && one.is_none();
        // Of several, all but the quickest may have been told before they could ask.
        let answered = answers
            .iter()
            .filter_map(|answer| match answer.recv_timeout(PATIENCE) {
                Err(error) if alone || error.is_timeout() => panic!("it hangs: {error}"),
                report => report.ok(),
            });
        let reports: Vec<ShutdownReport> = one.into_iter().chain(answered).collect();
        for other in &reports[1..] {
            assert_same(&reports[0], other);
        }
        reports[0].clone()
    }

    /// Compares what a shutdown did and said with what it must.
    fn check(&self, model: &Model, expected: &Expected, report: &ShutdownReport) {
        let lines = self.lines();
        let context = || format!("{report}\n{lines:#?}\n{expected:#?}\n{model:#?}");
        let cause = match expected.why {
            Why::Requested => format!("{:?}", Cause::Requested),
            Why::Exit => format!("{:?}", Cause::Exit(7)),
            Why::WorkerEnded { worker, panicked } => {
                let name = Some(model.label(worker));
                format!("WorkerEnded {{ name: {name:?}, panicked: {panicked} }}")
            }
        };
        assert_eq!(format!("{:?}", report.cause()), cause, "{}", context());
        assert!(report.is_complete(), "{}", context());
        // Whoever does not listen has a short grace, so the deadline is far.
        assert!(report.elapsed() < Duration::from_secs(8), "{}", context());

        let is_late = |entry: &&EntryReport| entry.name().is_some_and(|n| n.starts_with("late"));
        let entries = report.entries();
        let (late, known): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| is_late(entry));
        let names: Vec<_> = known.iter().map(|entry| entry.name().unwrap()).collect();
        let rows = expected.rows.iter().map(|row| model.label(row.entry));
        assert_eq!(names, rows.collect::<Vec<_>>(), "{}", context());
        for (row, entry) in expected.rows.iter().zip(&known) {
            let matches = fits(model, row, entry);
            assert!(matches, "{row:?}\n{entry:?}\n{}", context());
        }
        let mut names: Vec<_> = late.iter().map(|entry| entry.name().unwrap()).collect();
        names.sort_unstable();
        let wanted: Vec<_> = expected.late_rows.iter().map(String::as_str).collect();
        assert_eq!(names, wanted, "{}", context());
        for entry in late {
            let fine = *entry.outcome() == sundown::Outcome::Finished && entry.is_clean();
            assert!(fine, "{entry:?}\n{}", context());
        }
        self.check_lines(model, expected, &lines, &context);
    }

    fn check_lines(
        &self,
        model: &Model,
        expected: &Expected,
        lines: &[String],
        context: &dyn Fn() -> String,
    ) {
        let is_late = |line: &&String| expected.late_lines.contains(*line);
        let left = |line: &&String| line.starts_with("left ");
        let ordered: Vec<_> = lines.iter().filter(|l| !left(l) && !is_late(l)).collect();
        let wanted: Vec<_> = expected.lines.iter().map(|(line, _)| line).collect();
        assert_eq!(ordered, wanted, "{}", context());
        let late: Vec<_> = lines.iter().filter(is_late).collect();
        assert_eq!(late.len(), expected.late_lines.len(), "{}", context());
        for line in &expected.late_lines {
            assert!(lines.contains(line), "{line:?}: {}", context());
        }
        let position = |line: &str| lines.iter().position(|l| l == line);
        for &worker in &expected.left {
            let line = format!("left {}", model.label(worker));
            let times = lines.iter().filter(|l| **l == line).count();
            // One that ended by itself, and by that began the shutdown, was never told.
            let told = !matches!(expected.why, Why::WorkerEnded { worker: w, .. } if w == worker);
            assert!(times == 1 || !told, "{line:?}: {}", context());
        }
        for (line, before) in &expected.lines {
            for &worker in before {
                let left = position(&format!("left {}", model.label(worker)));
                assert!(left < position(line), "{line:?}: {}", context());
            }
        }
    }

    /// The handles of workers that were joined give what the report says.
    fn check_handles(&mut self, model: &Model, expected: &Expected) {
        for row in &expected.rows {
            let held = self.workers.get_mut(&row.entry);
            let Some(handle) = held.and_then(|held| held.handle.take()) else {
                continue;
            };
            match row.outcomes[..] {
                [Outcome::Finished] => handle.join().expect("it has finished"),
                [Outcome::Panicked] => assert_planned(handle.join(), &model.label(row.entry)),
                [Outcome::Straggler] => {
                    let handle = handle.join_timeout(Duration::ZERO);
                    handle.expect_err("it is still there");
                }
                _ => drop(handle),
            }
        }
    }
}

fn start(
    world: &World,
    builder: thread::Builder,
    label: &str,
    worker: Worker,
    commands: Receiver<Command>,
) -> JoinHandle<()> {
    let started = try_start(world, builder, label, worker, commands);
    started.unwrap_or_else(|error| panic!("{label}: {error}"))
}

fn try_start(
    world: &World,
    mut builder: thread::Builder,
    label: &str,
    worker: Worker,
    commands: Receiver<Command>,
) -> std::io::Result<JoinHandle<()>> {
    builder = builder.name(label.to_owned());
    if let Some(job) = worker.callback {
        let (world, label) = (world.clone(), label.to_owned());
        builder = builder.on_terminate(move || {
            // In a callback, this is the supervisor whose worker is told.
            world.job("told", &label, job, Supervisor::current())();
        });
    }
    builder = match worker.kind {
        Kind::Daemon => builder.daemon(),
        Kind::Critical => builder.critical(),
        _ => builder,
    };
    if worker.on_stop == OnStop::Ignores {
        builder = builder.grace(Duration::from_millis(10));
    }
    let (world, label) = (world.clone(), label.to_owned());
    builder.spawn_with(move |stop| world.work(&label, worker.on_stop, &stop, &commands))
}

/// The report, or a panic instead of a hang.
fn report_of(supervisor: &Supervisor) -> ShutdownReport {
    let (done, report) = bounded(1);
    let supervisor = supervisor.clone();
    std::thread::spawn(move || done.send(supervisor.shutdown()));
    report.recv_timeout(PATIENCE).expect("the shutdown hangs")
}

fn fits(model: &Model, row: &Row, entry: &EntryReport) -> bool {
    let label = model.label(row.entry);
    let outcome = match entry.outcome() {
        sundown::Outcome::Finished => Outcome::Finished,
        sundown::Outcome::Panicked(message) => {
            assert!(
                message.starts_with(PLANNED) && message.ends_with(&label),
                "{message}"
            );
            Outcome::Panicked
        }
        sundown::Outcome::Straggler => Outcome::Straggler,
        sundown::Outcome::Caller => Outcome::Caller,
        sundown::Outcome::Daemon => Outcome::Daemon,
        _ => return false,
    };
    let fault = match entry.callback_fault() {
        Some(CallbackFault::Panicked(message)) => {
            assert_eq!(*message, format!("{PLANNED}the callback of {label}"));
            Some(Job::Panics)
        }
        Some(CallbackFault::Hung) => Some(Job::Hangs),
        Some(_) => return false,
        None => None,
    };
    let kind = match model.entries[row.entry].what {
        What::Worker(worker) => match worker.kind {
            Kind::Adopted => EntryKind::Adopted,
            Kind::Scoped => EntryKind::Scoped,
            _ => EntryKind::Worker,
        },
        What::Hook { at_exit: true, .. } => EntryKind::OnExit,
        What::Hook { .. } => EntryKind::OnShutdown,
        What::Child(_) => EntryKind::Supervisor,
    };
    let clean = fault.is_none() && !matches!(outcome, Outcome::Panicked | Outcome::Straggler);
    row.outcomes.contains(&outcome)
        && row.fault == fault
        && entry.kind() == kind
        && entry.callback().is_some() == row.callback_ran
        && entry.is_clean() == clean
        && entry.is_straggler() == (outcome == Outcome::Straggler || fault == Some(Job::Hangs))
}

fn assert_same(one: &ShutdownReport, other: &ShutdownReport) {
    assert_eq!(format!("{one:?}"), format!("{other:?}"));
}

fn assert_planned(result: thread::Result<()>, label: &str) {
    let payload = result.expect_err("it panicked");
    let message = payload.downcast_ref::<String>().expect("a formatted one");
    assert_eq!(*message, format!("{PLANNED}{label}"));
}

/// Panics that are part of the program are not worth printing.
fn quieten() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let message = info.payload().downcast_ref::<String>();
            if !message.is_some_and(|message| message.starts_with(PLANNED)) {
                usual(info);
            }
        }));
    });
}

impl StateMachineTest for Machine {
    type SystemUnderTest = Machine;
    type Reference = Model;

    fn init_test(model: &Model) -> Machine {
        quieten();
        let (key, gate) = bounded(0);
        Machine {
            sups: vec![Some(Supervisor::builder().order(model.order).build())],
            workers: BTreeMap::new(),
            hooks: BTreeMap::new(),
            reports: BTreeMap::new(),
            world: World {
                journal: Arc::default(),
                gate,
            },
            _key: key,
        }
    }

    fn apply(mut machine: Machine, model: &Model, transition: Transition) -> Machine {
        let last = model.entries.len().wrapping_sub(1);
        let mut report = None;
        match transition {
            Transition::Spawn { sup, worker, .. } if !model.sups[sup].open => {
                let builder = machine.sup(sup).worker();
                let (_, commands) = unbounded();
                let refused = try_start(&machine.world, builder, "refused", worker, commands);
                let error = refused.expect_err("the supervisor is closed");
                assert!(error.to_string().contains("shutdown is over"), "{error}");
            }
            Transition::Spawn { by, worker, .. } => {
                let at = last - usize::from(worker.kind == Kind::Host);
                machine.spawn(model, at, by);
            }
            Transition::Child { sup } => {
                let child = machine.sup(sup).child(model.label(last));
                machine.sups.push(Some(child));
            }
            Transition::Hook { sup, at_exit, job } => {
                let (sup, label) = (machine.sup(sup), model.label(last));
                let job = machine.world.job("hook", &label, job, sup.clone());
                let hook = match at_exit {
                    true => sup.on_exit(label, job),
                    false => sup.on_shutdown(label, job),
                };
                machine.hooks.insert(last, hook);
            }
            Transition::RemoveHook { hook } => {
                let hook = machine.hooks.remove(&hook).unwrap();
                assert!(hook.clone().remove());
                assert!(!hook.remove(), "it was taken back already");
            }
            Transition::End { worker, panics } => {
                let held = machine.workers.get_mut(&worker).unwrap();
                let command = match panics {
                    true => Command::Panic,
                    false => Command::End,
                };
                held.commands.send(command).unwrap();
                let result = held.handle.take().unwrap().join();
                match panics {
                    true => assert_planned(result, &model.label(worker)),
                    false => result.expect("it was to return"),
                }
            }
            Transition::Terminate { worker } => {
                let held = machine.workers.get_mut(&worker).unwrap();
                held.handle.as_ref().unwrap().terminate();
                let plan = model.worker(worker).unwrap();
                if plan.on_stop != OnStop::Ignores {
                    let result = held.handle.take().unwrap().join();
                    match plan.on_stop {
                        OnStop::Panics => assert_planned(result, &model.label(worker)),
                        _ => result.expect("it was to leave"),
                    }
                }
            }
            Transition::Detach { worker } => {
                machine.workers.get_mut(&worker).unwrap().handle = None;
            }
            Transition::DropSupervisor { sup } => machine.sups[sup] = None,
            Transition::Shutdown {
                sup,
                ref by,
                requested,
            } => {
                let told = machine.shut_down(sup, by, requested);
                machine.reports.insert(sup, told.clone());
                report = Some(told);
            }
            Transition::Again { sup } => {
                let again = report_of(machine.sup(sup));
                assert!(again.is_complete());
                let first = machine.reports.entry(sup).or_insert_with(|| again.clone());
                assert_same(first, &again);
            }
        }
        if let Some(expected) = &model.expected {
            let report = report.or_else(|| machine.begun_by(model, &transition));
            if let Some(report) = report {
                machine.check(model, expected, &report);
                machine.check_handles(model, expected);
            }
        } else {
            let mut lines = machine.lines();
            lines.retain(|line| !line.starts_with("left "));
            assert_eq!(lines, model.lines, "{model:#?}");
        }
        machine
    }

    fn check_invariants(machine: &Machine, model: &Model) {
        if model.sups[0].open {
            let workers = machine.sup(0).workers();
            let listed: Vec<_> = workers
                .into_iter()
                .filter_map(|worker| worker.name)
                .collect();
            assert_eq!(listed, model.listed(), "{model:#?}");
        }
    }

    /// Each program ends with the shutdown of what is left.
    fn teardown(mut machine: Machine, mut model: Model) {
        if model.sups[0].open {
            let expected = model.shut_down(0, Why::Requested, &[]);
            let report = report_of(machine.sup(0));
            machine.check(&model, &expected, &report);
            machine.check_handles(&model, &expected);
        }
    }
}

impl Machine {
    /// The report of a shutdown that a worker's end, or a callback, has begun. None if nobody can ask for it.
    fn begun_by(&self, model: &Model, transition: &Transition) -> Option<ShutdownReport> {
        let (Transition::End { worker, .. } | Transition::Terminate { worker }) = transition else {
            return None;
        };
        let sup = model.entries[*worker].sup;
        self.sups[sup].as_ref().map(report_of)
    }
}

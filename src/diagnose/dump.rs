//! The live table of workers as an operator reads it, at any time.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::cycles::Graph;
use super::kernel::Kernel;
use super::text::Where;
use crate::base::apart::start;
use crate::base::text::{beginning, Printable, Short};
use crate::supervisor::waits::Waiter;
use crate::supervisor::{CallbackState, Supervisor, WorkerId, WorkerInfo};

/// How long threads are looked at: a table that comes late is no use.
const LOOK_LIMIT: Duration = Duration::from_millis(500);

impl Supervisor {
    /// The workers that are registered here and in nested supervisors, and `main` if this is installed, as a table for people, oldest
    /// first: who, for how long, doing what, and where spawned; and who waits for one another in a circle. No thread is stopped or
    /// disturbed for it. With the feature `stacks`, the frames of those that are blocked follow each.
    ///
    /// The text is not for programs: use [`workers`](Supervisor::workers).
    ///
    /// ```
    /// use sundown::Supervisor;
    ///
    /// let supervisor = Supervisor::builder().name("store").build();
    /// supervisor.worker().name("indexer".into()).spawn_with(|stop| stop.wait())?;
    /// let table = supervisor.dump();
    /// assert!(table.starts_with("store is running, 1 worker\n"), "{table}");
    /// assert!(table.contains("indexer"), "{table}");
    /// # supervisor.shutdown();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn dump(&self) -> String {
        Dump::of(self).to_string()
    }
}

/// One table.
struct Dump {
    heading: String,
    rows: Vec<Row>,
}

struct Row {
    /// Number, name, age, told: in columns.
    cells: [String; 4],
    /// What is as long as it is.
    rest: String,
    stack: Vec<String>,
}

impl Dump {
    fn of(supervisor: &Supervisor) -> Dump {
        let mut workers = supervisor.workers();
        let name = supervisor.name().map(|name| Printable(name).to_string());
        let name = name.unwrap_or_else(|| "the supervisor".to_owned());
        let count = match workers.len() {
            1 => "1 worker".to_owned(),
            count => format!("{count} workers"),
        };
        let state = match supervisor.core.under_way() {
            None if supervisor.core.is_stopping() => "has shut down".to_owned(),
            None => "is running".to_owned(),
            Some((began, deadline)) => {
                let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
                let left = left.map(|left| format!(" ({} left)", Short(left)));
                format!(
                    "is stopping for {}{}",
                    Short(began.elapsed()),
                    left.unwrap_or_default()
                )
            }
        };
        // First, as the oldest that there is; it is no worker, so it is not counted.
        let main = supervisor.core.registry.lock().main.clone();
        if let Some(main) = main.filter(|main| !main.is_gone()) {
            workers.insert(0, WorkerInfo::of(&main, &supervisor.core));
        }
        let ends = Instant::now() + LOOK_LIMIT;
        let kernel = Kernel::default();
        // The thread that this runs on is nowhere but here.
        let elsewhere = |worker: &&WorkerInfo| Some(worker.id) != super::current_worker();
        let threads = workers
            .iter()
            .map(|worker| Some(worker).filter(elsewhere)?.os_id);
        let threads: Vec<_> = threads.collect();
        let mut rows: Vec<Row> = workers
            .iter()
            .map(|worker| Row::of(worker, supervisor.name(), &kernel, ends))
            .collect();
        for (row, circle) in rows.iter_mut().zip(circles(&workers, ends)) {
            if let Some(circle) = circle {
                row.rest.push_str("; waits in a circle: ");
                row.rest.push_str(&circle);
            }
        }
        let rows = rows.into_iter().zip(frames(&threads, ends));
        let rows = rows.map(|(row, stack)| Row { stack, ..row });
        Dump {
            heading: format!("{name} {state}, {count}"),
            rows: rows.collect(),
        }
    }
}

/// The circles of waits that these workers are in, as far as there is time: this asks users' code.
fn circles(workers: &[WorkerInfo], ends: Instant) -> Vec<Option<String>> {
    let found = Arc::new(Mutex::new(vec![None; workers.len()]));
    let theirs = Arc::clone(&found);
    let ids: Vec<WorkerId> = workers.iter().map(|worker| worker.id).collect();
    let asked = start(move || {
        let graph = Graph::now();
        let circles = ids.iter().map(|&id| {
            let one = Waiter::Worker(id);
            graph.cycle_of(one, |id| super::name_of(&[], id))
        });
        let circles = circles.collect();
        *theirs.lock() = circles;
    });
    if let Some(asked) = asked {
        asked.wait(ends.saturating_duration_since(Instant::now()));
    }
    let found = found.lock();
    found.clone()
}

impl Row {
    /// `top` is the name of the supervisor that the table is of.
    fn of(worker: &WorkerInfo, top: Option<&str>, kernel: &Kernel, ends: Instant) -> Row {
        let name = worker.name.as_deref().unwrap_or("<unnamed>");
        let mut rest = String::new();
        match worker.os_id {
            _ if Some(worker.id) == super::current_worker() => rest.push_str("makes this table"),
            Some(thread) if Instant::now() < ends => {
                rest.push_str(&Where(&kernel.look(thread).thread).to_string());
            }
            Some(thread) => rest.push_str(&format!(
                "not looked at, for want of time [thread {thread}]"
            )),
            None if cfg!(target_os = "linux") => rest.push_str("starting"),
            None => rest.push_str("the system does not tell"),
        }
        let mut add = |what: String| {
            rest.push_str("; ");
            rest.push_str(&what);
        };
        if let Some(activity) = &worker.activity {
            add(format!("activity: {}", Printable(beginning(activity))));
        }
        match &worker.callback {
            CallbackState::None | CallbackState::NotRun => {}
            callback => add(format!("callback: {callback}")),
        }
        if worker.restarts > 0 {
            add(format!("restarts: {}", worker.restarts));
        }
        if worker.daemon {
            add("daemon".to_owned());
        }
        if worker.critical {
            add("critical".to_owned());
        }
        if let Some(supervisor) = worker
            .supervisor
            .as_deref()
            .filter(|name| Some(*name) != top)
        {
            add(format!("of {}", Printable(supervisor)));
        }
        add(format!(
            "{}:{}",
            worker.location.file(),
            worker.location.line()
        ));
        let told = worker.told.map(|told| Short(told).to_string());
        Row {
            cells: [
                worker.id.to_string(),
                Printable(name).to_string(),
                Short(worker.age).to_string(),
                told.unwrap_or_else(|| "-".to_owned()),
            ],
            rest,
            stack: Vec::new(),
        }
    }
}

#[cfg(all(feature = "stacks", target_os = "linux", target_arch = "x86_64"))]
use super::stacks::of_blocked as frames;

#[cfg(not(all(feature = "stacks", target_os = "linux", target_arch = "x86_64")))]
fn frames(threads: &[Option<u32>], _ends: Instant) -> Vec<Vec<String>> {
    vec![Vec::new(); threads.len()]
}

impl Display for Dump {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.heading)?;
        if self.rows.is_empty() {
            return Ok(());
        }
        let titles = ["worker", "name", "age", "told"];
        let mut widths = titles.map(str::len);
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(&row.cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for (width, title) in widths.iter().zip(titles) {
            write!(f, "{title:width$}  ", width = *width)?;
        }
        writeln!(f, "doing")?;
        for row in &self.rows {
            for (width, cell) in widths.iter().zip(&row.cells) {
                write!(f, "{cell:width$}  ", width = *width)?;
            }
            writeln!(f, "{}", row.rest)?;
            for frame in &row.stack {
                writeln!(f, "    at {}", Printable(frame))?;
            }
        }
        Ok(())
    }
}

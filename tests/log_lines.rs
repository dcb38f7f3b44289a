//! Everything that happens is logged when it does, with target `sundown` and key-values.
//!
//! One test, since there is one logger for the process.

mod support;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use log::kv::{Error, Key, Value, VisitSource};
use log::Level;
use sundown::restart::Restart;
use sundown::Supervisor;
use support::in_time;

#[derive(Clone, Debug)]
struct Line {
    level: Level,
    text: String,
    values: BTreeMap<String, String>,
}

static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());

struct Collect;

impl log::Log for Collect {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        assert_eq!(record.target(), "sundown");
        let mut values = Values::default();
        record.key_values().visit(&mut values).unwrap();
        LINES.lock().unwrap().push(Line {
            level: record.level(),
            text: record.args().to_string(),
            values: values.0,
        });
    }

    fn flush(&self) {}
}

#[derive(Default)]
struct Values(BTreeMap<String, String>);

impl<'kvs> VisitSource<'kvs> for Values {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        self.0.insert(key.to_string(), value.to_string());
        Ok(())
    }
}

/// The lines about this worker, which must be there.
fn about(name: &str) -> Vec<Line> {
    let lines = LINES.lock().unwrap();
    let named = |line: &&Line| line.values.get("name").map(String::as_str) == Some(name);
    lines.iter().filter(named).cloned().collect()
}

#[test]
fn what_happens_is_in_the_log_with_its_key_values() {
    log::set_logger(&Collect).unwrap();
    log::set_max_level(log::LevelFilter::Debug);
    let supervisor = Supervisor::builder().name("shop").build();

    // When a join returns, the log says how the worker ended.
    let clumsy = supervisor.worker().name("clumsy".into());
    let clumsy = clumsy.spawn(|| panic!("oops")).unwrap();
    let id = clumsy.id();
    assert!(in_time(|| clumsy.join()).is_err());
    let lines = about("clumsy");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(
        (lines[0].level, lines[1].level),
        (Level::Debug, Level::Error)
    );
    assert_eq!(
        lines[1].text,
        format!("worker clumsy ({id}) panicked: oops")
    );
    let values = &lines[1].values;
    assert_eq!(values["event"], "panicked");
    assert_eq!(values["id"], id.get().to_string());
    assert_eq!(values["supervisor"], "shop");

    let policy = Restart::on_failure()
        .backoff(Duration::ZERO, Duration::ZERO)
        .limit(1, Duration::from_secs(3_600));
    let client = supervisor.worker().name("client".into()).restart(policy);
    client.spawn_loop(|_| Err::<(), _>("refused")).unwrap();
    let waiter = supervisor.clone();
    in_time(move || waiter.wait_for_shutdown());
    in_time(move || supervisor.shutdown());
    let lines = about("client");
    let said: Vec<(Level, &str)> = lines
        .iter()
        .map(|line| (line.level, line.values["event"].as_str()))
        .collect();
    let expected = [
        (Level::Debug, "started"),
        (Level::Warn, "restarting"),
        (Level::Error, "gave_up"),
        (Level::Error, "failed"),
        (Level::Debug, "terminate_requested"),
    ];
    assert_eq!(said, expected);

    let lines = LINES.lock().unwrap();
    let began = lines
        .iter()
        .position(|line| line.text.starts_with("shutting down after giving up"));
    let ended = lines
        .iter()
        .position(|line| line.text.starts_with("shutdown after giving up"));
    assert!(began.unwrap() < ended.unwrap(), "{lines:#?}");
    assert_eq!(lines[ended.unwrap()].values["event"], "shutdown_ended");
    assert_eq!(lines[began.unwrap()].values["event"], "shutdown_began");
    assert_eq!(lines[began.unwrap()].values["name"], "shop");
    drop(lines);

    // Who asks for more time is said, and what was cut off of it; once, however often it asks.
    let allowed = Duration::from_secs(5);
    let supervisor = Supervisor::builder()
        .deadline(Duration::from_secs(60))
        .max_extension(allowed)
        .build();
    let asks = |name: &str, by: Duration, times: u64| {
        let job = move |stop: sundown::StopToken| {
            stop.wait();
            for more in 0..times {
                stop.extend(by + Duration::from_secs(more));
            }
        };
        let worker = supervisor.worker().name(name.into());
        worker.spawn_with(job).unwrap()
    };
    let handles = [
        asks("modest", Duration::from_secs(62), 2),
        asks("greedy", Duration::from_secs(600), 3),
        asks("greedy once", Duration::from_secs(600), 1),
    ];
    in_time({
        let supervisor = supervisor.clone();
        move || supervisor.shutdown()
    });
    drop(handles);
    let said = |name: &str, level: Level| {
        let lines = LINES.lock().unwrap();
        let asked = format!("{name} asked for "); // and so not that of a longer name
        let about = |line: &&Line| line.level == level && line.text.starts_with(&asked);
        lines.iter().filter(about).count()
    };
    assert_eq!(
        (said("modest", Level::Info), said("modest", Level::Warn)),
        (2, 0)
    );
    assert_eq!(
        (said("greedy", Level::Info), said("greedy", Level::Warn)),
        (1, 1)
    );
    assert_eq!(said("greedy once", Level::Warn), 1);

    // A nested supervisor's end is in the report of what it is nested in; only one that ends by itself is news.
    let ends = |name: &str| -> Vec<Level> {
        let ended = |line: &Line| line.values["event"] == "shutdown_ended";
        about(name)
            .into_iter()
            .filter(ended)
            .map(|line| line.level)
            .collect()
    };
    let outer = Supervisor::new();
    let by_itself = outer.child("by itself");
    let with_it = outer.child("with it");
    drop([&by_itself, &with_it].map(|tier| tier.spawn(|| ())));
    in_time(move || by_itself.shutdown());
    in_time(move || outer.shutdown());
    drop(with_it);
    assert_eq!(ends("by itself"), [Level::Info]);
    assert_eq!(ends("with it"), [Level::Debug]);
}

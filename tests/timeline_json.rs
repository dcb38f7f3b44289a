//! The report as data, and as a trace for Perfetto: well-formed, complete, and with every name as it is.

mod support;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde_json::{json, Value};
use sundown::{Cause, ShutdownReport, Supervisor};
use support::{Gate, PATIENCE};

const HOSTILE: &str = "evil\"}],\\\u{1b}[2J\n</script>\u{2028}\u{202e}\u{7f}\u{9b}日本";

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn eventful(gate: &Gate) -> ShutdownReport {
    let supervisor = Supervisor::builder().deadline(PATIENCE).build();
    supervisor.on_exit("exit", || std::thread::sleep(ms(10)));
    supervisor.spawn(|| sundown::stop_token().wait());
    let stuck = supervisor.worker().name("stuck".into()).grace(ms(100));
    stuck.spawn(gate.passer()).unwrap();
    let hangs = supervisor.worker().name("hangs".into());
    let hangs = hangs.on_terminate(gate.passer());
    hangs.spawn_with(|stop| stop.wait()).unwrap();
    let broken = supervisor.worker().name(HOSTILE.into());
    let broken = broken.on_terminate(|| panic!("{HOSTILE}"));
    broken
        .spawn_with(|stop| {
            stop.wait();
            panic!("{HOSTILE}");
        })
        .unwrap();
    let tier = supervisor.child("tier");
    tier.worker()
        .name("inside".into())
        .spawn_with(|stop| stop.wait())
        .unwrap();
    supervisor.request_shutdown(Cause::Signal(15));
    supervisor.shutdown()
}

/// A duration as JSON has it, to the nanosecond.
#[track_caller]
fn assert_seconds(value: &Value, wanted: Duration) {
    let value = Duration::from_secs_f64(value.as_f64().unwrap());
    let difference = value.max(wanted) - value.min(wanted);
    assert!(
        difference <= Duration::from_nanos(1),
        "{value:?} {wanted:?}"
    );
}

#[test]
fn the_report_as_data_says_what_its_accessors_say() {
    let gate = Gate::new();
    let report = eventful(&gate);
    let text = serde_json::to_string(&report).unwrap();
    let data: Value = serde_json::from_str(&text).unwrap();

    assert_eq!(data["cause"], json!({ "signal": 15 }));
    assert_eq!(data["complete"], json!(true));
    assert_eq!(data["clean"], json!(false));
    assert_eq!(data["exit_code"], json!(143));
    assert_seconds(&data["elapsed"], report.elapsed());
    let entries = data["entries"].as_array().unwrap();
    assert_eq!(entries.len(), report.entries().len());
    for (data, entry) in entries.iter().zip(report.entries()) {
        assert_eq!(data["id"], json!(entry.id().get()));
        assert_eq!(data["name"], json!(entry.name()));
        assert_eq!(data["supervisor"], json!(entry.supervisor()));
        assert_eq!(data["location"]["file"], json!(entry.location().file()));
        assert_eq!(data["location"]["line"], json!(entry.location().line()));
        assert_eq!(data["straggler"], json!(entry.is_straggler()));
        assert_eq!(data["clean"], json!(entry.is_clean()));
        assert_seconds(&data["told"], entry.told());
        assert_seconds(&data["waited"], entry.waited());
        match entry.callback() {
            Some(callback) => assert_seconds(&data["callback"], callback),
            None => assert_eq!(data["callback"], Value::Null),
        }
    }
    let about = |name: &str| entries.iter().find(|e| e["name"] == name).unwrap();
    assert_eq!(about("inside")["kind"], "worker");
    assert_eq!(about("inside")["outcome"], "finished");
    assert_eq!(about("tier")["kind"], "supervisor");
    assert_eq!(about("exit")["kind"], "on_exit");
    assert_eq!(about("stuck")["outcome"], "straggler");
    assert_eq!(about("hangs")["callback_fault"], "hung");
    assert_eq!(about(HOSTILE)["outcome"], json!({ "panicked": HOSTILE }));
    assert_eq!(
        about(HOSTILE)["callback_fault"],
        json!({ "panicked": HOSTILE })
    );
}

#[test]
fn each_cause_is_data() {
    let cause = |cause: Cause| serde_json::to_value(cause).unwrap();
    assert_eq!(cause(Cause::Requested), "requested");
    assert_eq!(cause(Cause::Exit(3)), json!({ "exit": 3 }));
    let supervisor = Supervisor::new();
    let worker = supervisor.worker().name("critical".into());
    worker.critical().spawn(|| ()).unwrap();
    assert_eq!(
        cause(supervisor.wait_for_shutdown()),
        json!({ "worker_ended": { "name": "critical", "panicked": false } })
    );
    supervisor.shutdown();
}

/// The trace's events.
fn events(report: &ShutdownReport) -> Vec<Value> {
    let trace = report.to_chrome_trace();
    assert!(
        !trace.contains("</script") && !trace.contains(['\u{1b}', '\u{2028}']),
        "{trace}"
    );
    let mut trace: Value = serde_json::from_str(&trace).unwrap();
    assert_eq!(trace["displayTimeUnit"], "ms");
    match trace["traceEvents"].take() {
        Value::Array(events) => events,
        other => panic!("{other}"),
    }
}

#[test]
fn the_trace_has_a_track_for_each_entry_with_its_spans() {
    let gate = Gate::new();
    let report = eventful(&gate);
    let events = events(&report);
    for event in &events {
        assert!(event["pid"].is_u64() && event["tid"].is_u64(), "{event}");
        assert!(
            ["M", "X"].contains(&event["ph"].as_str().unwrap()),
            "{event}"
        );
    }
    let with = |key: &str, value: &str| {
        let matching = events.iter().filter(|event| event[key] == value);
        matching.collect::<Vec<_>>()
    };
    let names: HashMap<u64, &str> = with("name", "thread_name")
        .iter()
        .map(|event| {
            (
                event["tid"].as_u64().unwrap(),
                event["args"]["name"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        names.len(),
        report.entries().len() + 1,
        "and the critical path"
    );
    assert_eq!(names[&0], "critical path");
    for entry in report.entries() {
        let name = names[&entry.id().get()];
        match entry.name() {
            Some(wanted) => assert_eq!(name, wanted),
            None => assert_eq!(
                name,
                format!("timeline_json.rs:{}", entry.location().line())
            ),
        }
        let category = if entry.is_straggler() {
            "straggler"
        } else {
            "entry"
        };
        let whole = with("cat", category);
        let whole = whole.iter().find(|e| e["tid"] == entry.id().get()).unwrap();
        let told = entry.told().as_secs_f64() * 1e6;
        assert!(
            (whole["ts"].as_f64().unwrap() - told).abs() < 0.01,
            "{whole}"
        );
        let spawned = whole["args"]["spawned"].as_str().unwrap();
        assert!(
            spawned.ends_with(&format!(":{}", entry.location().line())),
            "{whole}"
        );
        // What a viewer draws within it lies within it, or it would be drawn wrong.
        let end = |e: &Value| e["ts"].as_f64().unwrap() + e["dur"].as_f64().unwrap();
        for event in events
            .iter()
            .filter(|e| e["tid"] == entry.id().get() && e["ph"] == "X")
        {
            assert!(
                event["ts"].as_f64() >= whole["ts"].as_f64(),
                "{event} {whole}"
            );
            assert!(end(event) <= end(whole) + 0.01, "{event} {whole}");
            assert!(
                end(event) <= report.elapsed().as_secs_f64() * 1e6 + 0.01,
                "{event}"
            );
        }
    }
    assert_eq!(with("cat", "straggler").len(), 2);
    assert!(!with("cat", "critical path").is_empty());
    let panics = with("name", HOSTILE);
    let panic = panics
        .iter()
        .find(|e| !e["args"]["panic"].is_null())
        .unwrap();
    assert_eq!(panic["args"]["panic"], HOSTILE);
}

#[test]
fn the_trace_leaves_nobody_out() {
    let supervisor = Supervisor::new();
    for n in 0..5_000 {
        supervisor.on_shutdown(format!("hook {n}"), || ());
    }
    let long = "x".repeat(10_000);
    supervisor.on_shutdown(long.clone(), || ());
    let events = events(&supervisor.shutdown());
    let entries = events.iter().filter(|event| event["cat"] == "entry");
    let tracks: HashSet<u64> = entries
        .map(|event| event["tid"].as_u64().unwrap())
        .collect();
    assert_eq!(tracks.len(), 5_001);
    assert!(events.iter().any(|event| event["name"] == *long));
}

#[test]
fn an_empty_trace_is_one_too() {
    let events = events(&Supervisor::new().shutdown());
    assert!(events.iter().all(|event| event["ph"] == "M"));
}

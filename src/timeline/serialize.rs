//! The report as data, for `serde`: what its accessors say, under their names.
//!
//! Durations are seconds, as numbers: `jq '.entries[] | select(.waited > 1)'` then does what it says.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::{CallbackFault, Cause, EntryKind, EntryReport, Outcome, ShutdownReport, WorkerId};

#[derive(Serialize)]
#[serde(rename = "ShutdownReport")]
struct Report<'a> {
    cause: &'a Cause,
    elapsed: f64,
    complete: bool,
    clean: bool,
    exit_code: u8,
    entries: &'a [EntryReport],
}

#[derive(Serialize)]
#[serde(rename = "EntryReport")]
struct Entry<'a> {
    kind: EntryKind,
    id: WorkerId,
    name: Option<&'a str>,
    supervisor: Option<&'a str>,
    location: Location,
    outcome: &'a Outcome,
    callback: Option<f64>,
    callback_fault: Option<&'a CallbackFault>,
    told: f64,
    waited: f64,
    straggler: bool,
    clean: bool,
}

#[derive(Serialize)]
struct Location {
    file: &'static str,
    line: u32,
    column: u32,
}

impl Serialize for ShutdownReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let report = Report {
            cause: self.cause(),
            elapsed: self.elapsed().as_secs_f64(),
            complete: self.is_complete(),
            clean: self.is_clean(),
            exit_code: self.exit_code(),
            entries: self.entries(),
        };
        report.serialize(serializer)
    }
}

impl Serialize for EntryReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let location = self.location();
        let entry = Entry {
            kind: self.kind(),
            id: self.id(),
            name: self.name(),
            supervisor: self.supervisor(),
            location: Location {
                file: location.file(),
                line: location.line(),
                column: location.column(),
            },
            outcome: self.outcome(),
            callback: self.callback().as_ref().map(Duration::as_secs_f64),
            callback_fault: self.callback_fault(),
            told: self.told().as_secs_f64(),
            waited: self.waited().as_secs_f64(),
            straggler: self.is_straggler(),
            clean: self.is_clean(),
        };
        entry.serialize(serializer)
    }
}

impl Serialize for WorkerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.get())
    }
}

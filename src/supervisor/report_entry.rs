//! From a record to its line in the report.

use std::sync::Arc;

use super::kind::EntryKind;
use super::registry::{Entry, Told};
use super::report::{CallbackFault, EntryReport, Outcome, Rare};
use super::straggler::Straggler;
use super::worker::{End, Worker};
use crate::sync::Instant;

/// Adds what is to be said of `told`; a nested supervisor is followed by its own entries. `straggler`: what a look at it has found.
pub(super) fn push(
    entries: &mut Vec<EntryReport>,
    told: &Told,
    began: Instant,
    straggler: Option<Arc<Straggler>>,
) {
    let told_after = told.at.saturating_duration_since(began);
    match &told.entry {
        Entry::Worker(worker) => {
            let (callback, mut fault) = worker.callback.account();
            let remarks = worker.remarks();
            let late = remarks.given_up;
            if worker.token_hangs() {
                fault = fault.or(Some(CallbackFault::Hung));
            }
            // Told by somebody before the shutdown was: the wait counts from the shutdown's own turn.
            let until = worker.gone_at().unwrap_or_else(Instant::now);
            let until = late.map_or(until, |given_up| until.min(given_up));
            entries.push(EntryReport {
                kind: worker.traits.kind,
                id: worker.id,
                name: worker.traits.name.clone(),
                supervisor: None,
                location: worker.traits.location,
                outcome: outcome_of(worker, late.is_some()),
                callback,
                told: told_after,
                waited: until.saturating_duration_since(told.at),
                rare: Rare {
                    fault,
                    note: remarks.note,
                    extended: remarks.extended.filter(|by| !by.is_zero()),
                    restarts: remarks.restarts.count,
                    last_failure: remarks.restarts.last_failure,
                    straggler,
                }
                .boxed(),
            });
        }
        Entry::Hook(hook) => {
            let (callback, fault) = hook.callback.account();
            if callback.is_none() && hook.callback.is_absent() {
                return; // taken back in the moment in which it was to run
            }
            let outcome = match &fault {
                Some(CallbackFault::Panicked(message)) => Outcome::Panicked(message.clone()),
                Some(_) => Outcome::Straggler,
                None if callback.is_none() => Outcome::Straggler, // a report so far: it runs just now
                None => Outcome::Finished,
            };
            entries.push(EntryReport {
                kind: hook.kind,
                id: hook.id,
                name: Some(hook.name.clone()),
                supervisor: None,
                location: hook.location,
                outcome,
                callback,
                told: told_after,
                waited: callback.unwrap_or_else(|| told.at.elapsed()),
                rare: (fault.is_some() || straggler.is_some()).then(|| {
                    Box::new(Rare {
                        fault,
                        straggler,
                        ..Rare::default()
                    })
                }),
            });
        }
        Entry::Child(child) => {
            let report = match &told.child {
                Some(report) => report.clone(),
                // Still under way; or gone before its turn came, and then there is nothing to tell.
                None => match child.core.upgrade() {
                    Some(core) => core.report_so_far(),
                    None => return,
                },
            };
            entries.push(EntryReport {
                kind: EntryKind::Supervisor,
                id: child.id,
                name: Some(child.name.clone()),
                supervisor: None,
                location: child.location,
                outcome: match report.is_complete() {
                    true => Outcome::Finished,
                    false => Outcome::Straggler,
                },
                callback: None,
                told: told_after,
                waited: report.elapsed(),
                rare: Rare::default().boxed(),
            });
            entries.extend(report.entries().iter().cloned().map(|mut entry| {
                entry.told += told_after;
                entry.supervisor.get_or_insert_with(|| child.name.clone());
                entry
            }));
        }
    }
}

/// How an entry's worker ended, as far as it has.
fn outcome_of(worker: &Worker, late: bool) -> Outcome {
    if late {
        return Outcome::Straggler;
    }
    match worker.failure() {
        Some(End::Panicked(message)) if worker.is_gone() => Outcome::Panicked(message.into()),
        Some(End::Failed(text)) if worker.is_gone() => Outcome::Failed(text.into()),
        _ if worker.is_gone() => Outcome::Finished,
        _ if worker.is_caller() => Outcome::Caller,
        _ if worker.traits.daemon => Outcome::Daemon,
        _ => Outcome::Straggler,
    }
}

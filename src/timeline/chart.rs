//! A report laid out on one time axis: a row for each entry, the most telling ones if there are too many, and the rest summed up.
//!
//! What text and SVG draw alike is decided here; they only differ in how.

use std::cmp::Reverse;
use std::time::Duration;

use super::columns::cut;
use super::nesting::Nesting;
use super::path::{self, Step};
use crate::base::text::Short;
use crate::{CallbackFault, EntryKind, EntryReport, Outcome, ShutdownReport};

/// How long a name may be where names stand one after the other.
const SHORT_NAME: usize = 40;
/// How many steps of the critical path are put into words, and how many stragglers.
pub(super) const NAMED: usize = 8;

/// How long a cause may be in the heading.
const CAUSE: usize = 60;

/// A stretch of the axis, counted from the beginning of the shutdown. Never ends before it begins, nor after the shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Duration,
    pub(super) to: Duration,
}

impl Span {
    pub(super) fn length(self) -> Duration {
        self.to.saturating_sub(self.from)
    }
}

/// One entry on the axis.
pub(super) struct Row<'a> {
    pub(super) entry: &'a EntryReport,
    /// How many supervisors it is nested in.
    pub(super) depth: usize,
    /// From being told until nothing of it was left, or it was given up.
    pub(super) whole: Span,
    /// While its callback ran.
    pub(super) callback: Option<Span>,
    /// While the shutdown waited for nothing but this, if that was long enough to matter.
    pub(super) critical: Option<Span>,
}

/// The entries that are not shown.
pub(super) struct Rest {
    pub(super) count: usize,
    /// How many of them were stragglers.
    pub(super) stuck: usize,
    /// How many of them went wrong in another way.
    pub(super) broken: usize,
    /// From when the first was told until the last was gone.
    pub(super) span: Span,
}

/// A report on one axis.
pub(super) struct Chart<'a> {
    pub(super) report: &'a ShutdownReport,
    /// The length of the axis: never zero.
    pub(super) total: Duration,
    /// In the order of the report.
    pub(super) rows: Vec<Row<'a>>,
    pub(super) rest: Option<Rest>,
    /// What the length of the shutdown was made of, in order: who, and for how long.
    pub(super) path: Vec<(&'a EntryReport, Duration)>,
}

impl<'a> Chart<'a> {
    /// At most `limit` rows.
    pub(super) fn new(report: &'a ShutdownReport, limit: usize) -> Chart<'a> {
        let entries = report.entries();
        let total = report.elapsed().max(Duration::from_nanos(1));
        let spans: Vec<Span> = entries.iter().map(|entry| whole(entry, total)).collect();
        let places = entries
            .iter()
            .zip(&spans)
            .map(|(entry, span)| (entry.name(), entry.supervisor(), entry.kind(), *span));
        let nesting = Nesting::of(places);
        let steps = entries.iter().zip(&spans);
        let steps: Vec<Step> = steps
            .map(|(entry, span)| step(entry, *span, total))
            .collect();
        let critical = path::critical(&steps, &nesting, total);

        let shown = most_telling(entries, &spans, &critical, limit);
        let rest = rest(entries, &spans, &shown);
        let path = path::leaves(&critical, &nesting).into_iter();
        let path = path
            .map(|(at, span)| (&entries[at], span.length()))
            .collect();
        let row = |at: usize| Row {
            entry: &entries[at],
            depth: nesting.depth(at),
            whole: spans[at],
            callback: callback(&entries[at], total),
            critical: critical[at],
        };
        Chart {
            report,
            total,
            rows: shown.into_iter().map(row).collect(),
            rest,
            path,
        }
    }

    /// One line that says what this is a picture of.
    pub(super) fn heading(&self) -> String {
        let stuck = self.report.stragglers().len();
        let verb = match self.report.is_complete() {
            true => "took",
            false => "is still going on after",
        };
        // A cause may hold the name of a worker.
        let cause = cut(&self.report.cause().to_string(), CAUSE).0;
        let took = Short(self.report.elapsed());
        let count = match self.report.entries().len() {
            1 => "1 entry".to_owned(),
            count => format!("{count} entries"),
        };
        let stuck = match stuck {
            0 => String::new(),
            count => format!(", {count} STUCK"),
        };
        format!("shutdown after {cause} {verb} {took}: {count}{stuck}")
    }

    /// The critical path in words, step by step, names and their number bounded; empty if there is nothing to tell.
    pub(super) fn path_in_words(&self) -> Vec<String> {
        let step = |(entry, length): &(&EntryReport, Duration)| {
            format!("{} ({})", short_name(entry), Short(*length))
        };
        let mut steps: Vec<String> = self.path.iter().take(NAMED).map(step).collect();
        if self.path.len() > NAMED {
            steps.push(format!("{} more", self.path.len() - NAMED));
        }
        let marked = self.path.iter().map(|(_, length)| *length).sum();
        let unmarked = self.total.saturating_sub(marked);
        if unmarked > self.total / 10 && !self.rows.is_empty() {
            steps.push(format!("the rest ({})", Short(unmarked)));
        }
        steps
    }

    /// The same on as many lines as it needs.
    pub(super) fn path_lines(&self, width: usize) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for step in self.path_in_words() {
            let line = match lines.pop() {
                None => format!("critical path: {step}"),
                Some(line) => {
                    let longer = format!("{line}, then {step}");
                    if cut(&longer, width).0 == longer {
                        lines.push(longer);
                        continue;
                    }
                    lines.push(line + ",");
                    format!("  then {step}")
                }
            };
            lines.push(line);
        }
        let fits = |line: String| cut(&line, width).0;
        lines.into_iter().map(fits).collect()
    }

    /// Moments for the axis that are easy to read, at most `most` and the beginning.
    pub(super) fn ticks(&self, most: usize) -> Vec<Duration> {
        let total = self.total.as_nanos();
        let most = most.max(1) as u128;
        let mut step: u128 = 1;
        // 1, 2, 5, 10, 20, 50, ...
        let mut factors = [2, 5, 10].iter().cycle();
        let mut power = 1;
        while total / step > most {
            match factors.next() {
                Some(10) => {
                    power *= 10;
                    step = power;
                }
                Some(factor) => step = power * factor,
                None => unreachable!("a cycle has no end"),
            }
        }
        let moments = (0..=total / step).map(|n| n * step);
        moments.map(from_nanos).collect()
    }
}

impl Row<'_> {
    /// How it ended, and how long after it was told.
    pub(super) fn figures(&self) -> String {
        format!("{} {}", state(self.entry), Short(self.whole.length()))
    }
}

impl Rest {
    pub(super) fn in_words(&self) -> String {
        let mut text = format!("and {} more", self.count);
        for (what, count) in [("STUCK", self.stuck), ("failed", self.broken)] {
            if count > 0 {
                text += &format!(", {count} {what}");
            }
        }
        text
    }
}

/// What an entry is called: its name if it has one that can be seen, else where it was spawned.
pub(super) fn label(entry: &EntryReport) -> String {
    match entry.name().filter(|name| !name.trim().is_empty()) {
        Some(name) => name.to_owned(),
        None => {
            let location = entry.location();
            let file = location.file().rsplit(['/', '\\']).next();
            format!("{}:{}", file.unwrap_or_default(), location.line())
        }
    }
}

/// The same, where names stand one after the other.
pub(super) fn short_name(entry: &EntryReport) -> String {
    cut(&label(entry), SHORT_NAME).0
}

/// How it ended, in one word.
pub(super) fn state(entry: &EntryReport) -> &'static str {
    match entry.outcome() {
        _ if entry.is_straggler() => "STUCK",
        Outcome::Panicked(_) => "PANICKED",
        Outcome::Caller => "caller",
        Outcome::Daemon => "daemon",
        _ if entry.is_clean() => "finished",
        _ => "FAILED",
    }
}

/// A moment of an axis of this length, in the unit that fits the whole.
pub(super) fn tick_label(at: Duration, total: Duration) -> String {
    const UNITS: [(&str, u128); 3] = [("s", 1_000_000_000), ("ms", 1_000_000), ("µs", 1_000)];
    let fits = |&&(_, unit): &&(&str, u128)| total.as_nanos() >= unit;
    let &(name, unit) = UNITS.iter().find(fits).unwrap_or(&("ns", 1));
    let (whole, rest) = (at.as_nanos() / unit, at.as_nanos() % unit);
    if at.is_zero() {
        return "0".to_owned();
    }
    if rest == 0 {
        return format!("{whole} {name}");
    }
    let digits = unit.ilog10() as usize;
    let rest = format!("{rest:0digits$}");
    format!("{whole}.{} {name}", rest.trim_end_matches('0'))
}

fn whole(entry: &EntryReport, total: Duration) -> Span {
    let from = entry.told().min(total);
    let ran = entry.callback().unwrap_or_default();
    let to = match hangs(entry) {
        true => total,
        false => entry
            .told()
            .saturating_add(entry.waited().max(ran))
            .min(total),
    };
    Span { from, to }
}

fn step(entry: &EntryReport, whole: Span, total: Duration) -> Step {
    let callback_end = callback(entry, total).map_or(whole.from, |callback| callback.to);
    Step {
        told: whole.from,
        callback_end,
        end: match entry.outcome() {
            // Nobody waited for these, but for their callbacks.
            Outcome::Caller | Outcome::Daemon if !hangs(entry) => callback_end,
            Outcome::Caller | Outcome::Daemon => whole.from,
            // A callback that hangs is given up, and what is waited for then is the worker. A hook has none.
            _ if hangs(entry) && is_hook(entry) => whole.from,
            _ if hangs(entry) => entry.told().saturating_add(entry.waited()).min(total),
            _ => whole.to,
        },
        hangs: hangs(entry),
        straggler: entry.is_straggler(),
    }
}

fn callback(entry: &EntryReport, total: Duration) -> Option<Span> {
    let from = entry.told().min(total);
    let to = match entry.callback() {
        Some(ran) => entry.told().saturating_add(ran).min(total),
        None if hangs(entry) => total,
        None => return None,
    };
    Some(Span { from, to })
}

/// Its callback did not return, as far as anybody knows.
pub(super) fn hangs(entry: &EntryReport) -> bool {
    entry.callback().is_none() && entry.callback_fault() == Some(&CallbackFault::Hung)
}

fn is_hook(entry: &EntryReport) -> bool {
    matches!(entry.kind(), EntryKind::OnShutdown | EntryKind::OnExit)
}

/// The entries to show, in the order of the report.
fn most_telling(
    entries: &[EntryReport],
    spans: &[Span],
    critical: &[Option<Span>],
    limit: usize,
) -> Vec<usize> {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    if order.len() > limit {
        order.sort_by_key(|&at| {
            let entry = &entries[at];
            let rank = match entry.is_clean() {
                _ if entry.is_straggler() => 0,
                false => 1,
                true if critical[at].is_some() => 2,
                true if entry.kind() == EntryKind::Supervisor => 3,
                true => 4,
            };
            (rank, Reverse(spans[at].length()), at)
        });
        order.truncate(limit);
        order.sort_unstable();
    }
    order
}

fn rest(entries: &[EntryReport], spans: &[Span], shown: &[usize]) -> Option<Rest> {
    let mut shown = shown.iter().copied().peekable();
    let hidden = (0..entries.len()).filter(|at| shown.next_if_eq(at).is_none());
    let mut rest: Option<Rest> = None;
    for at in hidden {
        let (entry, span) = (&entries[at], spans[at]);
        let rest = rest.get_or_insert(Rest {
            count: 0,
            stuck: 0,
            broken: 0,
            span,
        });
        rest.count += 1;
        rest.stuck += usize::from(entry.is_straggler());
        rest.broken += usize::from(!entry.is_straggler() && !entry.is_clean());
        rest.span.from = rest.span.from.min(span.from);
        rest.span.to = rest.span.to.max(span.to);
    }
    rest
}

fn from_nanos(nanos: u128) -> Duration {
    let second = 1_000_000_000;
    let seconds = u64::try_from(nanos / second).unwrap_or(u64::MAX);
    Duration::new(seconds, (nanos % second) as u32)
}

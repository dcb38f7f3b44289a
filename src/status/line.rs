//! The text of the status: who is left, for how long yet, and how to leave now.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::sort::sort_by_key;
use crate::base::text::{beginning, Printable};
use crate::diagnose;
use crate::exit;
use crate::supervisor::registry::Core;
use crate::supervisor::waited::{Left, Waited};

/// How many are looked at closely: each costs a few small files.
const CLOSELY: usize = 4;

/// What is to be said at one moment.
pub(super) struct Line {
    /// Who is waited for, the longest first: those that were looked at with what they do.
    names: Vec<String>,
    left: usize,
    of: usize,
    /// How long it may take yet; `None` for as long as it likes.
    time: Option<Duration>,
    /// What Ctrl-C does: in full, short, not at all.
    keys: [&'static str; 3],
}

impl Line {
    /// `None` once there is nothing to say: the shutdown is over.
    pub(super) fn of(core: &Arc<Core>) -> Option<Line> {
        let (_, deadline) = core.under_way()?;
        let Left { mut waited, of, .. } = core.left();
        let now = Instant::now();
        sort_by_key(&mut waited, |waited| {
            let since = waited.told.map(|told| now.saturating_duration_since(told));
            let nanos = u64::try_from(since.unwrap_or_default().as_nanos());
            (u64::MAX - nanos.unwrap_or(u64::MAX), 0)
        });
        let close = waited
            .iter()
            .take(CLOSELY)
            .map(|waited| describe(waited, now));
        let rest = waited.iter().skip(CLOSELY).map(name);
        Some(Line {
            names: close.chain(rest).collect(),
            left: waited.len(),
            of,
            time: deadline.map(|end| end.saturating_duration_since(now)),
            keys: match exit::signals_to_the_end(core) {
                None => ["", "", ""],
                Some(1) => ["; Ctrl-C again to leave now", "; Ctrl-C again", ""],
                Some(_) => ["; Ctrl-C twice to leave now", "; Ctrl-C twice", ""],
            },
        })
    }

    /// How many have ended, and of how many.
    #[cfg(feature = "progress")]
    pub(super) fn progress(&self) -> (usize, usize) {
        (self.of.saturating_sub(self.left), self.of)
    }

    /// As text, in at most `width` columns if that is given: all names but the first give way first, then what Ctrl-C does.
    pub(super) fn text(&self, width: Option<usize>) -> String {
        let mut end = String::new();
        // Writing to a String does not fail.
        if let Some(time) = self.time {
            let _ = write!(end, "; {} left", seconds(time));
        }
        let Some(first) = self.names.first() else {
            return cut(
                format!("stopping: all have ended{end}{}", self.keys[0]),
                width,
            );
        };
        let mut text = format!("stopping: {} of {} left: ", self.left, self.of);
        let columns = width.unwrap_or(400);
        let taken = text.chars().count() + end.chars().count();
        // Beside the first name there may have to be the sign that there are more.
        let least = first.chars().count() + if self.names.len() > 1 { 3 } else { 0 };
        let fits = |key: &&str| taken + key.chars().count() + least <= columns;
        let key = self.keys.into_iter().find(fits).unwrap_or_default();
        end.push_str(key);
        let room = columns.saturating_sub(taken + key.chars().count());
        let mut names = String::new();
        for (at, name) in self.names.iter().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            let more = separator.len() + name.chars().count();
            // Room for the sign that there are more.
            let rest = if at + 1 == self.names.len() { 0 } else { 3 };
            if names.chars().count() + more + rest > room {
                names.push_str(separator);
                names.push('…');
                break;
            }
            names.push_str(separator);
            names.push_str(name);
        }
        text.push_str(&names);
        text.push_str(&end);
        cut(text, width)
    }
}

fn cut(text: String, width: Option<usize>) -> String {
    match width {
        Some(width) if text.chars().count() > width => {
            let kept = text.chars().take(width.saturating_sub(1));
            kept.chain(['…']).collect()
        }
        _ => text,
    }
}

fn name(waited: &Waited) -> String {
    let name = Printable(waited.name.as_deref().unwrap_or("<unnamed>"));
    match waited.worker {
        true => name.to_string(),
        false => format!("hook {name}"),
    }
}

/// The name, and in parentheses for how long it has been waited for and what it does.
fn describe(waited: &Waited, now: Instant) -> String {
    let mut text = name(waited);
    let mut separator = " (";
    let mut add = |what: &str| {
        text.push_str(separator);
        text.push_str(what);
        separator = ", ";
    };
    if let Some(told) = waited.told {
        add(&seconds(now.saturating_duration_since(told)));
    }
    if let Some(activity) = &waited.activity {
        add(&Printable(beginning(activity)).to_string());
    }
    if let Some(call) = waited.os_thread.and_then(diagnose::in_short) {
        add(&call);
    }
    if separator == ", " {
        text.push(')');
    }
    text
}

/// Tenths of a second: the line changes four times a second.
fn seconds(time: Duration) -> String {
    let tenths = u64::from((time.subsec_millis() + 50) / 100);
    let tenths = time.as_secs().saturating_mul(10).saturating_add(tenths);
    format!("{}.{} s", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(names: &[&str]) -> Line {
        Line {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            left: names.len(),
            of: 12,
            time: Some(Duration::from_millis(5_900)),
            keys: ["; Ctrl-C again to leave now", "; Ctrl-C again", ""],
        }
    }

    #[test]
    fn it_names_who_is_left() {
        assert_eq!(
            line(&["writer (2.1 s, in fsync)", "accept"]).text(None),
            "stopping: 2 of 12 left: writer (2.1 s, in fsync), accept; 5.9 s left; Ctrl-C again to leave now"
        );
    }

    #[test]
    fn names_give_way_before_the_rest_does() {
        let long = "x".repeat(30);
        let text = line(&["writer", &long, &long, &long]).text(Some(100));
        assert!(text.chars().count() <= 100, "{text}");
        assert!(
            text.starts_with("stopping: 4 of 12 left: writer, "),
            "{text}"
        );
        assert!(text.contains(", …; 5.9 s left; Ctrl-C again"), "{text}");
    }

    #[test]
    fn who_is_left_is_said_on_a_usual_terminal_too() {
        let names = ["writer (2.1 s, in fsync)", "accept", "reader"];
        assert_eq!(
            line(&names).text(Some(80)),
            "stopping: 3 of 12 left: writer (2.1 s, in fsync), …; 5.9 s left; Ctrl-C again"
        );
        assert_eq!(
            line(&names).text(Some(65)),
            "stopping: 3 of 12 left: writer (2.1 s, in fsync), …; 5.9 s left"
        );
    }

    #[test]
    fn it_never_is_wider_than_the_terminal() {
        for width in 0..150 {
            let text = line(&["writer (ü)", "accept", "reader"]).text(Some(width));
            assert!(text.chars().count() <= width.max(1), "{width}: {text}");
        }
    }
}
